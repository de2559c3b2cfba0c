"""What learning a decision costs: plans with their derivative, normalisers, an epoch; CPU seconds, side by side.

    python -m benchmarks.decisions.speed --docs docs

Forecasts and cases are made up: times do not depend on whose loads they are. Every pair is timed in turn, a few times,
and the least counts. The comparison with cvxpylayers needs it installed (`pip install -e ".[dev]"`).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.decisions.methods import tuning_of
from stormgym.agents.decisions.power_scheduling import CvxScheduling, PowerScheduling, plan_schedule
from stormgym.agents.decisions.tasks import task_of
from stormgym.agents.dfl.decision import Gaussian
from stormgym.agents.dfl.learner import FineTuning, fine_tune
from stormgym.agents.dfl.losses.energy import EnergyLoss
from stormgym.agents.terminal import make_console
from stormgym.envs.decisions.hospital_beds import HospitalBedsProblem
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem
from stormgym.envs.decisions.problem import DecisionProblem

N_DAYS, N_CVX_DAYS = 2_042, 64


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Times of plans, normalisers and epochs."""

    repeats: int = 3
    """Times that each is measured; the least counts."""
    small: bool = False
    """A small form for trials."""
    docs: Path | None = None
    """Folder of the docs: the table goes into results/decisions.md."""


def least_cpu_s(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """CPU seconds of several works, in turn; the least of the repeats."""
    found = [[0.0] * len(works) for _ in range(repeats)]
    for times in found:
        for i, work in enumerate(works):
            began = time.process_time()
            work()
            times[i] = time.process_time() - began
    return [min(times[i] for times in found) for i in range(len(works))]


def forecasts(n_days: int) -> tuple[Gaussian, Tensor]:
    """Forecasts of n days whose plans often break the ramp, and loads."""
    rng = np.random.default_rng(0)
    mean = 1.6 + 0.35 * np.cumsum(rng.normal(0.0, 0.4, (n_days, 24)), axis=1).clip(-2.0, 2.0)
    sd = rng.uniform(0.03, 0.2, (n_days, 24))
    return Gaussian(torch.as_tensor(mean), torch.as_tensor(sd)), torch.as_tensor(mean + sd * rng.normal(size=sd.shape))


def gradient(decision: PowerScheduling, forecast: Gaussian, loads: Tensor) -> None:
    """Plans and the derivative of their cost."""
    mean, sd = (part.clone().requires_grad_() for part in forecast)
    decision.cost(decision.plan(Gaussian(mean, sd)), loads).sum().backward()


def energy(loss: EnergyLoss, decision: PowerScheduling, forecast: Gaussian, loads: Tensor) -> None:
    """An energy loss with its derivative."""
    mean, sd = (part.clone().requires_grad_() for part in forecast)
    targets = (loads,)
    noise = torch.Generator().manual_seed(0)
    loss(decision, Gaussian(mean, sd), loads, targets, noise).value.mean().backward()


def epoch_s(problem: DecisionProblem, method: str, repeats: int) -> float:
    """CPU seconds of one epoch of fine-tuning: half of what two more epochs take."""
    task = task_of(problem)
    model = task.new_model(0)
    model.fit(problem.cases("train"), problem.cases("validation"))
    settings = tuning_of(task, method)

    def run(chosen: FineTuning) -> Callable[[], object]:
        cases = problem.cases("train"), problem.cases("validation").rows(slice(0, 2))
        return lambda: fine_tune(copy.deepcopy(model), task.decision, *cases, chosen)

    one, three = (run(replace(settings, n_epochs=n)) for n in (1, 3))
    first, all_three = least_cpu_s([one, three], repeats)
    return max(all_three - first, 0.0) / 2.0


def rows_of(settings: Settings) -> list[list[str]]:
    """What is measured, seconds, and the ratio to what it is compared with."""
    n_days, n_cvx = (40, 2) if settings.small else (N_DAYS, N_CVX_DAYS)
    repeats = 1 if settings.small else settings.repeats
    problem = PowerSchedulingProblem(synthetic_load(60))
    decision = PowerScheduling(problem)
    forecast, loads = forecasts(n_days)
    rows = []
    few, few_loads = Gaussian(*(part[:n_cvx] for part in forecast)), loads[:n_cvx]
    try:
        layer = CvxScheduling(problem)
    except ImportError:
        layer = None
    if layer is not None:
        layered = layer
        ours, theirs = least_cpu_s(
            [lambda: gradient(decision, few, few_loads), lambda: gradient(layered, few, few_loads)], repeats
        )
        rows.append([f"plan and derivative, {n_cvx} days: interior point", f"{ours:.4f}", ""])
        rows.append([f"... cvxpylayers over 20 samples, {n_cvx} days", f"{theirs:.2f}", f"{theirs / ours:,.0f} x"])
    numbers = [np.asarray(part) for part in forecast]
    (plans,) = least_cpu_s([lambda: plan_schedule(*numbers)], repeats)
    rows.append([f"plans alone, {n_days:,} days", f"{plans:.3f}", ""])
    exact, joint = EnergyLoss(kl_weight=0.0), EnergyLoss(kl_weight=0.0, normaliser="snis", n_proposals=128)
    both = EnergyLoss(kl_weight=0.01)
    times = least_cpu_s(
        [lambda loss=loss: energy(loss, decision, forecast, loads) for loss in (exact, both, joint)],  # type: ignore[misc]
        repeats,
    )
    rows.append([f"l_MLE, exact normaliser, {n_days:,} days", f"{times[0]:.2f}", ""])
    rows.append(["... l_MLE + 0.01 l_KL, exact", f"{times[1]:.2f}", f"{times[1] / times[0]:.1f} x"])
    rows.append(["... l_MLE, SNIS with 128 samples", f"{times[2]:.2f}", f"{times[2] / times[0]:.1f} x"])
    size = {"n_nodes": 12, "radius": 0.45} if settings.small else {}
    problems: list[tuple[str, DecisionProblem]] = [
        ("hospital beds", HospitalBedsProblem()),
        ("network security", NetworkSecurityProblem(**size)),  # type: ignore[arg-type]
    ]
    for name, one in problems[1:] if settings.small else problems:
        for method in ("dfl", "so-ebm"):
            n = len(one.cases("train"))
            rows.append([f"{name}: an epoch of {method}, {n:,} cases", f"{epoch_s(one, method, repeats):.2f}", ""])
    return rows


def main(args: list[str] | None = None) -> int:
    """Measure, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    torch.set_num_threads(1)
    text = markdown(["what", "CPU seconds", "against the line before"], rows_of(settings))
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "results" / "decisions.md", "speed", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
