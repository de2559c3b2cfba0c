"""From a utility's real outage log to a trained and scored crew policy.

    python examples/massachusetts.py --log ma_dpu_west_outage_log_2013_2023.csv.gz --towns ma_town_attributes.csv

The log is the Massachusetts Department of Public Utilities' public record of single outages in the west of the state
(columns outage_id, time_out in local Eastern time, duration_h, town); the second file has a row a town (town,
median_income_usd, lat, lon). Outages from 2017 on are used (the coverage changed before), durations of zero are
dropped, and the 55 towns with most records become the regions of a city.

What the numbers mean: an outage of the log ends when power is back, so its duration includes the wait for a crew as
well as the repair. Durations stand in for repair times here. The table compares policies on durations that are as
skewed as real ones; it says nothing about how long these towns really wait, nor that income lengthens their outages.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from stormgym.envs.data import City, RepairLog

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train and score a policy on a real outage log."""

    log: Path
    """Outage log, one row an outage (csv or csv.gz)."""
    towns: Path
    """Town attributes: town, median_income_usd, lat, lon."""
    out: Path = Path("runs/massachusetts")
    """Where the city folder, the run and the scores go."""
    regions: int = 55
    """Towns with most records to keep."""
    cost_limit_h: float = 40.0
    """Limit on the gap between income groups (h); outages are several times as long here as in the default city."""
    timesteps: int = 240_000
    """Training steps of STA-SAC; 0 stops when the city folder is written."""
    episodes: int = 500
    """Storms on which policies are scored."""
    seed: int = 0
    """Seed of training."""


def make_city(settings: Settings) -> City:
    """Read the log and the towns, and make a city of them."""
    log = RepairLog.read_outage_log(
        settings.log,
        tz="America/New_York",
        region_column="town",
        time_column="time_out",
        duration_column="duration_h",
        since="2017-01-01",
        drop_zero=True,
        time_features=("hour", "weekday", "month", "requests_24h"),
    )
    return City.from_log(
        log.busiest(settings.regions),
        settings.towns,
        name="western Massachusetts",
        region_column="town",
        income_column="median_income_usd",
        features=("x_km", "y_km", "depot_km", "hour", "weekday", "month", "requests_24h"),
        cost_limit_h=settings.cost_limit_h,
    )


def describe(city: City, console: Console) -> None:
    """Print the durations of each income group in the log."""
    table = Table("income group", "towns", "records", "median h", "mean h", title=f"{city.name}: outage durations")
    group = city.group[city.log.region]
    for g, name in enumerate(city.group_names):
        hours = city.log.repair_h[group == g]
        cells = [(city.group == g).sum(), hours.size, f"{np.median(hours):.1f}", f"{hours.mean():.1f}"]
        table.add_row(name, *map(str, cells))
    console.print(table)


def main() -> int:
    """Make the city, train, score."""
    settings = tyro.cli(Settings, description=__doc__)
    console = Console(emoji=False)
    city = make_city(settings)
    describe(city, console)
    folder = settings.out / "city"
    city.save(folder)
    console.print(f"city folder: {folder}")
    if settings.timesteps == 0:
        return 0
    runs = settings.out / "runs"
    train = [sys.executable, "train.py", "--env", "Restoration-v0", "--city", str(folder.resolve())]
    train += ["--timesteps", str(settings.timesteps), "--seed", str(settings.seed), "--runs-dir", str(runs.resolve())]
    subprocess.run([*train, "--final-episodes", "0"], cwd=ROOT, check=True)
    run = max(runs.glob("Restoration-v0/sta-sac/*"), key=lambda path: path.stat().st_mtime)
    names = f"request-volume,nearest,shortest-repair,tsp,repairman,equity-planner,sta-sac={run.resolve()}"
    score = [sys.executable, "evaluate.py", "--env", "Restoration-v0", "--city", str(folder.resolve())]
    score += ["--split", "test"]  # outages that training never drew
    score += ["--agents", names, "--episodes", str(settings.episodes), "--seed", "1"]
    score += ["--json", str((settings.out / "scores.json").resolve())]
    return subprocess.run(score, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
