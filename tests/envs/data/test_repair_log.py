"""Past repairs: the record, and a utility's export with its times."""

import copy
import dataclasses
import gzip
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs.data import DataError, RepairLog

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
    text = "region,start_time,minutes\nX,2020-01-02 00:00,90\n"
    one = RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", duration_column="minutes", duration_unit="min")
    assert one.repair_h.tolist() == [1.5]


def test_read__since_until_and_drop_zero(tmp_path: Path) -> None:
    path = export(tmp_path, CSV.replace(",0.5,", ",0,"))
    with pytest.warns(UserWarning, match="as drop_zero says"):
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


@pytest.mark.parametrize("bad", [[999], [0.5], [[0, 1]], ["a"], [-99], [10**30]])
def test_take__rows_that_are_none(bad: list[Any]) -> None:
    log = RepairLog(np.array([0, 1]), np.ones((2, 1)), ("f",), np.ones(2), None, None, ("a", "b"))
    with pytest.raises(ValueError, match="mask must be booleans or whole numbers 0 to 1, the records; got"):
        log.take(bad)
    assert len(log.take([1, -1])) == 2
    assert len(log.take([])) == 0


@pytest.mark.parametrize("n", [2.5, "2", None])
def test_busiest__of_no_number(n: Any) -> None:
    log = RepairLog(np.array([0, 1]), np.ones((2, 1)), ("f",), np.ones(2), None, None, ("a", "b"))
    with pytest.raises(ValueError, match="n must be a whole number of regions; got"):
        log.busiest(n)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timezone": "Nowhere/City"}, "RepairLog.timezone must be an IANA zone name .*got 'Nowhere/City'"),
        ({"timezone": 3}, "RepairLog.timezone must be an IANA zone name .*got 3"),
        (
            {"time": np.array(["9999-12-31"], "datetime64[s]")},
            "RepairLog.time must be of a year 1900 to 2200; got 9999-12-31",
        ),
        ({"region_ids": ("a\x1b",)}, r"RepairLog.region_ids: a name must be .*U\+001B"),
        ({"feature_names": (" f",)}, "RepairLog.feature_names: a name must be .*at its beginning"),
    ],
)
def test_log__of_what_no_file_holds(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"region": [0], "features": [[1.0]], "feature_names": ("f",), "repair_h": [1.0]}
    fields |= {"time": None, "timezone": None, "region_ids": ("a",)}
    with pytest.raises(DataError, match=message):
        RepairLog(**{**fields, **change})


def test_read__a_region_that_is_no_name_is_told_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text("region,start_time,duration_h\na\x1b,2020-01-01,9\n")
    with pytest.raises(DataError, match=r"export\.csv, line 2, column 'region': a name"):
        RepairLog.read_outage_log(file, tz="UTC")


def test_read__the_duration_is_no_feature(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text("region,start_time,minutes,wind\na,2020-01-01,90,3\n")
    with pytest.raises(ValueError, match=r"feature_columns must be known before the repair.*got \['wind', 'minutes'\]"):
        RepairLog.read_outage_log(
            file, tz="UTC", duration_column="minutes", duration_unit="min", feature_columns=["wind", "minutes"]
        )


DOUBTFUL = [
    (
        CSV.replace(",4.0,", ",1500,"),
        {},
        r"column 'duration_h': 1 of 3 outages last more than 60 days, the longest 1,500 h \(line 4\)",
    ),
    (
        CSV + "3,North,2020-07-05 10:00:00,4.0,2\n" * 7,
        {},
        r"7 of 10 rows are the same as an earlier one.*, line 5 as line 4 \(lines 5, 6, 7, 8, 9, \.\.\.\)",
    ),
    (
        CSV.replace("2020-01-04 10:00:00", "2020-01-04"),
        {},
        r"column 'start_time': 1 of 3 times are dates without a time of day, such as '2020-01-04'.*midnight \(line 3\)",
    ),
    (
        CSV.replace("-0", "/").replace(" 10:00:00", ""),
        {"time_format": "%Y/%m/%d"},
        r"3 of 3 times are dates without a time of day, such as '2020/1/5'.*\(lines 2, 3, 4\)",
    ),
    (
        CSV.replace("3,North", "3,NORTH").replace("2,South", "2,North"),
        {},
        r"column 'region': these differ only in case or blanks.*: 'NORTH' \(1 rows, first line 4\), 'North' \(2 .*, "
        r"first line 2\)\. Did you mean 'North'\?",
    ),
    (
        CSV.replace("3,North", "3,New  Town").replace("2,South", "2,new town"),
        {},
        r"differ only in case or blanks.*'new town' .*'New  Town'",
    ),
    (
        CSV.replace(",0.5,", ",0,"),
        {"drop_zero": True},
        r"column 'duration_h': 1 of 3 outages last exactly 0 h and are left out, as drop_zero says \(line 3\)",
    ),
]


@pytest.mark.parametrize(("text", "keywords", "message"), DOUBTFUL)
def test_read__what_is_doubtful_is_told_with_value_count_and_lines(
    tmp_path: Path, text: str, keywords: dict[str, Any], message: str
) -> None:
    with pytest.warns(UserWarning, match=message) as told:
        RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", **keywords)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_read__only_rows_that_are_kept_are_doubtful(tmp_path: Path) -> None:
    text = CSV + "4,north,2021-01-01,9999,2\n" * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", until="2021-01-01")) == 3


@pytest.mark.parametrize(
    ("cell", "cure"),
    [
        ('"2,5"', r"got '2,5'\. It has a decimal comma: write 2\.5\."),
        ('"1,250"', r"Write 1250 if the comma marks thousands, 1\.250 if it is a decimal comma\."),
        ('"1,250.5"', r"It has marks between thousands: write 1250\.5\."),
        ("1 250 000", r"It has marks between thousands: write 1250000\."),
        ('"-1.250,5"', r"a decimal comma and marks between thousands: write -1250\.5\."),
    ],
)
def test_read__numbers_of_other_countries_are_named(tmp_path: Path, cell: str, cure: str) -> None:
    with pytest.raises(DataError, match=f"line 3, column 'duration_h': a duration must be a number; .*{cure}"):
        RepairLog.read_outage_log(export(tmp_path, CSV.replace(",0.5,", f",{cell},")), tz="UTC")


def test_read__a_decimal_comma_without_quotes_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"line 3: a row must have 5 cells.*got 6.*with a point \(is '0,5' one number\?\)"
    ):
        RepairLog.read_outage_log(export(tmp_path, CSV.replace(",0.5,", ",0,5,")), tz="UTC")


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_read__another_separator_is_named(tmp_path: Path, mark: str, name: str) -> None:
    for text in (CSV.replace(",", mark), CSV.replace(",", mark).replace("crew", "crew, who")):
        with pytest.raises(DataError, match=f"separated by commas, and these are by {name}; got .*decimal point"):
            RepairLog.read_outage_log(export(tmp_path, text), tz="UTC")


def test_read__all_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 'town' is missing, and so is 'off'; the file has \['outage'"):
        RepairLog.read_outage_log(export(tmp_path), tz="UTC", region_column="town", time_column="off")


def test_read__an_end_at_the_start_is_told_in_hours(tmp_path: Path) -> None:
    text = "region,start_time,end\nX,2021-07-02 11:29,2021-07-02 11:29\n"
    with pytest.raises(
        DataError, match="column 'end': a duration must be above 0; got 0 h, with its end at '2021-07-02"
    ):
        RepairLog.read_outage_log(export(tmp_path, text), tz="UTC", end_column="end")


def test_log__is_printed_in_a_line(tmp_path: Path) -> None:
    one = RepairLog.read_outage_log(export(tmp_path), tz="UTC")
    assert repr(one) == "RepairLog(3 outages, 2 regions, 2020-01-04 to 2020-07-05, median 2 h)"
    assert str(one.take([])) == "RepairLog(0 outages, 2 regions)"
    assert repr(log(time=None, region=[0] * 4, region_ids=("a",))) == "RepairLog(4 outages, 1 region, median 2.5 h)"
