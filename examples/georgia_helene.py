"""From a record of customers out in a real hurricane to scored policies for mobile generators.

    python examples/georgia_helene.py --outages ga_helene_2024_county_15min.parquet --counties us_counties.csv
    python examples/georgia_helene.py --storm dorian --outages nc_emc_dorian_2019_county.csv.gz \\
        --counties us_counties.csv

The first file holds customers out by county and time: Georgia in Hurricane Helene (2024, 159 counties, EAGLE-I's
layout, of any edition), or the counties of North Carolina as its electric co-operatives reported them in Hurricane
Dorian (2019, local Eastern time). The second has a row a county: fips, county_name, state_name, latitude, longitude,
pop_acs2017, median_hh_income_acs2017. A folder for `GeneratorDispatch-v0` is written from them, and policies are scored
on it.

Customers of Georgia's counties come with the file if it has `total_customers`, else from `--customers` (EAGLE-I's
MCC.csv). Those of the co-operatives in a county are not known. Here a county's customers are all of its people by
`--people-per-customer`: an upper bound, so shares out and periods unserved per customer are too small, by more where
the co-operatives serve fewer. That number does not depend on the storm.

What is assumed, all of it by an argument: a generator of 2 MW serves 2,000 customers at 1 kW each; a trip costs 10,000
USD, an hour of operation 600 USD (fuel and crew), an hour of a customer without power 2 USD; there are 100 generators
in Helene and 10 in Dorian.

Forecasts and planners know simulated waves, whose model takes one number from real storms: the hours from a wave's
peak to a tenth of it. The default of 100 h is not taken from these two. After Michael (2018) Tallahassee took some
95 h, after Ian (2022) two counties of Florida 95 and 128 h. (Helene took 216 h, Dorian 35 h.) In the model about the
same share of every county's customers goes out, and a wave rises about as slowly as it falls, unlike in a hurricane:
plans on simulated waves are plans for another kind of storm.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import stormgym  # noqa: F401  (registers the environment)
from stormgym.agents.episodes import play_episode
from stormgym.agents.lineup import make_policy
from stormgym.envs.data import OutageRecord, read_eaglei, read_outage_counts
from stormgym.envs.data.tables import write_table
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.dispatch.recorded import RecordedProfile
from stormgym.envs.storms import RESTORATION, TRANSMISSION
from stormgym.predictors.sir import simulate_sir

ENV_ID = "GeneratorDispatch-v0"
PLAYED = (
    "do-nothing",
    "online-greedy",
    "static-dispatch",
    "sample-average-dispatch",
    "replanning-dispatch",
    "oracle-dispatch",
)
"""Policies that need no fitted forecaster: one over 159 counties takes minutes to fit and more to tune."""


@dataclass(frozen=True)
class Storm:
    """One of the two hurricanes: where, when (UTC), and the generators that respond to it."""

    title: str
    state: str
    start: str
    end: str
    period_h: float
    generators: int


STORMS = {
    "helene": Storm("Helene, Georgia", "Georgia", "2024-09-26T12:00", "2024-10-10T12:00", 12.0, 100),
    "dorian": Storm("Dorian, North Carolina", "North Carolina", "2019-09-05T03:00", "2019-09-09T09:00", 6.0, 10),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Make a folder of a recorded storm and score policies on it."""

    outages: Path
    """Customers out by county and time."""
    counties: Path
    """Table of counties: fips, county_name, state_name, latitude, longitude, pop_acs2017, median_hh_income_acs2017."""
    storm: Literal["helene", "dorian"] = "helene"
    """Which storm the file is of."""
    customers: Path | None = None
    """County_FIPS, Customers (MCC.csv), for files of Georgia without total_customers."""
    out: Path | None = None
    """Where the folder goes; runs/STORM if left out."""
    period_h: float | None = None
    """Hours between two decisions; 12 in Helene, 6 in Dorian."""
    generators: int | None = None
    """Generators in the warehouse; 100 in Helene, 10 in Dorian."""
    customers_per_generator: float = 2_000.0
    """Customers that a generator serves."""
    transport_usd: float = 10_000.0
    """Cost of a generator's trip, each way."""
    operating_usd_per_h: float = 600.0
    """Cost of a generator in a county, an hour."""
    interruption_usd_per_h: float = 2.0
    """Cost of a customer without power, an hour."""
    recovery_h: float = 100.0
    """Hours from the peak of a simulated wave to a tenth of it."""
    people_per_customer: float = 2.4
    """People behind a customer, where customers are not known (Dorian)."""
    agents: tuple[str, ...] = PLAYED
    """Policies to score."""


def periods_to_a_tenth() -> float:
    """Periods from the peak of a wave at mean weather and rate 1 to a tenth of it."""
    steps = 20
    rates = (np.array([TRANSMISSION / steps]), np.array([RESTORATION / steps]))
    wave = simulate_sir(*rates, np.array([1.0]), n_periods=400 * steps, steps_per_period=1)[:, 0]
    after = wave[wave.argmax() :]
    return float((after < 0.1 * after[0]).argmax()) / steps


def served(record: OutageRecord, counties: pd.DataFrame, settings: Settings) -> NDArray[np.float64]:
    """Customers of each county of the table, from the record or from its population."""
    if settings.storm == "dorian":
        return (counties.pop_acs2017 / settings.people_per_customer).round().to_numpy(dtype=np.float64)
    known = dict(zip(record.county, record.customers.tolist(), strict=True))
    customers = np.array([known[code] for code in counties.fips])
    if not np.isfinite(customers).all():
        raise ValueError(f"{settings.outages} has no total_customers; give --customers, a table of customers by county")
    return customers


def read_dorian(settings: Settings, counties: pd.DataFrame) -> OutageRecord:
    """The co-operatives' counts, every half hour, with FIPS codes for names."""
    record = read_outage_counts(
        settings.outages,
        county_column="countyname",
        time_column="time_local_eastern",
        tz="America/New_York",
        interval_min=30,
        snap=True,
    )
    return record.select(counties.county_name.tolist())  # the table's counties, a county of Georgia left out


def write_folder(settings: Settings, folder: Path) -> None:
    """Write counties.csv, outages_STORM and profile.json."""
    storm = STORMS[settings.storm]
    table = pd.read_csv(settings.counties, dtype={"fips": str})
    counties = table[table.state_name == storm.state].sort_values("fips")
    if settings.storm == "dorian":
        record = read_dorian(settings, counties)
        zero = False
    else:
        record = read_eaglei(settings.outages, counties=counties.fips.tolist(), customers=settings.customers)
        zero = "total_customers" not in _columns(settings.outages)  # editions without it leave zeros out
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("outages*"):
        old.unlink()
    if settings.storm == "dorian":
        seen = np.argwhere(record.observed)
        rows: dict[str, Any] = {
            "fips_code": [counties.fips.iloc[k] for _, k in seen],
            "county": [record.county[k] for _, k in seen],
            "state": [storm.state] * len(seen),
            "customers_out": record.out[record.observed],
            "run_start_time": [str(record.time[t]).replace("T", " ") for t, _ in seen],
        }
        write_table(folder / "outages_dorian.csv", rows)
    else:
        suffix = "".join(settings.outages.suffixes)
        shutil.copyfile(settings.outages, folder / f"outages_helene{suffix}")
    columns: dict[str, Any] = {
        "fips_code": counties.fips.tolist(),
        "county": counties.county_name.tolist(),
        "customers": served(record, counties, settings),
        "income_usd": counties.median_hh_income_acs2017.to_numpy(dtype=np.float64),
        "lat": counties.latitude.to_numpy(dtype=np.float64),
        "lon": counties.longitude.to_numpy(dtype=np.float64),
    }
    write_table(folder / "counties.csv", columns)
    period_h = settings.period_h or storm.period_h
    start, end = np.datetime64(storm.start), np.datetime64(storm.end)
    length = np.timedelta64(round(3600 * period_h), "s")
    end = start + (end - start) // length * length  # whole periods: the rest of the window is left out
    options = {
        "name": storm.title,
        "period_hours": period_h,
        "interval_min": round(60 * record.interval_h),
        "missing_is_zero": zero,
        "windows": [{"name": settings.storm, "start": str(start), "end": str(end)}],
        "generators": storm.generators if settings.generators is None else settings.generators,
        "customers_per_generator": settings.customers_per_generator,
        "transport_cost": settings.transport_usd,
        "interruption_cost": settings.interruption_usd_per_h * period_h,
        "operating_cost": settings.operating_usd_per_h * period_h,
        "rate": periods_to_a_tenth() * period_h / settings.recovery_h,
        "latest_onset": round(24.0 / period_h),
        "notes": f"made by examples/georgia_helene.py from {settings.outages.name} and {settings.counties.name}",
    }
    (folder / "profile.json").write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")


def _columns(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(pd.read_parquet(path).columns)
    return list(pd.read_csv(path, nrows=0).columns)


def play(folder: Path, agent: str) -> tuple[dict[str, float], float]:
    """Metrics of an agent on the folder's one storm, and the seconds that all its decisions took."""
    env = gym.make(ENV_ID, profile=str(folder))
    began = time.perf_counter()
    *_, last = play_episode(env, make_policy(agent, env), seed=0)
    return last.info["metrics"], time.perf_counter() - began


def describe(folder: Path, console: Console) -> None:
    """Print the storm as the environment replays it."""
    profile = resolve_profile(str(folder))
    assert isinstance(profile, RecordedProfile)
    period_h = json.loads((folder / "profile.json").read_text(encoding="utf-8"))["period_hours"]
    wave = profile.recorded[0].sum(axis=1)
    after = wave[wave.argmax() :]
    low = after < 0.1 * after[0]
    tenth = f"{low.argmax() * period_h:g} h later" if low.any() else "after the window"
    p = profile
    console.print(
        f"{p.name}: {p.n_counties} counties, {p.population.sum():,.0f} customers, {p.n_periods} periods of "
        f"{period_h:g} h"
    )
    console.print(f"at most {wave.max():,.0f} customers out in a period, down to a tenth of that {tenth}")
    console.print(
        f"{p.n_unknown:,} of {p.n_counts:,} counts were missing or faulty and are read off the line between others"
    )
    console.print(
        f"{p.generators} generators of {p.customers_per_generator:,.0f} customers; rate of simulated storms "
        f"{p.rate:.3g}"
    )


def main() -> int:
    """Write the folder, score the policies, print the table."""
    settings = tyro.cli(Settings, description=__doc__)
    console = Console(emoji=False)
    folder = settings.out or Path("runs") / settings.storm
    write_folder(settings, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # how many counts were filled is printed below
        describe(folder, console)
    played = {name: play(folder, name) for name in settings.agents}
    best = played["oracle-dispatch"][0]["total_cost"] if "oracle-dispatch" in played else float("nan")
    limit = next(iter(played.values()))[0]["cost_limit"] if played else float("nan")
    heads = ("agent", "total cost, million", "above the oracle", "served", "unserved, million", "gap", "seconds")
    table = Table(*heads, title=f"{folder}: one storm; the limit on the gap is {limit:.3g} periods a customer")
    for name, (figures, seconds) in sorted(played.items(), key=lambda item: item[1][0]["total_cost"]):
        cost = figures["total_cost"]
        table.add_row(
            name,
            f"{cost / 1e6:,.2f}",
            f"{cost / best - 1:.0%}",
            f"{max(figures['share_served'], 0.0):.1%}",
            f"{figures['unserved'] / 1e6:,.3f}",
            f"{figures['gap']:.2f}",
            f"{seconds:.1f}",
        )
    console.print(table)
    console.print(f"python evaluate.py --env {ENV_ID} --profile {folder} --episodes 1")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {error}")
