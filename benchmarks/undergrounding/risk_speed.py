"""How long the exact plan of least risk takes, how far it gets, and what the search finds beside it.

    python -m benchmarks.undergrounding.risk_speed --docs docs

Simulated seasons, 100 storms of each season's weather; `solve_risk_plan` stops at a gap of 1e-4 or at the limit of the
clock, on one thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown, show
from stormgym.agents.undergrounding.case import best_plan, storm_losses
from stormgym.agents.undergrounding.planners import bare_case, sampled_storms
from stormgym.agents.undergrounding.risk import solve_risk_plan
from stormgym.envs.risk import mean_cvar
from stormgym.envs.undergrounding.profiles import resolve_profile

PLANS: dict[str, tuple[float, float]] = {"half mean, half CVaR 0.1": (0.1, 0.5), "CVaR 0.1": (0.1, 0.0)}
HEAD = ("regions", "plan", "exact, s", "gap left", "search, s", "search above the proved bound")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Time of exact plans and of the search."""

    profiles: tuple[str, ...] = ("synthetic:14:0", "synthetic:20:0")
    """Regions and costs; 40 regions take minutes."""
    samples: int = 100
    """Storms of the weather."""
    limit_s: float = 60.0
    """Of one exact plan."""
    docs: Path | None = None
    """Folder of the docs: the table goes to results/undergrounding.md."""


def row_of(name: str, plan: str, settings: Settings) -> list[str]:
    """One plan of one season."""
    profile, (alpha, weight) = resolve_profile(name), PLANS[plan]
    case = bare_case(profile, profile.seasons([np.random.default_rng([7_033, 0])]).covariates[0])
    storms = sampled_storms(profile, case.covariates, settings.samples)
    exact = solve_risk_plan(
        case, storms, profile, alpha=alpha, mean_weight=weight, gap=1e-4, time_limit=settings.limit_s
    )
    began = time.perf_counter()
    found = best_plan(case, storms, profile, alpha=alpha, mean_weight=weight)
    seconds = time.perf_counter() - began
    value = float(mean_cvar(storm_losses(found[None], case, storms, profile), alpha, weight)[0])
    gap, above = exact.value / exact.bound - 1.0, value / exact.bound - 1.0
    return [str(profile.n_counties), plan, f"{exact.seconds:.1f}", f"{gap:.2%}", f"{seconds:.2f}", f"{above:.2%}"]


def main(args: list[str] | None = None) -> int:
    """Plan, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    rows = [row_of(name, plan, settings) for name in settings.profiles for plan in PLANS]
    show(HEAD, rows)
    if settings.docs is not None:
        replace_block(settings.docs / "results" / "undergrounding.md", "risk-speed", markdown(HEAD, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
