"""The core of Restoration-v0: arguments, spaces, the draw of episodes, rewards, infos and facts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints, Observation, read_only
from stormgym.envs.cities.forecasts import check_predictor
from stormgym.envs.cities.limits import CostLimit, EpisodeLimits, fixed_limits
from stormgym.envs.cities.noise import ForecastNoise, forecast_noise
from stormgym.envs.cities.tables import SHOCKS, SPLITS, city_tables
from stormgym.envs.core import (
    Core,
    Groups,
    Payment,
    Step,
    Timing,
    check_choice,
    check_render_mode,
    in_environment,
    whole_choices,
)
from stormgym.envs.data import City, resolve_city
from stormgym.envs.restoration.jobs import Jobs
from stormgym.envs.restoration.knowledge import RestorationAnnounced, RestorationTruth
from stormgym.envs.restoration.layout import COLUMN, observation_space
from stormgym.envs.restoration.metrics import restoration_metrics
from stormgym.envs.restoration.process import RestorationProcess
from stormgym.envs.risk_measure import RiskMeasure

RENDER_MODES = ("ansi", "rgb_array")

MOST_TRAVEL_KM = 1e30
"""No road is longer, and distances are numbers of 32 bits."""


class ResetOptions(NamedTuple):
    """What `reset(options=...)` fixes; None is drawn."""

    cost_limit_h: Floats | None  # [B] limits
    jobs: Jobs | None  # of one episode


def _number(name: str, value: Any) -> None:
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}")


class RestorationCore(Core):
    """B episodes of Restoration-v0; arguments as on `RestorationEnv`."""

    process: RestorationProcess
    settles_when_truncated = True
    """The regions that are left are restored nearest-first inside the last step."""

    def __init__(
        self,
        batch: int,
        *,
        city: str | os.PathLike[str] | City = "default",
        predictor: str = "ecqr",
        confidence_level: float = 0.9,
        cost_limit: CostLimit = None,
        cost_limit_kind: str = "mean",
        cost_limit_level: float | None = None,
        reward: Timing = "dense",
        cost: Timing = "dense",
        shock: str = "none",
        shock_log_sd: float = 0.35,
        max_travel_km: float | None = None,
        income_effect: float = 1.0,
        split: str = "all",
        on_invalid: str = "waste",
        render_mode: str | None = None,
    ) -> None:
        self._payment = Payment(batch, reward, cost)
        check_choice("shock", shock, SHOCKS)
        check_choice("split", split, SPLITS)
        check_choice("on_invalid", on_invalid, ("waste", "raise"))
        check_render_mode(render_mode, RENDER_MODES)
        for name, value in {
            "confidence_level": confidence_level,
            "shock_log_sd": shock_log_sd,
            "max_travel_km": max_travel_km,
            "income_effect": income_effect,
        }.items():
            if value is not None or name != "max_travel_km":
                _number(name, value)
        check_predictor(predictor, confidence_level)
        if max_travel_km is not None and not max_travel_km > 0:
            raise ValueError(f"max_travel_km must be above 0 road km or None (no rule); got {max_travel_km!r}")
        if max_travel_km is not None and MOST_TRAVEL_KM < max_travel_km < math.inf:
            raise ValueError(
                f"max_travel_km must be at most {MOST_TRAVEL_KM:g} road km, or None; got {max_travel_km!r}"
            )
        if not 0 <= shock_log_sd <= 2:
            raise ValueError(f"shock_log_sd must be in [0, 2]; got {shock_log_sd!r}")
        self.city = resolve_city(city, income_effect=income_effect)
        self.instance_name = self.city.name
        self.limits = EpisodeLimits(batch, cost_limit, self.city.cost_limit_h)
        self.cost_limit = self.limits.middle_h
        self.cost_limit_range = self.limits.range_h
        self.risk_measure = RiskMeasure.of(cost_limit_kind, cost_limit_level)
        self.tables = city_tables(self.city, predictor, float(confidence_level), split)
        self.process = RestorationProcess(self.tables, batch, cost_limit_h=self.cost_limit, max_travel_km=max_travel_km)
        self.batch = batch
        self.n_regions = self.city.n_regions
        self.raise_on_invalid = on_invalid == "raise"
        self.shock, self.shock_log_sd = shock, shock_log_sd
        self.groups = Groups(self.city.group, self.city.group_names)
        self.observation_space: spaces.Dict = observation_space(self.n_regions, self.city.n_groups)
        self.action_space: spaces.Discrete = spaces.Discrete(self.n_regions)

    @cached_property
    def return_unit(self) -> float:
        """Mean repair hours times N / 20 (h)."""
        return float(self.city.log.repair_h.mean()) * self.city.n_regions / 20.0

    def times_h(self, rows: Any = slice(None)) -> Floats:
        """Hours from the storm's end to each region's restoration, `[len(rows), N]`, in episodes that have ended."""
        return np.array(self.process.outage_h[rows], dtype=np.float64)

    @cached_property
    def _noise(self) -> ForecastNoise:
        return forecast_noise(self.tables)

    @property
    def announced(self) -> RestorationAnnounced:
        """What any planner may know now."""
        quantile_h = self.quantile_h()
        return RestorationAnnounced(
            city=self.city,
            shock=self.shock,
            shock_log_sd=self.shock_log_sd,
            max_travel_km=self.process.max_travel_km,
            cost_limit_h=self.limits.middle_h,
            cost_limit_range_h=self.limits.range_h,
            risk_measure=self.risk_measure,
            noise=self._noise,
            point_h=read_only(self.process.regions[:, COLUMN["point_h"]]),
            quantile_levels=read_only(self.tables.quantile_levels),
            quantile_h=None if quantile_h is None else read_only(quantile_h),
        )

    @property
    def truth(self) -> RestorationTruth:
        """The true durations."""
        return RestorationTruth(read_only(self.process.duration_h))

    def quantile_h(self) -> Floats | None:
        """Predictive quantiles of the running episodes' repair hours, `[B, N, Q]`; None for given jobs without them."""
        process = self.process
        return process.fixed_quantile_h if process.row is None else self.tables.quantile_h[process.row]

    def parse_options(self, options: Mapping[str, Any]) -> ResetOptions:
        """`cost_limit`, a number of hours or B of them, and `jobs`, arrays of one episode (see `Jobs.from_arrays`)."""
        limit, jobs = options.get("cost_limit"), options.get("jobs")
        return ResetOptions(
            None if limit is None else fixed_limits(limit, self.batch),
            None if jobs is None else Jobs.from_arrays(self.n_regions, jobs),
        )

    def reset(
        self, rngs: list[np.random.Generator], rows: Ints | None = None, options: ResetOptions | None = None
    ) -> None:
        """Draw new episodes for `rows` (all when None), one generator a row.

        Limits and jobs that the options fix are drawn all the same, so that they change no later episode.
        """
        limit_h: float | Floats = self.limits.draw(rngs, rows)
        jobs = Jobs.draw(self.tables, rngs, self.shock, self.shock_log_sd)
        if options is not None:
            if options.cost_limit_h is not None:
                limit_h = options.cost_limit_h if rows is None else options.cost_limit_h[rows]
            jobs = jobs if options.jobs is None else options.jobs
        self.process.reset(jobs, rows, limit_h)
        self._payment.begin(rows)

    def side_generators(self, rngs: list[np.random.Generator], rows: Ints | None = None) -> list[np.random.Generator]:
        """Those of the limits, where each episode draws its own."""
        return self.limits.generators(rngs, rows)

    def step(self, actions: Ints, live: Bools | None = None) -> Step:
        """Advance all episodes; rows that are not `live` may choose what is masked also under `on_invalid="raise"`."""
        if self.raise_on_invalid:
            self._check_masks(actions, live)
        return self._payment.pay(self.process.step(actions), self.process.gap_h)

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Ints:
        """Actions `[B]` as integers in 0..N-1; `waiting` rows get 0.

        Raises:
            TypeError: not B integers.
            ValueError: one is out of range.
        """
        return whole_choices(actions, self.batch, self.n_regions, waiting, self.rule_of_actions)

    def observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see, with a leading axis B, or of one row without it."""
        return self.process.observe(row)

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost: limits `[B]` and masks `[B, N]`."""
        return {"cost_limit": self.process.cost_limit_h.copy(), "action_mask": self.process.action_mask.copy()}

    def action_masks(self) -> Bools:
        """Which regions may be chosen now, `[B, N]` bool."""
        return self.process.action_mask.astype(bool)

    def render_row(self, row: int, mode: str) -> Any:
        """Text or picture of one row."""
        from stormgym.envs.restoration.render import render

        return render(self.process, row, mode)

    @property
    def rule_of_actions(self) -> str:
        """What an action must be, for errors."""
        return f"action must be a region 0..{self.n_regions - 1}"

    def _check_masks(self, actions: Ints, live: Bools | None) -> None:
        """Raise `ValueError` for a masked action."""
        masked = self.process.action_mask[np.arange(self.batch), actions] == 0
        if live is not None:
            masked &= live
        if masked.any():
            row = int(masked.argmax())
            raise ValueError(
                f"action {int(actions[row])} is masked (restored, or too far while a nearer region is open)"
                f"{in_environment(row, self.batch)}; choose where action_mask is 1, "
                'or make the environment with on_invalid="waste"'
            )

    def metrics(self, rows: Ints | slice) -> dict[str, Floats]:
        """Figures of finished episodes, name to `[len(rows)]`."""
        p = self.process
        result = restoration_metrics(self.city, p.outage_h[rows], p.cost_limit_h[rows], p.gap_h[rows])
        result["completed"] = (p.steps[rows] - p.wasted[rows] >= self.n_regions).astype(np.float64)
        result["wasted_trips"] = p.wasted[rows].astype(np.float64)
        result["travel_h"] = p.travel_total_h[rows]
        return result
