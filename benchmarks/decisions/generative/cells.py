"""What is measured at once: one data set, and the point forecasts, laws, or tuned laws of one generator on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from benchmarks.decisions.generative.bench import RISKS, DataSet, data_set
from benchmarks.kit.cells import Cell
from stormgym.agents.decisions.generative import (
    CONTRASTIVE,
    FROM_SCRATCH,
    GEN_DFL,
    SPO_PLUS,
    ball_radius,
    contrastive_loss,
    from_scratch,
    samples_of,
    tune,
)
from stormgym.agents.decisions.linear import GENERATORS, GeneratorModel
from stormgym.agents.dfl.learner import FineTuning, Tuned
from stormgym.agents.dfl.losses import PreparedLoss
from stormgym.envs.decisions.problem import Cases

N_EPOCHS = 8
"""Of every fine-tuning of a law, the control's among them."""
PROXY_SEED = 1_000
"""Added to the seed of a proxy: another flow on the same data."""
N_PROXY_SAMPLES = 200
LARGER_STEPS = "likelihood alone, steps of 1e-3"
N_SELECTING = 64
"""Samples of a law on which the plans are made that choose an epoch."""
MORE_VALIDATION = (("n_validation", 164),)
"""Contexts that choose an epoch: of the 64 of other tables the noise is as large as what there is to choose."""
SCRATCH = {
    "SPO+": "spo+",
    "NCE": "nce",
    "MAP": "map",
    "pairwise": "pairwise",
    "listwise": "pool-listwise",
}
"""Losses that train a point forecast from nothing."""


@dataclass(frozen=True, kw_only=True)
class DataCell(Cell):
    """A data set of a task."""

    family: str
    seed: int
    arguments: tuple[tuple[str, Any], ...] = ()
    """Of the problem, where they differ from its own."""
    small: bool = False

    @property
    def data(self) -> DataSet:
        """Made once for cells in a row."""
        return data_set(self.family, self.seed, self.arguments, self.small)

    @property
    def shared(self) -> tuple[Any, ...]:
        """What cells in a row have in common."""
        return (self.family, str(self.arguments), self.seed)


@dataclass(frozen=True, kw_only=True)
class PointCell(DataCell):
    """Point forecasts by every loss, a ball around one, laws without features, and the floor."""

    FORMAT: ClassVar[int] = 2

    @property
    def title(self) -> str:
        """POINTS-TASK-SEED."""
        return f"points-{self.family}-{self.seed}"

    def measure(self) -> dict[str, Any]:
        """Regrets by method and risk."""
        d, seed = self.data, self.seed
        found = Methods(d, seed)
        train, test = d.problem.cases("train"), d.test
        past = np.repeat(train.outcomes[:, None], 1, axis=1)
        found.add("floor: true law", lambda: d.regrets(_plans_for(d, d.true_samples(test, d.family.n_samples, seed))))
        found.add("no features: mean", lambda: d.regrets(_same(d, past.mean(0, keepdims=True))))
        found.add("no features: all outcomes", lambda: d.regrets(_same(d, past)))
        model = d.task.new_model(seed)
        found.add("two-stage (MSE)", lambda: _after(model.fit(train, d.problem.cases("validation")), model))
        for name, loss in SCRATCH.items():
            settings: Any = replace(FROM_SCRATCH, loss=loss, **_short(self.small))
            found.add(name, lambda s=settings: from_scratch(d.task, s, seed))
        short = replace(SPO_PLUS, **_short(self.small))
        found.add("MSE, then SPO+", lambda: tune(d.task, model, short, seed))
        found.add("ball (DRO)", lambda: d.regrets(_ball(d, model, seed)))
        return found.result()


@dataclass(frozen=True, kw_only=True)
class LawCell(DataCell):
    """Laws fitted to outcomes, sampled."""

    @property
    def title(self) -> str:
        """LAWS-TASK-SEED."""
        return f"laws-{self.family}-{self.seed}"

    def measure(self) -> dict[str, Any]:
        """Regrets by law and risk, and validation NLL of a number where there is a density."""
        d, seed = self.data, self.seed
        found = Methods(d, seed)
        for name in GENERATORS:
            model = d.task.new_generator(name, seed)
            found.add(name, lambda m=model: _after(m.fit(*_past(d)), m))
            if name in ("flow", "gaussian"):
                found.note(name, nll=float(model.fit_loss(d.test, torch.Generator()).detach()))
        return found.result()


@dataclass(frozen=True, kw_only=True)
class TunedCell(DataCell):
    """One law, tuned on its plans at one risk by every loss, from one start and for as many epochs.

    The last epoch is kept: on contexts with one noisy outcome each, choosing an epoch loses what a loss gains
    (`ChosenCell`), and with the margin of a standard error that policies ask for the start is kept nearly always.
    """

    FORMAT: ClassVar[int] = 3
    KEEP: ClassVar[Any] = "last"
    KIND: ClassVar[str] = "tuned"
    arguments: tuple[tuple[str, Any], ...] = MORE_VALIDATION
    generator: str
    risk: float
    kinds: tuple[str, ...] = ()
    """Which of `tunings`; empty: all."""

    @property
    def title(self) -> str:
        """KIND-TASK-LAW-RISK-SEED."""
        return f"{self.KIND}-{self.family}-{self.generator}-{self.risk:g}-{self.seed}"

    def measure(self) -> dict[str, Any]:
        """Regrets at the cell's risk, of the start and of every loss."""
        d, seed, risk = self.data, self.seed, self.risk
        found = Methods(d, seed, (risk,))
        start = d.task.new_generator(self.generator, seed)
        start.n_samples = N_SELECTING
        found.add("start", lambda: _after(start.fit(*_past(d)), start))
        for name, (settings, proxy) in tunings(risk, LARGER_STEPS in self.kinds).items():
            if self.kinds and name not in self.kinds:
                continue
            chosen = replace(settings, keep=self.KEEP, **_short(self.small))
            found.add(
                name, lambda s=chosen, p=proxy: tune(d.task, start, s, seed, _loss(d, s, p, seed, self.generator))
            )
        return found.result()


@dataclass(frozen=True, kw_only=True)
class ChosenCell(TunedCell):
    """The same, with the epoch of the least validation score kept, the start among them."""

    FORMAT: ClassVar[int] = 2
    KEEP: ClassVar[Any] = "best"
    KIND: ClassVar[str] = "chosen"


@dataclass(frozen=True, kw_only=True)
class SweepCell(DataCell):
    """The methods that matter, at risk 1, on a data set whose arguments differ from the tables'."""

    @property
    def title(self) -> str:
        """SWEEP-TASK-ARGUMENTS-SEED."""
        return "-".join(["sweep", self.family, *(f"{name}={value}" for name, value in self.arguments), str(self.seed)])

    def measure(self) -> dict[str, Any]:
        """Regrets by method."""
        d, seed = self.data, self.seed
        found = Methods(d, seed, (1.0,))
        model = d.task.new_model(seed)
        found.add("two-stage (MSE)", lambda: _after(model.fit(*_past(d)), model))
        spo = replace(SPO_PLUS, **_short(self.small))
        found.add("MSE, then SPO+", lambda: tune(d.task, model, spo, seed))
        for name in ("residuals", "gaussian"):
            law = d.task.new_generator(name, seed)
            found.add(name, lambda m=law: _after(m.fit(*_past(d)), m))
        flow = d.task.new_generator("flow", seed)
        found.add("flow", lambda: _after(flow.fit(*_past(d)), flow))
        for name in ("likelihood alone", "SPO+ of the mean"):
            settings = replace(tunings(1.0)[name][0], keep="last", **_short(self.small))
            found.add(f"flow, {name}", lambda s=settings: tune(d.task, flow, s, seed))
        return found.result()


@dataclass(frozen=True, kw_only=True)
class RiskCell(DataCell):
    """Laws planned on at many risks."""

    risks: tuple[float, ...] = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)

    @property
    def title(self) -> str:
        """RISKS-TASK-SEED."""
        return f"risks-{self.family}-{self.seed}"

    def measure(self) -> dict[str, Any]:
        """Regrets by law and risk."""
        d, seed = self.data, self.seed
        found = Methods(d, seed, self.risks)
        model = d.task.new_model(seed)
        found.add("two-stage (MSE)", lambda: _after(model.fit(*_past(d)), model))
        for name in ("residuals", "gaussian", "flow"):
            law = d.task.new_generator(name, seed)
            found.add(name, lambda m=law: _after(m.fit(*_past(d)), m))
        found.add("ball (DRO)", lambda: d.regrets(_ball(d, model, seed), self.risks))
        return found.result()


def tunings(risk: float, larger_steps: bool = False) -> dict[str, tuple[FineTuning, str]]:
    """Settings of every tuning at a risk, and the proxy that it needs ("" for none), the control first.

    Args:
        risk: of the plans.
        larger_steps: whether a control with the step size of the fit is among them.
    """
    own = replace(GEN_DFL, risk=risk, n_epochs=N_EPOCHS, margin=0.0)
    paper = replace(CONTRASTIVE, risk=risk, n_epochs=N_EPOCHS, margin=0.0)
    found = {
        "likelihood alone": (replace(own, loss="none", decision_weight=None), ""),
        "contrastive, q = a flow": (paper, "flow"),
        "contrastive, q = the truth": (paper, "truth"),
        "proper loss": (replace(own, loss="proper"), ""),
    }
    found["SPO+ of the mean"] = (replace(own, loss="spo+"), "")
    if larger_steps:
        found[LARGER_STEPS] = (replace(own, loss="none", decision_weight=None, learning_rate=1e-3), "")
    if risk < 1.0:
        found["SPO+ of the tail"] = (replace(own, loss="tail-spo+"), "")
    return found


class Methods:
    """Results by method: regrets by risk, CPU seconds, and the epoch that was kept."""

    def __init__(self, data: DataSet, seed: int, risks: tuple[float, ...] = RISKS) -> None:
        self.data, self.seed, self.risks = data, seed, risks
        self._found: dict[str, dict[str, Any]] = {}

    def add(self, name: str, work: Callable[[], Any]) -> None:
        """Do the work, which gives regrets, a model, or a model and how its training went."""
        began = time.process_time()
        made = work()
        seconds = time.process_time() - began
        how: Tuned | None = None
        if isinstance(made, tuple):
            made, how = made
        regret = made if isinstance(made, Mapping) else self.data.on_samples(made, self.seed, self.risks)
        self._found[name] = {"regret": regret, "seconds": seconds}
        if how is not None:
            self._found[name] |= {"best_epoch": how.best_epoch, "epochs": len(how.regret) - 1}

    def note(self, name: str, **numbers: float) -> None:
        """Add to what is known of a method."""
        self._found[name] |= numbers

    def result(self) -> dict[str, Any]:
        """As it is kept."""
        return {"methods": self._found}


def _past(d: DataSet) -> tuple[Cases, Cases]:
    return d.problem.cases("train"), d.problem.cases("validation")


def _after(_: Any, model: GeneratorModel) -> GeneratorModel:
    """The model, once it is fitted."""
    return model


def _short(small: bool) -> dict[str, Any]:
    return {"n_epochs": 1} if small else {}


def _same(d: DataSet, samples: Any) -> Callable[[float], Any]:
    """One plan for all contexts, for samples `[S, 1, n]`."""
    return lambda risk: np.repeat(d.task.decision.decide(samples, risk), len(d.test), axis=0)


def _plans_for(d: DataSet, samples: Any) -> Callable[[float], Any]:
    return lambda risk: d.task.decision.decide(samples, risk)


def _ball(d: DataSet, model: GeneratorModel, seed: int) -> Callable[[float], Any]:
    """Plans in the ball around a point forecast whose radius is validated at each risk."""
    forecast = samples_of(model, d.test, seed)
    return lambda risk: d.task.decision.decide_in_ball(forecast, ball_radius(d.task, model, risk, seed), risk)


def _loss(d: DataSet, settings: FineTuning, proxy: str, seed: int, generator: str) -> PreparedLoss | None:
    """The contrastive loss of a proxy: the truth, or another law of the same kind on the same data."""
    if not proxy:
        return None
    if proxy == "truth":
        return contrastive_loss(d.task, settings, lambda cases: d.true_samples(cases, N_PROXY_SAMPLES, seed))
    other = d.task.new_generator(generator, seed + PROXY_SEED)
    other.fit(*_past(d))
    return contrastive_loss(d.task, settings, lambda cases: samples_of(other, cases, seed))
