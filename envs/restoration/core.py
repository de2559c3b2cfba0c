"""What both doors of Restoration-v0 share: arguments, spaces, seeding of instances, rewards and infos."""

from __future__ import annotations

import os
from numbers import Real
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.data import City, resolve_city
from stormgym.envs.doors import Step, check_choice
from stormgym.envs.restoration.forecasts import check_predictor
from stormgym.envs.restoration.layout import observation_space
from stormgym.envs.restoration.limits import CostLimit, EpisodeLimits
from stormgym.envs.restoration.metrics import restoration_metrics
from stormgym.envs.restoration.process import RestorationProcess
from stormgym.envs.restoration.tables import SHOCKS, SPLITS, Jobs, city_tables

Timing = Literal["dense", "terminal"]
RENDER_MODES = ("ansi", "rgb_array")


def _number(name: str, value: Any) -> None:
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}")


class RestorationCore:
    """B episodes of Restoration-v0 without Gymnasium's signatures; arguments as on `RestorationEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        city: str | os.PathLike[str] | City = "default",
        predictor: str = "ecqr",
        confidence_level: float = 0.9,
        cost_limit: CostLimit = None,
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
        check_choice("reward", reward, ("dense", "terminal"))
        check_choice("cost", cost, ("dense", "terminal"))
        check_choice("shock", shock, SHOCKS)
        check_choice("split", split, SPLITS)
        check_choice("on_invalid", on_invalid, ("waste", "raise"))
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
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
        if not 0 <= shock_log_sd <= 2:
            raise ValueError(f"shock_log_sd must be in [0, 2]; got {shock_log_sd!r}")
        self.city = resolve_city(city, income_effect=income_effect)
        self.limits = EpisodeLimits(batch, cost_limit, self.city.cost_limit_h)
        self.cost_limit = self.limits.middle_h
        self.cost_limit_range = self.limits.range_h
        self.tables = city_tables(self.city, predictor, float(confidence_level), split)
        self.process = RestorationProcess(self.tables, batch, cost_limit_h=self.cost_limit, max_travel_km=max_travel_km)
        self.batch = batch
        self.n_regions = self.city.n_regions
        self.raise_on_invalid = on_invalid == "raise"
        self.shock, self.shock_log_sd = shock, shock_log_sd
        self.reward_dense, self.cost_dense = reward == "dense", cost == "dense"
        self.reward_so_far = np.zeros(batch)
        self.observation_space: spaces.Dict = observation_space(self.n_regions, self.city.n_groups)
        self.action_space: spaces.Discrete = spaces.Discrete(self.n_regions)

    def reset(
        self,
        rngs: list[np.random.Generator],
        rows: NDArray[np.int64] | None = None,
        cost_limit_h: NDArray[np.float64] | None = None,
    ) -> None:
        """Draw new instances for `rows` (all when None), one generator a row; `cost_limit_h` gives their limits.

        A limit that is given is drawn all the same, so that it changes no later one.
        """
        drawn_h = self.limits.draw(rngs, rows)
        jobs = Jobs.draw(self.tables, rngs, self.shock, self.shock_log_sd)
        self.process.reset(jobs, rows, drawn_h if cost_limit_h is None else cost_limit_h)
        self.reward_so_far[slice(None) if rows is None else rows] = 0.0

    def step(self, actions: NDArray[np.int64], live: NDArray[np.bool_] | None = None) -> Step:
        """Advance all episodes; return reward, cost, terminated, truncated, each `[B]`, and whether any ended.

        The caller has checked 0 <= action < N (see `out_of_range`). `live` marks rows whose action counts for
        `on_invalid="raise"` (those about to be reset do not).
        """
        if self.raise_on_invalid:
            self._check_masks(actions, live)
        step = self.process.step(actions)
        if self.reward_dense and self.cost_dense:
            return step
        ended = step.terminated | step.truncated
        self.reward_so_far += step.reward
        if not self.reward_dense:
            step = step._replace(reward=np.where(ended, self.reward_so_far, 0.0))
        if not self.cost_dense:
            step = step._replace(cost=np.where(ended, self.process.gap_h, 0.0))
        return step

    def checked(self, actions: Any, waiting: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Actions `[B]` as integers in 0..N-1; `waiting` rows get 0.

        Raises:
            TypeError: not B integers.
            ValueError: one is out of range.
        """
        chosen = np.asarray(actions)
        if chosen.shape != (self.batch,) or chosen.dtype.kind not in "iu":
            raise TypeError(
                f"actions must be {self.batch} integers, shape ({self.batch},); "
                f"got shape {chosen.shape}, dtype {chosen.dtype}"
            )
        chosen = chosen.astype(np.int64, copy=False)
        if waiting is not None:
            chosen = np.where(waiting, 0, chosen)
        outside = chosen.view(np.uint64) >= self.n_regions  # as unsigned numbers, negative ones are huge
        if np.count_nonzero(outside):
            raise self.out_of_range(int(chosen[outside.argmax()]))
        return chosen

    def observation(self, row: int | None = None) -> dict[str, NDArray[Any]]:
        """Fresh copies of what the agents see, with a leading axis B, or of one row without it."""
        return self.process.observation(row)

    def shown(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost: limits `[B]` and masks `[B, N]`."""
        return {"cost_limit": self.process.cost_limit_h.copy(), "action_mask": self.process.action_mask.copy()}

    def action_masks(self) -> NDArray[np.bool_]:
        """Which regions may be chosen now, `[B, N]` bool."""
        return self.process.action_mask.astype(bool)

    def picture(self, row: int, mode: str) -> Any:
        """Text or picture of one row."""
        from stormgym.envs.restoration.render import render

        return render(self.process, row, mode)

    def out_of_range(self, action: int) -> ValueError:
        """The error for an action outside 0..N-1."""
        return ValueError(f"action must be a region 0..{self.n_regions - 1}; got {action}")

    def _check_masks(self, actions: NDArray[np.int64], live: NDArray[np.bool_] | None) -> None:
        """Raise `ValueError` for a masked action."""
        masked = self.process.action_mask[np.arange(self.batch), actions] == 0
        if live is not None:
            masked &= live
        if masked.any():
            row = int(masked.argmax())
            raise ValueError(
                f"action {int(actions[row])} is masked (restored, or too far while a nearer region is open)"
                f"{f' in environment {row}' if self.batch > 1 else ''}; choose where action_mask is 1, "
                'or make the environment with on_invalid="waste"'
            )

    def metrics(self, rows: NDArray[np.int64] | slice) -> dict[str, NDArray[np.float64]]:
        """Figures of finished episodes, name to `[len(rows)]`."""
        p = self.process
        result = restoration_metrics(self.city, p.outage_h[rows], p.cost_limit_h[rows], p.gap_h[rows])
        result["completed"] = (p.steps[rows] - p.wasted[rows] >= self.n_regions).astype(np.float64)
        result["wasted_trips"] = p.wasted[rows].astype(np.float64)
        result["travel_h"] = p.travel_total_h[rows]
        return result
