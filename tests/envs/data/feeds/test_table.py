"""`JobTable`: faults that columns show of each other, hours, selection, and the way to disk and back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stormgym.envs.data.feeds import FAULTS, Fault, JobTable, read_nged, read_pge
from stormgym.envs.data.feeds.faults import fault_words, faults_of
from stormgym.envs.data.tables import DataError

Flags = Callable[[JobTable], list[set[str]]]


def at(*hours: float) -> np.ndarray:
    start = np.datetime64("2024-01-01T00:00:00")
    return np.array([start + np.timedelta64(round(3600 * h), "s") if np.isfinite(h) else "NaT" for h in hours], "M8[s]")


NAN = float("nan")


def test_of__what_is_not_given_is_unknown() -> None:
    jobs = JobTable.of(job_id=["a", "b"], region=["x", "y"], arrival=at(0, 1))
    assert len(jobs) == 2
    assert np.isnat(jobs.restored).all()
    assert np.isnan(jobs.work_h).all()
    assert jobs.planned.tolist() == [-1, -1]
    assert jobs.faults() == {}
    assert not jobs.arrival.flags.writeable
    assert len(JobTable.of(job_id=[], region=[], arrival=at())) == 0


def test_of__faults_between_columns(flags_of: Flags) -> None:
    jobs = JobTable.of(
        job_id=["a", "b", "b", "", "e", "f"],
        region=["x", "x", "x", "", "x", "x"],
        arrival=at(0, 0, 0, 0, NAN, 0),
        restored=at(5, -1, 0, 2000, 1, 9),
        on_site_at=at(1, NAN, NAN, NAN, NAN, 10),
        repair_start=at(0.5, NAN, NAN, NAN, NAN, NAN),
        ert=at(-1, NAN, 3, 2000, NAN, NAN),
        ert_seen_at=at(NAN, NAN, 4, 0, NAN, NAN),
        first_seen_at=at(0, 0, 0, 0, 0, 2.5),
        customers=np.array([1, 1, 2.5, 1, 1, 1]),
        parent=["b", "a", "", "z", "", ""],
    )
    assert flags_of(jobs) == [
        {"stage_order", "ert_past", "circle"},
        {"double_id", "restored_first", "circle"},
        {"double_id", "no_duration", "ert_past", "fractional"},
        {"no_id", "no_place", "long", "ert_far", "no_parent"},
        {"no_arrival"},
        {"stage_order", "late_seen"},
    ]
    assert jobs.faults()["restored before it arrived"] == 1
    assert sum(jobs.faults().values()) == sum(map(len, flags_of(jobs)))
    assert jobs.has(Fault.CIRCLE | Fault.NO_ARRIVAL).tolist() == [True, True, False, False, True, False]


def test_of__long_chains_of_parents_are_no_circle() -> None:
    n = 3000
    ids = [str(i) for i in range(n)]
    jobs = JobTable.of(job_id=ids, region=["x"] * n, arrival=at(*[0] * n), parent=["", *ids[:-1]])
    assert jobs.faults() == {}
    jobs = JobTable.of(job_id=ids, region=["x"] * n, arrival=at(*[0] * n), parent=[ids[-1], *ids[:-1]])
    assert jobs.has(Fault.CIRCLE).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"job_id": ["a"], "region": ["x"]}, "needs the column 'arrival'"),
        ({"job_id": ["a"], "arrival": at(0)}, "needs 'region', or 'latitude' and 'longitude'"),
        ({"job_id": ["a"], "region": ["x"], "arrival": at(0), "etr": at(0)}, "has no column 'etr'"),
        ({"job_id": ["a"], "region": ["x", "y"], "arrival": at(0)}, "region must have one entry a row, 1"),
        ({"job_id": [1], "region": ["x"], "arrival": at(0)}, "job_id must hold texts; got 1"),
        ({"job_id": ["a"], "region": ["x"], "arrival": ["2024-01-01"]}, "arrival must hold times"),
        ({"job_id": ["a"], "region": ["x"], "arrival": at(0), "planned": [2]}, "planned must be 1"),
        ({"job_id": ["a\ud800"], "region": ["x"], "arrival": at(0)}, "job_id must hold whole characters"),
        ({"job_id": ["a"], "region": ["x"], "arrival": at(0), "customers": ["1"]}, "customers must hold numbers"),
    ],
)
def test_of__wrong_columns_are_named(columns: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        JobTable.of(**columns)


def test_work__begins_with_the_crew_that_mended_it() -> None:
    jobs = JobTable.of(
        job_id=["both", "first", "second unseen", "nobody"],
        region=["x"] * 4,
        arrival=at(0, 0, 0, 0),
        restored=at(10, 10, 10, 10),
        on_site_at=at(1, 2, 3, NAN),
        assessed_at=at(2, NAN, 4, NAN),
        repair_start=at(6, NAN, NAN, NAN),
    )
    np.testing.assert_array_equal(jobs.work_h, [4.0, 8.0, NAN, NAN])


def test_check__names_file_line_fault_and_cell(fixtures: Path) -> None:
    jobs = read_nged(fixtures / "nged_power_outage_ext.csv", tz="UTC")
    assert jobs.check(Fault.CIRCLE) is jobs
    with pytest.raises(DataError) as error:
        jobs.check(Fault.SENTINEL_TIME | Fault.NEGATIVE)
    told = str(error.value)
    assert "nged_power_outage_ext.csv, line 5, job 'INCD-104-Z': a year that stands for unknown" in told
    assert "ETR='9999-12-31 23:59:59'" in told
    assert "1 of 5 rows are like that. Correct them, or leave them out" in told


def test_take_and_concat__keep_flags(fixtures: Path, flags_of: Flags) -> None:
    jobs = read_nged(fixtures / "nged_power_outage_ext.csv", tz="UTC")
    part = jobs.take(jobs.has(Fault.NEGATIVE))
    assert flags_of(part) == [flags_of(jobs)[3]]
    assert len(jobs.take([])) == 0
    twice = JobTable.concat([jobs.take([1]), jobs.take([1])])
    assert flags_of(twice) == [{"zone_assumed", "double_id"}] * 2
    with pytest.raises(ValueError, match="mask must have one entry a row, 5"):
        jobs.take(np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="at least one table"):
        JobTable.concat([])


def test_words__name_every_fault_once() -> None:
    assert set(FAULTS) == set(Fault)
    every = sum(Fault)
    assert faults_of(fault_words(every)) == every


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_disk__and_back_to_the_bit(
    tmp_path: Path, fixtures: Path, assert_same: Callable[..., None], ending: str
) -> None:
    for jobs in (
        read_pge(fixtures / "pge_outages.csv"),
        read_nged(fixtures / "nged_power_outage_ext.csv", tz="Europe/London"),
        JobTable.of(job_id=[], region=[], arrival=at()),
        JobTable.of(
            job_id=["a\n\"b\", 'c' "], region=[" é;\t=cmd()"], arrival=at(0.1), customers=np.array([0.1 + 0.2])
        ),
    ):
        file = tmp_path / f"jobs{ending}"
        if ending == ".parquet":
            pytest.importorskip("pyarrow")
            jobs.to_parquet(file)
            back = JobTable.read_parquet(file)
        else:
            jobs.to_csv(file)
            back = JobTable.read_csv(file)
        assert_same(jobs, back)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.floats(0, 1e7), st.integers(631152000, 4102444799)), min_size=1, max_size=5))
def test_csv__any_text_number_and_second_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    ids, regions, customers, seconds = zip(*rows, strict=True)
    arrival = np.array(seconds).astype("M8[s]")
    jobs = JobTable.of(job_id=list(ids), region=list(regions), arrival=arrival, customers=np.array(customers))
    file = tmp_path_factory.mktemp("csv") / "jobs.csv"
    jobs.to_csv(file)
    back = JobTable.read_csv(file)
    for name in ("job_id", "region", "arrival", "customers"):
        np.testing.assert_array_equal(getattr(back, name), getattr(jobs, name))


def test_csv__of_a_user_needs_id_arrival_and_a_place(tmp_path: Path, flags_of: Flags) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("Job ID,arrival,latitude,longitude,customers\n7,2024-01-01 10:00,-122.0,38.0,3\n8,x,995,0,-1\n")
    jobs = JobTable.read_csv(file, tz="America/Los_Angeles")
    assert jobs.arrival[0] == np.datetime64("2024-01-01T18:00:00")
    assert flags_of(jobs) == [
        {"zone_assumed", "swapped_coordinates"},
        {"unread_time", "no_arrival", "bad_coordinates", "negative", "no_place"},
    ]
    assert jobs.unread[1] == "latitude='995, 0'; arrival='x'; customers='-1'"
    file.write_text("job_id,arrival,regon\n7,2024-01-01T10:00Z,x\n")
    with pytest.raises(DataError, match=r"column 'regon' is missing.*Did you mean 'region'"):
        JobTable.read_csv(file)
    file.write_text("job_id,region,arrival,flags\n7,x,2024-01-01T10:00Z,no_such\n")
    with pytest.raises(DataError, match="column 'flags': 'no_such' is no fault's name"):
        JobTable.read_csv(file)


def test_parquet__of_others_is_refused(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    file = tmp_path / "x.parquet"
    with pytest.raises(DataError, match="no such file"):
        JobTable.read_parquet(file)
    pd.DataFrame({"a": [1]}).to_parquet(file)
    with pytest.raises(DataError, match="'a' is missing or unknown"):
        JobTable.read_parquet(file)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        JobTable.read_parquet(file)


def test_of__times_of_years_that_mean_unknown_are_unknown_and_flagged(flags_of: Flags, tmp_path: Path) -> None:
    far = np.array(["9999-12-31T23:59:59", "1900-01-01", "2024-01-01"], "M8[s]")
    jobs = JobTable.of(job_id=["a", "b", "c"], region=["x"] * 3, arrival=at(0, 0, 0), restored=far, ert=far)
    assert np.isnat(jobs.restored).tolist() == np.isnat(jobs.ert).tolist() == [True, True, False]
    assert flags_of(jobs)[:2] == [{"sentinel_time"}] * 2
    assert jobs.unread[0] == "restored='9999-12-31T23:59:59'; ert='9999-12-31T23:59:59'"
    assert np.nan_to_num(jobs.duration_h).max() < 1e3  # none of 69,951,216 h
    with pytest.raises(DataError, match=r"a year that stands for unknown .*\(restored='9999"):
        jobs.check(Fault.SENTINEL_TIME)
    frame = jobs.to_frame().assign(ert=pd.Series(far).dt.tz_localize("UTC"))
    frame.to_parquet(tmp_path / "jobs.parquet")
    again = JobTable.read_parquet(tmp_path / "jobs.parquet")
    assert np.isnat(again.ert).tolist() == [True, True, False]


def test_take__rows_that_the_table_lacks_are_named() -> None:
    jobs = JobTable.of(job_id=["a", "b"], region=["x", "y"], arrival=at(0, 1))
    assert jobs.take([-1, 0]).job_id.tolist() == ["b", "a"]
    for bad in ([999], [-3], [0.5], ["a"], [[0]], 1):
        with pytest.raises(ValueError, match="rows must be booleans or whole numbers 0 to 1, rows of the table; got"):
            jobs.take(bad)


def test_read_parquet__columns_of_other_types_name_the_file(tmp_path: Path) -> None:
    frame = JobTable.of(job_id=["a", "b"], region=["x", "y"], arrival=at(0, 1)).to_frame()
    for change, message in (
        ({"flags": [1, 2]}, "column 'flags': must hold names of faults"),
        ({"customers": ["many", "few"]}, "JobTable.customers must hold numbers"),
        ({"region": [1, 2]}, "JobTable.region must hold texts"),
    ):
        frame.assign(**change).to_parquet(tmp_path / "jobs.parquet")
        with pytest.raises(DataError, match=rf"jobs\.parquet.*{message}"):
            JobTable.read_parquet(tmp_path / "jobs.parquet")
