"""Any problem by its cost and feasible set alone: plans against the exact ones, forecasts, and what they are worth."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from stormgym.agents.decisions.general import (
    N_SAMPLES,
    GeneralModel,
    GeneralTask,
    SampledDecision,
    flat_features,
)
from stormgym.agents.decisions.methods import calibrated, costs_of, tuned_from, tuning_of
from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.dfl.decision import Gaussian
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem, best_schedules


@pytest.fixture(scope="module")
def problem(newsvendor: ModuleType) -> Any:
    """Three goods whose best order is a quantile, with few recorded cases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newsvendor, "N_CASES", {"train": 300, "validation": 40, "test": 60})
        yield newsvendor.Newsvendor()


def exact_samples(mean: np.ndarray, sd: np.ndarray, n: int) -> np.ndarray:
    """Evenly spaced quantiles of normal outcomes `[n, B, D]`."""
    return np.asarray(mean + sd * norm.ppf((np.arange(n) + 0.5) / n)[:, None, None])


# ------------------------------------------------------------------------------------------------------------- plans


def test_decide__is_within_a_hundredth_of_the_exact_quantile(problem: Any, newsvendor: ModuleType) -> None:
    cases = problem.cases("test")
    samples = exact_samples(cases.hidden["mean"], newsvendor.UNIT * newsvendor.SD, 700)
    plans = GeneralTask(problem).decision.decide(samples)
    np.testing.assert_allclose(plans, problem.best_known(cases.context), rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("under", "over", "ramp"), [(2.0, 1.0, 0.1), (50.0, 0.5, 0.1), (50.0, 0.5, 0.4)])
def test_decide__costs_within_a_thousandth_of_the_optimum_where_a_constraint_joins_parts(
    under: float, over: float, ramp: float
) -> None:
    """Steps of a size of its own for each part, and the nearest plan that keeps the ramp, cost up to six times that."""
    problem = PowerSchedulingProblem(synthetic_load(40), gamma_under=under, gamma_over=over, ramp=ramp)
    rng = np.random.default_rng(0)
    samples = rng.normal(1.6, 0.2, (1, 3, 24)) + rng.normal(0.0, 0.1, (20, 3, 24))
    decision = SampledDecision(problem)
    found = decision.decide(samples)
    exact = best_schedules(samples, under, over, ramp)
    ours, least = (decision.energy(torch.as_tensor(samples), torch.as_tensor(plans)) for plans in (found, exact))
    assert float((ours / least).max()) < 1.001
    assert np.abs(np.diff(found, axis=1)).max() <= ramp * (1.0 + 1e-6)
    assert np.abs(np.diff(exact, axis=1)).max() > ramp - 1e-9  # it binds


def test_joined__is_what_a_ramp_or_a_budget_does_and_bounds_do_not(problem: Any) -> None:
    assert not SampledDecision(problem).joined
    assert SampledDecision(PowerSchedulingProblem(synthetic_load(20))).joined
    assert not SampledDecision(PowerSchedulingProblem(synthetic_load(20), ramp=99.0)).joined
    assert SampledDecision(NetworkSecurityProblem(n_nodes=12, radius=0.45)).joined


def test_decide__keeps_bounds_and_does_not_depend_on_the_other_cases(problem: Any, newsvendor: ModuleType) -> None:
    decision = SampledDecision(problem)
    mean = np.array([[-20.0, 500.0, 0.01], [3.0, 3_000.0, 0.03], [40.0, 1.0, 0.9]])
    samples = exact_samples(mean, newsvendor.UNIT * newsvendor.SD, 50)
    plans = decision.decide(samples)
    assert (plans >= problem.low).all()
    assert (plans <= problem.high).all()
    np.testing.assert_allclose(plans[0, 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(plans[2, [0, 2]], problem.high[[0, 2]], rtol=1e-6)
    for i in range(3):
        np.testing.assert_allclose(decision.decide(samples[:, i : i + 1])[0], plans[i], rtol=1e-9)


def test_decide__for_a_normal_forecast_plans_for_samples_of_it(problem: Any, newsvendor: ModuleType) -> None:
    mean = problem.cases("test").hidden["mean"][:5]
    forecast = Gaussian(mean, np.broadcast_to(newsvendor.UNIT * newsvendor.SD, mean.shape))
    plans = SampledDecision(problem).decide(forecast)
    np.testing.assert_allclose(plans, problem.best_known(problem.cases("test").rows(slice(5)).context), rtol=0.05)
    np.testing.assert_array_equal(SampledDecision(problem).decide(forecast), plans)


@pytest.mark.parametrize("shape", [(2, 3), (4, 2, 3)])
def test_energy__is_the_mean_cost_over_samples(problem: Any, newsvendor: ModuleType, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    samples, plans = rng.uniform(1, 5, (6, 2, 3)) * newsvendor.UNIT, rng.uniform(1, 5, shape) * newsvendor.UNIT
    decision = SampledDecision(problem)
    found = decision.energy(torch.as_tensor(samples), torch.as_tensor(plans))
    expected = np.mean([problem.cost(plans, sample) for sample in samples], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not decision.separable


# --------------------------------------------------------------------------------------------------------- forecasts


@pytest.fixture(scope="module")
def task(problem: Any) -> GeneralTask:
    return GeneralTask(problem)


@pytest.fixture(scope="module")
def model(task: GeneralTask) -> GeneralModel:
    model = task.new_model(0)
    model.fit(task.problem.cases("train"), task.problem.cases("validation"))
    return model


def test_features__are_all_that_is_known(problem: Any) -> None:
    cases = problem.cases("test").rows(slice(0, 4))
    x = flat_features(cases)
    np.testing.assert_array_equal(x[:, :2], cases.context["weather"])
    np.testing.assert_array_equal(x[:, 2:], cases.context["calendar"].reshape(4, 4))


def test_model__learns_the_mean_and_spread_of_goods_in_units_of_their_own(
    model: GeneralModel, problem: Any, newsvendor: ModuleType
) -> None:
    cases = problem.cases("test")
    with torch.no_grad():
        samples = model.outcomes(cases, torch.Generator().manual_seed(0)).numpy()
    assert samples.shape == (N_SAMPLES, 60, 3)
    error = np.abs(samples.mean(axis=0) - cases.hidden["mean"]) / newsvendor.UNIT
    assert error.mean() < 0.12
    np.testing.assert_allclose(samples.std(axis=0).mean(axis=0) / newsvendor.UNIT, newsvendor.SD, rtol=0.35)


def test_model__a_case_has_the_same_samples_whatever_the_others_are(model: GeneralModel, problem: Any) -> None:
    cases = problem.cases("test")
    with torch.no_grad():
        many = model.outcomes(cases, torch.Generator().manual_seed(3))
        one = model.outcomes(cases.rows(slice(7, 8)), torch.Generator().manual_seed(3))
    np.testing.assert_allclose(one[:, 0], many[:, 7], rtol=1e-5)


def test_model__restores_to_the_bit_with_the_shape_of_its_outcomes(model: GeneralModel, problem: Any) -> None:
    twin = GeneralModel(seed=4)
    twin.restore(model.state())
    cases = problem.cases("test")
    with torch.no_grad():
        found, expected = (m.outcomes(cases, torch.Generator().manual_seed(0)) for m in (twin, model))
    np.testing.assert_array_equal(found, expected)
    assert twin.scale_ == model.scale_


def test_model__outcomes_of_any_shape_come_back_in_theirs() -> None:
    problem = PowerSchedulingProblem(synthetic_load(40))
    cases = problem.cases("train")
    folded = type(cases)(cases.context, cases.outcomes.reshape(-1, 4, 6))
    model = GeneralModel()
    model.net.max_steps = 2
    model.fit(folded, folded)
    assert model.outcomes(folded, torch.Generator()).shape == (N_SAMPLES, len(cases), 4, 6)
    assert bool(model.fit_loss(folded, torch.Generator()).isfinite())


# ------------------------------------------------------------------------------------------------ what it is worth


def test_worth__the_plan_on_a_forecast_is_near_that_on_the_true_law(
    model: GeneralModel, task: GeneralTask, newsvendor: ModuleType
) -> None:
    test = task.problem.cases("test")
    found = costs_of(task, model, test)
    floor = task.problem.cost(task.problem.best_known(test.context), test.outcomes)
    usual = task.problem.cost(np.tile(task.problem.usual[0], (60, 1)), test.outcomes)
    assert floor.mean() < found.mean() < floor.mean() + 0.25 * (usual.mean() - floor.mean())


@pytest.mark.slow
def test_methods__calibration_and_energies_cost_no_more_on_the_validation_cases(
    model: GeneralModel, task: GeneralTask
) -> None:
    validation = task.problem.cases("validation")
    start = costs_of(task, model, validation).mean()
    assert costs_of(task, calibrated(task, model), validation).mean() <= start
    settings = tuning_of(task, "so-ebm")
    assert settings.normaliser == "snis"
    twin, how = tuned_from(task, model, "so-ebm", 0, replace(settings, n_epochs=1))
    assert how.best_epoch <= 1
    assert costs_of(task, twin, validation).mean() <= start
    assert how.ess is not None
    assert (how.ess > 1.0).all()


def test_methods__the_policy_net_is_a_small_one(task: GeneralTask) -> None:
    net = task.new_policy_net(3)
    assert isinstance(net, PolicyNet)
    assert net.hidden == (64, 64)
    net.max_steps = 150
    net.fit(task.problem.cases("train"), task.problem.cases("validation"))
    test = task.problem.cases("test")
    usual = task.problem.cost(np.tile(task.problem.usual[0], (60, 1)), test.outcomes).mean()
    assert task.problem.cost(net.plans(test), test.outcomes).mean() < usual
