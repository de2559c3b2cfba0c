"""CVaR of costs, and the plan of least CVaR: known answers, its definition, another formulation, errors."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from stormgym.envs.arrays import Floats
from stormgym.envs.risk import (
    Polytope,
    check_alpha,
    cvar,
    cvar_plan,
    mean_cvar,
    tail_weights,
    value_at_risk,
)

COSTS = arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3))
SHARES = st.floats(0.01, 1.0)


def by_hand(costs: Floats, alpha: float) -> float:
    """Rockafellar and Uryasev's minimum over the threshold, which is at one of the costs."""
    return min(eta + float(np.maximum(costs - eta, 0.0).mean()) / alpha for eta in costs.tolist())


def instance(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "instances" / "dfl" / f"{name}.json").read_text())
    return found


# ----------------------------------------------------------------------------------------------------------------- CVaR


def test_cvar__the_last_atom_counts_in_part() -> None:
    costs = [4.0, 1.0, 3.0, 2.0]
    assert cvar(costs, 0.25) == 4.0
    assert cvar(costs, 0.5) == 3.5
    assert cvar(costs, 0.375) == pytest.approx((4.0 + 0.5 * 3.0) / 1.5, rel=1e-15)
    assert cvar(costs, 1.0) == 2.5
    assert cvar(costs, 1e-6) == 4.0


@pytest.mark.parametrize("number", [1, 2])
def test_cvar__known_answers(number: int, shared_data: Path) -> None:
    known = instance(shared_data, f"cvar_plain_{number}")
    for share, value in known["cvar"].items():
        assert cvar(known["costs"], float(share)) == pytest.approx(value, rel=1e-12)


@given(COSTS, SHARES)
def test_cvar__is_the_least_over_thresholds(costs: Floats, alpha: float) -> None:
    assert cvar(costs, alpha) == pytest.approx(by_hand(costs, alpha), rel=1e-7, abs=1e-6)


@given(COSTS, SHARES, st.floats(-100.0, 100.0), st.floats(0.0, 10.0))
def test_cvar__follows_shifts_and_scales(costs: Floats, alpha: float, shift: float, scale: float) -> None:
    assert cvar(scale * costs + shift, alpha) == pytest.approx(scale * cvar(costs, alpha) + shift, rel=1e-9, abs=1e-7)


@given(st.integers(1, 20), SHARES, st.integers(0, 10_000))
def test_cvar__of_a_sum_is_at_most_the_sum(n: int, alpha: float, seed: int) -> None:
    one, other = np.random.default_rng(seed).standard_t(2, size=(2, n))
    assert cvar(one + other, alpha) <= cvar(one, alpha) + cvar(other, alpha) + 1e-9


@given(COSTS, SHARES, SHARES)
def test_cvar__falls_with_the_share(costs: Floats, one: float, other: float) -> None:
    assert cvar(costs, max(one, other)) <= cvar(costs, min(one, other)) + 1e-9


@given(COSTS, SHARES)
def test_cvar__of_tensors_is_the_same(costs: Floats, alpha: float) -> None:
    assert float(cvar(torch.as_tensor(costs), alpha)) == pytest.approx(cvar(costs, alpha), rel=1e-12, abs=1e-9)


def test_cvar__a_share_that_is_nearly_whole() -> None:
    assert cvar(np.arange(10.0), 0.3) == 8.0  # .3 x 10 is below 3 in floating point


@pytest.mark.parametrize("alpha", [0.1, 0.37, 0.5, 1.0])
def test_cvar__gradient_of_tensors_is_the_weight_in_the_tail(alpha: float) -> None:
    costs = torch.as_tensor(np.random.default_rng(0).normal(size=(3, 10)), dtype=torch.float64).requires_grad_()
    cvar(costs, alpha).sum().backward()
    np.testing.assert_allclose(costs.grad, tail_weights(costs.detach(), alpha), atol=1e-15)
    assert torch.autograd.gradcheck(lambda c: cvar(c, alpha), (costs,))


@given(COSTS, SHARES)
def test_tail_weights__have_the_cvar_as_mean(costs: Floats, alpha: float) -> None:
    weights = tail_weights(costs, alpha)
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert (weights >= 0).all()
    assert (weights @ costs) == pytest.approx(cvar(costs, alpha), rel=1e-9, abs=1e-9)


@given(COSTS, SHARES)
def test_value_at_risk__is_where_the_least_is(costs: Floats, alpha: float) -> None:
    eta = float(value_at_risk(costs, alpha))
    excess = float(np.maximum(costs - eta, 0.0).mean()) / alpha
    assert eta + excess == pytest.approx(cvar(costs, alpha), rel=1e-7, abs=1e-5)


def test_functions__take_many_at_a_time() -> None:
    costs = np.random.default_rng(1).normal(size=(2, 3, 7))
    for function in (cvar, value_at_risk, tail_weights):
        together = function(costs, 0.4)
        for i, j in itertools.product(range(2), range(3)):
            np.testing.assert_allclose(together[i, j], function(costs[i, j], 0.4), rtol=1e-15)


def test_mean_cvar__is_between() -> None:
    costs = np.random.default_rng(2).normal(size=9)
    assert mean_cvar(costs, 0.2, 0.0) == cvar(costs, 0.2)
    assert mean_cvar(costs, 0.2, 0.25) == pytest.approx(0.25 * costs.mean() + 0.75 * cvar(costs, 0.2), rel=1e-15)
    assert mean_cvar(costs, 0.2, 1.0) == pytest.approx(costs.mean(), rel=1e-15)


@pytest.mark.parametrize(
    ("alpha", "error", "text"),
    [
        (0.0, ValueError, "alpha must be in (0, 1], the share of worst outcomes; got 0."),
        (-0.1, ValueError, "alpha must be in (0, 1], the share of worst outcomes; got -0.1."),
        (float("nan"), ValueError, "alpha must be in (0, 1], the share of worst outcomes; got nan."),
        (90, ValueError, "alpha must be in (0, 1], the share of worst outcomes; got 90. Did you mean 0.9?"),
        (True, TypeError, "alpha must be a number in (0, 1], the share of worst outcomes; got True"),
        ("0.1", TypeError, "alpha must be a number in (0, 1], the share of worst outcomes; got '0.1'"),
    ],
)
def test_check_alpha__errors(alpha: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        check_alpha(alpha)


def test_check_alpha__names_what_it_checks() -> None:
    with pytest.raises(ValueError, match=re.escape("risk must be in (0, 1]")):
        check_alpha(2.0, "risk")
    assert check_alpha(np.float32(0.5)) == 0.5


@pytest.mark.parametrize("costs", [3.0, [], np.zeros((2, 0))])
def test_cvar__of_nothing(costs: Any) -> None:
    with pytest.raises(ValueError, match=re.escape("costs must be [..., K] with at least one; got shape")):
        cvar(costs, 0.5)


# ------------------------------------------------------------------------------------------------- plans: known answers


def _feasible(name: str, known: dict[str, Any], d: int) -> tuple[Polytope, float, Floats | None]:
    """What can be decided, the sense, and the quadratic."""
    if name == "portfolio":
        return Polytope(0.0, 1.0, np.ones((1, d)), np.ones(1)), -1.0, np.array(known["Sigma"])
    if name == "knapsack":
        weights = np.array([known["weights"]], dtype=float)
        return Polytope(0.0, 1.0, weights, np.array([known["capacity"]])), -1.0, None
    return Polytope(0.0, 1.0, None, None, np.array(known["A_eq"]), np.array(known["b_eq"])), 1.0, None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ["portfolio", "knapsack", "path"])
def test_plan__known_answers(name: str, number: int, shared_data: Path) -> None:
    known = instance(shared_data, f"cvar_{name}_{number}")
    samples = np.array(known["samples"])
    polytope, sense, quadratic = _feasible(name, known, samples.shape[1])
    for share, answer in known["answers"].items():
        found = cvar_plan(sense * samples, polytope, alpha=float(share), quadratic=quadratic)
        assert found.status == "optimal"
        assert found.value == pytest.approx(answer["value"], rel=1e-6, abs=1e-9)
        assert found.bound <= found.value
        assert found.bound == pytest.approx(found.value, rel=1e-6, abs=1e-7)
        if name == "portfolio":  # curved: the plan is single
            np.testing.assert_allclose(found.plan, answer["w"], atol=2e-4)


@pytest.mark.parametrize("number", [1, 2])
def test_plan__one_path_that_is_not_mixed(number: int, shared_data: Path) -> None:
    known = instance(shared_data, f"cvar_path_{number}")
    samples = np.array(known["samples"])
    polytope, _, _ = _feasible("path", known, samples.shape[1])
    for share, answer in known["answers"].items():
        found = cvar_plan(samples, polytope, alpha=float(share), integral=True)
        assert found.value == pytest.approx(answer["integer_value"], rel=1e-9)
        np.testing.assert_array_equal(found.plan, np.round(found.plan))
        assert found.value >= answer["value"] - 1e-9
        assert cvar(samples @ np.array(answer["integer_w"]), float(share)) == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize("number", [1, 2])
def test_plan__generators_of_known_answers(number: int, shared_data: Path) -> None:
    known = instance(shared_data, f"energy_{number}")
    samples = np.array(known["prices"])
    ones, total = np.ones((1, samples.shape[1])), np.array([known["total"]])
    polytope = Polytope(known["lower"], known["upper"], None, None, ones, total)
    for share, answer in known["answers"].items():
        found = cvar_plan(samples, polytope, alpha=float(share))
        assert found.value == pytest.approx(answer["value"], rel=1e-9)
        np.testing.assert_allclose(found.plan, answer["p"], atol=1e-6)


# ------------------------------------------------------------------------------------------- plans: another formulation


def vectorised(samples: Floats, polytope: Polytope, alpha: float, **terms: Any) -> float:
    """The least of the same problem by CVXPY's own `sum_largest`, which knows nothing of thresholds."""
    cp = pytest.importorskip("cvxpy", reason="needs the dev extra")
    n, d = samples.shape
    w, low_high, rows = cp.Variable(d), polytope.bounds(d), polytope.rows(d)
    costs = samples @ w + terms.get("offsets", np.zeros(n))
    size = alpha * n
    whole = int(np.floor(size + 1e-9))
    part = size - whole
    tail = part * cp.sum_largest(costs, whole + 1) if part > 1e-9 else 0.0
    tail = tail + (1.0 - part if part > 1e-9 else 1.0) * (cp.sum_largest(costs, whole) if whole else 0.0)
    mean_weight = terms.get("mean_weight", 0.0)
    goal = (1.0 - mean_weight) * tail / size + mean_weight * cp.sum(costs) / n
    goal = goal + terms.get("linear", np.zeros(d)) @ w + terms.get("norm_weight", 0.0) * cp.norm(w, 2)
    if "quadratic" in terms:
        goal = goal + cp.quad_form(w, cp.psd_wrap(terms["quadratic"]))
    walls = [w >= low_high[0], w <= low_high[1]]
    walls += [rows[0] @ w <= rows[1]] if rows[0].shape[0] else []
    walls += [rows[2] @ w == rows[3]] if rows[2].shape[0] else []
    problem = cp.Problem(cp.Minimize(goal), walls)
    return float(problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10))


@pytest.mark.parametrize("mean_weight", [0.0, 0.3])
@pytest.mark.parametrize("norm_weight", [0.0, 0.7])
@pytest.mark.parametrize("curved", [False, True], ids=["linear", "curved"])
@pytest.mark.parametrize("alpha", [0.1, 0.37, 0.75])
def test_plan__is_that_of_another_formulation(
    alpha: float, curved: bool, norm_weight: float, mean_weight: float
) -> None:
    rng = np.random.default_rng(3)
    n, d = 23, 6
    samples, root = rng.standard_t(4, size=(n, d)), rng.normal(size=(d, d))
    polytope = Polytope(-1.0, 2.0, np.ones((1, d)), np.array([1.5]), np.eye(d)[:1] - np.eye(d)[1:2], np.array([0.2]))
    terms: dict[str, Any] = {"mean_weight": mean_weight, "norm_weight": norm_weight}
    terms |= {"linear": rng.normal(size=d), "offsets": rng.normal(size=n)} | (
        {"quadratic": root @ root.T} if curved else {}
    )
    found = cvar_plan(samples, polytope, alpha=alpha, **terms)
    assert found.value == pytest.approx(vectorised(samples, polytope, alpha, **terms), rel=1e-7, abs=1e-7)
    assert found.bound == pytest.approx(found.value, abs=1e-6)


def test_plan__of_whole_parts_is_the_best_of_all() -> None:
    rng = np.random.default_rng(4)
    samples, weights = -rng.exponential(size=(15, 7)), rng.integers(3, 9, 7).astype(float)
    polytope = Polytope(0.0, 1.0, weights[None], np.array([18.0]))
    subsets = np.array(list(itertools.product([0.0, 1.0], repeat=7)))
    subsets = subsets[subsets @ weights <= 18.0]
    for alpha, mean_weight in itertools.product((0.1, 0.4, 1.0), (0.0, 0.5)):
        least = mean_cvar(subsets @ samples.T, alpha, mean_weight).min()
        found = cvar_plan(samples, polytope, alpha=alpha, mean_weight=mean_weight, integral=True)
        assert found.value == pytest.approx(least, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 0.8, 1.0]), st.floats(-5.0, 5.0), st.floats(0.1, 10.0))
def test_plan__follows_shifts_and_scales_of_costs(seed: int, alpha: float, shift: float, scale: float) -> None:
    samples = np.random.default_rng(seed).normal(size=(12, 4))
    polytope = Polytope(0.0, None, None, None, np.ones((1, 4)), np.ones(1))  # parts add up to 1
    one = cvar_plan(samples, polytope, alpha=alpha)
    other = cvar_plan(scale * samples + shift, polytope, alpha=alpha)
    assert other.value == pytest.approx(scale * one.value + shift, abs=1e-7)
    corners = cvar(samples.T, alpha)
    assert one.value <= corners.min() + 1e-9


def test_plan__sparse_samples_are_the_same() -> None:
    samples = np.random.default_rng(5).normal(size=(20, 8)) * (np.random.default_rng(6).random((20, 8)) < 0.3)
    polytope = Polytope(-1.0, 1.0, np.ones((1, 8)), np.array([0.5]))
    for alpha in (0.2, 1.0):
        dense = cvar_plan(samples, polytope, alpha=alpha)
        thin = Polytope(-1.0, 1.0, sparse.csr_matrix(np.ones((1, 8))), np.array([0.5]))
        found = cvar_plan(sparse.csr_matrix(samples), thin, alpha=alpha)
        assert found.value == pytest.approx(dense.value, rel=1e-9)


def test_plan__offsets_of_samples_move_the_tail() -> None:
    samples, offsets = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 10.0])
    polytope = Polytope(0.0, None, None, None, np.ones((1, 2)), np.ones(1))
    found = cvar_plan(samples, polytope, alpha=0.5, offsets=offsets)
    np.testing.assert_allclose(found.plan, [1.0, 0.0], atol=1e-9)  # the second sample is the worst whatever is decided
    assert found.value == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"samples": np.ones(3)}, "samples must be [K, d], at least one of each; got shape (3,)"),
        ({"samples": np.ones((0, 3))}, "samples must be [K, d], at least one of each; got shape (0, 3)"),
        ({"samples": np.full((2, 3), np.inf)}, "samples, offsets and linear must be finite; some are NaN or infinite"),
        ({"offsets": np.ones(3)}, "offsets must be [2] and linear [3]; got (3,) and (3,)"),
        ({"mean_weight": 1.5}, "mean_weight must be in [0, 1], the weight of the mean beside CVaR; got 1.5"),
        ({"norm_weight": -1.0}, "norm_weight must be at least 0 and finite; got -1.0"),
        ({"quadratic": np.eye(2)}, "quadratic must be [3, 3]; got (2, 2)"),
        ({"quadratic": np.eye(3), "integral": True}, "whole parts go with linear costs alone"),
        ({"alpha": 10}, "alpha must be in (0, 1], the share of worst outcomes; got 10. Did you mean 0.1?"),
        ({"polytope": Polytope(0.0, 1.0, np.ones((2, 3)), np.ones(1))}, "A_ub must be [1, 3], a row for each of b_ub"),
        ({"polytope": Polytope(0.0, 1.0, None, np.ones(1))}, "A_ub and b_ub go together; one of them is None"),
    ],
)
def test_plan__errors(change: dict[str, Any], text: str) -> None:
    given_: dict[str, Any] = {"samples": np.ones((2, 3)), "polytope": Polytope(0.0, 1.0), "alpha": 0.5} | change
    with pytest.raises(ValueError, match=re.escape(text)):
        cvar_plan(given_.pop("samples"), given_.pop("polytope"), **given_)


@pytest.mark.parametrize("quadratic", [None, np.eye(3)], ids=["linear", "curved"])
def test_plan__nothing_is_possible(quadratic: Floats | None) -> None:
    polytope = Polytope(0.0, 1.0, -np.ones((1, 3)), np.array([-4.0]))
    with pytest.raises(RuntimeError, match="no plan was found"):
        cvar_plan(np.ones((2, 3)), polytope, alpha=0.5, quadratic=quadratic)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("radius", [0.03, 30.0, 6e4])
def test_cvar_plan__a_norm_is_solved_at_any_scale_of_costs(scale: float, radius: float) -> None:
    """Prices of a day of some sixty with radii of a hundredth to a thousand times that: rounding must not stop it."""
    hours = Polytope(0.5, 1.5, A_eq=np.ones((1, 24)), b_eq=np.array([24.0]))
    costs = scale * (60.0 + np.random.default_rng(0).standard_normal((1, 24)).cumsum(axis=1) * 12.0)
    found = cvar_plan(costs, hours, alpha=1.0, norm_weight=scale * radius)
    assert found.value == pytest.approx(found.bound, rel=1e-6)
    assert found.plan.sum() == pytest.approx(24.0)
    flat = np.ones(24)
    assert found.value <= float(costs[0] @ flat) + scale * radius * np.linalg.norm(flat) + 1e-6 * scale
