"""The methods on small problems: all fit, are recalled to the bit, and are never worse on what they are chosen by."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from stormgym.agents.decisions.general import GeneralTask
from stormgym.agents.decisions.methods import (
    ALL_AT_ONCE,
    METHODS,
    TUNING,
    calibrated,
    code_of,
    costs_of,
    fitted,
    fitted_policy_net,
    plans_of,
    tuned_from,
    tuning_of,
)
from stormgym.agents.decisions.network_security import GraphLearner, NetworkSecurityTask
from stormgym.agents.decisions.power_scheduling import LoadModel, PowerSchedulingTask
from stormgym.agents.decisions.tasks import Task, task_of
from stormgym.agents.dfl import recall
from stormgym.agents.dfl.decision import planned_cost
from stormgym.agents.dfl.learner import standard_error
from stormgym.agents.dfl.recall import forget
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

TUNED = ("dfl", "so-ebm")
STARTS = {"dfl": "two-stage", "so-ebm": "two-stage", "energy-cost": "two-stage-calibrated"}
"""Of every method that tunes a forecaster further."""
PROBLEMS = ("town", "security")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache and a memory of our own: what one test fits the next recalls. Graph networks learn for a few epochs."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        fewer = {name: replace(tuning, n_epochs=2) for name, tuning in NetworkSecurityTask.tuning.items()}
        patch.setattr(NetworkSecurityTask, "tuning", fewer)
        patch.setitem(GraphLearner.__init__.__kwdefaults__, "max_epochs", 40)
        patch.setenv("STORMGYM_CACHE", str(folder))
        patch.setattr(recall, "_kept", type(recall._kept)())
        yield folder


def town() -> Task:
    return task_of(PowerSchedulingProblem(synthetic_load(120)))


def security() -> Task:
    return task_of(NetworkSecurityProblem(n_nodes=12, radius=0.45))


MADE = {"town": town, "security": security}


@pytest.fixture(scope="module", params=PROBLEMS)
def task(request: pytest.FixtureRequest) -> Task:
    return MADE[request.param]()


def no_fit(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("fitted again")


def validation_costs(task: Task, model: Any) -> np.ndarray:
    return costs_of(task, model, task.problem.cases("validation"))


def weights_of(model: Any) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


# ------------------------------------------------------------------------------------------------------ every method


@pytest.mark.slow
@pytest.mark.parametrize("method", ["two-stage", "two-stage-calibrated", *TUNED])
def test_fitted__plans_for_every_case_and_is_recalled(task: Task, method: str) -> None:
    model = fitted(task, method)
    assert fitted(task, method) is model
    plans = plans_of(task, model, task.problem.cases("test"))
    np.testing.assert_allclose(task.problem.project(plans), plans, atol=1e-9)
    costs = costs_of(task, model, task.problem.cases("test"))
    assert costs.shape == (len(task.problem.cases("test")),)
    assert (costs >= task.problem.best_costs("test") - 1e-6).all()


@pytest.mark.parametrize("method", ["two-stage", "two-stage-calibrated", *TUNED])
def test_fitted__comes_back_from_its_file_to_the_bit(task: Task, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = task.problem.cases("test")
    model = fitted(task, method)
    before = plans_of(task, model, cases)
    forget()
    monkeypatch.setattr(type(model), "fit", no_fit)
    monkeypatch.setattr("stormgym.agents.decisions.methods.fine_tune", no_fit)
    again = fitted(task, method)
    assert again is not model
    np.testing.assert_array_equal(plans_of(task, again, cases), before)
    assert again.scale_ == model.scale_


def test_policy_net__fits_is_recalled_and_comes_back_to_the_bit(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = task.problem.cases("test")
    net = fitted_policy_net(task)
    assert fitted_policy_net(task) is net
    plans = net.plans(cases)
    np.testing.assert_allclose(task.problem.project(plans), plans, atol=1e-9)
    forget()
    monkeypatch.setattr(type(net), "fit", no_fit)
    again = fitted_policy_net(task)
    assert again is not net
    np.testing.assert_array_equal(again.plans(cases), plans)


IN_ANOTHER_PROCESS = """
import sys
import numpy as np
from stormgym.agents.decisions.methods import fitted, fitted_policy_net, plans_of
from stormgym.agents.decisions.power_scheduling import LoadModel
from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.decisions.tasks import task_of
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

def no_fit(*args, **kwargs):
    raise AssertionError("fitted again")

LoadModel.fit = PolicyNet.fit = no_fit
task = task_of(PowerSchedulingProblem(synthetic_load(120)))
cases = task.problem.cases("test")
plans = {name: plans_of(task, fitted(task, name), cases) for name in sys.argv[2:]}
np.savez(sys.argv[1], net=fitted_policy_net(task).plans(cases), **plans)
"""


@pytest.mark.slow
def test_fitted__another_process_recalls_it_and_plans_to_the_bit_the_same(tmp_path: Path) -> None:
    task, methods = town(), ["two-stage", "two-stage-calibrated", *STARTS]
    cases = task.problem.cases("test")
    expected = {name: plans_of(task, fitted(task, name), cases) for name in methods}
    expected["net"] = fitted_policy_net(task).plans(cases)
    subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "plans.npz"), *methods], check=True)
    with np.load(tmp_path / "plans.npz") as found:
        assert set(found) == set(expected)
        for name, plans in expected.items():
            np.testing.assert_array_equal(found[name], plans, err_msg=name)


# --------------------------------------------------------------------------------------------------- the house rule


def test_calibrated__costs_no_more_on_the_validation_cases_than_its_start(task: Task) -> None:
    start = fitted(task, "two-stage")
    twin = calibrated(task, start)
    costs = {}
    for factor in task.calibrations:
        twin.scale_ = factor
        costs[factor] = validation_costs(task, twin).mean()
    chosen = fitted(task, "two-stage-calibrated")
    assert validation_costs(task, chosen).mean() == min(costs.values()) <= validation_costs(task, start).mean()
    assert chosen.scale_ == min(costs, key=lambda factor: costs[factor])
    np.testing.assert_array_equal(weights_of(chosen), weights_of(start))
    assert start.scale_ == 1.0  # what is shared is copied


@pytest.mark.parametrize("method", STARTS)
def test_tuned__is_its_start_or_better_by_a_standard_error_on_the_validation_cases(task: Task, method: str) -> None:
    if method == "energy-cost" and not task.decision.separable:
        pytest.skip("it needs energies that are sums")
    start, model = fitted(task, STARTS[method]), fitted(task, method)
    assert model.scale_ == start.scale_
    gain = validation_costs(task, start) - validation_costs(task, model)
    moved = not np.array_equal(weights_of(model), weights_of(start))
    assert gain.mean() > standard_error(gain) if moved else not gain.any()


def test_tuned__some_method_moves_and_some_does_not() -> None:
    """The rule above is tested in both its cases."""
    moved = [
        not np.array_equal(weights_of(fitted(task, method)), weights_of(fitted(task, "two-stage")))
        for task in (town(), security())
        for method in TUNED
    ]
    assert True in moved
    assert False in moved


def test_tuned__leaves_its_start_alone_and_says_how_it_went(task: Task) -> None:
    start = fitted(task, "two-stage")
    before, seen = weights_of(start), []
    settings = replace(tuning_of(task, "so-ebm"), n_epochs=2)
    twin, how = tuned_from(task, start, "so-ebm", 3, settings, lambda epoch, regret: seen.append((epoch, regret)))
    np.testing.assert_array_equal(weights_of(start), before)
    assert twin is not start
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    np.testing.assert_array_equal(how.regret, [regret for _, regret in seen])
    assert how.best_epoch in (0, 1, 2)


def test_tuned__by_another_loss_or_seed_is_another_model() -> None:
    task = town()
    start = fitted(task, "two-stage")
    chosen = replace(tuning_of(task, "so-ebm"), n_epochs=1, margin=0.0, learning_rate=1e-5, batch_size=20)
    first, again, other = (tuned_from(task, start, "so-ebm", s, chosen)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(weights_of(first), weights_of(again))
    assert (weights_of(first) != weights_of(start)).any()
    assert (weights_of(first) != weights_of(other)).any()  # another order of the batches


def test_two_stage__of_another_seed_is_another_model(task: Task) -> None:
    assert (weights_of(fitted(task, "two-stage", 0)) != weights_of(fitted(task, "two-stage", 1))).any()


# -------------------------------------------------------------------------------------------------------- settings


def test_settings__are_those_of_the_method_unless_the_task_has_its_own() -> None:
    assert tuning_of(town(), "so-ebm") == TUNING["so-ebm"]
    assert tuning_of(town(), "so-ebm").normaliser == "exact"
    assert tuning_of(town(), "dfl").batch_size == ALL_AT_ONCE
    assert tuning_of(security(), "so-ebm") == security().tuning["so-ebm"] != TUNING["so-ebm"]


def test_settings__a_normaliser_that_is_not_exact_is_sampled() -> None:
    task: Any = security()
    task.tuning = {}
    assert tuning_of(task, "so-ebm").normaliser == "snis"
    assert tuning_of(GeneralTask(town().problem), "so-ebm").normaliser == "snis"


def test_hindsight__costs_are_those_of_the_best_plans(task: Task) -> None:
    cases = task.problem.cases("validation")
    found = planned_cost(task.decision, cases.outcomes[None], cases.outcomes)
    np.testing.assert_allclose(found, task.problem.best_costs("validation"), atol=1e-9)


# ------------------------------------------------------------------------------------------ what is kept under a key


def test_kept__tasks_of_one_problem_that_differ_in_settings_are_told_apart() -> None:
    problem = PowerSchedulingProblem(synthetic_load(40))
    usual, published = PowerSchedulingTask(problem), PowerSchedulingTask(problem, as_published=True)
    first, second = fitted(usual, "two-stage"), fitted(published, "two-stage")
    assert isinstance(second, LoadModel)
    assert first is not second
    assert not second.net.standardise_outcomes
    third = fitted(GeneralTask(problem), "two-stage")
    assert type(third) is not LoadModel


def test_kept__factors_to_choose_from_are_told_apart() -> None:
    task, narrow = town(), cast(Any, town())
    narrow.calibrations = (0.4,)
    assert fitted(task, "two-stage-calibrated").scale_ != 0.4
    assert fitted(narrow, "two-stage-calibrated").scale_ == 0.4
    assert fitted(narrow, "two-stage") is fitted(task, "two-stage")


OWN_PROBLEM = """
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

class Mine(PowerSchedulingProblem):
    def cost(self, plans, outcomes):
        return {factor} * super().cost(plans, outcomes)
"""


def own_problem(folder: Path, factor: float) -> Any:
    """A class from a file, as it is read by a new process."""
    (folder / "mine.py").write_text(OWN_PROBLEM.format(factor=factor))
    spec = spec_from_file_location("mine", folder / "mine.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["mine"] = module
    spec.loader.exec_module(module)
    return module.Mine


def test_kept__a_problem_whose_own_code_has_changed_is_fitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mine", sys)  # taken back at the end
    digests = [code_of(PowerSchedulingTask, own_problem(tmp_path, factor)) for factor in (2.0, 2.0, 3.0)]
    assert digests[0] == digests[1] != digests[2]
    assert code_of(PowerSchedulingTask, PowerSchedulingProblem) == ""  # the suite's code has a digest of its own
    assert code_of(type("Typed", (PowerSchedulingProblem,), {"__module__": "nowhere"})) is None
    days, n_fits = synthetic_load(40), []

    def quick(model: LoadModel, *cases: Any) -> None:
        n_fits.append(1)
        model.net.fit(*[np.eye(3)] * 4)

    monkeypatch.setattr(LoadModel, "fit", quick)
    for factor, expected in ((2.0, 1), (2.0, 1), (3.0, 2)):
        forget()
        fitted(PowerSchedulingTask(own_problem(tmp_path, factor)(days)), "two-stage", 5)
        assert len(n_fits) == expected


def test_kept__a_problem_without_a_file_stays_in_memory_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is typed into a notebook: its code cannot be told apart in another process."""
    typed = type("Typed", (PowerSchedulingProblem,), {"__module__": "nowhere"})(synthetic_load(40))
    monkeypatch.setattr(LoadModel, "fit", lambda self, *cases: self.net.fit(*[np.eye(3)] * 4))
    before = sorted(cache.iterdir())
    model = fitted(PowerSchedulingTask(typed), "two-stage")
    assert fitted(PowerSchedulingTask(typed), "two-stage") is model
    assert sorted(cache.iterdir()) == before


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "method", "message"),
    [
        (town, "guess", f"method must be one of {', '.join(METHODS)}; got 'guess'"),
        (security, "dfl-cvx", "dfl-cvx is written for power scheduling; NetworkSecurityProblem has dfl"),
        (
            security,
            "energy-cost",
            "energy-cost needs energies that are sums over the parts of a decision, which those of NetworkSecurity are",
        ),
        (
            lambda: GeneralTask(town().problem),
            "dfl",
            "dfl needs the derivative of a plan, which SampledDecision does not have; take so-ebm",
        ),
    ],
)
def test_errors__say_what_does_not_fit(make: Any, method: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        fitted(make(), method)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of cvxpylayers
def test_cvx__moves_the_forecaster_by_batches_of_its_own() -> None:
    pytest.importorskip("cvxpylayers")
    task = task_of(PowerSchedulingProblem(synthetic_load(40)))
    settings = replace(TUNING["dfl-cvx"], n_epochs=1, batch_size=4)
    model, how = tuned_from(task, fitted(task, "two-stage"), "dfl-cvx", 0, settings)
    assert np.isfinite(how.regret).all()
    assert how.regret.shape == (2,)
    assert np.isfinite(plans_of(task, model, task.problem.cases("test"))).all()
