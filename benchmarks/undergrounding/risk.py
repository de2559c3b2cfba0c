"""Plans for the mean and plans for the tail: where CVaR lies between the sampled plan and the three-level plan.

    python -m benchmarks.undergrounding.risk --docs docs

Every planner plans the same held-out seasons, each from its weather and forecast. A plan is judged on 1,000 fresh
storms of the same weather (mean, CVaR 0.1), in the storm that came (mean and CVaR 0.1 over seasons, gap) and in the
worst storm of the season's set. Differences are to `sampled-hardening` on the same seasons. Seasons that are kept are
not planned again, so a run that was stopped goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import tyro

import stormgym  # noqa: F401  (registers the ids)
from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import PICTURES, Page, save_picture
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number
from stormgym.agents.evaluation.bootstrap import tail_difference
from stormgym.agents.evaluation.figures import place_labels
from stormgym.agents.lineup import make_policy
from stormgym.agents.statistics import Estimate, paired_difference
from stormgym.agents.terminal import make_console
from stormgym.agents.undergrounding.case import Case, case_of, storm_losses
from stormgym.agents.undergrounding.planners import HardeningPolicy
from stormgym.agents.undergrounding.risk import RiskHardening
from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.making import episode_seeds
from stormgym.envs.risk import cvar
from stormgym.envs.undergrounding.regions import UndergroundingProfile, send_crews
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.uncertainty_set import UncertaintySet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV_ID = "Undergrounding-v0"
BENCHMARK = "undergrounding/risk"
PAGE = Page("undergrounding-risk", "Plans for the tail", "undergrounding")
PICTURE = "undergrounding_risk.png"
ALPHA = 0.1
BASE, KNOWN = "sampled-hardening", "oracle-hardening"
NAMED = ("loss-per-cost", "one-stage-mean", "one-stage-worst", "two-stage-mean", "two-stage-worst", "tri-level", BASE)
AT_RISK: dict[str, dict[str, float]] = {
    "mean of 400": {"alpha": 1.0, "mean_weight": 0.0},
    "risk-hardening": {},
    "half CVaR 0.1": {"alpha": 0.1, "mean_weight": 0.5},
    "CVaR 0.5": {"alpha": 0.5, "mean_weight": 0.0},
    "CVaR 0.1": {"alpha": 0.1, "mean_weight": 0.0},
    "CVaR 0.02": {"alpha": 0.02, "mean_weight": 0.0},
}
"""Plans over 400 sampled storms; `risk-hardening` is 0.8 x mean + 0.2 x CVaR 0.1."""
PLANNERS = (*NAMED, *AT_RISK, KNOWN)
FIGURES = ("mean", "tail", "came", "gap", "worst")
_FRESH_SEED = 70_040


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Plans for the mean and for the tail."""

    profiles: tuple[str, ...] = ("ten", "synthetic:20:0")
    """Regions, storms and costs."""
    seasons: tuple[int, ...] = (200, 40)
    """Held-out seasons of each profile."""
    chunk: int = 20
    """Seasons that are measured and kept at once."""
    eval_seed: int = 4_343
    """Of the held-out seasons."""
    n_fresh: int = 1_000
    """Fresh storms of a season's weather that its plans are judged on."""


@dataclass(frozen=True, kw_only=True)
class RiskCell(Cell):
    """Some seasons of one profile, planned by every planner."""

    profile: str
    first: int
    n_seasons: int
    eval_seed: int
    n_fresh: int
    planners: tuple[str, ...] = PLANNERS

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.profile}-{self.first}"


Result = dict[str, dict[str, list[float]]]
"""Planner -> figure -> a number a season, in hours (`ms`: of a plan)."""


def cells_of(settings: Settings) -> dict[str, list[RiskCell]]:
    """Cells of each profile."""
    if len(settings.seasons) != len(settings.profiles):
        raise SystemExit(f"seasons must be a number a profile; got {len(settings.seasons)} of {settings.profiles}")
    found = {}
    for profile, n in zip(settings.profiles, settings.seasons, strict=True):
        found[profile] = [
            RiskCell(
                profile=profile,
                first=first,
                n_seasons=min(settings.chunk, n - first),
                eval_seed=settings.eval_seed,
                n_fresh=settings.n_fresh,
            )
            for first in range(0, n, settings.chunk)
        ]
    return found


def measure(cell: RiskCell) -> dict[str, Any]:
    """Plan every season of a cell by every planner, and judge the plans."""
    env = gym.make_vec(ENV_ID, cell.n_seasons, vectorization_mode="vector_entry_point", profile=cell.profile)
    seeds = episode_seeds(cell.eval_seed, cell.first + cell.n_seasons)[cell.first :]
    obs, _ = env.reset(seed=list(seeds))
    core: Any = env.unwrapped
    profile, came_h = core.announced.profile, core.truth.outage_h
    cases = [case_of(obs, row) for row in range(cell.n_seasons)]
    fresh = [
        profile.seasons_given(case.covariates[None], cell.n_fresh, _FRESH_SEED + cell.first + row)[:, 0]
        for row, case in enumerate(cases)
    ]
    return {name: _judged(policy_of(name, env), cases, came_h, fresh, profile) for name in cell.planners}


def policy_of(name: str, env: Any) -> HardeningPolicy:
    """The planner of a name in a table."""
    policy: Any = RiskHardening.for_env(env, **AT_RISK[name]) if name in AT_RISK else make_policy(name, env)
    assert isinstance(policy, HardeningPolicy)
    return policy


def _judged(
    policy: HardeningPolicy, cases: list[Case], came_h: Floats, fresh: list[Floats], profile: UndergroundingProfile
) -> dict[str, list[float]]:
    """Figures of one planner's plans, a number a season."""
    began = time.process_time()
    plans = np.stack([policy.plan(case, row) for row, case in enumerate(cases)])
    ms = 1e3 * (time.process_time() - began) / len(cases)
    losses = [storm_losses(plans[[row]], case, fresh[row], profile)[0] for row, case in enumerate(cases)]
    left = came_h * ~plans
    left *= 1.0 - send_crews(left * profile.population, profile.n_crews)
    figures = {
        "mean": [own.mean() for own in losses],
        "tail": [cvar(own, ALPHA) for own in losses],
        "came": profile.loss_h(left),
        "gap": profile.gap_h(left),
        "worst": _worst_h(plans, cases, profile),
        "ms": [ms] * len(cases),
    }
    return {key: [float(f"{value:.7g}") for value in values] for key, values in figures.items()}


def _worst_h(plans: Bools, cases: list[Case], profile: UndergroundingProfile) -> Floats:
    """Loss in hours `[E]` of plans `[E, K]` in the worst storm of each season's set."""
    lower, upper = (np.stack([getattr(case, name) for case in cases]) for name in ("lower", "upper"))
    totals = (np.array([getattr(case, name) for case in cases]) for name in ("total_lower", "total_upper"))
    storms = worst_storms(plans, profile.population, UncertaintySet(lower, upper, *totals), profile.n_crews)
    left = storms * ~plans
    worst: Floats = profile.loss_h(left * (1.0 - send_crews(left * profile.population, profile.n_crews)))
    return worst


Found = Mapping[str, dict[str, dict[str, Floats]]]
"""Profile -> planner -> figure -> a number a season `[E]`."""


def joined(found: Mapping[str, Mapping[RiskCell, Result]]) -> Found:
    """All seasons of each profile."""
    return {
        profile: {
            name: {key: np.concatenate([one[name][key] for one in cells.values()]) for key in (*FIGURES, "ms")}
            for name in PLANNERS
        }
        for profile, cells in found.items()
    }


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    found = joined(measure_parts(cells, cells_of(settings), measure, lambda kept: kept))
    make_console().print(texts_of(found), markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
        save_picture(draw(found), settings.docs, PICTURE)
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = joined(kept_parts(cells, cells_of(settings), lambda kept: kept))
    command = command_of("undergrounding.risk", settings, Settings())
    picture = f"![Mean loss against its tail]({PICTURES}/{PICTURE})"
    PAGE.write(docs, f"Made by `{command}`.\n\n{picture}\n\n{texts_of(found)}")


HEAD = [
    "planner",
    "mean",
    "CVaR 0.1 of the weather",
    "mean that came",
    "CVaR 0.1 over seasons",
    "gap",
    "worst storm",
    "ms",
]


def difference(own: dict[str, Floats], base: dict[str, Floats], key: str) -> Estimate:
    """Paired difference to the base over seasons; of `came tail` the difference of CVaRs, by bootstrap."""
    if key == "came tail":
        return tail_difference(own["came"], base["came"], ALPHA)
    return paired_difference(own[key], base[key])


def texts_of(found: Found) -> str:
    """A table a profile: the base in hours, then differences to it."""
    texts = []
    for profile, planners in found.items():
        base, rows = planners[BASE], []
        for name, own in planners.items():
            keys = ("mean", "tail", "came", "came tail", "gap", "worst")
            cells = []
            for key in keys:
                if name == KNOWN and key in ("mean", "tail"):
                    cells.append("")  # it plans for one storm, not for the weather
                elif name == BASE:
                    value = cvar(own["came"], ALPHA) if key == "came tail" else own[key].mean()
                    cells.append(f"{value:.3f} h")
                else:
                    cells.append(number(difference(own, base, key), "+", 4 if key in ("mean", "tail") else 3))
            rows.append([name, *cells, f"{own['ms'].mean():.0f}"])
        n = len(base["mean"])
        texts.append(
            f"Profile `{profile}`, {n} held-out seasons; hours without power of a mean customer, the rows but "
            f"`{BASE}` as differences to it on the same seasons, ± 95 % (the column over seasons: half of a bootstrap "
            f"interval of the difference of CVaRs).\n\n{markdown(HEAD, rows)}"
        )
    return "\n\n".join(texts)


_RC: Any = {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10}
_SAMPLED, _ROBUST, _PLAIN, _BASE = "#c2571a", "#b5493a", "#555555", "#2b4c7e"
_MARKERS = dict(zip(AT_RISK, "o*PsD^", strict=True))
ROWS: tuple[tuple[str, str], ...] = (("tail", "CVaR 0.1 of the weather"), ("worst", "worst storm of the set"))


def draw(found: Found) -> Figure:
    """Mean against CVaR, and below against the worst storm, all in per cent above `sampled-hardening`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_RC):
        figure = Figure(figsize=(5.6 * len(found), 7.6), layout="constrained")
        axes = figure.subplots(2, len(found), squeeze=False)
        for column, (profile, planners) in enumerate(found.items()):
            for row, (key, title) in enumerate(ROWS):
                _panel(axes[row, column], planners, key)
                axes[row, column].set_title(f"{profile}, {len(planners[BASE]['mean'])} seasons: {title}", loc="left")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3 * len(found), frameon=False)
        for column, planners in enumerate(found.values()):
            for row, (key, _) in enumerate(ROWS):
                labels = {
                    name: (_share(planners, name, "mean").value, _share(planners, name, key).value, _colour(name))
                    for name in NAMED
                }
                place_labels(figure, axes[row, column], labels, fontsize=8.5)
    return figure


def _panel(ax: Any, planners: dict[str, dict[str, Floats]], key: str) -> None:
    """Points and intervals of one profile, and a line through the plans of pure CVaR; the oracle plans no weather."""
    for name in (*NAMED, *AT_RISK):
        across, up = _share(planners, name, "mean"), _share(planners, name, key)
        arms = [[[own.value - own.low], [own.high - own.value]] for own in (across, up)]
        ax.errorbar(
            across.value,
            up.value,
            xerr=arms[0],
            yerr=arms[1],
            fmt=_MARKERS.get(name, "o"),
            markersize=7 if name == "risk-hardening" else 5,
            elinewidth=0.8,
            color=_colour(name),
            ecolor=f"{_colour(name)}55",
            label=name if name in AT_RISK else None,
        )
    pure = ("mean of 400", "CVaR 0.5", "CVaR 0.1", "CVaR 0.02")
    line = [[_share(planners, name, one).value for name in pure] for one in ("mean", key)]
    ax.plot(*line, color=_SAMPLED, linewidth=1.0, alpha=0.6, zorder=0)
    ax.set_xlabel(f"mean loss of the weather above {BASE}, %")
    ax.set_ylabel(f"above {BASE}, %")
    ax.axhline(0.0, color="#bbbbbb", linewidth=0.7, zorder=0)
    ax.axvline(0.0, color="#bbbbbb", linewidth=0.7, zorder=0)
    ax.grid(alpha=0.2, linewidth=0.6)
    ax.margins(0.1)


def _share(planners: dict[str, dict[str, Floats]], name: str, key: str) -> Estimate:
    """The paired difference to the base in per cent of the base's figure."""
    base = planners[BASE]
    found, unit = difference(planners[name], base, key), 0.01 * float(base[key].mean())
    return Estimate(found.value / unit, found.low / unit, found.high / unit, found.n)


def _colour(name: str) -> str:
    """Sampled plans at risk in one colour, the three-level plan and the base in their own."""
    return _SAMPLED if name in AT_RISK else {"tri-level": _ROBUST, BASE: _BASE}.get(name, _PLAIN)


if __name__ == "__main__":
    sys.exit(main())
