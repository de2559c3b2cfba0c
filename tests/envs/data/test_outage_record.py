"""Feeds of customers out: every variant of the files, their faults flagged, and nothing put right unasked."""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stormgym.envs.data.outage_record import (
    ABOVE_CUSTOMERS,
    DOUBLE,
    DROP_OUT,
    LATE_START,
    OutageRecord,
    _check_size,
    drop_outs,
    read_eaglei,
    read_outage_counts,
)
from stormgym.envs.data.tables import DataError

TIMES = pd.date_range("2023-08-30 00:00", periods=6, freq="15min")


def write(
    path: Path, counts: dict[str, list[float | None]], *, form: str = "%Y-%m-%d %H:%M:%S", **columns: str
) -> Path:
    """A file in EAGLE-I's layout; None leaves a row out, NaN leaves its cell blank."""
    rows = [
        {"fips_code": code, "county": code, "state": "Florida", "customers_out": n, "run_start_time": t.strftime(form)}
        for code, values in counts.items()
        for t, n in zip(TIMES, values, strict=True)
        if n is not None
    ]
    pd.DataFrame(rows).rename(columns=columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%m/%d/%y %H:%M"])
@pytest.mark.parametrize("count", ["customers_out", "sum"])
def test_read_eaglei__reads_every_years_columns_and_times(tmp_path: Path, form: str, count: str) -> None:
    counts = {"1003": [1, 2, None, 4, float("nan"), 6], "12001": [0, 0, 5, 5, 5, 5]}
    record = read_eaglei(write(tmp_path / "a.csv", counts, form=form, customers_out=count))
    assert record.county == ("01003", "12001")  # the lost zero is back
    assert record.time[0] == np.datetime64("2023-08-30T00:00:00")
    assert record.interval_h == 0.25
    np.testing.assert_array_equal(record.out[:, 0], [1, 2, np.nan, 4, np.nan, 6])
    np.testing.assert_array_equal(record.observed[:, 0], [1, 1, 0, 1, 0, 1])
    assert np.isnan(record.customers).all()
    zero = read_eaglei(tmp_path / "a.csv", missing_is_zero=True)
    np.testing.assert_array_equal(zero.out[:, 0], [1, 2, 0, 4, np.nan, 6])  # absent is zero, blank is unknown
    np.testing.assert_array_equal(zero.observed, record.observed)


def test_read_eaglei__takes_customers_from_the_file_or_the_table_and_keeps_what_was_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", {"1003": [1] * 6, "12001": [2] * 6, "12003": [3] * 6})
    table = tmp_path / "MCC.csv"
    table.write_text("\ufeffCounty_FIPS,Customers\n1003,500\n12001,700\nGrand Total,1200\n", encoding="utf-8")
    record = read_eaglei(file, counties=["01003", "12003"], customers=table)
    assert record.county == ("01003", "12003")
    np.testing.assert_array_equal(record.customers, [500, np.nan])
    with pytest.raises(DataError, match="no row is left"):
        read_eaglei(file, states=["Georgia"])
    frame = pd.read_csv(file).assign(total_customers=900, observed=0)
    frame.to_parquet(tmp_path / "a.parquet")
    record = read_eaglei([tmp_path / "a.parquet"], states=["Florida"], customers=table)
    np.testing.assert_array_equal(record.customers, [900, 900, 900])
    assert not record.observed.any()


def test_read_eaglei__flags_faults_and_leaves_the_counts_alone(tmp_path: Path) -> None:
    counts = {
        "1": [2_000, 2_100, 3, 2_000, 2_000, 2_000],
        "2": [5, 5, 600, 610, 620, 1_100],
        "3": [50, 40, 0, 45, 50, 50],
    }
    frame = pd.read_csv(write(tmp_path / "a.csv", counts)).assign(total_customers=lambda f: f.fips_code * 1_000 + 1_500)
    frame.loc[frame.fips_code == 2, "total_customers"] = 1_000
    frame.to_csv(tmp_path / "a.csv", index=False)
    record = read_eaglei(tmp_path / "a.csv")
    np.testing.assert_array_equal(record.out.T, list(counts.values()))
    assert np.argwhere(record.faults & DROP_OUT).tolist() == [[2, 0]]  # county 3 has too few out to tell
    assert np.argwhere(record.faults & LATE_START).tolist() == [[2, 1]]  # the return of county 1 is none
    assert np.argwhere(record.faults & ABOVE_CUSTOMERS).tolist() == [[5, 1]]
    assert sum(record.n_faults().values()) == 3
    clean = record.without_faults()
    assert np.isnan(clean.out).sum() == 3
    assert (record.observed & ~clean.observed).sum() == 3
    assert clean.filled().out[2, 0] == pytest.approx(2_050)
    with pytest.raises(ValueError, match="3 counts are unknown; say filled"):
        clean.per_period(0.5)


def test_read_eaglei__two_counts_for_one_time_keep_the_larger_and_say_so(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", {"1": [1, 2, 3, 4, 5, 6]})
    with file.open("a") as out:
        out.write(f"1,1,Florida,9,{TIMES[1]}\n")
        out.write(f"1,1,Florida,3,{TIMES[2]}\n")  # the same again
    record = read_eaglei(file)
    np.testing.assert_array_equal(record.out[:3, 0], [1, 9, 3])
    assert np.argwhere(record.faults & DOUBLE).tolist() == [[1, 0]]


def test_drop_outs__are_short_lows_between_larger_counts() -> None:
    def flagged(low: int) -> list[int]:
        out = np.full((20, 1), 1_000.0)
        out[5 : 5 + low] = 10.0
        return np.flatnonzero(drop_outs(out)).tolist()

    for low in range(1, 7):
        assert flagged(low) == list(range(5, 5 + low))
    assert flagged(7) == []
    falling = np.array([[1_000.0], [30.0], [20.0], [10.0]])  # an end, not a fault
    assert not drop_outs(falling).any()


def test_read_outage_counts__local_times_are_utc_afterwards_and_snap_to_the_grid(tmp_path: Path) -> None:
    file = tmp_path / "feed.csv"
    whens = ("22:20:00", "22:50:00", "23:32:00", "23:49:00")
    file.write_text("name,sum,when\n" + "".join(f"A,{i},2019-09-04 {when}\n" for i, when in enumerate(whens, 1)))
    shared = {"county_column": "name", "time_column": "when", "tz": "America/New_York", "interval_min": 30}
    with pytest.raises(DataError, match="times must be 30 min apart from the first one; got 2019-09-05T03:32:00 UTC"):
        read_outage_counts(file, **shared)
    record = read_outage_counts(file, **shared, snap=True, customers={"A": 3})
    assert record.time[0] == np.datetime64("2019-09-05T02:20:00")
    np.testing.assert_array_equal(record.out[:, 0], [1, 2, 4])
    assert record.n_faults() == {"more customers out than the county has": 1}
    autumn = tmp_path / "autumn.csv"
    autumn.write_text("name,sum,when\nA,1,2019-11-03 01:30:00\nA,2,2019-11-03 02:30:00\n")
    with pytest.raises(DataError, match="1 times fall into the hour that the clock repeats"):
        read_outage_counts(autumn, **{**shared, "interval_min": 60})


def test_record__windows_selects_and_means_over_periods() -> None:
    time = np.datetime64("2024-01-01T00:00:00") + np.arange(8) * np.timedelta64(6, "h")
    out = np.arange(16.0).reshape(8, 2)
    seen, none = np.ones((8, 2), dtype=bool), np.zeros((8, 2), dtype=np.uint8)
    record = OutageRecord(("a", "b"), time, out, seen, np.array([20.0, 30.0]), none)
    np.testing.assert_allclose(record.per_period(24.0), [[3, 4], [11, 12]])
    one = record.select(["b"]).window("2024-01-01 12:00", "2024-01-02")
    np.testing.assert_array_equal(one.out[:, 0], [5, 7])
    assert (one.county, one.customers.tolist()) == (("b",), [30.0])
    with pytest.raises(KeyError, match="county 'c' is not in outage record"):
        record.select(["c"])
    with pytest.raises(ValueError, match="hours must be a multiple of 6"):
        record.per_period(9.0)
    with pytest.raises(ValueError, match="has no two times"):
        record.window("2025-01-01", "2025-01-02")
    with pytest.raises(DataError, match=r"out must have shape \[8, 2\]"):
        OutageRecord(("a", "b"), time, out.T, seen, np.ones(2), none)
    with pytest.raises(DataError, match="equally spaced"):
        OutageRecord(("a", "b"), time[[0, 1, 3, 4, 5, 6, 7, 7]], out, seen, np.ones(2), none)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fips_code,state,customers_out\n1,F,3\n", "column 'run_start_time' is missing"),
        ("fips_code,run_start_time\n1,2024-01-01 00:00:00\n", "a column customers_out or sum is missing"),
        ("fips_code,run_start_time,sum\n1,2024-01-01 00:00:00,many\n", "a count .* got 'many' in row 2"),
        ("fips_code,run_start_time,sum\n1,2024-01-01 00:00:00,-4\n", "a count .* got '-4' in row 2"),
        ("fips_code,run_start_time,sum\n1,inf,4\n", "times must all be of one of the formats.*got inf"),
        ("fips_code,run_start_time,sum\n1,yesterday,4\n", "times must all be of one of the formats.*got 'yesterday'"),
    ],
)
def test_read_eaglei__wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_eaglei(file)
    with pytest.raises(DataError, match="no such file"):
        read_eaglei(tmp_path / "nowhere.csv")


def test_read_eaglei__the_real_files_are_read_and_their_known_faults_found(shared_data: Path) -> None:
    harris = read_eaglei(shared_data / "eaglei_2024_harris_beryl_excerpt.csv")
    late = np.argwhere(harris.faults & LATE_START)
    assert late.size
    before, after = harris.out[late[0, 0] - 1 : late[0, 0] + 1, 0]
    assert (before, after) == (874, 1_247_430)
    assert (harris.faults & DROP_OUT).any()
    assert (harris.faults & ABOVE_CUSTOMERS).any()
    helene = read_eaglei(shared_data / "ga_helene_2024_county_15min.parquet")
    assert helene.out.shape == (1729, 159)
    assert helene.observed.mean() == pytest.approx(0.64, abs=0.01)  # 36 % carried forward
    same = read_eaglei(
        shared_data / "ga_helene_2024_eaglei_format.csv.gz", customers=shared_data / "MCC.csv", missing_is_zero=True
    )
    assert same.county == helene.county
    np.testing.assert_array_equal(same.out[same.observed], helene.out[same.observed])
    metrics = pd.read_csv(shared_data / "ga_helene_2024_county_metrics.csv", dtype={"fips": str}).set_index("fips")
    hours = 0.25 * helene.out.sum(axis=0)
    np.testing.assert_allclose(hours, metrics.loc[list(helene.county)].customer_hours, rtol=0.02)
    dorian = read_outage_counts(
        shared_data / "nc_emc_dorian_2019_county.csv.gz",
        county_column="countyname",
        time_column="time_local_eastern",
        tz="America/New_York",
        interval_min=30,
        snap=True,
    )
    assert len(dorian.county) == 101


def test_read_eaglei__keeps_a_span_of_times_and_files_may_write_times_in_their_own_way(tmp_path: Path) -> None:
    old = write(tmp_path / "old.csv", {"1": [1, 2, 3, None, None, None]})
    new = write(tmp_path / "new.csv", {"1": [None, None, None, 4, 5, 6]}, form="%m/%d/%y %H:%M")
    np.testing.assert_array_equal(read_eaglei([old, new]).out[:, 0], [1, 2, 3, 4, 5, 6])
    part = read_eaglei([old, new], since="2023-08-30 00:30", until="2023-08-30 01:15")
    np.testing.assert_array_equal(part.out[:, 0], [3, 4, 5])
    half = write(tmp_path / "half.csv", {"1": [1, None, 3, None, 5, None]})
    np.testing.assert_array_equal(read_eaglei(half, interval_min=30).out[:, 0], [1, 3, 5])
    with pytest.raises(DataError, match=r"no row is left\. Check states, counties and times"):
        read_eaglei(old, since="2024-01-01")
    zoned = pd.read_csv(old).assign(run_start_time=lambda f: pd.to_datetime(f.run_start_time).dt.tz_localize("UTC"))
    zoned.to_parquet(tmp_path / "zoned.parquet")
    assert read_eaglei(tmp_path / "zoned.parquet").time[0] == np.datetime64("2023-08-30T00:00:00")


def test_with_customers__finds_the_faults_again(tmp_path: Path) -> None:
    record = read_eaglei(write(tmp_path / "a.csv", {"1": [10, 20, 30, 40, 50, 60]}))
    fewer = record.with_customers([35.0])
    assert np.flatnonzero(fewer.faults & ABOVE_CUSTOMERS).tolist() == [3, 4, 5]
    assert not fewer.with_customers([60.0]).faults.any()


# ---------------------------------------------------------------------------------------------- hostile files and words

HEAD = "fips_code,county,state,customers_out,run_start_time,total_customers,observed\n"
ROWS = (
    "1001,Autauga,Alabama,3,2023-08-30 00:00:00,100,1\n"
    "1001,Autauga,Alabama,4,2023-08-30 00:15:00,100,1\n"
    "1003,Baldwin,Alabama,4,2023-08-30 00:15:00,100,1\n"
)


def file_of(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("column", ["customers_out", "total_customers"])
@pytest.mark.parametrize("cell", ["9" * 400, str(2**63), str(10**30), "inf", "-1", "True", "1_000", "\u0663", "1e300"])
def test_read_eaglei__a_number_that_cannot_be_is_named(tmp_path: Path, column: str, cell: str) -> None:
    old, new = (",3,2023", f",{cell},2023") if column == "customers_out" else (",100,1", f",{cell},1")
    file = file_of(tmp_path / "a.csv", HEAD + ROWS.replace(old, new, 1))
    with pytest.raises(DataError, match=r"a\.csv: .* must be a number of at least 0 or blank.* in row 2\. Correct"):
        read_eaglei(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1001,", ",", "row 2, column 'fips_code': blank"),
        ("1001,", "x,", "a FIPS code must have five digits.*got '0000x'"),
        ("1001,", "100100,", "a FIPS code must have five digits.*got '100100'"),
        (",100,1", ",100,2", "observed must be a number of at least 0 or blank, and at most 1; got '2' in row 2"),
        ("2023-08-30 00:00:00", "", "times must all be of one of the formats.*got nan"),
        ("2023-08-30 00:00:00", "now", "times must all be of one of the formats.*got 'now'"),
        ("2023-08-30 00:00:00", "0001-01-01 00:00:00", "got '0001-01-01 00:00:00'"),
        ("2023-08-30 00:00:00", "9999-12-31 23:59:59", "got '9999-12-31 23:59:59'"),
        ("2023-08-30 00:00:00", "2261-01-01 00:00:00", "row 2: a time must be of a year 1900 to 2200; got 2261"),
        ("2023-08-30 00:00:00", "1950-08-30 00:00:00", r"counts over 73\.0 years; at most 250,000,000 and 50 years"),
        ("1003,", "1003,1,2,3,", "not a table of text in which every row has as many cells"),
        ("1003,", '"1003,', "not a table of text in which every row has as many cells"),
    ],
)
def test_read_eaglei__a_cell_that_breaks_a_rule_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = file_of(tmp_path / "a.csv", HEAD + ROWS.replace(old, new, 1))
    with pytest.raises(DataError, match=rf"a\.csv.*{message}"):
        read_eaglei(file)


def test_read_eaglei__rows_that_are_all_too_long_shift_no_column(tmp_path: Path) -> None:
    rows = ROWS.replace(",1\n", ",1,1\n")
    with pytest.raises(DataError, match="every row has as many cells as the first line"):
        read_eaglei(file_of(tmp_path / "a.csv", HEAD + rows))


def test_read_eaglei__broken_files_are_named(tmp_path: Path) -> None:
    text = (HEAD + ROWS).encode()
    packed = gzip.compress(text)
    flipped = packed[:40] + b"xxxx" + packed[44:]
    pd.read_csv(io.BytesIO(text)).to_parquet(tmp_path / "good.parquet")
    table = (tmp_path / "good.parquet").read_bytes()
    for name, data, message in (
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n\n", "the file is empty"),
        ("a.csv", b"x" * 200_000, "the first line has 100000 characters or more"),
        ("a.csv", text.decode().encode("utf-16"), "UTF-16 text"),
        ("a.csv", text.decode().encode("utf-16-le"), "not a table of text. Name it as what it is"),
        ("a.csv", text.replace(b"Autauga", b"Autaug\xe1"), "not UTF-8 text"),
        ("a.csv", text.replace(b"county", b"count\xe1"), r"not UTF-8 text \(byte 15\)"),
        ("a.csv", text.replace(b",", b";"), "line 1: cells must be separated by commas"),
        ("a.csv", text.replace(b"county", b"customers_out"), "line 1: column 'customers_out' stands twice"),
        ("a.csv", packed, "not a table of text. Name it as what it is"),
        ("a.csv", table, "not a table of text. Name it as what it is"),
        ("a.csv.gz", packed[:-12], "not a whole gzip file"),
        ("a.csv.gz", flipped, "not a whole gzip file"),
        ("a.csv.gz", text, "not a whole gzip file"),
        ("a.parquet", text, "not a whole Parquet file"),
        ("a.parquet", table[:-100], "not a whole Parquet file"),
        ("a.parquet", table[:50] + table[60:], "not a whole Parquet file"),
    ):
        with pytest.raises(DataError, match=rf"{name}.*{message}"):
            read_eaglei(file_of(tmp_path / name, data))


def test_read_eaglei__parquet_columns_of_odd_types_are_named(tmp_path: Path) -> None:
    frame = pd.read_csv(io.StringIO(HEAD + ROWS), dtype={"fips_code": str})
    for change, message in (
        ({"customers_out": [[1], [2], [3]]}, r"a count of customers must be a number.* got '\[1\]' in row 2"),
        ({"run_start_time": [1, 2, 3]}, "times must all be of one of the formats"),
        ({"run_start_time": pd.to_datetime(["2023-08-30", None, "2023-08-30"])}, "row 3: a time must not be blank"),
        ({"run_start_time": np.array(["9999-12-31"] * 3, "M8[s]")}, "row 2: a time must be of a year 1900 to 2200"),
        ({"fips_code": [1001.0, None, 1003.0]}, "row 3, column 'fips_code': blank"),
    ):
        frame.assign(**change).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(DataError, match=message):
            read_eaglei(tmp_path / "a.parquet")
    zoned = pd.Series(np.array(["9999-12-31T23:59:59"] * 3, "M8[s]")).dt.tz_localize("UTC")
    frame.assign(run_start_time=zoned.dt.tz_convert("America/New_York")).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a time must be of a year 1900 to 2200"):
        read_eaglei(tmp_path / "a.parquet")


def test_read_eaglei__an_empty_second_file_is_named_and_one_without_rows_warned_of(tmp_path: Path) -> None:
    good = file_of(tmp_path / "a.csv", HEAD + ROWS)
    with pytest.raises(DataError, match=r"b\.csv: the file is empty"):
        read_eaglei([good, file_of(tmp_path / "b.csv", "")])
    with pytest.warns(UserWarning, match=r"b\.csv has no rows\. Is the file complete\?"):
        assert len(read_eaglei([good, file_of(tmp_path / "b.csv", HEAD)]).time) == 2
    with pytest.raises(ValueError, match="files must name at least one file"):
        read_eaglei([])


@pytest.mark.parametrize("interval", [-15, 0, 7.5, True, "15", None, 10_081, float("nan"), 10**400])
def test_readers__an_interval_is_a_whole_number_of_minutes(tmp_path: Path, interval: object) -> None:
    file = file_of(tmp_path / "a.csv", HEAD + ROWS)
    with pytest.raises(ValueError, match="interval_min must be a whole number of minutes from 1 to 10080; got"):
        read_eaglei(file, interval_min=interval)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="interval_min must be a whole number of minutes from 1 to 10080; got"):
        read_outage_counts(file, county_column="county", time_column="run_start_time", tz="UTC", interval_min=interval)  # type: ignore[arg-type]


def test_read_eaglei__limits_of_time_take_offsets_and_name_what_is_none(tmp_path: Path) -> None:
    file = file_of(tmp_path / "a.csv", HEAD + ROWS + ROWS.replace(" 00:", " 01:"))
    for since in (
        "2023-08-30T03:00:00+02:00",
        "2023-08-30 01:00",
        pd.Timestamp("2023-08-30 01:00", tz="UTC"),
        np.datetime64("2023-08-30T01:00"),
    ):
        assert len(read_eaglei(file, since=since).time) == 2  # type: ignore[arg-type]
    for bad in (5, True, [1], "", "yesterday", "9999-12-31T00:00-14:00", "0001-01-01T00:00+14:00", pd.NaT):
        for name in ("since", "until"):
            with pytest.raises(ValueError, match=f"{name} must be (an ISO 8601 date or time|of a year 1900 to 2200)"):
                read_eaglei(file, **{name: bad})
        with pytest.raises(ValueError, match="start must be"):
            read_eaglei(file).window(bad, "2023-08-31")  # type: ignore[arg-type]


def test_readers__arguments_that_do_not_fit_are_named(tmp_path: Path) -> None:
    file = file_of(tmp_path / "a.csv", HEAD + ROWS)
    with pytest.raises(
        ValueError, match=r"states must be a list of them; got the text 'Alabama'\. Write \['Alabama'\]"
    ):
        read_eaglei(file, states="Alabama")
    shared = {"county_column": "county", "time_column": "run_start_time", "tz": "UTC", "interval_min": 15}
    with pytest.raises(ValueError, match="county_column and time_column must be two columns beside"):
        read_outage_counts(file, **{**shared, "time_column": "county"})
    for tz in (5, "UTC+99"):
        with pytest.raises(ValueError, match="tz must be an IANA zone name"):
            read_outage_counts(file, **{**shared, "tz": tz})
    for customers, message in (
        (-1, "must be at least 0 and finite"),
        ("x", "must be numbers"),
        (10**400, "must be num"),
    ):
        with pytest.raises(DataError, match=f"customers.*{message}"):
            read_outage_counts(file, **shared, customers={"Autauga": customers})
    record = read_eaglei(file)
    for hours in (float("nan"), float("inf"), "x", None):
        with pytest.raises(ValueError, match=r"hours must be a multiple of 0\.25 within the record; got"):
            record.filled().per_period(hours)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1001,-5\n", "Customers must be a number of at least 0 or blank.*got '-5' in row 2"),
        ("1001,inf\n", "Customers must be a number.*got 'inf'"),
        ("1001,many\n", "Customers must be a number.*got 'many'"),
        ("1001,5\n01001,6\n", "county 01001 has two numbers of Customers"),
    ],
)
def test_read_eaglei__a_table_of_customers_is_checked(tmp_path: Path, rows: str, message: str) -> None:
    file = file_of(tmp_path / "a.csv", HEAD + ROWS)
    table = file_of(tmp_path / "MCC.csv", "County_FIPS,Customers\n" + rows)
    with pytest.raises(DataError, match=rf"MCC\.csv: {message}"):
        read_eaglei(file, customers=table)


def test_record__a_county_twice_and_numbers_that_cannot_be_are_errors() -> None:
    time = np.datetime64("2024-01-01T00:00:00") + np.arange(2) * np.timedelta64(6, "h")
    out, seen, none = np.ones((2, 2)), np.ones((2, 2), dtype=bool), np.zeros((2, 2), dtype=np.uint8)
    record = OutageRecord(("a", "b"), time, out, seen, np.array([20.0, np.nan]), none)
    with pytest.raises(DataError, match="county 'a' stands twice"):
        OutageRecord(("a", "a"), time, out, seen, np.ones(2), none)
    with pytest.raises(ValueError, match="county 'a' stands twice in"):
        record.select(["a", "a"])
    with pytest.raises(ValueError, match="counties must be a list of names; got the text 'ab'"):
        record.select("ab")
    with pytest.raises(DataError, match="customers out must be at least 0 and finite; got inf"):
        OutageRecord(("a", "b"), time, np.full((2, 2), np.inf), seen, np.ones(2), none)
    with pytest.raises(DataError, match="customers of a county must be at least 0 and finite; got -1"):
        record.with_customers([-1.0, 2.0])


def test_record__the_largest_size_is_read_and_more_is_refused() -> None:
    quarter = 900
    two_years = 2 * 365 * 96 * quarter
    _check_size(0, two_years, quarter, 3_200, "all of the country")
    with pytest.raises(DataError, match=r"at most 250,000,000 and 50 years are read\. Correct a time"):
        _check_size(0, two_years, quarter, 3_600, "more")
    _check_size(0, 50 * 31_557_600, 86_400, 3_000, "fifty years")


def test_read_eaglei__blank_lines_take_no_time(tmp_path: Path) -> None:
    packed = gzip.compress((HEAD + ROWS).encode() + b"\n" * 20_000_000, compresslevel=1)
    assert len(read_eaglei(file_of(tmp_path / "a.csv.gz", packed)).time) == 2
