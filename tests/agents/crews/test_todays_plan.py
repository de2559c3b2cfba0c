"""A plan for today with crews: times that add up, crews at work, changes of --what-if, files, and every error."""

import csv
import json
import re
from dataclasses import replace
from itertools import pairwise

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from stormgym.agents.crews.todays_plan import AS_IT_IS, OPTIONS, SHARES, make_plans
from stormgym.agents.crews.todays_report import plans_record, render_plans, write_plans_csv
from stormgym.agents.crews.what_if import read_change
from stormgym.agents.evaluation.cli import main
from stormgym.agents.lineup import resolve_agents
from stormgym.envs.crews.core import CrewCore
from stormgym.envs.crews.example import write_example
from stormgym.envs.data import City, DataError
from stormgym.envs.data.crews_file import CrewRecord
from stormgym.envs.data.schemas import read_schema
from stormgym.envs.doors import core_signature

ID = "CrewDispatch-v0"
POINT = {"predictor": "point"}
CREW = CrewRecord("a", (0.0, 0.0), 30.0, (0, 1), 0.0, 24.0, 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example of twelve regions and ten jobs."""
    path = tmp_path_factory.mktemp("cities") / "own"
    write_example(path, n_regions=12, n_jobs=10)
    return path


@pytest.fixture(scope="module")
def city(folder):
    return City.load(folder)


def planned(city, text=None, tmp_path=None, agent="nearest", **kwargs):
    """Plans of an agent for a city, or for the jobs of a text."""
    if text is not None:
        (tmp_path / "jobs.csv").write_text(text)
        kwargs["jobs_file"] = tmp_path / "jobs.csv"
    kwargs.setdefault("arguments", POINT)
    return make_plans(city, agent, resolve_agents(agent, ID)[agent], **kwargs)


def stops_of(plan):
    return {stop.job: stop for crew in plan.crews for stop in crew.stops if stop.work == "repair"}


def test_plan__of_one_crew_adds_up_from_ways_and_forecasts(city, tmp_path):
    text = "job,region,parent,damage_class,night_shift\nA,0,,1,0\nB,3,A,2,1\nC,7,,1,0\n"
    (plan,) = planned(replace(city, crews=(CREW,)), text, tmp_path)
    stops = plan.crews[0].stops
    assert sorted(stop.job for stop in stops) == ["A", "B", "C"]
    place, clock, done = np.zeros(2), 0.0, {}
    for stop in stops:
        site = city.xy_km[city.region_ids.index(stop.region)]
        travel = city.detour * np.hypot(*(site - place)) / 30.0
        assert stop.travel_h == pytest.approx(travel)
        assert stop.start_h == pytest.approx(clock + travel)
        hours = (stops[stop.order].start_h - stops[stop.order].travel_h if stop.order < 3 else None) or None
        done[stop.job] = hours if hours is not None else stop.back.ert_h
        place, clock = site, done[stop.job]
    for stop in stops:  # power of B waits for A
        expected = max(done["A"], done["B"]) if stop.job == "B" else done[stop.job]
        back = stop.back
        assert (back.ert_h, back.lower_h, back.upper_h) == pytest.approx((expected,) * 3)
    assert plan.mean_outage_h == pytest.approx(np.mean([stop.back.ert_h for stop in stops]))


def test_plan__crews_at_work_go_on_given_their_hours_and_free_ones_start_where_they_are(city, tmp_path):
    text = (
        "job,region,arrival_h,crew,begun_h,damage_class,night_shift\n"
        "long,0,-9,a,-8,1,0\nfresh,1,-3,b,-0.1,1,0\nsoon,2,-1,c,0.5,1,0\nopen,3,-0.5,,,1,0\n"
    )
    crews = tuple(replace(CREW, name=name, at=(5.0, 5.0) if name == "d" else None) for name in "abcd")
    (plan,) = planned(replace(city, crews=crews), text, tmp_path, arguments={"predictor": "ecqr"})
    stops = stops_of(plan)
    assert [crew.stops[0].job for crew in plan.crews] == ["long", "fresh", "soon", "open"]
    for job, start in (("long", -8.0), ("fresh", -0.1), ("soon", 0.5)):
        assert stops[job].travel_h is None
        assert stops[job].start_h == pytest.approx(start)
    assert 0.1 < stops["long"].back.ert_h < 1.5  # longer than any forecast: at least 2 % of the hours on site are left
    assert 0.0 < stops["fresh"].back.lower_h < stops["fresh"].back.upper_h
    assert stops["soon"].back.lower_h > 0.5
    site = city.xy_km[city.region_ids.index("3")]
    assert stops["open"].travel_h == pytest.approx(city.detour * np.hypot(*(site - 5.0)) / 30.0)
    reported = np.array([-9.0, -3.0, -1.0, -0.5])
    back = np.array([stops[job].back.ert_h for job in ("long", "fresh", "soon", "open")])
    assert plan.mean_outage_h == pytest.approx((back - reported).mean(), abs=0.5)  # means against medians


def test_plan__duty_that_has_begun_ends_when_it_says_and_rest_delays(city, tmp_path):
    text = "job,region,damage_class,night_shift\nA,0,1,0\n"
    resting = replace(CREW, start_h=-6.0, on_h=4.0, off_h=5.0)
    (plan,) = planned(replace(city, crews=(resting,)), text, tmp_path)
    assert plan.crews[0].stops[0].start_h == pytest.approx(3.0 + plan.crews[0].stops[0].travel_h)
    working = replace(CREW, start_h=-3.0, on_h=4.0, off_h=5.0)
    (plan,) = planned(replace(city, crews=(working,)), text, tmp_path)
    assert plan.crews[0].stops[0].start_h == pytest.approx(plan.crews[0].stops[0].travel_h)
    assert plan.overtime_h == pytest.approx(max(0.0, plan.crews[0].stops[0].back.ert_h - 1.0))


def test_plan__what_is_mended_waits_for_what_is_upstream(city, tmp_path):
    text = "job,region,parent,repaired,damage_class,night_shift\nA,0,,,1,0\nB,1,A,1,1,0\n"
    (plan,) = planned(replace(city, crews=(CREW,)), text, tmp_path)
    assert list(stops_of(plan)) == ["A"]
    back = {region.region: region.back.ert_h for region in plan.regions}
    assert back["1"] == back["0"] == stops_of(plan)["A"].back.ert_h


def test_plan__of_work_in_hand_alone_has_nothing_left_to_do(city, tmp_path):
    text = "region,crew,begun_h,damage_class,night_shift\n0,a,-0.5,1,0\n"
    (plan,) = planned(replace(city, crews=(CREW, replace(CREW, name="b"))), text, tmp_path)
    assert [len(crew.stops) for crew in plan.crews] == [1, 0]
    console = Console(record=True, width=120)
    console.print(render_plans([plan]))
    assert "nothing left to do" in console.export_text()


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["rolling-planner", "static-plan", "list-rho", "request-volume", "random"])
def test_plan__of_every_kind_of_agent_does_every_job_once(folder, city, agent):
    (plan,) = planned(city, agent=agent, city_folder=folder)
    done = [stop.job for crew in plan.crews for stop in crew.stops]
    assert sorted(done) == sorted(f"J{i}" for i in range(1, 11))
    assert {"south 2", "north 2"} <= {crew.crew for crew in plan.crews if crew.stops[0].travel_h is None}
    again = planned(city, agent=agent, city_folder=folder)
    assert agent == "random" or again == (plan,)


def test_plan__assessors_look_and_are_told_apart(city, tmp_path):
    text = "job,region,assessed,damage_class,night_shift\nA,0,0,1,0\nB,3,0,1,0\nC,7,1,1,0\n"
    looker = replace(CREW, name="eyes", skills=(), assessor=True)
    (plan,) = planned(replace(city, crews=(CREW, looker)), text, tmp_path, arguments={**POINT, "assess_h": 0.1})
    eyes = plan.crews[1].stops
    assert {stop.work for stop in eyes} == {"look"}
    assert "C" not in {stop.job for stop in eyes}
    assert sorted(stops_of(plan)) == ["A", "B", "C"]


def test_regions_and_curve__follow_from_the_jobs(folder, city):
    (plan,) = planned(city, city_folder=folder, arguments={"predictor": "cqr"})
    stops = stops_of(plan)
    for region in plan.regions:
        own = [stop.back.ert_h for stop in stops.values() if stop.region == region.region]
        assert len(own) == region.jobs
        assert region.back.ert_h >= max(own) - 1e-9
    assert [region.back.ert_h for region in plan.regions] == sorted(region.back.ert_h for region in plan.regions)
    assert tuple(point.share for point in plan.curve) == SHARES
    medians, late = [point.p50_h for point in plan.curve], [point.p90_h for point in plan.curve]
    assert medians == sorted(medians)
    assert all(p90 >= p50 for p50, p90 in zip(medians, late, strict=True))


def test_curve__of_certain_times_jumps_where_customers_are_back(city, tmp_path):
    text = "job,region,customers,damage_class,night_shift\nA,0,30,1,0\nB,1,60,1,0\nC,2,10,1,0\n"
    (plan,) = planned(replace(city, crews=(CREW,)), text, tmp_path)
    order = sorted(stops_of(plan).values(), key=lambda stop: stop.back.ert_h)
    weight = {"A": 0.3, "B": 0.6, "C": 0.1}
    for point in plan.curve:
        gone = 0.0
        for stop in order:
            gone += weight[stop.job]
            if gone >= point.share - 1e-9:
                break
        assert (point.p50_h, point.p90_h) == pytest.approx((stop.back.ert_h,) * 2)


def test_what_if__more_crews_other_hours_and_no_change(folder, city):
    plans = planned(city, city_folder=folder, what_if=["n_crews=6", "off_h=8", "n_crews=3,speed_kmh=60"])
    assert [plan.name for plan in plans] == [AS_IT_IS, "n_crews=6", "off_h=8", "n_crews=3,speed_kmh=60"]
    names = [[crew.crew for crew in plan.crews] for plan in plans]
    assert names[0] == ["north 1", "north 2", "south 1", "south 2"]
    assert names[1] == [*names[0], "north 1 (+1)", "north 2 (+1)"]
    assert names[3] == ["north 1", "north 2", "south 2"]  # those at work stay
    assert replace(plans[2], name=AS_IT_IS) == plans[0]  # the hours that they have
    assert plans[1].mean_outage_h < plans[0].mean_outage_h
    for plan in plans:
        assert sorted(stops_of(plan)) == sorted(f"J{i}" for i in range(1, 11))
    with pytest.raises(ValueError, match=r"--what-if n_crews=1 is fewer than the 2 crews that are at work"):
        planned(city, city_folder=folder, what_if=["n_crews=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_crews=\uff16", "n_crews must be a whole number from 1 to 200; got"),
        ("n_crews=1_0", "n_crews must be a whole number from 1 to 200; got '1_0'"),
        ("speed_kmh=1e-6", "speed_kmh must be a number from 0.01 to 1000; got '1e-6'"),
        ("crews=6", "takes NAME=NUMBER with a name of n_crews, start_h, on_h, off_h, speed_kmh; got 'crews=6'"),
        ("n_crews", "takes NAME=NUMBER .*; got 'n_crews'"),
        ("n_crews=2.5", "n_crews must be a whole number from 1 to 200; got '2.5'"),
        ("n_crews=0", "n_crews must be a whole number from 1 to 200; got '0'"),
        ("off_h=nan", "off_h must be a number from 0 to 10000; got 'nan'"),
        ("on_h=0", "on_h must be a number from 1e-06 to 10000; got '0'"),
        ("off_h=1,off_h=2", "off_h stands twice"),
    ],
)
def test_what_if__bad_ones(text, message):
    with pytest.raises(ValueError, match=f"--what-if.*{message}"):
        read_change(text)


def test_files__hold_the_plans_and_the_schema_takes_them(folder, city, tmp_path):
    schema = jsonschema.Draft202012Validator(read_schema("plan"))
    plain = planned(city, city_folder=folder)
    timed = planned(city, city_folder=folder, what_if=["n_crews=5"], start="2026-09-27 22:00")
    for plans in (plain, timed):
        record = json.loads(json.dumps(plans_record(plans)))
        schema.validate(record)
        assert [len(own["crews"]) for own in record["plans"]] == [len(plan.crews) for plan in plans]
    assert not schema.is_valid({**record, "plans": []})
    stop = record["plans"][0]["crews"][0]["stops"][0]
    hours = (np.datetime64(stop["ert"]) - np.datetime64("2026-09-27T22:00")) / np.timedelta64(1, "h")
    assert hours == pytest.approx(stop["ert_h"], abs=1 / 60)
    write_plans_csv(timed, tmp_path / "plan.csv")
    rows = {part: list(csv.DictReader((tmp_path / f"plan{part}.csv").open())) for part in ("", "-regions", "-curve")}
    assert {row["what_if"] for row in rows[""]} == {AS_IT_IS, "n_crews=5"}
    assert len(rows[""]) == 20
    assert len(rows["-curve"]) == 2 * len(SHARES)
    assert rows["-regions"][0]["ert"].startswith("2026-09-2")
    write_plans_csv(plain, tmp_path / "plain.csv")
    columns = (tmp_path / "plain.csv").read_text().splitlines()[0]
    assert columns == "crew,order,job,region,group,work,travel_h,start_h,ert_h,lower_h,upper_h"


def test_jobs__reported_later_are_left_out_and_times_need_a_start(city, tmp_path):
    text = (
        "job,region,arrival_time,parent,damage_class,night_shift\n"
        "A,0,2026-09-27 05:00,,1,0\nB,1,2026-09-27 07:00,,1,0\nC,2,2026-09-27 04:00,D,1,0\nD,3,2026-09-27 09:00,,1,0\n"
    )
    (plan,) = planned(city, text, tmp_path, start="2026-09-27 06:00")
    assert sorted(stops_of(plan)) == ["A", "C", "D"]  # D is above C: it failed first
    assert plan.left_out == 1
    console = Console(record=True, width=120)
    console.print(render_plans([plan]))
    assert "Left out: 1 job reported later than now." in console.export_text()
    with pytest.raises(ValueError, match=r"jobs.csv has times, so that a plan needs --start"):
        planned(city, text, tmp_path)
    with pytest.raises(ValueError, match=r"no job is open now: all 4 of .*jobs.csv are reported later"):
        planned(city, text, tmp_path, start="2026-09-27 01:00")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,west 9,-1,0", r"job '1': crew 'west 9' is none of north 1, north 2, south 1, south 2"),
        ("0,suoth 2,-1,0", r"crew 'suoth 2' is none of .*Did you mean 'south 2'"),
        ("0,south 2,-1,1", r"job '1': crew 'south 2' has not the skill 1 that it needs"),
    ],
)
def test_jobs__crews_that_do_not_fit(city, tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        planned(city, f"region,crew,begun_h,skill,damage_class,night_shift\n{row},1,0\n", tmp_path)


def test_command__prints_and_writes(folder, tmp_path, capsys):
    words = ["--plan", "--env", ID, "--city", str(folder), "--predictor", "cp", "--start", "2026-09-27 06:00"]
    words += [
        "--agents",
        "list-rho",
        "--what-if",
        "n_crews=6",
        "--what-if",
        "off_h=0",
        "--csv",
        str(tmp_path / "p.csv"),
    ]
    assert main([*words, "--json", str(tmp_path / "p.json")]) == 0
    text = capsys.readouterr().out
    for part in (
        "Plan of list-rho for example: 10 jobs, 4 crews, now is Sun 27 Sep 06:00",
        "n_crews=6",
        "off_h=0",
    ):
        assert part in text
    assert re.search(r"north 1 +1 ", text)
    assert max(map(len, text.splitlines())) <= 120 + len(str(tmp_path))
    jsonschema.validate(json.loads((tmp_path / "p.json").read_text()), read_schema("plan"))
    assert main(["--plan", "--env", ID, "--city", "synthetic:6:1", "--predictor", "point"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Plan of rolling-planner" in text
    assert "the last record of every region stands in" in text
    made_up = "no crews.json: 4 made-up crews from the city's depot and 1 made-up depot; write crews.json"
    assert made_up in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agents", "clairvoyant"], "agent 'clairvoyant' looks at true repair durations"),
        (["--agents", "nearest,random"], "--plan takes one agent"),
        (["--known-share", "0.5"], "--plan has no use for known_share; it takes assess_h, city,"),
        (["--cost-limit", "1-4"], "--plan takes one limit; got the range (1.0, 4.0)"),
        (["--start", "noon"], "--start must be a date and time"),
        (["--start", "9999-12-31"], "--start must be of a year 1900 to 2200; got '9999-12-31'"),
        (["--what-if", "n_crews=many"], "--what-if n_crews must be a whole number from 1 to 200; got 'many'"),
        (["--jobs", "absent.csv"], "absent.csv: no such file"),
        (
            ["--option", "crews=3"],
            "crews must be a list of records with the fields depot, speed_kmh",
        ),
        (["--option", "off_h=2"], "off_h has no use with the crews of 'example'"),
    ],
)
def test_command__errors(folder, capsys, words, message):
    assert main(["--plan", "--env", ID, "--city", str(folder), *words]) == 2
    assert message in capsys.readouterr().err


def test_command__other_plans_take_no_change_of_crews(capsys):
    assert main(["--plan", "--env", "Restoration-v0", "--what-if", "n_crews=2", "--json", "x.json"]) == 2
    told = capsys.readouterr().err
    assert f"no use here for --json, --what-if; leave it out, or plan with --env {ID}, which takes --json" in told
    assert "or leave out --plan to score agents" in told
    assert main(["--plan", "--city", "default", "--json", "x.json"], "stormgym plan") == 2
    told = capsys.readouterr().err
    assert f"stormgym plan: no use here for --json; leave it out, or plan with --env {ID}, which takes --json" in told
    assert "or score agents with stormgym evaluate" in told
    assert "leave out --plan" not in told
    assert main(["--env", ID, "--what-if", "n_crews=2"]) == 2
    assert "no use here for --what-if; leave it out, or add --plan" in capsys.readouterr().err


def written(plans):
    """What is printed, on one line."""
    console = Console(record=True, width=120)
    console.print(render_plans(plans))
    return " ".join(console.export_text().split())


@pytest.mark.parametrize(
    ("crews", "arguments", "told"),
    [
        ((CREW,), {}, "Crews: 1 crew of crews.json."),
        ((), {"n_crews": 1, "n_depots": 1}, "Crews: no crews.json: 1 made-up crew from the city's depot; write"),
        ((), {"n_crews": 3, "n_depots": 3}, "3 made-up crews from the city's depot and 2 made-up depots; write crews"),
        ((CREW,), {"n_crews": 2}, "as n_crews says; crews.json is left aside"),
    ],
)
def test_crews__say_where_they_come_from(city, tmp_path, crews, arguments, told):
    text = "region,damage_class,night_shift\n0,1,0\n"
    plans = planned(replace(city, crews=crews), text, tmp_path, arguments={**POINT, **arguments})
    assert told in written(plans)
    assert plans_record(plans)["crews_source"] in written(plans)
    assert f"Plan of nearest for example: 1 job, {len(plans[0].crews)} crew" in written(plans)


def test_limit__says_why_it_is_what_it_is_and_who_keeps_to_it(folder, city):
    plans = planned(city, city_folder=folder)
    (plan,) = plans
    over = replace(plan, gap_h=plan.cost_limit_h + 1)
    told = "limit 2 h (the city's 8 h / 4 crews that repair): over the limit"
    assert f"{told}. Try --agents rolling-fair, which keeps to it where it can." in written([over])
    assert f"{told}, though rolling-fair balances the groups." in written([replace(over, agent="rolling-fair")])
    assert "rolling-fair" not in written([replace(plan, gap_h=plan.cost_limit_h)])
    assert plans_record(plans)["limit_source"] == plan.limit_source
    given = planned(city, city_folder=folder, arguments={**POINT, "cost_limit": 3.0})
    assert "limit 3 h (as cost_limit says)" in written(given)


def test_times__start_and_back_are_medians_of_the_same_days(folder, city):
    (plan,) = planned(city, city_folder=folder, arguments={"predictor": "cqr"})
    for crew in plan.crews:
        for before, stop in pairwise(crew.stops):
            assert before.start_h < stop.start_h
        for stop in crew.stops:
            assert stop.start_h <= stop.back.ert_h
            assert 0.0 <= stop.back.lower_h <= stop.back.ert_h <= stop.back.upper_h
    assert "medians of the same simulated days" in written([plan])
    several = [replace(plan, regions=(replace(plan.regions[0], jobs=2),))]
    told = "A region is back with the last of its jobs on each simulated day"
    assert told in written(several)
    assert told not in written([replace(plan, regions=(replace(plan.regions[0], jobs=1),))])


def test_features__that_no_record_has_are_named_with_the_range_of_the_log(city, tmp_path):
    text = "job,region,damage_class,night_shift\nA,0,77,0\nB,3,-5,1\nC,7,1,0\n"
    plans = planned(replace(city, crews=(CREW,)), text, tmp_path)
    seen = city.log.features[:, city.log.feature_names.index("damage_class")]
    told = f"Warning: damage_class of job A is 77 (1 more is outside); in the city's log it is {seen.min():g} to 3. "
    assert told in written(plans)
    assert plans_record(plans)["warnings"] == list(plans[0].warnings)
    assert len(plans[0].warnings) == 1
    plain = planned(replace(city, crews=(CREW,)), text.replace("77", "1").replace("-5", "1"), tmp_path)
    assert plain[0].warnings == ()


def test_agents__of_another_city_are_named(folder, tmp_path, capsys):
    words = ["--plan", "--env", ID, "--city", str(folder), "--predictor", "point", "--agents", "sta-sac:crews"]
    assert main([*words, "--json", str(tmp_path / "plan.json")]) == 0
    told = "sta-sac:crews was trained on city default and has never seen example; rolling-planner needs no training."
    assert f"Warning: {told}" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "plan.json").read_text())["warnings"] == [told]


def test_options__are_arguments_of_the_environment():
    assert set(core_signature(CrewCore).parameters) >= OPTIONS


def test_profile__gives_its_crews(tmp_path):
    text = "region,damage_class,night_shift\n0,1,0\n1,1,0\n"
    plain = City.synthetic(1, 6)
    (plan,) = planned(plain, text, tmp_path, arguments={**POINT, "profile": "utility"})
    assert len(plan.crews) == 15
