"""What plans of least CVaR cost: many at a time, one by one, and as a modelling language has them; by samples and size.

    python -m benchmarks.decisions.risk_speed --docs docs

Portfolios, knapsacks, paths and generators with samples of their true law, or of one like it. Every way is timed in
turn on the same samples, and the least of a few times counts; all but the first solve fewer cases, one after another.
CVXPY needs to be installed (`pip install -e ".[dev]"`). The last way is how published code writes the tail: an
expression a sample (`sum of cp.pos(...)`), built anew for every case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.dfl.risk import Polytope, cvar_plan, cvar_plans
from stormgym.agents.terminal import make_console
from stormgym.envs.arrays import Floats

ALPHA = 0.1
TASKS = ("portfolio", "knapsack", "path", "generators")
SIZES = (25, 50, 100, 200)
"""Parts of a knapsack, for the growth with d."""
GROWTH_SAMPLES = 200
MOST_EXPRESSIONS = 200
"""Samples up to which the form of an expression a sample is tried; beyond it takes minutes."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Times of plans of least CVaR."""

    repeats: int = 2
    """Times that each is measured; the least counts."""
    cases: int = 60
    """Cases that are solved together."""
    alone: int = 3
    """Cases that are solved one by one."""
    small: bool = False
    """A small form for trials."""
    docs: Path | None = None
    """Folder of the docs: the table goes into results/decisions.md."""


@dataclass(frozen=True, eq=False)
class Instance:
    """Samples of cases over one polytope."""

    samples: Floats  # [K, B, d]
    polytope: Polytope
    quadratic: Floats | None = None


def instance_of(task: str, n_samples: int, n_cases: int, d: int = 50) -> Instance:
    """A task of Gen-DFL's sizes (section 4); d is of the knapsack alone."""
    rng = np.random.default_rng([TASKS.index(task), n_samples, d])
    context = rng.standard_normal((n_cases, 5))
    if task == "portfolio":
        sigma, d = 20.0, 50
        root = rng.uniform(-0.0025 * sigma, 0.0025 * sigma, (d, 4))
        mean = (0.05 * _shared(context, d, rng) + 0.1**0.25) ** 4
        gains = mean + rng.standard_normal((n_samples, n_cases, 4)) @ root.T
        gains = gains + 0.01 * sigma * rng.standard_normal(gains.shape)
        quadratic = root @ root.T + (0.01 * sigma) ** 2 * np.eye(d)
        return Instance(-gains, Polytope(0.0, None, np.ones((1, d)), np.ones(1)), quadratic)
    if task == "knapsack":
        mean = ((_shared(context, d, rng) + 3.0) ** 4 + 1.0) / 3.5**4
        weights = rng.integers(3, 9, (1, d)).astype(float)
        samples = -mean * rng.uniform(0.0, 2.0, (n_samples, n_cases, d))
        return Instance(samples, Polytope(0.0, 1.0, weights, np.array([0.4 * d])))
    if task == "path":
        polytope, d = _grid(5)
        mean = (_shared(context, d, rng) + 3.0) ** 4 / 3.5**4 + 1.0
        return Instance(mean * rng.uniform(0.5, 1.5, (n_samples, n_cases, d)), polytope)
    prices = 50.0 + 10.0 * np.sin(np.arange(24) / 4.0) + 20.0 * rng.standard_t(3, (n_samples, n_cases, 24))
    return Instance(prices, Polytope(0.5, 1.5, None, None, np.ones((1, 24)), np.array([24.0])))


def _shared(context: Floats, d: int, rng: np.random.Generator) -> Floats:
    """What the context does to each part `[B, d]`."""
    return context @ rng.binomial(1, 0.5, (d, context.shape[1])).T / np.sqrt(context.shape[1])


def _grid(n: int) -> tuple[Polytope, int]:
    """Unit flow over an n x n grid, right and down, and its arcs."""
    nodes = [(i, j) for i in range(n) for j in range(n)]
    arcs = [(s, t) for s in nodes for t in ((s[0], s[1] + 1), (s[0] + 1, s[1])) if t in nodes]
    matrix = np.zeros((n * n, len(arcs)))
    for arc, (tail, head) in enumerate(arcs):
        matrix[nodes.index(tail), arc], matrix[nodes.index(head), arc] = 1.0, -1.0
    return Polytope(0.0, 1.0, None, None, matrix, np.eye(n * n)[0] - np.eye(n * n)[-1]), len(arcs)


def by_cvxpy(one: Instance, case: int, an_expression_a_sample: bool) -> float:
    """The least CVaR of one case as CVXPY has it."""
    import cvxpy as cp

    samples = one.samples[:, case]
    n, d = samples.shape
    w, eta = cp.Variable(d), cp.Variable()
    if an_expression_a_sample:
        tail: Any = 0
        for sample in samples:
            tail = tail + cp.pos(sample @ w - eta)
    else:
        tail = cp.sum(cp.pos(samples @ w - eta))
    goal = eta + tail / (ALPHA * n)
    if one.quadratic is not None:
        goal = goal + cp.quad_form(w, cp.psd_wrap(one.quadratic))
    (low, high), (a_ub, b_ub, a_eq, b_eq) = one.polytope.bounds(d), one.polytope.rows(d)
    walls = [w >= low] + ([w <= high] if np.isfinite(high).all() else [])
    walls += ([a_ub @ w <= b_ub] if len(b_ub) else []) + ([a_eq @ w == b_eq] if len(b_eq) else [])
    return float(cp.Problem(cp.Minimize(goal), walls).solve(solver="CLARABEL"))


def least_ms(works: list[tuple[Callable[[], object], int]], repeats: int) -> list[float]:
    """CPU milliseconds a case of works and how many cases each solves, in turn; the least of the repeats."""
    found = np.full((repeats, len(works)), np.inf)
    for times in found:
        for i, (work, n_cases) in enumerate(works):
            began = time.process_time()
            work()
            times[i] = 1e3 * (time.process_time() - began) / n_cases
    return [float(ms) for ms in found.min(axis=0)]


def measured(one: Instance, settings: Settings, has_cvxpy: bool) -> tuple[list[float], float]:
    """CPU milliseconds a case of each way, and the largest relative difference of the first from `cvar_plan`."""
    n_samples, n_cases, _ = one.samples.shape
    alone = range(min(settings.alone, n_cases))
    terms: dict[str, Any] = {"alpha": ALPHA, "quadratic": one.quadratic}
    together = cvar_plans(one.samples, one.polytope, **terms).value
    exact = np.array([cvar_plan(one.samples[:, case], one.polytope, **terms).value for case in alone])
    off = float((np.abs(together[: len(exact)] - exact) / np.maximum(np.abs(exact), 1e-3)).max())
    works: list[tuple[Callable[[], object], int]] = [
        (lambda: cvar_plans(one.samples, one.polytope, **terms), n_cases),
        (lambda: [cvar_plan(one.samples[:, case], one.polytope, **terms) for case in alone], len(alone)),
    ]
    if has_cvxpy:
        works.append((lambda: [by_cvxpy(one, case, False) for case in alone], len(alone)))
        if n_samples <= MOST_EXPRESSIONS:
            works.append((lambda: by_cvxpy(one, 0, True), 1))
    return least_ms(works, settings.repeats), off


def row_of(name: str, n_samples: int, d: int, ms: list[float], off: float) -> list[str]:
    """A line of the table."""
    cells = [f"{time_:.2f}" if time_ < 10 else f"{time_:,.0f}" for time_ in ms] + [""] * (4 - len(ms))
    return [name, str(d), f"{n_samples:,}", f"{1e3 / ms[0]:,.0f}", *cells, f"{ms[1] / ms[0]:.1f} x", f"{off:.0e}"]


def rows_of(settings: Settings) -> list[list[str]]:
    """Every task and number of samples, then the knapsack by its size."""
    try:
        import cvxpy  # noqa: F401  # whether it is there

        has_cvxpy = True
    except ImportError:
        has_cvxpy = False
    cases = 4 if settings.small else settings.cases
    rows = []
    for task in TASKS:
        for n_samples in (16, 32) if settings.small else (64, 200, 1_000):
            one = instance_of(task, n_samples, cases)
            rows.append(row_of(task, n_samples, one.samples.shape[2], *measured(one, settings, has_cvxpy)))
    for d in SIZES[:1] if settings.small else SIZES:
        n_samples = 16 if settings.small else GROWTH_SAMPLES
        one = instance_of("knapsack", n_samples, cases, d)
        rows.append(row_of("knapsack by size", n_samples, d, *measured(one, settings, False)))
    return rows


def main(args: list[str] | None = None) -> int:
    """Measure, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    torch.set_num_threads(1)
    header = ["task", "d", "K", "plans a second", "together", "`cvar_plan`", "CVXPY", "an expression a sample"]
    text = markdown([*header, "`cvar_plan` / together", "difference"], rows_of(settings))
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "results" / "decisions.md", "risk-speed", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
