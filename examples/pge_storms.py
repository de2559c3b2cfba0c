"""A utility's recorded storm, sent out again: our orders of work beside the recorded one, our hours beside the stated.

    python examples/pge_storms.py --data pge_outages --storms wind_rain_2021_01 --units "Sonoma,Napa,Lake"

The folder holds `outages.csv.gz` and `etr_history.csv.gz`: outages of Pacific Gas and Electric (California) in four
storms of 2019 to 2022, cut from a git-scraped archive of its public map; docs/feeds.md says what the columns mean.

**Work.** The jobs of some counties are played by K crews of `CrewDispatch-v0`, one crew a job, each busy for the hours
that the crew which restored it was recorded on site. Two fifths of the crews work around the clock, the others from 6
to 22 h; each county has a depot in the middle of its jobs. Planners know hours of work as a quantile forest forecasts
them from what was known when an outage was first seen, learnt on the other storms but the snow. The recorded order is
played by the same crews: the free one takes the open job that was restored first (or whose work began first), or, of
the K whose work began first, the one nearest to it.

How many crews there were is not recorded. `formula` is 0.91 (most outages open at once) ** 0.67, a fit of the set's
README over 109 county storms. `matched` is the fewest with which the last of the recorded orders restores these jobs as
soon, in the mean, as they were: these crews stand for those that PG&E had left for these jobs beside others.

**Hours.** At fixed times after the start of each outage that is still there, the time of restoration that PG&E had
stated by then is scored, and the median of our forecast of the hours left, learnt on the other storms. Its 90 %
intervals are conformal by storm (`BlockCQR`). The constant is the best that there is in hindsight.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from scipy.stats import spearmanr

import stormgym  # noqa: F401  (registers the environment)
from stormgym.agents.crews.rules import CrewRule
from stormgym.agents.episodes import play_episode
from stormgym.agents.evaluation.figures import save_png
from stormgym.agents.lineup import make_policy
from stormgym.agents.policy import Policy
from stormgym.agents.terminal import make_console, simple_table, status_console
from stormgym.envs.data.feeds import (
    UNUSABLE_END,
    JobTable,
    RecordedStorm,
    StatedTimes,
    fixed_times,
    known_at,
    peak_open,
    read_pge,
    read_pge_stated,
    recorded_storm,
    score_fixed_times,
)
from stormgym.envs.equity import gap
from stormgym.predictors.block_conformal import BlockCQR
from stormgym.predictors.quantile_models import QuantileModel, default_forest

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ENV_ID = "CrewDispatch-v0"
ZONE = "America/Los_Angeles"
WINDOWS = {
    "bomb_cyclone_2019_11": ("2019-11-26T08:00", "2019-12-02T08:00"),
    "wind_rain_2021_01": ("2021-01-26T08:00", "2021-02-03T08:00"),
    "rain_2021_12": ("2021-12-12T08:00", "2021-12-19T08:00"),
    "snow_2021_12": ("2021-12-26T08:00", "2022-01-09T08:00"),
}
"""Storms and their bounds (UTC); only outages that began within are played and scored."""
STANDING = "snow_2021_12"
"""Hours of work are not learnt on this storm, in which crews were left on site in the record for days."""
CAUSES = ("unknown", "weather", "investigating", "equipment", "emergency", "car_pole", "fire")
LEVEL = 0.9
"""Of intervals."""
RECORDED = ("order of restoration", "order of work", "order of work, nearest of K")
"""Names of the recorded orders in the tables."""
AS_IT_WAS = "as recorded"
CANNOT_SAY = """What these numbers cannot say:
- Only jobs with a crew seen on site and a usable end are played, about two fifths of all: the others were merged, ended
  in doubt, or nobody was seen. Crews were busy with those too.
- No crew has an id: how many there were, where they came from and which went where is not recorded. One crew here is
  one outage; in truth some worked on several, and some outages took several crews.
- Hours on site are elapsed time between two snapshots, nights and waits for material included, and were long where a
  status was left standing (the snow storm). Assessing before a second crew was called is left out.
- The recorded order had feeders, safety, materials, roads and hospitals in it, none of which is known here; and it was
  followed by crews who knew where they were. Played by other crews it sends them to and fro. "As recorded" is what
  happened to these jobs with all that; it is no run of the environment and no rival of the rows above it.
- An order of restoration knows how long each job took, as nobody did then. It is a record, not a policy."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Replay recorded storms, and score stated hours of restoration."""

    data: Path
    """Folder with outages.csv.gz and etr_history.csv.gz."""
    storms: tuple[str, ...] = ("wind_rain_2021_01",)
    """Storms whose jobs are played, of those in WINDOWS."""
    units: tuple[str, ...] = ("Sonoma,Napa,Lake",)
    """Counties that share crews, with commas."""
    agents: tuple[str, ...] = ("nearest", "list-rho", "rolling-planner", "rolling-fair")
    """Registered agents of CrewDispatch-v0 that need no training."""
    crews: tuple[str, ...] = ("formula", "matched")
    """K: numbers, or the words explained above; each is played."""
    weights: Literal["regions", "customers"] = "regions"
    """What agents aim at: the mean over jobs, or over customers."""
    know_work: bool = False
    """Agents know the true hours of work ahead, as nobody could."""
    night_share: float = 0.4
    """Of the crews that work around the clock."""
    cost_limit_h: float = 2.0
    """Limit on the gap between income groups."""
    hours: tuple[float, ...] = (3.0, 6.0, 12.0, 24.0)
    """After the start of an outage, when stated and forecast times are scored; none: they are not."""
    trees: int = 50
    """Of each forest."""
    seed: int = 0
    """Of forests and planners."""
    figure: Path | None = None
    """Where the picture goes (png)."""
    json: Path | None = None
    """Where all numbers go."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for storms that there are none of, and numbers out of range."""
        for name in self.storms:
            if name not in WINDOWS:
                raise ValueError(f"storms must be of {', '.join(WINDOWS)}; got {name!r}")
        for word in self.crews:
            if word not in ("formula", "matched") and not (word.isascii() and word.isdigit() and int(word) > 0):
                raise ValueError(f"crews must be numbers above 0, 'formula' or 'matched'; got {word!r}")
        if self.trees < 1 or not 0 <= self.night_share <= 1:
            raise ValueError("trees must be at least 1 and night_share from 0 to 1")
        if any(h <= 0 for h in self.hours):
            raise ValueError(f"hours must be above 0; got {self.hours}")


class Recorded(NamedTuple):
    """A storm of the set."""

    jobs: JobTable  # all unplanned rows, also those that began before
    stated: StatedTimes
    inside: Bools  # [R] began within the window


def read_storms(data: Path) -> dict[str, Recorded]:
    """The unplanned outages of every storm, with stated times."""
    found = {}
    for name, (start, end) in WINDOWS.items():
        jobs = read_pge(data / "outages.csv.gz", windows=[name], kinds=["unplanned"])
        inside = (jobs.arrival >= np.datetime64(start)) & (jobs.arrival < np.datetime64(end))
        found[name] = Recorded(jobs, read_pge_stated(data / "etr_history.csv.gz", jobs), inside)
    return found


def read_groups(data: Path) -> dict[str, int]:
    """Income group of each county, 0 = low: terciles of the counties' median incomes, from the file."""
    with gzip.open(data / "outages.csv.gz", "rt", encoding="utf-8") as file:
        return {row["county"]: int(row["income_group"]) - 1 for row in csv.DictReader(file)}


# ------------------------------------------------------------------------------------------------- hours of work


class WorkForecast:
    """Hours of work from what is known when an outage is first seen.

    Args:
        storms: those that are learnt from.
        settings: trees and seed.
    """

    def __init__(self, storms: Sequence[Recorded], settings: Settings) -> None:
        self.true = settings.know_work
        self.levels = tuple((np.arange(20) + 0.5) / 20)  # of the environment's quantiles
        parts = [(_first_known(storm.jobs), _work(storm.jobs)) for storm in storms]
        good = [np.isfinite(hours) & np.isfinite(known).all(axis=1) for known, hours in parts]
        known = np.concatenate([part[0][rows] for part, rows in zip(parts, good, strict=True)])
        self.past_h = np.concatenate([part[1][rows] for part, rows in zip(parts, good, strict=True)])
        self.model = QuantileModel(default_forest(settings.seed, settings.trees), self.levels).fit(known, self.past_h)

    def jobs(self, jobs: JobTable, storm: RecordedStorm) -> dict[str, Any]:
        """What the environment's reset takes: the recorded storm with forecasts."""
        if self.true:
            hours = storm.duration_h
            return storm.jobs(hours, hours, hours) | {"quantile_h": np.tile(hours[:, None], len(self.levels))}
        known = _first_known(jobs)[storm.row]
        quantile = self.model.quantiles(known)
        ends = np.array([np.interp((0.05, 0.95), self.levels, row) for row in quantile])
        return storm.jobs(self.model.centre(known), ends[:, 0], ends[:, 1]) | {"quantile_h": quantile}


def _first_known(jobs: JobTable) -> Floats:
    return known_at(jobs, jobs.first_seen_at, tz=ZONE, causes=CAUSES)


def _work(jobs: JobTable) -> Floats:
    """Hours of work of rows that can be played, NaN of others."""
    return np.where((jobs.work_h > 0) & ~jobs.has(UNUSABLE_END), jobs.work_h, np.nan)


# ----------------------------------------------------------------------------------------------------- one unit


class RecordedOrder(CrewRule):
    """The open job that came first in the record; or, of the K first ones, the nearest.

    Args:
        name: in tables.
        time_h: `[N]` recorded hour by which jobs are ordered.
        nearest_of: K.
    """

    def __init__(self, name: str, time_h: Floats, nearest_of: int = 1) -> None:
        self.name, self.time_h, self.nearest_of = name, time_h, nearest_of

    def key(self, observation: dict[str, NDArray[Any]]) -> Floats:
        """Road km of the first ones, the recorded hour far behind of others."""
        open_ = observation["action_mask"][:, :-1] > 0
        time = np.where(open_, self.time_h, np.inf)
        rank = np.argsort(np.argsort(time, axis=1, kind="stable"), axis=1)
        if self.nearest_of == 1:
            return rank.astype(np.float64)
        return np.where(rank < self.nearest_of, observation["distance_km"], 1e6 + rank)


class Unit(NamedTuple):
    """Counties that share crews, in one storm."""

    counties: tuple[str, ...]
    all_jobs: JobTable  # [R] what began within the window
    storm: RecordedStorm
    peak: int  # most outages open at once


def make_unit(recorded: Recorded, counties: Sequence[str], groups: dict[str, int]) -> Unit:
    """Jobs of some counties from six in the morning before the first.

    Raises:
        ValueError: a county without an outage, or fewer than ten jobs.
    """
    jobs = recorded.jobs.take(recorded.inside)
    missing = sorted(set(counties) - set(jobs.region.tolist()))
    if missing:
        raise ValueError(f"no outage is in county {missing[0]!r}; there are {', '.join(sorted(set(jobs.region)))}")
    jobs = jobs.take(np.isin(jobs.region, list(counties)))
    first = jobs.arrival.min()
    local = np.datetime64(str(np.datetime64(first, "h")))
    offset = np.timedelta64(8, "h")  # no storm of the set is in daylight-saving time
    morning = (local - offset - np.timedelta64(6, "h")).astype("M8[D]") + np.timedelta64(6, "h") + offset
    storm = recorded_storm(jobs, groups, start=morning.astype("M8[s]"))
    if len(storm) < 10:
        raise ValueError(f"{', '.join(counties)}: {len(storm)} jobs can be played; name more counties")
    return Unit(tuple(counties), jobs, storm, peak_open(jobs))


def roster_of(unit: Unit, n_crews: int, night_share: float) -> list[dict[str, Any]]:
    """K crews from depots in the middle of each county's jobs, as many as its share of the jobs."""
    county = unit.all_jobs.region[unit.storm.row]
    order = [name for name in unit.counties if (county == name).any()]
    share = np.array([(county == name).mean() for name in order])
    middle = [np.median(unit.storm.xy_km[county == name], axis=0) for name in order]
    home = [int(np.searchsorted(share.cumsum(), (k + 0.5) / n_crews)) for k in range(n_crews)]
    by_night = np.arange(n_crews) * night_share % 1 + night_share >= 1 - 1e-9
    return [
        {
            "depot": tuple(float(x) for x in middle[min(home[k], len(order) - 1)]),
            "speed_kmh": 34.3,
            "skills": [0],
            "start_h": 0.0,
            "on_h": 24.0 if by_night[k] else 16.0,
            "off_h": 0.0 if by_night[k] else 8.0,
            "assessor": False,
        }
        for k in range(n_crews)
    ]


class Played(NamedTuple):
    """What came of one order of work."""

    figures: dict[str, float]
    outage_h: Floats  # [N]


class Stage:
    """A unit with K crews, on which orders of work are played.

    Args:
        unit: its jobs.
        n_crews: K.
        forecast: hours of work.
        settings: see there.
        label: for the bar.
    """

    def __init__(self, unit: Unit, n_crews: int, forecast: WorkForecast, settings: Settings, label: str) -> None:
        self.storm, self.n_crews, self.label, self.seed = unit.storm, n_crews, label, settings.seed
        self.env = gym.make(
            f"stormgym:{ENV_ID}",
            city=unit.storm.city(np.quantile(forecast.past_h, (np.arange(20) + 0.5) / 20), name=label),
            crews=roster_of(unit, n_crews, settings.night_share),
            n_depots=1,
            n_skills=1,
            feeder="none",
            predictor="none",
            known_share=0.5,
            arrival_end_h=float(unit.storm.arrival_h.max()),
            cost_limit=settings.cost_limit_h,
            weights=settings.weights,
        )
        self.options = {"jobs": forecast.jobs(unit.all_jobs, unit.storm)}
        point, hours = self.options["jobs"]["point_h"], unit.storm.duration_h
        self.rank_correlation = float(spearmanr(point, hours).statistic)

    def play(self, policy: Policy, name: str) -> Played:
        """What comes of an order of work."""
        console, last = status_console(), None
        steps = play_episode(self.env, policy, seed=self.seed, options=self.options)
        title, n = f"{escape(self.label)}, {self.n_crews} crews: {name}", len(self.storm)
        for last in track(steps, title, n, console=console, transient=True, disable=not console.is_terminal):  # noqa: B007
            pass
        assert last is not None
        times = self.env.unwrapped.times_h()[0]  # type: ignore[attr-defined]
        return Played(figures_of(times, self.storm) | _of_crews(last.info["metrics"], n), times)

    def recorded(self, name: str) -> Played:
        """One of the recorded orders."""
        time = self.storm.back_h if name == RECORDED[0] else self.storm.begun_h
        return self.play(RecordedOrder(name, time, self.n_crews if name == RECORDED[2] else 1), name)


def crews_of(word: str, unit: Unit, stage: Callable[[int], Stage]) -> int:
    """K by a word of the settings."""
    formula = max(1, round(0.91 * unit.peak**0.67))
    if word == "formula":
        return formula
    if word != "matched":
        return int(word)
    as_it_was = float(unit.storm.outage_h.mean())
    few, many = 0, formula
    while stage(many).recorded(RECORDED[2]).figures["mean_outage_h"] > as_it_was:
        few, many = many, 2 * many
    while many - few > 1:  # too few to be as soon, and enough
        middle = (few + many) // 2
        late = stage(middle).recorded(RECORDED[2]).figures["mean_outage_h"] > as_it_was
        few, many = (middle, many) if late else (few, middle)
    return many


def play_unit(stage: Stage, agents: Sequence[str]) -> dict[str, Played]:
    """Play every agent and the recorded orders, with the same crews on the same jobs."""
    storm = stage.storm
    found = {name: stage.play(make_policy(name, stage.env), name) for name in agents}
    found |= {name: stage.recorded(name) for name in RECORDED}
    found[AS_IT_WAS] = Played(figures_of(storm.outage_h, storm), storm.outage_h)
    return found


def figures_of(outage_h: Floats, storm: RecordedStorm) -> dict[str, float]:
    """Means over jobs and customers, and the gap between income groups."""
    groups = len(storm.group_names)
    return {
        "mean_outage_h": float(outage_h.mean()),
        "caidi_h": float((outage_h * storm.customers).sum() / storm.customers.sum()),
        "p95_h": float(np.quantile(outage_h, 0.95)),
        "gap_h": float(gap(outage_h, storm.group, groups)),
        **{f"mean_{name}_h": float(outage_h[storm.group == g].mean()) for g, name in enumerate(storm.group_names)},
    }


def _of_crews(metrics: dict[str, float], n: int) -> dict[str, float]:
    kept = {name: float(metrics[name]) for name in ("makespan_h", "utilisation", "overtime_h")}
    return kept | {"travel_h": float(metrics["travel_h"]) / n}


# ---------------------------------------------------------------------------------------------------------- hours


def left_hours(
    storms: dict[str, Recorded], groups: dict[str, int], settings: Settings
) -> dict[str, list[dict[str, Any]]]:
    """Scores of PG&E's stated times and of our forecasts, of every storm by a forecast that learnt on the others.

    The forecast is of the log of the hours left: errors are factors, and so are the ends of an interval.
    """
    tz: dict[str, Any] = {"tz": ZONE, "causes": CAUSES}
    times = {n: fixed_times(s.jobs, s.stated, settings.hours, rows=s.inside, **tz) for n, s in storms.items()}
    bar, found = status_console(), {}
    for name in track(WINDOWS, "hours left", console=bar, transient=True, disable=not bar.is_terminal):
        others = [times[other] for other in WINDOWS if other != name]
        storm = np.repeat(np.arange(len(others)), [len(part.row) for part in others])
        left = np.concatenate([part.left_h for part in others])
        model = BlockCQR(default_forest(settings.seed, settings.trees), confidence_level=LEVEL)
        model.fit(np.concatenate([part.known for part in others]), np.log(left), storm)
        own = times[name]
        group = np.array([groups[county] for county in storms[name].jobs.region[own.row].tolist()], dtype=np.int64)
        ends = np.exp(model.predict_interval(own.known))
        found[name] = score_fixed_times(own, np.exp(model.predict(own.known)), ends, group, 3)
    return found


# ------------------------------------------------------------------------------------------------------ telling


class Told(NamedTuple):
    """One table of the replay."""

    label: str
    unit: Unit
    n_crews: int
    played: dict[str, Played]
    rank_correlation: float  # of forecast and true hours of work


def print_unit(told: Told, console: Console) -> None:
    """The table of one unit with K crews."""
    label, unit, n_crews, played, correlation = told
    heads = ("mean h", "a customer h", "95 % h", "gap h", "way h", "busy", "last h")
    title = f"{escape(label)}: {len(unit.storm)} of {len(unit.all_jobs)} outages, {n_crews} crews"
    table = simple_table(title, heads, "order of work", tuple(played))
    for name, (figures, _) in played.items():
        own = [f"{figures[key]:.2f}" for key in ("mean_outage_h", "caidi_h", "p95_h", "gap_h")]
        crews = ["", "", ""]
        if "travel_h" in figures:
            crews = [f"{figures['travel_h']:.2f}", f"{figures['utilisation']:.0%}", f"{figures['makespan_h']:.0f}"]
        table.add_row(name, *own, *crews)
    console.print(table)
    left = ", ".join(f"{n} {why}" for why, n in unit.storm.left_out.items() if n)
    console.print(
        f"at most {unit.peak} open at once; not played: {left or 'none'}; work {unit.storm.duration_h.mean():.2f} h a "
        f"job, rank correlation with its forecast {correlation:.2f}\n"
    )


def print_hours(hours: dict[str, list[dict[str, Any]]], console: Console) -> None:
    """Stated and forecast hours where there were both, and ours on all outages."""
    heads = ("stated", "theirs\nMAE h", "median\n|error| h", "in time", "ours\nMAE h", "median\n|error| h", "in time")
    table = simple_table("where PG&E had stated a time", (*heads, "constant\nMAE h"), "storm, after")
    every = simple_table(
        "all outages that were still there: ours",
        ("open", "MAE h", "constant\nMAE h", "interval\nholds", "width h", "low", "middle", "high"),
        "storm, after",
    )
    for name, records in hours.items():
        for r in records:
            row = f"{name}, {r['after_h']:g} h"
            scored = [f"{r[who][key]:.2f}" for who in ("theirs", "ours") for key in ("mae_h", "medae_h", "before")]
            table.add_row(row, str(r["stated"]), *scored, f"{r['ours']['constant_mae_h']:.2f}")
            groups = ["" if np.isnan(share) else f"{share:.0%}" for share in (r["held"], *r["held_by_group"])]
            errors = [f"{r['all'][key]:.2f}" for key in ("mae_h", "constant_mae_h")]
            every.add_row(row, str(r["open"]), *errors, groups[0], f"{r['width_h']:.0f}", *groups[1:])
    console.print(table)
    console.print(every)


def draw(told: Told, hours: dict[str, Any]) -> Any:
    """Jobs without power by hour under each order, and mean errors by time after the start, where they were scored."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11 if hours else 6.5, 4.2), layout="constrained")
    panels: Any = figure.subplots(1, 2 if hours else 1, squeeze=False)[0]
    arrival, recorded = told.unit.storm.arrival_h, told.unit.storm.outage_h
    clock = np.linspace(0.0, float((arrival + recorded).max()), 400)
    for i, (name, run) in enumerate(told.played.items()):
        out = (arrival[:, None] <= clock) & ((arrival + run.outage_h)[:, None] > clock)
        style = ":" if name == AS_IT_WAS else "--" if name in RECORDED else "-"
        panels[0].plot(clock, out.sum(axis=0), style, color="#222222" if name == AS_IT_WAS else f"C{i}", label=name)
    panels[0].set(xlabel="hours", ylabel="played jobs without power", title=f"{told.label}: {told.n_crews} crews")
    panels[0].legend(frameon=False, fontsize=8)
    for i, (name, records) in enumerate(hours.items()):
        after = [r["after_h"] for r in records]
        for who, style in (("theirs", "--o"), ("ours", "-o")):
            line = f"{name}, {'stated' if who == 'theirs' else 'ours'}"
            panels[1].plot(after, [r[who]["mae_h"] for r in records], style, color=f"C{i}", label=line)
    if hours:
        panels[1].set(xlabel="hours after the start", ylabel="mean absolute error (h)", title="where a time was stated")
        panels[1].set_yscale("log")
        panels[1].legend(frameon=False, fontsize=7)
    return figure


def main(args: list[str] | None = None) -> int:
    """Read, play, forecast, print, draw."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = make_console()
    storms, groups = read_storms(settings.data), read_groups(settings.data)
    told: list[Told] = []
    for name in settings.storms:
        forecast = WorkForecast([storms[other] for other in WINDOWS if other not in (name, STANDING)], settings)
        for counties in settings.units:
            label = f"{name}, {counties}"
            unit = make_unit(storms[name], [c.strip() for c in counties.split(",")], groups)
            stage = partial(Stage, unit, forecast=forecast, settings=settings, label=label)
            for n_crews in dict.fromkeys(crews_of(word, unit, stage) for word in settings.crews):
                here = stage(n_crews)
                told.append(Told(label, unit, n_crews, play_unit(here, settings.agents), here.rank_correlation))
                print_unit(told[-1], console)
    if told:
        console.print(CANNOT_SAY, markup=False)
    hours = left_hours(storms, groups, settings) if settings.hours else {}
    if hours:
        print_hours(hours, console)
    tell_files(settings, told, hours, console)
    return 0


def tell_files(settings: Settings, told: list[Told], hours: dict[str, Any], console: Console) -> None:
    """Write what the settings ask for."""
    if settings.json is not None:
        own = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in ("data", "figure", "json")}
        units = [
            {
                "unit": label,
                "crews": n_crews,
                "outages": len(unit.all_jobs),
                "played": len(unit.storm),
                "left_out": dict(unit.storm.left_out),
                "peak_open": unit.peak,
                "rank_correlation": correlation,
                "orders": {name: run.figures for name, run in played.items()},
            }
            for label, unit, n_crews, played, correlation in told
        ]
        whole = _plain({"settings": own, "units": units, "hours": hours})
        settings.json.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        console.print(f"numbers: {escape(str(settings.json))}")
    if settings.figure is not None and told:
        save_png(draw(told[-1], hours), settings.figure)
        console.print(f"picture: {escape(str(settings.figure))}")


def _plain(value: Any) -> Any:
    """What JSON can hold: null for what is not known."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {error}")
