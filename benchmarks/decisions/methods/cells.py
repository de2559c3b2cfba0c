"""What one seed measures: a problem, and the cost of every method's decisions on its test cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.kit.cells import Cell
from stormgym.agents.decisions.methods import calibrated, costs_of, tuned_from, tuning_of
from stormgym.agents.decisions.policies import N_TRUE_SAMPLES
from stormgym.agents.decisions.power_scheduling import PowerSchedulingTask
from stormgym.agents.decisions.tasks import Task, task_of
from stormgym.envs.decisions.hospital_beds import HospitalBedsProblem
from stormgym.envs.decisions.load_data import LoadDays, read_load, synthetic_load
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem
from stormgym.envs.decisions.problem import Cases

Floats = NDArray[np.float64]
REFERENCE = "two-stage-calibrated"


@dataclass(frozen=True)
class Variant:
    """A way of fine-tuning."""

    method: str
    """Whose settings it starts from."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What is set otherwise."""
    start: str = "two-stage"
    """The forecaster that is tuned."""


EXACT: dict[str, Variant] = {
    "dfl": Variant("dfl"),
    "so-ebm": Variant("so-ebm"),
    "so-ebm, MLE alone": Variant("so-ebm", {"kl_weight": 0.0}),
    "so-ebm, KL alone": Variant("so-ebm", {"mle_weight": 0.0, "kl_weight": 1.0}),
    "so-ebm, KL alone, T = 30": Variant("so-ebm", {"mle_weight": 0.0, "kl_weight": 1.0, "temperature": 30.0}),
    "so-ebm, T = 30": Variant("so-ebm", {"temperature": 30.0}),
    "so-ebm, SNIS": Variant("so-ebm", {"normaliser": "snis"}),
    "so-ebm, Langevin": Variant("so-ebm", {"normaliser": "langevin", "n_proposals": 4}),
    "dfl from calibrated": Variant("dfl", start=REFERENCE),
    "so-ebm from calibrated": Variant("so-ebm", start=REFERENCE),
}
"""Where the energy is a sum over coordinates."""
SAMPLED: dict[str, Variant] = {
    "dfl": Variant("dfl"),
    "so-ebm": Variant("so-ebm", {"n_proposals": 16}),
    "so-ebm, T = 0.02": Variant("so-ebm", {"temperature": 0.02, "n_proposals": 16}),
    "so-ebm, Langevin": Variant("so-ebm", {"normaliser": "langevin", "n_proposals": 4, "temperature": 0.02}),
}
"""Where it is not."""


def _drawn(temperature: float, start: str = "two-stage") -> Variant:
    """The expected cost of decisions drawn from the model, with the steps of `dfl`."""
    weights = {"mle_weight": 0.0, "kl_weight": 0.0, "cost_weight": 1.0}
    return Variant("dfl", {"loss": "so-ebm", "temperature": temperature, **weights}, start)


def drawn_variants(high: float, low: float) -> dict[str, Variant]:
    """Two temperatures, from both starts."""
    return {
        f"energy on expected cost, T = {temperature:g}{said}": _drawn(temperature, start)
        for start, said in (("two-stage", ""), (REFERENCE, ", from calibrated"))
        for temperature in (high, low)
    }


@dataclass(frozen=True, kw_only=True)
class MethodCell(Cell):
    """One seed of one problem."""

    FORMAT: ClassVar[int] = 1
    """Raise it when what is measured changes, settings of methods included."""

    problem: str
    """A key of PROBLEMS."""
    seed: int
    data: str = ""
    """Digest of a user's data; "" where the problem makes its own."""
    small: bool = False

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.problem}-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class DrawnCell(MethodCell):
    """The same seed of the same problem; what is measured are energies trained on the expected cost."""

    part: str = "expected cost"


@dataclass(frozen=True)
class Family:
    """A problem as the benchmark has it."""

    name: str
    """As tables write it."""
    make: Callable[[int, LoadDays | None, bool], Task]
    """Seed, the user's days of load or None, and whether it is small -> task."""
    variants: Mapping[str, Variant]
    decimals: int
    drawn: Mapping[str, Variant] = field(default_factory=dict)
    """Energies on the expected cost, in cells of their own."""
    needs_load: bool = False
    """Whether it is measured on a user's load data."""


def _scheduling(split_by: Any, as_published: bool) -> Callable[[int, LoadDays | None, bool], Task]:
    def make(seed: int, days: LoadDays | None, small: bool) -> Task:
        del seed  # one record and one split for all seeds, which are of the networks
        assert days is not None
        return PowerSchedulingTask(PowerSchedulingProblem(days, split_by=split_by), as_published=as_published)

    return make


def _synthetic(seed: int, days: LoadDays | None, small: bool) -> Task:
    del days
    return task_of(PowerSchedulingProblem(synthetic_load(200 if small else 1_461, instance=seed), instance=seed))


def _beds(seed: int, days: LoadDays | None, small: bool) -> Task:
    del days, small
    return task_of(HospitalBedsProblem(instance=seed))


def _security(seed: int, days: LoadDays | None, small: bool) -> Task:
    del days
    size: dict[str, Any] = {"n_nodes": 12, "radius": 0.45} if small else {}
    return task_of(NetworkSecurityProblem(instance=seed, **size))


LOADS, BEDS = drawn_variants(0.3, 0.03), drawn_variants(3.0, 0.3)
PROBLEMS: dict[str, Family] = {
    "pjm-published": Family(
        "PJM loads, published split and recipe", _scheduling("published", True), EXACT, 3, LOADS, needs_load=True
    ),
    "pjm": Family("PJM loads, published split", _scheduling("published", False), EXACT, 3, LOADS, needs_load=True),
    "pjm-time": Family("PJM loads, split by time", _scheduling("time", False), EXACT, 3, needs_load=True),
    "town": Family("synthetic loads", _synthetic, EXACT, 3),
    "beds": Family("hospital beds", _beds, EXACT, 2, BEDS),
    "security": Family("network security", _security, SAMPLED, 3),
}


@lru_cache(maxsize=2)
def days_of(folder: str) -> LoadDays:
    """The record of a folder."""
    return read_load(folder)


def measure(cell: MethodCell, folder: str | None) -> dict[str, Any]:
    """Mean costs of every method on the test cases, and paired differences to the calibrated two-stage."""
    family = PROBLEMS[cell.problem]
    task = family.make(cell.seed, days_of(folder) if family.needs_load and folder else None, cell.small)
    problem = task.problem
    test = problem.cases("test")
    best = problem.best_costs("test")
    costs: dict[str, Floats] = {}
    notes: dict[str, dict[str, Any]] = {}
    model = task.new_model(cell.seed)
    _, fit_s = _timed(lambda: model.fit(problem.cases("train"), problem.cases("validation")))
    twin = calibrated(task, model, cell.seed)
    reference = costs_of(task, twin, test, cell.seed)
    starts = {"two-stage": model, REFERENCE: twin}
    drawn = isinstance(cell, DrawnCell)
    if not drawn:
        costs["usual"], notes["usual"] = _usual(task, test), {}
        costs["two-stage"], notes["two-stage"] = costs_of(task, model, test, cell.seed), {"seconds": fit_s}
        costs[REFERENCE], notes[REFERENCE] = reference, {"factor": twin.scale_}
    for name, variant in (family.drawn if drawn else family.variants).items():
        settings = replace(tuning_of(task, variant.method), **variant.changes)
        if cell.small:
            settings = replace(settings, n_epochs=1)
        (tuned, how), seconds = _timed(
            lambda v=variant, s=settings: tuned_from(task, starts[v.start], v.method, cell.seed, s)
        )
        ess = None if how.ess is None else float(how.ess[0])
        costs[name] = costs_of(task, tuned, test, cell.seed)
        notes[name] = {"best_epoch": how.best_epoch, "ess": ess, "seconds": seconds}
    if not drawn:
        net = task.new_policy_net(cell.seed)
        _, net_s = _timed(lambda: net.fit(problem.cases("train"), problem.cases("validation")))
        costs["policy-net"] = np.asarray(problem.cost(net.plans(test), test.outcomes))
        notes["policy-net"] = {"seconds": net_s}
    if problem.knows_truth and not drawn:
        samples = problem.true_outcomes(test, N_TRUE_SAMPLES, np.random.default_rng([9_018, cell.seed]))
        costs["true-distribution"] = np.asarray(problem.cost(task.decision.decide(samples), test.outcomes))
        notes["true-distribution"] = {}
    return {
        "optimum": float(best.mean()),
        "n_test": len(test),
        "methods": {name: {**_numbers(values, reference), **notes[name]} for name, values in costs.items()},
    }


def _usual(task: Task, test: Cases) -> Floats:
    """Costs of the one decision that is best for all training cases together."""
    plan = np.asarray(task.decision.decide(task.problem.cases("train").outcomes[:, None]))
    return np.asarray(task.problem.cost(plan, test.outcomes))


def _numbers(values: Floats, reference: Floats) -> dict[str, float]:
    difference = values - reference
    error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
    return {"cost": float(values.mean()), "difference": float(difference.mean()), "error": error}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def cells_of(name: str, seeds: int, loads: str, small: bool) -> list[MethodCell]:
    """Seeds of a problem: all methods, then energies on the expected cost."""
    family = PROBLEMS[name]
    data = loads if family.needs_load else ""
    kinds = (MethodCell, DrawnCell) if family.drawn else (MethodCell,)
    return [kind(problem=name, seed=seed, data=data, small=small) for kind in kinds for seed in range(seeds)]


def joined(results: Mapping[MethodCell, dict[str, Any]]) -> list[dict[str, Any]]:
    """A result a seed, with the methods of both kinds of cells."""
    found: dict[int, dict[str, Any]] = {}
    for cell, result in results.items():
        known = found.setdefault(cell.seed, {**result, "methods": {}})
        known["methods"] = {**known["methods"], **result["methods"]}
    return list(found.values())
