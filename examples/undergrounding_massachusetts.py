"""Which towns' lines to bury: plans from a utility's real outage log, scored on the storms that came afterwards.

    python examples/undergrounding_massachusetts.py --log ma_dpu_west_outage_log_2013_2023.csv.gz \\
        --towns ma_town_attributes.csv --storms ma_dpu_west_storm_events.csv

The log is the Massachusetts Department of Public Utilities' public record of single outages in the west of the state
(time_out in local Eastern time, duration_h, town); the second file has a row a town (town, median_income_usd,
aland_sqmi, lat, lon), the third a row a storm (day). Storms from 2017 on are used, as the coverage changed before;
durations of zero are dropped; outages are counted by town, as a fifth of the points are wrongly placed.

A town's loss in a storm is its *outage hours*: the sum of durations of the outages that began from the day before the
storm's day until two days after it. The log does not say how many customers an outage took, so an hour counts the same
everywhere. In place of a town's customers stands h, the number of its everyday outages in 2017 and 2018, outside of
storms; u is a storm's outage hours for each of them, as SAIDI is hours for each customer. One crew takes a town's loss
away (c = 1).

What is assumed, all of it by an argument: what burying a town's lines costs is not known. `uniform` draws b ~
U(100, 500) as the paper does, which makes a city as cheap as a village; `area` makes it proportional to land area with
a mean of 300, a stand-in for the length of lines. The budget pays for about a tenth of the region; five towns get a
crew.

Lines are buried once, years ahead: a plan is made once, from what is known at the end of 2020 (storms of 2017 and 2018
to fit on, those of 2019 and 2020 to calibrate on), and scored on the storms of 2021 to 2023, which are used for nothing
else. No weather is in the forecast. Fourteen calibration storms allow a level of 14/15 at most, so that 90 % is asked
for.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp
from sklearn.exceptions import ConvergenceWarning

from stormgym.agents.evaluation.figures import save_png
from stormgym.agents.statistics import mean_estimate
from stormgym.agents.undergrounding.storm_map import MapPanel, draw_storm_map
from stormgym.agents.undergrounding.trilevel.baselines import solve_baseline
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel, worst_case
from stormgym.envs.data import RepairLog
from stormgym.envs.data.assemble import terciles
from stormgym.envs.equity import gap
from stormgym.envs.undergrounding.regions import send_crews
from stormgym.predictors.uncertainty import ConformalPolytope
from stormgym.predictors.uncertainty_set import UncertaintySet

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
BEFORE, LENGTH = np.timedelta64(1, "D"), np.timedelta64(4, "D")
"""A storm's window begins a day before its day and ends after four."""
GAP = 2e-3
"""Relative gap of plans."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plan lines underground for real towns, and score the plans on later storms."""

    log: Path
    """Outage log, one row an outage (csv or csv.gz)."""
    towns: Path
    """Town attributes: town, median_income_usd, aland_sqmi, lat, lon."""
    storms: Path
    """Days of storms: day."""
    costs: tuple[Literal["uniform", "area"], ...] = ("uniform", "area")
    """How costs of burying are made up."""
    budget: float = 3_000.0
    """B; the mean cost of a town is 300."""
    crews: int = 5
    """C."""
    level: float = 0.9
    """Of each town's bounds; 14 calibration storms allow 0.933."""
    total_level: float = 0.5
    """Of the bounds of the sum."""
    calibrate_from: str = "2019-01-01"
    """Storms before are fitted on."""
    score_from: str = "2021-01-01"
    """Storms from here on are only scored on."""
    seeds: int = 10
    """Draws of uniform costs and of networks."""
    figure: Path | None = None
    """Where the map of seed 0 with the last kind of costs goes."""


class Region(NamedTuple):
    """Towns and their storms."""

    town: tuple[str, ...]  # K
    place: Floats  # [K, 2] longitude, scaled to the latitude's length, and latitude
    income: Floats  # [K]
    area: Floats  # [K] square miles
    everyday: Floats  # [K] h, outages outside of storms before calibration begins, at least 1
    everyday_h: Floats  # [K] their hours
    day: NDArray[np.datetime64]  # [E]
    hours: Floats  # [E, K] u, outage hours in each storm for each everyday outage


def read_region(settings: Settings) -> Region:
    """Outage hours by storm and town, and what is known of towns."""
    log = RepairLog.read_outage_log(
        settings.log,
        tz="America/New_York",
        region_column="town",
        time_column="time_out",
        since="2017-01-01",
        drop_zero=True,
    )
    assert log.time is not None
    days = np.sort(pd.read_csv(settings.storms).day.to_numpy(dtype="datetime64[D]"))
    days = days[days >= np.datetime64("2017-01-02")]
    local = pd.Series(log.time).dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None).to_numpy()
    k = len(log.region_ids)
    inside = (local >= days[:, None] - BEFORE) & (local < days[:, None] - BEFORE + LENGTH)  # [E, M]
    hours = np.stack([np.bincount(log.region[rows], log.repair_h[rows], k) for rows in inside])
    calm = ~inside.any(axis=0) & (local < np.datetime64(settings.calibrate_from))
    towns = pd.read_csv(settings.towns).set_index("town").loc[list(log.region_ids)]
    stretch = float(np.cos(np.radians(towns.lat.mean())))
    everyday = np.maximum(np.bincount(log.region[calm], minlength=k), 1).astype(np.float64)
    return Region(
        log.region_ids,
        np.column_stack([towns.lon * stretch, towns.lat]),
        towns.median_income_usd.to_numpy(dtype=np.float64),
        towns.aland_sqmi.to_numpy(dtype=np.float64),
        everyday,
        np.bincount(log.region[calm], log.repair_h[calm], k),
        days,
        hours / everyday,
    )


class Split(NamedTuple):
    """Storms by what they are for, `[E, K]` each."""

    fit: Floats
    calibration: Floats
    later: Floats

    @property
    def past(self) -> Floats:
        """All storms that a planner may use."""
        return np.concatenate([self.fit, self.calibration])


def split_storms(region: Region, settings: Settings) -> Split:
    """Earlier, middle and later storms."""
    first, last = np.searchsorted(region.day, np.array([settings.calibrate_from, settings.score_from], "datetime64[D]"))
    parts = Split(region.hours[:first], region.hours[first:last], region.hours[last:])
    if min(map(len, parts)) < 3:
        raise ValueError(
            f"each part needs 3 storms; got {len(parts.fit)} before {settings.calibrate_from}, "
            f"{len(parts.calibration)} before {settings.score_from} and {len(parts.later)} after. Move the dates"
        )
    return parts


class Outlook(NamedTuple):
    """A forecast of the storms to come, and its sets; the same for every storm, as lines are buried once."""

    mean: Floats
    sets: UncertaintySet
    held: dict[str, float]


def outlooks(region: Region, split: Split, settings: Settings, seed: int) -> dict[str, Outlook]:
    """Forecasts and sets from towns' everyday outages, income and area."""
    columns = [np.log(region.everyday), np.log1p(region.everyday_h), region.income, region.area]
    features = np.column_stack(columns)[None]  # [1, K, F]

    def repeated(n: int) -> Floats:
        return np.repeat(features, n, axis=0)

    found = {}
    for name, method, calibration in (
        ("Emp", "empirical", "marginal"),
        ("CP", "cp", "marginal"),
        ("NCP", "ncp", "marginal"),
        ("NCP, joint", "ncp", "joint"),
    ):
        levels = {"confidence_level": settings.level, "total_confidence_level": settings.total_level}
        model = ConformalPolytope(method=method, calibration=calibration, random_state=seed, **levels)  # type: ignore[arg-type]
        fit, rest = (split.past, split.past) if method == "empirical" else (split.fit, split.calibration)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(repeated(len(fit)), fit).conformalize(repeated(len(rest)), rest)
        seen = model.coverage(repeated(len(split.later)), split.later)
        held = {"one town": seen.marginal, "box": seen.box, "sum": seen.total, "box and sum": seen.joint}
        found[name] = Outlook(model.predict(features)[0], model.predict_set(features)[0], held)
    return found


def costs_of(region: Region, kind: str, seed: int) -> Floats:
    """What burying each town's lines costs `[K]`."""
    if kind == "area":
        return 300.0 * region.area / region.area.mean()
    return np.random.default_rng([seed, 11]).uniform(100.0, 500.0, len(region.town))


def plan_for_storms(lost: Floats, cost: Floats, settings: Settings) -> Bools:
    """The one plan with the least mean loss over E storms, each answered at best: a two-stage program.

    Args:
        lost: `[E, K]` loss of each storm in each town if nothing is done.
        cost: `[K]`.
        settings: budget and crews.

    With past storms it is the sample average plan; with later ones, the best that anyone could have done with one plan.
    """
    e, k = lost.shape
    loss = lost.ravel() / lost.mean()
    eye = sparse.eye_array(e * k, format="csr")
    once: Any = sparse.hstack([sparse.vstack([sparse.eye_array(k)] * e), eye], format="csr")  # x_i + y_ei <= 1
    crews: Any = sparse.hstack([sparse.csr_array((e, k)), sparse.kron(sparse.eye_array(e), np.ones((1, k)))])
    gain = np.concatenate([lost.sum(axis=0) / lost.mean(), loss])
    answer: Any = milp(
        -gain,
        integrality=np.concatenate([np.ones(k), np.zeros(e * k)]),
        bounds=Bounds(0.0, 1.0),
        constraints=[
            LinearConstraint(once, -np.inf, 1.0),
            LinearConstraint(crews, -np.inf, float(settings.crews)),
            LinearConstraint(np.concatenate([cost, np.zeros(e * k)])[None], -np.inf, settings.budget),
        ],
        options={"mip_rel_gap": 1e-4, "time_limit": 60.0},
    )
    return np.asarray(answer.x[:k] > 0.5)


NOTHING, OURS, SAMPLES, ONE, EACH = (
    "nothing",
    "tri-level, NCP",
    "2-stage, past storms",
    "best single plan, later storms known",
    "each later storm known",
)


def plans_of(seen: dict[str, Outlook], h: Floats, split: Split, cost: Floats, settings: Settings) -> dict[str, Bools]:
    """What each method buries `[K]`; where every storm is known, one plan a storm `[E, K]`."""
    limits = {"budget": settings.budget, "crew_budget": float(settings.crews), "gap": GAP, "time_limit": 60.0}
    plans: dict[str, Bools] = {NOTHING: np.zeros(len(cost), dtype=np.bool_)}
    for kind, title in (
        ("one-stage-mean", "1-stage mean"),
        ("one-stage-worst", "1-stage worst"),
        ("two-stage-mean", "2-stage mean"),
    ):
        for name in ("Emp", "NCP"):
            bounds, mean = seen[name].sets.bounds, seen[name].mean
            found = solve_baseline(kind, h, cost, 1.0, *bounds, **limits, mean=mean)  # type: ignore[arg-type]
            plans[f"{title}, {name}"] = found.protect
    for name, outlook in seen.items():
        plans[f"tri-level, {name}"] = solve_trilevel(h, cost, 1.0, *outlook.sets.bounds, **limits).protect
    plans[SAMPLES] = plan_for_storms(h * split.past, cost, settings)
    plans[ONE] = plan_for_storms(h * split.later, cost, settings)
    plans[EACH] = np.stack([plan_for_storms(h * storm[None], cost, settings) for storm in split.later])
    return plans


def left_h(plan: Bools, lost: Floats, crews: int) -> Floats:
    """Outage hours left in each storm and town `[E, K]`, from those if nothing were done."""
    lost = lost * ~plan
    result: Floats = lost * (1.0 - send_crews(lost, crews))
    return result


def score(plan: Bools, region: Region, split: Split, ncp: UncertaintySet, settings: Settings) -> dict[str, float]:
    """Outage hours left by a plan, and the gap between income groups."""
    left = left_h(plan, region.everyday * split.later, settings.crews)
    each = left.sum(axis=1)
    rate = left.sum(axis=0) / region.everyday  # storm hours left for each everyday outage
    found = {"mean": each.mean(), "worst": each.max(), "gap": float(gap(rate, terciles(region.income), 3))}
    if plan.ndim == 1:
        found["adv"] = worst_case(
            plan.astype(float), region.everyday, 1.0, *ncp.bounds, crew_budget=float(settings.crews)
        ).value
    return found


def report(kind: str, scores: list[dict[str, dict[str, float]]], buried: dict[str, float], console: Console) -> None:
    """Means over seeds; the difference to tri-level is paired."""
    heads = ("method", "towns buried", "mean storm", "to tri-level", "worst later storm", "adversary", "gap")
    table = Table(*heads, title=f"costs {kind}: outage hours left in later storms, {len(scores)} seeds")
    for method in scores[0]:
        found = {key: mean_estimate([s[method][key] for s in scores]) for key in scores[0][method]}
        paired = mean_estimate([s[method]["mean"] - s[OURS]["mean"] for s in scores])
        width = "" if np.isnan(paired.low) else f" ± {paired.half_width:,.0f}"
        table.add_row(
            method,
            f"{buried[method]:.1f}",
            f"{found['mean'].value:,.0f}",
            "" if method == OURS else f"{paired.value:+,.0f}{width}",
            f"{found['worst'].value:,.0f}",
            f"{found['adv'].value:,.0f}" if "adv" in found else "",
            f"{found['gap'].value:.2f}",
        )
    console.print(table)


def draw(region: Region, plans: dict[str, Bools], ncp: UncertaintySet, settings: Settings) -> Any:
    """Tri-level beside the one-stage plan, each against its worst storm."""
    panels, h = {}, region.everyday
    for name in ("1-stage mean, NCP", OURS):
        plan = plans[name]
        worst = worst_case(plan.astype(float), h, 1.0, *ncp.bounds, crew_budget=float(settings.crews))
        lost = h * worst.storm * ~plan
        title = f"{name}\nworst case {worst.value:,.0f} outage hours"
        panels[title] = MapPanel(h * worst.storm, plan, send_crews(lost, settings.crews))
    largest = np.argsort(-region.everyday)[:4]
    return draw_storm_map(
        region.place,
        region.everyday,
        panels,
        colour_label="outage hours in the worst storm of the NCP set",
        size_label="area: everyday outages",
        labels={int(i): region.town[i].title() for i in largest},
        largest_pt2=500.0,
    )


def main(args: list[str] | None = None) -> int:
    """Read, plan, score, print and draw."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = Console(emoji=False)
    region = read_region(settings)
    split = split_storms(region, settings)
    console.print(
        f"{len(region.town)} towns; {len(split.fit)} storms to fit on, {len(split.calibration)} to calibrate on, "
        f"{len(split.later)} later ones to score on; mean outage hours of a storm "
        + ", ".join(f"{(part @ region.everyday).mean():,.0f}" for part in split)
    )
    views = [outlooks(region, split, settings, seed) for seed in range(settings.seeds)]
    table = Table("set", *views[0]["NCP"].held, "sum from", "sum to", title="share of later storms that sets hold")
    for name in views[0]:
        shares = [f"{np.mean([view[name].held[key] for view in views]):.2f}" for key in views[0][name].held]
        ends = [f"{np.mean([float(view[name].sets.bounds[at]) for view in views]):,.0f}" for at in (2, 3)]
        table.add_row(name, *shares, *ends)
    console.print(table)
    figure = None
    for kind in settings.costs:
        scores, plans = [], {}
        for seed, view in enumerate(views):
            plans[seed] = plans_of(view, region.everyday, split, costs_of(region, kind, seed), settings)
            ncp = view["NCP"].sets
            scores.append({name: score(plan, region, split, ncp, settings) for name, plan in plans[seed].items()})
        buried = {name: np.mean([p[name].mean() * len(region.town) for p in plans.values()]) for name in plans[0]}
        report(kind, scores, buried, console)  # type: ignore[arg-type]
        figure = draw(region, plans[0], views[0]["NCP"].sets, settings)
    if settings.figure is not None and figure is not None:
        save_png(figure, settings.figure)
        console.print(f"map: {settings.figure}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {error}")
