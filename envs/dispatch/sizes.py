"""The largest profiles of generators that are meant to work; what is beyond is refused (table: docs/environments)."""

MAX_COUNTIES = 1_000
"""K of a folder; all counties from Texas to Georgia are 700."""
MAX_PERIODS = 1_000
"""T."""
MAX_CELLS = 200_000
"""K times T: forecasts and limits come from hundreds of simulated storms of this size."""
MAX_WINDOWS = 200
"""S, storms of a folder."""
MAX_WINDOW_DAYS = 366
"""Of a storm: the longest outage on record, Puerto Rico after Maria, took 328 days."""
MAX_PERIOD_H = 24.0 * 366
MAX_GENERATORS = 10_000
"""Q: masks have an entry for each number of generators in each county."""
MAX_STEPS = 1_000
"""Euler steps a period."""
LARGEST = 1e9
"""Most money, customers and limit, as observations hold."""
