"""Markdown tables of methods, with Student's t intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.decisions.methods.cells import PROBLEMS, REFERENCE, Family, MethodCell, joined
from benchmarks.kit.tables import markdown, number
from stormgym.agents.statistics import Estimate, mean_estimate

HEAD = ("method", "cost", "regret", "against the calibrated two-stage", "within a seed", "moved", "ESS", "CPU s")
NAMES = {"usual": "one decision always", "true-distribution": "floor: true law"}


def _values(results: list[dict[str, Any]], method: str, key: str) -> list[Any]:
    return [result["methods"][method].get(key) for result in results]


def _over_seeds(results: list[dict[str, Any]], method: str, key: str) -> Estimate:
    return mean_estimate(_values(results, method, key))


def problem_table(family: Family, results: list[dict[str, Any]]) -> str:
    """Cost and regret of every method, dearest last, and what it differs from the calibrated two-stage.

    *Within a seed* is the mean half-width of the paired interval over test cases; *moved* the share of seeds in which
    fine-tuning kept an epoch other than its start, or the factors that calibration chose; ESS that of the first step.
    """
    places = family.decimals
    rows = []
    methods = list(results[0]["methods"])
    for method in sorted(methods, key=lambda name: float(np.mean(_values(results, name, "cost")))):
        regret = mean_estimate([r["methods"][method]["cost"] - r["optimum"] for r in results])
        difference = "" if method == REFERENCE else number(_over_seeds(results, method, "difference"), "+", places)
        within = 1.96 * float(np.mean(_values(results, method, "error")))
        ess = [value for value in _values(results, method, "ess") if value is not None and np.isfinite(value)]
        seconds = [value for value in _values(results, method, "seconds") if value is not None]
        rows.append(
            [
                NAMES.get(method, method),
                number(_over_seeds(results, method, "cost"), decimals=places),
                number(regret, decimals=places),
                difference,
                "" if method == REFERENCE else f"± {within:.{places}f}",
                _moved(results, method),
                f"{np.mean(ess):.1f}" if ess else "",
                f"{np.mean(seconds):,.0f}" if seconds else "",
            ]
        )
    note = f"{_seeds(len(results))}, {results[0]['n_test']:,} test cases each, ± 95 % over seeds"
    return f"{markdown(HEAD, rows)}\n\n{note}; in hindsight {np.mean([r['optimum'] for r in results]):.{places}f}."


def _moved(results: list[dict[str, Any]], method: str) -> str:
    factors = [value for value in _values(results, method, "factor") if value is not None]
    if factors:
        return "x " + ", ".join(f"{value:g}" for value in sorted(set(factors)))
    epochs = [value for value in _values(results, method, "best_epoch") if value is not None]
    return f"{sum(epoch > 0 for epoch in epochs)} of {len(epochs)}" if epochs else ""


def summary_table(found: Mapping[str, Mapping[MethodCell, dict[str, Any]]]) -> str:
    """The two-stage, and what calibration, derivatives of the plan and energies change, of every problem."""
    head = [
        "problem",
        "two-stage",
        "calibrated",
        "DFL less calibrated",
        "SO-EBM less calibrated",
        "policy net",
        "floor",
    ]
    rows = []
    for name, kept in found.items():
        results, places = joined(kept), PROBLEMS[name].decimals
        floor = "true-distribution" in results[0]["methods"]
        rows.append(
            [
                PROBLEMS[name].name,
                number(_over_seeds(results, "two-stage", "cost"), decimals=places),
                number(_over_seeds(results, REFERENCE, "cost"), decimals=places),
                number(_over_seeds(results, "dfl", "difference"), "+", places),
                number(_over_seeds(results, "so-ebm", "difference"), "+", places),
                number(_over_seeds(results, "policy-net", "cost"), decimals=places),
                number(_over_seeds(results, "true-distribution", "cost"), decimals=places) if floor else "",
            ]
        )
    n = max((len(joined(kept)) for kept in found.values()), default=0)
    return f"{markdown(head, rows)}\n\nMean cost of a decision; {_seeds(n)}, ± 95 % over seeds."


def _seeds(n: int) -> str:
    return f"{n} seed{'s' if n != 1 else ''}"
