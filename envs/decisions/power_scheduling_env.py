"""PowerScheduling-v0: the core, the single environment and the native vector environment."""

from __future__ import annotations

from functools import lru_cache

from stormgym.envs.core import check_choice
from stormgym.envs.decisions.arguments import MOST_DAYS
from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.load_data import LoadDays, read_load, synthetic_load
from stormgym.envs.decisions.power_scheduling import SPLIT_BY, PowerSchedulingProblem, SplitBy
from stormgym.envs.decisions.problem import Split
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


@lru_cache(maxsize=8)
def load_days(data: str | None, timezone: str, instance: int, n_days: int) -> LoadDays:
    """The record of a folder, read once; None makes the synthetic town."""
    return synthetic_load(n_days, instance) if data is None else read_load(data, timezone)


class PowerSchedulingCore(DecisionCore):
    """B days; arguments as on `PowerSchedulingEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        data: str | None = None,
        timezone: str = "America/New_York",
        split: Split = "test",
        split_by: SplitBy = "published",
        instance: int = 0,
        n_days: int = 1_461,
        gamma_under: float = 50.0,
        gamma_over: float = 0.5,
        ramp: float = 0.4,
        render_mode: str | None = None,
    ) -> None:
        if data is not None and not isinstance(data, str):
            raise TypeError(f"data must be the path of a folder, as text, or None for a synthetic town; got {data!r}")
        if isinstance(instance, bool) or not isinstance(instance, int) or instance < 0:
            raise ValueError(f"instance must be a whole number of at least 0; got {instance!r}")
        if isinstance(n_days, bool) or not isinstance(n_days, int) or n_days < 12:
            raise ValueError(f"n_days must be a whole number of at least 12, to learn, choose and test; got {n_days!r}")
        if n_days > MOST_DAYS:
            raise ValueError(f"n_days must be at most {MOST_DAYS:,}; got {n_days}")
        check_choice("split_by", split_by, SPLIT_BY)
        problem = PowerSchedulingProblem(
            load_days(data, timezone, *((instance, n_days) if data is None else (0, 0))),
            split_by=split_by,
            instance=instance,
            gamma_under=gamma_under,
            gamma_over=gamma_over,
            ramp=ramp,
        )
        super().__init__(batch, problem, split, render_mode)


class PowerSchedulingEnv(HasProblem, SingleEnv):
    """How much to generate in each hour of tomorrow, before its load is known (SO-EBM task 1).

    ## Description
    On the eve of a day a utility fixes how much it generates in each of 24 hours. It knows the last day's load, its
    and tomorrow's temperatures and the calendar. Load that is not met is a hundred times as dear as generation that is
    not needed, so the best plan lies far above the mean forecast, by as much as the forecast is uncertain. An
    episode is one day: `reset` draws it, one `step` decides.

    Without `data` the record is that of a made-up town (`stormgym.envs.decisions.load_data.synthetic_load`), whose true
    law is known; results on it say nothing of a real grid.

    ## Action space
    `Box(0, high, [24])`: generation by hour, in the unit of the loads. A plan that changes by more than `ramp` from one
    hour to the next is repaired: the nearest one (Euclidean) that keeps it is carried out, and `metrics["repaired"]` is
    1.

    ## Observation space
    A `Dict`.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `load_yesterday` | `[24]` float32 | load | of the day before |
    | `temperature_yesterday`, `temperature` | `[24]` float32 | as the data, F | of the day before, and of the day |
    | `calendar` | `[5]` float32 | | weekend, holiday, daylight saving time, cosine and sine of the day of the year |
    | `action_mask` | `[24]` int8 | | all 1 |

    ## Rewards
    Minus the cost: sum over hours of gamma_under [y - a]+ + gamma_over [a - y]+ + (a - y)^2 / 2, y the load.

    ## Costs
    None, `info["cost"]` is 0: the decision concerns one system, and there are no groups to be fair to.

    ## Episode end
    Terminated after one step. `metrics` holds `cost`, `optimum` (the best plan in hindsight), `regret` and `repaired`.

    ## Arguments
    Args:
        data: folder of hourly load and temperature files (`stormgym.envs.decisions.load_data`); None: a synthetic town.
        timezone: of the data's days and hours, an IANA name.
        split: `"train"`, `"validation"` or `"test"` days.
        split_by: `"published"` (the last fifth of the days tests, a random fifth of the rest validates), `"time"` (the
            fifth before the last validates) or `"random"`.
        instance: number of the synthetic town, and of the random part of the split.
        n_days: length of the synthetic record.
        gamma_under, gamma_over: price of a unit of load not met, and of a unit generated in vain.
        ramp: largest change of generation from hour to hour.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = PowerSchedulingCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class PowerSchedulingVectorEnv(HasProblem, BatchedVectorEnv):
    """B environments of power scheduling; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `PowerSchedulingEnv`.
    """

    core_class = PowerSchedulingCore
    metadata = dict(PowerSchedulingEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
