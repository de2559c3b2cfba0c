"""Generators that wait for the storms over their counties, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stormgym.envs.arrays import Ints
from stormgym.envs.storms import StormModel, check_not_negative, check_positive


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
        super().__post_init__()
        check_not_negative(self, "generators", "transport_cost", "interruption_cost", "operating_cost")
        check_positive(self, "customers_per_generator")

    @property
    def most_useful(self) -> Ints:
        """Generators that all customers of each county could use, at most Q, `[K]`."""
        return np.minimum(np.ceil(self.population / self.customers_per_generator).astype(np.int64), self.generators)
