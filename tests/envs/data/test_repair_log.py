"""RepairLog: the record, and reading a utility's outage export."""

import copy
import dataclasses
import gzip
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data import City, DataError, RepairLog

CSV = """outage,region,start_time,duration_h,crew
1,North,2020-01-05 10:00:00,2.0,3
2,South,2020-01-04 10:00:00,0.5,1
3,North,2020-07-05 10:00:00,4.0,2
"""


def export(tmp_path: Path, text: str = CSV) -> Path:
    path = tmp_path / "export.csv"
    path.write_text(text)
    return path


def log(**change: object) -> RepairLog:
    fields: dict[str, object] = {
        "region": np.array([0, 1, 1, 2]),
        "features": np.arange(8.0).reshape(4, 2),
        "feature_names": ("p", "q"),
        "repair_h": np.array([1.0, 2.0, 3.0, 4.0]),
        "time": np.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"], dtype="datetime64[s]"),
        "timezone": "UTC",
        "region_ids": ("a", "b", "c"),
    }
    return RepairLog(**(fields | change))  # type: ignore[arg-type]


# -------------------- the record


def test_log__counts_take_select_busiest() -> None:
    one = log()
    assert len(one) == 4
    assert one.counts().tolist() == [1, 2, 1]
    some = one.take(one.repair_h > 1.5)
    assert some.repair_h.tolist() == [2.0, 3.0, 4.0]
    assert some.region_ids == one.region_ids
    assert some.counts().tolist() == [0, 2, 1]
    assert one.take(np.array([3, 0])).features.tolist() == [[6.0, 7.0], [0.0, 1.0]]
    turned = one.select(["c", "b"])
    assert turned.region_ids == ("c", "b")
    assert turned.region.tolist() == [1, 1, 0]
    assert one.busiest(2).region_ids == ("a", "b")
    assert one.busiest(1).repair_h.tolist() == [2.0, 3.0]


def test_log__is_immutable_also_after_pickle() -> None:
    for one in (log(), pickle.loads(pickle.dumps(log()))):
        for array in (one.region, one.features, one.repair_h, one.time):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[1]
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.timezone = None
        assert copy.deepcopy(one) is one


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"repair_h": np.array([1.0, -2.0, 3.0, 4.0])},
            r"above 0 h; record 1 \(region 'b'\) has -2.0. Remove",
        ),
        ({"repair_h": np.array([1.0, 0.0, 3.0, 4.0])}, r"above 0 h; record 1 \(region 'b'\) has 0.0"),
        (
            {"repair_h": np.array([1.0, np.nan, 3.0, 4.0])},
            r"RepairLog.repair_h must be finite; got nan at \[1\]",
        ),
        ({"features": np.zeros((4, 3))}, r"RepairLog.features must have shape \[4, 2\]; got \[4, 3\]"),
        (
            {"region": np.array([0, 1, 2, 3])},
            "RepairLog.region must be indices 0..2 into region_ids; got 0..3",
        ),
        (
            {"region": np.array([0, 1, 2, -1])},
            "RepairLog.region must be indices 0..2 into region_ids; got -1..2",
        ),
        ({"region_ids": ("a", "b", "b")}, "RepairLog.region_ids: 'b' stands twice"),
        ({"feature_names": ("p", "p")}, "RepairLog.feature_names: 'p' stands twice"),
        ({"time": np.array(["NaT"] * 4, dtype="datetime64[s]")}, "RepairLog.time must be finite"),
    ],
)
def test_log__wrong_field_is_an_error(change: dict[str, object], what: str) -> None:
    with pytest.raises(DataError, match=what):
        log(**change)


def test_log__wrong_selection_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"mask must have one entry a record, 4; got shape \(2,\)"):
        log().take(np.array([True, False]))
    with pytest.raises(ValueError, match=r"region 'z' is not in the log; it has \['a', 'b', 'c'\]"):
        log().select(["a", "z"])
    with pytest.raises(ValueError, match="n must be from 1 to 3, the number of regions with records; got 4"):
        log().busiest(4)


# -------------------- the export


def test_read__sorts_by_time_and_turns_local_times_into_utc(tmp_path: Path) -> None:
    one = RepairLog.read_outage_log(export(tmp_path), tz="America/New_York", feature_columns=["crew"])
    assert one.region_ids == ("North", "South")
    assert one.region.tolist() == [1, 0, 0]
    assert one.repair_h.tolist() == [0.5, 2.0, 4.0]
    assert one.features[:, 0].tolist() == [1.0, 3.0, 2.0]
    assert one.feature_names == ("crew",)
    assert one.timezone == "America/New_York"
    hours = ["2020-01-04T15", "2020-01-05T15", "2020-07-05T14"]  # winter UTC-5, summer UTC-4
    np.testing.assert_array_equal(one.time, np.array(hours, dtype="datetime64[s]"))


def test_read__offset_in_the_cell_needs_no_zone_and_wins(tmp_path: Path) -> None:
    text = CSV.replace("10:00:00", "10:00:00+02:00")
    for tz in (None, "America/New_York"):
        one = RepairLog.read_outage_log(export(tmp_path, text), tz=tz)
        assert one.time is not None
        assert one.time[0] == np.datetime64("2020-01-04T08:00:00")
        assert one.timezone == (tz or "UTC")


def test_read__gzip_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "export.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode("utf-8-sig")))
    assert len(RepairLog.read_outage_log(path, tz="UTC")) == 3


def test_read__end_column_minutes_and_formats(tmp_path: Path) -> None:
    text = "town,off,on\nX,01/02/2020 10:00,01/02/2020 12:30\n"
    names = {"region_column": "town", "time_column": "off", "time_format": "%m/%d/%Y %H:%M", "tz": "UTC"}
    one = RepairLog.read_outage_log(export(tmp_path, text), end_column="on", **names)  # type: ignore[arg-type]
    assert one.repair_h.tolist() == [2.5]
    text = "region,start_time,minutes\nX,2020-01-02,90\n"
    one = RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", duration_column="minutes", duration_unit="min")
    assert one.repair_h.tolist() == [1.5]


def test_read__since_until_and_drop_zero(tmp_path: Path) -> None:
    path = export(tmp_path, CSV.replace(",0.5,", ",0,"))
    assert RepairLog.read_outage_log(path, tz="UTC", drop_zero=True).repair_h.tolist() == [2.0, 4.0]
    assert RepairLog.read_outage_log(path, tz="UTC", since="2020-01-05").repair_h.tolist() == [2.0, 4.0]
    one = RepairLog.read_outage_log(path, tz="UTC", since="2020-01-05", until="2020-07-05T10:00")
    assert one.repair_h.tolist() == [2.0]
    assert one.region_ids == ("North",)


def test_read__time_features_by_hand(tmp_path: Path) -> None:
    text = """region,start_time,duration_h
X,2020-03-02 23:30,1
X,2020-03-03 00:30,1
Y,2020-03-03 00:30,1
Y,2020-03-03 23:45,1
"""
    names = ("hour", "weekday", "month", "requests_24h")
    one = RepairLog.read_outage_log(export(tmp_path, text), tz="America/New_York", time_features=names)
    assert one.feature_names == names
    assert one.features.tolist() == [[23, 0, 3, 0], [0, 1, 3, 1], [0, 1, 3, 1], [23, 1, 3, 2]]


def test_read__repeated_hour_is_read_as_the_first(tmp_path: Path) -> None:
    day = "2020-11-01"
    text = f"region,start_time,end\nX,{day} 01:30,{day} 01:10\nX,{day} 00:30,{day} 01:30\n"
    with pytest.warns(UserWarning, match=r"without an offset .* repeats .*\(first: line 2") as record:
        one = RepairLog.read_outage_log(export(tmp_path, text), tz="America/New_York", end_column="end")
    assert ["1 time(s)" in str(w.message) for w in record] == [True, False]  # a warning a column
    # 00:30 to 01:30, both daylight-saving time; 01:30 (first) to 01:10 (second)
    np.testing.assert_allclose(one.repair_h, [1.0, 40 / 60])
    assert one.time is not None
    assert one.time[1] == np.datetime64("2020-11-01T05:30:00")


def test_read__skipped_hour_is_moved_forward(tmp_path: Path) -> None:
    text = "region,start_time,duration_h\nX,2020-03-08 02:30:00,1\n"
    with pytest.warns(UserWarning, match="skips in spring: they are moved forward"):
        one = RepairLog.read_outage_log(export(tmp_path, text), tz="America/New_York")
    assert one.time is not None
    assert one.time[0] == np.datetime64("2020-03-08T07:30:00")  # 03:30 daylight-saving time


def test_read__warns_when_even_the_shortest_is_long(tmp_path: Path) -> None:
    text = CSV.replace(",2.0,", ",7.5,").replace(",0.5,", ",7.0,").replace(",4.0,", ",9.0,")
    with pytest.warns(UserWarning, match=r"shortest of 3 outages lasts 7.0 h.*written as UTC.*Check tz='UTC'"):
        RepairLog.read_outage_log(export(tmp_path, text), tz="UTC")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RepairLog.read_outage_log(export(tmp_path), tz="UTC")


BAD = [
    (CSV.replace("region", "town"), "export.csv: column 'region' is missing", "Name it by region_column"),
    (
        CSV.replace("start_time", "start"),
        "export.csv: column 'start_time' is missing",
        "Did you mean 'start'",
    ),
    (
        CSV.replace(",0.5,", ",-0.5,"),
        "line 3, column 'duration_h'.*not be negative; got '-0.5'",
        "remove the row",
    ),
    (CSV.replace(",0.5,", ",0,"), "line 3, column 'duration_h'.*above 0; got '0'", "drop_zero=True"),
    (CSV.replace(",0.5,", ",nan,"), "line 3, column 'duration_h'.*a number; got 'nan'", "remove the row"),
    (CSV.replace(",0.5,", ",,"), "line 3, column 'duration_h'.*a number; got ''", "remove the row"),
    (CSV.replace(",0.5,", ",inf,"), "line 3, column 'duration_h'.*a number; got 'inf'", "remove the row"),
    (
        CSV.replace(",0.5,", ",30 min,"),
        "line 3, column 'duration_h'.*a number; got '30 min'",
        "Correct the cell",
    ),
    (CSV.replace("0.5,1", "0.5,x"), "line 3, column 'crew'.*finite number; got 'x'", "Correct the cell"),
    (CSV.replace("2,South", "2,"), "line 3, column 'region'.*must not be blank; got ''", "Fill it"),
    (
        CSV.replace("2020-01-04 10", "2020-13-04 10"),
        "line 3, column 'start_time'.*ISO 8601",
        "pass time_format",
    ),
    (CSV.replace("2020-01-04 10:00:00", ""), "line 3, column 'start_time'.*must not be blank", "Fill it"),
    (CSV.splitlines()[0], "export.csv: no rows below the column names", "at least one"),
    ("", "export.csv: the file is empty", "name the columns"),
]


@pytest.mark.parametrize(("text", "what", "cure"), BAD)
def test_read__bad_export_names_file_line_value_and_cure(tmp_path: Path, text: str, what: str, cure: str) -> None:
    with pytest.raises(DataError, match=what) as error:
        RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", feature_columns=["crew"])
    assert cure in str(error.value)
    assert str(tmp_path / "export.csv") in str(error.value)


def test_read__time_without_zone_is_an_error(tmp_path: Path) -> None:
    text = CSV.replace("2020-01-05 10:00:00", "2020-01-05 10:00:00Z")
    with pytest.raises(DataError, match="line 3, column 'start_time': a time needs a zone") as error:
        RepairLog.read_outage_log(export(tmp_path, text), tz=None)
    assert "Pass tz, e.g. tz='America/New_York'" in str(error.value)
    with pytest.raises(TypeError, match="tz"):
        RepairLog.read_outage_log(export(tmp_path))  # type: ignore[call-arg]


def test_read__end_before_start_is_an_error(tmp_path: Path) -> None:
    text = "region,start_time,end\nX,2020-01-02 10:00,2020-01-02 09:00\n"
    with pytest.raises(DataError, match="line 2, column 'end': an outage must not end before it starts"):
        RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", end_column="end")


@pytest.mark.parametrize(
    ("keyword", "what"),
    [
        ({"tz": "Eastern"}, "tz must be an IANA zone name such as.*got 'Eastern'"),
        ({"duration_unit": "days"}, "duration_unit must be 'h', 'min' or 's'; got 'days'"),
        ({"since": "last year"}, "since must be an ISO 8601 date.*got 'last year'"),
        ({"duration_column": None}, "needs duration_column or end_column; got neither"),
        ({"time_features": ["season"]}, "time_features must be among.*got 'season'"),
        ({"time_format": "%d.%m.%Y"}, "line 2, column 'start_time'.*must match time_format='%d.%m.%Y'"),
        ({"since": "2030-01-01"}, "no outage is left of 3. Check since, until and drop_zero"),
    ],
)
def test_read__bad_keyword_is_an_error(tmp_path: Path, keyword: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        RepairLog.read_outage_log(export(tmp_path), **({"tz": "UTC"} | keyword))  # type: ignore[arg-type]


def test_read__missing_or_broken_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.csv: no such file. Give the path"):
        RepairLog.read_outage_log(tmp_path / "nowhere.csv", tz="UTC")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(CSV.encode())[:-12])
    with pytest.raises(DataError, match="not a whole gzip file"):
        RepairLog.read_outage_log(broken, tz="UTC")


# -------------------- a city from a log

TOWNS = """town,lat,lon,income,people,note
South,42.1,-72.5,40000,900,low
North,42.3,-72.5,60000,100,
East,42.2,-72.3,80000,100,x
West,42.2,-72.7,90000,1,unused
"""


def three(tmp_path: Path) -> RepairLog:
    return RepairLog.read_outage_log(
        export(tmp_path, CSV + "4,East,2020-02-01,1.5,1\n"), tz="UTC", feature_columns=["crew"]
    )


def towns(tmp_path: Path, text: str = TOWNS) -> Path:
    path = tmp_path / "towns.csv"
    path.write_text(text)
    return path


def test_from_log__joins_terciles_depot_and_features(tmp_path: Path) -> None:
    city = City.from_log(
        three(tmp_path),
        towns(tmp_path),
        region_column="town",
        income_column="income",
        customers_column="people",
    )
    assert city.region_ids == ("East", "North", "South")
    assert city.group.tolist() == [2, 1, 0]
    assert city.customers is not None
    assert city.customers.tolist() == [100.0, 100.0, 900.0]
    np.testing.assert_allclose(city.depot_km, city.customers @ city.xy_km / 1100)
    assert city.log.feature_names == ("x_km", "y_km", "depot_km", "people", "crew")
    assert city.requests.tolist() == [1.0, 2.0, 1.0]
    assert set(city.context) == {"income"}


def test_from_log__depot_and_features_may_be_given(tmp_path: Path) -> None:
    names = {"region_column": "town", "income_column": "income"}
    city = City.from_log(
        three(tmp_path),
        towns(tmp_path),
        depot=(42.3, -72.5),
        features=["crew", "income"],
        **names,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(city.depot_km, city.xy_km[1], atol=1e-9)
    assert city.log.feature_names == ("crew", "income")
    assert city.customers is None
    default = City.from_log(three(tmp_path), towns(tmp_path), **names)  # type: ignore[arg-type]
    np.testing.assert_allclose(default.depot_km, city.log.counts() @ city.xy_km / 4)  # centre of the records


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            TOWNS.replace("North", "Nord"),
            "1 region.s. of the log have no row, the first is 'North'. Add the row",
        ),
        (TOWNS.replace("West", "East"), "line 5, column 'town'.*line 4 has it too; got 'East'"),
        (TOWNS.replace("42.3,-72.5", "42.3,-272.5"), "line 3, column 'lon'.*in .-180, 180.; got '-272.5'"),
        (
            TOWNS.replace("42.3,-72.5", "142.3,-72.5"),
            "line 3, column 'lat'.*in .-90, 90.; got '142.3'.*exchanged",
        ),
        (TOWNS.replace("42.3,-72.5", "nan,-72.5"), "line 3, column 'lat'.*got 'nan'"),
        (TOWNS.replace("lon", "long"), "column 'lon' is missing.*Did you mean 'long'"),
        (TOWNS.replace("60000", ""), "line 3, column 'income'.*got ''"),
        (TOWNS.replace("income", "inc"), "column 'income' is missing.*column 'group'"),
    ],
)
def test_from_log__bad_attributes_are_errors(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError, match=what):
        City.from_log(three(tmp_path), towns(tmp_path, text), region_column="town", income_column="income")


def test_from_log__massachusetts(shared_data: Path, tmp_path: Path) -> None:
    csv = shared_data / "ma_dpu_west_outage_log_2013_2023.csv.gz"
    names = {"tz": "America/New_York", "region_column": "town", "time_column": "time_out"}
    zero = re.escape(csv.name) + ".*must be above 0; got '0.0'.*drop_zero=True"
    with pytest.warns(UserWarning, match="repeats"), pytest.raises(DataError, match=zero):
        RepairLog.read_outage_log(csv, **names)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="repeats in autumn"):
        whole = RepairLog.read_outage_log(
            csv,
            since="2017-01-01",
            drop_zero=True,
            time_features=("hour", "month", "requests_24h"),
            **names,  # type: ignore[arg-type]
        )
    busy = whole.busiest(55)
    assert (len(busy.region_ids), len(busy), int(busy.counts().min())) == (55, 17807, 179)
    assert busy.time is not None
    assert busy.time.min() >= np.datetime64("2017-01-01T05:00:00")  # local midnight
    assert 2.0 < np.median(busy.repair_h) < 3.0
    city = City.from_log(
        busy,
        shared_data / "ma_town_attributes.csv",
        name="western Massachusetts",
        region_column="town",
        income_column="median_income_usd",
        features=("x_km", "y_km", "depot_km", "aland_sqmi", "hour", "month", "requests_24h"),
    )
    assert np.bincount(city.group).tolist() == [18, 19, 18]
    assert city.distance_km.max() < 200
    city.save(tmp_path / "west")
    again = City.load(tmp_path / "west")
    assert again.fingerprint() == city.fingerprint()
    np.testing.assert_array_equal(again.log.time, city.log.time)
