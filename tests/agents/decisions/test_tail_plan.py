"""Decisions for the worst share of outcomes: against CVXPY and a grid, against plans of the mean, and their errors."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.decisions import general
from stormgym.agents.decisions.general import SampledDecision
from stormgym.agents.decisions.hospital_beds import HospitalBeds, plan_beds
from stormgym.agents.decisions.methods import plans_of
from stormgym.agents.decisions.network_security import NetworkSecurity
from stormgym.agents.decisions.policies import ForecastPolicy, TrueDistribution, Usual, risk_of
from stormgym.agents.decisions.power_scheduling import PowerScheduling
from stormgym.agents.decisions.tail_plan import Misses, fixed_samples, tail_plans
from stormgym.agents.decisions.tasks import task_of
from stormgym.agents.dfl.decision import Gaussian
from stormgym.agents.dfl.risk import cvar
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.hospital_beds import HospitalBedsProblem
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

BEDS = Misses(10.0, 1.0, 2.0, 0.5, np.zeros(4), np.full(4, 1e4))
GENERATION = Misses(50.0, 0.5, 0.5, 0.5, np.zeros(4), np.full(4, 5.0), ramp=0.3)


def needs(n_samples: int, n_cases: int, n: int, level: float, seed: int = 0) -> Floats:
    """Needs whose parts rise and fall together."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(0.0, 0.3, (n_samples, n_cases, 1)), rng.normal(0.0, 0.15, (n_samples, n_cases, n))
    return level * np.exp(shared + own + 0.3 * np.sin(np.arange(n)))


def risk_at(misses: Misses, plans: Floats, samples: Floats, alpha: float) -> Floats:
    """CVaR `[B]` of plans `[B, n]`."""
    return np.asarray(cvar(misses.cost(plans, samples).T, alpha))


def by_cvxpy(samples: Floats, misses: Misses, alpha: float) -> float:
    """The least CVaR of one case, with the costs as they are written; in units in which needs and prices are near 1."""
    cp = pytest.importorskip("cvxpy", reason="needs the dev extra")
    unit = samples.mean()
    prices = np.array([misses.under, misses.over, misses.under_sq * unit, misses.over_sq * unit])
    scale, prices = prices.max(), prices / prices.max()
    plan, eta = cp.Variable(samples.shape[1]), cp.Variable()
    short = [cp.pos(sample - plan) for sample in samples / unit]
    over = [cp.pos(plan - sample) for sample in samples / unit]
    costs = [
        prices[0] * cp.sum(s) + prices[1] * cp.sum(o) + prices[2] * cp.sum_squares(s) + prices[3] * cp.sum_squares(o)
        for s, o in zip(short, over, strict=True)
    ]
    walls = [plan >= misses.low / unit, plan <= misses.high / unit]
    if np.isfinite(misses.ramp):
        walls.append(cp.abs(cp.diff(plan)) <= misses.ramp / unit)
    tail = cp.sum([cp.pos(cost - eta) for cost in costs]) / (alpha * len(samples))
    return float(scale * unit * cp.Problem(cp.Minimize(eta + tail), walls).solve(solver="CLARABEL"))


# -------------------------------------------------------------------------------------------------- the conic program


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.02, 0.3, 0.75])
@pytest.mark.parametrize(
    "misses",
    [
        BEDS,
        GENERATION,
        replace(GENERATION, ramp=0.0),
        replace(BEDS, over_sq=0.0),
        replace(BEDS, under_sq=0.0, over_sq=0.0),
        replace(BEDS, under=0.0, over=0.0),
        replace(BEDS, high=np.full(4, 100.0)),
    ],
    ids=["beds", "generation", "level", "no square over", "no squares", "squares alone", "bounds that bind"],
)
def test_plans__are_those_of_cvxpy(misses: Misses, alpha: float) -> None:
    samples = needs(12, 2, 4, 1.5 if misses.high[0] == 5.0 else 120.0)
    starts = np.clip(np.tile(samples.mean(axis=(0, 2))[:, None], 4), misses.low, misses.high)
    plans = tail_plans(samples, starts, misses, alpha)
    found = risk_at(misses, plans, samples, alpha)
    exact = [by_cvxpy(samples[:, case], misses, alpha) for case in range(2)]
    np.testing.assert_allclose(found, exact, rtol=2e-5)
    assert (plans >= misses.low - 1e-7).all()
    assert (plans <= misses.high + 1e-5).all()
    if np.isfinite(misses.ramp):
        assert np.abs(np.diff(plans, axis=1)).max() <= misses.ramp + 1e-7


def test_plans__no_other_is_better_on_a_grid() -> None:
    misses = replace(BEDS, low=np.zeros(2), high=np.full(2, 20.0))
    samples = needs(9, 1, 2, 6.0)
    grid = np.array(list(itertools.product(np.linspace(0.0, 20.0, 201), repeat=2)))
    for alpha in (0.1, 0.5, 0.9):
        least = cvar(misses.cost(grid[:, None], samples[:, 0]), alpha).min()
        plan = tail_plans(samples, np.full((1, 2), 6.0), misses, alpha)
        assert risk_at(misses, plan, samples, alpha)[0] <= least + 1e-7
        assert risk_at(misses, plan, samples, alpha)[0] >= least - 1.0  # the grid is 0.1 apart


@pytest.mark.parametrize("alpha", [0.05, 0.4])
def test_plans__do_not_depend_on_where_the_tail_is_guessed(alpha: float) -> None:
    samples = needs(60, 1, 4, 120.0)
    found = [tail_plans(samples, np.full((1, 4), start), BEDS, alpha) for start in (0.0, 120.0, 1_000.0)]
    values = [risk_at(BEDS, plan, samples, alpha)[0] for plan in found]
    np.testing.assert_allclose(values, values[0], rtol=1e-7)


def test_plans__at_the_whole_share_are_those_of_the_mean() -> None:
    samples = needs(30, 3, 7, 100.0)
    misses = replace(BEDS, low=np.zeros(7), high=np.full(7, 1e4))
    exact = plan_beds(samples, c_b=10.0, c_h=1.0, q_b=2.0, q_h=0.5)
    plans = tail_plans(samples, exact, misses, 1.0)
    np.testing.assert_allclose(risk_at(misses, plans, samples, 1.0), risk_at(misses, exact, samples, 1.0), rtol=1e-7)
    np.testing.assert_allclose(plans, exact, rtol=1e-3)


def test_plans__of_one_sample_meet_it() -> None:
    samples = needs(1, 2, 4, 120.0)
    np.testing.assert_allclose(tail_plans(samples, samples[0] + 5.0, BEDS, 0.1), samples[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("samples", "starts", "risk", "text"),
    [
        (np.ones((3, 2)), np.ones((2, 4)), 0.1, "samples must be [S, B, n] and starts [B, n]; got (3, 2) and (2, 4)"),
        (np.ones((0, 2, 4)), np.ones((2, 4)), 0.1, "samples must be [S, B, n]"),
        (np.full((3, 2, 4), np.nan), np.ones((2, 4)), 0.1, "samples must be finite; some are NaN or infinite"),
        (np.ones((3, 2, 4)), np.ones((2, 4)), 10, "risk must be in (0, 1], the share of worst outcomes; got 10."),
    ],
)
def test_plans__errors(samples: Floats, starts: Floats, risk: float, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        tail_plans(samples, starts, BEDS, risk)


def test_plans__that_are_not_possible() -> None:
    with pytest.raises(RuntimeError, match="no plan was found: Clarabel ends with"):
        tail_plans(needs(5, 1, 4, 10.0), np.ones((1, 4)), replace(BEDS, low=np.full(4, 3.0), high=np.ones(4)), 0.5)


def test_fixed_samples__have_the_same_noise_for_every_case() -> None:
    mean, sd = np.array([[1.0, 2.0], [5.0, 7.0]]), np.array([[1.0, 1.0], [2.0, 3.0]])
    samples = fixed_samples(Gaussian(mean, sd), 50)
    noise = (samples - mean) / sd
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(samples, fixed_samples(Gaussian(mean, sd), 50))
    given = np.ones((3, 2, 4))
    assert fixed_samples(given) is given


# ---------------------------------------------------------------------------------------------------------- decisions


def _kinds() -> dict[str, tuple[Any, Floats]]:
    """Decisions by name, with samples `[S, B, *]`."""
    load, beds = PowerSchedulingProblem(synthetic_load(20)), HospitalBedsProblem()
    game = NetworkSecurityProblem(n_nodes=12, radius=0.45)
    phi = np.random.default_rng(1).uniform(-1.0, 1.0, (12, 2, 12)) - game.hops
    return {
        "scheduling": (PowerScheduling(load), needs(25, 2, 24, 1.0)),
        "beds": (HospitalBeds(beds), needs(25, 2, 7, 120.0)),
        "network": (NetworkSecurity(game), phi),
        "sampled": (SampledDecision(load), needs(25, 2, 24, 1.0)),
    }


@pytest.fixture(scope="module")
def kinds() -> dict[str, tuple[Any, Floats]]:
    return _kinds()


@pytest.fixture(scope="module")
def planned(kinds: dict[str, tuple[Any, Floats]]) -> Callable[[str, float], Floats]:
    """Plans by name and risk, made once."""

    @cache
    def plans(name: str, risk: float) -> Floats:
        decision, samples = kinds[name]
        found: Floats = decision.decide(samples, risk)
        found.flags.writeable = False
        return found

    return plans


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "alpha"),
    [*itertools.product(["scheduling", "beds", "network"], [0.1, 0.5]), ("sampled", 0.3)],
)
def test_decide__has_less_risk_than_the_plan_of_the_mean(
    name: str, alpha: float, kinds: dict[str, tuple[Any, Floats]], planned: Callable[[str, float], Floats]
) -> None:
    decision, samples = kinds[name]
    mean, tail = planned(name, 1.0), planned(name, alpha)
    risks = [np.asarray(cvar(decision.cost(plans, samples).T, alpha)) for plans in (mean, tail)]
    assert (risks[1] <= risks[0] * (1.0 + 1e-9)).all()
    assert risks[1].sum() < 0.999 * risks[0].sum()
    means = [decision.cost(plans, samples).mean(axis=0) for plans in (mean, tail)]
    assert (means[0] <= means[1] * (1.0 + 1e-3)).all()
    np.testing.assert_allclose(decision.problem.project(tail), tail, atol=1e-6 * np.abs(tail).max())


@pytest.mark.parametrize("name", ["scheduling", "beds", "network", "sampled"])
def test_decide__risk_1_is_the_mean_to_the_bit(
    name: str, kinds: dict[str, tuple[Any, Floats]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(general, "N_STEPS", 20)
    decision, samples = kinds[name]
    np.testing.assert_array_equal(decision.decide(samples, 1.0), decision.decide(samples))


@pytest.mark.parametrize("name", ["scheduling", "beds", "network", "sampled"])
def test_decide__a_risk_that_is_no_share(name: str, kinds: dict[str, tuple[Any, Floats]]) -> None:
    decision, samples = kinds[name]
    for risk, error in ((0.0, ValueError), (10, ValueError), ("low", TypeError)):
        with pytest.raises(error, match=r"risk must be .*\(0, 1\]"):
            decision.decide(samples, risk)


def test_decide__scheduling_is_exact_and_keeps_the_ramp(kinds: dict[str, tuple[Any, Floats]]) -> None:
    decision, samples = kinds["scheduling"]
    problem = decision.problem
    misses = Misses(50.0, 0.5, 0.5, 0.5, problem.low, problem.high, problem.ramp)
    plans = decision.decide(samples, 0.2)
    np.testing.assert_allclose(
        risk_at(misses, plans, samples, 0.2), [by_cvxpy(samples[:, i], misses, 0.2) for i in range(2)], rtol=1e-6
    )
    assert np.abs(np.diff(plans, axis=1)).max() <= problem.ramp + 1e-9


def test_decide__scheduling_samples_a_normal_forecast(kinds: dict[str, tuple[Any, Floats]]) -> None:
    decision, _ = kinds["scheduling"]
    mean = 1.6 + 0.3 * np.sin(np.arange(24) / 4.0)[None]
    forecast = Gaussian(mean, np.full((1, 24), 0.2))
    plans = decision.decide(forecast, 0.3)
    np.testing.assert_array_equal(plans, decision.decide(fixed_samples(forecast), 0.3))


def test_decide__sampled_comes_near_the_exact_plan(
    kinds: dict[str, tuple[Any, Floats]], planned: Callable[[str, float], Floats]
) -> None:
    decision, samples = kinds["sampled"]
    ours, least = (cvar(decision.cost(planned(name, 0.3), samples).T, 0.3) for name in ("sampled", "scheduling"))
    assert (ours >= least * (1.0 - 1e-6)).all()
    assert (ours <= least * 1.03).all()


def test_decide__one_attacker_has_no_tail(kinds: dict[str, tuple[Any, Floats]]) -> None:
    decision, samples = kinds["network"]
    np.testing.assert_array_equal(decision.decide(samples[:1], 0.1), decision.decide(samples[:1]))


# ----------------------------------------------------------------------------------------------------------- policies


def test_risk_of__given_else_the_problems_else_the_mean() -> None:
    problem: Any = PowerSchedulingProblem(synthetic_load(20))
    assert risk_of(problem, None) == 1.0
    assert risk_of(problem, 0.2) == 0.2
    problem.risk = 0.5
    assert risk_of(problem, None) == 0.5
    assert risk_of(problem, 1.0) == 1.0
    with pytest.raises(ValueError, match=re.escape("risk must be in (0, 1], the share of worst outcomes; got 50.")):
        risk_of(problem, 50)


@pytest.fixture
def orders(newsvendor: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three goods to order, with few recorded cases."""
    monkeypatch.setattr(newsvendor, "N_CASES", {"train": 40, "validation": 5, "test": 5})
    return newsvendor.Newsvendor()


def test_usual__plans_for_the_tail_of_the_training_cases(orders: Any) -> None:
    problem = orders
    outcomes = problem.cases("train").outcomes
    mean, tail = Usual(problem), Usual(problem, risk=0.1)
    risks = [float(cvar(problem.cost(policy.plan, outcomes), 0.1)) for policy in (mean, tail)]
    assert risks[1] < risks[0]
    assert (Usual(problem, risk=1.0).plan == mean.plan).all()


def test_forecast_policy__passes_its_risk_to_the_plan(orders: Any) -> None:
    """With a forecast that is the same in both, the plan differs by the risk alone."""

    class Known(ForecastPolicy):
        name = "known"

        def __init__(self, problem: Any, risk: float | None = None) -> None:
            self.problem, self.seed, self.risk = problem, 0, risk_of(problem, risk)
            self.task = task_of(problem)
            self.model: Any = self

        def outcomes(self, data: Any, noise: Any) -> Any:
            del noise
            rng = np.random.default_rng(0)
            return torch.as_tensor(data.outcomes * np.exp(0.3 * rng.standard_normal((40, 1, 1))))

    cases = orders.cases("validation").rows(np.arange(3))
    mean, tail = Known(orders).decide(cases), Known(orders, 0.1).decide(cases)
    assert not np.allclose(mean, tail)
    np.testing.assert_array_equal(tail, plans_of(task_of(orders), Known(orders), cases, 0, 0.1))


def test_true_distribution__plans_for_the_tail() -> None:
    env = gym.make("stormgym:PowerScheduling-v0", n_days=20)
    observation, _ = env.reset(seed=0)
    plans = {risk: TrueDistribution.for_env(env, risk=risk).predict(observation)[0] for risk in (1.0, 0.3)}
    problem: Any = env.unwrapped.core.problem  # type: ignore[attr-defined]
    assert np.abs(plans[1.0] - plans[0.3]).max() > 1e-3
    assert np.abs(np.diff(plans[0.3])).max() <= problem.ramp + 1e-6
