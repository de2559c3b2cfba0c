"""Rows as a storm for crews: who is left out and why, distances, groups; and the environment plays it."""

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the environment)
from stormgym.envs.data.feeds import Fault, JobTable, recorded_storm
from stormgym.envs.data.tables import DataError


def at(*hours: float) -> np.ndarray:
    start = np.datetime64("2024-01-01T00:00:00")
    return np.array([start + np.timedelta64(round(3600 * h), "s") if np.isfinite(h) else "NaT" for h in hours], "M8[s]")


NAN = float("nan")


@pytest.fixture
def jobs() -> JobTable:
    """Nine rows, of which the first, third and last can be played."""
    return JobTable.of(
        job_id=list("abcdefghi"),
        region=["poor", "poor", "rich", "poor", "poor", "poor", "poor", "rich", "rich"],
        latitude=np.array([38.0, 38.0, 38.1, NAN, 38.0, 38.0, 38.0, 38.0, 38.0]),
        longitude=np.array([-122.0, -122.0, -122.0, NAN, -122.0, -122.0, -122.0, -122.0, -121.9]),
        arrival=at(3, 1, 2, 1, NAN, 1, 1, 1, 8),
        restored=at(7, 5, 6, 5, 5, 5, 0.5, 5, 9),
        on_site_at=at(5, 3, 4, 3, 3, NAN, NAN, 3, 8.5),
        customers=np.array([10, 1, 20, 1, 1, 1, 1, NAN, 5]),
        planned=np.array([0, 1, 0, 0, 0, 0, 0, 0, -1]),
    )


def test_storm__what_is_played_and_what_is_left_out(jobs: JobTable) -> None:
    storm = recorded_storm(jobs, {"poor": 0, "rich": 2})
    assert storm.job_id == ("c", "a", "i")
    assert storm.left_out == {
        "planned": 1,
        "faults": 1,
        "no arrival": 1,
        "before the start": 0,
        "no place": 1,
        "no hours of work": 1,
        "customers unknown": 1,
    }
    assert storm.start == at(2)[0]
    np.testing.assert_allclose(storm.arrival_h, [0, 1, 6])
    np.testing.assert_allclose(storm.duration_h, [2, 2, 0.5])
    np.testing.assert_allclose(storm.outage_h, [4, 4, 1])
    np.testing.assert_allclose(storm.begun_h, [2, 3, 6.5])
    assert storm.group.tolist() == [1, 0, 1]  # the middle group has no job: closed up
    assert storm.group_names == ("low", "high")
    north = storm.xy_km[0] - storm.xy_km[1]
    np.testing.assert_allclose(north, [0.0, 11.12], atol=0.01)  # a tenth of a degree


def test_storm__hours_start_customers_and_faults_are_arguments(jobs: JobTable) -> None:
    outage = recorded_storm(jobs, {"poor": 0, "rich": 1}, hours="outage", start="2024-01-01T01:00", customers=1.0)
    assert outage.job_id == ("f", "h", "c", "a", "i")
    np.testing.assert_allclose(outage.arrival_h, [0, 0, 1, 2, 7])
    np.testing.assert_allclose(outage.duration_h, outage.outage_h)
    late = recorded_storm(jobs, {"poor": 0, "rich": 1}, start="2024-01-01T02:30")
    assert (late.job_id, late.left_out["before the start"]) == (("a", "i"), 4)
    placed = recorded_storm(jobs, {"poor": 0, "rich": 1}, places={"poor": (38.0, -122.0)})
    assert placed.job_id == ("d", "c", "a", "i")
    none = recorded_storm(jobs, {"poor": 0, "rich": 1}, leave_out=Fault(0))
    assert none.left_out["faults"] == 0


def test_storm__wrong_arguments(jobs: JobTable) -> None:
    with pytest.raises(DataError, match="region 'rich' has no group"):
        recorded_storm(jobs, {"poor": 0})
    with pytest.raises(ValueError, match="hours must be 'work' or 'outage'; got 'days'"):
        recorded_storm(jobs, {"poor": 0}, hours="days")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no row of 9 can be played"):
        recorded_storm(jobs, {"poor": 0}, start="2025-01-01")
    with pytest.raises(DataError, match="group_names must name every group; got 1 names and group 1"):
        recorded_storm(jobs, {"poor": 0, "rich": 1}, group_names=("all",))
    with pytest.raises(DataError, match=r"from 0 .* up; got -1"):
        recorded_storm(jobs, {"poor": -1, "rich": 1})


def test_storm__the_environment_plays_it(jobs: JobTable) -> None:
    """One crew at 1,000 km/h serves the jobs as they come, and outages are what hands can count."""
    storm = recorded_storm(jobs, {"poor": 0, "rich": 1})
    city = storm.city([1.0, 2.0, 4.0, 6.0], speed_kmh=1e6)
    assert city.customers is not None
    assert city.customers.tolist() == [20, 10, 5]
    one = [{"depot": 0, "speed_kmh": 1e6, "skills": [0], "start_h": 0.0, "on_h": 24.0, "off_h": 0.0, "assessor": False}]
    env = gym.make(
        "stormgym:CrewDispatch-v0",
        city=city,
        crews=one,
        n_depots=1,
        n_skills=1,
        feeder="none",
        predictor="none",
        known_share=0.5,
        arrival_end_h=float(storm.arrival_h.max()),
    )
    given = storm.jobs(point_h=np.ones(3), lower_h=np.zeros(3), upper_h=np.full(3, 9.0))
    observation, _ = env.reset(seed=0, options={"jobs": given})
    assert observation["known"].tolist() == [1.0, 0.0, 0.0]
    ended = False
    for action in (0, 1, 2):
        _, _, ended, _, info = env.step(action)
    assert ended
    assert info["metrics"]["mean_outage_h"] == pytest.approx((2 + 3 + 0.5) / 3, abs=1e-3)
    with pytest.raises(DataError, match="past_h must hold hours of work of earlier storms; got none"):
        storm.city([])
