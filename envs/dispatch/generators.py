"""Generators that wait for the storms over their counties, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stormgym.envs.arrays import Ints
from stormgym.envs.dispatch.sizes import (
    LARGEST,
    MAX_CELLS,
    MAX_COUNTIES,
    MAX_GENERATORS,
    MAX_PERIODS,
    MAX_STEPS,
)
from stormgym.envs.storms import StormModel, check_not_negative, check_positive

MOST: dict[str, float] = {
    "generators": MAX_GENERATORS,
    "steps_per_period": MAX_STEPS,
    **dict.fromkeys(("population", "customers_per_generator", "cost_limit"), LARGEST),
    **dict.fromkeys(("transport_cost", "interruption_cost", "operating_cost"), LARGEST),
}
"""Largest numbers of a profile, by its attribute."""


def check_size(n_counties: int, n_periods: int) -> None:
    """Raise `ValueError` where there are more counties, periods or both together than are meant to work."""
    for name, value, most in (
        ("counties", n_counties, MAX_COUNTIES),
        ("periods", n_periods, MAX_PERIODS),
        ("counties times periods", n_counties * n_periods, MAX_CELLS),
    ):
        if value > most:
            raise ValueError(f"there must be at most {most:,} {name}; got {value:,}. Take fewer, or longer periods")


@dataclass(frozen=True, kw_only=True, eq=False)
class StormProfile(StormModel):
    """Counties, how storms go over them, and the generators that wait for them.

    `cost_limit` is on customer-periods unserved per customer.

    Attributes:
        generators: Q, all in one warehouse.
        customers_per_generator: N_g.
        transport_cost: of one generator and trip.
        interruption_cost: tau of a customer out for a period.
        operating_cost: of a generator in a county for a period.
    """

    generators: int
    customers_per_generator: float
    transport_cost: float
    interruption_cost: float
    operating_cost: float

    def __post_init__(self) -> None:
        check_size(len(self.population), self.n_periods)
        super().__post_init__()
        check_not_negative(self, "generators", "transport_cost", "interruption_cost", "operating_cost")
        check_positive(self, "customers_per_generator")
        if self.generators != int(self.generators):
            raise ValueError(f"generators must be a whole number; got {self.generators!r}")
        for name, most in MOST.items():
            largest = float(np.max(getattr(self, name)))
            if largest > most:
                raise ValueError(f"{name} must be at most {most:,.0f}; got {largest:g}. Count in a larger unit")

    @property
    def most_useful(self) -> Ints:
        """Generators that all customers of each county could use, at most Q, `[K]`."""
        return np.minimum(np.ceil(self.population / self.customers_per_generator).astype(np.int64), self.generators)
