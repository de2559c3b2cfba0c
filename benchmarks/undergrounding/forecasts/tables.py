"""Markdown tables of cells, with Student's t intervals over seeds."""

from __future__ import annotations

import numpy as np

from benchmarks.kit.regret import Group, Result, difference, grouped, regrets
from benchmarks.kit.tables import markdown, number
from benchmarks.undergrounding.forecasts.cells import RANKED, TUNED, WITHHELD, ForecastCell
from stormgym.agents.statistics import mean_estimate

NAMES = {
    "static": "mean of past seasons",
    "two-stage": "two-stage",
    "gdf": "GDF (QP)",
    "spo+": "SPO+",
    "so-ebm": "SO-EBM",
    "listwise": "SO-EBM, listwise",
    "floor": "floor: true mean",
}
SEEN = {"": "all covariates", "temperature_c": "no temperature", "wind_ms": "no wind"}


def table_of(results: dict[ForecastCell, Result], profile: str) -> str:
    """Error, SAIDI and regret of a profile at equal costs and usual noise (GDF Table II)."""
    plain = [cell for cell in results if cell.profile == profile and not (cell.little_noise or cell.costed)]
    chosen = {cell: results[cell] for cell in plain}
    rows = []
    for withheld, group in grouped(chosen, lambda cell: cell.withheld).items():
        optimum = mean_estimate([result.optimum for result in group])
        rows.append([SEEN[withheld], "optimum (true hours)", "0", number(optimum, decimals=2), "0", ""])
        for agent in sorted(group[0].cost, key=lambda name: np.mean([r.cost[name] for r in group])):
            rows.append(
                [
                    "",
                    NAMES[agent],
                    number(mean_estimate([result.error[agent] for result in group]), decimals=1),
                    number(mean_estimate([result.cost[agent] for result in group]), decimals=2),
                    number(regrets(group, agent), decimals=3),
                    "" if agent == "two-stage" else number(difference(group, agent), "+", 3),
                ]
            )
    head = ["known", "forecast", "MSE, h²", "SAIDI, h", "regret, h", "against two-stage"]
    return f"{markdown(head, rows)}\n\n{seeds_note(chosen)}"


def setting_table(results: dict[ForecastCell, Result]) -> str:
    """Regret of two-stage and what others differ from it, for every setting."""
    rows = []
    tuned = [agent for agent in (*TUNED, *RANKED) if agent in next(iter(results.values())).cost]
    for setting, group in grouped(results, setting_of).items():
        places = 3 if regrets(group, "two-stage").value > 0.1 else 4
        parts: list[str] = []
        for agent in tuned:
            parts += [number(difference(group, agent), "+", places), f"{share_of(group, agent):+.0%}"]
        two_stage, *others = (
            number(regrets(group, agent), decimals=places) for agent in ("two-stage", "floor", "static")
        )
        rows.append([*words_of(setting), two_stage, *parts, *others])
    head = ["profile", "noise", "costs", "known", "two-stage: regret, h"]
    for agent in tuned:
        head += [NAMES[agent], ""]
    head += ["floor: regret", "mean of past: regret"]
    return f"{markdown(head, rows)}\n\n{seeds_note(results)}"


def weight_table(results: dict[ForecastCell, Result]) -> str:
    """Regret and error of fine-tuned forecasts by the weight of the fit (GDF Table III)."""
    rows = []
    for weight, group in grouped(results, lambda cell: cell.fit_weight).items():
        parts = [f"{weight:g}", number(regrets(group, "two-stage"), decimals=3)]
        for agent in TUNED:
            error = np.mean([result.error[agent] / result.error["two-stage"] for result in group])
            kept = np.mean([result.best_epoch[agent] > 0 for result in group])
            parts += [number(difference(group, agent), "+", 3), f"{error:.2f}", f"{kept:.0%}"]
        rows.append(parts)
    head = ["lambda", "two-stage: regret, h"]
    for agent in TUNED:
        head += [f"{NAMES[agent]}: against two-stage", "MSE to two-stage's", "tuned"]
    return f"{markdown(head, rows)}\n\n{seeds_note(results)}"


def setting_of(cell: ForecastCell) -> tuple[str, bool, bool, int]:
    """What a cell's seeds share."""
    return cell.profile, cell.little_noise, cell.costed, WITHHELD.index(cell.withheld)


def share_of(group: Group, agent: str) -> float:
    """Mean paired difference to two-stage as a share of two-stage's mean regret."""
    return difference(group, agent).value / regrets(group, "two-stage").value


def words_of(setting: tuple[str, bool, bool, int]) -> list[str]:
    """A setting as tables show it."""
    profile, little, costed, withheld = setting
    noise = "little noise" if little else "usual noise"
    return [profile, noise, "own costs" if costed else "equal costs", SEEN[WITHHELD[withheld]]]


def seeds_note(results: dict[ForecastCell, Result]) -> str:
    """What stands under a table: seeds and seasons."""
    cell = next(iter(results))
    n = len({one.seed for one in results})
    names = sorted({one.profile for one in results})
    profiles = f"Profile{'s' if len(names) > 1 else ''} {' and '.join(names)}"
    return (
        f"{profiles}, {n} seeds, {cell.n_fit} seasons to fit on, {cell.n_validation} to choose by and "
        f"{cell.n_test} to be scored on, each seed's own; ± 95 % over seeds."
    )
