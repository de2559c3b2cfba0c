"""CrewDispatch-v0: the single environment, and the native vector form."""

from __future__ import annotations

from stormgym.envs.crews.core import CrewCore
from stormgym.envs.data import City
from stormgym.envs.doors import BatchedVectorEnv, CoreFacts, SingleEnv


class HasCity(CoreFacts):
    """What the single and the vector environment both show beside the facts of every environment."""

    core: CrewCore

    @property
    def city(self) -> City:
        """The city of the episodes."""
        return self.core.city


class CrewDispatchEnv(HasCity, SingleEnv):
    """Several crews mend a city while jobs keep arriving: who goes where next, quickly and fairly?

    ## Description
    A storm leaves N jobs, one a region or in slots over regions: some known at hour 0, others reported within a day. K
    crews from D depots have skills and duty hours. Whenever a crew is free, on duty and has a job that it could do, it
    is asked; the dispatcher names its next job or lets it wait until something happens. A crew that is sent finishes.
    Jobs hang on feeders: power is back when a job and all that is above it are mended. A job that has been looked at
    shows the interval and mean of its own forecast, another those of the whole log; assessors only look. With one crew,
    everything known, one skill, no feeder and no rest this is `Restoration-v0`, exactly.

    ## Action space
    `Discrete(N + 1)`: a job for the crew that is asked (`info["asked"]`, `obs["crew_asked"]`), or N to wait. Open
    choices are marked in `obs["action_mask"]` (int8), `info["action_mask"]` and `action_masks()` (bool). A masked
    choice loses the travel, if the job is known, and 0.25 h.

    ## Observation space
    A `Dict`. Slots of jobs that are not known yet are 0 in every column (`group` and `parent` -1).

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `x_km`, `y_km`, `group`, `weight`, `customers` | `[N]` float32 | | of the job's region; its share of the reward |
    | `known`, `open`, `sent` | `[N]` float32 | | reported; to be given out; a crew is sent |
    | `repaired`, `dark` | `[N]` float32 | | mended; without power |
    | `age_h` | `[N]` float32 | h | without power so far |
    | `lower_h`, `upper_h`, `point_h` | `[N]` float32 | h | forecast of the repair |
    | `assessed` | `[N]` float32 | | whether that is the job's own |
    | `realised_h` | `[N]` float32 | h | that the repair took; 0 until it is done |
    | `need`, `parent` | `[N]` float32 | | skill; the slot that it hangs on, -1 for none |
    | `upstream_open` | `[N]` float32 | | jobs above it that are not mended |
    | `below_dark` | `[N]` float32 | | weight that is dark on it and below |
    | `distance_km`, `travel_h` | `[N]` float32 | | from the asked crew |
    | `crew_x_km`, `crew_y_km`, `crew_speed_kmh` | `[K]` float32 | | place, from the moment it is sent |
    | `crew_asked`, `crew_busy`, `crew_waiting`, `crew_assessor` | `[K]` float32 | | |
    | `crew_way_left_h` | `[K]` float32 | h | way left to the job |
    | `crew_on_site_h`, `crew_point_left_h` | `[K]` float32 | h | at work so far; of the forecast left |
    | `crew_duty_left_h`, `crew_rest_left_h` | `[K]` float32 | h | of this window; until the next |
    | `crew_overtime_h` | `[K]` float32 | h | of work that has ended |
    | `crew_job`, `crew_skill_z` | `[K]` float32 | | job in hand, -1 for none; whether it has skill z |
    | `storm` | `[5 + 3 G + P]` float32 | | `stormgym.envs.crews.layout.storm_columns(G)` |
    | `action_mask` | `[N + 1]` int8 | | 1 = open to choose; all ones on the terminal observation |

    ## Rewards
    Hours, and their sum is minus the weighted mean outage of jobs and `overtime_price` times crew-hours of overtime.
    `reward="dense"` pays what has passed with each decision; `reward="terminal"` all at the end.

    ## Costs
    `info["cost"]`, hours; its sum is the largest Wasserstein-1 distance between the outages of two groups.
    `cost="dense"` gives the change of the gap among jobs that have arrived (it can be negative); `cost="terminal"` the
    total at the last step. The limit is the city's over the number of crews that repair.

    ## Episode end
    Terminated when every job has a crew; the clock then runs to the last repair. Truncated after 4 N choices other than
    waits; the nearest rule then serves what is left inside that step, `metrics["completed"]` is 0.0, and nothing is
    left to come (such an episode is terminated as well). The last `info` holds `metrics`.

    ## Arguments
    Args:
        city: as of `Restoration-v0`.
        profile: defaults of the other arguments; what is given wins. `"default"`: those of the signature. `"utility"`:
            fitted to storms of a real utility (`stormgym.envs.crews.profiles`): 200 jobs in drawn regions, a quarter
            known at hour 0, a pulse of others over two days; 12 crews of 3 depots, 40 % by night, half of them able to
            do what needs a repair crew (22 % of jobs, median 2.8 h; the others 0.47 h); nobody has looked, and three
            assessors can. Its hours come from the profile: `predictor`, `split`, `wide` and `arrival_tau_h` are errors.
        n_jobs: N slots in regions drawn with replacement; None: one job a region.
        n_crews, n_depots: crews that repair, and depots: the city's, turned about the mean of the regions.
        crews: a list of records in place of them (`stormgym.envs.crews.roster.FIELDS`; `depot` from 0).
        n_skills, special_share, special_crews: kinds of work, share of jobs that need the second, share of crews that
            have it.
        start_h, on_h, off_h, night_share: duty windows of crews (h), and the share of crews that starts 12 h later.
        known_share, arrival_end_h, arrival_tau_h: share of jobs known at hour 0; the others arrive until
            `arrival_end_h` in a stream that falls with `arrival_tau_h`.
        feeder: `"radial"` (what is upstream must be up) or `"none"`.
        assessed_share, n_assessors, assess_h, wide: share of jobs assessed from the start; crews that only look, and
            hours that it takes; log behind the forecast of others: `"all"`, `"region"` or `"group"`.
        weights: `"regions"` or `"customers"`.
        overtime_price: hours of mean outage a crew-hour of overtime is worth.
        predictor, confidence_level: source and nominal coverage of the intervals, as of `Restoration-v0`.
        cost_limit: limit of the expected gap (h), a pair (low, high), or None: the city's over the crews that repair.
        split: records that are drawn: `"all"`, or one half of each region's, `"train"` or `"test"`.
        reward, cost: `"dense"` or `"terminal"`; same totals.
        shock, shock_log_sd, income_effect, on_invalid, render_mode: as of `Restoration-v0`.

    `reset(options={"jobs": {...}})` replaces the drawn jobs by at most N: arrays `[J]` `duration_h`, `point_h`,
    `lower_h`, `upper_h`, and optionally `region` (index; one job a region where it is left out), `arrival_h`, `need`,
    `parent`, `weight`, `customers`, `assessed`, `quantile_h` `[J, Q]`. `options={"cost_limit": 2.0}` fixes the limit.

    ## Version history
    - v0: first version.
    """

    core_class = CrewCore
    options = ("jobs", "cost_limit")
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium declares it


class CrewDispatchVectorEnv(HasCity, BatchedVectorEnv):
    """B environments of CrewDispatch-v0 in one process; equal, episode by episode, to B single ones.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `CrewDispatchEnv`.
    """

    core_class = CrewCore
    metadata = dict(CrewDispatchEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
    options = ("cost_limit",)
