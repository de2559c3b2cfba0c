"""EnergyScheduling-v0: when to run before prices are known, as a single and a native vector environment."""

from __future__ import annotations

import math
from functools import lru_cache

from stormgym.envs.decisions.arguments import MOST_DAYS, check_whole
from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.price_data import LEAST_DAYS, PriceDays, read_prices
from stormgym.envs.decisions.price_market import synthetic_prices
from stormgym.envs.decisions.problem import Split
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


@lru_cache(maxsize=8)
def price_days(data: str | None, instance: int, n_days: int) -> PriceDays:
    """The record of a folder, read once; None makes the synthetic market."""
    return synthetic_prices(n_days, instance) if data is None else read_prices(data)


class EnergySchedulingCore(DecisionCore):
    """B days; arguments as on `EnergySchedulingEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        data: str | None = None,
        lower: float = 0.5,
        upper: float = 1.5,
        total: float = 24.0,
        instance: int = 0,
        n_days: int = 800,
        risk: float = 1.0,
        split: Split = "test",
        render_mode: str | None = None,
    ) -> None:
        if data is not None and not isinstance(data, str):
            raise TypeError(f"data must be the path of a folder, as text, or None for a synthetic market; got {data!r}")
        made = (
            check_whole("instance", instance, 0, most=math.inf),
            check_whole("n_days", n_days, LEAST_DAYS, most=MOST_DAYS),
        )
        days = price_days(data, *(made if data is None else (0, 0)))
        problem = EnergySchedulingProblem(days, lower=lower, upper=upper, total=total, risk=risk)
        super().__init__(batch, problem, split, render_mode)


class EnergySchedulingEnv(HasProblem, SingleEnv):
    """How much power to use in each hour of tomorrow before its prices are known (Gen-DFL section 6.2).

    ## Description
    A plant needs a fixed amount of power over a day and may shift it between hours. On the eve forecasts of load, wind
    and price are published; prices follow them, with a tail of rare spikes. An episode is one day: `reset` draws it,
    one `step` decides.

    Without `data` the record is that of a made-up market whose true law is known
    (`stormgym.envs.decisions.price_market`); results on it say nothing of a real one.

    ## Action space
    `Box(lower, upper, [24])`: power by hour. A schedule that does not add up to `total` is repaired: the nearest one
    (Euclidean) is carried out, and `metrics["repaired"]` is 1.

    ## Observation space
    A `Dict`. Nothing of it is measured on the day itself.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `load_forecast`, `wind_forecast` | `[24]` float32 | as the data, MW | published on the eve |
    | `price_forecast` | `[24]` float32 | price | published on the eve |
    | `calendar` | `[9]` float32 | | day of the week (Monday first), cosine and sine of the month |
    | `price_yesterday` | `[2]` float32 | price | mean and standard deviation of the day before |
    | `action_mask` | `[24]` int8 | | all 1 |

    ## Rewards
    Minus the cost c.w, c the prices.

    ## Costs
    None, `info["cost"]` is 0: there are no groups to be fair to.

    ## Episode end
    Terminated after one step. `metrics` holds `cost`, `optimum` (the cheapest schedule in hindsight), `regret` and
    `repaired`. Without `data` also `true_mean`, `true_cvar_0.5`, `true_cvar_0.1` of the cost under the true law and
    `true_regret`, `true_regret_0.5`, `true_regret_0.1` against the schedules of least mean and CVaR, on 2,000 draws
    that all schedules of an instance meet (the mean is exact); `risk_regret`, the same at `risk`.

    ## Arguments
    Args:
        data: folder of prices (`stormgym.envs.decisions.price_data`); None: a synthetic market.
        lower, upper: least and most power in an hour.
        total: power of the day.
        instance: number of the synthetic market.
        n_days: length of the synthetic record.
        risk: share of worst outcomes, in (0, 1], that planners should mind (`env.unwrapped.problem.risk`); rewards do
            not depend on it.
        split: `"train"` (the first 70 % of the days), `"validation"` (the next 10 %) or `"test"` (the last 20 %).
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = EnergySchedulingCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class EnergySchedulingVectorEnv(HasProblem, BatchedVectorEnv):
    """B environments of energy scheduling; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `EnergySchedulingEnv`.
    """

    core_class = EnergySchedulingCore
    metadata = dict(EnergySchedulingEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
