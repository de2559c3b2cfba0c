"""An example of a city's folder with lines, crews and open jobs: what a utility's own files look like.

python -m stormgym.envs.crews.example my_city
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.envs.arrays import Ints
from stormgym.envs.crews.jobs import slot_parents, upstream_first
from stormgym.envs.crews.tables import depots_of, radial_feeder
from stormgym.envs.data import City
from stormgym.envs.data.crews_file import CrewRecord
from stormgym.envs.data.jobs_file import JOBS_FILE
from stormgym.envs.data.tables import write_table

YARDS = ("north", "south")
SPECIAL_SHARE = 0.25
"""Share of jobs that need skill 1."""
BEFORE_H = 6.0
"""Jobs of the example were reported within these hours."""


def write_example(folder: str | os.PathLike[str], *, n_regions: int = 55, n_jobs: int = 30, seed: int = 0) -> City:
    """Write the files of a city with two yards of two crews each, lines, and open jobs as of now; return the city.

    The city is `City.synthetic`'s; crew "south 2" is at work on one job and "north 2" on its way to another.

    Args:
        folder: made where it is not there.
        n_regions: regions of the city (the default's map where it is 55).
        n_jobs: open jobs, at least 2.
        seed: of the jobs.

    Raises:
        ValueError: fewer than two jobs, or a number of regions that the generator does not make.
    """
    if n_jobs < 2:
        raise ValueError(f"n_jobs must be at least 2; got {n_jobs}")
    plain = City.synthetic(n_regions=n_regions)
    depots = depots_of(plain, len(YARDS))
    city = replace(plain, name="example", parent=radial_feeder(plain, depots), crews=_crews(plain, depots))
    city.save(folder)
    write_table(Path(folder) / JOBS_FILE, _jobs(city, n_jobs, np.random.default_rng(seed)))
    return city


def _crews(city: City, depots_km: Any) -> tuple[CrewRecord, ...]:
    """Of each yard a crew that does everything by day, and one of skill 0 whose day begins two hours later."""
    return tuple(
        CrewRecord(
            name=f"{yard} {number}",
            depot=(float(place[0]), float(place[1])),
            speed_kmh=city.speed_kmh,
            skills=(0, 1) if number == 1 else (0,),
            start_h=0.0 if number == 1 else 2.0,
            on_h=16.0,
            off_h=8.0,
        )
        for yard, place in zip(YARDS, depots_km, strict=True)
        for number in (1, 2)
    )


def _jobs(city: City, n_jobs: int, rng: np.random.Generator) -> dict[str, Sequence[Any]]:
    """Columns of `jobs.csv`."""
    region: Ints = np.sort(rng.integers(city.n_regions, size=n_jobs))
    log = city.log
    record = np.array([rng.choice(np.flatnonzero(log.region == r)) for r in region])
    assert city.parent is not None
    parent = slot_parents(city.parent, region[None])[0]
    arrival = upstream_first(np.round(-BEFORE_H * rng.random(n_jobs), 2)[None], parent[None])[0]
    skill = (rng.random(n_jobs) < SPECIAL_SHARE).astype(np.int64)
    size = np.exp(3.4 + 1.5 * rng.standard_normal(n_jobs))
    customers = np.where(rng.random(n_jobs) < 0.5, 1.0, np.ceil(size))
    plain = np.flatnonzero(skill == 0)  # what both crews of a yard can do
    if plain.size < 2:
        skill[:2], plain = 0, np.arange(2)
    crew, begun = [""] * n_jobs, [""] * n_jobs
    crew[plain[0]], begun[plain[0]] = "south 2", "-0.8"
    crew[plain[1]], begun[plain[1]] = "north 2", "0.2"
    columns: dict[str, Sequence[Any]] = {
        "job": [f"J{i + 1}" for i in range(n_jobs)],
        "region": [city.region_ids[r] for r in region],
        "arrival_h": arrival.tolist(),
        "skill": skill.tolist(),
        "parent": [f"J{p + 1}" if p >= 0 else "" for p in parent],
        "customers": customers.tolist(),
        "crew": crew,
        "begun_h": begun,
    }
    for name in ("damage_class", "night_shift"):
        columns[name] = log.features[record, log.feature_names.index(name)].tolist()
    return columns


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the example to the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Write an example of a city's folder with lines, crews and open jobs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--regions", type=int, default=55)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    city = write_example(given.folder, n_regions=given.regions, n_jobs=given.jobs, seed=given.seed)
    print(f"{city} with {len(city.crews)} crews and {given.jobs} open jobs in {given.folder}")


if __name__ == "__main__":
    main()
