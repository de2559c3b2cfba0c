"""What is known at a time: by hand, and nothing of what comes later."""

import numpy as np

from stormgym.envs.data.feeds import FEATURES, JobTable, known_at


def at(*hours: float) -> np.ndarray:
    start = np.datetime64("2021-01-26T08:00:00")  # midnight in California
    return np.array([start + np.timedelta64(round(3600 * h), "s") if np.isfinite(h) else "NaT" for h in hours], "M8[s]")


NAN = float("nan")


def table(**changes: object) -> JobTable:
    columns = {
        "job_id": list("abcd"),
        "region": ["x", "x", "y", "y"],
        "arrival": at(0, 1, 1, 30),
        "first_seen_at": at(0.5, 1, 2, 30),
        "restored": at(9, 5, 8, 31),
        "sent_at": at(2, 4, NAN, NAN),
        "on_site_at": at(7, 4.5, NAN, NAN),
        "customers": np.array([1.0, 2.0, NAN, 4.0]),
        "cause": ["tree", "car", "new", "tree"],
    }
    return JobTable.of(**{**columns, **changes})  # type: ignore[arg-type]


def test_known__by_hand() -> None:
    found = known_at(table(), at(6, 6, 6, NAN), tz="America/Los_Angeles", causes=("tree", "car"))
    told = dict(zip(FEATURES, found.T, strict=True))
    assert found.shape == (4, len(FEATURES))
    np.testing.assert_allclose(told["age_h"][:3], [6, 5, 5])
    np.testing.assert_allclose(told["hour_sin"][:3], 1.0)  # six in the morning
    np.testing.assert_allclose(told["cause"], [0, 1, -1, 0])
    np.testing.assert_allclose(told["sent_h"][:3], [4, 2, -1])
    np.testing.assert_allclose(told["on_site_h"][:3], [-1, 1.5, -1])  # the first crew comes later
    np.testing.assert_allclose(np.expm1(told["log_open_all"][:3]), 2)
    np.testing.assert_allclose(np.expm1(told["log_arrived_all"][:3]), 3)
    np.testing.assert_allclose(np.expm1(told["log_restored_all"][:3]), 1)
    np.testing.assert_allclose(np.expm1(told["log_open_region"][:3]), [1, 1, 1])
    np.testing.assert_allclose(np.expm1(told["log_restored_region"][:3]), [1, 1, 0])


def test_known__what_comes_later_changes_nothing() -> None:
    now = at(6, 6, 6, 6)
    later = {
        "restored": at(90, 5, 7, 99),
        "on_site_at": at(6.5, 4.5, 6.1, 40),
        "arrival": at(0, 1, 1, 6.5),
        "first_seen_at": at(0.5, 1, 2, 6.6),
    }
    here = known_at(table(), now, tz="UTC")
    there = known_at(table(**later), now, tz="UTC")
    np.testing.assert_array_equal(here[:3], there[:3])
