"""Folders and files of this room that users bring, as `stormgym.envs.data.checking` reads them: a city, and feeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from stormgym.envs.data.checking import FolderKind
from stormgym.envs.data.city import City
from stormgym.envs.data.crews_file import CREWS_FILE
from stormgym.envs.data.feeds import (
    JobTable,
    read_aneel_interruptions,
    read_aneel_jobs,
    read_nged,
    read_pge,
    read_ssen,
    read_ukpn,
)
from stormgym.envs.data.jobs_file import JOBS_FILE, ReportedJobs, jobs_file_of, read_reported_jobs
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.tables import DataError, read_json, read_table


def _read_city(folder: Path) -> tuple[City, ReportedJobs | None]:
    city = City.load(folder)
    file = jobs_file_of(folder)
    _warn_of_crews(folder / CREWS_FILE, city)
    return city, None if file is None else read_reported_jobs(city, file)


def _warn_of_crews(file: Path, city: City) -> None:
    """Warn of crews that plans for today take and drawn storms do not."""
    early = [crew.name for crew in city.crews if crew.start_h < 0]
    if early:
        warnings.warn(
            f"{file}: 'start_h' of crew {early[0]!r} is below 0, which plans for today take; storms that are drawn (to "
            "score and to train) begin at hour 0 and refuse it. Write 0 or more in a copy of the folder for these.",
            stacklevel=2,
        )
    had = {skill for crew in city.crews if not crew.assessor for skill in crew.skills}
    lacking = [skill for skill in (0, 1) if skill not in had]
    if lacking and had - {0}:
        warnings.warn(
            f"{file}: no crew that repairs has skill {lacking[0]}; got {sorted(had)}. Plans for today take that; "
            "storms that are drawn have jobs of skill 0, and of 1 where a crew has one above 0. Give it to a crew.",
            stacklevel=2,
        )


def _city_in_words(content: tuple[City, ReportedJobs | None]) -> str:
    city, jobs = content
    parts = [f"{city.n_regions:,} regions in {len(city.group_names)} groups", f"{len(city.log):,} records"]
    parts += [f"{len(city.crews):,} crews"] if city.crews else []
    parts += [f"{len(jobs):,} jobs"] if jobs is not None else []
    return ", ".join(parts)


CITY = FolderKind(
    name="city",
    summary="regions.csv, log.csv, city.json; perhaps crews.json and jobs.csv (docs/data.md)",
    read=_read_city,
    describe=_city_in_words,
    needed=("regions.csv", "log.csv", "city.json"),
    optional=("crews.json", JOBS_FILE),
    apart={
        "regions.csv": read_table,
        "log.csv": read_table,
        "city.json": read_json,
        "crews.json": read_json,
        JOBS_FILE: read_table,
    },
    usual={"crews.json": {"depot": 0, "skills": [0], "on_h": 8.0, "off_h": 16.0}},
    told_by=("log.csv", "city.json"),
)


def outage_log(**arguments: Any) -> FolderKind:
    """An export of outages, read with these arguments of `RepairLog.read_outage_log`."""
    reader = partial(RepairLog.read_outage_log, **{"tz": None, **arguments})
    return log_kind(reader, RepairLog.in_words, arguments.get("time_format"))


def log_kind(read: Callable[[Path], Any], describe: Callable[[Any], str], time_format: str | None) -> FolderKind:
    """The kind of an export of outages, however it is read."""
    noon = datetime(2000, 1, 1, 12, tzinfo=UTC)
    time = noon.isoformat() if time_format is None else noon.strftime(time_format)
    summary = "an outage export, CSV with a row an outage; options name its columns (docs/data.md)"
    return FolderKind("log", summary, read, describe, stand_ins=(time, "1"))


LOG = outage_log()


def _read_feed(read: Callable[[Path], JobTable], path: Path) -> list[JobTable]:
    """The tables of a file, or of every file of a folder; what is flagged in them is told as warnings."""
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    if not files:
        raise DataError(f"{path}: no file. Name a file of the feed, or a folder of them.")
    tables = []
    for file in files:
        table = read(file)
        for words, n in table.faults().items():
            warnings.warn(f"{file}: {n:,} of {len(table):,} rows are flagged: {words}.", stacklevel=2)
        tables.append(table)
    return tables


def _feed_in_words(tables: list[JobTable]) -> str:
    return f"{sum(map(len, tables)):,} outages in {len(tables):,} file{'s' * (len(tables) != 1)}"


def _feed(name: str, summary: str, read: Callable[..., JobTable], **arguments: Any) -> FolderKind:
    reader = partial(read, **arguments)
    return FolderKind(name, f"{summary} (docs/feeds.md)", partial(_read_feed, reader), _feed_in_words)


FEEDS = (
    _feed("nged", "outages of National Grid Electricity Distribution, CSV", read_nged, tz="Europe/London"),
    _feed("ssen", "outages of Scottish and Southern Electricity Networks, JSON", read_ssen),
    _feed("ukpn", "live faults of UK Power Networks, CSV or JSON", read_ukpn, tz="Europe/London"),
    _feed("pge", "outages of Pacific Gas and Electric, CSV", read_pge),
    _feed("aneel-jobs", "ANEEL's emergency jobs, CSV", read_aneel_jobs, tz="America/Sao_Paulo"),
    _feed("aneel-interruptions", "ANEEL's interruptions, CSV", read_aneel_interruptions, tz="America/Sao_Paulo"),
)
"""Files of publishers, or folders of them; times without an offset are read in the publisher's zone."""
