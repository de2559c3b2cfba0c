"""The picture of cells: what tuning is worth in every setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.kit.regret import Result, difference, grouped
from benchmarks.undergrounding.forecasts.cells import ForecastCell
from benchmarks.undergrounding.forecasts.tables import NAMES, setting_of, words_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: dict[ForecastCell, Result]) -> Figure:
    """Paired differences of SAIDI to two-stage, one line a setting, one panel a profile."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = grouped(results, setting_of)
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
            ax.set_yticks(at, [", ".join(words_of(setting)[1:]) for setting in chosen])
            ax.set_title(f"profile {profile}", fontsize=10)
        axes[0].invert_yaxis()
        figure.supxlabel("SAIDI less that of two-stage, h (left of the line is better; 95 % over seeds)", fontsize=10)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure
