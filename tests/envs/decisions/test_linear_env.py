"""The four linear decisions as environments: metrics of the truth, risk that changes no reward, actions of choices."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

import stormgym  # noqa: F401 - registers the ids
from stormgym.envs.decisions.linear import RISKS

SIZES = {"n_train": 8, "n_validation": 4, "n_test": 8}
SMALL: dict[str, dict[str, Any]] = {
    "Portfolio-v0": {"n_assets": 6, **SIZES},
    "FractionalKnapsack-v0": {"n_items": 8, **SIZES},
    "ShortestPath-v0": {"grid": 4, **SIZES},
    "EnergyScheduling-v0": {"n_days": 60},
}
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "sack": ("FractionalKnapsack-v0", {"integral": True}),
    "moves": ("ShortestPath-v0", {"actions": "moves"}),
}
TRUE = {"true_mean", "true_cvar_0.5", "true_cvar_0.1", "true_regret", "true_regret_0.5", "true_regret_0.1"}
each_id = pytest.mark.parametrize("env_id", SMALL)
each_choice = pytest.mark.parametrize("name", CHOICES)


def make(env_id: str, **kwargs: Any) -> Any:
    return gym.make(env_id, **SMALL[env_id], **kwargs).unwrapped


def make_vec(env_id: str, n: int = 3, **kwargs: Any) -> Any:
    return gym.make_vec(env_id, n, vectorization_mode="vector_entry_point", **SMALL[env_id], **kwargs).unwrapped


def chosen(name: str, **kwargs: Any) -> Any:
    env_id, own = CHOICES[name]
    return make(env_id, **own, **kwargs)


@each_id
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_metrics__hold_the_truth_in_every_split(env_id: str, split: str) -> None:
    env = make_vec(env_id, split=split, risk=0.3)
    env.reset(seed=[0, 1, 2])
    truth = env.truth
    plans = truth.problem.project(np.tile(truth.problem.usual[0], (3, 1)))
    *_, infos = env.step(plans)
    metrics = {name: values for name, values in infos["metrics"].items() if not name.startswith("_")}
    assert set(metrics) == {"cost", "optimum", "regret", "repaired", "risk_regret", *TRUE}
    problem, cases = env.core.problem, env.core.cases
    played = env.core.plans
    for alpha in RISKS:
        of = "" if alpha == 1.0 else f"_{alpha:g}"
        risk = problem.true_risk(played, cases, alpha)
        np.testing.assert_allclose(metrics[f"true_cvar{of}" if of else "true_mean"], risk)
        np.testing.assert_allclose(metrics[f"true_regret{of}"], problem.true_regret(played, cases, alpha))
    np.testing.assert_allclose(metrics["risk_regret"], problem.true_regret(played, cases, 0.3))


@each_id
def test_risk__is_announced_and_changes_no_reward_and_no_case(env_id: str) -> None:
    mild, wary = make(env_id), make(env_id, risk=0.1)
    assert (mild.problem.risk, wary.problem.risk) == (1.0, 0.1)
    action = np.random.default_rng(0).uniform(mild.action_space.low, mild.action_space.high)
    results = []
    for env in (mild, wary):
        observation, _ = env.reset(seed=4)
        _, reward, *_, info = env.step(action)
        results.append((observation["action_mask" if env_id == "EnergyScheduling-v0" else "features"], reward, info))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    one, other = (result[2]["metrics"] for result in results)
    assert {k: v for k, v in one.items() if k != "risk_regret"} == {
        k: v for k, v in other.items() if k != "risk_regret"
    }
    assert one["risk_regret"] == one["true_regret"]
    assert other["risk_regret"] == other["true_regret_0.1"]


@each_id
def test_return_unit__is_the_size_of_a_usual_return(env_id: str) -> None:
    env = make(env_id)
    train = env.problem.cases("train")
    usual = env.problem.project(env.problem.usual[:1])
    assert env.return_unit == pytest.approx(abs(env.problem.cost(usual, train.outcomes).mean()))
    assert env.return_unit > 1e-3  # gains are negative costs


@each_id
def test_knowledge__test_cases_are_closed(env_id: str) -> None:
    with pytest.raises(ValueError, match="cases of split 'test' are not for planners"):
        make(env_id).problem.cases("test")


def test_covariance__is_announced_and_not_observed() -> None:
    env = make("Portfolio-v0")
    assert env.problem.quadratic.shape == (6, 6)
    assert set(env.observation_space.spaces) == {"features", "action_mask"}


def test_constants__of_the_knapsack_are_observed() -> None:
    env = make("FractionalKnapsack-v0", capacity=11.0)
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation["weights"], env.problem.weights.astype(np.float32))
    np.testing.assert_array_equal(observation["capacity"], [11.0])


# ---------------------------------------------------------------------------------------------- actions of choices


@each_choice
def test_choices__keep_gymnasiums_rules_and_have_a_mask_of_all_choices(name: str) -> None:
    env = chosen(name)
    n = {"sack": 16, "moves": 12}[name]
    assert isinstance(env.action_space, spaces.MultiBinary if name == "sack" else spaces.MultiDiscrete)
    assert env.action_masks().shape == (n,)
    assert not hasattr(env, "usual_action")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
        from stable_baselines3.common.env_checker import check_env as check_sb3

        check_sb3(chosen(name))


@each_choice
def test_choices__are_equal_over_single_and_native(name: str) -> None:
    env_id, own = CHOICES[name]
    env = make_vec(env_id, **own, autoreset_mode="Disabled")
    env.action_space.seed(0)
    env.reset(seed=[4, 5, 6])
    actions = env.action_space.sample()
    _, rewards, *_, infos = env.step(actions)
    for i in range(3):
        single = chosen(name)
        single.reset(seed=4 + i)
        _, reward, *_, info = single.step(actions[i])
        assert reward == rewards[i]
        for key, value in info["metrics"].items():
            assert infos["metrics"][key][i] == pytest.approx(value, rel=1e-11, abs=1e-11)


@each_choice
def test_choices__of_the_clairvoyant_are_its_plan(name: str) -> None:
    env = chosen(name)
    env.reset(seed=0)
    truth = env.truth
    best = truth.problem.best(truth.cases.outcomes)
    action = truth.problem.actions_of(best)[0]
    assert env.action_space.contains(action.astype(env.action_space.dtype))
    *_, info = env.step(action)
    assert info["metrics"]["regret"] == pytest.approx(0.0, abs=1e-12)
    assert info["metrics"]["repaired"] == 0.0


def test_sack__that_is_too_heavy_keeps_the_light_items() -> None:
    env = chosen("sack", capacity=10.0)
    problem = env.problem
    problem.weights[:] = [8, 3, 5, 3, 3, 8, 8, 8]
    plans, repaired = problem.plans_of(np.ones((1, 8), dtype=np.int8))
    np.testing.assert_array_equal(plans, [[0, 1, 0, 1, 1, 0, 0, 0]])
    assert repaired.all()
    plans, repaired = problem.plans_of(np.array([[0, 0, 1, 1, 0, 0, 0, 0]]))
    np.testing.assert_array_equal(plans, [[0, 0, 1, 1, 0, 0, 0, 0]])
    assert not repaired.any()


def test_sack__stable_baselines_sends_zeros_and_ones_as_floats() -> None:
    env = chosen("sack")
    env.reset(seed=0)
    env.step(np.array([1, 0, 0, 0, 0, 0, 0, 0], dtype=np.float32))
    assert env.core.plans[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_moves__off_the_grid_become_the_other_one() -> None:
    env = chosen("moves")
    problem = env.problem
    down_first = np.array([1, 1, 1, 0, 0, 0])
    plans, repaired = problem.plans_of(np.stack([down_first, np.ones(6, dtype=np.int64)]))
    np.testing.assert_array_equal(plans[0], plans[1])
    assert repaired.tolist() == [False, True]
    np.testing.assert_array_equal(problem.actions_of(plans)[0], down_first)
    arcs = problem.arcs[plans[0] > 0].tolist()
    assert sorted(arcs) == sorted([[[r, 0], [r + 1, 0]] for r in range(3)] + [[[3, c], [3, c + 1]] for c in range(3)])


@pytest.mark.parametrize(
    ("name", "action", "error", "message"),
    [
        ("sack", np.zeros(3), TypeError, r"actions must be integers of shape \(1, 8\); got shape \(1, 3\)"),
        ("sack", [0, 0, 0, 0, 0, 0, 0, 2], ValueError, "a decision must be 8 whole numbers from 0 to 1; got .*2"),
        ("sack", [0.5] * 8, ValueError, "8 whole numbers from 0 to 1; got .*0.5"),
        ("sack", [np.nan] * 8, ValueError, "8 whole numbers from 0 to 1; got .*nan"),
        (
            "moves",
            np.zeros(6),
            TypeError,
            r"actions must be integers of shape \(1, 6\); got shape \(1, 6\), dtype float",
        ),
        ("moves", [0, 0, 0, 0, 0, -1], ValueError, "a decision must be 6 whole numbers from 0 to 1; got .*-1"),
    ],
)
def test_choices__that_there_are_not_are_errors(name: str, action: Any, error: type[Exception], message: str) -> None:
    env = chosen(name)
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(action)


# ------------------------------------------------------------------------------------------------------- pictures


@each_id
def test_picture__shows_the_decision_and_lets_nothing_out_before_it(env_id: str) -> None:
    env = make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.core.cases.outcomes[:] *= 3.0
    np.testing.assert_array_equal(env.render(), before)
    env.step(env.problem.project(env.problem.usual[:1])[0])
    assert (env.render() != before).any()


@each_id
def test_text__has_the_cost_and_fits(env_id: str) -> None:
    env = make(env_id, render_mode="ansi")
    env.reset(seed=0)
    assert "is to be taken" in env.render()
    *_, info = env.step(env.problem.project(env.problem.usual[:1])[0])
    text = env.render()
    assert f"cost {info['metrics']['cost']:,.3f}" in text
    assert all(len(line) <= 80 for line in text.splitlines())
