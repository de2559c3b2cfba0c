"""Hostile files of cities, logs, crews and jobs: a sentence with file, value, rule and cure, or a named warning."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs.data import City, DataError, RepairLog, folder, sizes, text_files
from stormgym.envs.data.crews_file import CrewRecord
from stormgym.envs.data.jobs_file import read_reported_jobs
from stormgym.envs.equity import MAX_GROUPS

TOWN = Path(__file__).parent / "town"
REGIONS, LOG = ((TOWN / name).read_text() for name in ("regions.csv", "log.csv"))
OPTIONS = json.loads((TOWN / "city.json").read_text())
LAT_LON = "region,lat,lon,group\na,30.0,-84.0,0\nb,31.0,-84.0,0\nc,30.5,-83.5,0\n"
CREW = {"depot": 0, "skills": [0], "on_h": 8, "off_h": 16}
AFTER = "is known only afterwards. Leave it out"
HUGE = 10**400


def write(tmp_path: Path, **files: Any) -> Path:
    """The folder of the town with some files replaced."""
    content = {"regions.csv": REGIONS, "log.csv": LOG, "city.json": OPTIONS}
    content |= {f"{name}.{'json' if name in ('city', 'crews') else 'csv'}": value for name, value in files.items()}
    for name, value in content.items():
        (tmp_path / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return tmp_path


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("customers", {"regions": REGIONS.replace(",100,", ",1e308,")}, "line 2, .*at most 1e.09; got '1e308'"),
    ("customers in marks", {"regions": REGIONS.replace(",100,", ",1_000,")}, "line 2, column 'customers'.*got '1_000'"),
    (
        "other digits",
        {"regions": REGIONS.replace(",100,", ",\u0661\u0660\u0660,")},
        "line 2, column 'customers'.*got '\u0661\u0660\u0660'",
    ),
    *(
        (
            f"speed {v:g}",
            {"city": OPTIONS | {"speed_kmh": v}},
            "city.json: 'speed_kmh' must be a number from 0.01 to 1e.06",
        )
        for v in (1e-300, 1e-308, 1e300)
    ),
    ("speed of 400 digits", {"city": OPTIONS | {"speed_kmh": HUGE}}, r"'speed_kmh' must be .*characters\). Correct"),
    ("detour", {"city": OPTIONS | {"detour": 1e3}}, "'detour' must be a number from 1 to 100; got 1000.0"),
    (
        "hours",
        {"log": LOG.replace("2.5,3.5", "1e308,3.5")},
        "line 3, column 'repair_h'.*from 1e-06 to 100000 h; got '1e308'",
    ),
    ("moment", {"log": LOG.replace("2.5,3.5", "1e-300,3.5")}, "line 3, column 'repair_h'.*from 1e-06 to 100000 h"),
    *(
        (
            f"group {v}",
            {"regions": REGIONS.replace("50000,1", f"50000,{v}")},
            "line 3, column 'group'.*0, 1, ... 299; got",
        )
        for v in ("300", "100000000", "1000000000000", "9223372036854775808", "1" * 400)
    ),
    (
        "income of the census",
        {"regions": REGIONS.replace("group", "g").replace("30000", "-666666666")},
        "line 2, column 'income_usd': an income must be .*at least 0.*got '-666666666'",
    ),
    *(
        (
            f"feature {name}",
            {"city": OPTIONS | {"features": ["x_km", name]}},
            f"city.json: 'features'.*'{name}' {AFTER}",
        )
        for name in ("repair_h", "outage_h", "duration_h", "repair_start")
    ),
    *(
        (f"feature {name}", {"city": OPTIONS | {"features": [name]}}, f"must not be called '{name}'.*Rename")
        for name in ("record", "region", "request_time")
    ),
    (
        "depot off the globe",
        {"regions": LAT_LON, "city": {"depot": [200, -84]}},
        r"'depot' must be \[lat, lon\].*got 200",
    ),
    (
        "depot of 1e308",
        {"city": {"depot": [-1e308, 4.5]}},
        "'depot' must be two numbers from -100000 to 100000; got -1e",
    ),
    ("depot exchanged", {"regions": LAT_LON, "city": {"depot": [-84, 30]}}, "'depot': a depot must be within 1000 km"),
    ("depot of digits", {"city": OPTIONS | {"depot": [HUGE, 0]}}, "'depot' must be two numbers; got"),
    ("N of digits", {"city": OPTIONS | {"N": HUGE}}, "'N' must be the number of rows"),
    ("deep", {"city": '{"notes": ' + "[" * 100_000}, "city.json: objects and lists nested hundreds deep"),
    ("twice", {"city": '{"notes": {"a": {"b": 1, "b": 2}}}'}, "city.json: key 'b' stands twice"),
    (
        "name",
        {"city": OPTIONS | {"name": "\x1b[31mred"}},
        "city.json: 'name' must be a text without control characters",
    ),
    ("half a name", {"city": '{"name": "\\ud800"}'}, "city.json: half of a character"),
    (
        "group's name",
        {"city": OPTIONS | {"group_names": ["a", "b\tc", "d"]}},
        "city.json: 'group_names' must be a list of",
    ),
    ("id", {"regions": REGIONS.replace("\na,", "\na\x1b,")}, r"line 2, column 'region'.*control character U\+001B"),
    ("metres", {"regions": REGIONS.replace("6.0,8.0", "600000.0,8.0")}, "line 4, column 'x_km'.*in metres"),
    ("size of a feature", {"regions": REGIONS.replace(",0.4,", ",1e300,")}, r"feature 'canopy' must be from -1e\+30"),
    ("time", {"log": LOG.replace("2018-01-02", "9999-12-31")}, "line 3, column 'request_time'.*year 1900 to 2200"),
    (
        "crew far away",
        {"crews": {"crews": [{**CREW, "depot": {"x_km": 2e4, "y_km": 0}}]}},
        "within 1000 km of a region",
    ),
    (
        "crew's speed",
        {"crews": {"crews": [{**CREW, "speed_kmh": 1e-300}]}},
        "'speed_kmh' must be at least 0.01; got 1e-300",
    ),
    ("crew's hours", {"crews": {"crews": [{**CREW, "on_h": 1e-300}]}}, "'on_h' must be at least 1e-06; got 1e-300"),
    ("crew's digits", {"crews": {"crews": [{**CREW, "on_h": HUGE}]}}, r"'on_h' must be .*characters\). Correct"),
    ("crew's name", {"crews": {"crews": [{**CREW, "name": "a\x1b"}]}}, "'name' must be a text .*no control character"),
    (
        "crew twice",
        {"crews": '{"crews": [{"depot": {"x_km": 1, "x_km": 2, "y_km": 3}, "skills": [0], "on_h": 8, "off_h": 1}]}'},
        "crews.json: key 'x_km' stands twice",
    ),
    ("crews", {"crews": {"crews": [{**CREW, "name": str(i)} for i in range(1001)]}}, "at most 1,000 crews; got 1,001"),
]


@pytest.mark.parametrize(("files", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_load__refuses_by_a_sentence(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}") as error:
        City.load(write(tmp_path, **files))
    assert len(str(error.value)) < 800


WARNED: list[tuple[str, dict[str, Any], str]] = [
    (
        "half text",
        {"regions": REGIONS.replace(",0.4,", ",much,"), "city": OPTIONS | {"features": ["x_km"]}},
        "regions.csv, line 3, column 'canopy': 'much' among numbers; the column is left out",
    ),
    (
        "marks",
        {"regions": REGIONS.replace("0.5,", "1_000,").replace("0.4,", "2_000,").replace("0.3,", "3_000,")},
        "line 2, column 'canopy': '1_000' is no number here, and the column is taken for text",
    ),
    (
        "marks in the log",
        {
            "log": LOG.replace(",1,1.5", ',"1,000",1.5')
            .replace(",2,2.5", ",x,2.5")
            .replace(",3,0.5", ",x,0.5")
            .replace(",1,1.25", ",x,1.25")
        },
        "log.csv, line 2, column 'damage_class': '1,000' is no number here",
    ),
    ("no name", {"regions": REGIONS.replace("canopy", "")}, "regions.csv: a column of numbers without a name"),
    (
        "repair_h",
        {"regions": REGIONS.replace("canopy", "repair_h")},
        "column 'repair_h' is left out.*only after the repair",
    ),
    ("record", {"regions": REGIONS.replace("canopy", "record")}, "column 'record' is left out, as a city keeps"),
    ("marks of order", {"regions": "\ufeff\ufeff" + REGIONS}, "regions.csv: 2 byte-order marks"),
]


@pytest.mark.parametrize(("case", "files", "message"), WARNED)
def test_load__warns_of_what_it_leaves_out(tmp_path: Path, case: str, files: dict[str, Any], message: str) -> None:
    with pytest.warns(UserWarning, match=message) as caught:
        city = City.load(write(tmp_path, **files))
    assert len(caught) == 1
    left_out = {"half text": "canopy", "marks": "canopy", "marks in the log": "damage_class", "no name": ""}
    assert left_out.get(case, case) not in city.log.feature_names


def test_load__the_town_and_incomes_without_groups_warn_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        City.load(TOWN)
        City.load(write(tmp_path, regions=REGIONS.replace("group", "g"), log=LOG.replace("outage_h", "duration_h")))
        assert "duration_h" not in City.load(tmp_path).log.feature_names


def test_load__a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    odd = tmp_path / "a\x1bb"
    odd.mkdir()
    assert City.load(write(odd)).name == "a?b"


def test_load__equal_incomes_between_terciles_are_told(tmp_path: Path) -> None:
    text = REGIONS.replace("group", "g").replace("30000", "50000")
    with pytest.warns(UserWarning, match=r"regions.csv.*50000.*terciles"):
        City.load(write(tmp_path, regions=text))


def log_of(names: tuple[str, ...] = ("f",), n: int = 12) -> RepairLog:
    values = np.stack([np.arange(n) * (i + 1.0) % 5 for i in range(len(names))], axis=1)
    return RepairLog(np.arange(n) % 3, values, names, np.arange(n) + 1.0, None, None, ("a", "b", "c"))


def towns(tmp_path: Path, column: str) -> Path:
    file = tmp_path / "towns.csv"
    file.write_text(f"town,x_km,y_km,group,{column}\n" + "".join(f"{r},{i},0,0,{i + 7}\n" for i, r in enumerate("abc")))
    return file


@pytest.mark.parametrize("column", ["region", "record", "request_time", "repair_h", "outage_h"])
def test_from_log__a_column_that_the_files_keep_for_themselves(column: str, tmp_path: Path) -> None:
    file = towns(tmp_path, column)
    with pytest.raises(DataError, match=f"features: a feature must .*'{column}'"):
        City.from_log(log_of(), file, region_column="town", features=["x_km", column])
    with pytest.warns(UserWarning, match=f"towns.csv: column '{column}' is left out"):
        city = City.from_log(log_of(), file, region_column="town")
    assert city.log.feature_names == ("x_km", "y_km", "depot_km", "f")
    city.save(tmp_path / "city")
    assert City.load(tmp_path / "city").fingerprint() == city.fingerprint()


@pytest.mark.parametrize("depot", [(float("nan"), 0), (1,), (10**400, 0), (2e4, 0)])
def test_from_log__a_depot_that_is_none(depot: tuple[float, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"depot must be two finite numbers|a depot must be within 1000 km"):
        City.from_log(log_of(), towns(tmp_path, "g"), region_column="town", depot=depot)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed_kmh": 1e-308}, r"City.speed_kmh must be above 0 \(at least 0.01\); got 1e-308"),
        ({"speed_kmh": HUGE}, r"City.speed_kmh must be above 0; got 1000.*characters"),
        ({"speed_kmh": "fast"}, "City.speed_kmh must be above 0; got 'fast'"),
        ({"detour": 1e9}, "City.detour must be at most 100; got 1e.09"),
        ({"depot_km": np.array([1e308, 0.0])}, "City.depot_km must be from -100000 to 100000 km; got 1e"),
        ({"depot_km": np.array([2e4, 0.0])}, "City.depot_km: a depot must be within 1000 km"),
        ({"xy_km": np.array([[1e6, 0], [0, 0], [0, 1]])}, "City.xy_km must be from -100000 to 100000 km; got 1e.06"),
        ({"customers": np.array([1e308, 1, 1])}, "City.customers of a region must be 0 to 1e.09; got 1e.308"),
        ({"requests": np.array([-1.0, 1, 1])}, "City.requests of a region must be 0 to 1e.12; got -1"),
        ({"context": {"region": np.zeros(3)}}, "City.context must not have 'region', which is a column of its own"),
        ({"context": {"canopy": np.array([np.inf, 0, 0])}}, r"City.context\['canopy'\] must be finite, or NaN"),
        ({"name": "a\x1b"}, "City.name must be a text without control characters"),
        ({"group_names": ("a", " ", "c")}, "City.group_names: a name must be .*it is blank"),
        ({"group_names": tuple("abc") * 10**5}, "at most 300 groups; got 300,000"),
        ({"orders": {"a\nb": np.arange(3)}}, r"City.orders: a name must be .*U\+000A"),
        ({"group": np.array([0, 1, 10**12])}, r"group ids must be 0..2 .*got \[0, 1, 1000000000000\]"),
        ({"log": log_of(("repair_h",))}, f"City.log.feature_names: a feature must be known .*'repair_h' {AFTER}"),
        ({"log": log_of(("record",))}, "City.log.feature_names: a feature must not be called 'record'"),
        (
            {"log": dataclasses.replace(log_of(), features=log_of().repair_h[:, None] * 60.0)},
            "City.log: feature 'f' is in proportion to the repair time in all 12 records",
        ),
        (
            {"log": dataclasses.replace(log_of(), repair_h=np.full(12, 1e300))},
            r"City.log.repair_h must be from 1e-06 to 100000 h; record 0 \(region 'a'\) has 1e.300",
        ),
    ],
)
def test_city__refuses_by_a_sentence(change: dict[str, Any], message: str) -> None:
    city = dataclasses.replace(City.load(TOWN), log=log_of())
    with pytest.raises(DataError, match=message) as error:
        dataclasses.replace(city, **change)
    assert len(str(error.value)) < 800


@pytest.mark.parametrize("least", [1e-308, 5e-324])
def test_city__a_feature_of_next_to_nothing_is_no_repair_time_and_overflows_nowhere(least: float) -> None:
    city, log = City.load(TOWN), log_of()
    feature = np.r_[least, log.repair_h[1:]][:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = dataclasses.replace(city, log=dataclasses.replace(log, features=feature))
        np.testing.assert_array_equal(kept.log.features, feature)
        with pytest.raises(DataError, match="'f' is in proportion to the repair time in all 12 records"):
            dataclasses.replace(city, log=dataclasses.replace(log, features=log.repair_h[:, None] * 1e-300))


@pytest.mark.parametrize(
    ("crews", "message"),
    [
        ((CrewRecord("a", 0, 1e-9, (0,), 0.0, 8.0, 8.0),), "crew 0: 'speed_kmh' must be at least 0.01"),
        ((CrewRecord("a", (1e308, 0.0), 30.0, (0,), 0.0, 8.0, 8.0),), "'x_km' must be a number from -100000 to 100000"),
        ((CrewRecord("a", (9e3, 0.0), 30.0, (0,), 0.0, 8.0, 8.0),), "crew 0, depot: a depot must be within 1000 km"),
        ((CrewRecord("a", 0, 30.0, (0,), 0.0, 8.0, 8.0),) * 2, "crew 1: 'name' must be different for each crew"),
        ((CrewRecord("a", 0, 30.0, (), 0.0, 8.0, 8.0, True),), "at least one crew must repair"),
    ],
)
def test_save__crews_that_no_file_may_have_leave_the_folder_as_it_was(
    tmp_path: Path, crews: tuple[CrewRecord, ...], message: str
) -> None:
    city = City.synthetic(3, 5)
    city.save(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(DataError, match=f"crews.json.*{message}"):
        dataclasses.replace(city, speed_kmh=20.0, crews=crews).save(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_save__without_features_is_refused(tmp_path: Path) -> None:
    log = dataclasses.replace(log_of(), features=np.empty((12, 0)), feature_names=())
    city = dataclasses.replace(City.load(TOWN), log=log)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"file: a file, where a city's folder is to be written\. Save"):
        city.save(tmp_path / "file")
    with pytest.raises(DataError, match="a city without features cannot be saved"):
        city.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_save__on_a_full_disk_leaves_the_old_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = City.synthetic(3, 5)
    old.save(tmp_path)
    n_written = []

    def full(stream: Any) -> None:
        n_written.append(stream)
        if len(n_written) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(text_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        City.synthetic(4, 6).save(tmp_path)
    assert City.load(tmp_path).fingerprint() == old.fingerprint()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["city.json", "log.csv", "regions.csv"]


JOBS = [
    ("region,damage_class,customers\na,1,1e308\n", "'customers': customers must be 0 to 1e.09; got '1e308'"),
    ("region,damage_class\na,1e300\n", "'damage_class': a feature must be a number from -1e.30 to 1e.30; got '1e300'"),
    ("region,damage_class,skill\na,1,1e300\n", "'skill': a skill must be a whole number 0 to 9; got '1e300'"),
    ("job,region,damage_class\nA\x07,a,1\n", r"line 2, column 'job'.*control character U\+0007"),
    ("region,damage_class,begun_h,crew\na,1,2e4,n\n", "'begun_h': an hour must be from -10000 to 10000; got '2e4'"),
]


@pytest.mark.parametrize(("text", "message"), JOBS)
def test_jobs__refuse_by_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "jobs.csv").write_text(text)
    with pytest.raises(DataError, match=f"jobs.csv.*{message}"):
        read_reported_jobs(City.load(TOWN), tmp_path / "jobs.csv")


def test_sizes__the_largest_city_is_built_and_its_bounds_are_told(tmp_path: Path) -> None:
    n, m = sizes.MAX_REGIONS, 60_000
    ids = tuple(f"r{i}" for i in range(n))
    log = RepairLog(np.arange(m) % n, np.arange(m)[:, None] % 7.0, ("f",), np.arange(m) % 9 + 1.0, None, None, ids)
    square = np.stack(np.divmod(np.arange(n), 100), axis=1)
    names = tuple(f"g{i}" for i in range(MAX_GROUPS))
    fields: dict[str, Any] = {"context": {}, "customers": None, "requests": np.ones(n), "speed_kmh": 30, "detour": 1.3}
    fields |= {"depot_km": np.zeros(2), "group_names": names, "group": np.arange(n) % MAX_GROUPS}
    city = City(name="large", region_ids=ids, xy_km=square, log=log, parent=np.arange(n) - 1, **fields)
    city.save(tmp_path)
    assert City.load(tmp_path).fingerprint() == city.fingerprint()
    more = {**fields, "requests": np.ones(n + 1), "group": np.arange(n + 1) % MAX_GROUPS}
    with pytest.raises(DataError, match=r"a city must have at most 5,000 regions; got 5,001\. Take some"):
        City(name="larger", region_ids=(*ids, "r"), xy_km=np.vstack([square, [0, 0]]), log=log, **more)


def test_sizes__the_longest_log_is_taken_and_a_longer_one_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = sizes.MAX_RECORDS
    log = RepairLog(np.zeros(m + 3, int), np.empty((m + 3, 0)), (), np.ones(m + 3), None, None, ("a", "b", "c"))
    three = dataclasses.replace(log, region=np.minimum(np.arange(m + 3), 2))
    city = City.load(TOWN)
    assert len(dataclasses.replace(city, log=three.take(np.arange(m))).log) == m
    with pytest.raises(DataError, match=r"City\.log must have at most 2,000,000 records; got 2,000,003"):
        dataclasses.replace(city, log=three)
    monkeypatch.setattr(folder, "MAX_RECORDS", 3)
    with pytest.raises(DataError, match=r"log.csv: a log must have at most 3 records; got 4\. Take some"):
        City.load(write(tmp_path))


def test_sizes__the_longest_file_of_jobs_is_read_and_a_longer_one_told(tmp_path: Path) -> None:
    city, file = City.load(TOWN), tmp_path / "jobs.csv"
    rows = [f"J{i},a,1,J{max(i - 1, 0) if i % 9 else ''}".removesuffix("J") for i in range(sizes.MAX_JOBS + 1)]
    file.write_text("\n".join(["job,region,damage_class,parent", *rows[:-1]]))
    assert len(read_reported_jobs(city, file)) == sizes.MAX_JOBS
    file.write_text("\n".join(["job,region,damage_class,parent", *rows]))
    with pytest.raises(DataError, match=r"jobs\.csv: there must be at most 10,000 jobs; got 10,001"):
        read_reported_jobs(city, file)
