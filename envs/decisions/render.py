"""Pictures of a decision: what was known, what was decided, what came and what it cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.decisions.problem import Cases, DecisionProblem

WIDTH_PX, HEIGHT_PX, DPI = 900, 480, 100
MOST_LINES = 24
"""Parts of a decision, at most, that text lists."""


def render(problem: DecisionProblem, case: Cases, plan: NDArray[np.float64] | None, mode: str) -> Any:
    """A picture of one case.

    Args:
        problem: what happens.
        case: one case (E = 1).
        plan: `[n]` the decision as carried out; None before there is one.
        mode: `"ansi"` for text of at most 80 columns, `"rgb_array"` for a frame.

    Raises:
        ValueError: another mode.
    """
    if mode == "ansi":
        return render_text(problem, case, plan)
    if mode == "rgb_array":
        return render_frame(problem, case, plan)
    raise ValueError(f"render mode must be ansi or rgb_array; got {mode!r}")


def headline(problem: DecisionProblem, case: Cases, plan: NDArray[np.float64] | None) -> str:
    """One line: the cost of the decision beside the best one in hindsight."""
    if plan is None:
        return f"a decision of {problem.n} parts is to be taken"
    best = problem.best(case.outcomes)
    cost, optimum = (float(problem.cost(p, case.outcomes)[0]) for p in (plan[None], best))
    return f"cost {cost:,.3f} {problem.cost_unit}".rstrip() + f", in hindsight {optimum:,.3f} was possible"


def render_text(problem: DecisionProblem, case: Cases, plan: NDArray[np.float64] | None) -> str:
    """Summary, and the largest parts of the decision beside the best one in hindsight."""
    lines = [type(problem).__name__, headline(problem, case, plan)]
    for name, values in case.context.items():
        flat = values.ravel()
        lines.append(f"{name:<24}{flat.size:>5} numbers, {flat.min():.3g} to {flat.max():.3g}")
    if plan is not None:
        best = problem.best(case.outcomes)[0]
        shown = np.sort(np.argsort(-np.abs(plan) - np.abs(best), kind="stable")[:MOST_LINES])
        lines += ["", f"{'part':>4}{'decision':>14}{'in hindsight':>14}"]
        lines += [f"{i:>4}{plan[i]:>14.4g}{best[i]:>14.4g}" for i in shown.tolist()]
    return "\n".join(lines) + "\n"


def render_frame(problem: DecisionProblem, case: Cases, plan: NDArray[np.float64] | None) -> NDArray[np.uint8]:
    """The problem's own picture `[H, W, 3]`, with the headline above it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    problem.picture(axes, case, plan)
    axes.set_title(headline(problem, case, plan), loc="left", fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.draw()
    frame: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return frame
