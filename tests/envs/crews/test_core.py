"""CrewDispatch-v0 as an environment: what stays hidden, draws, options, roster, feeders, errors."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from stormgym.envs.crews.env import CrewDispatchEnv, CrewDispatchVectorEnv
from stormgym.envs.crews.layout import CREW_COLUMNS, JOB_COLUMNS, crews_of, jobs_of, storm_columns
from stormgym.envs.crews.roster import Roster
from stormgym.envs.crews.tables import depots_of, radial_feeder
from stormgym.envs.data import City

CITY = "synthetic:14:1"
CREW = {"depot": 0, "speed_kmh": 30.0, "skills": [0, 1], "start_h": 0.0, "on_h": 8.0, "off_h": 4.0, "assessor": False}


def make(**kwargs):
    return CrewDispatchEnv(**{"city": CITY, "n_crews": 3, "predictor": "none", **kwargs})


def nearest(obs):
    open_ = obs["action_mask"][..., :-1] > 0
    return np.where(open_, obs["distance_km"], np.inf).argmin(axis=-1)


def storm_of(env):
    """The storm of an environment as options of a reset."""
    jobs = env.process.jobs
    names = ("duration_h", "point_h", "lower_h", "upper_h", "arrival_h", "need", "parent", "weight", "assessed")
    return {name: getattr(jobs, name)[0].copy() for name in names}


def test_hidden__what_has_not_happened_changes_no_observation_before_it_happens():
    env = make(assessed_share=0.5)
    env.reset(seed=4)
    storm = storm_of(env)
    late = np.flatnonzero(storm["arrival_h"] > 3.0)
    assert late.size
    other = {name: values.copy() for name, values in storm.items()}
    # other arrivals and needs, and other hours of all repairs that have not ended by then
    change_h = 3.0
    other["arrival_h"][late] = np.where(np.arange(late.size) % 2, 3.5, 20.0)
    other["need"][late] = 1 - other["need"][late]
    for job in range(14):  # what is above must not arrive later
        parent = other["parent"][job]
        if parent >= 0:
            other["arrival_h"][parent] = min(other["arrival_h"][parent], other["arrival_h"][job])
    twin = make(assessed_share=0.5)
    seen, info = env.reset(seed=0, options={"jobs": storm})
    own, own_info = twin.reset(seed=0, options={"jobs": other})
    decisions = 0
    while env.process.t[0] < change_h and twin.process.t[0] < change_h:
        for name, values in seen.items():
            np.testing.assert_array_equal(values, own[name], err_msg=name)
        assert info["cost"] == own_info["cost"]
        action = int(nearest(seen))
        seen, reward, *_, info = env.step(action)
        own, own_reward, *_, own_info = twin.step(action)
        if env.process.t[0] < change_h and twin.process.t[0] < change_h:
            assert reward == own_reward
        decisions += 1
    assert decisions > 3


def test_hidden__hours_of_a_repair_show_only_when_it_has_ended():
    env, twin = make(), make()
    env.reset(seed=2)
    storm = storm_of(env)
    seen, _ = env.reset(seed=0, options={"jobs": storm})
    job = int(nearest(seen))
    longer = {**storm, "duration_h": storm["duration_h"].copy()}
    longer["duration_h"][job] += 50.0
    own, _ = twin.reset(seed=0, options={"jobs": longer})
    while storm["duration_h"][job] > env.process.t[0]:  # nothing before its end in the first storm can tell
        for name, values in seen.items():
            np.testing.assert_array_equal(values, own[name], err_msg=name)
        action = int(nearest(seen))
        before = env.process.t[0]
        seen, *_ = env.step(action)
        own, *_ = twin.step(action)
        if env.process.t[0] != twin.process.t[0]:
            break
    assert env.process.t[0] > before


def test_draws__are_the_same_whatever_the_options_and_the_policy():
    base = storm_of(started(make(), 7))
    for kwargs in (
        {"n_crews": 5},
        {"feeder": "none"},
        {"shock": "group"},
        {"n_skills": 1},
        {"off_h": 0.0},
        {"known_share": 0.9},
        {"assessed_share": 0.2, "n_assessors": 1},
    ):
        other = storm_of(started(make(**kwargs), 7))
        np.testing.assert_array_equal(other["point_h"], base["point_h"])
        if "shock" not in kwargs:
            np.testing.assert_array_equal(other["duration_h"], base["duration_h"])
        if "feeder" not in kwargs and "known_share" not in kwargs:
            np.testing.assert_array_equal(other["arrival_h"], base["arrival_h"])
    env = make()
    storms = []
    for choose in (nearest, lambda obs: np.flatnonzero(obs["action_mask"])[-1]):
        obs, _ = env.reset(seed=7)
        ended = False
        while not ended:
            obs, _, ended, *_ = env.step(int(choose(obs)))
        env.reset()
        storms.append(storm_of(env))
    for name in storms[0]:
        np.testing.assert_array_equal(storms[0][name], storms[1][name])


def started(env, seed):
    env.reset(seed=seed)
    return env


def test_observation__columns_side_by_side_and_unknown_jobs_are_zero():
    env = CrewDispatchVectorEnv(4, city=CITY, predictor="none", known_share=0.3)
    obs, _ = env.reset(seed=0)
    assert jobs_of(obs).shape == (4, 14, len(JOB_COLUMNS))
    assert crews_of(obs).shape == (4, 4, len(CREW_COLUMNS) + 2)
    assert obs["storm"].shape == (4, len(storm_columns(3)))
    unknown = obs["known"] == 0
    assert unknown.any()
    for name in JOB_COLUMNS:
        assert set(obs[name][unknown].tolist()) == {-1.0 if name in ("group", "parent") else 0.0}


def test_power__comes_back_with_the_last_of_a_job_and_all_above_it():
    env = make(known_share=1.0)
    obs, _ = env.reset(seed=3)
    rng, ended = np.random.default_rng(0), False
    while not ended:
        obs, _, ended, _, info = env.step(int(rng.choice(np.flatnonzero(obs["action_mask"][:-1]))))
    p = env.process
    for job in range(14):
        chain, above = [job], job
        while (above := p.jobs.parent[0, above]) >= 0:
            chain.append(above)
        assert p.power_h[0, job] == max(p.repaired_h[0, chain])
    assert info["metrics"]["mean_outage_h"] == pytest.approx(p.power_h[0].mean())
    assert env.times_h()[0] == pytest.approx(p.power_h[0])


@pytest.mark.slow
def test_assessors__look_and_the_forecast_is_the_jobs_own_from_then_on():
    env = CrewDispatchEnv(city=CITY, n_crews=2, n_assessors=1, assessed_share=0.0, known_share=1.0)
    obs, info = env.reset(seed=1)
    wide = obs["point_h"].copy()
    assert len(set(wide.tolist())) == 1
    narrow = env.process.jobs.point_h[0]
    seen, ended = 0, False
    while not ended:
        obs, _, ended, _, info = env.step(int(nearest(obs)))
        shown = obs["assessed"] > 0
        np.testing.assert_allclose(obs["point_h"][shown], narrow[shown], rtol=1e-6)
        if not ended:
            np.testing.assert_array_equal(obs["point_h"][~shown], wide[~shown])
            seen += int((shown & (obs["sent"] == 0)).any())
    assert seen > 0
    assert info["metrics"]["completed"] == 1.0


def test_overtime__is_priced_when_the_work_ends_and_totals_are_those_of_the_metrics():
    for price in (0.0, 0.4):
        env = make(overtime_price=price, on_h=2.0, off_h=10.0)
        obs, _ = env.reset(seed=5)
        total, ended = 0.0, False
        while not ended:
            obs, reward, ended, _, info = env.step(int(nearest(obs)))
            total += reward
        metrics = info["metrics"]
        assert metrics["overtime_h"] > 0
        assert total == pytest.approx(-metrics["mean_outage_h"] - price * metrics["overtime_h"])


def test_crews__of_ones_own_and_duty_hours():
    env = make(crews=[CREW, {**CREW, "depot": 1, "skills": [0]}])
    obs, _ = env.reset(seed=0)
    assert obs["crew_skill_1"].tolist() == [1.0, 0.0]
    roster = env.core.roster
    x = np.array([0.0, 7.999, 8.0, 11.5, 12.0, 20.0, 24.0])
    on = roster.next_on(np.repeat(x[:, None], 2, axis=1))[:, 0]
    assert on.tolist() == [0.0, 7.999, 12.0, 12.0, 12.0, 24.0, 24.0]
    assert roster.duty_h(np.repeat(x[:, None], 2, axis=1))[:, 0].tolist() == [0.0, 7.999, 8.0, 8.0, 8.0, 16.0, 16.0]


def test_feeder__of_the_default_city():
    city = City.synthetic()
    parent = radial_feeder(city, depots_of(city, 2))
    depth = np.array([sum(1 for _ in chain(parent, job)) for job in range(55)])
    assert np.bincount(depth).tolist() == [8, 10, 37]


def chain(parent, job):
    while (job := parent[job]) >= 0:
        yield job


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"n_crews": 0}, ValueError, "n_crews must be at least 1; got 0"),
        ({"n_depots": 10**9}, ValueError, "n_depots must be at most 1,000; got 1000000000"),
        ({"n_jobs": 2**63}, ValueError, "n_jobs must be at most 10,000; got 9223372036854775808"),
        ({"n_crews": 2.5}, TypeError, "n_crews must be a whole number; got 2.5"),
        ({"n_skills": 3}, ValueError, "n_skills must be 1 or 2; got 3"),
        ({"known_share": 1.2}, ValueError, "known_share must be from 0 to 1; got 1.2"),
        ({"on_h": 0.0}, ValueError, "on_h must be from"),
        ({"feeder": "ring"}, ValueError, "feeder must be one of radial, none, city; got 'ring'"),
        ({"special_crews": 0.0}, ValueError, "jobs need skill 1, which no crew that repairs has"),
        ({"crews": []}, ValueError, "crews is empty"),
        ({"crews": [{**CREW, "depot": 7}]}, ValueError, "depot of crew 0 must be 0 to 1"),
        ({"crews": [{**CREW, "skills": [4]}]}, ValueError, "skills of crew 0 must be numbers 0 to 1; got 4"),
        (
            {"crews": [{**CREW, "speed_kmh": 0.0}]},
            ValueError,
            "speed_kmh of crew 0 must be finite and above 0; got 0.0",
        ),
        ({"crews": [{"depot": 0}]}, ValueError, "crew 0 must have the fields"),
        ({"crews": [{**CREW, "speed_kmh": 1e-300}]}, ValueError, r"speed_kmh of crew 0 must be from 0.01 to 1e\+06"),
        ({"crews": [{**CREW, "on_h": 1e-300}]}, ValueError, r"on_h of crew 0 must be from 1e-06 to 1e\+06; got 1e-300"),
        ({"crews": [{**CREW, "start_h": 1e300}]}, ValueError, "start_h of crew 0 must be from 0 to"),
        ({"crews": [{**CREW, "depot": (2e4, 0.0)}]}, ValueError, "depot of crew 0: a depot must be within 1000 km"),
        ({"crews": [CREW] * 1001}, ValueError, "at most 1,000 crews; got 1,001"),
        (
            {"n_crews": 10**12},
            ValueError,
            "n_crews and n_assessors must be at most 1,000 together; got 1,000,000,000,000",
        ),
        ({"overtime_price": "dear"}, TypeError, "overtime_price must be a number; got 'dear'"),
    ],
)
def test_arguments__bad_ones(kwargs, error, message):
    with pytest.raises(error, match=message):
        make(**kwargs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_h": np.zeros(14)}, "must be above 0 hours"),
        ({"arrival_h": np.full(14, -1.0)}, r"jobs\['arrival_h'\] must be at least 0 hours"),
        ({"arrival_h": np.full(14, 30.0)}, r"must not be after arrival_end_h \(24 h\); got 30"),
        ({"point_h": np.ones(3)}, r"jobs\['point_h'\] must be 14 numbers; got shape \(3,\)"),
        ({"lower_h": np.full(14, np.nan)}, r"jobs\['lower_h'\] must be finite; got nan"),
        ({"parent": np.array([1, 0, *[-1] * 12])}, "parent has a circle"),
        ({"need": np.full(14, 5)}, "jobs need skill 5"),
        ({"colour": np.ones(14)}, r"unknown \['colour'\]"),
    ],
)
def test_jobs__bad_ones(change, message):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.reset(options={"jobs": {**storm_of(env), **change}})


def test_roster__an_idle_crew_is_an_error():
    with pytest.raises(ValueError, match="crew 0 repairs and has no skill"):
        Roster.of([{**CREW, "skills": []}], 2)


def test_masked__choices_raise_where_asked():
    env = make(on_invalid="raise", known_share=0.3)
    obs, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action \d+ is masked for crew 0; choose where action_mask is 1"):
        env.step(int(np.flatnonzero(obs["action_mask"] == 0)[0]))
    with pytest.raises(ValueError, match="action must be a job 0 to 13, or 14 to wait; got 15"):
        env.step(15)


def test_pictures__of_both_kinds():
    frame = gym.make("stormgym:CrewDispatch-v0", city=CITY, render_mode="rgb_array")
    text = make(render_mode="ansi", n_assessors=1, assessed_share=0.0)
    for env in (frame, text):
        obs, _ = env.reset(seed=0)
        for _ in range(9):
            obs, *_ = env.step(int(nearest(obs)))
    assert frame.render().shape == (600, 1200, 3)
    assert "open:" in text.render()
    assert max(len(line) for line in text.render().splitlines()) <= 80


def test_docs__have_the_observation_table_of_the_class():
    def rows(text: str) -> list[str]:
        table = text.partition("## Observation space")[2].partition("## Rewards")[0]
        return [line.strip() for line in table.splitlines() if line.strip().startswith("|")]

    page = Path(__file__).parents[3] / "docs/environments/crews.md"
    of_class = rows(CrewDispatchEnv.__doc__ or "")
    assert len(of_class) > 20
    assert rows(page.read_text()) == of_class
