"""The equity planner in receding horizon: it replans every few regions on forecasts updated by observed repairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stormgym.agents.restoration.planners import ROWS_AT_ONCE, EquityPlanner, next_regions
from stormgym.agents.restoration.search.expected_gap import plan_expected_gap
from stormgym.agents.restoration.situation import city_of, parts
from stormgym.envs.arrays import Bools, Ints, Observation


class EquityReplanner(EquityPlanner):
    """Equity planner that plans again every few regions, for durations that share a shock.

    Idea: with `shock="group"` (or `"common"`) realised repair times are evidence of the next ones. The mean forecast
    of each open region is multiplied by the shock's posterior mean, its scenarios by draws from that posterior, and the
    rest of the order is planned anew from where the crew is and from the gap so far. Without a shock it does as the
    equity planner does: replanning is worth nothing where durations are independent.
    Cost: that of the equity planner, N / `every` times on ever fewer regions. Source: EPOPR's problem (eq. 13, 14) in
    receding horizon.

    Args:
        env: the environment that it plays: its shock, its log and its predictive quantiles.
        every: regions between plans.
        seed, iterations, n_scenarios, margin, cost_limit_kind, cost_limit_level: as for the equity planner.
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
        cost_limit_kind: str | None = None,
        cost_limit_level: float | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1; got {every!r}")
        super().__init__(
            city_of(env),
            seed=seed,
            iterations=iterations,
            n_scenarios=n_scenarios,
            margin=margin,
            cost_limit_kind=cost_limit_kind,
            cost_limit_level=cost_limit_level,
            env=env,
        )
        self.every = every

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> EquityReplanner:
        """Bind to `env`."""
        return cls(env, **kwargs)

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Plan for the rows that begin, and again for those that have restored `every` more regions."""
        _, order = super().act(observation, state, episode_start, deterministic)
        mask = np.asarray(observation["action_mask"]) > 0
        n_rows, n = mask.shape
        restored = n - (np.asarray(observation["open"]) > 0).sum(axis=1)
        again = (restored > 0) & (restored < n - 1) & (restored % self.every == 0)
        if self.sampler.has_shock and again.any():
            rows = np.flatnonzero(again)
            order = order.copy()
            for i in range(0, rows.size, ROWS_AT_ONCE):
                self._again(observation, rows[i : i + ROWS_AT_ONCE], order, n_rows)
        return next_regions(order, mask), order

    def _again(self, observation: Observation, rows: Ints, order: Ints, n_rows: int) -> None:
        """Plan the rest of some rows' orders `[B, N]`, in place."""
        for part in parts(observation, self.city, rows):
            at = part.rows
            factor, hours = self.sampler.posterior(observation, part, n_rows)
            rank = np.argsort(order[at], axis=1)  # [R, N] place of every region in the plan so far
            plan = plan_expected_gap(
                replace(part.problem, repair_h=part.local(part.point_h * factor)),
                hours,
                (1.0 - self.margin) * part.limit_h,
                start=np.argsort(np.take_along_axis(rank, part.regions, axis=1), axis=1),
                first_iterations=self.iterations,
                measure=self.measure,
                seed=self.seed,
            )
            order[at] = part.whole(plan.order)
