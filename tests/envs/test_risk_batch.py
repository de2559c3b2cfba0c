"""Plans of least CVaR for many cases at a time, against the exact plan of each."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs import risk_batch
from stormgym.envs.arrays import Floats
from stormgym.envs.risk import Polytope, cvar, cvar_plan, mean_cvar
from stormgym.envs.risk_batch import CVaRPlans, cvar_plans


def knapsack(d: int, seed: int) -> Polytope:
    weights = np.random.default_rng(seed).integers(3, 9, (1, d)).astype(float)
    return Polytope(0.0, 1.0, weights, np.array([0.4 * weights.sum()]))


def simplex(d: int) -> Polytope:
    return Polytope(0.0, None, np.ones((1, d)), np.ones(1))


def grid(n: int = 3) -> Polytope:
    """Unit flow over an n x n grid; one of its rows is redundant."""
    nodes = [(i, j) for i in range(n) for j in range(n)]
    arcs = [(s, t) for s in nodes for t in ((s[0], s[1] + 1), (s[0] + 1, s[1])) if t in nodes]
    matrix = np.zeros((n * n, len(arcs)))
    for arc, (tail, head) in enumerate(arcs):
        matrix[nodes.index(tail), arc], matrix[nodes.index(head), arc] = 1.0, -1.0
    return Polytope(0.0, 1.0, None, None, matrix, np.eye(n * n)[0] - np.eye(n * n)[-1])


def generators(d: int) -> Polytope:
    return Polytope(0.5, 1.5, None, None, np.ones((1, d)), np.array([float(d)]))


def risky(n: int, n_cases: int, d: int, seed: int = 0) -> Floats:
    """Costs with factors that samples share, and tails."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_t(4, size=(n, n_cases, 2)) @ rng.normal(size=(2, d))
    return rng.normal(size=(n_cases, d)) + shared + rng.standard_t(4, size=(n, n_cases, d))


def positive(d: int, seed: int = 0) -> Floats:
    root = np.random.default_rng(seed).normal(size=(d, 3))
    return root @ root.T + 0.1 * np.eye(d)


def hold_to_exact(found: CVaRPlans, samples: Floats, polytope: Polytope, **terms: Any) -> None:
    """Plans are feasible and worth what the exact ones are; multipliers and bounds prove it."""
    n, n_cases, d = samples.shape
    linear = np.broadcast_to(terms.pop("linear", np.zeros(d)), (n_cases, d))
    exact = [cvar_plan(samples[:, case], polytope, linear=linear[case], **terms).value for case in range(n_cases)]
    size = 1.0 + np.abs(samples).max()
    np.testing.assert_allclose(found.value, exact, rtol=0, atol=2e-8 * size)
    np.testing.assert_allclose(found.bound, exact, rtol=0, atol=1e-6 * size)
    assert (found.bound <= found.value).all()
    low, high = polytope.bounds(d)
    a_ub, b_ub, a_eq, b_eq = polytope.rows(d)
    assert (found.plan >= low).all()
    assert (found.plan <= high).all()
    assert (found.plan @ a_ub.toarray().T <= b_ub + 1e-8).all()
    np.testing.assert_allclose(found.plan @ a_eq.toarray().T, np.broadcast_to(b_eq, (n_cases, len(b_eq))), atol=1e-8)
    costs = np.einsum("kbd,bd->bk", samples, found.plan)
    value = mean_cvar(costs, terms["alpha"], terms.get("mean_weight", 0.0)) + (linear * found.plan).sum(axis=1)
    if terms.get("quadratic") is not None:
        value = value + ((found.plan @ terms["quadratic"]) * found.plan).sum(axis=1)
    np.testing.assert_allclose(found.value, value, rtol=1e-12, atol=1e-12)
    tail_cvar = cvar(costs, terms["alpha"])
    excess = np.maximum(costs - found.eta[:, None], 0.0).mean(axis=1) / terms["alpha"]
    np.testing.assert_allclose(found.eta + excess, tail_cvar, rtol=1e-9, atol=1e-9 * size)
    np.testing.assert_allclose(found.tail.sum(axis=1), 1.0, rtol=1e-12)
    assert (found.tail >= 0).all()
    assert (found.tail <= 1.0 / (terms["alpha"] * n) + 1e-9).all()
    if terms.get("mean_weight", 0.0) < 1.0:
        np.testing.assert_allclose((found.tail * costs).sum(axis=1), tail_cvar, atol=1e-6 * size)


# ---------------------------------------------------------------------------------------------- against the exact plan


@pytest.mark.parametrize("mean_weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.33, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("polytope", [knapsack(9, 1), simplex(9), generators(9), Polytope(-1.0, 2.0)], ids=str)
def test_plans__are_the_exact_ones(polytope: Polytope, alpha: float, mean_weight: float) -> None:
    samples = risky(30, 5, 9)
    found = cvar_plans(samples, polytope, alpha=alpha, mean_weight=mean_weight)
    assert found.n_fallbacks == 0
    hold_to_exact(found, samples, polytope, alpha=alpha, mean_weight=mean_weight)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("polytope", [simplex(8), generators(8), Polytope()], ids=["simplex", "generators", "free"])
def test_plans__with_a_quadratic(polytope: Polytope, alpha: float) -> None:
    samples = risky(40, 6, 8, seed=3)
    terms: dict[str, Any] = {"alpha": alpha, "quadratic": positive(8), "mean_weight": 0.2}
    found = cvar_plans(samples, polytope, **terms)
    assert found.n_fallbacks == 0
    hold_to_exact(found, samples, polytope, **terms)
    exact = [cvar_plan(samples[:, case], polytope, **terms).plan for case in range(6)]
    np.testing.assert_allclose(found.plan, exact, atol=2e-3)  # near the least, a value of 1e-8 is a distance of 1e-4


def test_plans__linear_costs_of_all_and_of_each_case() -> None:
    samples, linear = risky(25, 4, 6, seed=5), np.random.default_rng(1).normal(size=(4, 6))
    for same in (linear, linear[0]):
        found = cvar_plans(samples, knapsack(6, 2), alpha=0.2, linear=same)
        hold_to_exact(found, samples, knapsack(6, 2), alpha=0.2, linear=same)


def test_plans__in_any_unit() -> None:
    samples = risky(25, 4, 6, seed=6)
    one = cvar_plans(samples, simplex(6), alpha=0.3)
    for unit in (1e-6, 1e6):
        other = cvar_plans(unit * samples, simplex(6), alpha=0.3)
        assert other.n_fallbacks == 0
        np.testing.assert_allclose(other.value, unit * one.value, rtol=1e-7, atol=1e-7 * unit)


def test_plans__of_a_batch_are_those_of_single_cases() -> None:
    samples = risky(60, 7, 12, seed=7)
    together = cvar_plans(samples, knapsack(12, 3), alpha=0.2)
    alone = [cvar_plans(samples[:, [case]], knapsack(12, 3), alpha=0.2).value[0] for case in range(7)]
    np.testing.assert_allclose(together.value, alone, rtol=1e-8, atol=1e-8)


def test_plans__do_not_depend_on_how_many_are_solved_together(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = risky(20, 7, 5, seed=8)
    one = cvar_plans(samples, simplex(5), alpha=0.2)
    monkeypatch.setattr(risk_batch, "CHUNK", 250)  # two cases
    other = cvar_plans(samples, simplex(5), alpha=0.2)
    np.testing.assert_allclose(other.value, one.value, rtol=1e-8, atol=1e-9)
    assert other.plan.shape == one.plan.shape


def test_tail__is_the_gradient_in_the_samples() -> None:
    samples = risky(15, 1, 4, seed=9)
    terms: dict[str, Any] = {"alpha": 0.3, "quadratic": positive(4)}  # curved: the plan and its multipliers are single
    found = cvar_plans(samples, simplex(4), **terms)
    change = np.random.default_rng(0).normal(size=samples.shape)
    step = 1e-4
    up, down = (cvar_plan((samples + sign * step * change)[:, 0], simplex(4), **terms).value for sign in (1, -1))
    slope = np.einsum("k,kd,d->", found.tail[0], change[:, 0], found.plan[0])
    assert (up - down) / (2 * step) == pytest.approx(slope, abs=1e-4)


# ------------------------------------------------------------------------------------------------------------ instances


def _polytope(name: str, instance: dict[str, Any], d: int) -> tuple[Polytope, float, Floats | None]:
    """What can be decided in an instance, the sense, and its quadratic."""
    if name == "portfolio":
        return simplex(d), -1.0, np.array(instance["Sigma"])
    if name == "knapsack":
        weights = np.array([instance["weights"]], dtype=float)
        return Polytope(0.0, 1.0, weights, np.array([instance["capacity"]])), -1.0, None
    return Polytope(0.0, 1.0, None, None, np.array(instance["A_eq"]), np.array(instance["b_eq"])), 1.0, None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ["portfolio", "knapsack", "path"])
def test_plans__known_answers(name: str, number: int, shared_data: Path) -> None:
    instance = json.loads((shared_data / "instances" / "dfl" / f"cvar_{name}_{number}.json").read_text())
    samples = np.array(instance["samples"])
    polytope, sense, quadratic = _polytope(name, instance, samples.shape[1])
    cases = np.repeat(sense * samples[:, None], 2, axis=1)
    for share, answer in instance["answers"].items():
        found = cvar_plans(cases, polytope, alpha=float(share), quadratic=quadratic)
        assert found.n_fallbacks == 0
        np.testing.assert_allclose(found.value, answer["value"], rtol=1e-6, atol=1e-8)


# ----------------------------------------------------------------------------------------------------------- degenerate


@pytest.mark.parametrize("alpha", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("polytope", [knapsack(6, 1), simplex(6), generators(6)], ids=["knapsack", "simplex", "gen"])
def test_plans__samples_that_are_all_the_same(polytope: Polytope, alpha: float) -> None:
    samples = np.repeat(risky(1, 4, 6, seed=11), 20, axis=0)
    hold_to_exact(cvar_plans(samples, polytope, alpha=alpha), samples, polytope, alpha=alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
def test_plans__of_one_sample(alpha: float) -> None:
    samples = risky(1, 4, 6, seed=12)
    found = cvar_plans(samples, knapsack(6, 1), alpha=alpha)
    hold_to_exact(found, samples, knapsack(6, 1), alpha=alpha)
    np.testing.assert_array_equal(found.tail, np.ones((4, 1)))


def test_plans__samples_that_come_twice() -> None:
    samples = risky(12, 4, 6, seed=13)
    twice = np.concatenate([samples, samples])
    found = cvar_plans(twice, simplex(6), alpha=0.3)
    np.testing.assert_allclose(found.value, cvar_plans(samples, simplex(6), alpha=0.3).value, atol=1e-7)
    hold_to_exact(found, twice, simplex(6), alpha=0.3)


def test_plans__a_small_share_is_the_worst_sample() -> None:
    samples = risky(25, 4, 6, seed=14)
    found = cvar_plans(samples, simplex(6), alpha=1e-4)
    hold_to_exact(found, samples, simplex(6), alpha=1e-4)
    np.testing.assert_allclose(found.value, np.einsum("kbd,bd->bk", samples, found.plan).max(axis=1), rtol=1e-12)


def test_plans__redundant_equalities() -> None:
    samples = np.abs(risky(30, 4, 12, seed=15))
    hold_to_exact(cvar_plans(samples, grid(), alpha=0.2), samples, grid(), alpha=0.2)


def test_plans__equalities_alone() -> None:
    polytope = Polytope(None, None, None, None, np.ones((1, 5)), np.ones(1))
    samples, quadratic = risky(20, 3, 5, seed=16), positive(5)
    for alpha in (0.3, 1.0):
        found = cvar_plans(samples, polytope, alpha=alpha, quadratic=quadratic)
        hold_to_exact(found, samples, polytope, alpha=alpha, quadratic=quadratic)


def test_plans__parts_that_are_fixed() -> None:
    low, high = np.array([0.0, 0.25, 0.0, 0.5, 0.0]), np.array([1.0, 0.25, 1.0, 0.5, 1.0])
    polytope = Polytope(low, high, np.ones((1, 5)), np.array([1.5]))
    samples = risky(20, 3, 5, seed=17)
    found = cvar_plans(samples, polytope, alpha=0.3)
    assert found.n_fallbacks == 0
    np.testing.assert_array_equal(found.plan[:, [1, 3]], np.broadcast_to([0.25, 0.5], (3, 2)))
    hold_to_exact(found, samples, polytope, alpha=0.3)


def test_plans__a_polytope_without_an_inside() -> None:
    """w1 + w2 >= 1 and <= 1: equalities that are written as two rows."""
    rows = np.array([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    polytope = Polytope(0.0, 1.0, rows, np.array([1.0, -1.0]))
    samples = risky(20, 3, 3, seed=18)
    hold_to_exact(cvar_plans(samples, polytope, alpha=0.3), samples, polytope, alpha=0.3)


def test_plans__one_decision_alone_is_possible() -> None:
    polytope = Polytope(1.0, 1.0)
    samples = risky(20, 3, 3, seed=19)
    hold_to_exact(cvar_plans(samples, polytope, alpha=0.3), samples, polytope, alpha=0.3)


# -------------------------------------------------------------------------------------------------- where it gives up


def test_fallback__is_exact_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from stormgym.envs import risk_interior

    monkeypatch.setattr(risk_interior, "MAX_ITERATIONS", 2)
    samples = risky(20, 3, 5, seed=20)
    found = cvar_plans(samples, simplex(5), alpha=0.3)
    assert found.n_fallbacks == 3
    assert not found.converged.any()
    hold_to_exact(found, samples, simplex(5), alpha=0.3)


def test_plans__nothing_is_possible() -> None:
    with pytest.raises(RuntimeError, match="no plan was found"):
        cvar_plans(risky(5, 2, 3), Polytope(0.0, 1.0, -np.ones((1, 3)), np.array([-4.0])), alpha=0.3)


def test_plans__without_a_least() -> None:
    with pytest.raises(RuntimeError, match="no plan was found"):
        cvar_plans(-1.0 - np.abs(risky(5, 2, 3)), Polytope(0.0), alpha=0.3)


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"samples": np.ones((4, 3))}, "samples must be [K, B, d], at least one of each; got shape (4, 3)"),
        ({"samples": np.ones((0, 2, 3))}, "samples must be [K, B, d], at least one of each; got shape (0, 2, 3)"),
        ({"samples": np.full((4, 2, 3), np.nan)}, "samples and linear must be finite; some are NaN or infinite"),
        ({"alpha": 95}, "alpha must be in (0, 1], the share of worst outcomes; got 95. Did you mean 0.95?"),
        ({"linear": np.ones(2)}, "linear must be [3] or [2, 3]; got (2,)"),
        ({"quadratic": np.ones((2, 2))}, "quadratic must be [3, 3]; got (2, 2)"),
        ({"mean_weight": 2.0}, "mean_weight must be in [0, 1], the weight of the mean beside CVaR; got 2.0"),
        ({"polytope": Polytope(0.0, 1.0, np.ones((1, 2)), np.ones(1))}, "A_ub must be [1, 3]"),
        ({"polytope": Polytope(0.0, 1.0, np.ones((1, 3)))}, "A_ub and b_ub go together; one of them is None"),
    ],
)
def test_plans__errors(change: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"samples": np.ones((4, 2, 3)), "polytope": simplex(3), "alpha": 0.5} | change
    with pytest.raises(ValueError, match=re.escape(text)):
        cvar_plans(given.pop("samples"), given.pop("polytope"), **given)
