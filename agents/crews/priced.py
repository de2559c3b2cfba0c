"""A constant price on the gap between groups, found on past storms so that the mean gap meets the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stormgym.agents.binding import announced_of, base_envs
from stormgym.agents.crews.planners import RollingPlanner
from stormgym.agents.crews.search.annealing import Limit
from stormgym.agents.crews.situation import ENV_ID, Situation
from stormgym.agents.past_price import N_EPISODES, kept_price, mean_cost, past_arguments
from stormgym.envs.arrays import Ints
from stormgym.envs.crews.knowledge import CrewAnnounced

EFFORT = 0.1
"""Of the search while prices are tried."""

Maker = Callable[[Any, float], "RollingPriced"]
"""Makes a policy from an environment and a price."""


class RollingPriced(RollingPlanner):
    """The rolling planner, which pays the same price for every hour of gap it expects, in every storm.

    Idea: the limit is on the mean over storms. A price for hours over the limit in each storm forces every storm to it;
    one price for all hours lets the gap be small where that is cheap and larger where it is dear, which costs less for
    the same mean. The price is found on past storms. Cost: about that of `rolling-fair`; finding the price takes half a
    minute, once for each setting (it is kept in the cache). Source: Lagrangian duality on EPOPR's problem (eq. 13, 14).

    Args:
        env: the environment that it plays.
        price: hours of mean outage for an hour of gap; None finds it.
        margin: share of the limit that the mean gap leaves free.
        correct, seed, first, again, effort: as for the rolling planner.

    Raises:
        ValueError: no price, and an environment that was not made by its id, so that no past storms can be had.
    """

    name = "rolling-priced"
    by_gap = True

    def __init__(self, env: Any, *, price: float | None = None, margin: float = 0.0, **kwargs: Any) -> None:
        if not 0 <= margin < 1:
            raise ValueError(f"margin must be in [0, 1); got {margin!r}")
        if price is not None and not 0 <= price <= 1e6:
            raise ValueError(f"price must be from 0 to 1,000,000 h per h; got {price!r}")
        super().__init__(env, **kwargs)
        self.price = price_for(env, margin) if price is None else float(price)

    def limit(self, situation: Situation, rows: Ints) -> Limit | None:
        """Every hour of gap is paid for."""
        del situation
        return Limit(np.zeros(rows.size), self.price)


def price_for(env: Any, margin: float = 0.0, maker: Maker | None = None, told: Sequence[Any] = ()) -> float:
    """The price at which the mean gap of past storms is the environment's limit less a margin.

    Args:
        env: made by its id.
        margin: share of the limit that is left free.
        maker: what plays them, from an environment and a price; None takes the rolling planner, quick.
        told: what decides how it plays, for the cache; of what JSON can hold.
    """
    kwargs = past_arguments(base_envs(env, "announced", CrewAnnounced, ENV_ID)[0])
    announced: CrewAnnounced = announced_of(env)[0]
    aim = (1.0 - margin) * announced.cost_limit_h
    plays = maker or _quick
    return kept_price(
        lambda price: mean_cost(ENV_ID, kwargs, plays, price),
        aim,
        [ENV_ID, kwargs, announced.city.fingerprint(), N_EPISODES, EFFORT, *told],
    )


def _quick(env: Any, price: float) -> RollingPriced:
    return RollingPriced(env, price=price, effort=EFFORT)
