"""The largest files and cities that are meant to work; readers refuse what is beyond (table: docs/data.md)."""

MAX_FILE_BYTES = 200_000_000
"""Of a CSV or JSON file, unpacked: it is held in memory whole."""
MAX_LINES = 2_000_000
"""Of a CSV file, blank ones among them."""
MAX_COLUMNS = 10_000
"""Of a CSV file."""
MAX_REGIONS = 5_000
"""Of a city: tables of distances grow with the square."""
MAX_RECORDS = 2_000_000
"""Of a city's log."""
MAX_JOBS = 10_000
"""Of a file of jobs."""
MAX_CREWS = 1_000
"""Of a city."""
MAX_NAME = 1_000
"""Characters of a name."""

MAX_CUSTOMERS = 1e9
"""Of a region or job, as observations hold."""
MAX_REQUESTS = 1e12
"""Of a region."""
MAX_FEATURE = 1e30
"""Size of a feature: forests compute in single precision."""
MAX_COORDINATE_KM = 1e5
"""Of a region, as observations hold."""
REPAIR_RANGE_H = (1e-6, 1e5)
"""Of a repair: from milliseconds to eleven years."""
SPEED_RANGE_KMH = (0.01, 1e6)
"""Of a crew: slower, and hours run out of range."""
MAX_DETOUR = 100.0
"""Road distance over straight line."""

LONG_OUTAGE_H = 60 * 24
"""A longer outage is a record that nobody closed, or another thing than an outage: told of, not refused."""
