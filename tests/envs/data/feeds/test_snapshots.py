"""Snapshots of a live feed as a log: ends between two snapshots, flicker, statements, and what cannot be followed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs.data.feeds import Fault, JobTable, Snapshot, changes, log_of, read_snapshots, read_ssen
from stormgym.envs.data.tables import DataError


def at(hours: float) -> np.datetime64:
    return np.datetime64("2024-12-07T00:00:00") + np.timedelta64(round(3600 * hours), "s")


def snapshot(hour: float, ids: str, **columns: Any) -> Snapshot:
    """A snapshot of jobs named by single letters, all reported at hour 0."""
    n = len(ids)
    base: dict[str, Any] = {
        "job_id": list(ids),
        "region": ["x"] * n,
        "arrival": np.full(n, at(0)),
        "customers": np.ones(n),
    }
    return Snapshot(at(hour), JobTable.of(**(base | columns)))


def test_changes__arrivals_changes_and_disappearances() -> None:
    before = snapshot(1, "abc", status=["new", "new", "new"]).jobs
    after = snapshot(2, "bcd", status=["sent", "new", "new"], customers=np.array([1.0, 5.0, 1.0])).jobs
    found = changes(before, after)
    assert (found.arrived, found.gone) == (("d",), ("a",))
    assert found.changed == {"b": ("status",), "c": ("customers",)}


def test_log__an_end_lies_between_two_snapshots() -> None:
    jobs, _ = log_of([snapshot(1, "ab"), snapshot(2, "bc"), snapshot(2.5, "c")])
    assert jobs.job_id.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(jobs.restored, [at(1.5), at(2.25), np.datetime64("NaT")])
    np.testing.assert_array_equal(jobs.restored_within_h, [0.5, 0.25, np.nan])
    np.testing.assert_array_equal(jobs.first_seen_at, [at(1), at(1), at(2)])
    assert jobs.faults() == {}


def test_log__the_feeds_own_end_counts_first() -> None:
    told = {"restored": np.array([at(1.2)])}
    jobs, _ = log_of([snapshot(1, "a"), snapshot(2, "a", **told), snapshot(3, "")])
    assert jobs.restored[0] == at(1.2)
    assert np.isnan(jobs.restored_within_h[0])


def test_log__flicker_is_tied_over_and_a_long_absence_is_another_outage() -> None:
    shots = [snapshot(h, "ab" if h in (0.5, 1, 3, 30) else "b") for h in (0.5, 1, 2, 3, 4, 29, 30)]
    jobs, _ = log_of(shots)
    assert jobs.job_id.tolist() == ["a", "b", "a"]
    assert jobs.has(Fault.FLICKERED).tolist() == [True, False, False]
    assert jobs.has(Fault.DOUBLE_ID).tolist() == [True, False, True]
    np.testing.assert_array_equal(jobs.restored, [at(3.5), np.datetime64("NaT"), np.datetime64("NaT")])


def test_log__last_words_most_customers_first_arrival_and_stages() -> None:
    shots = [
        snapshot(1, "a", status=["UNASSIGNED"], cause=["unknown"]),
        snapshot(2, "a", status=["ONS"], cause=["tree"], customers=np.array([40.0]), arrival=np.array([at(-1)])),
        snapshot(3, "a", status=[""], customers=np.array([3.0])),
        snapshot(4, ""),
    ]
    jobs, _ = log_of(shots, stages={"ons": "on_site_at"})
    assert (jobs.status[0], jobs.cause[0], jobs.customers[0]) == ("ONS", "tree", 40.0)
    assert jobs.arrival[0] == at(0)
    assert jobs.has(Fault.FIGURES_DISAGREE).all()  # it was said to have begun an hour earlier
    assert jobs.on_site_at[0] == at(2)
    np.testing.assert_allclose(jobs.work_h, [1.5])


def test_log__statements_are_kept_with_the_snapshot_that_had_them_first() -> None:
    erts = [np.datetime64("NaT"), at(6), at(6), np.datetime64("NaT"), at(4000)]
    shots = [snapshot(1 + i, "a", ert=np.array([ert], dtype="M8[s]")) for i, ert in enumerate(erts)]
    jobs, stated = log_of(shots)
    np.testing.assert_array_equal(stated.seen, [at(2), at(4), at(5)])
    np.testing.assert_array_equal(stated.ert, [at(6), np.datetime64("NaT"), at(4000)])
    assert stated.usable.tolist() == [True, True, False]
    for hour, ert in ((1.5, np.datetime64("NaT")), (3, at(6)), (4, np.datetime64("NaT")), (9, np.datetime64("NaT"))):
        np.testing.assert_array_equal(stated.stated_at(np.array([at(hour)])), np.array([ert], dtype="M8[s]"))
    assert jobs.ert_seen_at[0] == at(5)


def test_log__many_gone_at_once_are_doubtful() -> None:
    many = "abcdefghijklmnopqrstuvwxyz"
    jobs, _ = log_of([snapshot(1, many), snapshot(2, "ab"), snapshot(3, "abc")])
    doubtful = jobs.has(Fault.DOUBTFUL_END)
    assert doubtful.tolist() == [False, False, False, *[True] * 23]  # c came back
    few, _ = log_of([snapshot(1, many[:15]), snapshot(2, "ab")])
    assert not few.has(Fault.DOUBTFUL_END).any()


def test_log__what_cannot_be_followed_is_told() -> None:
    nameless = Snapshot(at(1), JobTable.of(job_id=["", "a"], region=["x", "x"], arrival=np.full(2, at(0))))
    with pytest.warns(UserWarning, match="1 rows of snapshots have no id: they cannot be followed"):
        jobs, _ = log_of([nameless, snapshot(2, "a")])
    assert jobs.job_id.tolist() == ["a"]
    with pytest.raises(DataError, match="at least two snapshots; got 1"):
        log_of([snapshot(1, "a")])
    with pytest.raises(DataError, match="in the order of time"):
        log_of([snapshot(2, "a"), snapshot(1, "a")])
    empty, stated = log_of([snapshot(1, ""), snapshot(2, "")])
    assert (len(empty), len(stated)) == (0, 0)


def faults_json(folder: Path, name: str, ids: str) -> None:
    records = [{"reference": i, "loggedAtUtc": "2024-12-07T00:00:00", "location": "x", "type": "LV"} for i in ids]
    (folder / name).write_text(json.dumps({"faults": records}))


def test_folder__times_stand_in_names(tmp_path: Path) -> None:
    for name, ids in (("ssen_20241207T0100.json", "ab"), ("ssen-2024-12-07_02-00-30.json", "b"), ("notes.txt", "")):
        faults_json(tmp_path, name, ids)
    jobs, _ = read_snapshots(tmp_path, lambda file, seen: read_ssen(file, seen=seen), pattern="*.json")
    assert jobs.restored[0] == np.datetime64("2024-12-07T01:30:15")
    local, _ = read_snapshots(tmp_path, lambda file, seen: read_ssen(file), pattern="*.json", tz="Europe/Berlin")
    assert local.restored[0] == np.datetime64("2024-12-07T00:30:15")


def test_folder__names_that_tell_no_time_or_the_same(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two files '\\*'; got 0"):
        read_snapshots(tmp_path / "none", lambda file, seen: read_ssen(file))
    faults_json(tmp_path, "ssen_20241207T0100.json", "a")
    faults_json(tmp_path, "ssen.json", "a")
    with pytest.raises(DataError, match="the name tells no time such as"):
        read_snapshots(tmp_path, lambda file, seen: read_ssen(file))
    (tmp_path / "ssen.json").rename(tmp_path / "ssen_20241341T0100.json")
    with pytest.raises(DataError, match="the name tells no time"):
        read_snapshots(tmp_path, lambda file, seen: read_ssen(file))
    (tmp_path / "ssen_20241341T0100.json").rename(tmp_path / "ssen_2024-12-07_01-00.json")
    with pytest.raises(DataError, match=r"are both of 2024-12-07T01:00:00\. Keep one"):
        read_snapshots(tmp_path, lambda file, seen: read_ssen(file))


def test_read_snapshots__a_name_of_a_year_that_means_unknown_is_named(tmp_path: Path) -> None:
    for name in ("feed_20241207T1000.json", "feed_99991231T1000.json"):
        (tmp_path / name).write_text("[]")
    with pytest.raises(DataError, match=r"feed_99991231T1000\.json: the name tells no time .*of a year 1900 to 2200"):
        read_snapshots(tmp_path, lambda path, seen: read_ssen(path, seen=seen))
    with pytest.raises(ValueError, match="tz must be an IANA zone name"):
        read_snapshots(tmp_path, lambda path, seen: read_ssen(path, seen=seen), tz="Nowhere")
