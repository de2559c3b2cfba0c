"""Planners as policies: they plan when an episode begins, keep the plan in `state`, and follow it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from stormgym.agents.binding import announced_of, truth_of
from stormgym.agents.policy import BasePolicy
from stormgym.agents.restoration.scenario_sampler import ScenarioSampler
from stormgym.agents.restoration.search.expected_gap import FIRST_ITERATIONS, NEXT_ITERATIONS, plan_expected_gap
from stormgym.agents.restoration.search.local_search import plan_orders, search_orders
from stormgym.agents.restoration.search.routing import plan_route
from stormgym.agents.restoration.situation import Part, city_of, parts, risk_measure_of, rows_of_part
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.data import City

LARGE = 200
"""Regions beyond which work is bounded."""
ROWS_AT_ONCE = 256
"""Episodes planned in one call, which bounds memory."""


def mean_repair_h(city: City) -> Floats:
    """Mean repair hours `[N]` of each region in the city's log."""
    count = np.bincount(city.log.region, minlength=city.n_regions)
    total = np.bincount(city.log.region, weights=city.log.repair_h, minlength=city.n_regions)
    return np.asarray(total / count, dtype=np.float64)


@lru_cache(maxsize=32)
def city_order(city: City, gap_limit: float | None, seed: int) -> tuple[int, ...]:
    """A good order `[N]` for an average day (region means as repair hours): the start of every episode's search.

    Searched from eight starts at once, with more iterations than an episode gets; cached per city. Beyond `LARGE`
    regions iterations are fewer as each costs more, so that the search is as long.
    """
    n = city.n_regions
    iterations = 27 * n if n <= LARGE else max(27 * LARGE**2 // n, 1)
    repair = np.tile(mean_repair_h(city), (8, 1))
    rng = np.random.default_rng(seed)
    start = rng.permuted(np.tile(np.arange(n), (8, 1)), axis=1)
    start[0] = plan_orders(city.travel_h, repair[:1], city.group, iterations=0).order[0]
    plan = plan_orders(
        city.travel_h, repair, city.group, gap_limit=gap_limit, start=start, iterations=iterations, seed=seed
    )
    best = np.lexsort((plan.mean_h, plan.status == "over limit"))[0]
    return tuple(int(r) for r in plan.order[best])


def orders_of_state(state: Any, mask: Bools) -> Ints:
    """The orders `[B, N]` that a policy keeps as its state; any order where it has none yet.

    Raises `ValueError` for a state of another batch than that of the mask `[B, N]`.
    """
    order: Ints = np.tile(np.arange(mask.shape[1]), (len(mask), 1)) if state is None else state
    if order.shape != mask.shape:
        raise ValueError(
            f"state holds orders of shape {order.shape} but the observation has {mask.shape}; start with state=None"
        )
    return order


def next_regions(order: Ints, mask: Bools) -> Ints:
    """The first region `[B]` of each order `[B, N]` that the mask `[B, N]` leaves open."""
    first = np.take_along_axis(mask, order, axis=1).argmax(axis=1)
    return np.asarray(order[np.arange(len(order)), first])


class PlanningPolicy(BasePolicy):
    """Follows an order of all regions that is planned when an episode begins; subclasses write `plan`.

    The state is the order `[B, N]`. The next action is the first region of it that the mask leaves open, so
    restored regions are skipped and regions closed for being too far wait. (Plans do not model that
    rule: under a tight `max_travel_km` mean outage and gap are worse than planned.) A policy that begins in
    the middle of an episode plans from there: open regions, the crew's position, and the gap so far.

    Args:
        city: the city that the episodes play in.
        seed: of everything random in planning. Equal observations give equal plans, whatever else is in the
            batch.
    """

    def __init__(self, city: City, *, seed: int = 0) -> None:
        self.city = city
        self.seed = seed

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> PlanningPolicy:
        """Bind to the city of `env`."""
        return cls(city_of(env), **kwargs)

    def plan(self, part: Part, n_rows: int) -> Ints:
        """Return orders `[R, n]` (numbered as in `part`) for R of the observation's `n_rows` episodes."""
        raise NotImplementedError(f"{type(self).__name__} must write plan()")

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Plan for the rows that begin, and return each row's next region and all orders."""
        mask = np.asarray(observation["action_mask"]) > 0
        n_rows = len(mask)
        order = orders_of_state(state, mask)
        begins = np.flatnonzero(episode_start)
        if begins.size:
            order = order.copy()
            for i in range(0, begins.size, ROWS_AT_ONCE):
                for part in parts(observation, self.city, begins[i : i + ROWS_AT_ONCE]):
                    order[part.rows] = part.whole(self.plan(part, n_rows))
        return next_regions(order, mask), order


class TSPPolicy(PlanningPolicy):
    """Shortest open path from the crew's position through all open regions, with service times.

    Idea: drive as little as possible; ignores repair times and groups. Cost: one PyVRP search
    (about half a second at 55 regions) for each set of open regions and crew position, kept; so one for all
    episodes that start at the depot. Source: EPOPR's baseline; PyVRP (Wouda, Lan and Kool 2024).

    Args:
        city: the city.
        seed: of the search.
        iterations: of the search.
    """

    name = "tsp"

    def __init__(self, city: City, *, seed: int = 0, iterations: int = 1500) -> None:
        super().__init__(city, seed=seed)
        self.iterations = iterations
        self._paths: dict[bytes, Ints] = {}
        self._path(city.travel_h)

    def plan(self, part: Part, n_rows: int) -> Ints:
        """One search for each different table of travel times."""
        travel = part.problem.travel_h
        if travel.ndim == 2:
            return np.tile(self._path(travel), (len(part.rows), 1))
        return np.stack([self._path(table) for table in travel])

    def _path(self, travel: Floats) -> Ints:
        key = np.round(travel, 5).tobytes()
        if key not in self._paths:
            if len(self._paths) >= 1024:
                self._paths.clear()
            service = np.full(len(travel) - 1, self.city.log.repair_h.mean())
            route = plan_route(travel, service, iterations=self.iterations, seed=self.seed)
            self._paths[key] = route.order
        return self._paths[key]


class SearchPolicy(PlanningPolicy):
    """A planner by local search (`local_search.plan_orders`) that begins from the city's order of an average day.

    Args:
        city: the city.
        seed: of the search.
        iterations: of the search for each episode.
        gap_limit: limit (h) on the gap of that first order; None for no limit.
    """

    def __init__(self, city: City, *, seed: int = 0, iterations: int = 600, gap_limit: float | None = None) -> None:
        super().__init__(city, seed=seed)
        self.iterations = iterations
        self._first_order = np.array(city_order(city, gap_limit, seed))


class RepairmanPolicy(SearchPolicy):
    """Travelling repairman: least mean outage on the mean forecasts, whatever the gap.

    Idea: with independent durations a fixed order loses nothing against replanning, and the mean forecast
    is all that the mean outage depends on. Cost: some 10 ms an episode in a batch, 0.1 to 0.2 s alone (55
    regions). Source: the minimum latency problem; EPOPR's objective (eq. 13).
    """

    name = "repairman"

    def plan(self, part: Part, n_rows: int) -> Ints:
        """Search on the mean forecasts."""
        start = part.start(self._first_order)
        return search_orders(part.problem, start=start, iterations=self.iterations, seed=self.seed).order


class EquityPlanner(SearchPolicy):
    """Travelling repairman whose expected gap keeps the limit under its own predictive distribution.

    Idea: least mean outage on the mean forecasts, subject to E[gap] <= `cost_limit_h` of the episode, the
    expectation taken over scenarios drawn from the predictive quantiles of the episode's jobs (and the shock that the
    environment announces, without knowing its value). Without an environment the scenarios are lognormals
    (see `ScenarioSampler`). Realised durations are never read. A plan that is chosen by its prediction profits
    from forecast errors (optimiser's curse): on a city of 55 regions gaps expected at 7.88 h came out at 8.00 h;
    hence the margin. Where the limit is on the tail, CVaR or a quantile of the gap over the scenarios stands in the
    place of E[gap]: every storm is held to it. A share of scenarios that are within the limit in every storm is such a
    share of storms; a CVaR within the limit in every storm may be a larger one over storms, which differ.
    Cost: some 25 to 35 ms an episode in a batch, 0.2 to 0.4 s alone (55 regions). Source: EPOPR's problem
    (eq. 13, 14).

    Args:
        city: the city.
        seed: of search and scenarios.
        iterations: of the first search for each episode; those that follow take three tenths of it.
        n_scenarios: S.
        margin: share of the limit that the expected gap leaves free.
        cost_limit_kind, cost_limit_level: what of the gap is limited, as of `RestorationEnv`; None takes the
            environment's.
        env: where predictive quantiles are read; None for lognormals.
    """

    name = "equity-planner"

    def __init__(
        self,
        city: City,
        *,
        seed: int = 0,
        iterations: int = 500,
        n_scenarios: int = 128,
        margin: float = 0.02,
        cost_limit_kind: str | None = None,
        cost_limit_level: float | None = None,
        env: Any = None,
    ) -> None:
        if not 0 <= margin < 1 or n_scenarios < 1:
            raise ValueError(f"need 0 <= margin < 1 and n_scenarios >= 1; got {margin} and {n_scenarios}")
        self.margin = margin
        self.measure = risk_measure_of(env, cost_limit_kind, cost_limit_level)
        self.sampler = ScenarioSampler(city, env, seed=seed, n_scenarios=n_scenarios)
        # where a search begins, no more: each episode's own limit is in its observation
        limit = city.cost_limit_h if env is None else announced_of(env)[0].cost_limit_h
        super().__init__(city, seed=seed, iterations=iterations, gap_limit=limit)

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> EquityPlanner:
        """Bind to the city of `env` and to its predictive quantiles."""
        return cls(city_of(env), env=env, **kwargs)

    def plan(self, part: Part, n_rows: int) -> Ints:
        """Search on the mean forecasts, with the gap over scenarios, in the mean or its tail, within the limit."""
        plan = plan_expected_gap(
            part.problem,
            self.sampler.prior(part, n_rows),
            (1.0 - self.margin) * part.limit_h,
            start=part.start(self._first_order),
            first_iterations=self.iterations,
            next_iterations=round(NEXT_ITERATIONS * self.iterations / FIRST_ITERATIONS),
            measure=self.measure,
            seed=self.seed,
        )
        return plan.order


class ClairvoyantPolicy(SearchPolicy):
    """Reference with perfect information: least mean outage on the true durations, whatever the gap.

    Idea: what perfect forecasts would give; privileged, so no agent to use. By local search, so within some 0.1 h of
    the best at 55 regions. Cost: as `RepairmanPolicy`. Source: EPOPR's objective (eq. 13).

    Args:
        env: the environment that it plays, whose true durations it reads.
        seed: of the search.
        iterations: of the search for each episode.
    """

    name = "clairvoyant"
    privileged = True
    keeps_limit = False

    def __init__(self, env: Any, *, seed: int = 0, iterations: int = 600) -> None:
        city = city_of(env)
        self._env = env
        limit = announced_of(env)[0].cost_limit_h if self.keeps_limit else None
        super().__init__(city, seed=seed, iterations=iterations, gap_limit=limit)

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> ClairvoyantPolicy:
        """Bind to `env` and its true durations."""
        return cls(env, **kwargs)

    def plan(self, part: Part, n_rows: int) -> Ints:
        """Search on the true durations."""
        hours = [truth.duration_h for truth in truth_of(self._env, self)]
        duration = rows_of_part(announced_of(self._env), part, n_rows, hours)
        assert duration is not None, "every environment knows its durations"
        plan = search_orders(
            replace(part.problem, repair_h=part.local(duration)),
            gap_limit=part.limit_h if self.keeps_limit else None,
            start=part.start(self._first_order),
            iterations=self.iterations,
            seed=self.seed,
        )
        return plan.order


class ClairvoyantFairPolicy(ClairvoyantPolicy):
    """Reference with perfect information: least mean outage on the true durations, every gap within the limit.

    Idea: the limit asks for the expected gap only; keeping it in every episode is more than needed. Cost: as
    `EquityPlanner`.
    Source: EPOPR's problem (eq. 13, 14).
    """

    name = "clairvoyant-fair"
    keeps_limit = True
