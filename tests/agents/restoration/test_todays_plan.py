"""A plan for today: expected times and their intervals, its table and file, and `evaluate.py --plan`."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console

import stormgym  # noqa: F401
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import BasePolicy, Entrant
from stormgym.agents.pretrained import known_pretrained
from stormgym.agents.restoration.planners import EquityPlanner
from stormgym.agents.restoration.todays_jobs import forecast_jobs, sub_city, todays_jobs
from stormgym.agents.restoration.todays_plan import CSV_COLUMNS, Plan, make_plan, render_plan, write_plan_csv
from stormgym.agents.terminal import WIDTH
from stormgym.envs.data import City, resolve_city
from stormgym.envs.risk_measure import KINDS

ANY = next(iter(known_pretrained()), "")


class FixedOrder(BasePolicy):
    """Restores the open region that comes first in an order."""

    def __init__(self, order: Any) -> None:
        self.order = np.asarray(order)

    def act(self, observation: Any, state: Any, episode_start: Any, deterministic: bool) -> tuple[Any, Any]:
        is_open = observation["action_mask"][:, self.order] > 0
        return self.order[is_open.argmax(axis=1)], state


def fixed(order: Any) -> Entrant:
    return Entrant(lambda env: FixedOrder(order))


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


def test_plan__of_a_folder_with_open_jobs(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    city = resolve_city("synthetic:9:1")
    city.save(tmp_path / "city")
    rows = [f"{city.region_ids[i]},{1 + i % 3},0" for i in range(city.n_regions) if i != 4]
    (tmp_path / "city" / "jobs.csv").write_text("region,damage_class,night_shift\n" + "\n".join(rows) + "\n")
    out = tmp_path / "plan.csv"
    arguments = ["--plan", "--city", str(tmp_path / "city"), "--agents", "nearest", "--csv", str(out)]
    assert evaluate_main([*arguments, "--start", "2026-09-27 06:00"]) == 0
    shown = capsys.readouterr().out
    assert "Plan of nearest for" in shown
    assert "8 open jobs of" in shown
    with out.open() as file:
        plan = list(csv.DictReader(file))
    assert len(plan) == 8
    assert city.region_ids[4] not in {row["region"] for row in plan}
    hours = [float(row["expected_restoration_h"]) for row in plan]
    assert hours == sorted(hours)


def test_plan__a_trained_agent_says_which_group_has_no_open_job(
    evaluate_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city = resolve_city("synthetic:9:0")
    city.save(tmp_path / "city")
    some = [region for region, group in zip(city.region_ids, city.group, strict=True) if group < 2]
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("region,damage_class,night_shift\n" + "".join(f"{region},1,0\n" for region in some))
    arguments = ["--plan", "--city", str(tmp_path / "city"), "--jobs", str(jobs), "--agents"]
    assert evaluate_main([*arguments, "sta-sac:default"]) == 2
    message = f"when no job is open in group {city.group_names[2]}; plan with equity-planner"
    assert message in capsys.readouterr().err
    assert evaluate_main([*arguments, "equity-planner"]) == 0


def test_plan__of_a_pretrained_agent_is_printed_and_written(
    evaluate_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    csv = tmp_path / "plan.csv"
    words = ["--plan", "--city", "synthetic:9:1", "--predictor", "cqr", "--agents", ANY, "--csv", str(csv)]
    assert evaluate_main(words) == 0
    assert f"Plan of {ANY} for" in capsys.readouterr().out
    assert len(csv.read_text().splitlines()) == 10


@pytest.mark.slow
def test_plan__under_a_limit_on_the_tail_tells_the_tail_and_is_planned_for_it(city: City) -> None:
    entrant = Entrant(partial(EquityPlanner.for_env, iterations=100))
    plans = {kind: make_plan(city, "planner", entrant, cost_limit=2.0, cost_limit_kind=kind) for kind in KINDS}
    order = fixed([city.region_ids.index(stop.region) for stop in plans["mean"].stops])
    same = make_plan(city, "planner", order, cost_limit=2.0, cost_limit_kind="cvar", cost_limit_level=0.8)
    assert same.gap_h > plans["mean"].gap_h  # one order, its mean gap and the mean of the worst fifth
    text = shown(same)
    assert f"CVaR 0.2 of the gap between groups {same.gap_h:.1f} h, limit 2 h" in text
    assert f"mean gap between groups {plans['mean'].gap_h:.1f} h, limit 2 h" in shown(plans["mean"])
    assert f"0.9 quantile of the gap between groups {plans['chance'].gap_h:.1f} h" in shown(plans["chance"])
    with pytest.raises(ValueError, match="cost_limit_kind must be one of mean, cvar, chance; got 'tail'"):
        make_plan(city, "planner", entrant, cost_limit_kind="tail")


def shown(plan: Plan) -> str:
    """The plan as text, without line breaks."""
    console = Console(width=WIDTH, record=True, file=StringIO())
    console.print(render_plan(plan))
    return " ".join(console.export_text().split())


def test_limit__says_why_it_is_what_it_is_and_who_keeps_to_it(city: City) -> None:
    plan = make_plan(city, "nearest", resolve_agents("nearest", "Restoration-v0")["nearest"], predictor="point")
    told = " ".join(shown(replace(plan, gap_h=plan.cost_limit_h + 1)).split())
    assert f"limit {plan.cost_limit_h:g} h (the city's): over the limit. Try --agents equity-planner, which" in told
    fair = shown(replace(plan, agent="equity-planner", gap_h=plan.cost_limit_h + 1))
    assert "Try" not in fair
    assert "over the limit." in fair
    given = make_plan(city, "fixed", fixed(range(9)), predictor="point", cost_limit=3.0)
    assert "limit 3 h (as cost_limit says)" in shown(given)


def test_warnings__of_features_out_of_range(city: City, tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("region,damage_class,night_shift\n0,45,0\n1,1,0\n")
    plan = make_plan(city, "fixed", fixed(range(2)), jobs_file=tmp_path / "jobs.csv", predictor="point")
    assert plan.warnings == (
        "damage_class of job 0 is 45; in the city's log it is 1 to 3. The forecast takes the nearest of these; correct "
        "the value if it is an error.",
    )
    assert "Warning: damage_class of job 0 is 45;" in shown(plan)
