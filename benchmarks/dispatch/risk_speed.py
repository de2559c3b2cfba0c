"""How long a plan of least risk takes at the size of a state, and what gap it leaves.

    python -m benchmarks.dispatch.risk_speed --docs docs

Simulated storms of `synthetic:67:0` (67 counties, 30 days); of each storm's weather 100 waves are drawn, and every plan
is made for the same ones, one after the other on one thread. Beside them is the plan for the mean of the same waves, by
the flow and by the program that plans of least risk are solved with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown, show
from stormgym.agents.dispatch.flow import solve_dispatch
from stormgym.agents.dispatch.planners import risk_plan
from stormgym.envs.arrays import Floats
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.profiles import resolve_profile

PLANS: dict[str, tuple[float, float]] = {
    "the mean": (1.0, 0.0),
    "half mean, half CVaR 0.1": (0.1, 0.5),
    "CVaR 0.1": (0.1, 0.0),
    "CVaR 0.5": (0.5, 0.0),
    "CVaR 0.02": (0.02, 0.0),
}
"""Share of worst samples, and weight of the mean."""
HEAD = ("plan", "CPU seconds, least", "most", "largest gap left")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Time of plans over samples."""

    profile: str = "synthetic:67:0"
    """Counties, days and costs."""
    storms: int = 3
    """Simulated ones, with a draw of waves each."""
    samples: int = 100
    """Waves of a storm's weather."""
    docs: Path | None = None
    """Folder of the docs: the table goes to results/dispatch.md."""


def waves_of(profile: StormProfile, storm: int, n_samples: int) -> Floats:
    """Waves `[S, T, K]` of the weather of a simulated storm."""
    storms = profile.simulate([np.random.default_rng([7_031, storm])])
    return profile.simulate_given(storms.covariates, n_samples, seed=7_032)[:, 0, 1:]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and CPU seconds."""
    began = time.process_time()
    return work(), time.process_time() - began


def rows_of(settings: Settings) -> list[list[str]]:
    """Seconds and gaps over storms, a row a plan."""
    profile = resolve_profile(settings.profile)
    found: dict[str, list[tuple[float, float]]] = {}
    for storm in range(settings.storms):
        waves = waves_of(profile, storm, settings.samples)
        _, seconds = timed(lambda w=waves: _flow(profile, w))
        found.setdefault("the mean, by the flow", []).append((seconds, 0.0))
        for name, (alpha, weight) in PLANS.items():
            plan, seconds = timed(lambda w=waves, a=alpha, m=weight: risk_plan(profile, w, alpha=a, mean_weight=m))
            found.setdefault(name, []).append((seconds, plan.gap))
    return [
        [name, f"{min(s for s, _ in own):.1f}", f"{max(s for s, _ in own):.1f}", f"{max(gap for _, gap in own):.1e}"]
        for name, own in found.items()
    ]


def _flow(profile: StormProfile, waves: Floats) -> Any:
    return solve_dispatch(
        waves,
        generators=profile.generators,
        customers_per_generator=profile.customers_per_generator,
        transport_cost=profile.transport_cost,
        interruption_cost=profile.interruption_cost,
        operating_cost=profile.operating_cost,
    )


def main(args: list[str] | None = None) -> int:
    """Plan, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    rows = rows_of(settings)
    show(HEAD, rows)
    if settings.docs is not None:
        replace_block(settings.docs / "results" / "dispatch.md", "risk-speed", markdown(HEAD, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
