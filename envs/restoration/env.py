"""Restoration-v0: the single-environment door to the restoration process."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.data import City
from stormgym.envs.doors import SingleEnv
from stormgym.envs.restoration.core import RestorationCore, Timing
from stormgym.envs.restoration.limits import CostLimit, given_limits
from stormgym.envs.restoration.process import RestorationProcess
from stormgym.envs.restoration.tables import Jobs


class RestorationEnv(SingleEnv):
    """One crew brings power back to the regions of a city after a storm, quickly and fairly (EPOPR).

    ## Description
    A storm has cut the power of N regions. One crew starts at a depot and visits every region once. Travelling and
    repairing take hours; a region's outage lasts until its repair ends. At `reset` each region draws one record of
    its own repair log, all regions at once, so every policy meets the same storm. The agent sees a calibrated
    prediction interval and the mean forecast of each repair, made by models that never saw the drawn record; it never
    sees the true hours before the repair.

    ## Action space
    `Discrete(N)`: the region to repair next. Open regions are marked in `obs["action_mask"]` (int8),
    `info["action_mask"]` and `action_masks()` (bool). A masked choice is a wasted trip: the travel plus 0.25 h,
    nothing repaired.

    ## Observation space
    A `Dict` of N regions and of the crew.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `x_km`, `y_km` | `[N]` float32 | km | coordinates |
    | `lower_h`, `upper_h` | `[N]` float32 | h | prediction interval of the repair |
    | `point_h` | `[N]` float32 | h | mean forecast of the repair |
    | `distance_km` | `[N]` float32 | km | road distance from the crew |
    | `group` | `[N]` float32 | | sensitive group, 0 = low income |
    | `open` | `[N]` float32 | | 1 while without power |
    | `realised_h` | `[N]` float32 | h | hours that the repair took; 0 while open |
    | `crew` | `[K]` float32 | | the columns below |
    | `action_mask` | `[N]` int8 | | 1 = open to choose; all ones on the terminal observation |

    `crew` has K = 6 + 3 G + P columns for G groups g and P = G (G - 1) / 2 pairs a < b
    (`stormgym.envs.restoration.layout.crew_columns(G)` lists them):

    | column | unit | meaning |
    | --- | --- | --- |
    | `elapsed_h` | h | hours since the start |
    | `x_km`, `y_km` | km | position of the crew |
    | `speed_kmh` | km/h | speed on the road, constant |
    | `cost_limit_h` | h | limit of the expected gap, constant in an episode |
    | `gap_h` | h | running gap: largest W1 between groups accrued so far |
    | `log_ratio_g` | | mean of log(realised / forecast) over the restored regions of group g; 0 before the first |
    | `running_mean_h_g` | h | mean outage of group g so far; an open region counts the elapsed hours |
    | `share_restored_g` | | share of group g restored |
    | `pair_gap_h_a_b` | h | W1 between groups a and b accrued so far |

    ## Rewards
    Hours, and their sum is the negative mean outage over regions (eq. 13). `reward="dense"` pays
    `-delta * (regions still dark) / N` for each step of length delta; `reward="terminal"` pays all at the end.

    ## Costs
    `info["cost"]`, hours; its sum over the episode is the largest Wasserstein-1 distance between the outage
    distributions of two groups (eq. 14). `cost="dense"` gives the change of the running gap (it can be negative);
    `cost="terminal"` gives the total at the last step and 0.0 before. The limit `cost_limit` is on the expected
    total. `info["cost_limit"]` is the limit of the episode.

    ## Episode end
    Terminated when every region is restored. Truncated after 4 N steps; the regions then left are restored
    nearest-first inside the last step's reward and cost, and `metrics["completed"]` is 0.0. The last `info` holds
    `metrics`.

    ## Arguments
    Args:
        city: `"default"` (synthetic, 55 regions), `"synthetic:N:SEED"`, a folder with regions.csv, log.csv and
            city.json, or a `City`.
        predictor: source of the interval: `"ecqr"`, `"cqr"`, `"cp"`; `"point"` (interval shrunk to the mean forecast)
            or `"none"` (the mean of the log everywhere).
        confidence_level: nominal coverage of the interval.
        cost_limit: limit d of the expected gap (h); None takes the city's (8 h by default); a pair (low, high) lets
            each episode draw its own limit uniformly, and changes nothing else of it.
        reward, cost: `"dense"` or `"terminal"`; same totals.
        shock: `"none"`, `"common"` or `"group"`: a lognormal factor of mean one on all durations or on those of a
            group.
        shock_log_sd: log standard deviation of that factor.
        max_travel_km: regions farther than this (road km) are masked while a nearer one is open; None for no rule.
        income_effect: strength of the link from income to repair hours in the generator (1 = calibrated, 0 = none);
            synthetic cities only.
        split: records that are drawn: `"all"`, or one half of each region's, `"train"` or `"test"`, so that an agent
            can be scored on repairs that it never met in training. Forecasts are the same.
        on_invalid: `"waste"` (a wasted trip) or `"raise"` for masked actions.
        render_mode: `"ansi"` or `"rgb_array"`.

    `reset(options={"jobs": {...}})` replaces the drawn records by given jobs: arrays `[N]` `duration_h`, `lower_h`,
    `upper_h`, `point_h` and optionally `quantile_h` `[N, Q]`. `options={"cost_limit": 6.0}` fixes the limit of that
    episode.

    ## Version history
    - v0: first version.
    """

    core: RestorationCore
    options = ("jobs", "cost_limit")
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
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
        core = RestorationCore(
            1,
            city=city,
            predictor=predictor,
            confidence_level=confidence_level,
            cost_limit=cost_limit,
            reward=reward,
            cost=cost,
            shock=shock,
            shock_log_sd=shock_log_sd,
            max_travel_km=max_travel_km,
            income_effect=income_effect,
            split=split,
            on_invalid=on_invalid,
            render_mode=render_mode,
        )
        super().__init__(core, render_mode)

    @property
    def city(self) -> City:
        """The city of this environment."""
        return self.core.city

    @property
    def cost_limit(self) -> float:
        """Limit d of the expected gap (h); the middle of the range where each episode draws its own."""
        return self.core.cost_limit

    @property
    def cost_limit_range(self) -> tuple[float, float] | None:
        """Range (low, high) from which each episode draws its limit (h); None where all have the same."""
        return self.core.cost_limit_range

    @property
    def process(self) -> RestorationProcess:
        """The process behind the door; it holds the true durations, so only privileged policies may look."""
        return self.core.process

    def _draw(self, options: dict[str, Any]) -> None:
        limit_h = given_limits(options["cost_limit"], 1) if "cost_limit" in options else None
        self.core.reset([self.np_random], None, limit_h)
        if "jobs" in options:
            self.process.reset(Jobs.given(self.core.tables, options["jobs"]))

    def _info(self, cost: float) -> dict[str, Any]:
        process = self.process
        return {
            "cost": cost,
            "cost_limit": float(process.cost_limit_h[0]),
            "action_mask": process.action_mask[0].copy(),
        }

    def _as_array(self, action: Any) -> NDArray[np.int64]:
        try:
            index = action.__index__()
        except (AttributeError, TypeError):
            raise TypeError(f"action must be an integer region 0..{self.core.n_regions - 1}; got {action!r}") from None
        if not 0 <= index < self.core.n_regions:
            raise self.core.out_of_range(index)
        return np.array([index], dtype=np.int64)
