"""A city as a folder: every field is read, saving is exact, and every error names file, line, value and cure."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data import City, DataError, RepairLog

TOWN = Path(__file__).parent / "town"
REGIONS, LOG = ((TOWN / name).read_text() for name in ("regions.csv", "log.csv"))
OPTIONS = json.loads((TOWN / "city.json").read_text())


def write(folder: Path, regions: str = REGIONS, log: str = LOG, options: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "regions.csv").write_text(regions)
    (folder / "log.csv").write_text(log)
    text = options if isinstance(options, str) else json.dumps(OPTIONS if options is None else options)
    (folder / "city.json").write_text(text)
    return folder


def test_load__reads_every_field(folder: Path) -> None:
    city = City.load(folder)
    assert (city.name, city.region_ids, city.n_regions, city.n_groups) == ("town", ("a", "b", "c"), 3, 3)
    assert city.group.tolist() == [0, 1, 2]
    assert city.group_names == ("low", "middle", "high")
    assert city.requests.tolist() == [4.0, 4.0, 4.0]
    assert city.customers is not None
    assert city.customers.tolist() == [100.0, 200.0, 300.0]
    assert set(city.context) == {"income_usd", "canopy", "quiet_requests", "storm_requests"}
    assert city.orders["status_quo"].tolist() == [2, 0, 1]
    assert city.cost_limit_h == 8.0
    assert city.log.time is not None
    assert city.log.time[0] == np.datetime64("2018-01-01T07:00:00")
    assert city.log.timezone is None
    assert city.log.counts().tolist() == [2, 1, 1]


def test_load__default_features_are_position_context_and_record_columns(folder: Path) -> None:
    log = City.load(folder).log
    assert log.feature_names == ("x_km", "y_km", "depot_km", "canopy", "customers", "damage_class")
    assert log.features[1].tolist() == [3.0, 4.0, 7.5, 0.4, 200.0, 2.0]


def test_load__features_of_city_json_choose(tmp_path: Path) -> None:
    city = City.load(write(tmp_path / "t", options=OPTIONS | {"features": ["damage_class", "income_usd"]}))
    assert city.log.feature_names == ("damage_class", "income_usd")
    assert city.log.features[2].tolist() == [3.0, 90000.0]


def test_load__calibrated_city_has_the_nine_features(shared_data: Path) -> None:
    city = City.load(shared_data / "calibrated_city")
    assert city.log.feature_names == (
        "x_km",
        "y_km",
        "depot_km",
        "canopy",
        "overhead",
        "age_yr",
        "customers",
        "damage_class",
        "night_shift",
    )
    assert (city.n_regions, len(city.log)) == (55, 2128)
    assert np.bincount(city.group).tolist() == [18, 19, 18]
    assert set(city.orders) == {"status_quo", "nearest", "tsp_open"}
    given = np.loadtxt(shared_data / "calibrated_city" / "regions.csv", delimiter=",", skiprows=1, usecols=3)
    np.testing.assert_allclose(city.distance_km[-1, :-1], given, atol=1e-3)  # depot_km of the file


def test_load__group_absent_means_terciles_of_income(tmp_path: Path) -> None:
    lines = REGIONS.replace("30000,0,", "80000,").replace("50000,1,", "50000,").replace("90000,2,", "90000,")
    city = City.load(write(tmp_path / "t", regions=lines.replace("group,", "")))
    assert city.group.tolist() == [1, 0, 2]


def test_load__depot_absent_means_centre_of_the_customers(tmp_path: Path) -> None:
    city = City.load(write(tmp_path / "t", options={"N": 3}))
    np.testing.assert_allclose(city.depot_km, [(200 * 3 + 300 * 6) / 600, (200 * 4 + 300 * 8) / 600])


def test_load__latitude_and_longitude_become_local_km(tmp_path: Path) -> None:
    regions = "region,lat,lon,group\na,30.0,-84.0,0\nb,31.0,-84.0,0\nc,30.5,-83.5,0\n"
    options = {"depot": [30.5, -84.0]}
    city = City.load(write(tmp_path / "t", regions=regions, options=options))
    assert np.hypot(*(city.xy_km[1] - city.xy_km[0])) == pytest.approx(111.195, abs=0.01)  # a degree of latitude
    east = city.xy_km[2, 0] - city.xy_km[0, 0]
    assert east == pytest.approx(0.5 * 111.195 * np.cos(np.radians(30.5)), rel=1e-3)
    np.testing.assert_allclose(city.depot_km, (city.xy_km[0] + city.xy_km[1]) / 2, atol=1e-9)
    assert "lat" not in city.log.feature_names


def test_load__times_with_a_zone_become_utc(tmp_path: Path) -> None:
    city = City.load(write(tmp_path / "t", options=OPTIONS | {"timezone": "America/New_York"}))
    assert city.log.time is not None
    assert city.log.time[0] == np.datetime64("2018-01-01T12:00:00")
    assert city.log.timezone == "America/New_York"


def same(a: City, b: City) -> None:
    assert a.fingerprint() == b.fingerprint()
    assert (a.name, a.region_ids, a.group_names) == (b.name, b.region_ids, b.group_names)
    assert (a.speed_kmh, a.detour, a.cost_limit_h) == (b.speed_kmh, b.detour, b.cost_limit_h)
    assert (a.log.timezone, a.log.feature_names) == (b.log.timezone, b.log.feature_names)
    for x, y in (
        (a.log.time, b.log.time),
        (a.requests, b.requests),
        (a.log.features, b.log.features),
        (a.customers, b.customers),
    ):
        np.testing.assert_array_equal(x, y)
    assert set(a.context) == set(b.context)
    assert set(a.orders) == set(b.orders)
    for k in a.context:
        np.testing.assert_array_equal(a.context[k], b.context[k])
    for k in a.orders:
        np.testing.assert_array_equal(a.orders[k], b.orders[k])


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS | {"timezone": "America/New_York"}])
def test_save__round_trip_is_exact(tmp_path: Path, options: dict[str, object]) -> None:
    city = City.load(write(tmp_path / "town", options=options))
    city.save(tmp_path / "copy")
    same(city, City.load(tmp_path / "copy"))


def test_save__round_trip_of_the_synthetic_city_is_exact(tmp_path: Path) -> None:
    city = City.synthetic(3, 9)
    city.save(tmp_path / "copy")
    same(city, City.load(tmp_path / "copy"))


def test_save__round_trip_of_the_calibrated_city_is_exact(tmp_path: Path, shared_data: Path) -> None:
    city = City.load(shared_data / "calibrated_city")
    city.save(tmp_path / "calibrated_city")
    same(city, City.load(tmp_path / "calibrated_city"))


def test_save__keeps_requests_and_odd_features(tmp_path: Path) -> None:
    log = RepairLog(
        region=np.array([0, 1, 1]),
        features=np.array([[0.1, 7.0, -0.0], [1 / 3, 8.0, 1.0], [2e-17, 8.0, 2.0]]),
        feature_names=("canopy", "customers", "wind"),  # canopy differs from the regions' own
        repair_h=np.array([0.1 + 0.2, 1.0, 2.0]),
        time=None,
        timezone=None,
        region_ids=("x", "y"),
    )
    city = City(
        name="odd",
        region_ids=("x", "y"),
        xy_km=np.array([[0.1, 1 / 3], [1e-9, 2.0]]),
        depot_km=np.zeros(2),
        group=np.array([0, 1]),
        group_names=("poor", "rich"),
        speed_kmh=30.0,
        detour=1.0,
        log=log,
        context={"canopy": np.array([0.5, 0.6]), "unknown": np.array([1.0, np.nan])},
        customers=np.array([7.0, 8.0]),
        requests=np.array([5.0, 6.0]),
    )
    city.save(tmp_path / "odd")
    same(city, City.load(tmp_path / "odd"))


BAD_REGIONS = [
    (
        REGIONS.replace("x_km", "east"),
        "regions.csv: column 'x_km' is missing",
        "x_km and y_km, or as lat and lon",
    ),
    (
        REGIONS.replace("\nb,", "\na,"),
        "regions.csv, line 3, column 'region'.*line 2 has it too; got 'a'",
        "Rename",
    ),
    (
        REGIONS.replace("b,3.0", "b,nan"),
        "regions.csv, line 3, column 'x_km'.*finite number.*got 'nan'",
        "Correct",
    ),
    (REGIONS.replace("b,3.0", "b,"), "regions.csv, line 3, column 'x_km'.*got ''", "Correct"),
    (
        REGIONS.replace(",0.4,", ",much,"),
        "regions.csv, line 3, column 'canopy'.*got 'much'",
        "leave the column out",
    ),
    (
        REGIONS.replace("50000,1", "50000,3"),
        r"regions.csv, column 'group'.*must be 0..3.*got \[0, 2, 3\]",
        "Number",
    ),
    (
        REGIONS.replace("50000,1", "50000,low"),
        "line 3, column 'group'.*whole number.*got 'low'",
        "Number the groups",
    ),
    (
        REGIONS.replace("50000,1", "50000,-1"),
        "line 3, column 'group'.*whole number.*got '-1'",
        "Number the groups",
    ),
    (REGIONS.replace(",200,", ",-5,"), "line 3, column 'customers'.*must be 0 or more; got '-5'", "Correct"),
    (
        REGIONS + "d,1,1,1,1,1,1,1,1\n",
        "'N' must be the number of rows of regions.csv, 4; got 3",
        "Correct or remove",
    ),
    (REGIONS.replace("b,3.0,", "b,3.0,7,"), "regions.csv, line 3: a row must have 9 cells.*got 10", "quotes"),
    (REGIONS.splitlines()[0] + "\n", "regions.csv: no rows below the column names", "at least one"),
    ("", "regions.csv: the file is empty", "first line must name the columns"),
    (REGIONS.replace("canopy", "group"), "regions.csv, line 1: column 'group' stands twice", "Rename one"),
    (REGIONS.replace(",", ";"), "regions.csv, line 1: cells must be separated by commas", "Export"),
    (
        REGIONS.replace("group", "cluster").replace("income_usd", "inc"),
        "'income_usd' is missing",
        "column 'group'",
    ),
]


@pytest.mark.parametrize(("regions", "what", "cure"), BAD_REGIONS)
def test_load__bad_regions_name_file_line_value_and_cure(tmp_path: Path, regions: str, what: str, cure: str) -> None:
    with pytest.raises(DataError, match=what) as error:
        City.load(write(tmp_path / "t", regions=regions))
    assert cure in str(error.value)
    assert str(tmp_path / "t") in str(error.value)


BAD_LOGS = [
    (LOG.replace("repair_h", "hours"), "log.csv: column 'repair_h' is missing", "Add the column"),
    (
        LOG.replace("2.5,3.5", "-2.5,3.5"),
        "log.csv, line 3, column 'repair_h'.*above 0.*got '-2.5'",
        "remove the row",
    ),
    (
        LOG.replace("2.5,3.5", "0,3.5"),
        "log.csv, line 3, column 'repair_h'.*above 0.*got '0'",
        "remove the row",
    ),
    (LOG.replace("2.5,3.5", "NaN,3.5"), "log.csv, line 3, column 'repair_h'.*got 'NaN'", "remove the row"),
    (LOG.replace("2.5,3.5", "soon,3.5"), "log.csv, line 3, column 'repair_h'.*got 'soon'", "remove the row"),
    (
        LOG.replace("1,b,", "1,bb,"),
        "log.csv, line 3, column 'region'.*not in regions.csv; got 'bb'",
        "Add it there",
    ),
    (LOG.replace("1,b,", "1,,"), "log.csv, line 3, column 'region'.*must not be blank", "Fill it"),
    (
        LOG.replace("1,b,", "1,a,"),
        "regions.csv, line 3, column 'region'.*at least one record.*got 'b'",
        "Add records",
    ),
    (
        LOG.replace("00,2,2.5", "00,?,2.5"),
        "log.csv, line 3, column 'damage_class'.*got '?'",
        "'features' to use",
    ),
    (
        LOG.replace("2018-01-02 07:00:00", "2/1/18"),
        "log.csv, line 3, column 'request_time'.*ISO 8601",
        "Write times",
    ),
    (
        LOG.replace("2018-01-02 07:00:00", "2018-01-02 07:00Z"),
        "log.csv, line 3.*either all times or none",
        "timezone",
    ),
    ("", "log.csv: the file is empty", "name the columns"),
]


@pytest.mark.parametrize(("log", "what", "cure"), BAD_LOGS)
def test_load__bad_log_names_file_line_value_and_cure(tmp_path: Path, log: str, what: str, cure: str) -> None:
    with pytest.raises(DataError, match=what) as error:
        City.load(write(tmp_path / "t", log=log))
    assert cure in str(error.value)


BAD_OPTIONS = [
    ('{"N": 3,', "city.json, line 1, column 9: not JSON", "Correct the file"),
    ("[1, 2]", "city.json: the file must hold a JSON object.*got list", "object"),
    ({"N": 4}, "city.json: 'N' must be the number of rows of regions.csv, 3; got 4", "Correct or remove"),
    ({"speed": 30}, "city.json: unknown key 'speed'; known are.*'speed_kmh'", "Correct or remove"),
    ({"speed_kmh": 0}, "city.json: 'speed_kmh' must be a number above 0; got 0", "Correct"),
    ({"speed_kmh": "fast"}, "city.json: 'speed_kmh' must be a number above 0; got 'fast'", "Correct"),
    ({"detour": 0.9}, "city.json: 'detour' must be a number of at least 1; got 0.9", "Correct"),
    ({"cost_limit_h": -8}, "city.json: 'cost_limit_h' must be a number above 0; got -8", "Correct"),
    ({"depot": [1]}, r"city.json: 'depot' must be two numbers; got \[1\]", "Correct"),
    ({"depot": [1, float("nan")]}, "city.json: 'depot' must be two numbers", "Correct"),
    ({"timezone": "Florida"}, "city.json: 'timezone' must be an IANA zone name.*got 'Florida'", "Correct"),
    ({"features": []}, r"city.json: 'features' must be a list of texts; got \[\]", "Correct"),
    ({"features": ["wind"]}, "feature 'wind' is no numeric column.*known are", "Correct 'features'"),
    ({"group_names": ["poor", "rich"]}, r"column 'group': group ids must be 0..1.*got \[0, 1, 2\]", "Number"),
    (
        {"x_order": ["a", "b"]},
        "city.json: 'x_order' must hold each of the 3 region ids once; got 2 ids",
        "Correct",
    ),
    ({"x_order": ["a", "b", "z"]}, "'x_order' must hold each.*got the unknown region 'z'", "Correct"),
    ({"x_order": ["a", "b", "b"]}, "'x_order' must hold each.*got 3 ids, 2 different", "Correct"),
]


@pytest.mark.parametrize(("options", "what", "cure"), BAD_OPTIONS)
def test_load__bad_city_json_names_file_value_and_cure(tmp_path: Path, options: object, what: str, cure: str) -> None:
    with pytest.raises(DataError, match=what) as error:
        City.load(write(tmp_path / "t", options=options))
    assert cure in str(error.value)


@pytest.mark.parametrize("name", ["regions.csv", "log.csv", "city.json"])
def test_load__missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}: no such file. Give the path"):
        City.load(folder)


def test_load__missing_folder_is_named(folder: Path) -> None:
    shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"town: no such folder. A city is a folder with regions.csv"):
        City.load(folder)


def test_load__not_utf8_is_named(folder: Path) -> None:
    (folder / "regions.csv").write_bytes(REGIONS.encode().replace(b"\na,", b"\n\xe9,"))
    with pytest.raises(DataError, match=r"regions.csv: not UTF-8 text \(byte .*Save the file as UTF-8"):
        City.load(folder)


def test_load__line_numbers_count_blank_lines_and_quoted_breaks(tmp_path: Path) -> None:
    log = LOG.replace("\n1,b", '\n\n"0\n5",a,0,2018-01-01 07:00:00,,1,1.0,1\n1,b').replace("2.5,3.5", "-1,3.5")
    with pytest.raises(DataError, match=r"log.csv, line 6, column 'repair_h'"):
        City.load(write(tmp_path / "t", log=log))


def test_load__unused_text_and_blank_columns_do_no_harm(tmp_path: Path) -> None:
    regions = REGIONS.replace("canopy", "code").replace(",0.5,", ",A1,").replace(",0.3,", ",,")
    options = OPTIONS | {"features": ["x_km", "damage_class"]}
    assert "code" not in City.load(write(tmp_path / "t", regions=regions, options=options)).context
    blank = REGIONS.replace(",0.3,", ",,")
    context = City.load(write(tmp_path / "t", regions=blank, options=options)).context
    np.testing.assert_array_equal(context["canopy"], [0.5, 0.4, np.nan])


def test_load__the_cure_of_a_time_names_nothing_that_a_folder_cannot_pass(folder: Path) -> None:
    log = (folder / "log.csv").read_text()
    (folder / "log.csv").write_text(log.replace("2018-01-01 07:00:00", "01/01/2018 07:00"))
    with pytest.raises(DataError, match=r"line 2, column 'request_time': a time must be ISO 8601 .*Write times so\.$"):
        City.load(folder)


def test_load__a_region_in_other_case_is_asked_for(folder: Path) -> None:
    (folder / "log.csv").write_text((folder / "log.csv").read_text().replace("\na,", "\nA,").replace(",a,", ",A,"))
    with pytest.raises(
        DataError, match=r"column 'region': the region is not in regions.csv; got 'A'. Did you mean 'a'\?"
    ):
        City.load(folder)
