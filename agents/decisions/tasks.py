"""`Task`: what the methods need to learn one decision, and the task of each problem.

`register_task` names the task of a problem of another package; a problem without one gets `GeneralTask`, which needs
nothing but its cost and its feasible set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stormgym.agents.dfl.decision import Decision, Model
from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.domain import load_entry
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases, DecisionProblem


class FittedModel(Model, Protocol):
    """A forecaster with a life cycle: `fit`, then `outcomes`; plain arrays by `state` and `restore`."""

    scale_: float
    """Factor on what calibration changes: the spread of a forecast, or its size; 1 as fitted."""

    def fit(self, train: Cases, validation: Cases) -> Any:
        """Learn what comes from what is known (stage 1)."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Plain arrays."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` says."""
        ...


class DirectPolicy(Protocol):
    """A network from what is known to a decision."""

    def fit(self, train: Cases, validation: Cases) -> Any:
        """Learn by the cost of its decisions."""
        ...

    def plans(self, cases: Cases) -> Floats:
        """Decisions `[E, n]`."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Plain arrays."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` says."""
        ...


class Task(Protocol):
    """What the methods need of a problem; made from it alone.

    A task with settings of its own has a `key` too, which tells them apart: fitted models are kept under it.
    """

    @property
    def problem(self) -> DecisionProblem:
        """What is decided."""
        ...

    @property
    def decision(self) -> Decision | Any:
        """How, for a forecast."""
        ...

    @property
    def calibrations(self) -> Sequence[float]:
        """Factors among which calibration chooses."""
        ...

    @property
    def tuning(self) -> Mapping[str, FineTuning]:
        """Settings of the methods that differ from `stormgym.agents.decisions.methods.TUNING`."""
        ...

    def new_model(self, seed: int) -> FittedModel:
        """An unfitted forecaster."""
        ...

    def new_policy_net(self, seed: int) -> DirectPolicy:
        """An unfitted network from what is known to a decision."""
        ...


_HERE, _THERE = "stormgym.agents.decisions", "stormgym.envs.decisions"
TASKS: dict[str, str] = {
    f"{_THERE}.power_scheduling:PowerSchedulingProblem": f"{_HERE}.power_scheduling:PowerSchedulingTask",
    f"{_THERE}.hospital_beds:HospitalBedsProblem": f"{_HERE}.hospital_beds:HospitalBedsTask",
    f"{_THERE}.network_security:NetworkSecurityProblem": f"{_HERE}.network_security:NetworkSecurityTask",
    f"{_THERE}.linear:LinearProblem": f"{_HERE}.linear:LinearTask",
    f"{_THERE}.energy_scheduling:EnergySchedulingProblem": f"{_HERE}.linear:PriceTask",
}
"""Entry points "module:class" of tasks by that of their problem."""
GENERAL = f"{_HERE}.general:GeneralTask"


def register_task(problem: type[DecisionProblem], entry_point: str) -> None:
    """Name the task of a problem of your own; registering the same again changes nothing.

    Raises:
        ValueError: the problem has another task already.
    """
    name = _entry_of(problem)
    if TASKS.get(name, entry_point) != entry_point:
        raise ValueError(f"{problem.__name__} has the task {TASKS[name]} already; got {entry_point}")
    TASKS[name] = entry_point


def _entry_of(problem: type) -> str:
    """ "module:class" of a problem: two packages may have problems of one name."""
    return f"{problem.__module__}:{problem.__qualname__}"


def task_of(problem: DecisionProblem) -> Task:
    """The task of a problem, or of the nearest class it inherits from that has one; else `GeneralTask`."""
    names = [_entry_of(base) for base in type(problem).__mro__]
    entry_point = next((TASKS[name] for name in names if name in TASKS), GENERAL)
    task: Task = load_entry(entry_point)(problem)
    return task
