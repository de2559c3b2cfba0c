"""Policies for Undergrounding-v0: a rule, expected-loss and worst-case plans, and the optimum with perfect information.

A policy plans when a season begins, then buries the planned regions one a step, largest expected loss first, and stops.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from stormgym.agents.binding import announced_of, base_envs, truth_of
from stormgym.agents.policy import BasePolicy
from stormgym.agents.undergrounding.case import (
    ENV_ID,
    Case,
    best_plan,
    case_of,
    check_observation,
    greedy_plan,
    listed_plans,
    loss_and_gap,
    order_of,
)
from stormgym.agents.undergrounding.trilevel.baselines import Baseline, solve_baseline
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.storms import COVARIATES, Family
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.regions import UndergroundingProfile, send_crews

N_SAMPLES = 100
"""Simulated storms of the season's weather that sampled plans are made for."""
N_TUNING = 60
"""Simulated seasons on which the weight of the gap is found."""
_DEAREST = 16.0
"""Largest price of the gap in the search for one, in hours of loss for an hour of gap."""
_STREAM, _TUNING_STREAM = 7_008, 7_009


def profile_of(env: Any) -> UndergroundingProfile:
    """Return the profile of an undergrounding environment (single, batched or wrapped) or of the game."""
    profile: UndergroundingProfile = base_envs(env, "profile", UndergroundingProfile, ENV_ID)[0].announced.profile
    return profile


class HardeningPolicy(BasePolicy):
    """Makes a plan for each season; subclasses write `plan`, or `plans` for many seasons at a time."""

    def __init__(self, profile: UndergroundingProfile) -> None:
        self.profile = profile

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> HardeningPolicy:
        """Bind to the profile of `env`."""
        return cls(profile_of(env), **kwargs)

    def plan(self, case: Case, row: int) -> Bools:
        """Regions to bury `[K]` within what is left of the budget."""
        raise NotImplementedError(f"{type(self).__name__} must write plan()")

    def plans(self, observation: Observation, rows: Ints) -> Bools:
        """Regions to bury in some seasons of a batch `[len(rows), K]`."""
        return np.array([self.plan(case_of(observation, row), row) for row in rows.tolist()], dtype=np.bool_)

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """The next region of each plan, or the stop; the state holds plans `[B, K]`."""
        del deterministic
        n, k = check_observation(observation), self.profile.n_counties
        if (seen := np.shape(observation["population"])[-1]) != k:
            raise ValueError(
                f"{self.name} plans for the {k} regions of profile {self.profile.name!r}; the observation has {seen}. "
                "Make it with for_env of the environment that it plays"
            )
        for name in ("population", "protect_cost"):
            if not np.allclose(observation[name], getattr(self.profile, name), rtol=1e-5):
                raise ValueError(
                    f"{self.name} plans for profile {self.profile.name!r}; the observation is of regions with another "
                    f"{name}. Make it with for_env of the environment that it plays"
                )
        plans = np.zeros((n, k), dtype=np.bool_) if state is None else np.array(state)
        rows = np.flatnonzero(episode_start)
        if rows.size:
            plans[rows] = self.plans(observation, rows)
        open_ = plans & (np.asarray(observation["action_mask"])[:, :k] > 0) & (np.asarray(observation["protected"]) < 1)
        first = np.where(open_, order_of(observation), -1.0).argmax(axis=1)
        return np.where(open_.any(axis=1), first, k), plans


class BuryNothing(HardeningPolicy):
    """No line is buried.

    Idea: the loss that crews alone leave. Cost: none. Source: none needed.
    """

    name = "bury-nothing"

    def plan(self, case: Case, row: int) -> Bools:
        """Nothing."""
        del row
        return np.zeros(len(case.cost), dtype=np.bool_)


class LossPerCost(HardeningPolicy):
    """The largest expected loss per cost first, while the budget lasts.

    Idea: greedy knapsack. Cost: a sort. Source: what a spreadsheet does.
    """

    name = "loss-per-cost"

    def plan(self, case: Case, row: int) -> Bools:
        """By customers times forecast hours over cost."""
        del row
        return greedy_plan(case, case.mean)


class BaselinePolicy(HardeningPolicy):
    """The plan of a model with less than three levels (tri-level Appendix F)."""

    kind: ClassVar[Baseline]

    def plan(self, case: Case, row: int) -> Bools:
        """`solve_baseline`; crews that are planned before the storm are whole ones."""
        del row
        if not case.weights.any():
            return np.zeros(len(case.cost), dtype=np.bool_)
        found = solve_baseline(
            self.kind,
            case.weights,
            case.cost,
            1.0,
            *case.bounds,
            mean=np.maximum(case.mean, 0.0),
            crews="binary",
            budget=case.budget,
            crew_budget=case.n_crews,
        )
        return found.protect & ~case.protected


class OneStageMean(BaselinePolicy):
    """The least expected loss, if no crew came.

    Idea: a knapsack of forecast losses. Cost: milliseconds. Source: tri-level Appendix F.
    """

    name = "one-stage-mean"
    kind = "one-stage-mean"


class OneStageWorst(BaselinePolicy):
    """The least loss in the worst storm, if no crew came.

    Idea: robust, ignores crews. Cost: milliseconds. Source: tri-level Appendix F.
    """

    name = "one-stage-worst"
    kind = "one-stage-worst"


class TwoStageMean(BaselinePolicy):
    """The least loss in the forecast storm, with crews.

    Idea: crews are planned with the forecast as if it came. Cost: milliseconds. Source: tri-level Appendix F.
    """

    name = "two-stage-mean"
    kind = "two-stage-mean"


class TwoStageWorst(BaselinePolicy):
    """The least loss in the worst storm, with whole crews that are sent before it.

    Idea: robust; with crews that can be shared it would be the tri-level plan. Cost: milliseconds. Source: tri-level
    Appendix F.
    """

    name = "two-stage-worst"
    kind = "two-stage-worst"


class TriLevel(HardeningPolicy):
    """The least loss in the worst storm, to which crews respond: exact for `storm="adversarial"`.

    Idea: the compact program (docs/planners_trilevel.md). Cost: about 10 ms for ten regions, seconds for 200. Source:
    tri-level eq. 1.

    Args:
        profile: of the environment.
        gap: relative optimality gap at which the solver stops.
        time_limit: seconds a plan, after which the best so far is taken; None: until it is solved.
    """

    name = "tri-level"

    def __init__(self, profile: UndergroundingProfile, *, gap: float = 1e-6, time_limit: float | None = None) -> None:
        super().__init__(profile)
        self.gap, self.time_limit = gap, time_limit

    def plan(self, case: Case, row: int) -> Bools:
        """`solve_trilevel`."""
        del row
        if not case.weights.any():
            return np.zeros(len(case.cost), dtype=np.bool_)
        found = solve_trilevel(
            case.weights,
            case.cost,
            1.0,
            *case.bounds,
            gap=self.gap,
            time_limit=self.time_limit,
            budget=case.budget,
            crew_budget=case.n_crews,
        )
        return found.protect & ~case.protected


class SampledHardening(HardeningPolicy):
    """The least mean loss over simulated storms of the season's weather, with crews that know the storm.

    Idea: sample-average approximation; no forecast of the same information plans better on the mean. Cost: some 30 ms
    for ten regions. Source: tri-level eq. 1 with a mean for the maximum.

    Args:
        profile: of the environment.
        gap_weight: hours of loss that an hour of gap between groups is worth.
    """

    name = "sampled-hardening"

    def __init__(self, profile: UndergroundingProfile, *, gap_weight: float = 0.0) -> None:
        if not 0 <= gap_weight < np.inf:
            raise ValueError(f"gap_weight must be at least 0 and finite; got {gap_weight!r}")
        super().__init__(profile)
        self.gap_weight = gap_weight

    def plan(self, case: Case, row: int) -> Bools:
        """`best_plan` over 100 samples; every season uses the same random stream."""
        del row
        return best_plan(case, sampled_storms(self.profile, case.covariates), self.profile, self.gap_weight)


def sampled_storms(profile: UndergroundingProfile, covariates: Floats, n_samples: int = N_SAMPLES) -> Floats:
    """Simulated storms `[n_samples, K]` (hours without power) of a season with covariates `[K, F]`."""
    return profile.seasons_given(covariates[None], n_samples, _STREAM)[:, 0]


class FairHardening(SampledHardening):
    """`SampledHardening` with the smallest price on the gap between income groups that keeps the limit on average.

    Idea: Lagrangian; the price is found on 60 simulated seasons when the policy is made. Cost: some seconds to make,
    half a minute for 40 regions; then as sampled plans. Source: the suite's own.

    Args:
        profile: of the environment.
        margin: share of the limit that is left free.

    Warns:
        UserWarning: no price keeps the limit; the one of the least gap is taken.
    """

    name = "fair-hardening"

    def __init__(self, profile: UndergroundingProfile, *, margin: float = 0.05) -> None:
        if not 0 <= margin < 1:
            raise ValueError(f"margin must be in [0, 1); got {margin!r}")
        super().__init__(profile, gap_weight=_gap_price(Family(profile, profile.plan_key), margin))


@lru_cache(maxsize=32)
def _gap_price(family: Family, margin: float) -> float:
    """Least price of the gap that keeps its mean below the limit on simulated seasons, by halving."""
    profile: UndergroundingProfile = family.profile
    too_many = listed_plans(bare_case(profile, np.zeros((profile.n_counties, len(COVARIATES)))), full=False) is None
    n = N_TUNING // 3 if too_many else N_TUNING
    seasons = profile.seasons([np.random.default_rng([_TUNING_STREAM, i]) for i in range(n)])
    cases = [bare_case(profile, covariates) for covariates in seasons.covariates]
    storms = [sampled_storms(profile, case.covariates)[: N_SAMPLES // 2 if too_many else None] for case in cases]
    # losses and gaps of enumerated plans do not depend on the price: computed once; where plans are too many to list,
    # the search starts from the plan of the last price
    plans = [np.zeros(profile.n_counties, dtype=np.bool_)] * n
    known: list[tuple[Bools, Floats, Floats]] = []
    if not too_many:
        for case, storm in zip(cases, storms, strict=True):
            some = listed_plans(case, full=False)
            assert some is not None
            known.append((some, *loss_and_gap(some, case, storm, profile)))

    def mean_gap(price: float) -> float:
        for i in range(n):
            if too_many:
                plans[i] = best_plan(cases[i], storms[i], profile, price, start=plans[i])
            else:
                some, loss, gap = known[i]
                plans[i] = some[int((loss + price * gap).argmin())]
        left = seasons.outage_h * ~np.array(plans)
        left *= 1.0 - send_crews(left * profile.population, profile.n_crews)
        return float(profile.gap_h(left).mean())

    target = (1.0 - margin) * profile.cost_limit
    found = {0.0: mean_gap(0.0)}
    low, high = 0.0, 0.25
    while found[low] > target and high <= _DEAREST:
        found[high] = mean_gap(high)
        if found[high] <= target:
            break
        low, high = high, 2.0 * high
    if found[low] <= target:
        return low
    if high > _DEAREST:
        best = min(found, key=lambda price: (found[price], price))
        warnings.warn(
            f"no price of the gap keeps the limit {profile.cost_limit:g} h of profile {profile.name} with a margin of "
            f"{margin:.0%} on {n} simulated seasons; the least mean gap is {found[best]:.3g} h. Raise cost_limit or "
            "lower the margin.",
            UserWarning,
            stacklevel=3,
        )
        return best
    for _ in range(5 if too_many else 10):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if mean_gap(middle) > target else (low, middle)
    return high


def bare_case(profile: UndergroundingProfile, covariates: Floats) -> Case:
    """A season of which only the weather is known: no forecast, no bounds, nothing buried."""
    nothing = np.zeros(profile.n_counties)
    return Case(
        protected=nothing > 0,
        weights=profile.population,
        cost=profile.protect_cost,
        budget=profile.budget,
        n_crews=profile.n_crews,
        mean=nothing,
        lower=nothing,
        upper=nothing,
        total_lower=0.0,
        total_upper=0.0,
        covariates=covariates,
    )


class OracleHardening(HardeningPolicy):
    """Reference with perfect information: the best plan for the storm that will come.

    Idea: a knapsack with crews on the true losses, or the tri-level plan where the worst storm comes; regret is
    measured from it (a lower bound). Cost: milliseconds. Source: tri-level Appendix F with the truth for the mean.

    Args:
        env: the environment that it plays, whose storms it reads.
    """

    name = "oracle-hardening"
    privileged = True

    def __init__(self, env: Any) -> None:
        base_envs(env, "core", UndergroundingCore, ENV_ID)  # the game will not do: nature has yet to choose
        super().__init__(profile_of(env))
        self._env = env
        self._against_worst = TriLevel(self.profile)

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> OracleHardening:
        """Bind to `env` and its storms."""
        return cls(env, **kwargs)

    def plan(self, case: Case, row: int) -> Bools:
        """Two-stage with the true storm as the mean."""
        announced = announced_of(self._env)
        if announced[0].adversarial:
            return self._against_worst.plan(case, row)
        storms = np.concatenate([truth.outage_h for truth in truth_of(self._env, self)])
        means = np.concatenate([record.forecast.mean for record in announced])
        if row >= len(means) or not np.allclose(means[row], case.mean, rtol=1e-4, atol=1e-4):
            raise ValueError(
                "the policy is bound to other seasons; bind it to the environment that it plays, with for_env"
            )
        return best_plan(case, storms[[row]], self.profile)
