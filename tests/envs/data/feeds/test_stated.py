"""Stated times: which one was in force, and scores by hand; and the set of PG&E's storms by the rules of its README."""

from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data.feeds import (
    FEATURES,
    UNUSABLE_END,
    Fault,
    JobTable,
    StatedTimes,
    error_scores,
    fixed_times,
    open_at,
    peak_open,
    read_pge,
    read_pge_stated,
    score_fixed_times,
    time_scores,
)
from stormgym.envs.data.feeds.columns import hours_between
from stormgym.envs.data.feeds.files import read_cells
from stormgym.envs.data.tables import DataError


def at(*hours: float) -> np.ndarray:
    start = np.datetime64("2024-01-01T00:00:00")
    return np.array([start + np.timedelta64(round(3600 * h), "s") if np.isfinite(h) else "NaT" for h in hours], "M8[s]")


NAN = float("nan")


def test_in_force__brute_force_agrees() -> None:
    rng = np.random.default_rng(3)
    row = np.sort(rng.integers(0, 20, 100))
    seen = np.empty(100)
    for r in range(20):
        seen[row == r] = np.sort(rng.choice(200, (row == r).sum(), replace=False))
    ert = np.where(rng.random(100) < 0.2, NAN, rng.uniform(0, 300, 100))
    usable = rng.random(100) < 0.9
    stated = StatedTimes(row, at(*seen), at(*ert), np.full(100, -1), usable)
    when = at(*rng.uniform(-5, 205, 20))
    found = stated.in_force(when)
    for r in range(20):
        before = [m for m in range(100) if row[m] == r and stated.seen[m] <= when[r]]
        good = bool(before) and usable[before[-1]] and np.isfinite(ert[before[-1]])
        assert found[r] == (before[-1] if good else -1)
    assert (stated.in_force(np.full(20, np.datetime64("NaT"))) == -1).all()


def test_stated__nothing_is_in_force_where_nothing_was_stated() -> None:
    none = StatedTimes(np.array([], dtype=int), at(), at(), np.array([], dtype=np.int8), np.array([], dtype=bool))
    assert np.isnat(none.stated_at(at(1, 2))).all()
    with pytest.raises(DataError, match="sorted by row and then by time seen"):
        StatedTimes(np.array([0, 0]), at(1, 1), at(2, 2), np.array([0, 0]), np.array([True, True]))
    with pytest.raises(DataError, match="seen must be known"):
        StatedTimes(np.array([0]), at(NAN), at(2), np.array([0]), np.array([True]))
    with pytest.raises(DataError, match=r"StatedTimes\.ert must have one entry a statement, 1"):
        StatedTimes(np.array([0]), at(1), at(2, 3), np.array([0]), np.array([True]))


def test_scores__by_hand() -> None:
    found = time_scores(at(5, 5, 5, 5, NAN), at(4, 5, 8, 15, 5))
    assert found == {
        "n": 4.0,
        "bias_h": pytest.approx((1 + 0 - 3 - 10) / 4),
        "median_h": -1.5,
        "mae_h": pytest.approx(14 / 4),
        "medae_h": 2.0,
        "before": 0.75,
        "within_1h": 0.5,
    }
    assert np.isnan(error_scores(np.array([]))["mae_h"])


def test_open__is_known_and_still_out() -> None:
    jobs = JobTable.of(
        job_id=list("abcd"),
        region=["x"] * 4,
        arrival=at(0, 0, 0, NAN),
        restored=at(3, 1, 3, 3),
        first_seen_at=at(0.2, 0.2, 2.5, 0),
    )
    when, still = open_at(jobs, 2.0)
    np.testing.assert_array_equal(when, at(2, 2, 2, NAN))
    assert still.tolist() == [True, False, False, False]


def test_fixed_times__by_hand() -> None:
    jobs = JobTable.of(
        job_id=list("abcd"),
        region=["x"] * 4,
        arrival=at(0, 0, 0, 0),
        restored=at(3, 5, 9, 9),
        flags=np.array([0, 0, 0, int(Fault.MERGED)]),
    )
    stated = StatedTimes(np.array([1, 1]), at(1, 3), at(4, 6), np.array([0, 0]), np.array([True, True]))
    times = fixed_times(jobs, stated, [2.0, 4.0], tz="UTC")
    assert times.row.tolist() == [0, 1, 2, 1, 2]  # the first was back after three hours, the last was merged
    np.testing.assert_array_equal(times.left_h, [1, 3, 7, 1, 5])
    np.testing.assert_array_equal(times.stated_h, [NAN, 2, NAN, 2, NAN])
    assert times.known.shape == (5, len(FEATURES))
    assert fixed_times(jobs, stated, [2.0], tz="UTC", rows=[True, False, False, True]).row.tolist() == [0]
    with pytest.raises(ValueError, match=r"hours must be at least one number above 0; got \[\]"):
        fixed_times(jobs, stated, [], tz="UTC")
    median, interval = np.array([2.0, 2, 2, 2, 2]), np.tile([1.5, 6.0], (5, 1))
    two, four = score_fixed_times(times, median, interval, np.array([0, 1, 1, 1, 1]), 3)
    assert (two["open"], two["stated"], four["open"], four["stated"]) == (3, 1, 2, 1)
    assert two["theirs"]["bias_h"] == 1.0
    assert two["ours"]["mae_h"] == 1.0
    assert two["all"]["mae_h"] == pytest.approx((1 + 1 + 5) / 3)
    assert two["all"]["constant_mae_h"] == 2.0
    assert two["held"] == pytest.approx(1 / 3)
    assert two["held_by_group"][:2] == [0.0, 0.5]
    assert np.isnan(two["held_by_group"][2])
    assert four["width_h"] == 4.5


def test_peak__ends_come_before_starts_at_one_time() -> None:
    jobs = JobTable.of(job_id=list("abcd"), region=["x"] * 4, arrival=at(0, 1, 2, NAN), restored=at(2, 3, 4, 9))
    assert peak_open(jobs) == 2
    assert peak_open(jobs.take([])) == 0


WINDOWS = {  # of the set's README: start, days, unplanned rows, MAE of PG&E's times 12 h after the start, of a constant
    "bomb_cyclone_2019_11": ("2019-11-26T08", 6, 8699, 7.0, 7.8, 0.64),
    "wind_rain_2021_01": ("2021-01-26T08", 8, 14082, 10.6, 10.5, 0.58),
    "rain_2021_12": ("2021-12-12T08", 7, 7991, 5.2, 6.6, 0.49),
    "snow_2021_12": ("2021-12-26T08", 14, 11864, 36.8, 23.3, 0.62),
}


@pytest.fixture(scope="module")
def real(shared_data: Path) -> tuple[JobTable, StatedTimes, np.ndarray]:
    """The whole set, its statements, and the windows of its rows."""
    folder = shared_data / "pge_outages"
    if not folder.is_dir():
        pytest.skip(f"no outages of PG&E in {folder}")
    jobs = read_pge(folder / "outages.csv.gz")
    window = np.array(read_cells(folder / "outages.csv.gz", {"window": ("window",)}).columns["window"], dtype=object)
    return jobs, read_pge_stated(folder / "etr_history.csv.gz", jobs), window


@pytest.mark.slow
def test_pge_set__counts_and_faults_are_those_of_its_readme(real: tuple[JobTable, StatedTimes, np.ndarray]) -> None:
    jobs, stated, window = real
    assert (len(jobs), len(stated)) == (50_546, 34_231)
    for name, (_, _, unplanned, *_) in WINDOWS.items():
        assert ((window == name) & (jobs.planned == 0)).sum() == unplanned
    assert jobs.has(Fault.RESTORED_FIRST).sum() == 1
    assert jobs.has(Fault.ERT_FAR).sum() == 1
    assert not jobs.has(Fault.UNREAD_TIME | Fault.UNREAD_NUMBER | Fault.NO_PLACE | Fault.UNKNOWN_WORD).any()
    storms = np.isin(window, list(WINDOWS)) & (jobs.planned == 0)
    assert 0.09 < jobs.has(Fault.MERGED)[storms].mean() < 0.12


def test_pge_set__hours_of_work_are_those_of_its_readme(real: tuple[JobTable, StatedTimes, np.ndarray]) -> None:
    jobs, _, window = real
    good = (jobs.planned == 0) & ~jobs.has(UNUSABLE_END)
    for name, median in zip(WINDOWS, (2.4, 2.9, 2.9, 4.9), strict=True):
        repair = hours_between(jobs.repair_start, jobs.restored)[good & (window == name)]
        assert np.nanmedian(repair) == pytest.approx(median, rel=0.06)
    for name, median in zip(WINDOWS, (0.42, 0.42, 0.48, 0.55), strict=True):
        looked = np.isnat(jobs.assessed_at) & np.isnat(jobs.repair_start)
        assert np.nanmedian(jobs.work_h[good & looked & (window == name)]) == pytest.approx(
            median, abs=0.1
        )  # times are to the minute here


def test_pge_set__their_own_times_at_12_h_score_as_in_its_readme(
    real: tuple[JobTable, StatedTimes, np.ndarray],
) -> None:
    jobs, stated, window = real
    when, still = open_at(jobs, 12.0)
    told = stated.stated_at(when)
    for name, (start, days, _, mae, constant, before) in WINDOWS.items():
        first = np.datetime64(start, "s")
        own = (window == name) & (jobs.arrival >= first) & (jobs.arrival < first + np.timedelta64(days, "D"))
        rows = own & still & (jobs.planned == 0) & ~jobs.has(UNUSABLE_END) & ~np.isnat(told)
        found = time_scores(jobs.restored[rows], told[rows])
        assert found["mae_h"] == pytest.approx(mae, rel=0.06)
        assert found["before"] == pytest.approx(before, abs=0.04)
        hours = jobs.duration_h[rows]
        assert np.abs(hours - np.median(hours)).mean() == pytest.approx(constant, rel=0.08)
