"""Look-ahead: a trained actor samples whole orders in a simulation of the forecast storm; the best one is followed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np

from stormgym.agents.attention.networks import EpisodeNet, PaperNet
from stormgym.agents.binding import announced_of
from stormgym.agents.past_price import MOST_PRICE, N_EPISODES, PAST, kept_price, mean_cost, past_arguments
from stormgym.agents.policy import BasePolicy
from stormgym.agents.restoration.network.simulation import FORECASTS, Simulator
from stormgym.agents.restoration.planners import next_regions, orders_of_state
from stormgym.agents.restoration.scenario_sampler import ScenarioSampler
from stormgym.agents.restoration.search.expected_gap import NEXT_PRICE, NEXT_TEMPERATURE, expected_gap
from stormgym.agents.restoration.search.local_search import search_orders
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.agents.restoration.situation import ENV_ID, Part, city_of, parts, restoration_envs, risk_measure_of
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.tables import city_map
from stormgym.envs.restoration.knowledge import RestorationAnnounced
from stormgym.predictors.threads import one_thread

ORDERS_AT_ONCE = 512
"""Orders that are drawn in one call: few enough for the cache."""
MOST_ORDERS = 4_096
"""More orders than this are refused: one look would take seconds and gigabytes."""
MOST_MOVES = 100_000
"""More moves of a local search are refused: one look would take minutes."""
MARGIN = 0.02
"""Share of the limit that is left free."""
SEARCHES = 2
"""Local searches of a look: the second corrects what the first one's own limit missed."""
AROUND = (0.7, 1.0)
"""Shares of a price at which they search in its place, as `search.priced` does around its own."""
FIRST_PRICE = 0.07
"""The one that is tried first there: hours of mean outage for an hour of gap."""


def look_ahead(policy: Any, env: Any, *, price: float | str | None = None, **kwargs: Any) -> LookaheadPolicy:
    """Make a trained agent look ahead in `env`; further arguments as on `LookaheadPolicy`.

    Args:
        policy: a trained STA-SAC or attention-pg: pretrained (`load_pretrained`) or of a run (`load_policy`).
        env: the environment that it will play.
        price: as on `LookaheadPolicy`; `"past"` takes the price at which the agent, looking ahead, keeps the limit on
            average in past storms (of the records that training draws), which it plays up to eight times. Kept in the
            cache.

    Raises:
        ValueError: another policy, which has no network that scores regions; or `"past"` where there is no past
            (`past_arguments`) or no one limit on the mean.
    """
    network = getattr(policy, "acting_network", None)
    if network is None:
        able = "only STA-SAC and attention-pg do, whose networks score the regions of any storm"
        cure = "take sta-sac:default@32, or a run folder of these agents"
        raise ValueError(f"{getattr(policy, 'name', policy)} cannot look ahead: {able}; {cure}")
    actor, n_groups = network
    named = {"name": f"{policy.name}, looking ahead", **kwargs}
    if price == PAST:
        price = _past_price(actor, env, n_groups, kwargs)
    elif isinstance(price, str):
        raise ValueError(f"price must be a number of hours, {PAST!r} or None; got {price!r}")
    return LookaheadPolicy(actor, env, n_groups, price=price, **named)


def _past_price(actor: EpisodeNet | PaperNet, env: Any, n_groups: int, settings: dict[str, Any]) -> float:
    """The price at which past storms, played looking ahead, keep the environment's limit on average."""
    announced = announced_of(env)[0]
    cure = "look ahead without a price (AGENT@K:MOVES)"
    if announced.cost_limit_range_h is not None:
        raise ValueError(
            f"a price found on past storms fits one limit, and here storms have limits of their own, from "
            f"{announced.cost_limit_range_h[0]:g} to {announced.cost_limit_range_h[1]:g} h; {cure}, or give one limit"
        )
    if not announced.risk_measure.is_mean:
        raise ValueError(
            f"a price found on past storms fits a limit on the mean gap, and this one is on the "
            f"{announced.risk_measure.name}; {cure}, or limit the mean"
        )
    past = past_arguments(restoration_envs(env)[0])
    aim = (1.0 - settings.get("margin", MARGIN)) * announced.cost_limit_h

    def make(of_past: Any, price: float) -> LookaheadPolicy:
        return LookaheadPolicy(actor, of_past, n_groups, price=price, **settings)

    digest = sha256()
    for name, values in sorted(actor.state_dict().items()):
        digest.update(name.encode() + values.detach().cpu().contiguous().numpy().tobytes())
    told = [ENV_ID, past, city_of(env).fingerprint(), N_EPISODES, digest.hexdigest(), sorted(settings.items())]
    return kept_price(lambda price: mean_cost(ENV_ID, past, make, price), aim, ["looking ahead", *told], FIRST_PRICE)


def _check_alike(announced: list[RestorationAnnounced]) -> None:
    """Raise `ValueError` unless all environments behind one vector have the same city, shock, travel rule and kind of
    limit."""
    kinds: dict[str, list[Any]] = {
        "city": [record.city.fingerprint() for record in announced],
        "shock": [(record.shock, record.shock_log_sd) for record in announced],
        "max_travel_km": [record.max_travel_km for record in announced],
        "what the limit bounds": [record.risk_measure.name for record in announced],
    }
    for what, values in kinds.items():
        others = [value for value in values if value != values[0]]
        if others:
            raise ValueError(
                f"looking ahead takes environments that are alike; these differ in {what}: {values[0]} and "
                f"{others[0]}. Bind one policy to each kind"
            )


class LookaheadPolicy(BasePolicy):
    """Follows the best of K orders that a trained actor samples in a simulation in which repairs take their forecast.

    Idea: simulate the rest of the storm K times with the actor's policy. Of the K orders (the first takes the most
    probable region at every step, the others are samples) the one of least expected mean outage is followed among those
    whose expected gap (or its tail, where the limit is on that) keeps the limit. It looks ahead again every few
    regions: the rest of the order that it follows is then one of the candidates, and under a shock the forecasts are
    first updated by the repairs observed. With `search_iterations` the best order is where a local search begins, the
    equity planner's, at its last temperatures: the actor says where to look, the search looks. With a `price` the
    limit is on the mean gap of storms and not on each (`stormgym.agents.past_price`): the best order has the least mean
    outage + price * expected gap. Like a planner's it knows nothing of `max_travel_km`: where that forbids the next
    region, the first allowed one of the order comes.
    Cost: at 55 regions some 4 ms a decision in the mean (most are free, a look takes 15 to 90 ms), 1.8 ms in a batch;
    on the CPU, whatever device the actor is on. Source: sampling decoders of neural routing (Kool et al. 2019), in
    receding horizon.

    The state is the order `[B, N]`. Equal observations give equal plans whatever else is in the batch, up to rounding.

    Args:
        actor: a network with one output a region.
        env: the environment that it plays: its city, predictive quantiles and shock.
        n_groups: G of the actor's training.
        n_orders: K.
        every: regions between looks.
        search_iterations: moves of each of the local searches of a look; 0 for none.
        price: hours of mean outage that an hour of expected gap costs, the same in every storm, in place of the limit;
            None keeps the limit in every storm.
        margin: share of the limit that the expected gap leaves free.
        cost_limit_kind, cost_limit_level: what of the gap is limited, as of `RestorationEnv`; None takes the
            environment's.
        n_scenarios: scenarios of repair hours over which the gap is expected.
        seed: of draws and scenarios.
        name: as tables show it.
    """

    def __init__(
        self,
        actor: EpisodeNet | PaperNet,
        env: Any,
        n_groups: int,
        *,
        n_orders: int = 32,
        every: int = 9,
        search_iterations: int = 0,
        price: float | None = None,
        margin: float = MARGIN,
        cost_limit_kind: str | None = None,
        cost_limit_level: float | None = None,
        n_scenarios: int = 128,
        seed: int = 0,
        name: str = "looking ahead",
    ) -> None:
        for what, value, most in (("n_orders", n_orders, MOST_ORDERS), ("every", every, None)):
            if not isinstance(value, (int, np.integer)) or value < 1 or (most is not None and value > most):
                allowed = "at least 1" if most is None else f"from 1 to {most:,}"
                raise ValueError(f"{what} must be a whole number, {allowed}; got {value!r}")
        if not isinstance(search_iterations, (int, np.integer)) or not 0 <= search_iterations <= MOST_MOVES:
            raise ValueError(
                f"search_iterations must be a whole number, from 0 to {MOST_MOVES:,}; got {search_iterations!r}"
            )
        if price is not None and not 0 <= price <= MOST_PRICE:
            raise ValueError(
                f"price must be from 0 to {MOST_PRICE:g} h of mean outage for an hour of gap; got {price!r}"
            )
        if not 0 <= margin < 1:
            raise ValueError(f"margin must be in [0, 1); got {margin!r}")
        self.name = name
        self.actor = deepcopy(actor).cpu()
        self.n_groups = n_groups
        self.n_orders = n_orders
        self.every = every
        self.search_iterations = search_iterations
        self.seed = seed
        self.price = price
        self.margin = margin
        self.measure = risk_measure_of(env, cost_limit_kind, cost_limit_level)
        if price is not None and not self.measure.is_mean:
            raise ValueError(f"a price is for a limit on the mean gap; this one is on the {self.measure.name}")
        self.city = city_of(env)
        announced = announced_of(env)
        _check_alike(announced)
        if self.city.n_groups != n_groups:
            raise ValueError(
                f"{name}: the actor was trained on cities with {n_groups} groups; this one has {self.city.n_groups}. "
                f"Take a city with {n_groups} groups, or train on your own: python train.py --city CITY"
            )
        self.simulator = Simulator(city_map(self.city), n_groups, announced[0].max_travel_km)
        self.sampler = ScenarioSampler(self.city, env, seed=seed, n_scenarios=n_scenarios)
        n = self.city.n_regions
        race = np.random.default_rng([seed, 3]).exponential(size=(n, n_orders, n))  # step, order, region
        self._log_race = np.log(race).astype(np.float32)
        self._reads_updates = isinstance(actor, EpisodeNet) and actor.sees_updates

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Return each row's next region and all orders; `deterministic` changes nothing."""
        mask = np.asarray(observation["action_mask"]) > 0
        n_rows, n = mask.shape
        order = orders_of_state(state, mask)
        restored = n - (np.asarray(observation["open"]) > 0).sum(axis=1)
        begins = episode_start | (restored == 0)  # also where a loop does not say that an episode begins
        rows = np.flatnonzero(begins | ((restored % self.every == 0) & (restored < n - 1)))
        if rows.size:
            order = order.copy()
        at_once = max(ORDERS_AT_ONCE // self.n_orders, 1)
        for i in range(0, rows.size, at_once):
            for part in parts(observation, self.city, rows[i : i + at_once]):
                self._look(observation, part, order, begins[part.rows], n_rows)
        return next_regions(order, mask), order

    def _look(self, observation: Observation, part: Part, order: Ints, begins: Bools, n_rows: int) -> None:
        """Choose the rest of the orders `[B, N]` of a part's episodes again, in place."""
        factor, hours = self.sampler.posterior(observation, part, n_rows)
        rank = np.argsort(order[part.rows], axis=1)
        kept = np.argsort(np.take_along_axis(rank, part.regions, axis=1), axis=1)  # [R, n] rest of the order
        drawn = self._draw({k: np.asarray(v)[part.rows] for k, v in observation.items()}, part, factor)
        kept = np.where(begins[:, None], drawn[:, 0], kept)
        orders = np.concatenate([drawn, kept[:, None]], axis=1)  # [R, K + 1, n]
        problem = replace(part.problem, repair_h=part.local(part.point_h * factor))
        limit_h = (1.0 - self.margin) * part.limit_h
        chosen = self._best(problem, hours, orders, limit_h)
        for i in range(SEARCHES if self.search_iterations and self.price is None else 0):
            chosen = self._searched(problem, hours, chosen, limit_h, self.seed + i)
        if self.search_iterations and self.price is not None:
            chosen = self._searched_at_price(problem, hours, chosen, limit_h, self.price)
        order[part.rows] = part.whole(chosen)

    def _searched(self, problem: OrderProblem, hours: Floats, order: Ints, limit_h: Floats, seed: int) -> Ints:
        """Orders `[R, n]` that a local search finds near these, where they are better.

        The search bounds the gap of the mean hours; its own limit is the true one less what that gap misses here.
        """
        missed = expected_gap(problem, order, hours, self.measure) - problem.gap(order)
        found = search_orders(
            problem,
            gap_limit=np.maximum(limit_h - missed, 0.0),
            start=order,
            iterations=self.search_iterations,
            temperature=NEXT_TEMPERATURE,
            price=NEXT_PRICE,
            seed=seed,
        ).order
        return self._best(problem, hours, np.stack([order, found], axis=1), limit_h)

    def _searched_at_price(
        self, problem: OrderProblem, hours: Floats, order: Ints, limit_h: Floats, price: float
    ) -> Ints:
        """The best of orders `[R, n]` and of those that searches at prices around the own find, one from the other."""
        found = [order]
        for i, share in enumerate(AROUND):
            plan = search_orders(
                problem,
                paid=share * price,
                start=found[-1],
                iterations=self.search_iterations,
                temperature=NEXT_TEMPERATURE,
                seed=self.seed + i,
            )
            found.append(plan.order)
        return self._best(problem, hours, np.stack(found, axis=1), limit_h)

    def _best(self, problem: OrderProblem, hours: Floats, orders: Ints, limit_h: Floats) -> Ints:
        """The best of each row's orders `[R, K, n]`: `[R, n]`."""
        r, k, n = orders.shape
        many = problem.take(np.repeat(np.arange(r), k))
        mean = many.mean_outage(orders.reshape(r * k, n)).reshape(r, k)
        gap = np.stack([expected_gap(problem, orders[:, j], hours, self.measure) for j in range(k)], axis=1)
        if self.price is not None:
            return np.asarray(orders[np.arange(r), (mean + self.price * gap).argmin(axis=1)])
        within = gap <= limit_h[:, None]
        score = np.where(within, mean, np.inf)
        score = np.where(within.any(axis=1, keepdims=True), score, gap)  # none keeps it: the least gap
        return np.asarray(orders[np.arange(r), score.argmin(axis=1)])

    @one_thread()
    def _draw(self, observation: Observation, part: Part, factor: Floats) -> Ints:
        """Orders `[R, K, n]` (numbered as in `part`) that the actor plays where repairs take their forecast."""
        if not self._reads_updates:  # it takes forecasts as they are: so they are corrected for it
            corrected = {key: np.minimum(observation[key] * factor, MAX_HOURS) for key in FORECASTS}
            observation = {**observation, **corrected}
            factor = np.ones_like(factor)

        def log_race(step: int) -> Floats:
            return np.asarray(self._log_race[step][:, part.regions].swapaxes(0, 1))  # [R, K, n]

        hours = observation["point_h"] * factor
        return self.simulator.draw(self.actor, observation, hours, part.regions, self.n_orders, log_race)[0]
