"""Power scheduling: splits, the cost, what can be carried out, the best plans in hindsight, and the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import clarabel
import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import LinearConstraint, minimize

from stormgym.envs.decisions.load_data import LoadDays, read_load, synthetic_law, synthetic_load
from stormgym.envs.decisions.power_scheduling import (
    SPLIT_BY,
    PowerSchedulingProblem,
    best_schedules,
    hourly_optimum,
    nearest_schedules,
    split_days,
)
from stormgym.envs.decisions.power_scheduling_env import (
    PowerSchedulingCore,
    PowerSchedulingEnv,
    PowerSchedulingVectorEnv,
)
from stormgym.envs.decisions.problem import SPLITS

UNDER, OVER, RAMP = 50.0, 0.5, 0.4
DAYS = synthetic_load(120)
CHANGES = np.diff(np.eye(24), axis=0)  # [23, 24]


@pytest.fixture(scope="module")
def problem() -> PowerSchedulingProblem:
    return PowerSchedulingProblem(DAYS)


@pytest.fixture(scope="module")
def pjm(shared_data: Path) -> LoadDays:
    return read_load(shared_data / "dfl" / "pjm_load")


def days_of(load: np.ndarray) -> LoadDays:
    """A record of these loads; the rest is made up."""
    n, others = len(load), synthetic_load(len(load) + 2)
    rest = {name: getattr(others, name)[:n] for name in ("load_yesterday", "temperature", "temperature_yesterday")}
    return LoadDays(load, calendar=others.calendar[:n], key=("made for a test", load.tobytes()), **rest)


# ---------------------------------------------------------------------------------------------------------- splits


def test_split__of_the_published_record_has_the_published_sizes(pjm: LoadDays) -> None:
    problem = PowerSchedulingProblem(pjm)
    cases = {split: problem.cases(split) for split in SPLITS}
    assert {name: len(part) for name, part in cases.items()} == {"train": 2_043, "validation": 511, "test": 639}
    np.testing.assert_array_equal(cases["test"].outcomes, pjm.load[-639:])
    np.testing.assert_array_equal(cases["train"].number, np.arange(2_043))


@pytest.mark.parametrize("split_by", SPLIT_BY)
@pytest.mark.parametrize("n_days", [10, 118, 3_193])
def test_split__takes_every_day_once(split_by: Any, n_days: int) -> None:
    rows = split_days(n_days, split_by, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(n_days))
    for part in rows.values():
        assert (np.diff(part) > 0).all()  # in order of time
    assert len(rows["test"]) == n_days - int(0.8 * n_days)


def test_split__by_time_validates_with_the_fifth_before_the_last_and_published_with_days_among_those_of_training() -> (
    None
):
    by_time, published, random = (split_days(1_000, name, 0) for name in ("time", "published", "random"))
    for rows in (by_time, published):
        np.testing.assert_array_equal(rows["test"], np.arange(800, 1_000))
    np.testing.assert_array_equal(by_time["validation"], np.arange(640, 800))
    assert published["validation"].min() < 30
    assert published["validation"].max() > 770
    assert random["test"].min() < 30
    assert random["test"].mean() == pytest.approx(500.0, abs=80.0)  # sd 18


@pytest.mark.parametrize(("split_by", "differs"), [("published", True), ("random", True), ("time", False)])
def test_split__depends_on_the_instance_where_it_is_random(split_by: Any, differs: bool) -> None:
    first, again, other = (split_days(500, split_by, i)["validation"] for i in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert differs == (not np.array_equal(first, other))


def test_cases__are_the_days_of_their_rows(problem: PowerSchedulingProblem) -> None:
    rows = split_days(len(DAYS), "published", 0)
    for split in SPLITS:
        cases = problem.cases(split)
        np.testing.assert_array_equal(cases.outcomes, DAYS.load[rows[split]])
        assert {name: values.shape[1:] for name, values in cases.context.items()} == problem.context_shapes
        for name, values in cases.context.items():
            np.testing.assert_array_equal(values, getattr(DAYS, name)[rows[split]])


# ------------------------------------------------------------------------------------------------------------ cost


def test_cost__of_two_hours_is_what_is_worked_out_by_hand(problem: PowerSchedulingProblem) -> None:
    plan, load = np.full(24, 2.0), np.full(24, 2.0)
    assert problem.cost(plan, load) == 0.0
    plan[3], load[7] = 1.5, 1.0  # half a unit short: 50 x 0.5 + 0.125; one too much: 0.5 x 1 + 0.5
    assert problem.cost(plan, load) == pytest.approx(25.125 + 1.0, rel=1e-12)


def test_cost__of_arrays_and_tensors_agree_and_broadcast(problem: PowerSchedulingProblem) -> None:
    rng = np.random.default_rng(0)
    plans, loads = rng.normal(1.5, 0.5, (5, 3, 24)), rng.normal(1.5, 0.5, (3, 24))
    cost = problem.cost(plans, loads)
    assert cost.shape == (5, 3)
    np.testing.assert_allclose(problem.cost(torch.as_tensor(plans), torch.as_tensor(loads)), cost, rtol=1e-12)
    by_hour = [
        (UNDER * (y - a) if y > a else OVER * (a - y)) + 0.5 * (a - y) ** 2
        for a, y in zip(plans[2, 1], loads[1], strict=True)
    ]
    assert cost[2, 1] == pytest.approx(sum(by_hour), rel=1e-12)


def test_cost__of_tensors_has_its_derivative(problem: PowerSchedulingProblem) -> None:
    rng = np.random.default_rng(1)
    plans, loads = (torch.as_tensor(rng.normal(1.5, 0.5, (4, 24))).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(problem.cost, (plans, loads))


# --------------------------------------------------------------------------------------------- what can be carried out


def solved(quadratic: Any, linear: np.ndarray, rows: Any, right: np.ndarray) -> np.ndarray:
    """x of least 0.5 x' Q x + c' x with A x <= b."""
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = 1e-12
    cones = [clarabel.NonnegativeConeT(len(right))]
    solver = clarabel.DefaultSolver(
        sparse.csc_matrix(quadratic), linear, sparse.csc_matrix(rows), right, cones, options
    )
    return np.array(solver.solve().x)


def nearest_by_program(plan: np.ndarray, low: float, high: float, ramp: float) -> np.ndarray:
    rows = np.vstack([CHANGES, -CHANGES, np.eye(24), -np.eye(24)])
    right = np.concatenate([np.full(46, ramp), np.full(24, high), np.full(24, -low)])
    return solved(np.eye(24), -plan, rows, right)


@pytest.mark.parametrize("ramp", [0.0, 0.05, 0.4, 2.0])
@pytest.mark.parametrize("spread", [0.5, 5.0, 200.0], ids="spread {}".format)
def test_project__is_the_nearest_plan_within_bounds_and_ramp(spread: float, ramp: float) -> None:
    problem = PowerSchedulingProblem(DAYS, ramp=ramp)
    high = float(problem.high[0])
    wanted = np.random.default_rng(0).normal(1.5, spread, (12, 24))
    found = problem.project(wanted)
    assert found.min() >= 0.0
    assert found.max() <= high
    assert np.abs(np.diff(found, axis=1)).max() <= ramp + 1e-12
    for row, plan in zip(found, wanted, strict=True):
        other = nearest_by_program(plan, 0.0, high, ramp)
        distance = ((row - plan) ** 2).sum()
        assert distance <= ((other - plan) ** 2).sum() * (1.0 + 1e-12) + 1e-10
        np.testing.assert_allclose(row, other, atol=1e-4)


@given(st.lists(st.integers(-6, 9), min_size=24, max_size=24), st.sampled_from([0.0, 0.25, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_project__no_feasible_plan_lies_in_the_direction_of_what_was_wanted(wanted: list[int], ramp: float) -> None:
    """The obtuse angle that makes a point the projection on a convex set; whole numbers make ties of all kinds."""
    plan = np.array([wanted], dtype=np.float64)
    found = nearest_schedules(plan, 0.0, 4.0, ramp)
    rng = np.random.default_rng(0)
    others = nearest_schedules(rng.integers(-6, 9, (40, 24)).astype(float), 0.0, 4.0, ramp)
    assert np.abs(np.diff(found)).max() <= ramp + 1e-12
    assert ((plan - found) * (others - found)).sum(axis=1).max() <= 1e-9
    np.testing.assert_allclose(nearest_schedules(found, 0.0, 4.0, ramp), found, atol=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_project__leaves_plans_that_can_be_carried_out_to_the_bit(seed: int) -> None:
    problem = PowerSchedulingProblem(DAYS)
    rng = np.random.default_rng(seed)
    plans = np.clip(1.0 + np.cumsum(rng.uniform(-RAMP, RAMP, (5, 24)), axis=1), 0.0, problem.high - 1e-6)
    np.testing.assert_array_equal(problem.project(plans), plans)
    rounded = plans.astype(np.float32).astype(np.float64)  # which breaks the ramp by a hair
    np.testing.assert_array_equal(problem.project(rounded), rounded)


def test_project__of_a_plan_does_not_depend_on_the_others(problem: PowerSchedulingProblem) -> None:
    wanted = np.random.default_rng(0).normal(1.5, 1.0, (30, 24))
    together = problem.project(wanted)
    for i in range(30):
        np.testing.assert_array_equal(problem.project(wanted[i : i + 1])[0], together[i])


def test_project__writes_nothing_to_what_was_wanted(problem: PowerSchedulingProblem) -> None:
    wanted = np.random.default_rng(0).normal(1.5, 1.0, (3, 24))
    before = wanted.copy()
    problem.project(wanted)
    np.testing.assert_array_equal(wanted, before)


# --------------------------------------------------------------------------------------------- the best in hindsight


def test_best__is_the_load_itself_where_it_keeps_the_ramp(problem: PowerSchedulingProblem) -> None:
    loads = problem.cases("train").outcomes
    np.testing.assert_array_equal(problem.best(loads), loads)
    assert not problem.best_costs("train").any()


def steep_loads(n: int, seed: int = 0) -> np.ndarray:
    """Days whose load breaks the ramp often."""
    return np.random.default_rng(seed).normal(1.6, 0.4, (n, 24))


def best_by_program(load: np.ndarray, ramp: float, under: float = UNDER, over: float = OVER) -> np.ndarray:
    """The plan `[24]` for one known load, with what is short and what is too much as 48 further variables."""
    n, eye, none = 24, np.eye(24), np.zeros((24, 24))
    quadratic = np.zeros((3 * n, 3 * n))
    quadratic[:n, :n] = eye
    linear = np.concatenate([-load, np.full(n, under), np.full(n, over)])
    wide = np.hstack([CHANGES, np.zeros((23, 48))])
    rows = np.vstack(
        [
            np.hstack([-eye, -eye, none]),
            np.hstack([eye, none, -eye]),
            np.hstack([none, -eye, none]),
            np.hstack([none, none, -eye]),
            wide,
            -wide,
        ]
    )
    right = np.concatenate([-load, load, np.zeros(48), np.full(46, ramp)])
    return solved(quadratic, linear, rows, right)[:n]


@pytest.mark.parametrize("ramp", [0.0, 0.1, 0.4])
def test_best__is_the_optimum_of_the_program_where_the_load_breaks_the_ramp(ramp: float) -> None:
    problem = PowerSchedulingProblem(DAYS, ramp=ramp)
    loads = steep_loads(6)
    found = problem.best(loads)
    assert np.abs(np.diff(found, axis=1)).max() <= ramp + 1e-12
    for plan, load in zip(found, loads, strict=True):
        other = best_by_program(load, ramp)
        np.testing.assert_allclose(plan, other, atol=1e-5)
        assert problem.cost(plan, load) == pytest.approx(problem.cost(other, load), abs=1e-7)


def test_best__no_plan_of_the_published_record_costs_less(pjm: LoadDays) -> None:
    problem = PowerSchedulingProblem(pjm)
    costs = problem.best_costs("test")
    loads = problem.cases("test").outcomes
    steep = np.abs(np.diff(loads, axis=1)).max(axis=1) > RAMP
    assert not costs[~steep].any()
    assert costs.max() < 1e-6  # one day of 3,193 breaks the ramp, by rounding
    assert problem.best_costs("test") is costs  # computed once
    assert sum((np.abs(np.diff(pjm.load, axis=1)).max(axis=1) > RAMP).tolist()) == 1


@given(st.integers(1, 9), st.integers(0, 10_000), st.sampled_from([(50.0, 0.5), (1.0, 1.0), (0.0, 3.0), (0.0, 0.0)]))
@settings(max_examples=60, deadline=None)
def test_hourly_optimum__is_no_dearer_than_any_other(n: int, seed: int, prices: tuple[float, float]) -> None:
    samples = np.random.default_rng(seed).integers(0, 7, (n, 2, 24)) / 2.0  # ties too
    plans = hourly_optimum(samples, *prices)

    def mean_cost(a: Any) -> np.ndarray:
        short = samples - a
        each = prices[0] * short.clip(0) + prices[1] * (-short).clip(0) + 0.5 * short**2
        return np.asarray(each.mean(axis=0))

    least = mean_cost(plans)
    for other in np.linspace(-0.5, 3.5, 81):
        assert (least <= mean_cost(other) + 1e-9).all()


def test_best_schedules__for_samples_is_the_minimum_of_a_general_solver() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(1.6, 0.3, 24) + rng.normal(0.0, 0.15, (6, 24))
    (found,) = best_schedules(samples[:, None], UNDER, OVER, 0.1)

    def with_parts(x: np.ndarray) -> float:  # plan, and what is short and too much of every sample
        a, short, over = x[:24], x[24:168], x[168:]
        return float((UNDER * short.sum() + OVER * over.sum()) / 6.0 + 0.5 * ((a - samples) ** 2).sum() / 6.0)

    def slope(x: np.ndarray) -> np.ndarray:
        parts = np.concatenate([np.full(144, UNDER / 6.0), np.full(144, OVER / 6.0)])
        return np.concatenate([x[:24] - samples.mean(axis=0), parts])

    each, eye = np.tile(np.eye(24), (6, 1)), np.eye(144)
    rows = np.block(
        [
            [each, eye, np.zeros((144, 144))],  # short >= y - a
            [-each, np.zeros((144, 144)), eye],  # over >= a - y
            [CHANGES, np.zeros((23, 288))],
        ]
    )
    y = samples.ravel()
    low = np.concatenate([y, -y, np.full(23, -0.1)])
    high = np.concatenate([np.full(288, np.inf), np.full(23, 0.1)])
    start = np.full(24, samples.mean())
    x0 = np.concatenate([start, (samples - start).clip(0).ravel(), (start - samples).clip(0).ravel()])
    bounds = [(None, None)] * 24 + [(0.0, None)] * 288
    general = minimize(
        with_parts, x0, jac=slope, bounds=bounds, constraints=LinearConstraint(rows, low, high), method="SLSQP"
    )
    short = samples - found
    cost = (UNDER * short.clip(0) + OVER * (-short).clip(0) + 0.5 * short**2).sum(axis=1).mean()
    assert general.success
    assert cost == pytest.approx(general.fun, abs=1e-5)
    np.testing.assert_allclose(found, general.x[:24], atol=1e-3)


def test_best_schedules__scales_with_the_unit_of_the_load() -> None:
    samples = steep_loads(8).reshape(4, 2, 24)
    plans = best_schedules(samples, UNDER, OVER, 0.2)
    in_mw = best_schedules(1e3 * samples, 1e3 * UNDER, 1e3 * OVER, 1e3 * 0.2)
    np.testing.assert_allclose(in_mw / 1e3, plans, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ the true law


def test_true_outcomes__are_drawn_from_the_law_of_the_town(problem: PowerSchedulingProblem) -> None:
    cases = problem.cases("test")
    samples = problem.true_outcomes(cases, 4_000, np.random.default_rng(0))
    law = synthetic_law(*(cases.context[name] for name in problem.context_shapes))
    assert samples.shape == (4_000, len(cases), 24)
    np.testing.assert_allclose(samples.mean(axis=0), law.mean, atol=float(5.0 * law.sd.max() / np.sqrt(4_000)))
    np.testing.assert_allclose(samples.std(axis=0), law.sd, rtol=0.07)  # 6 standard errors
    assert problem.knows_truth


def test_true_outcomes__of_a_recorded_load_are_not_known() -> None:
    problem = PowerSchedulingProblem(days_of(steep_loads(20)))
    assert not problem.knows_truth
    with pytest.raises(ValueError, match="the true law of PowerSchedulingProblem is not known"):
        problem.true_outcomes(problem.cases("test"), 3, np.random.default_rng(0))


# ----------------------------------------------------------------------------------------------------- the problem


def test_planners__may_not_see_the_test_cases(problem: PowerSchedulingProblem) -> None:
    planners = problem.for_planners()
    assert len(planners.cases("train")) == 75
    with pytest.raises(ValueError, match="cases of split 'test' are not for planners; learn from train and validation"):
        planners.cases("test")
    assert planners.usual is problem.usual


def test_usual__is_centre_and_spread_of_the_best_plans(problem: PowerSchedulingProblem) -> None:
    loads = problem.cases("train").outcomes
    np.testing.assert_allclose(problem.usual, [loads.mean(axis=0), loads.std(axis=0)])


def test_key__tells_problems_apart() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"split_by": "time"},
        {"instance": 1},
        {"gamma_under": 40.0},
        {"gamma_over": 0.6},
        {"ramp": 0.3},
    ]
    keys = [PowerSchedulingProblem(DAYS, **change).key for change in changes]
    keys.append(PowerSchedulingProblem(synthetic_load(120, instance=1)).key)
    assert len(set(keys)) == 7
    assert PowerSchedulingProblem(synthetic_load(120), ramp=0.4).key == keys[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split_by": "week"}, "split_by must be one of published, time, random; got 'week'"),
        ({"gamma_under": -1.0}, "gamma_under must be a number of at least 0; got -1.0"),
        ({"gamma_over": np.inf}, "gamma_over must be a number of at least 0; got inf"),
        ({"ramp": "steep"}, "ramp must be a number of at least 0; got 'steep'"),
        ({"ramp": np.nan}, "ramp must be a number of at least 0; got nan"),
        ({"ramp": True}, "ramp must be a number of at least 0; got True"),
    ],
)
def test_errors__say_what_is_wrong(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PowerSchedulingProblem(DAYS, **arguments)


def test_errors__of_too_few_days() -> None:
    with pytest.raises(ValueError, match="at least 10 days are needed to learn, choose and test; got 9"):
        PowerSchedulingProblem(synthetic_load(11))


# -------------------------------------------------------------------------------------------------- the environment


def test_env__is_one_step_that_costs_what_the_problem_says() -> None:
    env = PowerSchedulingEnv()
    observation, info = env.reset(seed=3)
    assert observation in env.observation_space
    assert {name: part.shape for name, part in observation.items()} == {
        "load_yesterday": (24,),
        "temperature_yesterday": (24,),
        "temperature": (24,),
        "calendar": (5,),
        "action_mask": (24,),
    }
    cases = env.truth.cases
    np.testing.assert_array_equal(observation["temperature"], cases.context["temperature"][0].astype(np.float32))
    plan = np.full(24, 1.75, dtype=np.float32)
    _, reward, terminated, truncated, info = env.step(plan)
    assert (terminated, truncated) == (True, False)
    metrics = info["metrics"]
    assert reward == -metrics["cost"] == pytest.approx(-env.truth.problem.cost(plan.astype(float), cases.outcomes[0]))
    assert metrics == {**metrics, "optimum": 0.0, "regret": metrics["cost"], "repaired": 0.0}
    assert info["cost"] == 0.0


def test_env__a_plan_that_breaks_the_ramp_is_repaired_and_counted() -> None:
    env = PowerSchedulingEnv()
    env.reset(seed=3)
    wanted = np.where(np.arange(24) < 12, 1.0, 2.0).astype(np.float32)
    _, reward, *_, info = env.step(wanted)
    carried = env.core.plans[0]
    np.testing.assert_allclose(carried[11:13], [1.3, 1.7], atol=1e-6)
    np.testing.assert_array_equal(carried[:11], 1.0)
    assert info["metrics"]["repaired"] == 1.0
    assert reward == pytest.approx(-env.truth.problem.cost(carried, env.truth.cases.outcomes[0]))


def test_env__the_load_itself_has_no_regret() -> None:
    env = PowerSchedulingEnv()
    env.reset(seed=5)
    *_, info = env.step(env.truth.cases.outcomes[0].astype(np.float32))
    assert info["metrics"]["regret"] == pytest.approx(0.0, abs=1e-4)  # float32 rounds
    assert info["metrics"]["repaired"] == 0.0


def test_vector_env__equals_single_ones_to_the_bit_also_where_plans_are_repaired() -> None:
    vector = PowerSchedulingVectorEnv(4)
    seen, _ = vector.reset(seed=9)
    wanted = np.random.default_rng(0).uniform(0.0, 3.0, (4, 24)).astype(np.float32)
    _, rewards, *_, infos = vector.step(wanted)
    assert infos["metrics"]["repaired"].all()
    for i in range(4):
        env = PowerSchedulingEnv()
        observation, _ = env.reset(seed=9 + i)
        np.testing.assert_array_equal(observation["load_yesterday"], seen["load_yesterday"][i])
        _, reward, *_, info = env.step(wanted[i])
        assert reward == rewards[i]
        for name, value in info["metrics"].items():
            assert infos["metrics"][name][i] == value, name


def test_env__announces_no_test_days() -> None:
    env = PowerSchedulingEnv()
    env.reset(seed=0)
    assert len(env.problem.cases("train")) == 933
    with pytest.raises(ValueError, match="cases of split 'test' are not for planners"):
        env.problem.cases("test")


def test_env__without_arguments_is_synthetic_and_says_so() -> None:
    env = gym.make("stormgym:PowerScheduling-v0").unwrapped
    assert isinstance(env, PowerSchedulingEnv)
    assert env.problem.knows_truth
    text = " ".join(str(PowerSchedulingEnv.__doc__).split())
    assert "Without `data` the record is that of a made-up town" in text
    assert "results on it say nothing of a real grid" in text
    assert "data: folder of hourly load and temperature files" in text
    assert "None: a synthetic town." in text


def test_env__reads_a_folder(shared_data: Path) -> None:
    env = PowerSchedulingEnv(data=str(shared_data / "dfl" / "pjm_load"), split="validation", split_by="time")
    env.reset(seed=0)
    assert not env.problem.knows_truth
    assert len(env.problem.cases("validation")) == 511
    load = env.truth.cases.outcomes[0]
    assert (env.problem.cases("validation").outcomes == load).all(axis=1).any()


@pytest.mark.parametrize(("n_days", "expected"), [(12, [6, 2, 2]), (120, [75, 19, 24])])
def test_env__a_short_record_is_split_like_a_long_one(n_days: int, expected: list[int]) -> None:
    problem = PowerSchedulingCore(1, n_days=n_days).problem
    assert [len(problem.cases(split)) for split in SPLITS] == expected
    np.testing.assert_array_equal(problem.cases("test").outcomes, synthetic_load(n_days).load[-expected[2] :])


def test_env__return_unit_is_the_cost_of_the_usual_plan() -> None:
    core = PowerSchedulingCore(1)
    plan = core.problem.project(core.usual_action[:1])
    expected = float(np.mean(core.problem.cost(plan, core.problem.cases("train").outcomes)))
    assert core.return_unit == pytest.approx(expected)


def test_env__pictures_and_text_before_and_after_the_decision() -> None:
    env = PowerSchedulingEnv(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(env.problem.usual[0].astype(np.float32))
    after = env.render()
    assert isinstance(before, np.ndarray)
    assert isinstance(after, np.ndarray)
    assert before.shape == after.shape == (480, 900, 3)
    assert before.dtype == np.uint8
    assert (before != after).any()
    text = PowerSchedulingEnv(render_mode="ansi")
    text.reset(seed=0)
    first = text.render()
    assert isinstance(first, str)
    assert "a decision of 24 parts is to be taken" in first
    text.step(text.problem.usual[0].astype(np.float32))
    second = text.render()
    assert isinstance(second, str)
    assert "in hindsight 0.000 was possible" in second
    assert len(second.splitlines()) == 2 + 4 + 2 + 24
    assert max(map(len, second.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": 3}, TypeError, "data must be the path of a folder, as text, or None for a synthetic town; got 3"),
        ({"data": "nowhere"}, FileNotFoundError, "folder 'nowhere' does not exist"),
        ({"instance": -1}, ValueError, "instance must be a whole number of at least 0; got -1"),
        ({"instance": 1.0}, ValueError, "instance must be a whole number of at least 0; got 1.0"),
        ({"n_days": 11}, ValueError, "n_days must be a whole number of at least 12, to learn, choose and test; got 11"),
        ({"n_days": True}, ValueError, "n_days must be a whole number of at least 12"),
        ({"split": "all"}, ValueError, "split must be one of train, validation, test; got 'all'"),
        ({"split_by": 2}, ValueError, "split_by must be one of published, time, random; got 2"),
        ({"render_mode": "human"}, ValueError, "render_mode must be one of ansi, rgb_array; got 'human'"),
        ({"gamma": 2.0}, TypeError, "gamma"),
    ],
)
def test_env__wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        PowerSchedulingEnv(**arguments)
