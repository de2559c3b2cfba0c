"""Which task a problem has: its own, that of what it inherits from, or the general one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from stormgym.agents.decisions import tasks
from stormgym.agents.decisions.general import GeneralTask
from stormgym.agents.decisions.hospital_beds import HospitalBedsTask
from stormgym.agents.decisions.network_security import NetworkSecurityTask
from stormgym.agents.decisions.power_scheduling import PowerSchedulingTask
from stormgym.agents.decisions.tasks import GENERAL, TASKS, register_task, task_of
from stormgym.envs.decisions.hospital_beds import HospitalBedsProblem
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem
from stormgym.envs.decisions.problem import DecisionProblem

OWN: list[tuple[DecisionProblem, type]] = [
    (PowerSchedulingProblem(synthetic_load(20)), PowerSchedulingTask),
    (HospitalBedsProblem(), HospitalBedsTask),
    (NetworkSecurityProblem(n_nodes=12, radius=0.45), NetworkSecurityTask),
]
ELSEWHERE = "stormgym.agents.decisions.network_security:NetworkSecurityTask"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = dict(TASKS)
    yield
    TASKS.clear()
    TASKS.update(before)


class Mine(DecisionProblem):
    """A problem of another package."""


class Steeper(PowerSchedulingProblem):
    """A problem of another package that is nearly one of ours."""


@pytest.mark.parametrize(("problem", "task"), OWN, ids=lambda part: getattr(part, "__name__", ""))
def test_task__of_our_problems_is_their_own_and_has_what_methods_need(problem: DecisionProblem, task: type) -> None:
    found = task_of(problem)
    assert type(found) is task
    assert found.problem is problem
    assert 1.0 in found.calibrations  # so that calibration can choose what was fitted
    assert all(factor > 0.0 for factor in found.calibrations)
    for name in ("cost", "decide", "energy", "project", "separable"):
        assert hasattr(found.decision, name), name
    model = found.new_model(0)
    for name in ("fit", "outcomes", "fit_loss", "parameters", "state", "restore"):
        assert callable(getattr(model, name)), name
    net = found.new_policy_net(0)
    for name in ("fit", "plans", "state", "restore"):
        assert callable(getattr(net, name)), name


def test_task__of_a_copy_for_planners_is_the_same() -> None:
    assert type(task_of(OWN[0][0].for_planners())) is PowerSchedulingTask


def test_task__of_a_problem_without_one_is_general() -> None:
    assert type(task_of(Mine())) is GeneralTask


def test_task__is_inherited() -> None:
    assert type(task_of(Steeper(synthetic_load(20)))) is PowerSchedulingTask


def test_register__names_the_task_of_a_problem_and_twice_is_once() -> None:
    for _ in range(2):
        register_task(Mine, ELSEWHERE)
    assert len(TASKS) == 6
    register_task(Steeper, GENERAL)
    assert type(task_of(Steeper(synthetic_load(20)))) is GeneralTask
    assert type(task_of(PowerSchedulingProblem(synthetic_load(20)))) is PowerSchedulingTask


def test_register__of_another_task_is_an_error() -> None:
    register_task(Mine, ELSEWHERE)
    with pytest.raises(ValueError, match=re.escape(f"Mine has the task {ELSEWHERE} already; got {GENERAL}")):
        register_task(Mine, GENERAL)
    with pytest.raises(ValueError, match=r"PowerSchedulingProblem has the task .*PowerSchedulingTask already"):
        register_task(PowerSchedulingProblem, GENERAL)
    assert TASKS[tasks._entry_of(Mine)] == ELSEWHERE


def test_register__problems_of_one_name_from_two_packages_have_tasks_of_their_own() -> None:
    names: dict[str, Any] = {"__module__": "elsewhere"}
    namesake = type("NetworkSecurityProblem", (DecisionProblem,), names)
    assert type(task_of(namesake())) is GeneralTask
    register_task(namesake, GENERAL)
    assert type(task_of(OWN[2][0])) is NetworkSecurityTask


def test_register__an_entry_point_that_leads_nowhere_is_named() -> None:
    register_task(Mine, "stormgym.agents.decisions.general:NoTask")
    with pytest.raises(ValueError, match=r"'stormgym\.agents\.decisions\.general:NoTask' leads nowhere"):
        task_of(Mine())
