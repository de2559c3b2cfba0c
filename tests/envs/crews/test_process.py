"""The dynamics: recorded instances, Restoration-v0 as the case of one crew, and what a plain simulator would say."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.crews import replay
from stormgym.envs.crews.env import CrewDispatchEnv, CrewDispatchVectorEnv
from stormgym.envs.crews.instances import process_of
from stormgym.envs.crews.process import chains_of
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

FOLDER = (
    Path(os.environ.get("STORMGYM_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
    / "instances"
    / "crews"
)
FILES = sorted(FOLDER.glob("*.json"))
needs_instances = pytest.mark.skipif(not FILES, reason=f"no instances of crew dispatch in {FOLDER}; set STORMGYM_DATA")
AS_RESTORATION = {"n_crews": 1, "n_depots": 1, "known_share": 1.0, "n_skills": 1, "feeder": "none", "off_h": 0.0}


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


@needs_instances
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_instances__are_replayed_to_the_last_digits(file):
    instance = read(file)
    played = replay(instance)
    assert len(played["steps"]) == len(instance["steps"])
    for own, given in zip(played["steps"], instance["steps"], strict=True):
        assert (own["crew"], own["action"], own["action_mask"]) == (
            given["crew"],
            given["action"],
            given["action_mask"],
        )
        for name in ("t_h", "reward", "cost"):
            assert own[name] == pytest.approx(given[name], abs=1e-9)
    for name, value in instance["result"].items():
        own = played["result"][name]
        if isinstance(value, list):
            assert [x is None for x in own] == [x is None for x in value]
            own, value = ([x for x in part if x is not None] for part in (own, value))
        assert own == pytest.approx(value, abs=1e-9)


def all_outcomes(instance):
    """Mean outage and gap of every sequence of open choices, waits included; all branches of a depth in one batch."""
    process = process_of(instance)
    reward, cost = np.zeros((2, 1))
    found = []
    while process.batch:
        row, action = np.nonzero(process.mask)
        process = process.part(row)
        step = process.step(action)
        reward, cost = reward[row] + step.reward, cost[row] + step.cost
        over = step.terminated | step.truncated
        found += zip(-reward[step.terminated], cost[step.terminated], strict=True)
        left = np.flatnonzero(~over)
        process, reward, cost = process.part(left), reward[left], cost[left]
    return np.array(found)


@needs_instances
@pytest.mark.parametrize("file", [f for f in FILES if f.stem.startswith("tiny_")], ids=lambda file: file.stem)
def test_tiny_instances__have_the_optima_that_all_sequences_give(file):
    instance = read(file)
    outage, gap = all_outcomes(instance).T
    best, within = instance["optimum"], instance["optimum_within_limit"]
    assert outage.min() == pytest.approx(best["mean_outage_h"], abs=1e-9)
    kept = gap <= within["gap_limit_h"] + 1e-9
    assert outage[kept].min() == pytest.approx(within["mean_outage_h"], abs=1e-9)


def test_replay__of_too_few_or_too_many_actions_is_an_error():
    job = {
        "site": 0, "group": 0, "weight": 1.0, "customers": 1, "arrival_h": 0.0, "skill": 0, "parent": -1,
        "duration_h": 1.0, "assessed": True,
    }  # fmt: skip
    crew = {"depot": 1, "speed_kmh": 30.0, "skills": [0], "start_h": 0.0, "on_h": 8.0, "off_h": 0.0, "assessor": False}
    instance = {
        "distance_km": [[0.0, 3.0], [3.0, 0.0]], "crews": [crew], "jobs": [job], "arrival_end_h": 0.0,
        "assess_h": 0.25, "n_groups": 1, "n_skills": 1,
    }  # fmt: skip
    assert replay({**instance, "actions": [0]})["result"]["power_back_h"] == [1.1]
    with pytest.raises(ValueError, match="1 jobs are left after the last of 0 actions"):
        replay({**instance, "actions": []})
    with pytest.raises(ValueError, match="the storm is over after 1 actions; 2 are given"):
        replay({**instance, "actions": [0, 0]})


def test_reduction__one_crew_in_vector_form_is_restoration():
    n = 48
    old, new = RestorationVectorEnv(n), CrewDispatchVectorEnv(n, **AS_RESTORATION)
    seen, _ = old.reset(seed=5)
    own, _ = new.reset(seed=5)
    rng, first, masked = np.random.default_rng(0), np.ones(n, dtype=bool), 0
    while first.any():
        np.testing.assert_array_equal(own["action_mask"][first, :-1], seen["action_mask"][first])
        assert not own["action_mask"][first, -1].any()
        for column in ("lower_h", "upper_h", "point_h", "open", "realised_h"):
            np.testing.assert_allclose(own[column][first], seen[column][first], rtol=1e-6)
        action = np.array([rng.choice(np.flatnonzero(mask)) for mask in seen["action_mask"]])
        odd = rng.random(n) < 0.05
        action[odd] = rng.integers(0, 55, odd.sum())
        masked += (seen["action_mask"][np.arange(n), action] == 0)[first].sum()
        seen, reward, terminated, truncated, infos = old.step(action)
        own, own_reward, own_terminated, own_truncated, own_infos = new.step(action)
        assert (terminated == own_terminated)[first].all()
        assert (truncated == own_truncated)[first].all()
        np.testing.assert_allclose(own_reward[first], reward[first], atol=1e-12)
        np.testing.assert_allclose(own_infos["cost"][first], infos["cost"][first], atol=1e-11)
        ended = first & (terminated | truncated)
        if ended.any():
            for name in (
                "mean_outage_h",
                "gap_h",
                "makespan_h",
                "p95_h",
                "saidi_h",
                "gini",
                "travel_h",
                "wasted_trips",
            ):
                np.testing.assert_allclose(own_infos["metrics"][name][ended], infos["metrics"][name][ended], rtol=1e-9)
        first &= ~ended
    assert masked > 30


def test_reduction__one_crew_in_the_single_form_also_where_it_is_cut_off():
    old, new = RestorationEnv("synthetic:9:2"), CrewDispatchEnv("synthetic:9:2", **AS_RESTORATION)
    old.reset(seed=1), new.reset(seed=1)
    for step in range(36):
        action = 0 if step > 3 else step
        _, reward, *flags, info = old.step(action)
        _, own_reward, *own_flags, own_info = new.step(action)
        assert flags == own_flags
        assert own_reward == pytest.approx(reward, abs=1e-12)
        assert own_info["cost"] == pytest.approx(info["cost"], abs=1e-11)
    assert flags == [True, True]
    assert own_info["metrics"]["completed"] == info["metrics"]["completed"] == 0.0
    assert own_info["metrics"]["mean_outage_h"] == pytest.approx(info["metrics"]["mean_outage_h"])


def test_books__of_storms_side_by_side_add_up():
    env = CrewDispatchVectorEnv(4, city="synthetic:6:1", overtime_price=0.5, on_h=2.0, off_h=10.0, n_assessors=0)
    env.reset(seed=3)
    p = env.core.process
    reward, cost = np.zeros((2, 4))
    while (p.n_left > 0).any():
        before, due = p.overtime_h.copy(), p.overtime_due_h.copy()
        step = p.step(p.nearest())
        reward, cost = reward + step.reward, cost + step.cost
        paid = (p.overtime_h - before) - (p.overtime_due_h - due)
        assert (paid > -1e-12).all()
        assert not paid[
            (p.finish_h > p.t[:, None]) & (p.n_left > 0)[:, None]
        ].any()  # work that goes on is not paid yet
    jobs, exists = p.jobs, np.isfinite(p.jobs.arrival_h)
    dark = np.where(exists, p.power_h - np.where(exists, jobs.arrival_h, 0.0), 0.0)
    overtime = p.overtime_h.sum(axis=1)
    assert (overtime > 0).any()
    np.testing.assert_allclose(reward, -(jobs.weight * dark).sum(axis=1) - 0.5 * overtime)
    np.testing.assert_allclose(p.overtime_due_h, 0.0, atol=1e-12)
    np.testing.assert_allclose(cost, p.gap_h)
    np.testing.assert_allclose(p.work_h, p.travel_h + np.where(exists, jobs.duration_h, 0.0).sum(axis=1))
    assert p.completed.all()


def test_chains__and_circles():
    parent = np.array([[-1, 0, 1, -1, 0]])
    assert chains_of(parent)[0].tolist() == [[0, 0, 0], [1, 0, 1], [2, 1, 0], [3, 3, 3], [4, 0, 4]]
    with pytest.raises(ValueError, match="parent has a circle"):
        chains_of(np.array([[1, 0]]))
    with pytest.raises(ValueError, match="parent must be a slot 0 to 1, or -1 for none; got 2"):
        chains_of(np.array([[2, -1]]))
