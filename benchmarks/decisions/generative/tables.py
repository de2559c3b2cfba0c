"""Markdown tables of regrets, with Student's t intervals over data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.decisions.generative.bench import FAMILIES
from benchmarks.decisions.generative.cells import SweepCell, TunedCell
from benchmarks.kit.tables import markdown, number
from stormgym.agents.statistics import Estimate, mean_estimate

Found = Mapping[str, Mapping[Any, dict[str, Any]]]
REFERENCE, CONTROL = "two-stage (MSE)", "likelihood alone"
NOTE = (
    "True-CVaR regret in percent of what the best plans cost in the mean; mean and 95 % interval (Student's t) over "
    "data sets, differences paired within them. K = 200 samples a plan where no other number is named."
)
LAW_NAMES = {
    "flow": "conditional flow, NLL",
    "gaussian": "diagonal Gaussian, NLL",
    "residuals": "MSE and residuals",
    "ratios": "MSE x ratios",
    "forest": "forest weights",
}


def _family(part: str) -> str:
    return part.partition(": ")[2]


def _over(results: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> Estimate:
    return mean_estimate([value(result["methods"]) for result in results])


def _regret(method: str, risk: str) -> Callable[[dict[str, Any]], float]:
    return lambda methods: float(methods[method]["regret"][risk])


def _difference(method: str, reference: str, risk: str) -> Callable[[dict[str, Any]], float]:
    return lambda methods: float(methods[method]["regret"][risk] - methods[reference]["regret"][risk])


def texts_of(found: Found) -> dict[str, str]:
    """All tables, by heading."""
    texts: dict[str, str] = {}
    for family, record in FAMILIES.items():
        own = {part.partition(": ")[0]: cells for part, cells in found.items() if _family(part) == family}
        if "points" in own and "laws" in own:
            texts[f"{record.name}: forecasts and laws"] = _base_table(family, own["points"], own["laws"])
        tuned = {**own.get("tuned", {}), **own.get("tuned at 0.1", {}), **own.get("tuned at 0.5", {})}
        if tuned:
            texts[f"{record.name}: laws tuned on their plans"] = _tuned_table(family, tuned)
        if "chosen" in own:
            texts[f"{record.name}: the same, an epoch chosen by validation"] = _tuned_table(family, own["chosen"])
        if "sweep" in own:
            texts[f"{record.name}: other degrees, noises and sizes"] = _sweep_table(family, own["sweep"])
        if "risks" in own:
            texts[f"{record.name}: other risks"] = _risk_table(family, own["risks"])
    if beds := found.get("beds: beds"):
        texts["Hospital beds"] = _risk_table(None, beds)
    if recorded := found.get("recorded: recorded"):
        texts["Energy scheduling, recorded prices"] = _recorded_table(recorded)
    return texts


def _joined(points: Mapping[Any, Any], laws: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Both tables' methods, a result a data set."""
    of_laws = {cell.seed: result for cell, result in laws.items()}
    return [
        {"methods": {**result["methods"], **of_laws[cell.seed]["methods"]}}
        for cell, result in points.items()
        if cell.seed in of_laws
    ]


def _base_table(family: str, points: Mapping[Any, Any], laws: Mapping[Any, Any]) -> str:
    """Every method at three risks, the best at risk 0.1 first, and how far it is from two-stage at both ends."""
    results, places = _joined(points, laws), FAMILIES[family].decimals
    methods = sorted(results[0]["methods"], key=lambda name: _over(results, _regret(name, "0.1")).value)
    head = ["method", "CVaR 0.1", "CVaR 0.5", "mean", "less two-stage, CVaR 0.1", "less two-stage, mean", "CPU s"]
    rows = []
    for name in methods:
        regrets = [number(_over(results, _regret(name, risk)), decimals=places) for risk in ("0.1", "0.5", "1")]
        apart = [
            "" if name == REFERENCE else number(_over(results, _difference(name, REFERENCE, risk)), "+", places)
            for risk in ("0.1", "1")
        ]
        seconds = float(np.mean([result["methods"][name]["seconds"] for result in results]))
        rows.append([LAW_NAMES.get(name, name), *regrets, *apart, f"{seconds:.1f}"])
    return f"{markdown(head, rows)}\n\n{_sets(len(results))}."


def _tuned_table(family: str, cells: Mapping[TunedCell, dict[str, Any]]) -> str:
    """Start, control and every loss, by law and risk; the control has as many epochs of likelihood."""
    places = FAMILIES[family].decimals
    head = ["law, risk", "tuned by", "regret", "less the control", "over the control", "moved", "CPU s"]
    rows = []
    for generator, risk in sorted({(cell.generator, cell.risk) for cell in cells}, key=lambda g: (g[0], -g[1])):
        results = [result for cell, result in cells.items() if (cell.generator, cell.risk) == (generator, risk)]
        key = f"{risk:g}"
        control = _over(results, _regret(CONTROL, key)).value
        for name in results[0]["methods"]:
            regret = _over(results, _regret(name, key))
            apart = "" if name == CONTROL else number(_over(results, _difference(name, CONTROL, key)), "+", places)
            epochs = [result["methods"][name].get("best_epoch") for result in results]
            moved = "" if epochs[0] is None else f"{sum(epoch > 0 for epoch in epochs)} of {len(epochs)}"
            seconds = float(np.mean([result["methods"][name]["seconds"] for result in results]))
            first = f"{generator}, {key} ({len(results)} sets)" if name == "start" else ""
            share = "" if name == CONTROL else f"{regret.value / control:.2f} x"
            rows.append([first, name, number(regret, decimals=places), apart, share, moved, f"{seconds:.0f}"])
    return (
        f"{markdown(head, rows)}\n\n± 95 % over data sets; *moved*: in how many an epoch other than the start was kept."
    )


SWEPT = ("two-stage (MSE)", "MSE, then SPO+", "residuals", "gaussian", "flow", "flow, likelihood alone")
GEN_DFL = "flow, SPO+ of the mean"


def _sweep_table(family: str, cells: Mapping[SweepCell, dict[str, Any]]) -> str:
    """Regret at risk 1 by setting, what tuning is worth over its control, and the p-values that the paper prints."""
    places = FAMILIES[family].decimals
    head = [
        "setting",
        *(f"{name}, mean" for name in (*SWEPT, GEN_DFL)),
        "SPO+ of the mean less its control",
        "p against two-stage",
        "p against SPO+",
    ]
    rows = []
    for arguments in dict.fromkeys(cell.arguments for cell in cells):
        results = [result for cell, result in cells.items() if cell.arguments == arguments]
        name = ", ".join(f"{key} {value:g}" for key, value in arguments) or "as above"
        regrets = [number(_over(results, _regret(method, "1")), decimals=places) for method in (*SWEPT, GEN_DFL)]
        apart = number(_over(results, _difference(GEN_DFL, "flow, likelihood alone", "1")), "+", places)
        tests = [_p_value(results, GEN_DFL, method) for method in ("two-stage (MSE)", "MSE, then SPO+")]
        rows.append([name, *regrets, apart, *tests])
    n = len({cell.seed for cell in cells})
    note = "p-values of paired t-tests over data sets, signs as found: `<` where the tuned flow has the less regret"
    return f"{markdown(head, rows)}\n\n{_sets(n)}; {note}."


def _p_value(results: list[dict[str, Any]], method: str, reference: str) -> str:
    from scipy.stats import ttest_1samp

    apart = np.array([_difference(method, reference, "1")(result["methods"]) for result in results])
    if len(apart) < 2 or not apart.std():
        return ""
    return f"{'<' if apart.mean() < 0 else '>'} {float(ttest_1samp(apart, 0.0).pvalue):.3f}"


def _recorded_table(cells: Mapping[Any, dict[str, Any]]) -> str:
    """What plans cost on recorded days; no law is known, so nothing here is a regret of risk."""
    results = list(cells.values())
    head = [
        "method",
        "mean cost",
        "over hindsight",
        "less two-stage",
        "within a seed",
        "CVaR 0.1 over days",
        "the same, planned for the mean",
        "score at 0.1",
    ]
    rows = []
    for name in sorted(results[0]["methods"], key=lambda name: _over(results, _figure(name, "mean")).value):
        share = mean_estimate([100.0 * (r["methods"][name]["mean"] / r["hindsight"] - 1.0) for r in results])
        within = 1.96 * float(np.mean([r["methods"][name]["error"] for r in results]))
        scored = results[0]["methods"][name]["score"] is not None
        is_reference = name == REFERENCE
        rows.append(
            [
                LAW_NAMES.get(name, name),
                number(_over(results, _figure(name, "mean")), decimals=1),
                f"{number(share, decimals=2)} %",
                "" if is_reference else number(_over(results, _figure(name, "difference")), "+", 1),
                "" if is_reference else f"± {within:.1f}",
                *(
                    number(_over(results, _figure(name, key)), decimals=0)
                    for key in ("cvar", "cvar of the mean's plan")
                ),
                number(_over(results, _figure(name, "score")), decimals=0) if scored else "",
            ]
        )
    note = f"the last {results[0]['n_test']} days, in hindsight {results[0]['hindsight']:,.1f} EUR"
    return f"{markdown(head, rows)}\n\n{len(results)} seeds of the networks, ± 95 % over them; {note}."


def _figure(method: str, key: str) -> Callable[[dict[str, Any]], float]:
    return lambda methods: float(methods[method][key])


def _risk_table(family: str | None, cells: Mapping[Any, dict[str, Any]]) -> str:
    """Regret by law and risk."""
    results, places = list(cells.values()), 1 if family is None else FAMILIES[family].decimals
    risks = list(next(iter(results[0]["methods"].values()))["regret"])
    rows = [
        [LAW_NAMES.get(name, name), *(number(_over(results, _regret(name, risk)), decimals=places) for risk in risks)]
        for name in results[0]["methods"]
    ]
    return f"{markdown(['method', *(f'CVaR {risk}' for risk in risks)], rows)}\n\n{_sets(len(results))}."


def summary_table(found: Found) -> str:
    """The least that a reader needs: two-stage, the best law, Gen-DFL and its control, at risks 0.1 and 1."""
    head = [
        "task",
        "risk",
        "two-stage (MSE)",
        "ball",
        "residuals",
        "diagonal Gaussian",
        "flow",
        "flow tuned by likelihood",
        "by SPO+ of the mean",
    ]
    rows = []
    for family, record in FAMILIES.items():
        points, laws = (found.get(f"{kind}: {family}") for kind in ("points", "laws"))
        if not points or not laws:
            continue
        tuned = {**found.get(f"tuned: {family}", {}), **found.get(f"tuned at 0.1: {family}", {})}
        results, places = _joined(points, laws), record.decimals
        for risk in ("0.1", "1"):
            own = [
                number(_over(results, _regret(name, risk)), decimals=places)
                for name in (REFERENCE, "ball (DRO)", "residuals", "gaussian", "flow")
            ]
            flows = [r for cell, r in tuned.items() if (cell.generator, f"{cell.risk:g}") == ("flow", risk)]
            own += [
                number(_over(flows, _regret(name, risk)), decimals=places) if flows else ""
                for name in (CONTROL, "SPO+ of the mean")
            ]
            rows.append([record.name if risk == "0.1" else "", risk, *own])
    note = (
        "True-CVaR regret in percent; the last two columns are of fewer data sets, and validate on 100 contexts more."
    )
    return f"{markdown(head, rows)}\n\n{note}"


def _sets(n: int) -> str:
    return f"{n} data set{'s' if n != 1 else ''}, ± 95 % over them"
