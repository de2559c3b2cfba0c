"""Markdown tables of cells: losses with Student's t intervals of paired differences, coverage, sweeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.kit.tables import markdown, number
from benchmarks.undergrounding.plans.cells import PlanCell, Result
from benchmarks.undergrounding.plans.methods import KNOWN, NOTHING, OURS, WHOLE
from benchmarks.undergrounding.plans.scores import COLUMNS
from stormgym.agents.statistics import Estimate, mean_estimate

FORECAST_NAMES = {
    "empirical": "Emp",
    "cp": "CP",
    "ncp": "NCP",
    "joint": "NCP, joint",
}
_KIND_NAMES = {
    "one-stage-mean": "1-stage mean",
    "one-stage-worst": "1-stage worst",
    "two-stage-mean": "2-stage mean",
    "two-stage-worst": "2-stage worst",
    WHOLE: "2-stage worst, whole crews",
    "tri-level": "tri-level",
}
HEADS = {
    "mean": "mean",
    "tenth": "worst tenth",
    "1 sd": "1 sd",
    "2 sd": "2 sd",
    "total": "adv., total only",
    "box": "adv., box only",
    "both": "adv., both",
}
Swept = dict[tuple[str, str, float], list[Result]]
SYMBOLS = {"noise": "sigma", "budget": "B", "n_crews": "C", "n_regions": "n"}


def name_of(method: str) -> str:
    """What a table calls a method."""
    kind, _, forecast = method.partition(" ")
    return f"{_KIND_NAMES[kind]}, {FORECAST_NAMES[forecast]}" if kind in _KIND_NAMES else method


def difference(group: Sequence[Result], method: str, column: str) -> Estimate:
    """Mean over seeds of the paired difference to tri-level, customer-hours."""
    return mean_estimate([result.loss[method][column] - result.loss[OURS][column] for result in group])


def excess(group: Sequence[Result], method: str, column: str) -> Estimate:
    """The paired difference as a share of tri-level's mean loss, so that no seed with a small loss outweighs others."""
    ours = float(np.mean([result.loss[OURS][column] for result in group]))
    found = difference(group, method, column)
    unit = ours if ours > 0 else 1.0
    return Estimate(found.value / unit, found.low / unit, found.high / unit, found.n)


def profiles(results: dict[PlanCell, Result]) -> dict[str, list[Result]]:
    """Results of the seeds of each profile."""
    names = dict.fromkeys(cell.profile for cell in results)
    return {name: [result for cell, result in results.items() if cell.profile == name] for name in names}


def loss_table(results: dict[PlanCell, Result]) -> str:
    """Loss by method and column, and the paired difference to tri-level below it (tri-level Table II)."""
    texts = []
    for profile, group in profiles(results).items():
        rows = []
        for method in (*[name for name in group[0].loss if name != KNOWN], KNOWN):
            cells = []
            for column in COLUMNS:
                if column not in group[0].loss[method]:
                    cells.append("")
                    continue
                mean = np.mean([result.loss[method][column] for result in group]) / 1e3
                text = f"{mean:,.1f}"
                if method not in (OURS, NOTHING):
                    text += f" ({number(_scaled(difference(group, method, column)), '+', 1)})"
                cells.append(text)
            rows.append([f"**{name_of(method)}**" if method == OURS else name_of(method), *cells])
        table = markdown(["method", *HEADS.values()], rows)
        texts.append(f"Profile `{profile}`, thousand customer-hours (difference to tri-level, NCP):\n\n{table}")
    return "\n\n".join([*texts, _promises(results), _seeds(results)])


SUMMARY = ("nothing", "one-stage-mean ncp", "two-stage-mean ncp", "two-stage-whole ncp", OURS, KNOWN)
SUMMARY_PROFILE = "ten"


def summary_table(results: dict[PlanCell, Result]) -> str:
    """The small table of the front page: mean losses of some methods, in the storms that came and in the worst ones."""
    group = profiles(results)[SUMMARY_PROFILE]
    rows = []
    for method in SUMMARY:
        losses = [[r.loss[method][c] for r in group if c in r.loss[method]] for c in ("mean", "both")]
        rows.append([name_of(method), *(f"{np.mean(values) / 1e3:,.1f}" if values else "" for values in losses)])
    head = ["plan", "in the storms that came", "in the worst storm of the set"]
    return f"{markdown(head, rows)}\n\nThousand customer-hours, profile `{SUMMARY_PROFILE}`, {len(group)} seeds."


def _scaled(estimate: Estimate) -> Estimate:
    """In thousands, and no negative zero."""
    value = estimate.value / 1e3
    return Estimate(0.0 if abs(value) < 0.05 else value, estimate.low / 1e3, estimate.high / 1e3, estimate.n)


def _promises(results: dict[PlanCell, Result]) -> str:
    """How far above the losses that came the robust plans' own worst case was."""
    rows = []
    for profile, group in profiles(results).items():
        for method in group[0].promise:
            ratio, broken = (mean_estimate([r.promise[method][what] for r in group]) for what in ("ratio", "broken"))
            rows.append([profile, name_of(method), number(ratio, "", 2), f"{100 * broken.value:.1f} %"])
    head = ["profile", "plan", "worst case of its own set over mean loss", "test storms that cost more"]
    return markdown(head, rows)


def coverage_table(results: dict[PlanCell, Result]) -> str:
    """Shares of new storms that sets hold, widths and errors (tri-level Table IV)."""
    rows = []
    for profile, group in profiles(results).items():
        for name in group[0].coverage:
            found = {key: mean_estimate([r.coverage[name][key] for r in group]) for key in group[0].coverage[name]}
            shares = [percent(found[key]) for key in ("region", "box", "sum", "set")]
            sizes = [f"{found[key].value:,.1f}" for key in ("width", "sum_width", "mse", "sum_mse")]
            rows.append([profile, FORECAST_NAMES[name], *shares, *sizes])
    head = ["profile", "set", "one region", "box", "sum", "box and sum"]
    return f"{markdown([*head, 'width', 'width of sum', 'MSE', 'MSE of sum'], rows)}\n\n{_seeds(results)}"


def percent(estimate: Estimate) -> str:
    """A share with its half-width in percent."""
    text = f"{100 * estimate.value:.1f}"
    return text if np.isnan(estimate.low) else f"{text} ± {100 * estimate.half_width:.1f}"


def sweep_table(results: Swept, column: str = "both") -> str:
    """Excess over tri-level in the worst storm of the set by noise, budget, crews and cities (tri-level Fig. 3)."""
    methods = [name for name in next(iter(results.values()))[0].loss if name not in (OURS, NOTHING, KNOWN)]
    rows = []
    for (profile, name, value), group in results.items():
        ours = f"{np.mean([result.loss[OURS][column] for result in group]) / 1e3:,.1f}"
        shares = [percent(excess(group, method, column)) for method in methods]
        rows.append([profile, f"{SYMBOLS[name]} = {value:,g}", ours, *shares])
    return markdown(["profile", "setting", name_of(OURS), *(f"{name_of(m)}: excess, %" for m in methods)], rows)


def least_margin(results: Sequence[Result]) -> float:
    """Least share by which any other method's worst case was above tri-level's, over all storms and seeds."""
    return min(result.margin for result in results)


def _seeds(results: dict[PlanCell, Result]) -> str:
    cell = next(iter(results))
    n, below = len({one.seed for one in results}), max(-least_margin(list(results.values())), 0.0)
    return (
        f"{n} seeds, each with its own cities, costs and storms: {cell.n_fit} to fit on and {cell.n_calibration} to "
        f"calibrate on (Emp takes both), {cell.n_test} to plan for, {cell.n_coverage:,} more to count coverage on; "
        f"± 95 % over seeds. In the worst storm of the whole set no method is below tri-level, NCP, by more than a "
        f"share of {below:.0e}, on any seed or storm."
    )
