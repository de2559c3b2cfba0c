"""Every city that can be built is saved and loaded to the same one, or refused by a sentence with nothing written."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stormgym.envs.data import City, DataError, RepairLog
from stormgym.envs.data.city_fields import AFTERWARDS, OF_REGIONS, OF_THE_FILES
from stormgym.envs.data.crews_file import CrewRecord

RESERVED = "region record repair_h outage_h duration_h group parent customers requests request_time x_km y_km depot_km"
OTHERS = (
    "lat lon storm canopy income_usd quiet_requests storm_requests repair_end notes N 007 1_000 nan NA =1+1 a,b ünï x"
)
WORDS = f"{RESERVED} {OTHERS}".split()
ODD = [
    "",
    " ",
    " x",
    "x ",
    "two words",
    'with "quotes"',
    "tab\there",
    "line\nbreak",
    "\ud800",
    "\ufeffmark",
    "y" * 1001,
]
NAMES = st.sampled_from([*WORDS, *ODD]) | st.text(min_size=1, max_size=6)
GOOD = st.sampled_from(WORDS)
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1 / 3, 1e-300, 1e15, 123456789.125, -7.5, 1e30]) | st.floats(-1e6, 1e6)
HOURS = st.floats(1e-3, 500.0) | st.sampled_from([1e-6, 1e5, 0.1 + 0.2])
CREW = CrewRecord("a", 0, 40.0, (0, 1), 0.0, 16.0, 8.0)
CREWS: list[tuple[CrewRecord, ...]] = [
    (),
    (CREW,),
    (CREW, CrewRecord("b", (1.0, 1 / 3), 30.0, (), -2.5, 8.0, 0.0, assessor=True, at=(0.25, 0.5))),
    (CREW, CREW),
    (CrewRecord("far", (1e5, 0.0), 40.0, (0,), 0.0, 16.0, 8.0),),
    (CrewRecord("slow", 0, 1e-9, (0,), 0.0, 16.0, 8.0),),
    (CrewRecord("looks", 0, 40.0, (), 0.0, 16.0, 8.0, assessor=True),),
]


def numbers(size: int, values: st.SearchStrategy[float] = NUMBERS) -> st.SearchStrategy[Any]:
    return st.lists(values, min_size=size, max_size=size).map(lambda v: np.array(v, dtype=np.float64))


@st.composite
def cities(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a city, some of which no city may have."""
    wrong = draw(st.sampled_from([*[""] * 12, "names", "names", "depot", "speed", "zone", "crews"]))  # what may be
    names = NAMES if wrong == "names" else GOOD
    labels = NAMES if wrong == "names" else GOOD.filter(lambda name: name not in OF_REGIONS | OF_THE_FILES | AFTERWARDS)
    ids = tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    n = len(ids)
    extra = draw(st.lists(st.integers(0, n - 1), max_size=4))
    region = np.array([*range(n), *extra])
    features = tuple(draw(st.lists(names if wrong else labels, min_size=not wrong, max_size=3, unique=True)))
    kept = draw(st.lists(names if wrong else labels, max_size=3))
    context = {name: draw(numbers(n, NUMBERS | st.just(np.nan))) for name in kept}
    columns = [
        context[name][region] if name in context and draw(st.booleans()) else draw(numbers(region.size))
        for name in features
    ]
    zone = draw(st.sampled_from([None, "UTC", "America/New_York", "Nowhere/City"][: 4 if wrong == "zone" else 3]))
    time = draw(st.none() | st.just(np.array(["2018-11-04T05:30:00"] * region.size, dtype="datetime64[s]")))
    groups = draw(st.integers(1, n))
    return {
        "log": {
            "region": region,
            "features": np.stack(columns, axis=1) if columns else np.empty((region.size, 0)),
            "feature_names": features,
            "repair_h": draw(numbers(region.size, HOURS)),
            "time": time,
            "timezone": zone,
            "region_ids": ids,
        },
        "name": draw(st.text(max_size=3) if wrong == "names" else st.sampled_from(["town", "", " ", "ünï"])),
        "region_ids": ids,
        "xy_km": draw(numbers(2 * n, st.floats(-50, 50) | st.sampled_from([1e-9, 1 / 3]))).reshape(n, 2),
        "depot_km": draw(numbers(2, st.floats(-60, 60))) * (1000.0 if wrong == "depot" else 1.0),
        "group": np.arange(n) % groups,
        "group_names": tuple(draw(st.lists(names, min_size=groups, max_size=groups))),
        "speed_kmh": 1e-9 if wrong == "speed" else draw(st.sampled_from([34.3, 0.01, 1e6])),
        "detour": draw(st.sampled_from([1.0, 1.3, 100.0])),
        "context": context,
        "customers": draw(st.none() | numbers(n, st.sampled_from([0.5, 1.5, 1e9, 7.0]))),
        "requests": draw(numbers(n, st.sampled_from([0.0, 1.0, 2.0, 1e12]))),
        "orders": {name: np.array(draw(st.permutations(range(n)))) for name in draw(st.lists(names, max_size=2))},
        "parent": draw(st.none() | st.just(np.arange(n) - 1)),
        "crews": draw(st.sampled_from(CREWS if wrong == "crews" else CREWS[:3])),
    }


def check_round_trip(city: City, folder: Path) -> None:
    """Save and load; nothing may be written where saving is refused, and loading warns of nothing."""
    try:
        city.save(folder)
    except DataError:
        assert not folder.exists()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = City.load(folder)
    assert again.fingerprint() == city.fingerprint()
    assert (again.name, again.region_ids, again.group_names) == (city.name, city.region_ids, city.group_names)
    assert again.crews == city.crews
    assert set(again.orders) == set(city.orders)
    for name, order in city.orders.items():
        np.testing.assert_array_equal(again.orders[name], order)
    np.testing.assert_array_equal(again.log.time, city.log.time)
    for name in again.context:
        np.testing.assert_array_equal(again.context[name], city.context[name])


@settings(max_examples=80, deadline=None)
@given(cities())
def test_round_trip__of_cities_built_of_arrays(fields: dict[str, Any]) -> None:
    try:
        city = City(**{**fields, "log": RepairLog(**fields["log"])})
    except DataError:
        return
    with tempfile.TemporaryDirectory() as folder:
        check_round_trip(city, Path(folder) / "city")


@settings(max_examples=40, deadline=None)
@given(
    extra=st.lists(st.sampled_from([*WORDS, "", "two words"]), max_size=4, unique=True),
    of_records=st.lists(GOOD, max_size=2, unique=True),
    chosen=st.none() | st.lists(GOOD, min_size=1, max_size=3, unique=True),
    customers=st.sampled_from(["customers", "people"]),
    lat_lon=st.booleans(),
)
def test_round_trip__of_cities_from_a_log_and_a_table_with_odd_columns(
    extra: list[str], of_records: list[str], chosen: list[str] | None, customers: str, lat_lon: bool
) -> None:
    places = ["lat", "lon"] if lat_lon else ["x_km", "y_km"]
    extra = list(dict.fromkeys(["income_usd", *extra]))
    header = ["town", *places, *(name for name in extra if name not in places and not (lat_lon and name == "x_km"))]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "towns.csv"
        rows = [
            [f"t{i}", 42.0 + i / 10, -72.0 - i / 7]
            + [
                "" if name == "parent" else i // 2 if name == "group" else i + k / 3
                for k, name in enumerate(header[3:])
            ]
            for i in range(4)
        ]
        quoted = [",".join(f'"{cell}"' for cell in row) for row in (header, *rows)]
        table.write_text("\n".join(quoted), encoding="utf-8")
        log = RepairLog(
            region=np.arange(8) % 4,
            features=np.arange(8 * len(of_records)).reshape(8, len(of_records)) / 7,
            feature_names=tuple(of_records),
            repair_h=np.arange(1.0, 9.0) ** 0.5,
            time=None,
            timezone=None,
            region_ids=("t0", "t1", "t2", "t3"),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                city = City.from_log(log, table, region_column="town", customers_column=customers, features=chosen)
            except DataError:
                return
        check_round_trip(city, Path(folder) / "city")


@pytest.mark.parametrize("seed", range(2))
def test_round_trip__of_synthetic_cities(seed: int, tmp_path: Path) -> None:
    check_round_trip(City.synthetic(seed, 3 + 4 * seed), tmp_path / "city")
