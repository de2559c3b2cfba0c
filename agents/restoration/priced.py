"""A planner that pays one price for every hour of expected gap, or of the gap's tail, found on past storms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.binding import announced_of
from stormgym.agents.past_price import kept_price, key_of_past, past_arguments, past_episodes
from stormgym.agents.restoration.planners import EquityPlanner
from stormgym.agents.restoration.search.front import MOST_PRICE, Front, TailPrice, find_tail_price, search_front
from stormgym.agents.restoration.search.orders import OrderPlan
from stormgym.agents.restoration.search.priced import plan_priced
from stormgym.agents.restoration.situation import ENV_ID, Part, city_of, parts, restoration_envs
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cache import Costly, check_numbers, recall_arrays
from stormgym.envs.data import City
from stormgym.envs.risk_measure import RiskMeasure

N_STORMS = 384
"""Past storms on which a price is tried."""
FIRST = 0.05
"""Price that is tried first: hours of mean outage for an hour of gap."""
OF_SEARCH = ("seed", "iterations", "n_scenarios")
"""Settings of a planner that say how it searches."""


class PricedPlanner(EquityPlanner):
    """Travelling repairman that pays the same price for every hour of gap it expects, in every storm.

    Idea: the limit is on the mean gap over storms. `equity-planner` holds each storm to it; one price for all hours
    lets the gap be small where that is cheap and larger where it is dear, which costs less for the same mean. The price
    is the one at which plans for past storms (of the records that training draws) expect the limit on average. Where
    the limit is on the tail of the gap over storms, its CVaR or the share of storms beyond it, what is paid for is what
    a storm is expected to add to that tail, at the price at which it meets the limit in past storms
    (`search.front`).
    Cost: some 1.5 times that of `equity-planner`, 2.5 times with a tail; finding the price plans `N_STORMS` storms up
    to eight times, once for each setting (it is kept in the cache). Source: Lagrangian duality on EPOPR's problem
    (eq. 13, 14); Rockafellar and Uryasev (2000) for the tail.

    Args:
        city: the city.
        price: hours of mean outage for an hour of gap, or of its tail (`TailPrice`); None finds it.
        threshold_h: gap beyond which hours count, where a price is given for the CVaR.
        margin: share of the limit that the mean gap expected in past storms leaves free, or its tail.
        seed, iterations, n_scenarios, cost_limit_kind, cost_limit_level, env: as for the equity planner.

    Raises:
        ValueError: no price, and an environment that was not made by its id or whose episodes draw their own limits; a
            price for the CVaR without a threshold, or a threshold for anything else.
    """

    name = "priced-planner"

    def __init__(
        self,
        city: City,
        *,
        price: float | None = None,
        threshold_h: float | None = None,
        margin: float = 0.02,
        env: Any = None,
        **kwargs: Any,
    ) -> None:
        if price is not None and not 0 <= price <= 1e6:
            raise ValueError(f"price must be from 0 to 1,000,000 h per h; got {price!r}")
        super().__init__(city, margin=margin, env=env, **kwargs)
        self._check_threshold(price, threshold_h)
        self.price, self.threshold_h = 0.0, 0.0
        if price is not None:
            self.price, self.threshold_h = float(price), float(threshold_h or 0.0)
        elif self.measure.is_mean:
            self.price = self._found(env, kwargs)
        else:
            self.price, self.threshold_h = self._found_tail(env, kwargs)

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> PricedPlanner:
        """Bind to the city of `env`, to its predictive quantiles, and to its past."""
        return cls(city_of(env), env=env, **kwargs)

    def plan(self, part: Part, n_rows: int) -> Ints:
        """Search on the mean forecasts, hours of gap over scenarios at the price."""
        if self.measure.is_mean:
            return self.priced(part, n_rows).order
        front = self.front(part, n_rows)
        choice = front.best(self.measure, (1.0 - self.margin) * part.limit_h, TailPrice(self.price, self.threshold_h))
        return np.asarray(front.order[choice, np.arange(choice.size)])

    def priced(self, part: Part, n_rows: int) -> OrderPlan:
        """The plans of R of the observation's `n_rows` episodes, with the gaps that they expect."""
        return plan_priced(
            part.problem,
            self.sampler.prior(part, n_rows),
            self.price,
            start=part.start(self._first_order),
            first_iterations=self.iterations,
            seed=self.seed,
        )

    def front(self, part: Part, n_rows: int) -> Front:
        """Orders for R of the observation's `n_rows` episodes, of which a price on the tail chooses."""
        return search_front(
            part.problem,
            self.sampler.prior(part, n_rows),
            (1.0 - self.margin) * part.limit_h,
            self.measure,
            start=part.start(self._first_order),
            first_iterations=self.iterations,
            seed=self.seed,
        )

    def _check_threshold(self, price: float | None, threshold_h: float | None) -> None:
        wanted = price is not None and self.measure.kind == "cvar"
        if wanted != (threshold_h is not None):
            rule = "is given with a threshold_h" if wanted else "is all that a threshold_h is for"
            raise ValueError(f"a price on the CVaR {rule}; got price {price!r}, threshold_h {threshold_h!r}")
        if threshold_h is not None and not 0 <= threshold_h < np.inf:
            raise ValueError(f"threshold_h must be at least 0 h and finite; got {threshold_h!r}")

    def _past(self, env: Any) -> tuple[dict[str, Any], float, list[Any]]:
        """Arguments of past storms, the gap to aim at, and what else decides a price."""
        if env is None:
            raise ValueError("without an environment there are no past storms; give the price")
        announced = announced_of(env)[0]
        if announced.cost_limit_range_h is not None:
            raise ValueError(
                f"one price fits one limit, and episodes here draw theirs from {announced.cost_limit_range_h} h; give "
                "cost_limit one number, or take equity-planner"
            )
        aim = (1.0 - self.margin) * announced.cost_limit_h
        past = past_arguments(restoration_envs(env)[0])
        told = [ENV_ID, past, self.city.fingerprint(), N_STORMS, self.iterations, self.sampler.n_scenarios, self.seed]
        return past, aim, told

    def _found(self, env: Any, settings: dict[str, Any]) -> float:
        """The price at which past storms keep the environment's limit, less the margin."""
        past, aim, told = self._past(env)
        return kept_price(lambda price: expected_gap_at(past, price, settings), aim, told, first=FIRST)

    def _found_tail(self, env: Any, settings: dict[str, Any]) -> TailPrice:
        """The same for a limit on the tail."""
        past, aim, told = self._past(env)
        measure, own = self.measure, {name: value for name, value in settings.items() if name in OF_SEARCH}

        def make() -> dict[str, Floats]:
            return {"tail": np.array(find_tail_price(past_front(past, measure, self.margin, own), measure, aim))}

        key = key_of_past("tail price 1", measure.kind, measure.level, aim, *told)
        return TailPrice(*recall_arrays(Costly("tail-price", key, ("tail",), make, _check_tail))["tail"].tolist())


def _check_tail(stored: Mapping[str, NDArray[Any]]) -> None:
    """Raise `ValueError` for what `find_tail_price` cannot have found."""
    check_numbers(stored, {"tail": (2,)})
    price, threshold_h = stored["tail"].tolist()
    if not (0 <= price <= MOST_PRICE and threshold_h >= 0):
        raise ValueError(f"tail must be a price up to {MOST_PRICE:g} and a threshold from 0 h; got {stored['tail']}")


def expected_gap_at(env_kwargs: dict[str, Any], price: float, settings: dict[str, Any]) -> float:
    """Mean gap (h) that plans at a price expect in past storms."""
    env, seeds = past_episodes(ENV_ID, env_kwargs, N_STORMS)
    try:
        policy = PricedPlanner(city_of(env), price=price, env=env, **settings)
        observation, _ = env.reset(seed=seeds)
        of_parts = parts(observation, policy.city, np.arange(N_STORMS))
        gaps = [policy.priced(part, N_STORMS).gap_h for part in of_parts]
        return float(np.concatenate(gaps).mean())
    finally:
        env.close()


def past_front(env_kwargs: dict[str, Any], measure: RiskMeasure, margin: float, settings: dict[str, Any]) -> Front:
    """Orders of past storms, of which a price on the tail chooses.

    Args:
        env_kwargs: arguments of past storms.
        measure: what the limit bounds.
        margin: share of the limit that is left free.
        settings: of the planner's search (`OF_SEARCH`).
    """
    env, seeds = past_episodes(ENV_ID, env_kwargs, N_STORMS)
    try:
        told: dict[str, Any] = {"cost_limit_kind": measure.kind, "cost_limit_level": measure.level}
        # not used: all orders are kept
        given: dict[str, Any] = {"price": 0.0, "threshold_h": 0.0 if measure.kind == "cvar" else None}
        policy = PricedPlanner(city_of(env), env=env, margin=margin, **told, **given, **settings)
        observation, _ = env.reset(seed=seeds)
        (part,) = parts(observation, policy.city, np.arange(N_STORMS))  # at their beginning all regions are open
        return policy.front(part, N_STORMS)
    finally:
        env.close()
