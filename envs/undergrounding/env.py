"""Undergrounding-v0: the single environment."""

from __future__ import annotations

from stormgym.envs.doors import CoreFacts, SingleEnv
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.regions import UndergroundingProfile


class HasProfile(CoreFacts):
    """What the single and the vector environment both show beside the facts of every environment."""

    core: UndergroundingCore

    @property
    def profile(self) -> UndergroundingProfile:
        """Regions, storms and costs of the seasons."""
        return self.core.profile


class UndergroundingEnv(HasProfile, SingleEnv):
    """Which regions' lines to bury before a storm, under a budget (tri-level planning; GDF eq. 15-16).

    ## Description
    K regions expect a storm. The agent sees a forecast for each, with a conformal set of the storms to reckon with, and
    buries lines region by region while money lasts. Then the storm comes: the season's own, or the worst that the set
    allows for this very plan. Crews answer it at their best: each restores at once the region that loses most. What a
    mean customer then goes without power is the loss. The storm is drawn at `reset`, so every policy meets the same.

    ## Action space
    `Discrete(K + 1)`: a region to bury, or K to stop. Closed are buried regions and those that cost more than is left;
    the stop is always open. A closed choice wastes a turn (`on_invalid="raise"`: a `ValueError`).

    ## Observation space
    A `Dict` of K regions.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `protected` | `[K]` float32 | | 1 = lines are buried |
    | `protect_cost` | `[K]` float32 | money | of burying them |
    | `population` | `[K]` float32 | customers | |
    | `group` | `[K]` float32 | | income tercile, 0 = low |
    | `mean`, `lower`, `upper` | `[K]` float32 | h | forecast hours without power of a customer, and bounds L, T |
    | `temperature_c`, `wind_ms`, `humidity`, `onset` | `[K]` float32 | | what is known of the storm |
    | `state` | `[8]` float32 | | `stormgym.envs.undergrounding.core.STATE`: turns, money, crews, L_0, T_0, limit |
    | `action_mask` | `[K + 1]` int8 | | 1 = open |

    ## Rewards
    The sum is minus the hours without power of a mean customer of all regions, sum N_i u_i (1 - x_i)(1 - y_i) / sum N_i
    (tri-level eq. 1 with customers as weights). `reward="dense"` pays what a choice changes, the first choice all that
    is lost then, reckoned with the storm that will come; `reward="terminal"` pays all at the end.

    ## Costs
    `info["cost"]`; its sum is the largest Wasserstein-1 distance between income groups of their regions' hours. The
    limit of a profile is three fifths of the mean gap of burying nothing.

    ## Episode end
    Terminated when the agent stops, nothing more can be paid, or after K choices; never truncated. The last `info`
    holds `metrics`: `saidi_h` is the loss, `worst_saidi_h` that in the worst storm of the set, whichever storm came.

    ## Arguments
    Args:
        profile: regions, storms and costs: `"ten"`, `"appendix-g"`, `"synthetic:K:SEED"`, or the path of a folder of
            recorded storms (`stormgym.envs.undergrounding.folder`).
        storm: `"simulated"`, the season's own, or `"adversarial"`, the worst of its set for the plan.
        budget, n_crews, noise, cost_limit: in place of the profile's own.
        forecast: how the set is made: `"ncp"`, `"cp"` or `"empirical"` (`stormgym.predictors.ConformalPolytope`).
        calibration: `"marginal"`, each region's level by itself, or `"joint"`, of the whole set.
        confidence_level: of a region's bounds, or of the whole set.
        total_confidence_level: of the sum's bounds.
        reward, cost: `"dense"` or `"terminal"`; same totals.
        on_invalid: `"waste"` or `"raise"`.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = UndergroundingCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012 - as Gymnasium declares it
