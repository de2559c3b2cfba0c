"""A folder of recorded storms: `counties.csv`, `outages*.csv`, `profile.json` (docs/environments/dispatch.md).

What a period is told as. Counts that are missing or faulty (`FAULTS`) become unknown and are read off the line between
the known ones around them; a count above the county's customers is such a fault, so that after filling no county has
more out than it serves. Customers out in a period are the mean over it. Entry 0, which a policy sees when it decides on
period 1, is the newest count that was known at the moment when the window begins (0 where there was none): period 0
lies outside the window, and the mean of period 1 is not known yet.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.degrees import project_km, read_degrees
from stormgym.envs.data.errors import Place
from stormgym.envs.data.incomes import warn_of_ties
from stormgym.envs.data.outage_files import MOST_INTERVAL_MIN
from stormgym.envs.data.outage_record import OutageRecord, read_eaglei
from stormgym.envs.data.tables import DataError, Table, read_json, read_table
from stormgym.envs.data.times import parse_moment
from stormgym.envs.dispatch.generators import MOST as GENERATORS_MOST
from stormgym.envs.dispatch.generators import check_size
from stormgym.envs.dispatch.recorded import RecordedProfile, first_periods, mean_weather
from stormgym.envs.dispatch.sizes import LARGEST, MAX_PERIOD_H, MAX_WINDOW_DAYS, MAX_WINDOWS
from stormgym.envs.storms import COVARIATES

COUNTIES, PROFILE, OUTAGES = "counties.csv", "profile.json", "outages*"
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_TRIED = 8
"""Simulated storms that show whether the rates fit the Euler steps."""


class Window(NamedTuple):
    """Time of a storm, seconds since 1970 in UTC."""

    name: str
    start_s: int
    end_s: int


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number (whole ones may be of any length)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Rule = tuple[str, Callable[[Any], bool]]
_POSITIVE: Rule = ("a number above 0", lambda v: is_number(v) and v > 0)
_NOT_NEGATIVE: Rule = ("a number of at least 0", lambda v: is_number(v) and v >= 0)
_NUMBER_OF: Rule = ("a whole number of at least 0", lambda v: _whole(v) and v >= 0)
_COUNT: Rule = ("a whole number of at least 1", lambda v: _whole(v) and v >= 1)
_TEXT: Rule = ("a text", lambda v: isinstance(v, str) and bool(v))
REQUIRED: dict[str, Rule] = {
    "period_hours": _POSITIVE,
    "windows": ("a list of {name, start, end}", lambda v: isinstance(v, list) and bool(v)),
    "generators": _NUMBER_OF,
    "customers_per_generator": _POSITIVE,
    "transport_cost": _NOT_NEGATIVE,
    "interruption_cost": _NOT_NEGATIVE,
    "operating_cost": _NOT_NEGATIVE,
    "rate": _POSITIVE,
}
OPTIONAL: dict[str, Rule] = {
    "name": _TEXT,
    "severity": ("two numbers", lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v))),
    "latest_onset": _NUMBER_OF,
    "restoration_noise": _NOT_NEGATIVE,
    "steps_per_period": _COUNT,
    "cost_limit": _POSITIVE,
    "interval_min": _COUNT,
    "missing_is_zero": ("true or false", lambda v: isinstance(v, bool)),
    "notes": ("free", lambda v: True),
}
MOST: dict[str, float] = {
    **GENERATORS_MOST,
    "period_hours": MAX_PERIOD_H,
    "interval_min": MOST_INTERVAL_MIN,
    **dict.fromkeys(("rate", "latest_onset"), LARGEST),
    "restoration_noise": 100.0,
}
"""Largest numbers of `profile.json`."""
_SHORTEST_PERIOD_H = 1.0 / 60.0
_OF_THE_READER = ("period_hours", "windows", "cost_limit", "interval_min", "missing_is_zero", "notes")


def outage_files(folder: Path) -> list[Path]:
    """Outage files of a folder, by name."""
    return sorted(path for path in folder.glob(OUTAGES) if path.name.endswith(_SUFFIXES) and path.is_file())


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, times of change and sizes of the files that a profile is made of: what tells one state from the next."""
    paths = [path for path in (folder / COUNTIES, folder / PROFILE) if path.is_file()] + outage_files(folder)
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


def load_profile(folder: str | os.PathLike[str]) -> tuple[RecordedProfile, float | None]:
    """Read a folder of recorded storms.

    Returns:
        The profile, and the limit that `profile.json` gives; without one it is None, and the profile's is 1.0.

    Raises:
        DataError: a file, column, key or value that does not fit; the message says where and what to do.

    Warns:
        UserWarning: counts were missing or faulty and have been filled; says how many. `latest_onset` is missing, a
            county serves fewer customers than are out in it, or counties of one income stand in different groups.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give one with {COUNTIES}, {PROFILE} and {OUTAGES}.")
    path = folder / PROFILE
    options = _read_options(path)
    windows, n_periods = _windows(options, path)
    table = read_table(folder / COUNTIES)
    county = _codes(table)
    rule = "customers must be a number above 0"
    population = table.numbers("customers", rule=rule, valid=lambda v: v > 0)
    if population.max() > LARGEST:
        table.fail(int(population.argmax()), "customers", f"customers must be at most {LARGEST:,.0f}", "Correct it.")
    income = table.numbers("income_usd")
    try:
        check_size(len(county), n_periods)
    except ValueError as error:
        raise DataError(f"{folder}: {error}.") from error
    files = outage_files(folder)
    if not files:
        raise DataError(
            f"{folder}: no outage file. Add one named {OUTAGES} that ends in {', '.join(_SUFFIXES)}, as EAGLE-I's are."
        )
    parts = [_storm(files, county, population, window, options, path) for window in windows]
    recorded = np.stack([part[0] for part in parts])  # [S, T + 1, K]
    if not recorded.any():
        raise DataError(f"{path}: nobody is out in any of the windows. Correct the windows or the outage files.")
    arguments = {name: value for name, value in options.items() if name not in _OF_THE_READER}
    if "latest_onset" not in arguments:
        arguments["latest_onset"] = min(3, n_periods)
        warnings.warn(
            f"{path}: 'latest_onset' is missing; simulated storms begin in one of the periods 0 to "
            f"{arguments['latest_onset']} in each county. Say in which of the {n_periods} they may.",
            stacklevel=2,
        )
    arguments.setdefault("name", folder.resolve().name)
    arguments["severity"] = tuple(arguments.get("severity", RecordedProfile.severity))
    try:
        profile = RecordedProfile(
            **arguments,
            population=population,
            place=_places(table),
            income=income,
            n_periods=n_periods,
            cost_limit=options.get("cost_limit", 1.0),
            county=county,
            window=tuple(window.name for window in windows),
            recorded=recorded,
            covariates=_covariates(table, windows, recorded, population),
            n_counts=sum(part[1] for part in parts),
            n_unknown=sum(part[2] for part in parts),
        )
        profile.simulate([np.random.default_rng(i) for i in range(_TRIED)])
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: {error}. Correct it.") from error
    warn_of_ties(profile.income, profile.group, table.source)
    if profile.n_unknown:
        warnings.warn(
            f"{folder}: {profile.n_unknown:,} of {profile.n_counts:,} counts in the windows "
            f"({profile.n_unknown / profile.n_counts:.1%}) are missing or faulty and are read off the line between the "
            "known ones around them.",
            stacklevel=2,
        )
    return profile, options.get("cost_limit")


def _read_options(path: Path) -> dict[str, Any]:
    options = read_json(path)
    rules = REQUIRED | OPTIONAL
    for key in options:
        if key not in rules:
            raise DataError(
                f"{path}: unknown key {key!r}; known are {list(rules)}. Correct or remove it (free text: 'notes').",
                place=Place(str(path), keys=(key,)),
            )
    for key in REQUIRED:
        if key not in options:
            rule = REQUIRED[key][0]
            place = Place(str(path), keys=(key,))
            raise DataError(f"{path}: key {key!r} is missing; it must be {rule}. Add it.", place=place)
    for key, value in options.items():
        rule, valid = rules[key]
        if valid(value) and key in MOST and value > MOST[key]:
            rule, valid = f"at most {MOST[key]:,.10g}", lambda v: False
        if not valid(value):
            place = Place(str(path), keys=(key,))
            raise DataError(f"{path}: {key!r} must be {rule}; got {_shown(value)}. Correct it.", place=place)
    if options["period_hours"] < _SHORTEST_PERIOD_H:
        hours = options["period_hours"]
        raise DataError(f"{path}: 'period_hours' must be at least a minute, 1/60 h; got {hours:g}. Correct it.")
    return options


def _shown(value: Any) -> str:
    """A JSON value, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text):,} characters)"


def _windows(options: dict[str, Any], path: Path) -> tuple[list[Window], int]:
    """The windows and the number of periods that all of them have."""
    windows: list[Window] = []
    if len(options["windows"]) > MAX_WINDOWS:
        raise DataError(
            f"{path}: 'windows' must be at most {MAX_WINDOWS} storms; got {len(options['windows'])}. Leave some out."
        )
    period_s = 3600.0 * options["period_hours"]
    n_periods = 0
    for i, window in enumerate(options["windows"]):
        keys = {"name", "start", "end"}
        if not isinstance(window, dict) or set(window) != keys or not all(isinstance(v, str) for v in window.values()):
            raise DataError(
                f"{path}: windows[{i}] must be an object of texts with name, start and end; got {_shown(window)}. "
                "Correct it."
            )
        name = window["name"]
        where = f"{path}: window {name!r}"
        if not name.strip() or name in [other.name for other in windows]:
            raise DataError(f"{where}: a window needs a name of its own. Rename it.")
        try:
            start, end = (parse_moment(window[key], "UTC", key) for key in ("start", "end"))
        except ValueError as error:
            raise DataError(f"{where}: {error} Times are UTC unless they carry an offset.") from error
        if end - start > MAX_WINDOW_DAYS * 86_400:
            raise DataError(
                f"{where} must last at most {MAX_WINDOW_DAYS} days; got {window['start']} to {window['end']}, "
                f"{(end - start) / 86_400:,.0f} days. Correct its times."
            )
        n = (end - start) / period_s
        if n < 1 or abs(n - round(n)) > 1e-9:
            raise DataError(
                f"{where} must last one or more whole periods of {options['period_hours']:g} h; got {window['start']} "
                f"to {window['end']}, {(end - start) / 3600:g} h. Move its end."
            )
        n_periods = n_periods or round(n)
        if round(n) != n_periods:
            raise DataError(
                f"{where} must have as many periods as the first window, {n_periods}; got {round(n)}. Move its end."
            )
        windows.append(Window(name, start, end))
    return windows, n_periods


def _codes(table: Table) -> tuple[str, ...]:
    """FIPS codes of five digits, each once."""
    line: dict[str, int] = {}
    for row, cell in enumerate(table.text("fips_code")):
        code = cell.removesuffix(".0").zfill(5)
        if code in line:
            rule = f"each county needs a row of its own, but line {line[code]} has it too"
            table.fail(row, "fips_code", rule, "Remove the double row.")
        line[code] = table.lines[row]
    if len(line) < 3:
        raise DataError(f"{table.source}: three income groups need at least 3 counties; got {len(line)}. Add some.")
    return tuple(line)


def _places(table: Table) -> Floats:
    """Places in the unit square `[K, 2]`, east and north, all distances in one proportion."""
    lat_lon = read_degrees(table)
    xy = project_km(lat_lon, (float(np.ascontiguousarray(lat_lon[:, 0]).mean()), float(lat_lon[0, 1])))
    low, extent = xy.min(axis=0), np.ptp(xy, axis=0)
    widest = max(float(extent.max()), 1e-9)
    place: Floats = (xy - low) / widest + 0.5 * (1.0 - extent / widest)
    return place


def _storm(
    files: list[Path],
    county: tuple[str, ...],
    population: Floats,
    window: Window,
    options: dict[str, Any],
    path: Path,
) -> tuple[Floats, int, int]:
    """Customers out in a window `[T + 1, K]`, the counts behind it, and how many of these had to be filled."""
    where = f"{path}: window {window.name!r}"
    hours, zero = float(options["period_hours"]), options.get("missing_is_zero", False)
    margin = np.timedelta64(round(3600 * hours), "s")  # what lies around a window helps to fill it
    start, end = (np.datetime64(s, "s") for s in (window.start_s, window.end_s))
    try:
        record = read_eaglei(
            files,
            counties=county,
            missing_is_zero=zero,
            interval_min=options.get("interval_min", 15),
            since=str(start - margin),
            until=str(end + margin),
        )
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    record = _complete(record, county, start, end, zero, where).with_customers(population)
    _warn_of_few_customers(record, where)
    clean = record.without_faults()
    inside = slice(*np.searchsorted(clean.time, [start, end]))
    unknown = int(np.isnan(clean.out[inside]).sum())
    silent = np.isnan(clean.out).all(axis=0)
    if silent.any():
        k = int(silent.argmax())
        raise DataError(
            f"{where}: every count of county {county[k]} is missing or faulty "
            f"({int((record.faults[:, k] > 0).sum())} of {len(record.time)} are faulty). Correct its customers in "
            f"{COUNTIES} ({population[k]:g}), or leave the county out."
        )
    before = clean.out[: inside.start + 1]  # up to the count with which the window begins
    row = np.where(np.isfinite(before), np.arange(len(before))[:, None], -1).max(axis=0)
    newest = np.where(row >= 0, before[row, np.arange(len(county))], 0.0)
    try:
        means = clean.filled().window(str(start), str(end)).per_period(hours)
    except ValueError as error:
        raise DataError(f"{where}: {error}. Correct 'period_hours' or 'interval_min'.") from error
    return np.vstack([newest, means]), int(clean.out[inside].size), unknown


def _warn_of_few_customers(record: OutageRecord, where: str) -> None:
    """Warn of counties that serve fewer customers than most of their counts above 0 have out."""
    out = record.out
    share = (out > record.customers).sum(axis=0) / np.maximum((out > 0).sum(axis=0), 1)
    few = np.flatnonzero(share > 0.5)
    if few.size:
        k = int(few[0])
        warnings.warn(
            f"{where}: county {record.county[k]} has {record.customers[k]:g} customers in {COUNTIES}, and "
            f"{share[k]:.0%} of its counts above 0 are larger (up to {np.nanmax(out[:, k]):g}); so it is in "
            f"{few.size} of {len(record.county)} counties. Correct the customers.",
            stacklevel=4,
        )


def _complete(
    record: OutageRecord,
    county: tuple[str, ...],
    start: np.datetime64,
    end: np.datetime64,
    zero: bool,
    where: str,
) -> OutageRecord:
    """The counties in their order, over all of the window: what is absent is zero if absent rows are, else an error."""
    absent = [code for code in county if code not in record.county]
    step = record.time[1] - record.time[0]
    late = max(int((record.time[0] - start) // step), 0)  # times of the grid from the start on that come before it
    early = max(-int((record.time[-1] - end) // step) - 1, 0)  # and those before the end that come behind it
    if absent and not zero:
        raise DataError(
            f"{where}: county {absent[0]} of {COUNTIES} has no row in {record.source}. Leave the county out, or say "
            "'missing_is_zero': true if the files leave zeros out."
        )
    if (late or early) and not zero:
        raise DataError(
            f"{where} must lie within the outage files, which have rows from {record.time[0]} to {record.time[-1]} "
            "around it. Move the window, add a file, or say 'missing_is_zero': true if the files leave zeros out."
        )
    if late or early:
        hours = record.interval_h
        warnings.warn(
            f"{where}: no county has a row in its first {late * hours:g} h and its last {early * hours:g} h; with "
            "'missing_is_zero' that is taken for no outage. Are the files complete?",
            stacklevel=4,
        )
    value = 0.0 if zero else np.nan
    around = ((late, early), (0, len(absent)))
    time = record.time[0] + step * np.arange(-late, len(record.time) + early)
    whole = replace(
        record,
        county=(*record.county, *absent),
        time=time,
        out=np.pad(record.out, around, constant_values=value),
        observed=np.pad(record.observed, around),
        customers=np.pad(record.customers, (0, len(absent)), constant_values=np.nan),
        faults=np.pad(record.faults, around),
    )
    return whole.select(county)


def _covariates(table: Table, windows: list[Window], recorded: Floats, population: Floats) -> Floats:
    """What is known before each storm `[S, K, F]`: columns of the table, `NAME_WINDOW` before `NAME`; else defaults."""
    n_periods, k = recorded.shape[1] - 1, len(population)
    onset = first_periods(recorded, population)[..., None]
    known = np.concatenate([mean_weather(len(windows), k), onset], axis=-1)
    rules: dict[str, Rule] = {
        "temperature_c": ("a temperature must be a finite number (degrees Celsius)", np.isfinite),
        "wind_ms": ("a wind speed must be at least 0 m/s", lambda v: v >= 0),
        "humidity": ("humidity must be a share from 0 to 1", lambda v: 0 <= v <= 1),
        "onset": (f"an onset must be a period from 0 to {n_periods}", lambda v: 0 <= v <= n_periods and v == int(v)),
    }
    own = {f"{name}_{window.name}" for name in COVARIATES for window in windows}
    for column in table.columns:
        if column.startswith(tuple(f"{name}_" for name in COVARIATES)) and column not in own:
            raise DataError(
                f"{table.source}: column '{column}' names no window; there are {[window.name for window in windows]}. "
                "Correct or remove it."
            )
    for s, window in enumerate(windows):
        for f, name in enumerate(COVARIATES):
            for column in [c for c in (f"{name}_{window.name}", name) if c in table.columns][:1]:
                rule, valid = rules[name]
                known[s, :, f] = table.numbers(column, rule=rule, valid=valid)
    return known
