"""Plans for the tail: exact where they say so, spread where regions are struck together, and a policy of them."""

import itertools
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.lineup import make_policy
from stormgym.agents.undergrounding.case import Case, best_plan, case_of, storm_losses
from stormgym.agents.undergrounding.planners import SampledHardening, sampled_storms
from stormgym.agents.undergrounding.risk import RiskHardening, solve_risk_plan
from stormgym.envs.risk import mean_cvar
from stormgym.envs.undergrounding.profiles import resolve_profile, synthetic_profile


def made(n_crews=0, budget=2.0, k=4):
    """Regions of equal customers and costs, and a season of them."""
    profile = synthetic_profile(
        k, 0, population=np.full(k, 1000.0), protect_cost=np.ones(k), budget=budget, n_crews=n_crews, cost_limit=1.0
    )
    none = np.zeros(k)
    case = Case(none > 0, profile.population, profile.protect_cost, budget, n_crews, none, none, none, 0.0, 0.0, none)
    return profile, case


TOGETHER = np.array([[10.0, 10.0, 0.0, 0.0], [0.0, 0.0, 9.0, 9.0]])
"""Two storms: regions 0 and 1 are struck by one, 2 and 3 by the other."""
APART = np.array(list(itertools.product([0.0, 10.0], [0.0, 10.0], [0.0, 9.0], [0.0, 9.0])))
"""The same hours of each region, struck independently."""


@pytest.mark.parametrize("solve", ["listed", "searched", "program"])
def test_plan__spreads_where_regions_are_struck_together_and_only_there(solve, monkeypatch):
    profile, case = made()
    if solve == "searched":
        monkeypatch.setattr("stormgym.agents.undergrounding.case.MAX_LISTED", 1)

    def plan(storms, alpha):
        if solve == "program":
            return solve_risk_plan(case, storms, profile, alpha=alpha).protect.tolist()
        return best_plan(case, storms, profile, alpha=alpha).tolist()

    both = [True, True, False, False]  # the largest mean losses; mean 9 and 18 in the worse storm, against 9.5 and 10
    assert plan(TOGETHER, 1.0) == both
    spread = plan(TOGETHER, 0.5)
    assert sum(spread[:2]) == sum(spread[2:]) == 1
    assert plan(APART, 1.0) == both
    assert plan(APART, 0.5) == both  # 13.5 against 14.5: what is independent need not be spread


@pytest.mark.parametrize(
    ("n_crews", "alpha", "mean_weight"), [(0, 0.1, 0.0), (1, 0.33, 0.0), (2, 0.1, 0.5), (1, 1.0, 0.0)]
)
def test_program__is_the_best_of_all_plans(n_crews, alpha, mean_weight):
    env = gym.make("Undergrounding-v0", profile="synthetic:6:3", n_crews=n_crews).unwrapped
    plans = np.array(list(itertools.product([False, True], repeat=6)))
    plans = plans[plans @ env.profile.protect_cost <= env.profile.budget]
    for seed in range(2):
        obs, _ = env.reset(seed=seed)
        case = case_of({name: value[None] for name, value in obs.items()}, 0)
        storms = sampled_storms(env.profile, case.covariates, 25)
        values = mean_cvar(storm_losses(plans, case, storms, env.profile), alpha, mean_weight)
        found = solve_risk_plan(case, storms, env.profile, alpha=alpha, mean_weight=mean_weight)
        own = mean_cvar(storm_losses(found.protect[None], case, storms, env.profile), alpha, mean_weight)[0]
        assert found.status == "optimal"
        assert own == pytest.approx(values.min(), rel=1e-6)
        assert found.value == pytest.approx(own, rel=1e-6)
        assert found.bound <= own * (1 + 1e-6)
        listed = best_plan(case, storms, env.profile, alpha=alpha, mean_weight=mean_weight)
        assert mean_cvar(storm_losses(listed[None], case, storms, env.profile), alpha, mean_weight)[0] == values.min()


def test_program__leaves_what_is_buried_and_takes_nothing_where_nothing_is_lost():
    profile, case = made(n_crews=1)
    done = replace(
        case, protected=np.array([True, False, False, False]), cost=np.array([0.0, 1.0, 1.0, 1.0]), budget=1.0
    )
    found = solve_risk_plan(done, TOGETHER, profile, alpha=0.5)
    assert not found.protect[0]
    assert found.protect.sum() <= 1
    calm = solve_risk_plan(case, np.zeros((3, 4)), profile, alpha=0.5)
    assert (calm.value, calm.bound, calm.protect.any()) == (0.0, 0.0, False)


def test_policy__of_all_samples_is_the_mean_plan_and_of_the_tail_another():
    profile = resolve_profile("ten")
    seasons = profile.seasons([np.random.default_rng([3, i]) for i in range(24)])
    env = gym.make("Undergrounding-v0").unwrapped
    mean, same = SampledHardening(profile), RiskHardening(profile, alpha=1.0, n_samples=100)
    tail = RiskHardening.for_env(env, alpha=0.1, mean_weight=0.0, n_samples=100)
    differ = 0
    for i, covariates in enumerate(seasons.covariates):
        none = np.zeros(10)
        case = Case(none > 0, profile.population, profile.protect_cost, 1000.0, 1, none, none, none, 0, 0, covariates)
        assert (mean.plan(case, i) == same.plan(case, i)).all()
        storms = sampled_storms(profile, covariates)
        pair = np.stack([tail.plan(case, i), mean.plan(case, i)])
        risk = mean_cvar(storm_losses(pair, case, storms, profile), 0.1)
        assert risk[0] <= risk[1]
        differ += bool((pair[0] != pair[1]).any())
    assert differ >= 1


def test_policy__is_known_by_name_with_keywords_and_says_what_is_wrong():
    env = gym.make("Undergrounding-v0").unwrapped
    policy = make_policy("risk-hardening", env)
    assert (policy.alpha, policy.mean_weight, policy.n_samples) == (0.1, 0.8, 400)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\].*got 10\. Did you mean 0\.1"):
        RiskHardening(env.profile, alpha=10)
    with pytest.raises(ValueError, match=r"mean_weight must be in \[0, 1\], .*; got 2"):
        RiskHardening(env.profile, mean_weight=2)
    with pytest.raises(ValueError, match="n_samples must be at least 1; got 0"):
        RiskHardening(env.profile, n_samples=0)
