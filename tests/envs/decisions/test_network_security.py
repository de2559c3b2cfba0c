"""The network security game: its loss, its gradient, its projection, its best covers, its cases and its environment."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stormgym.envs.decisions.network_security import NetworkSecurityProblem, defender_loss, random_geometric
from stormgym.envs.decisions.network_security_env import (
    NetworkSecurityCore,
    NetworkSecurityEnv,
    NetworkSecurityVectorEnv,
)
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.security_game import FULL, SecurityGame, to_capped_simplex

SMALL: dict[str, Any] = {"n_nodes": 20, "radius": 0.4}


@pytest.fixture(scope="module")
def problem() -> NetworkSecurityProblem:
    return NetworkSecurityProblem(**SMALL)


@pytest.fixture(scope="module", params=[1, 2])
def instance(request: pytest.FixtureRequest, shared_data: Path) -> dict[str, Any]:
    """A reference game of 7 nodes."""
    read: dict[str, Any] = json.loads((shared_data / f"instances/dfl/nsg_{request.param}.json").read_text())
    return read


def game_of(instance: dict[str, Any]) -> SecurityGame:
    names = ("sources", "targets", "utility", "omega", "delta")
    return SecurityGame(instance["edges"], len(instance["phi"]), **{name: instance[name] for name in names})


def random_covers(game: SecurityGame, n: int, seed: int = 0) -> np.ndarray:
    covers: np.ndarray = np.random.default_rng(seed).random((n, len(game.edges)))
    return covers


# ------------------------------------------------------------------------------------------------ the loss


def test_loss__agrees_with_the_reference_games(instance: dict[str, Any]) -> None:
    names = ("sources", "targets", "utility", "omega", "delta")
    arguments = {name: instance[name] for name in names}
    loss = defender_loss(instance["edges"], instance["coverage"], instance["phi"], **arguments)
    assert loss == pytest.approx(instance["loss"], abs=1e-8)
    none = defender_loss(instance["edges"], np.zeros(9), instance["phi"], **arguments)
    assert none == pytest.approx(instance["loss_no_cover"], abs=1e-8)


def test_slope__agrees_with_the_reference_games(instance: dict[str, Any]) -> None:
    loss, slope = game_of(instance).cost_and_slope(np.array(instance["coverage"]), np.array(instance["phi"]))
    assert loss == pytest.approx(instance["loss"], abs=1e-8)
    np.testing.assert_allclose(slope, instance["grad_coverage"], atol=1e-8)


def test_minimise__is_as_good_as_the_reference_optimum(instance: dict[str, Any]) -> None:
    game, phi = game_of(instance), np.array(instance["phi"])
    (cover,) = game.minimise(phi[None, None], instance["budget"])
    found = float(game.cost(cover, phi))
    assert found <= instance["optimum"] + 1e-6
    assert found <= instance["best_on_grid_of_eighths"]
    assert cover.min() >= 0
    assert cover.sum() <= instance["budget"] * FULL


def test_loss__one_edge_by_hand() -> None:
    # the attacker has one way; 1.01 is the damping
    loss = defender_loss([[0, 1]], [0.25], [3.0, -2.0], sources=[0], targets=[1], utility=[8.0])
    assert loss == pytest.approx(0.75 * 8.0 / 1.01)


def test_loss__dead_end_by_hand() -> None:
    # 0 - 1 - 2, from 1: to the target 2 or into the dead end 0, from which the only way is back
    a, phi, u = np.array([0.5, 0.125]), np.array([0.3, 0.0, -0.4]), 6.0
    to_0, to_2 = np.exp(phi[0] - 4 * a[0]), np.exp(phi[2] - 4 * a[1])
    to_0, to_2 = to_0 / (to_0 + to_2), to_2 / (to_0 + to_2)
    # 1.01 V1 = P12 (1 - a12) u + P10 (1 - a01) V0 and 1.01 V0 = (1 - a01) V1
    by_hand = to_2 * (1 - a[1]) * u / (1.01 - to_0 * (1 - a[0]) ** 2 / 1.01)
    assert defender_loss([[0, 1], [1, 2]], a, phi, sources=[1], targets=[2], utility=[u]) == pytest.approx(by_hand)


def test_loss__agrees_with_value_iteration(problem: NetworkSecurityProblem) -> None:
    game, phi = problem.game, problem.cases("train").outcomes[0]
    (cover,) = to_capped_simplex(random_covers(game, 1), 3.0)
    neighbours: dict[int, list[tuple[int, float]]] = {node: [] for node in range(game.n_nodes)}
    for (u, v), a in zip(game.edges.tolist(), cover.tolist(), strict=True):
        neighbours[u].append((v, a))
        neighbours[v].append((u, a))
    value = game.utility.copy()
    for _ in range(20_000):
        before = value.copy()
        for node in game.inner.tolist():
            weight = np.array([np.exp(phi[v] - 4 * a) for v, a in neighbours[node]])
            moves = zip(weight / weight.sum(), neighbours[node], strict=True)
            value[node] = sum(p * (1 - a) * before[v] for p, (v, a) in moves) / 1.01
        if np.abs(value - before).max() < 1e-14:
            break
    assert float(game.cost(cover, phi)) == pytest.approx(value[game.sources].mean(), abs=1e-10)


def test_slope__agrees_with_finite_differences(problem: NetworkSecurityProblem) -> None:
    game, phi = problem.game, problem.cases("train").outcomes[0]
    (cover,) = 0.1 + 0.5 * random_covers(game, 1)
    _, slope = game.cost_and_slope(cover, phi)
    steps = 1e-6 * np.eye(problem.n)
    by_steps = (game.cost(cover + steps, phi) - game.cost(cover - steps, phi)) / 2e-6
    np.testing.assert_allclose(slope, by_steps, rtol=1e-6, atol=1e-7)


def test_loss__broadcasts_over_leading_axes(problem: NetworkSecurityProblem) -> None:
    covers, phi = random_covers(problem.game, 3), problem.cases("train").outcomes[:4]
    table = problem.cost(covers[:, None], phi)
    assert table.shape == (3, 4)
    for i, j in np.ndindex(3, 4):
        assert table[i, j] == problem.cost(covers[i], phi[j])


def test_loss__does_not_change_when_nodes_are_renamed(problem: NetworkSecurityProblem) -> None:
    game, phi = problem.game, problem.cases("train").outcomes[0]
    (cover,) = random_covers(game, 1)
    name = np.random.default_rng(1).permutation(game.n_nodes)  # old -> new
    renamed = np.empty_like(phi)
    renamed[name] = phi
    utility = game.utility[game.targets]
    other = defender_loss(
        name[game.edges], cover, renamed, sources=name[game.sources], targets=name[game.targets], utility=utility
    )
    assert other == pytest.approx(float(game.cost(cover, phi)), rel=1e-12)


def test_loss__falls_where_all_is_covered_and_is_0_there(problem: NetworkSecurityProblem) -> None:
    phi = problem.cases("train").outcomes[0]
    levels = np.linspace(0, 1, 6)[:, None] * np.ones(problem.n)
    losses = problem.cost(levels, phi)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] == 0


def test_game__source_that_is_a_target_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sources and targets must differ; nodes \[1\] are both"):
        defender_loss([[0, 1]], [0.0], [0.0, 0.0], sources=[0, 1], targets=[1], utility=[1.0])


def test_game__node_without_an_edge_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must have an edge; nodes \[2\] have none"):
        defender_loss([[0, 1]], [0.0], [0.0, 0.0, 0.0], sources=[0], targets=[1], utility=[1.0])


def test_loss__eight_hundred_covers_take_less_than_a_seventh_of_a_second() -> None:
    problem = NetworkSecurityProblem()
    covers = problem.project(0.1 * random_covers(problem.game, 800))
    phi, seconds = problem.cases("train").outcomes[0], []
    for _ in range(3):
        began = time.process_time()
        problem.cost(covers, phi)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.15  # measured 0.02


# ------------------------------------------------------------------------------------------------ projection

PLANS = arrays(np.float64, (3, 9), elements=st.floats(-2, 3, width=32))
BUDGETS = st.floats(0.1, 12)


@settings(deadline=None, max_examples=200)
@given(PLANS, BUDGETS)
def test_projection__is_feasible_and_done_once_is_done(plans: np.ndarray, budget: float) -> None:
    nearest = to_capped_simplex(plans, budget)
    assert nearest.min() >= 0
    assert nearest.max() <= 1
    assert (nearest.sum(axis=1) <= budget * FULL + 1e-12).all()
    np.testing.assert_allclose(to_capped_simplex(nearest, budget), nearest, atol=1e-12)


@settings(deadline=None, max_examples=200)
@given(PLANS, BUDGETS)
def test_projection__is_nearest(plans: np.ndarray, budget: float) -> None:
    # p is nearest to x when no z of the set is farther along x - p; the farthest fills the budget by largest entry
    nearest = to_capped_simplex(plans, budget)
    for x, p in zip(plans, nearest, strict=True):
        along = np.sort(np.maximum(x - p, 0))[::-1]
        room = np.clip(budget - np.arange(len(along)), 0, 1)
        assert along @ room <= (x - p) @ p + 1e-9


@settings(deadline=None, max_examples=100)
@given(arrays(np.float64, (2, 9), elements=st.floats(0, 1)), st.floats(1, 9))
def test_projection__leaves_feasible_plans_as_they_are(plans: np.ndarray, budget: float) -> None:
    plans = plans * min(1, budget / max(plans.sum(axis=1).max(), 1e-9))
    assert (to_capped_simplex(plans, budget) == plans).all()


def test_projection__by_hand() -> None:
    plans = np.array([[2.0, 0.6, 0.2, -1.0], [0.5, 0.5, 0.5, 0.5]])
    np.testing.assert_allclose(to_capped_simplex(plans, 1.5), [[1.0, 0.45, 0.05, 0.0], [0.375] * 4])


# ------------------------------------------------------------------------------------------------ best covers


def test_best__does_not_depend_on_the_batch(problem: NetworkSecurityProblem) -> None:
    phi = problem.cases("train").outcomes[:6]
    together = problem.best(phi)
    assert (together[[4, 1]] == problem.best(phi[[4, 1]])).all()
    assert (together[3] == problem.best(phi[3:4])[0]).all()
    assert (together == problem.best(phi)).all()


def test_best__none_is_no_error(problem: NetworkSecurityProblem) -> None:
    assert problem.best(np.empty((0, 20))).shape == (0, problem.n)


def test_best__no_small_step_is_better() -> None:
    problem = NetworkSecurityProblem()
    phi = problem.cases("validation").outcomes[:4]
    best = problem.best(phi)
    lowest, slope = problem.game.cost_and_slope(best, phi)
    for length in (1e-2, 1e-3, 1e-4):
        moved = problem.project(best - length * slope)
        assert (problem.cost(moved, phi) >= lowest - 1e-6).all(), length


def test_best__beats_every_start(problem: NetworkSecurityProblem) -> None:
    phi = problem.cases("train").outcomes[:3]
    starts = problem.project(problem.game.starts(problem.budget))
    lowest = problem.cost(starts[:, None], phi).min(axis=0)
    assert (problem.cost(problem.best(phi), phi) < lowest).all()


def test_best_mean__is_better_on_average_than_the_best_for_any_sample(problem: NetworkSecurityProblem) -> None:
    phi = problem.cases("train").outcomes[:8]
    (shared,) = problem.best_mean(phi[:, None])
    own = problem.best(phi)
    assert problem.cost(shared, phi).mean() <= problem.cost(own[:, None], phi).mean(axis=1).min() + 1e-9
    assert problem.cost(shared, phi).mean() > problem.cost(own, phi).mean()


# ------------------------------------------------------------------------------------------------ the problem


def test_graph__neighbours_are_near_and_all_is_connected() -> None:
    place, near = random_geometric(30, 0.25, np.random.default_rng(3))
    distance = np.linalg.norm(place[:, None] - place, axis=-1)
    assert (near == ((distance <= 0.25) & ~np.eye(30, dtype=bool))).all()
    reached = np.linalg.matrix_power(near + np.eye(30), 30) > 0
    assert reached.all()


def test_problem__is_the_papers(problem: NetworkSecurityProblem) -> None:
    game = NetworkSecurityProblem().game
    assert game.n_nodes == 50
    assert 100 < len(game.edges) < 160
    assert len({*game.sources.tolist(), *game.targets.tolist()}) == 10
    assert ((game.utility[game.targets] >= 5) & (game.utility[game.targets] <= 10)).all()
    wish = problem.cases("train").outcomes + problem.hops  # U(-1, 1)
    assert np.abs(wish).max() <= 1
    assert np.abs(wish.mean()) < 0.05
    assert (problem.hops[problem.game.targets] == 0).all()


def test_cases__are_fixed_apart_and_of_the_stated_size(problem: NetworkSecurityProblem) -> None:
    sizes = {split: len(problem.cases(split)) for split in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert sizes == {"train": 70, "validation": 30, "test": 50}
    again = NetworkSecurityProblem(**SMALL)
    assert (again.cases("train").outcomes == problem.cases("train").outcomes).all()
    assert not (problem.cases("train").outcomes[:30] == problem.cases("validation").outcomes).any()
    features = problem.cases("train").context["features"]
    assert features.shape == (70, 20, 16)


def test_key__tells_problems_apart(problem: NetworkSecurityProblem) -> None:
    assert problem.key == NetworkSecurityProblem(**SMALL).key
    others = [{"instance": 1}, {"noise": 0.5}, {"budget": 2.0}, {"radius": 0.41}, {"n_nodes": 21}, {"n_sources": 4}]
    keys = {problem.key, *(NetworkSecurityProblem(**{**SMALL, **other}).key for other in others)}
    assert len(keys) == 1 + len(others)


def test_features__tell_what_attracts_but_for_the_noise(problem: NetworkSecurityProblem) -> None:
    clear, noisy = NetworkSecurityProblem(**SMALL, noise=0.0).cases("train"), problem.cases("train")
    assert (clear.outcomes == noisy.outcomes).all()
    noise = noisy.context["features"] - clear.context["features"]
    assert noise.std() == pytest.approx(0.7, rel=0.02)  # 22,400 numbers: three standard errors are 0.01
    inputs, phi = clear.context["features"].reshape(-1, 16), clear.outcomes.ravel()
    left = phi - inputs @ np.linalg.lstsq(inputs, phi, rcond=None)[0]
    assert left.std() < 0.5 * phi.std()


def test_draw__test_is_fresh_and_train_is_recorded(problem: NetworkSecurityProblem) -> None:
    def drawn(split: Any, seeds: tuple[int, ...]) -> Cases:
        return problem.draw([np.random.default_rng(seed) for seed in seeds], split)

    fresh = drawn("test", (5, 6, 7))
    assert fresh.number is None
    assert (drawn("test", (7,)).outcomes[0] == fresh.outcomes[2]).all()
    assert (drawn("test", (7,)).context["features"][0] == fresh.context["features"][2]).all()
    recorded = drawn("train", (5, 6, 7))
    assert recorded.number is not None
    assert (recorded.outcomes == problem.cases("train").outcomes[recorded.number]).all()


def test_usual__is_shared_with_planners_and_lets_learners_try_every_edge(problem: NetworkSecurityProblem) -> None:
    planners = problem.for_planners()
    assert planners.usual is problem.usual
    assert problem.usual.shape == (2, problem.n)
    assert problem.usual[1].min() >= 0.05
    with pytest.raises(ValueError, match="cases of split 'test'"):
        planners.cases("test")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n_nodes": 9}, ValueError, r"n_nodes must be at least 10 \(sources and targets are different nodes\); got 9"),
        ({"n_nodes": 20.0}, TypeError, "n_nodes must be a whole number; got 20.0"),
        ({"n_sources": 0}, ValueError, "n_sources must be at least 1; got 0"),
        ({"n_targets": True}, TypeError, "n_targets must be a whole number; got True"),
        ({"instance": -1}, ValueError, "instance must be at least 0; got -1"),
        ({"radius": 0.0}, ValueError, "radius must be above 0 and finite; got 0.0"),
        ({"radius": "wide"}, TypeError, "radius must be a number; got 'wide'"),
        ({"noise": -0.1}, ValueError, "noise must be at least 0 and finite; got -0.1"),
        ({"noise": float("nan")}, ValueError, "noise must be at least 0 and finite; got nan"),
        ({"budget": float("inf")}, ValueError, "budget must be above 0 and finite; got inf"),
        ({"radius": 0.01}, ValueError, "no graph of 10000 was connected with n_nodes=50, radius=0.01; take a larger"),
    ],
)
def test_arguments__that_do_not_fit_are_refused(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        NetworkSecurityProblem(**arguments)


# ------------------------------------------------------------------------------------------------ the environment


def test_env__step_pays_minus_the_loss() -> None:
    env = NetworkSecurityEnv(**SMALL)
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space
    assert observation["features"].shape == (20, 16)
    assert info["cost"] == 0
    cover = np.zeros(env.problem.n, dtype=np.float32)
    cover[:2] = 0.5
    _, reward, terminated, truncated, info = env.step(cover)
    truth = env.truth
    assert reward == pytest.approx(-float(truth.problem.cost(cover.astype(float), truth.cases.outcomes[0])))
    assert (terminated, truncated) == (True, False)
    metrics = info["metrics"]
    assert metrics["cost"] == pytest.approx(-reward)
    assert metrics["repaired"] == 0
    assert metrics["regret"] == pytest.approx(metrics["cost"] - metrics["optimum"])
    assert metrics["regret"] > 0


def test_env__cover_over_the_budget_is_repaired_and_counted() -> None:
    env = NetworkSecurityEnv(**SMALL, budget=2.0)
    env.reset(seed=1)
    info = env.step(np.ones(env.problem.n, dtype=np.float32))[-1]
    assert info["metrics"]["repaired"] == 1
    np.testing.assert_allclose(env.core.plans, 2.0 / env.problem.n)


def test_env__best_cover_in_hindsight_has_no_regret() -> None:
    env = NetworkSecurityEnv(**SMALL)
    env.reset(seed=2)
    best = env.truth.problem.best(env.truth.cases.outcomes)[0]
    metrics = env.step(best.astype(np.float32))[-1]["metrics"]
    assert metrics["regret"] == pytest.approx(0, abs=1e-4)
    assert metrics["repaired"] == 0  # float32 rounds the budget away by less than is counted


@pytest.mark.parametrize("split", ["train", "test"])
def test_vector_env__equals_single_ones(split: str) -> None:
    vector = NetworkSecurityVectorEnv(3, **SMALL, split=split)
    seen, _ = vector.reset(seed=4)
    actions = random_covers(vector.problem.game, 3, seed=5).astype(np.float32)
    _, rewards, *_, infos = vector.step(actions)
    for i in range(3):
        env = NetworkSecurityEnv(**SMALL, split=split)
        observation, _ = env.reset(seed=4 + i)
        assert (observation["features"] == seen["features"][i]).all()
        _, reward, *_, info = env.step(actions[i])
        assert reward == rewards[i]
        for name, value in info["metrics"].items():
            assert infos["metrics"][name][i] == value, name


def test_env__pictures_and_text_before_and_after_the_decision() -> None:
    env = NetworkSecurityEnv(**SMALL, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(env.problem.usual[0].astype(np.float32))
    after = env.render()
    assert before.shape == after.shape
    assert before.dtype == np.uint8
    assert (before != after).any()
    text = NetworkSecurityEnv(**SMALL, render_mode="ansi")
    text.reset(seed=0)
    assert "features" in text.render()


def test_env__return_unit_is_what_a_fixed_cover_costs() -> None:
    core = NetworkSecurityCore(1, **SMALL)
    fixed = core.problem.project(core.usual_action[:1])
    expected = core.problem.cost(fixed, core.problem.cases("train").outcomes).mean()
    assert core.return_unit == pytest.approx(expected)


def test_env__wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="split must be one of train, validation, test; got 'all'"):
        NetworkSecurityEnv(split="all")
    with pytest.raises(ValueError, match="radius must be above 0"):
        NetworkSecurityEnv(radius=-1.0)
    with pytest.raises(TypeError, match="n_sources"):
        NetworkSecurityEnv(n_sources=3)
