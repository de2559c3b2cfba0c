"""Learn where to bury: two-stage, GDF and SPO+ forecasts for the knapsack of GDF's Table II.

    python benchmarks/undergrounding_learning.py --docs docs/undergrounding_results.md --folder docs/img

Every seed draws its own seasons to fit on (200), to choose by (100) and to be scored on (500); regret is the mean SAIDI
above that of the plans for the true hours. Intervals are Student's t over seeds, of paired differences within a seed.
Seeds that are in `--results` are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tyro
from learning_cells import Group, Result, by, difference, markdown, measure_parts, number, regrets
from pages import replace_block
from undergrounding_cells import TUNED, WITHHELD, Cell, measured, order, setting_cells, weight_cells

from stormgym.agents.evaluation.figures import save_png
from stormgym.agents.statistics import mean_estimate
from stormgym.agents.terminal import make_console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part = Literal["settings", "weights"]
PARTS: tuple[Part, ...] = ("settings", "weights")
NAMES = {
    "static": "mean of past seasons",
    "two-stage": "two-stage",
    "gdf": "GDF (QP)",
    "spo+": "SPO+",
    "floor": "floor: true mean",
}
SEEN = {"": "all covariates", "temperature_c": "no temperature", "wind_ms": "no wind"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Forecasts for burying lines, beside the optimum and the floor."""

    parts: tuple[Part, ...] = PARTS
    """What is measured: covariates, noise and costs (settings), and weights of the fit beside the decision."""
    profiles: tuple[str, ...] = ("ten", "synthetic:10:2")
    """Regions, storms and costs; fine-tuning was tried out on synthetic:10:1. Weights take the first."""
    seeds: int = 5
    """Of each setting and each weight."""
    small: bool = False
    """A small form for trials: few seasons, steps and epochs. Its numbers mean nothing."""
    results: Path = Path("benchmarks/results/undergrounding_learning")
    """Where each seed's numbers are kept."""
    docs: Path | None = None
    """Page whose blocks get the tables."""
    folder: Path | None = None
    """Where the figure goes."""


SMALL = {"n_fit": 12, "n_validation": 6, "n_test": 8, "n_steps": 3, "n_epochs": 1}


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    others = SMALL if settings.small else {}
    cells = {
        "settings": setting_cells(settings.profiles, settings.seeds, **others),
        "weights": weight_cells(settings.profiles[0], settings.seeds, **others),
    }
    wanted: dict[str, list[Cell]] = {part: cells[part] for part in settings.parts}
    results = measure_parts(wanted, settings.results, measured, order)
    tables = {}
    if "settings" in results:
        found = results["settings"]
        tables |= {"table": table_of(found, settings.profiles[0]), "settings": setting_table(found)}
    if "weights" in results:
        tables["weights"] = weight_table(results["weights"])
    console = make_console()
    for name, text in tables.items():
        console.print(f"\n{name}\n{text}", markup=False)
        if settings.docs is not None:
            replace_block(settings.docs, f"undergrounding_learning_{name}", text)
    if settings.folder is not None and "settings" in results:
        settings.folder.mkdir(parents=True, exist_ok=True)
        save_png(draw(results["settings"]), settings.folder / "undergrounding_learning.png")
    return 0


def table_of(results: dict[Cell, Result], profile: str) -> str:
    """Error, SAIDI and regret of a profile at equal costs and usual noise (GDF Table II)."""
    plain = [cell for cell in results if cell.profile == profile and not (cell.little_noise or cell.costed)]
    chosen = {cell: results[cell] for cell in plain}
    rows = []
    for withheld, group in by(chosen, lambda cell: cell.withheld).items():
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
    return f"{markdown(head, rows)}\n\n{_seeds(chosen)}"


def setting_table(results: dict[Cell, Result]) -> str:
    """Regret of two-stage and what others differ from it, for every setting."""
    rows = []
    for setting, group in by(results, setting_of).items():
        places = 3 if regrets(group, "two-stage").value > 0.1 else 4
        parts = [number(difference(group, agent), "+", places) for agent in TUNED]
        shares = [f"{share_of(group, agent):+.0%}" for agent in TUNED]
        two_stage, *others = (
            number(regrets(group, agent), decimals=places) for agent in ("two-stage", "floor", "static")
        )
        rows.append([*_words(setting), two_stage, parts[0], shares[0], parts[1], shares[1], *others])
    head = ["profile", "noise", "costs", "known", "two-stage: regret, h", "GDF (QP)", "", "SPO+", ""]
    head += ["floor: regret", "mean of past: regret"]
    return f"{markdown(head, rows)}\n\n{_seeds(results)}"


def weight_table(results: dict[Cell, Result]) -> str:
    """Regret and error of fine-tuned forecasts by the weight of the fit (GDF Table III)."""
    rows = []
    for weight, group in by(results, lambda cell: cell.fit_weight).items():
        parts = [f"{weight:g}", number(regrets(group, "two-stage"), decimals=3)]
        for agent in TUNED:
            error = np.mean([result.error[agent] / result.error["two-stage"] for result in group])
            kept = np.mean([result.best_epoch[agent] > 0 for result in group])
            parts += [number(difference(group, agent), "+", 3), f"{error:.2f}", f"{kept:.0%}"]
        rows.append(parts)
    head = ["lambda", "two-stage: regret, h"]
    for agent in TUNED:
        head += [f"{NAMES[agent]}: against two-stage", "MSE to two-stage's", "tuned"]
    return f"{markdown(head, rows)}\n\n{_seeds(results)}"


def setting_of(cell: Cell) -> tuple[str, bool, bool, int]:
    """What a cell's seeds share."""
    return cell.profile, cell.little_noise, cell.costed, WITHHELD.index(cell.withheld)


def share_of(group: Group, agent: str) -> float:
    """Mean paired difference to two-stage as a share of two-stage's mean regret."""
    return difference(group, agent).value / regrets(group, "two-stage").value


def draw(results: dict[Cell, Result]) -> Figure:
    """Paired differences of SAIDI to two-stage, one line a setting, one panel a profile."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = by(results, setting_of)
    profiles = sorted({setting[0] for setting in groups})
    style: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    with rc_context(style):
        figure = Figure(figsize=(8.6, 5.0), layout="constrained")
        axes = figure.subplots(1, len(profiles), sharey=True, sharex=True, squeeze=False)[0]
        for ax, profile in zip(axes, profiles, strict=True):
            chosen = {setting: group for setting, group in groups.items() if setting[0] == profile}
            at = np.arange(len(chosen))
            for agent, colour, shift in (("gdf", "#c2571a", -0.15), ("spo+", "#a33b6e", 0.15)):
                found = [difference(group, agent) for group in chosen.values()]
                error = np.nan_to_num([f.half_width for f in found])
                value = [f.value for f in found]
                ax.errorbar(value, at + shift, xerr=error, fmt="o", color=colour, markersize=5, label=NAMES[agent])
            ax.axvline(0.0, color="#2b4c7e", linewidth=1.2)
            ax.set_yticks(at, [", ".join(_words(setting)[1:]) for setting in chosen])
            ax.set_title(f"profile {profile}", fontsize=10)
        axes[0].invert_yaxis()
        figure.supxlabel("SAIDI less that of two-stage, h (left of the line is better; 95 % over seeds)", fontsize=10)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def _words(setting: tuple[str, bool, bool, int]) -> list[str]:
    profile, little, costed, withheld = setting
    noise = "little noise" if little else "usual noise"
    return [profile, noise, "own costs" if costed else "equal costs", SEEN[WITHHELD[withheld]]]


def _seeds(results: dict[Cell, Result]) -> str:
    cell = next(iter(results))
    n = len({one.seed for one in results})
    names = sorted({one.profile for one in results})
    profiles = f"Profile{'s' if len(names) > 1 else ''} {' and '.join(names)}"
    return (
        f"{profiles}, {n} seeds, {cell.n_fit} seasons to fit on, {cell.n_validation} to choose by and "
        f"{cell.n_test} to be scored on, each seed's own; ± 95 % over seeds."
    )


if __name__ == "__main__":
    sys.exit(main())
