"""What `bench` has no data set of: hospital beds, whose cost is not linear, and recorded prices of unknown law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.decisions.generative.bench import RISKS
from benchmarks.decisions.generative.cells import tunings
from benchmarks.kit.cells import Cell
from stormgym.agents.decisions.generative import SPO_PLUS, ball_radius, samples_of, tune
from stormgym.agents.decisions.linear import GeneratorModel, LinearTask
from stormgym.agents.decisions.methods import calibrated, plans_of
from stormgym.agents.decisions.tasks import task_of
from stormgym.agents.dfl.risk import cvar, value_at_risk
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.hospital_beds import HospitalBedsProblem
from stormgym.envs.decisions.price_data import PriceDays, read_prices

N_BEDS_CONTEXTS, N_BEST, N_JUDGES = 20, 500, 2_000


@dataclass(frozen=True, kw_only=True)
class BedsCell(Cell):
    """Hospital beds at every risk, against the true law; SPO+ and a ball do not apply to costs that are not linear."""

    seed: int
    small: bool = False

    @property
    def title(self) -> str:
        """BEDS-SEED."""
        return f"beds-{self.seed}"

    def measure(self) -> dict[str, Any]:
        """Regret by method and risk, in percent of what the best plans cost in the mean."""
        problem = HospitalBedsProblem(instance=self.seed)
        task: Any = task_of(problem)
        test = problem.cases("test")
        test = test.rows(np.linspace(0, len(test) - 1, 3 if self.small else N_BEDS_CONTEXTS).astype(np.int64))
        n_best, n_judges = (40, 40) if self.small else (N_BEST, N_JUDGES)
        planned, judges, floor = (
            problem.true_outcomes(test, n, np.random.default_rng([9_020, self.seed, stream]))
            for stream, n in enumerate((n_best, n_judges, 200))
        )

        def risk_of(plans: Floats, risk: float) -> Floats:
            return np.asarray(cvar(np.moveaxis(problem.cost(plans, judges), 0, -1), risk))

        least = {risk: risk_of(task.decision.decide(planned, risk), risk) for risk in RISKS}
        unit = float(least[1.0].sum())
        model = task.new_model(self.seed)
        model.fit(problem.cases("train"), problem.cases("validation"))
        twin = calibrated(task, model, self.seed)
        past = problem.cases("train").outcomes[:: 1 if not self.small else 20][:, None]
        plans_at: dict[str, Callable[[float], Floats]] = {
            "floor: true law": lambda risk: task.decision.decide(floor, risk),
            "no features: all outcomes": lambda risk: np.repeat(task.decision.decide(past[:200], risk), len(test), 0),
            "two-stage, planned for the mean": lambda risk: plans_of(task, model, test, self.seed),
            "two-stage, planned at the risk": lambda risk: plans_of(task, model, test, self.seed, risk),
            "calibrated, planned at the risk": lambda risk: plans_of(task, twin, test, self.seed, risk),
        }
        found = {
            name: {
                "regret": {
                    f"{risk:g}": 100.0 * float((risk_of(make(risk), risk) - least[risk]).sum()) / unit for risk in RISKS
                }
            }
            for name, make in plans_at.items()
        }
        return {"methods": found}


@lru_cache(maxsize=1)
def prices_of(folder: str) -> PriceDays:
    """The record of a folder."""
    return read_prices(folder)


@dataclass(frozen=True, kw_only=True)
class RecordedCell(Cell):
    """Recorded prices: what plans cost on the last fifth of the days, in the mean and on the worst tenth of them."""

    seed: int
    data: str
    """Digest of the record."""
    small: bool = False

    @property
    def title(self) -> str:
        """RECORDED-SEED."""
        return f"recorded-{self.seed}"

    def measure_on(self, days: PriceDays) -> dict[str, Any]:
        """Mean cost, CVaR 0.1 over days and proper score at 0.1, and their differences to two-stage within the seed."""
        problem = EnergySchedulingProblem(days)
        task: Any = task_of(problem)
        assert isinstance(task, LinearTask)
        past, test = (problem.cases("train"), problem.cases("validation")), problem.cases("test")
        seed = self.seed
        point = task.new_model(seed)
        point.fit(*past)
        laws: dict[str, GeneratorModel] = {"two-stage (MSE)": point}
        short = {"n_epochs": 1} if self.small else {}
        laws["MSE, then SPO+"] = tune(task, point, replace(SPO_PLUS, **short), seed)[0]  # type: ignore[arg-type]
        for name in ("residuals", "forest", "gaussian", "flow"):
            laws[name] = task.new_generator(name, seed)
            laws[name].fit(*past)
        settings = replace(tunings(1.0)["SPO+ of the mean"][0], **short)  # type: ignore[arg-type]
        laws["flow, SPO+ of the mean"] = tune(task, laws["flow"], settings, seed)[0]
        costs: dict[str, dict[float, Floats]] = {}
        scores: dict[str, float] = {}
        every = past[0].outcomes[:, None]
        costs["no features: all outcomes"] = {
            risk: problem.cost(task.decision.decide(every, risk), test.outcomes) for risk in (0.1, 1.0)
        }
        for name, law in laws.items():
            samples = samples_of(law, test, seed)
            plans = {risk: task.decision.decide(samples, risk) for risk in (0.1, 1.0)}
            costs[name] = {risk: problem.cost(plan, test.outcomes) for risk, plan in plans.items()}
            if len(samples) > 1:
                eta = value_at_risk(problem.cost(plans[0.1], samples).T, 0.1)
                scores[name] = float((eta + np.maximum(costs[name][0.1] - eta, 0.0) / 0.1).mean())
        forecast = samples_of(point, test, seed)
        costs["ball (DRO)"] = {
            risk: problem.cost(
                task.decision.decide_in_ball(forecast, ball_radius(task, point, risk, seed), risk), test.outcomes
            )
            for risk in (0.1, 1.0)
        }
        best = float(problem.best_costs("test").mean())
        return {
            "hindsight": best,
            "n_test": len(test),
            "methods": {name: _figures(own, costs["two-stage (MSE)"], scores.get(name)) for name, own in costs.items()},
        }


def _figures(own: dict[float, Floats], reference: dict[float, Floats], score: float | None) -> dict[str, Any]:
    difference = own[1.0] - reference[1.0]
    return {
        "mean": float(own[1.0].mean()),
        "cvar": float(cvar(own[0.1], 0.1)),
        "cvar of the mean's plan": float(cvar(own[1.0], 0.1)),
        "difference": float(difference.mean()),
        "error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
        "score": score,
    }
