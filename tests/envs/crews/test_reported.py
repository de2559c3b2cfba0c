"""A user's own crews, lines and jobs: a city's folder with crews.json and jobs.csv in CrewDispatch-v0."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from stormgym.envs.crews import read_jobs
from stormgym.envs.crews.env import CrewDispatchEnv
from stormgym.envs.crews.example import main, write_example
from stormgym.envs.data import City, DataError
from stormgym.envs.data.crews_file import CrewRecord
from stormgym.envs.data.schemas import read_schema

SETTINGS = {"predictor": "none", "n_jobs": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example of ten regions and twelve jobs."""
    path = tmp_path_factory.mktemp("cities") / "own"
    write_example(path, n_regions=10, n_jobs=12)
    return path


def test_example__is_a_city_with_crews_lines_and_jobs_that_the_schema_takes(folder, tmp_path, capsys):
    main([str(tmp_path / "again"), "--regions", "10", "--jobs", "12"])
    assert "with 4 crews and 12 open jobs" in capsys.readouterr().out
    for name in ("regions.csv", "log.csv", "city.json", "crews.json", "jobs.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    jsonschema.Draft202012Validator(read_schema("crews")).validate(json.loads((folder / "crews.json").read_text()))
    with pytest.raises(ValueError, match="n_jobs must be at least 2; got 1"):
        write_example(tmp_path / "few", n_jobs=1)


def test_environment__takes_the_crews_and_lines_of_the_folder(folder):
    env, city = CrewDispatchEnv(folder, **SETTINGS), City.load(folder)
    roster = env.core.roster
    assert (roster.n_crews, roster.n_skills) == (4, 2)
    assert roster.start_h.tolist() == [0.0, 2.0, 0.0, 2.0]
    assert roster.skills[:, 1].tolist() == [True, False, True, False]
    np.testing.assert_array_equal(env.core.places_km[roster.depot], [crew.depot for crew in city.crews])
    np.testing.assert_array_equal(env.core.source.parent, city.parent)
    same = CrewDispatchEnv(city, **SETTINGS)
    for one in (env, same):
        one.reset(seed=3)
    np.testing.assert_array_equal(env.core.process.jobs.arrival_h, same.core.process.jobs.arrival_h)


def test_environment__what_is_given_leaves_crews_and_lines_aside(folder):
    assert CrewDispatchEnv(folder, **SETTINGS, n_crews=3).core.roster.n_crews == 3
    assert (CrewDispatchEnv(folder, **SETTINGS, feeder="none").core.source.parent == -1).all()
    crew = {"depot": [1.0, 2.0], "speed_kmh": 30.0, "skills": [0, 1], "start_h": 0.0, "on_h": 8.0, "off_h": 4.0}
    own = CrewDispatchEnv(folder, **SETTINGS, crews=[{**crew, "assessor": False}])
    np.testing.assert_array_equal(own.core.depots_km, [[1.0, 2.0]])
    mixed = [{**crew, "assessor": False}, {**crew, "assessor": False, "depot": 0}]
    core = CrewDispatchEnv(folder, **SETTINGS, crews=mixed).core
    np.testing.assert_array_equal(core.places_km[core.roster.depot], [[1.0, 2.0], core.city.depot_km])
    with pytest.raises(ValueError, match=r"off_h has no use with the crews of 'example' \(its crews.json\)"):
        CrewDispatchEnv(folder, **SETTINGS, off_h=0.0)


def test_environment__crews_and_lines_that_do_not_fit(folder):
    city = City.load(folder)
    only = CrewRecord("a", 0, 30.0, (1,), 0.0, 8.0, 0.0)
    with pytest.raises(ValueError, match="jobs need skill 0, which no crew that repairs has"):
        CrewDispatchEnv(replace(city, crews=(only,)), **SETTINGS)
    plain = replace(city, parent=None)
    with pytest.raises(
        ValueError, match=r"feeder 'city' needs a column 'parent' in regions.csv, which 'example' has not"
    ):
        CrewDispatchEnv(plain, **SETTINGS, feeder="city")
    with pytest.raises(ValueError, match=r"depot of crew 0 must be a number, or a place \(x, y\) in km; got 'yard'"):
        CrewDispatchEnv(city, **SETTINGS, crews=[{**CREW, "depot": "yard"}])


CREW = {
    "depot": 0,
    "speed_kmh": 30.0,
    "skills": [0, 1],
    "start_h": 0.0,
    "on_h": 8.0,
    "off_h": 4.0,
    "assessor": False,
}


def test_read_jobs__are_options_of_a_reset(folder):
    jobs = read_jobs(folder, predictor="cp")
    assert set(jobs) >= {"region", "arrival_h", "need", "parent", "customers", "duration_h", "quantile_h"}
    assert (jobs["arrival_h"] == 0).all()  # reported before hour 0
    assert (jobs["lower_h"] <= jobs["upper_h"]).all()
    np.testing.assert_allclose(jobs["quantile_h"].mean(axis=1), jobs["point_h"])
    again, other = read_jobs(folder, predictor="cp"), read_jobs(folder, predictor="cp", seed=1)
    np.testing.assert_array_equal(again["duration_h"], jobs["duration_h"])
    assert (other["duration_h"] != jobs["duration_h"]).any()
    env = CrewDispatchEnv(folder, predictor="none", n_jobs=20)
    obs, info = env.reset(seed=0, options={"jobs": jobs})
    assert obs["known"].sum() == 12
    while "metrics" not in info:
        obs, *_, info = env.step(int(np.where(obs["action_mask"][:-1], obs["distance_km"], np.inf).argmin()))
    assert info["metrics"]["completed"] == 1.0
    assert info["metrics"]["customer_hours"] == pytest.approx(
        (jobs["customers"] * env.core.process.power_h[0, :12]).sum()
    )


def test_read_jobs__of_a_past_storm_arrive_and_take_what_they_took(folder, tmp_path):
    text = (
        "job,region,arrival_h,parent,repair_h,damage_class,night_shift\n"
        "A,0,5,,1.5,1,0\nB,1,2,A,0.5,2,1\nC,1,0,,3.25,1,0\n"
    )
    (tmp_path / "storm.csv").write_text(text)
    city = City.load(folder)
    jobs = read_jobs(city, tmp_path / "storm.csv", predictor="point")
    assert jobs["duration_h"].tolist() == [1.5, 0.5, 3.25]
    assert jobs["arrival_h"].tolist() == [2.0, 2.0, 0.0]  # what is upstream fails first
    share = city.customers[1] / 2  # two jobs of one region
    assert jobs["customers"].tolist() == [city.customers[0], share, share]
    env = CrewDispatchEnv(city, predictor="none", n_jobs=3)
    obs, _ = env.reset(options={"jobs": jobs})
    assert obs["known"].tolist() == [0.0, 0.0, 1.0]


def test_read_jobs__without_a_file_or_with_a_bad_one(folder, tmp_path):
    City.synthetic(1, 10).save(tmp_path / "plain")
    for city in (tmp_path / "plain", City.load(folder)):
        with pytest.raises(ValueError, match=r"no jobs.csv in .*; give the path of a file of jobs"):
            read_jobs(city)
    (tmp_path / "bad.csv").write_text("region,damage_class,night_shift,skill\n0,1,0,3\n")
    with pytest.raises(DataError, match=r"bad.csv, line 2, column 'skill': a crew that repairs must have it; got '3'"):
        read_jobs(folder, tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("duration_h", 1e308, r"from 1e-06 to 100000; got 1e\+308"),
        ("point_h", 1e-300, "from 1e-06 to 100000; got 1e-300"),
        ("upper_h", 1e308, "from -100000 to 100000"),
        ("customers", 1e308, r"from 0 to 1e\+09"),
        ("customers", -1.0, "at least 0; got -1"),
        ("weight", -1.0, r"from 0 to 1e\+09; got -1"),
    ],
)
def test_given_jobs__out_of_range_are_named(name, value, rule):
    env = CrewDispatchEnv("synthetic:3:1", predictor="none", n_jobs=2, n_crews=1)
    given = {
        "duration_h": [1.0, 2.0],
        "point_h": [1.0, 2.0],
        "lower_h": [0.5, 1.0],
        "upper_h": [2.0, 3.0],
        "region": [0, 1],
    }
    env.reset(options={"jobs": given})
    with pytest.raises(ValueError, match=f"jobs.'{name}'. must be {rule}"):
        env.reset(options={"jobs": {**given, name: [1.0, value]}})
