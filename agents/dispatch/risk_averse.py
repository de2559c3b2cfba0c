"""Policies that plan for the bad storms too: samples of the forecast, and the tail of what a plan costs in them."""

from __future__ import annotations

from typing import Any, ClassVar

from stormgym.agents.dfl.risk import check_alpha, check_mean_weight
from stormgym.agents.dispatch.forecasters import AdaptiveDispatch, Forecaster, SampledDispatch
from stormgym.agents.dispatch.planners import DispatchPolicy, risk_plan
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.dispatch.generators import StormProfile

ALPHA, MEAN_WEIGHT = 0.1, 0.5
"""The worst tenth of samples, and half of the weight on the mean of all: nearly all of what pure CVaR takes off the
tail, for a quarter of its price in the mean (docs/results/dispatch.md)."""


class _RiskAverse(DispatchPolicy):
    """What both have in common: the plan of least risk in place of that of the least mean."""

    alpha: float
    mean_weight: float

    def plan_for(self, waves: Floats, stock0: Ints | None = None, weight: Floats | float = 1.0) -> Ints:
        """The plan of least risk `[T, K]` for samples `[S, T, K]`."""
        return risk_plan(
            self.profile, waves, alpha=self.alpha, mean_weight=self.mean_weight, stock0=stock0, weight=weight
        ).stock


class RiskDispatch(_RiskAverse, SampledDispatch):
    """The plan of least mean and CVaR of its cost over waves drawn from a distributional forecast of the storm.

    Idea: a plan that is best in the mean may be dear where the storm turns out badly; a little more in the mean buys a
    cheaper worst tenth. Cost: a fit of some seconds a profile, then one linear program an episode, some 20 ms for three
    counties and a second for 67. Source: Gen-DFL eq. 4-6 on GDF eq. 8-14; Rockafellar and Uryasev (2000).

    Args:
        profile, forecaster: as `ForecastDispatch`.
        alpha: share of worst samples, in (0, 1]; 1 is `SampledDispatch`.
        mean_weight: of the mean of all samples beside the CVaR, in [0, 1].
    """

    name = "risk-dispatch"

    def __init__(
        self,
        profile: StormProfile,
        forecaster: Forecaster | None = None,
        *,
        alpha: float = ALPHA,
        mean_weight: float = MEAN_WEIGHT,
    ) -> None:
        self.alpha, self.mean_weight = check_alpha(alpha), check_mean_weight(mean_weight)
        super().__init__(profile, forecaster)


class AdaptiveRiskDispatch(_RiskAverse, AdaptiveDispatch):
    """Plan again each day for the mean and the tail of what the rest of the storm costs, over samples like it so far.

    Idea: `adaptive-dispatch`, with 100 particles kept and the planner of `risk-dispatch`. The tail is that of what
    remains, given what was observed: what is paid already is no part of it. A CVaR of each day's rest, day after day,
    is not the CVaR of the whole storm's cost (nested CVaR is another, more cautious measure), so this policy minimises
    neither; what it does to the worst storms is measured (docs/results/dispatch.md). Cost: one linear program a day.
    Source: Gen-DFL eq. 4-6 on GDF eq. 8-14 in receding horizon.

    Args:
        profile, forecaster, effective, fairness: as `AdaptiveDispatch`.
        alpha, mean_weight: as `RiskDispatch`.
    """

    name = "adaptive-risk-dispatch"
    n_kept: ClassVar[int] = 100

    def __init__(
        self,
        profile: StormProfile,
        forecaster: Forecaster | None = None,
        *,
        alpha: float = ALPHA,
        mean_weight: float = MEAN_WEIGHT,
        **kwargs: Any,
    ) -> None:
        self.alpha, self.mean_weight = check_alpha(alpha), check_mean_weight(mean_weight)
        super().__init__(profile, forecaster, **kwargs)
