"""Rollout over greedy rules: try every open region next, complete the order by a rule, keep the best prediction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stormgym.agents.policy import BasePolicy
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.agents.restoration.situation import Part, city_of, parts
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.data import City
from stormgym.envs.restoration.layout import COLUMN, regions_of

BALANCES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Weights of the imbalance between groups in the base rules, one rule each."""

LARGE = 200
"""Regions of a city beyond which not every region is tried at every decision."""

FEWEST_TRIED = 10
"""Regions that are tried at least, in a city of more than `LARGE`."""

NUMBERS_A_DECISION = 500_000
"""Steps of orders times open regions that a decision takes on average, in a city of more than `LARGE`."""

NUMBERS_AT_ONCE = 2_000_000
"""Numbers in the largest array of one simulation, which bounds memory."""


def greedy_orders(problem: OrderProblem, first: Ints, balance: Floats) -> Ints:
    """Orders whose first region is an argument, completed by a greedy rule.

    The rule takes the region with the least

        travel + repair + balance * mean repair * (largest |F_a - F_b| after its repair)

    With `balance` 0 it is `OrderProblem.greedy_order`: the best ratio of what is gained (one region back) to the time
    it takes. The larger `balance`, the more evenly the groups are served.

    Args:
        problem: R episodes with n open regions.
        first: `[R, C]` first region of each order.
        balance: `[H]` weights, one rule each.

    Returns:
        `[R, H, C, n]`.
    """
    r, n = problem.repair_h.shape
    h, c = len(balance), first.shape[1]
    rows = np.arange(r)
    travel = np.ascontiguousarray(np.broadcast_to(problem.travel_h, (r, n + 1, n + 1)))
    steps = np.broadcast_to(problem.steps, (r, *problem.steps.shape[-2:]))  # [R, n, P]
    hours = problem.repair_h.mean(axis=1)  # [R]
    weight = (hours[:, None] * balance)[:, :, None, None]  # [R, H, 1, 1]
    repair = problem.repair_h[:, None, None]  # [R, 1, 1, n]
    left = np.broadcast_to(repair, (r, h, c, n)).copy()  # [R, H, C, n]; inf once visited
    ahead = np.broadcast_to(problem.ahead[:, None, None], (r, h, c, problem.n_pairs)).copy()  # [R, H, C, P]
    order = np.empty((r, h, c, n), dtype=np.int64)
    here = np.broadcast_to(first[:, None], (r, h, c))
    row = np.broadcast_to(rows[:, None, None], (r, h, c))
    for k in range(n):
        if k > 0:
            key = travel[row, here, :n]
            key += left
            if problem.n_pairs:
                # max over pairs in place: an array [R, H, C, n, P] at once would be P times as large
                uneven = np.abs(ahead[..., 0, None] + steps[:, None, None, :, 0])  # [R, H, C, n]
                for p in range(1, problem.n_pairs):
                    np.maximum(uneven, np.abs(ahead[..., p, None] + steps[:, None, None, :, p]), out=uneven)
                uneven *= weight
                key += uneven
            here = key.argmin(axis=-1)
        order[..., k] = here
        np.put_along_axis(left, here[..., None], np.inf, axis=-1)
        ahead += steps[row, here]
    return order


class RolloutPolicy(BasePolicy):
    """Rollout over greedy base rules, within the gap limit, on the mean forecasts.

    Idea: at every decision each open region is tried as the next one, every base rule (`greedy_orders`, one for each
    balance) finishes the order, and the order with the least mean outage + price * (gap over the aim) is taken: one
    step of policy improvement on the best of the rules. The best order so far is kept and followed where nothing
    beats it (the fortified form), so the prediction never gets worse. No training, no search; blind to how uncertain
    forecasts are but for the margin: the gap of mean forecasts understates the mean gap.
    Cost: H n orders of n steps a decision, each step over n regions; 2 to 3 ms a decision at 20 regions in a batch. In
    a city of more than 200 regions work is bounded: only the regions that come first by each rule are tried, ten at
    least, and with many open the best order is followed for some decisions before others are tried (100 at 1,000 open
    regions, 1 at 100).
    Source: Bertsekas, Tsitsiklis and Wu (1997); several rules at once: parallel rollout, Chang, Givan and Chong (2004).

    Args:
        city: the city that the episodes play in.
        balances: `[H]` weights of the groups' balance, one base rule each.
        price: hours of mean outage that one hour of gap over the aim counts as; the aim is (1 - margin) * limit.
        margin: share of the limit that the predicted gap leaves free.
    """

    name = "rollout"

    def __init__(
        self, city: City, *, balances: tuple[float, ...] = BALANCES, price: float = 5.0, margin: float = 0.1
    ) -> None:
        if not balances or min(balances) < 0:
            raise ValueError(f"balances must hold at least one weight, none below 0; got {balances!r}")
        if not price >= 0 or not 0 <= margin < 1:
            raise ValueError(f"need price >= 0 and 0 <= margin < 1; got {price!r} and {margin!r}")
        self.city = city
        self.balances = np.asarray(balances, dtype=np.float64)
        self.price = price
        self.margin = margin

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> RolloutPolicy:
        """Bind to the city of `env`."""
        return cls(city_of(env), **kwargs)

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Return each row's next region, and the best orders so far `[B, N]` as state."""
        mask = np.asarray(observation["action_mask"]) > 0
        n_rows, n = mask.shape
        kept: Ints = np.full((n_rows, n), -1) if state is None else state.copy()
        if kept.shape != mask.shape:
            raise ValueError(
                f"state holds orders of shape {kept.shape} but the observation has {mask.shape}; start with state=None"
            )
        kept[episode_start] = -1
        action = mask.argmax(axis=1)
        rows = np.arange(n_rows)
        if n > LARGE:
            rows = np.flatnonzero((kept[:, 0] < 0) | self._due(observation))
            follow = kept[:, 0] >= 0
            place = np.take_along_axis(mask, np.maximum(kept, 0), axis=1).argmax(axis=1)
            action = np.where(follow, kept[np.arange(n_rows), place], action)
        at_once = 1 if n > LARGE else max(NUMBERS_AT_ONCE // (len(self.balances) * n * n), 1)
        for i in range(0, len(rows), at_once):
            for part in parts(observation, self.city, rows[i : i + at_once]):
                order = self._best(part, part.local(mask[part.rows]), kept[part.rows])
                kept[part.rows] = part.whole(order)
                action[part.rows] = kept[part.rows, 0]
        return action, kept

    def _best(self, part: Part, mask: Bools, kept: Ints) -> Ints:
        """Best orders `[R, n]` (numbered as in `part`) that begin where `mask` `[R, n]` allows."""
        problem = part.problem
        r, n = problem.repair_h.shape
        first = np.broadcast_to(np.arange(n), (r, n))
        if self.city.n_regions > LARGE:
            first = self._likely(problem, mask)
        tried = greedy_orders(problem, first, self.balances).reshape(r, -1, n)  # [R, H n, n]
        # fortified rollout: the kept order is a candidate too, so the predicted value never gets worse
        orders = np.concatenate([tried, self._rest_of(part, kept)[:, None]], axis=1)
        score = self._score(part, orders)
        score[~np.take_along_axis(mask, orders[..., 0], axis=1)] = np.inf
        return orders[np.arange(r), score.argmin(axis=1)]

    def _n_tried(self, n: Ints) -> Ints:
        """Regions that are tried where n are open, in a large city."""
        return np.clip(NUMBERS_A_DECISION // (len(self.balances) * n * n), FEWEST_TRIED, n)

    def _due(self, observation: Observation) -> Bools:
        """Rows `[B]` of a large city in which others than the best order so far are tried now: it depends on the number
        of open regions alone."""
        n = np.maximum((regions_of(observation)[..., COLUMN["open"]] > 0).sum(axis=1), 1)
        due: Bools = n % np.maximum(len(self.balances) * self._n_tried(n) * n * n // NUMBERS_A_DECISION, 1) == 0
        return due

    def _likely(self, problem: OrderProblem, mask: Bools) -> Ints:
        """The regions `[R, C]` that the base rules put first, among those that the mask `[R, n]` allows."""
        r, n = problem.repair_h.shape
        most = -(-int(self._n_tried(np.array(n))) // len(self.balances))
        start = np.broadcast_to(problem.travel_h, (r, n + 1, n + 1))[:, n, :n]
        key = (np.where(mask, start + problem.repair_h, np.inf))[:, None]  # [R, 1, n]
        if problem.n_pairs:
            uneven = np.abs(problem.ahead[:, None] + problem.steps).max(axis=-1)  # [R, n]
            hours = problem.repair_h.mean(axis=1)[:, None, None]
            key = key + hours * self.balances[:, None] * uneven[:, None]  # [R, H, n]
        return np.argsort(key, axis=-1, kind="stable")[..., :most].reshape(r, -1)

    def _rest_of(self, part: Part, kept: Ints) -> Ints:
        """The open regions in the kept orders' sequence, numbered as in `part`; ascending where nothing is kept."""
        place = np.broadcast_to(np.arange(kept.shape[1]), kept.shape)
        rank = np.empty_like(kept)  # the inverse permutation: at which place each region stands
        np.put_along_axis(rank, np.where(kept[:, :1] >= 0, kept, place), place, axis=1)
        return np.argsort(np.take_along_axis(rank, part.regions, axis=1), axis=1)

    def _score(self, part: Part, orders: Ints) -> Floats:
        """Mean outage + price * excess of the gap, `[R, K]`, of orders `[R, K, n]`."""
        r, k, n = orders.shape
        problem = part.problem
        if r == 1 and problem.travel_h.ndim == 3:
            problem = replace(problem, travel_h=problem.travel_h[0])  # one table for all orders
        problem = problem.take(np.repeat(np.arange(r), k))
        flat = orders.reshape(r * k, n)
        # a gap of mean forecasts is at most the mean gap (Jensen), hence the margin
        aim = np.repeat((1.0 - self.margin) * part.limit_h, k)
        excess = np.maximum(problem.gap(flat) - aim, 0.0)
        return (problem.mean_outage(flat) + self.price * excess).reshape(r, k)
