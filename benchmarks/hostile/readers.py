"""What reads files of others: for each reader a good folder, the files to spoil, and a digest of what was read."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.agents.runs import RunSettings, create_run, open_run
from stormgym.envs.crews.example import write_example
from stormgym.envs.data import City, RepairLog
from stormgym.envs.data.feeds import (
    JobTable,
    read_aneel_interruptions,
    read_aneel_jobs,
    read_nged,
    read_pge,
    read_ssen,
    read_ukpn,
)
from stormgym.envs.data.jobs_file import read_reported_jobs
from stormgym.envs.data.outage_record import read_eaglei
from stormgym.envs.dispatch.folder import load_profile

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "envs" / "data" / "feeds" / "fixtures"
"""A small file of each feed, in the feed's own form."""


@dataclass(frozen=True)
class Read:
    """What a reader made of a folder."""

    digest: str
    n_faults: int = 0
    """Values that it flagged."""
    n_warnings: int = 0
    """Warnings that name something in the files."""


@dataclass(frozen=True)
class Reader:
    """A reader of files."""

    name: str
    files: tuple[str, ...]
    """Names of the files to spoil."""
    write: Callable[[Path], None]
    """Writes the good files into an empty folder."""
    read: Callable[[Path], Read]
    """Reads the folder."""


def digest(value: Any) -> str:
    """Hash of a record's fields: arrays, texts, numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        value = {k: v.tobytes() if isinstance(v, np.ndarray) and v.dtype != object else v for k, v in value.items()}
    return hashlib.sha256(pickle.dumps(value)).hexdigest()


def _city(folder: Path) -> None:
    write_example(folder, n_regions=6, n_jobs=10, seed=1)


def _read_city(folder: Path) -> Read:
    return Read(City.load(folder).fingerprint())


def _read_jobs(folder: Path) -> Read:
    city = City.load(folder)
    return Read(digest(read_reported_jobs(city, folder / "jobs.csv")))


def _log(folder: Path) -> None:
    rng = np.random.default_rng(3)
    rows = ["region,start_time,duration_h,customers_out"]
    for i in range(24):
        day = f"2023-0{1 + i % 9}-1{i % 10} 1{i % 10}:30:00"
        rows.append(f"ward {i % 4},{day},{rng.gamma(2.0):.3f},{rng.integers(1, 400)}")
    (folder / "outages.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _read_log(folder: Path) -> Read:
    log = RepairLog.read_outage_log(
        folder / "outages.csv",
        tz="America/New_York",
        feature_columns=("customers_out",),
        time_features=("hour", "requests_24h"),
    )
    return Read(digest(log))


COUNTIES = """fips_code,customers,income_usd,lat,lon
1001,4000,30000,30.0,-88.0
1003,9000,60000,31.0,-87.0
1005,2500,45000,30.5,-85.0
"""
COUNTS = "fips_code,county,state,customers_out,run_start_time\n" + "".join(
    f"{code},{name},Alabama,{100 * (6 - abs(hour - 5)) + code % 10},2021-08-28 {hour:02d}:00:00\n"
    for hour in range(12)
    for code, name in ((1001, "Autauga"), (1003, "Baldwin"), (1005, "Barbour"))
)
PROFILE = {
    "period_hours": 2,
    "windows": [{"name": "early", "start": "2021-08-28T02:00", "end": "2021-08-28T10:00"}],
    "generators": 12,
    "customers_per_generator": 500,
    "transport_cost": 300.0,
    "interruption_cost": 6.0,
    "operating_cost": 60.0,
    "rate": 4.0,
    "severity": [0.5, 1.5],
    "latest_onset": 2,
    "interval_min": 60,
    "steps_per_period": 5,
}


def _counts(folder: Path) -> None:
    (folder / "counts.csv").write_text(COUNTS, encoding="utf-8")
    (folder / "MCC.csv").write_text("County_FIPS,Customers\n1001,4000\n1003,9000\n1005,2500\n", encoding="utf-8")


def _read_counts(folder: Path) -> Read:
    record = read_eaglei(folder / "counts.csv", customers=folder / "MCC.csv", interval_min=60)
    return Read(digest(record), sum(record.n_faults().values()))


def _storms(folder: Path) -> None:
    (folder / "counties.csv").write_text(COUNTIES, encoding="utf-8")
    (folder / "outages.csv").write_text(COUNTS, encoding="utf-8")
    (folder / "profile.json").write_text(json.dumps(PROFILE, indent=1), encoding="utf-8")


def _read_storms(folder: Path) -> Read:
    return Read(digest(load_profile(folder)))


def _run(folder: Path) -> None:
    settings = RunSettings(
        env_id="Restoration-v0",
        agent="maskable-ppo",
        seed=1,
        timesteps=1000,
        num_envs=8,
        eval_freq=50,
        checkpoint_freq=100,
        env_kwargs={"city": "synthetic:6:1", "cost_limit": 2.5},
    )
    run = create_run(folder, settings)
    for file in run.folder.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())


def _read_run(folder: Path) -> Read:
    return Read(digest(asdict(open_run(folder).settings)))


def _feed(name: str, read: Callable[[Path], JobTable]) -> Reader:
    def write(folder: Path) -> None:
        (folder / name).write_bytes((FIXTURES / name).read_bytes())

    def read_feed(folder: Path) -> Read:
        table = read(folder / name)
        return Read(digest(table), sum(table.faults().values()))

    return Reader(name, (name,), write, read_feed)


READERS: tuple[Reader, ...] = (
    Reader("city", ("regions.csv", "log.csv", "city.json", "crews.json"), _city, _read_city),
    Reader("open jobs", ("jobs.csv",), _city, _read_jobs),
    Reader("outage log", ("outages.csv",), _log, _read_log),
    Reader("customers out", ("counts.csv", "MCC.csv"), _counts, _read_counts),
    Reader("storms", ("counties.csv", "outages.csv", "profile.json"), _storms, _read_storms),
    Reader("run", ("settings.json",), _run, _read_run),
    _feed("nged_power_outage_ext.csv", partial(read_nged, tz="Europe/London")),
    _feed("ukpn_live_faults.csv", partial(read_ukpn, tz="Europe/London")),
    _feed("ukpn_live_faults.json", read_ukpn),
    _feed("ssen_power_track.json", partial(read_ssen, seen="2024-12-07T12:00Z")),
    _feed("aneel_ocorrencias_2026.csv", partial(read_aneel_jobs, tz="America/Sao_Paulo")),
    _feed("aneel_interrupcoes_2026.csv", partial(read_aneel_interruptions, tz="UTC")),
    _feed("pge_outages.csv", read_pge),
)
