"""Restoration-v0: the single environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from stormgym.envs.arrays import Ints
from stormgym.envs.data import City
from stormgym.envs.doors import CoreFacts, SingleEnv
from stormgym.envs.restoration.core import RestorationCore


class HasCity(CoreFacts):
    """What the single and the vector environment both show beside the facts of every environment."""

    core: RestorationCore

    @property
    def city(self) -> City:
        """The city of the episodes."""
        return self.core.city


class RestorationEnv(HasCity, SingleEnv):
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
    distributions of two groups (eq. 14). `cost="dense"` gives the growth of the running gap (never negative);
    `cost="terminal"` gives the total at the last step and 0.0 before. The limit `cost_limit` is on the expected
    total, or on its tail (`cost_limit_kind`). `info["cost_limit"]` is the limit of the episode.

    ## Episode end
    Terminated when every region is restored. Truncated after 4 N steps; the regions then left are restored
    nearest-first inside the last step's reward and cost, and `metrics["completed"]` is 0.0. Nothing is then left to
    come, so such an episode is terminated as well, and no library bootstraps beyond it. The last `info` holds
    `metrics`.

    ## Arguments
    Args:
        city: `"default"` (synthetic, 55 regions), `"synthetic:N:SEED"`, `"varied:N:SEED"`, a folder with regions.csv,
            log.csv and city.json, or a `City`.
        predictor: source of the interval: `"ecqr"`, `"cqr"`, `"cp"`; `"point"` (interval shrunk to the mean forecast)
            or `"none"` (the mean of the log everywhere).
        confidence_level: nominal coverage of the interval.
        cost_limit: limit d of the gap (h); None takes the city's (8 h by default); a pair (low, high) lets
            each episode draw its own limit uniformly, and changes nothing else of it.
        cost_limit_kind: what of the gap over episodes the limit bounds: `"mean"`, `"cvar"` (the mean of the worst
            tenth, at level 0.9) or `"chance"` (nine episodes in ten are within it). The dynamics are the same; agents
            that keep a limit, learners and tables read it.
        cost_limit_level: level of `"cvar"` and `"chance"` in (0, 1); None takes 0.9.
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

    core_class = RestorationCore
    options = ("jobs", "cost_limit")
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium declares it

    def _extra_info(self) -> dict[str, Any]:
        process = self.core.process
        return {"cost_limit": np.float64(process.cost_limit_h[0]), "action_mask": process.action_mask[0].copy()}

    def _validate_action(self, action: Any) -> Ints:
        try:
            index = action.__index__()
        except (AttributeError, TypeError):
            raise TypeError(f"action must be an integer region 0..{self.core.n_regions - 1}; got {action!r}") from None
        if not 0 <= index < self.core.n_regions:
            raise ValueError(f"{self.core.rule_of_actions}; got {index}")
        return np.array([index], dtype=np.int64)
