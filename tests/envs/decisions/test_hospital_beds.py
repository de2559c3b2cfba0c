"""Hospital beds: recorded and fresh cases, costs, the true law, and the environment's doors."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from stormgym.envs.decisions.epidemic import IN_HOSPITAL, beds_of_days, transmission_rate
from stormgym.envs.decisions.hospital_beds import SEEN, WINDOWS, HospitalBedsProblem
from stormgym.envs.decisions.hospital_beds_env import HospitalBedsEnv, HospitalBedsVectorEnv
from stormgym.envs.decisions.problem import SPLITS

PROBLEM = HospitalBedsProblem()


def rngs(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng(seed + i) for i in range(n)]


# ------------------------------------------------------------------------------------------------------------- cases


def test_cases__sizes_and_contents() -> None:
    assert [len(PROBLEM.cases(split)) for split in SPLITS] == [1080, 540, 1080]
    cases = PROBLEM.cases("train")
    assert {name: values.shape[1:] for name, values in cases.context.items()} == PROBLEM.context_shapes
    assert cases.outcomes.shape == (1080, 7)
    history, state = cases.context["history"], cases.context["state"]
    np.testing.assert_allclose(np.expm1(history[:, -1]), state[:, list(SEEN)], rtol=1e-12)  # today is both
    np.testing.assert_allclose(state.sum(axis=1), 1e5, rtol=1e-12)
    assert cases.number is not None
    np.testing.assert_array_equal(cases.number, np.arange(1080))


def test_cases__of_a_region_follow_each_other() -> None:
    cases = PROBLEM.cases("validation")
    np.testing.assert_array_equal(cases.hidden["day"][: len(WINDOWS)], WINDOWS)
    beds = np.expm1(cases.context["history"][: len(WINDOWS), :, SEEN.index(IN_HOSPITAL)])
    np.testing.assert_allclose(cases.outcomes[:17], beds[1:, :7], rtol=1e-9)  # a week is in the next case's history
    np.testing.assert_allclose(cases.hidden["beds"][:18], beds[:, -3:-1], rtol=1e-9)


def test_cases__no_region_is_in_two_splits() -> None:
    phases = [set(PROBLEM.cases(split).hidden["phase"].tolist()) for split in SPLITS]
    assert [len(p) for p in phases] == [60, 30, 60]
    assert len(set.union(*phases)) == 150


def test_cases__of_an_instance_are_its_own() -> None:
    again, other = HospitalBedsProblem(c_b=3.0), HospitalBedsProblem(instance=1)
    np.testing.assert_array_equal(again.cases("test").outcomes, PROBLEM.cases("test").outcomes)
    assert not np.array_equal(other.cases("test").outcomes, PROBLEM.cases("test").outcomes)
    assert again.key != PROBLEM.key != other.key
    assert HospitalBedsProblem().key == PROBLEM.key


def test_bound__is_several_times_what_was_ever_needed() -> None:
    for instance in range(3):
        problem = HospitalBedsProblem(instance=instance)
        assert problem.high.min() > 4.0 * max(problem.cases(split).outcomes.max() for split in SPLITS)


def test_planners__read_no_test_cases() -> None:
    announced = PROBLEM.for_planners()
    assert len(announced.cases("train")) == 1080
    with pytest.raises(ValueError, match="split 'test' are not for planners"):
        announced.cases("test")


def test_draw__test_cases_are_fresh_and_the_same_for_the_same_seed() -> None:
    drawn, again = PROBLEM.draw(rngs(9), "test"), PROBLEM.draw(rngs(9), "test")
    np.testing.assert_array_equal(drawn.outcomes, again.outcomes)
    assert drawn.number is None
    assert set(drawn.hidden["day"].tolist()) <= set(WINDOWS.tolist())
    recorded = {round(v, 9) for i in range(9) for v in HospitalBedsProblem(instance=i).cases("test").hidden["phase"]}
    assert not recorded & {round(v, 9) for v in drawn.hidden["phase"].tolist()}


def test_draw__a_case_does_not_depend_on_the_others() -> None:
    many, one = PROBLEM.draw(rngs(6), "test"), PROBLEM.draw(rngs(6)[3:4], "test")
    np.testing.assert_array_equal(many.outcomes[3:4], one.outcomes)
    for name, values in one.context.items():
        np.testing.assert_array_equal(many.context[name][3:4], values)


def test_draw__past_cases_are_recorded_ones() -> None:
    drawn = PROBLEM.draw(rngs(5), "validation")
    assert drawn.number is not None
    np.testing.assert_array_equal(drawn.outcomes, PROBLEM.cases("validation").outcomes[drawn.number])


# ------------------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize("number", [1, 2])
def test_cost__meets_the_reference(number: int, shared_data: Path) -> None:
    data = json.loads((shared_data / "instances" / "dfl" / f"beds_{number}.json").read_text())
    problem = HospitalBedsProblem(**data["coef"])
    plan = np.array(data["a"])
    assert problem.cost(plan, np.array(data["y"])) == pytest.approx(data["cost_at_y"], rel=1e-7)
    assert problem.cost(plan, np.array(data["Y"])).mean() == pytest.approx(data["expected_cost"], rel=1e-7)


def test_cost__by_hand() -> None:
    plan, needed = np.full(7, 5.0), np.array([5.0, 7.0, 2.0, 5.0, 5.0, 5.0, 5.0])
    assert PROBLEM.cost(plan, needed) == pytest.approx((10 * 2 + 2 * 4) + (1 * 3 + 0.5 * 9))


def test_cost__arrays_and_tensors_agree_and_broadcast() -> None:
    rng = np.random.default_rng(0)
    plans, outcomes = rng.uniform(0, 50, (4, 7)), rng.uniform(0, 50, (5, 4, 7))
    cost = PROBLEM.cost(plans, outcomes)
    assert cost.shape == (5, 4)
    np.testing.assert_allclose(PROBLEM.cost(torch.as_tensor(plans), torch.as_tensor(outcomes)).numpy(), cost)
    leaf = torch.as_tensor(plans).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: PROBLEM.cost(a, torch.as_tensor(outcomes)), (leaf,))


def test_best__needs_nothing() -> None:
    outcomes = PROBLEM.cases("train").outcomes
    assert not PROBLEM.cost(PROBLEM.best(outcomes), outcomes).any()
    assert not PROBLEM.best_costs("train").any()


@pytest.mark.parametrize("instance", [0, 1, 2])
def test_cost__of_todays_beds_is_large(instance: int) -> None:
    problem = HospitalBedsProblem(instance=instance)
    cases = problem.cases("test")
    today = np.repeat(cases.context["state"][:, IN_HOSPITAL, None], 7, axis=1)
    assert problem.cost(today, cases.outcomes).mean() > 500.0


# --------------------------------------------------------------------------------------------------------- true law


def test_truth__is_seeded_and_knows_the_first_day() -> None:
    cases = PROBLEM.cases("test").rows(slice(0, 50))
    samples, again = (PROBLEM.true_outcomes(cases, 8, np.random.default_rng(3)) for _ in range(2))
    assert samples.shape == (8, 50, 7)
    np.testing.assert_array_equal(samples, again)
    np.testing.assert_allclose(samples[:, :, 0], np.tile(cases.outcomes[:, 0], (8, 1)), rtol=1e-12)
    assert samples[:, :, 6].std(axis=0).min() > 0.0


def test_truth__without_shocks_goes_on_as_the_simulation_would() -> None:
    class Still(np.random.Generator):
        def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return np.zeros(size)

        def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return np.ones(size)

    cases = PROBLEM.cases("test").rows(slice(0, 4))
    beds = PROBLEM.true_outcomes(cases, 1, Still(np.random.PCG64(0)))[0]
    hidden, rates = cases.hidden, np.empty((4, 6))
    heard = np.concatenate([hidden["beds"], cases.context["state"][:, [IN_HOSPITAL]], beds], axis=1)
    for k in range(6):
        season = 0.1 * np.sin(2 * np.pi * (hidden["day"] + k) / 365 + hidden["phase"])
        rates[:, k] = transmission_rate(0.95 ** (k + 1) * hidden["level"], heard[:, k], season)
    np.testing.assert_allclose(beds, beds_of_days(cases.context["state"], rates), rtol=1e-9)


def test_truth__ranks_of_what_came_are_uniform() -> None:
    cases = PROBLEM.cases("test").rows(np.arange(0, 1080, 3))  # weeks of a region are nearly independent given z
    samples = PROBLEM.true_outcomes(cases, 99, np.random.default_rng(0))
    rank = (samples[:, :, 1:] < cases.outcomes[:, 1:]).mean(axis=0)  # [E, 6]
    e = len(rank)
    assert np.abs(rank.mean(axis=0) - 0.5).max() < 4.5 * np.sqrt(1 / 12 / e)  # false alarm below 1e-4
    inside = ((rank > 0.25) & (rank < 0.75)).mean(axis=0)
    assert np.abs(inside - 0.5).max() < 4.5 * np.sqrt(0.25 / e) + 0.01  # 99 samples


# ------------------------------------------------------------------------------------------------------- environment


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")  # beds are beds
def test_env__passes_gymnasiums_checks() -> None:
    check_env(HospitalBedsEnv(), skip_render_check=True)


def test_env__charges_the_cost_of_the_beds() -> None:
    env = HospitalBedsEnv(c_b=7.0)
    obs, info = env.reset(seed=1)
    assert set(obs) == {"history", "state", "action_mask"}
    assert info["cost"] == 0.0
    assert obs["action_mask"].all()
    needed = env.truth.cases.outcomes[0]
    plan = np.full(7, 30.0, dtype=np.float32)
    _, reward, terminated, truncated, info = env.step(plan)
    assert terminated
    assert not truncated
    assert reward == pytest.approx(-float(HospitalBedsProblem(c_b=7.0).cost(plan, needed)))
    assert info["metrics"]["regret"] == info["metrics"]["cost"] == -reward
    assert info["metrics"]["optimum"] == info["metrics"]["repaired"] == info["cost"] == 0.0


def test_env__the_clairvoyant_pays_nothing() -> None:
    env = HospitalBedsEnv()
    env.reset(seed=2)
    assert env.step(env.truth.cases.outcomes[0])[1] == 0.0


@pytest.mark.parametrize(("wanted", "done"), [(-3.0, 0.0), (2_500.0, 2_000.0)])
def test_env__beds_out_of_bounds_are_clipped_and_counted(wanted: float, done: float) -> None:
    env = HospitalBedsEnv()
    env.reset(seed=3)
    *_, info = env.step(np.full(7, wanted))
    np.testing.assert_array_equal(env.core.plans, np.full((1, 7), done))
    assert info["metrics"]["repaired"] == 1.0


@pytest.mark.parametrize("split", SPLITS)
def test_vector__equals_single_ones(split: Any) -> None:
    envs = HospitalBedsVectorEnv(4, split=split, autoreset_mode=AutoresetMode.SAME_STEP)
    obs, _ = envs.reset(seed=10)
    singles = [HospitalBedsEnv(split=split) for _ in range(4)]
    seen = [env.reset(seed=10 + i)[0] for i, env in enumerate(singles)]
    for _ in range(2):
        for name in obs:
            np.testing.assert_array_equal(obs[name], np.stack([one[name] for one in seen]))
        plans = np.full((4, 7), 25.0)
        obs, reward, terminated, _, _ = envs.step(plans)
        np.testing.assert_array_equal(reward, [env.step(plan)[1] for env, plan in zip(singles, plans, strict=True)])
        assert terminated.all()
        seen = [env.reset()[0] for env in singles]


def test_env__announces_the_problem_without_test_cases() -> None:
    env = HospitalBedsEnv(instance=2)
    assert env.problem.instance == 2
    with pytest.raises(ValueError, match="not for planners"):
        env.announced.problem.cases("test")


def test_render__text_and_picture() -> None:
    env = HospitalBedsEnv(render_mode="ansi")
    env.reset(seed=0)
    assert "a decision of 7 parts is to be taken" in env.render()
    env.step(np.full(7, 30.0))
    assert "in hindsight 0.000 was possible" in env.render()
    env = HospitalBedsEnv(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(np.full(7, 30.0))
    assert before.shape == env.render().shape
    assert not np.array_equal(before, env.render())


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"c_b": "10"}, TypeError, "c_b must be a number; got '10'"),
        ({"q_h": True}, TypeError, "q_h must be a number; got True"),
        ({"c_h": -1.0}, ValueError, "c_h must be at least 0 and finite; got -1.0"),
        ({"q_b": float("nan")}, ValueError, "q_b must be at least 0 and finite; got nan"),
        ({"c_b": 0.0, "q_b": 0}, ValueError, "a missing bed must cost something: set c_b or q_b above 0"),
        ({"c_h": 0, "q_h": 0.0}, ValueError, "an empty bed must cost something: set c_h or q_h above 0"),
        ({"instance": 1.5}, TypeError, "instance must be a whole number; got 1.5"),
        ({"instance": -1}, ValueError, "instance must be at least 0; got -1"),
        ({"split": "all"}, ValueError, "split must be one of train, validation, test; got 'all'"),
        ({"render_mode": "human"}, ValueError, "render_mode must be one of ansi, rgb_array; got 'human'"),
    ],
)
def test_arguments__errors_say_what_is_wrong(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        HospitalBedsEnv(**arguments)


def test_arguments__a_price_may_be_0() -> None:
    assert HospitalBedsEnv(c_b=0.0, q_h=0.0).problem.key == ("hospital-beds", 0.0, 1.0, 2.0, 0.0, 0)
