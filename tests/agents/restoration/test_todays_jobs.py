"""Jobs of a plan for today, and their forecasts, on a small synthetic city."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import stormgym  # noqa: F401
from stormgym.agents.restoration.todays_jobs import forecast_jobs, todays_jobs
from stormgym.envs.data import City


def test_jobs__without_a_file_are_the_most_recent_records(city: City) -> None:
    jobs = todays_jobs(city)
    log = city.log
    for i in range(city.n_regions):
        mine = np.flatnonzero(log.region == i)
        last = mine[-1] if log.time is None else mine[np.argmax(log.time[mine])]
        assert_allclose(jobs.features[i], log.features[last])
    assert "most recent record of every region stands in" in jobs.source


def test_jobs__file_names_open_regions_and_region_features_may_be_left_out(
    city: City, jobs_file: Callable[..., Path]
) -> None:
    ids = [city.region_ids[i] for i in (5, 2)]
    jobs = todays_jobs(city, jobs_file(ids, crew_note="x"))
    assert jobs.region.tolist() == [2, 5]  # the city's order
    log = city.log
    for row, region in enumerate(jobs.region):
        one = log.features[log.region == region][0]
        for f, name in enumerate(log.feature_names):
            expected = {"damage_class": 2.0, "night_shift": 1.0}.get(name, one[f])
            assert jobs.features[row, f] == expected
    assert jobs.source.startswith("2 open jobs of ")
    assert "crew_note" in jobs.source


def test_jobs__folder_of_the_city_is_searched(
    city: City, tmp_path: Path, write_jobs: Callable[[Path, list[dict[str, Any]]], Path]
) -> None:
    city.save(tmp_path)
    assert "stands in" in todays_jobs(city, folder=tmp_path).source
    write_jobs(tmp_path / "jobs.csv", [{"region": city.region_ids[3], "damage_class": 1, "night_shift": 0}])
    assert todays_jobs(city, folder=tmp_path).region.tolist() == [3]


def test_jobs__errors_name_column_and_region(city: City, jobs_file: Callable[..., Path], tmp_path: Path) -> None:
    first = city.region_ids[0]
    with pytest.raises(
        ValueError,
        match=r"column 'damage_class' is missing; .*Add the column \(in the city's log it is 1 to 3\); the log's",
    ):
        todays_jobs(city, jobs_file([first], drop="damage_class"))
    with pytest.raises(ValueError, match="line 2, column 'region': the region is not one of the city; got 'nowhere'"):
        todays_jobs(city, jobs_file(["nowhere"]))
    with pytest.raises(ValueError, match="each region needs an id of its own"):
        todays_jobs(city, jobs_file([first, first]))
    with pytest.raises(ValueError, match="no such file"):
        todays_jobs(city, tmp_path / "absent.csv")


@pytest.mark.parametrize("predictor", ["ecqr", "cqr", "cp", "point", "none"])
def test_forecast__interval_holds_order_and_quantiles_average_to_the_mean(city: City, predictor: str) -> None:
    forecast = forecast_jobs(city, todays_jobs(city), predictor=predictor)
    assert (forecast.lower_h <= forecast.upper_h).all()
    assert (forecast.lower_h >= 0).all()
    assert (forecast.point_h > 0).all()
    assert_allclose(forecast.quantile_h.mean(axis=1), forecast.point_h)
    if predictor in ("point", "none"):
        assert_allclose(forecast.lower_h, forecast.upper_h)


def test_forecast__unknown_predictor_lists_the_known(city: City) -> None:
    with pytest.raises(ValueError, match="predictor must be one of ecqr, cqr, cp, point, none; got 'oracle'"):
        forecast_jobs(city, todays_jobs(city), predictor="oracle")


@pytest.mark.parametrize("predictor", ["none", "point", "cp"])
@pytest.mark.parametrize("level", [-1, 0, 1, 95, float("nan"), float("inf")])
def test_forecast__a_bad_level_is_refused_whatever_the_predictor(city: City, predictor: str, level: float) -> None:
    with pytest.raises(ValueError, match=r"confidence_level must be in \(0, 1\); got"):
        forecast_jobs(city, todays_jobs(city), predictor=predictor, confidence_level=level)
    for bad in ("0.9", True, None):
        with pytest.raises(TypeError, match=r"confidence_level must be a number in \(0, 1\); got"):
            forecast_jobs(city, todays_jobs(city), predictor=predictor, confidence_level=bad)
