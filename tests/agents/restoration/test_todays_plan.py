"""A plan for today: jobs, forecasts, expected times and their intervals, on a small synthetic city."""

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console

from stormgym.agents.policy import BasePolicy, Entrant
from stormgym.agents.restoration.todays_jobs import forecast_jobs, sub_city, todays_jobs
from stormgym.agents.restoration.todays_plan import CSV_COLUMNS, make_plan, render_plan, write_plan_csv
from stormgym.agents.terminal import WIDTH
from stormgym.envs.data import City, resolve_city


class FixedOrder(BasePolicy):
    """Restores the open region that comes first in an order."""

    def __init__(self, order: Any) -> None:
        self.order = np.asarray(order)

    def act(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:
        is_open = observation["action_mask"][:, self.order] > 0
        return self.order[is_open.argmax(axis=1)], state


def fixed(order: Any) -> Entrant:
    return Entrant(lambda env: FixedOrder(order))


@pytest.fixture(scope="module")
def city() -> City:
    return resolve_city("synthetic:9:1")


def write_jobs(file: Path, rows: list[dict[str, Any]]) -> Path:
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
def jobs_file(city: City, tmp_path: Path) -> Callable[..., Path]:
    def write(regions: list[str], drop: str | None = None, **extra: Any) -> Path:
        varying = {"damage_class": 2, "night_shift": 1, **extra}
        varying.pop(drop or "", None)
        return write_jobs(tmp_path / "open.csv", [{"region": r, **varying} for r in regions])

    return write


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


def test_jobs__folder_of_the_city_is_searched(city: City, tmp_path: Path) -> None:
    city.save(tmp_path)
    assert "stands in" in todays_jobs(city, folder=tmp_path).source
    write_jobs(tmp_path / "jobs.csv", [{"region": city.region_ids[3], "damage_class": 1, "night_shift": 0}])
    assert todays_jobs(city, folder=tmp_path).region.tolist() == [3]


def test_jobs__errors_name_column_and_region(city: City, jobs_file: Callable[..., Path], tmp_path: Path) -> None:
    first = city.region_ids[0]
    with pytest.raises(ValueError, match="column 'damage_class' is missing; it differs between the jobs of a region"):
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


def test_plan__times_add_up_from_travel_and_forecast(city: City) -> None:
    order = [3, 1, 4, 0, 5, 8, 2, 6, 7]
    plan = make_plan(city, "fixed", fixed(order), predictor="point")
    assert [s.region for s in plan.stops] == [city.region_ids[i] for i in order]
    place, now = city.n_regions, 0.0
    for stop, i in zip(plan.stops, order, strict=True):
        assert_allclose(stop.travel_h, city.travel_h[place, i], atol=1e-9)
        now += stop.travel_h + stop.repair_h
        assert_allclose(stop.expected_h, now)
        assert_allclose((stop.lower_h, stop.upper_h), now)  # a point forecast leaves nothing to simulate
        place = i
    assert_allclose(plan.mean_outage_h, np.mean([s.expected_h for s in plan.stops]))


def test_plan__interval_comes_from_the_sum_of_independent_repairs(city: City) -> None:
    plan = make_plan(city, "fixed", fixed(range(city.n_regions)), predictor="cqr", confidence_level=0.8)
    width = np.array([s.upper_h - s.lower_h for s in plan.stops])
    assert (np.diff(width) > 0).all()  # uncertainty grows along the route
    forecast = forecast_jobs(city, todays_jobs(city), predictor="cqr", confidence_level=0.8)
    # last stop: sum of 9 independent repairs, near normal, so its 80 % width is close to 2 * 1.2816 sd
    sd = np.sqrt(forecast.quantile_h.var(axis=1).sum())
    assert_allclose(width[-1], 2 * 1.2816 * sd, rtol=0.12)
    for stop in plan.stops:
        assert stop.lower_h < stop.expected_h < stop.upper_h


def test_plan__same_seed_same_plan(city: City) -> None:
    plans = [make_plan(city, "fixed", fixed(range(city.n_regions)), predictor="cqr", seed=3) for _ in range(2)]
    assert plans[0] == plans[1]


def test_plan__only_open_regions_are_visited_and_empty_groups_drop_out(
    city: City, jobs_file: Callable[..., Path]
) -> None:
    low = [i for i in range(city.n_regions) if city.group[i] == 0]
    high = [i for i in range(city.n_regions) if city.group[i] == 2]
    chosen = [low[0], high[0], high[1]]
    plan = make_plan(
        city,
        "fixed",
        fixed([0, 1, 2]),
        jobs_file=jobs_file([city.region_ids[i] for i in chosen]),
        predictor="cqr",
    )
    assert {s.region for s in plan.stops} == {city.region_ids[i] for i in chosen}
    assert {s.group for s in plan.stops} == {"low", "high"}
    part = sub_city(city, np.array(sorted(chosen)))
    assert part.group_names == ("low", "high")
    assert_allclose(part.distance_km[:-1, :-1], city.distance_km[np.ix_(sorted(chosen), sorted(chosen))])
    assert sub_city(city, np.arange(city.n_regions)) is city


def test_plan__one_open_region(city: City, jobs_file: Callable[..., Path]) -> None:
    plan = make_plan(city, "fixed", fixed([0]), jobs_file=jobs_file([city.region_ids[4]]), predictor="cqr")
    assert len(plan.stops) == 1
    assert plan.gap_h == 0.0


def test_plan__open_regions_with_few_records(city: City, jobs_file: Callable[..., Path]) -> None:
    rare = np.flatnonzero(city.log.region == 4)[1:]
    city = replace(city, log=city.log.take(np.setdiff1d(np.arange(len(city.log)), rare)))
    plan = make_plan(city, "fixed", fixed([0]), jobs_file=jobs_file([city.region_ids[4]]), predictor="cqr")
    assert [stop.region for stop in plan.stops] == [city.region_ids[4]]


def test_plan__refuses_agents_that_know_the_future_or_do_not_finish(city: City) -> None:
    with pytest.raises(ValueError, match="agent 'clairvoyant' looks at true repair durations, which nobody has"):
        make_plan(city, "clairvoyant", replace(fixed([0]), privileged=True), predictor="none")

    class Oracle(FixedOrder):
        privileged = True

    with pytest.raises(ValueError, match="agent 'mine' looks at true repair durations"):
        make_plan(city, "mine", Entrant(lambda env: Oracle([0])), predictor="none")

    with pytest.raises(ValueError, match="agent 'lazy' left 8 of 9 regions unrestored"):
        make_plan(city, "lazy", fixed([0]), predictor="none")


def test_render__fits_and_says_what_the_numbers_are(city: City) -> None:
    plan = make_plan(city, "fixed", fixed(range(city.n_regions)), predictor="cqr")
    for shown in (plan, replace(plan, start=datetime(2026, 9, 27, 6, 0))):
        console = Console(width=WIDTH, record=True, file=open("/dev/null", "w"), highlight=False)  # noqa: SIM115
        console.print(render_plan(shown))
        text = console.export_text()
        assert max(len(line.rstrip()) for line in text.splitlines()) <= WIDTH
        assert "Plan of fixed for" in text
        assert "Interval: simulated" in text
        assert "stands in for today's" in text
    assert "crew leaves Sun 27 Sep 06:00" in text


def test_csv__holds_every_stop_in_order(city: City, tmp_path: Path) -> None:
    plan = make_plan(city, "fixed", fixed(range(city.n_regions)), predictor="cqr")
    rows = list(csv.DictReader(write_plan_csv(plan, tmp_path / "out" / "plan.csv").open()))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [r["region"] for r in rows] == [s.region for s in plan.stops]
    assert_allclose([float(r["expected_restoration_h"]) for r in rows], [s.expected_h for s in plan.stops], atol=1e-4)
    timed = replace(plan, start=datetime(2026, 9, 27, 6, 0))
    rows = list(csv.DictReader(write_plan_csv(timed, tmp_path / "plan.csv").open()))
    begun = datetime.fromisoformat(rows[0]["expected_restoration"]) - datetime(2026, 9, 27, 6, 0)
    assert_allclose(begun.total_seconds() / 3600, plan.stops[0].expected_h, atol=1 / 60)
