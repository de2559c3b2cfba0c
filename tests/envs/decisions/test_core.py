"""The core of decisions, on a problem that is known: what is drawn, repaired, charged, announced and hidden."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

SEEDS = [3, 8, 5]


def vector(newsvendor: ModuleType, n: int = 3, **kwargs: Any) -> Any:
    return gym.make_vec(newsvendor.ENV_ID, n, vectorization_mode="vector_entry_point", **kwargs).unwrapped


def single(newsvendor: ModuleType, **kwargs: Any) -> Any:
    return gym.make(newsvendor.ENV_ID, **kwargs).unwrapped


@pytest.mark.parametrize("fresh", [True, False])
def test_step__charges_the_problems_cost_and_ends(newsvendor: ModuleType, fresh: bool) -> None:
    env = vector(newsvendor, fresh=fresh)
    observation, infos = env.reset(seed=SEEDS)
    cases, problem = env.truth.cases, env.truth.problem
    np.testing.assert_array_equal(observation["weather"], cases.context["weather"].astype(np.float32))
    assert observation["calendar"].shape == (3, 2, 2)
    assert set(infos) == {f"{mark}{name}" for name in ("cost", "episode_cost", "action_mask") for mark in ("", "_")}
    plans = np.tile(2.5 * newsvendor.UNIT, (3, 1))
    _, reward, terminated, truncated, infos = env.step(plans)
    cost = problem.cost(plans, cases.outcomes)
    np.testing.assert_allclose(reward, -cost)
    assert terminated.all()
    assert not truncated.any()
    assert not infos["cost"].any()  # nothing is limited
    metrics = infos["metrics"]
    np.testing.assert_allclose(metrics["cost"], cost)
    np.testing.assert_allclose(metrics["optimum"], problem.cost(problem.best(cases.outcomes), cases.outcomes))
    np.testing.assert_allclose(metrics["regret"], metrics["cost"] - metrics["optimum"])
    assert (metrics["regret"] >= 0).all()
    assert not metrics["repaired"].any()


def test_step__repairs_what_cannot_be_carried_out_and_says_so(newsvendor: ModuleType) -> None:
    env = vector(newsvendor)
    env.reset(seed=SEEDS)
    high = env.core.problem.high
    wanted = np.array([[1.0, -500.0, 0.01], high * 1.5, high + 1e-6 * high])
    *_, infos = env.step(wanted)
    np.testing.assert_array_equal(infos["metrics"]["repaired"], [1.0, 1.0, 0.0])  # float32 rounds a hair beyond
    np.testing.assert_array_equal(env.core.plans[0], [1.0, 0.0, 0.01])
    np.testing.assert_array_equal(env.core.plans[1:], [high, high])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_draw__is_a_recorded_case_of_the_split_by_seed(newsvendor: ModuleType, split: str) -> None:
    env = single(newsvendor, split=split)
    seen = []
    for seed in range(20):
        env.reset(seed=seed)
        seen.append(env.truth.cases.outcomes[0])
    recorded = env.core.problem._cases(split).outcomes
    assert all((recorded == outcome).all(axis=1).any() for outcome in seen)
    assert len({tuple(outcome) for outcome in seen}) > 15
    env.reset(seed=4)
    np.testing.assert_array_equal(env.truth.cases.outcomes[0], seen[4])


def test_draw__fresh_cases_are_no_recorded_ones(newsvendor: ModuleType) -> None:
    env = single(newsvendor, fresh=True)
    env.reset(seed=0)
    recorded = env.core.problem._cases("test").outcomes
    assert not (recorded == env.truth.cases.outcomes[0]).all(axis=1).any()


@pytest.mark.parametrize("fresh", [True, False])
def test_reset__of_some_rows_leaves_the_others_alone(newsvendor: ModuleType, fresh: bool) -> None:
    env = vector(newsvendor, autoreset_mode="Disabled", fresh=fresh)
    env.reset(seed=SEEDS)
    before = env.truth.cases
    plans = np.tile(3.0 * newsvendor.UNIT, (3, 1))
    env.step(plans)
    env.reset(options={"reset_mask": np.array([False, True, False])})
    after = env.truth.cases
    for name in ("weather", "calendar"):
        np.testing.assert_array_equal(after.context[name][[0, 2]], before.context[name][[0, 2]])
    np.testing.assert_array_equal(after.outcomes[[0, 2]], before.outcomes[[0, 2]])
    np.testing.assert_array_equal(after.hidden["mean"][[0, 2]], before.hidden["mean"][[0, 2]])
    assert (after.outcomes[1] != before.outcomes[1]).all()
    problem = env.truth.problem
    wanted = problem.cost(problem.best(after.outcomes), after.outcomes)
    np.testing.assert_allclose(env.core.metrics(slice(None))["optimum"], wanted)
    np.testing.assert_array_equal(env.core.decided, [True, False, True])


def test_knowledge__test_cases_are_closed_and_the_truth_cannot_be_written(newsvendor: ModuleType) -> None:
    env = single(newsvendor)
    env.reset(seed=0)
    assert len(env.problem.cases("train")) == 600
    with pytest.raises(ValueError, match="cases of split 'test' are not for planners"):
        env.problem.cases("test")
    reads = env.truth_reads
    cases = env.truth.cases
    assert env.truth_reads == reads + 1
    for array in (cases.outcomes, cases.context["weather"], cases.hidden["mean"]):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0


def test_facts__of_decisions_without_a_limit(newsvendor: ModuleType) -> None:
    for env in (single(newsvendor), vector(newsvendor)):
        assert not hasattr(env, "cost_limit")
        assert env.groups is None
        assert env.settles_when_truncated
        centre, spread = env.usual_action
        outcomes = env.problem.cases("train").outcomes
        np.testing.assert_allclose(centre, outcomes.mean(axis=0))
        np.testing.assert_allclose(spread, outcomes.std(axis=0))
        assert env.return_unit == pytest.approx(env.problem.cost(centre, outcomes).mean())


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (np.zeros(2), TypeError, r"actions must be numbers of shape \(1, 3\); got shape \(1, 2\)"),
        (np.array(["a", "b", "c"]), TypeError, "actions must be numbers"),
        ([1.0, np.nan, 0.0], ValueError, r"a decision must be 3 finite numbers; got \[1.0, nan, 0.0\]"),
        ([1.0, np.inf, 0.0], ValueError, "3 finite numbers"),
    ],
)
def test_action__that_is_no_decision_is_an_error(
    newsvendor: ModuleType, action: Any, error: type[Exception], message: str
) -> None:
    env = single(newsvendor)
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(action)


@pytest.mark.parametrize(("kwargs", "name"), [({"split": "all"}, "split"), ({"render_mode": "human"}, "render_mode")])
def test_arguments__of_another_word_are_errors(newsvendor: ModuleType, kwargs: dict[str, str], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        newsvendor.NewsvendorEnv(**kwargs)


def test_text__shows_the_decision_beside_the_best_one(newsvendor: ModuleType) -> None:
    env = single(newsvendor, render_mode="ansi")
    env.reset(seed=0)
    assert "a decision of 3 parts is to be taken" in env.render()
    *_, info = env.step(3.0 * newsvendor.UNIT)
    text = env.render()
    assert f"cost {info['metrics']['cost']:,.3f} USD, in hindsight {info['metrics']['optimum']:,.3f}" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    env.reset(seed=1)
    assert "is to be taken" in env.render()
