"""The equity planner that plans again on the way, with forecasts corrected by the repairs that were seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.planning.expected_gap import plan_expected_gap
from stormgym.agents.planning.orders import Floats, Ints
from stormgym.agents.planning.policies import ROWS_AT_ONCE, EquityPlanner
from stormgym.agents.planning.situation import city_of, parts
from stormgym.agents.policy import Observation
from stormgym.envs.restoration.layout import crew_columns


def shock_posterior(
    mean_log: Floats, n_seen: Floats, bias: Floats, noise_var: Floats, shock_log_sd: float, common: bool
) -> tuple[Floats, Floats]:
    """Mean and standard deviation `[R, G]` of the log of each group's shock, given the repairs seen.

    The shock of a group is lognormal with mean one; a repair's log(realised / forecast) is its log plus normal noise.

    Args:
        mean_log: `[R, G]` mean of log(realised / forecast) over the repairs seen of each group.
        n_seen: `[R, G]` their number.
        bias: `[G]` mean of log(realised / forecast) without a shock.
        noise_var: `[G]` its variance, above 0.
        shock_log_sd: log standard deviation of the shock.
        common: whether all groups have the same shock.
    """
    weight = n_seen / noise_var
    pull = weight * (mean_log - bias)
    if common:
        weight = np.broadcast_to(weight.sum(axis=1, keepdims=True), weight.shape)
        pull = np.broadcast_to(pull.sum(axis=1, keepdims=True), pull.shape)
    precision = weight + shock_log_sd**-2
    return (pull - 0.5) / precision, precision**-0.5


class EquityReplanner(EquityPlanner):
    """Equity planner that plans again every few regions, for durations that share a shock.

    Idea: with `shock="group"` (or `"common"`) what repairs took tells what the next ones will take. The mean forecast
    of each open region is multiplied by the shock's posterior mean, its scenarios by draws from that posterior, and the
    rest of the order is planned anew from where the crew is and from the gap so far. Without a shock it does as the
    equity planner does: replanning is worth nothing where durations are independent.
    Cost: that of the equity planner, N / `every` times on ever fewer regions. Source: EPOPR's problem (eq. 13, 14) in
    receding horizon.

    Args:
        env: the environment that it plays: its shock, its log and its predictive quantiles.
        every: regions between plans.
        seed, iterations, n_scenarios, margin: as for the equity planner.
    """

    name = "equity-replanner"

    def __init__(
        self,
        env: Any,
        *,
        seed: int = 0,
        iterations: int = 500,
        n_scenarios: int = 128,
        margin: float = 0.02,
        every: int = 6,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1; got {every!r}")
        super().__init__(
            city_of(env), seed=seed, iterations=iterations, n_scenarios=n_scenarios, margin=margin, env=env
        )
        self.every = every
        core = self._bases[0].core
        self._common = core.shock == "common"
        self._log_sd = 0.0 if core.shock == "none" else float(core.shock_log_sd)
        tables = core.tables
        log = np.log(np.maximum(tables.repair_h, 1e-9) / tables.point_h)
        by_region = np.repeat(np.arange(tables.n_regions), tables.count)
        weight = 1.0 / tables.count[by_region]  # every region draws one of its records
        group = tables.group[by_region]
        total = np.bincount(group, weights=weight)
        self._bias = np.bincount(group, weights=weight * log) / total
        spread = np.bincount(group, weights=weight * (log - self._bias[group]) ** 2) / total
        self._noise_var = np.maximum(spread, 1e-6)
        rng = np.random.default_rng([self.seed, 2])
        width = 1 if self._common else self.city.n_groups
        self._score = np.broadcast_to(
            rng.standard_normal((len(self._uniform), width)), (len(self._uniform), self.city.n_groups)
        )

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> EquityReplanner:
        """Bind to `env`."""
        return cls(env, **kwargs)

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Plan for the rows that begin, and again for those that have restored `every` more regions."""
        _, order = super().act(observation, state, episode_start, deterministic)
        mask = np.asarray(observation["action_mask"]) > 0
        n_rows, n = mask.shape
        restored = n - (np.asarray(observation["open"]) > 0).sum(axis=1)
        again = (restored > 0) & (restored < n - 1) & (restored % self.every == 0)
        if self._log_sd > 0 and again.any():
            rows = np.flatnonzero(again)
            order = order.copy()
            for i in range(0, rows.size, ROWS_AT_ONCE):
                self._again(observation, rows[i : i + ROWS_AT_ONCE], order, n_rows)
        first = np.take_along_axis(mask, order, axis=1).argmax(axis=1)
        return order[np.arange(n_rows), first], order

    def _again(self, observation: Observation, rows: Ints, order: Ints, n_rows: int) -> None:
        """Plan the rest of some rows' orders `[B, N]`, in place."""
        columns = {name: i for i, name in enumerate(crew_columns(self.city.n_groups))}
        groups = range(self.city.n_groups)
        crew = np.asarray(observation["crew"], dtype=np.float64)
        mean_log = crew[:, [columns[f"log_ratio_{g}"] for g in groups]]
        shares = crew[:, [columns[f"share_restored_{g}"] for g in groups]]
        n_seen = np.rint(shares * np.bincount(self.city.group, minlength=self.city.n_groups))
        mean, sd = shock_posterior(mean_log, n_seen, self._bias, self._noise_var, self._log_sd, self._common)
        for part in parts(observation, self.city, rows):
            at = part.rows
            factor = np.exp(mean[at, None] + sd[at, None] * self._score)  # [R, S, G]
            expected = np.exp(mean[at] + 0.5 * sd[at] ** 2)  # [R, G]
            factor *= (expected / factor.mean(axis=1))[:, None]
            point = part.point_h * expected[:, self.city.group]
            hours = self._scenarios(part, n_rows, 1.0) * part.local(factor[:, :, self.city.group])
            rank = np.argsort(order[at], axis=1)  # [R, N] place of every region in the plan so far
            plan = plan_expected_gap(
                replace(part.problem, repair_h=part.local(point)),
                hours,
                (1.0 - self.margin) * part.limit_h,
                start=np.argsort(np.take_along_axis(rank, part.regions, axis=1), axis=1),
                first_iterations=self.iterations,
                seed=self.seed,
            )
            order[at] = part.whole(plan.order)
