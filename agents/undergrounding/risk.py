"""Plans that mind the tail: the least CVaR of the loss over sampled storms, to which crews respond.

    min over x of  w mean_s V(x, s) + (1 - w) CVaR_alpha V(x, s),   b.x <= B,  x in {0, 1}
    V(x, s) = min over y of  sum_k h_k s_k (1 - x_k)(1 - y_k),      sum y <= C, 0 <= y <= 1

alpha = 1 is `sampled-hardening`; alpha -> 0 the worst of the samples, as the three-level plan has the worst of a set.
Source: Gen-DFL eq. 6, for tri-level eq. 1 with samples in place of the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stormgym.agents.undergrounding.case import Case, best_plan
from stormgym.agents.undergrounding.planners import HardeningPolicy, sampled_storms
from stormgym.agents.undergrounding.trilevel.problem import affordable
from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.risk import Polytope, check_alpha, check_mean_weight, cvar_plan
from stormgym.envs.undergrounding.regions import UndergroundingProfile

N_SAMPLES = 400
"""Simulated storms that plans at risk are made for: a tenth of 100 would be ten, whose mean is mostly chance."""
MEAN_WEIGHT = 0.8
"""Weight of the mean in the default mix."""


class RiskHardening(HardeningPolicy):
    """The least mix of mean and CVaR of the loss over simulated storms of the season's weather, with crews that know
    the storm.

    Idea: what the mean plan leaves to bad storms is bought off where that is cheap. Cost: as `sampled-hardening` with
    four times the storms. Source: Gen-DFL eq. 6 with tri-level eq. 1; weights were chosen on 300 tuning seasons
    (docs/results/undergrounding.md#plans-for-the-tail).

    Args:
        profile: of the environment.
        alpha: share of worst storms of a season's weather whose mean loss counts, in (0, 1]; 1 is the mean of all.
        mean_weight: of the mean beside the CVaR, in [0, 1].
        n_samples: storms that a plan is made for.
    """

    name = "risk-hardening"

    def __init__(
        self,
        profile: UndergroundingProfile,
        *,
        alpha: float = 0.1,
        mean_weight: float = MEAN_WEIGHT,
        n_samples: int = N_SAMPLES,
    ) -> None:
        super().__init__(profile)
        self.alpha, self.mean_weight, self.n_samples = (
            check_alpha(alpha),
            check_mean_weight(mean_weight),
            int(n_samples),
        )
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; got {n_samples!r}")

    def plan(self, case: Case, row: int) -> Bools:
        """`best_plan` over samples: exact where plans are few enough to list, else a local search."""
        del row
        storms = sampled_storms(self.profile, case.covariates, self.n_samples)
        return best_plan(case, storms, self.profile, alpha=self.alpha, mean_weight=self.mean_weight)


@dataclass(frozen=True, eq=False)
class RiskPlan:
    """What to bury at the least risk over samples."""

    protect: Bools
    """`[K]`"""
    value: float
    """Its mean_weight x mean + (1 - mean_weight) x CVaR_alpha over the samples, hours of a mean customer."""
    bound: float
    """Lower bound on that of any plan."""
    status: str
    """`optimal`, or why the solver stopped."""
    seconds: float


def solve_risk_plan(
    case: Case,
    storms: Floats,
    profile: UndergroundingProfile,
    *,
    alpha: float,
    mean_weight: float = 0.0,
    gap: float = 1e-6,
    time_limit: float | None = None,
) -> RiskPlan:
    """The plan of least risk over samples as one mixed program, exact for any number of regions.

    Columns are x `[K]`, and for each sample s and region k with a loss a_sk = h_k s_sk the shares y_sk that crews take
    away and u_sk >= 1 - x_k - y_sk that are left; the loss of sample s is sum_k a_sk u_sk, with sum_k y_sk <= C. For
    whole x crews are whole at the best, too. `best_plan` lists or searches in milliseconds; this proves.

    Args:
        case: of the season.
        storms: `[S, K]` equally likely storms, hours without power.
        profile: for customers.
        alpha: share of worst storms, in (0, 1].
        mean_weight: of the mean beside the CVaR, in [0, 1].
        gap: relative optimality gap at which the solver stops.
        time_limit: seconds after which it stops with the best so far.

    Raises:
        ValueError: alpha or mean_weight out of range.
        RuntimeError: the time was too short for any plan.
    """
    k, n = len(case.cost), len(storms)
    loss = np.where(case.protected, 0.0, storms * (profile.population / profile.population.sum()))
    sample, region = np.nonzero(loss > 0.0)
    m = len(sample)
    if not m:
        return RiskPlan(np.zeros(k, dtype=np.bool_), 0.0, 0.0, "optimal", 0.0)
    at, none = np.arange(m), sparse.csr_matrix
    costs = sparse.csr_matrix((loss[sample, region], (sample, k + m + at)), shape=(n, k + 2 * m))
    ones = np.ones(m)
    # 1 - x_k - y_j - u_j <= 0 for each pair j, then crews of each sample, then the budget
    left = sparse.hstack([none((-ones, (at, region)), shape=(m, k)), -sparse.eye(m), -sparse.eye(m)])
    crews = none((ones, (sample, k + at)), shape=(n, k + 2 * m))
    unit = 1.0 / case.budget if case.budget > 0.0 else 1.0
    open_ = affordable(case.cost, case.budget) & ~case.protected
    budget = none((np.where(open_, case.cost * unit, 0.0), (np.zeros(k, dtype=np.int64), np.arange(k))), (1, k + 2 * m))
    polytope = Polytope(
        lower=np.zeros(k + 2 * m),
        upper=np.concatenate([open_.astype(np.float64), np.ones(2 * m)]),
        A_ub=sparse.vstack([left, crews, budget], format="csr"),
        b_ub=np.concatenate([-ones, np.full(n, float(case.n_crews)), [case.budget * unit]]),
    )
    whole = np.arange(k + 2 * m) < k
    found = cvar_plan(
        costs, polytope, alpha=alpha, mean_weight=mean_weight, integral=whole, gap=gap, time_limit=time_limit
    )
    return RiskPlan(found.plan[:k] > 0.5, found.value, found.bound, found.status, found.seconds)
