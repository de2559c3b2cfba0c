"""Plans against the worst storm: known optima, four methods beside each other, the paper's printed faults, messages."""

import os
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from stormgym.agents.undergrounding.trilevel.baselines import solve_baseline
from stormgym.agents.undergrounding.trilevel.solve import MAX_BRUTE_FORCE, crew_response, solve_trilevel, worst_case

FULL = os.environ.get("STORMGYM_FULL") == "1"
METHODS = ("compact", "benders", "kkt", "brute-force")


def corners(low: np.ndarray, high: np.ndarray, total: float) -> np.ndarray:
    """Corners of the set with sum u = total: all regions at an end but one, which takes the rest."""
    n, found = len(low), []
    for i in range(n):
        for side in product((0, 1), repeat=n - 1):
            u = np.insert(np.where(side, np.delete(high, i), np.delete(low, i)), i, 0.0)
            u[i] = total - u.sum()
            if low[i] - 1e-9 <= u[i] <= high[i] + 1e-9:
                found.append(u)
    return np.array(found)


def value_by_corners(plan: np.ndarray, data: tuple[Any, ...], crew_budget: float) -> float:
    """min over y of the largest loss over all corners, a linear program that shares no line with ours."""
    h, _, c, low, high, _, t0 = data
    low, high = np.asarray(low), np.asarray(high)
    loss = corners(low, high, min(t0, high.sum())) * h * (1 - plan)  # [corners, n]
    rows = np.concatenate([np.column_stack([-loss, -np.ones(len(loss))]), np.append(c, 0.0)[None]])
    right = np.append(-loss.sum(axis=1), crew_budget)
    bounds = [(0, 1)] * len(h) + [(0, None)]
    return float(linprog(np.append(np.zeros(len(h)), 1.0), A_ub=rows, b_ub=right, bounds=bounds).fun)


# Known optima


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_instance__every_method_finds_its_optimum(
    name: str, method: Any, shared_data: Path, load: Callable[..., Any]
) -> None:
    data, limits, expected = load(shared_data, name)
    if method == "kkt" and len(data[0]) > 10:
        pytest.skip("big-M takes minutes beyond 10 regions")
    plan = solve_trilevel(*data, **limits, method=method)
    assert plan.value == pytest.approx(expected["V"], abs=1e-6)
    assert plan.status == "optimal"
    assert plan.lower_bound <= plan.value == plan.upper_bound
    assert plan.gap <= 1e-6
    assert np.dot(data[1], plan.protect) <= limits["budget"]
    assert np.dot(data[2], plan.crews) <= limits["crew_budget"] + 1e-9


def test_instance__plans_without_an_optimum_have_the_stated_value(
    name: str, shared_data: Path, load: Callable[..., Any]
) -> None:
    data, limits, expected = load(shared_data, name)
    n, crews = len(data[0]), {"crew_budget": limits["crew_budget"]}
    rest = (data[0], *data[2:])
    unit = np.eye(n)[expected["V_at_unit_vector"]["index"]]
    assert worst_case(np.zeros(n), *rest, **crews).value == pytest.approx(expected["V_at_x0"], abs=1e-6)
    assert worst_case(unit, *rest, **crews).value == pytest.approx(expected["V_at_unit_vector"]["value"], abs=1e-6)
    whole = worst_case(np.zeros(n), *rest, **crews, crews="binary").value
    assert whole == pytest.approx(expected["V0_binary_crews"], abs=1e-6)


@pytest.mark.parametrize("method", ["compact", "benders", "brute-force"])
def test_instance__whole_crews(name: str, method: Any, shared_data: Path, load: Callable[..., Any]) -> None:
    if name == "n14_nonuniform" and method == "brute-force" and not FULL:
        pytest.skip("1,606 plans; with STORMGYM_FULL=1")
    data, limits, expected = load(shared_data, name)
    plan = solve_trilevel(*data, **limits, method=method, crews="binary")
    assert plan.value == pytest.approx(expected["V_binary_crews"], abs=1e-6)
    assert plan.crew_kind == "binary"


# Equivalence


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_random__compact_and_benders_are_brute_force(n: int, draw: Callable[..., Any]) -> None:
    for seed in range(40 if FULL else 12):
        data, limits = draw(n, seed, equal=seed % 3 == 0)
        exact = solve_trilevel(*data, **limits, method="brute-force").value
        for method in ("compact", "benders"):
            found = solve_trilevel(*data, **limits, method=method)  # type: ignore[arg-type]
            assert found.value == pytest.approx(exact, rel=1e-6, abs=1e-7), (n, seed, method)
            assert found.status == "optimal"


def test_random__brute_force_is_enumeration_over_corners(draw: Callable[..., Any]) -> None:
    for seed in range(12):
        n = 2 + seed % 4
        data, limits = draw(n, 100 + seed)
        plans = [np.array(x) for x in product((0, 1), repeat=n) if np.dot(x, data[1]) <= limits["budget"]]
        exact = min(value_by_corners(x, data, limits["crew_budget"]) for x in plans)
        assert solve_trilevel(*data, **limits, method="brute-force").value == pytest.approx(exact, rel=1e-6, abs=1e-7)


@pytest.mark.slow
def test_random__whole_crews_by_every_method(draw: Callable[..., Any]) -> None:
    for seed in range(16 if FULL else 8):
        data, limits = draw(3 + seed % 4, 300 + seed)
        exact = solve_trilevel(*data, **limits, method="brute-force", crews="binary")
        assert exact.value >= solve_trilevel(*data, **limits).value - 1e-9
        for method in ("compact", "benders"):
            found = solve_trilevel(*data, **limits, method=method, crews="binary")  # type: ignore[arg-type]
            assert found.value == pytest.approx(exact.value, rel=1e-6, abs=1e-7), (seed, method)


# What the record says


def test_record__storm_and_crews_are_a_saddle_point(draw: Callable[..., Any]) -> None:
    for seed in range(10):
        data, limits = draw(6, 400 + seed)
        h, _, c, low, high, l0, t0 = data
        plan = solve_trilevel(*data, **limits)
        assert (plan.storm >= low - 1e-9).all()
        assert (plan.storm <= high + 1e-9).all()
        assert l0 - 1e-9 <= plan.storm.sum() <= t0 + 1e-9
        loss = h * plan.storm * (1 - plan.protect)
        assert (loss * (1 - plan.crews)).sum() == pytest.approx(plan.value)
        answer = crew_response(loss, c, crew_budget=limits["crew_budget"])
        assert (loss * (1 - answer)).sum() == pytest.approx(plan.value)  # nothing answers this storm better
        other = corners(low, high, min(t0, high.sum())) * h * (1 - plan.protect) @ (1 - plan.crews)
        assert other.max() <= plan.value + 1e-8  # and no storm hurts these crews more


def test_total_lower__never_changes_the_worst_storm(draw: Callable[..., Any]) -> None:
    data, limits = draw(6, 1)
    h, b, c, low, high, _, t0 = data
    values = [solve_trilevel(h, b, c, low, high, l0, t0, **limits).value for l0 in (0.0, 0.5 * (low.sum() + t0), t0)]
    assert values == pytest.approx([values[0]] * 3)


def test_units__scale_the_value_and_nothing_else(draw: Callable[..., Any]) -> None:
    data, limits = draw(6, 2)
    h, b, c, low, high, l0, t0 = data
    plan = solve_trilevel(*data, **limits)
    for k in (1e-6, 1e6):
        scaled = solve_trilevel(
            h * k, b * k, c * k, low * k, high * k, l0 * k, t0 * k, budget=limits["budget"] * k,
            crew_budget=limits["crew_budget"] * k,
        )  # fmt: skip
        assert scaled.value == pytest.approx(plan.value * k * k, rel=1e-6)
        np.testing.assert_array_equal(scaled.protect, plan.protect)


@pytest.mark.parametrize("method", METHODS)
def test_weights__far_apart_are_solved_and_tiny_ones_count_as_nothing(method: Any) -> None:
    weights = [6.9e4, 1e-4, 8e4, 1.7e-3, 5e4]
    arrays = (weights, [1.0, 1.0, 0.0, 0.0, 2.0], [1.0, 3.0, 0.0, 0.0, 1.0], [0, 1, 2, 1, 2], [3, 2, 4, 1, 2])
    plan = solve_trilevel(*arrays, 6.0, 11.3, budget=2.0, crew_budget=0.0, method=method)
    kept = [w if w > 1e-3 else 0.0 for w in weights]
    same = solve_trilevel(kept, *arrays[1:], 6.0, 11.3, budget=2.0, crew_budget=0.0, method=method)
    assert plan.status == same.status == "optimal"
    assert plan.value == pytest.approx(same.value, rel=1e-6)


def test_case_study__one_crew_a_region_is_cost_one(draw: Callable[..., Any]) -> None:
    data, limits = draw(8, 3, equal=True)
    h, b, _, *rest = data
    plan = solve_trilevel(h, b, 1.0, *rest, **limits)
    whole = solve_trilevel(h, b, 1.0, *rest, **limits, crews="binary")
    assert plan.value == whole.value  # relaxed crews are whole ones
    assert plan.crews.max() <= 1.0


def test_infinite_bounds__are_what_the_total_leaves() -> None:
    h, b = [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]
    low = np.array([1.0, 0.0, 2.0])
    plan = solve_trilevel(h, b, 1.0, low, np.inf, 0.0, 10.0, budget=1.0, crew_budget=1.0)
    boxed = solve_trilevel(h, b, 1.0, low, 10.0 - low.sum() + low, 0.0, 10.0, budget=1.0, crew_budget=1.0)
    assert plan.value == pytest.approx(boxed.value)
    high = [4.0, 5.0, 6.0]
    free = solve_trilevel(h, b, 1.0, low, high, 0.0, np.inf, budget=1.0, crew_budget=1.0)
    assert free.storm == pytest.approx(high)


def test_budgets__nothing_and_everything(draw: Callable[..., Any]) -> None:
    data, limits = draw(5, 4)
    h, b, c, _, high, _, t0 = data
    none = solve_trilevel(*data, budget=0.0, crew_budget=0.0)
    assert not none.protect.any()
    one_stage = linprog(-h, A_ub=np.ones((1, 5)), b_ub=[t0], bounds=np.stack([data[3], high], axis=1))
    assert none.value == pytest.approx(-one_stage.fun)
    everything = solve_trilevel(*data, budget=b.sum(), crew_budget=0.0)
    assert everything.value == 0.0
    assert everything.gap == 0.0
    assert solve_trilevel(*data, budget=limits["budget"], crew_budget=c.sum()).value == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_time_limit__gives_the_best_plan_with_its_gap(method: Any, draw: Callable[..., Any]) -> None:
    n = 60 if method in ("compact", "benders") else 12
    data, limits = draw(n, 5, equal=True)
    plan = solve_trilevel(*data, **limits, method=method, time_limit=1e-3)
    assert np.dot(data[1], plan.protect) <= limits["budget"]
    assert 0.0 <= plan.lower_bound <= plan.value
    assert plan.status == "time limit"
    assert plan.gap == pytest.approx((plan.value - plan.lower_bound) / plan.value)


def test_fault__proposition_3() -> None:
    h = np.arange(1.0, 6.0)
    worst = worst_case(np.zeros(5), h, 1.0, 0.0, np.inf, 0.0, 10.0, crew_budget=2.0)
    falling = h[::-1]
    rule = {m: (m - 2) * 10.0 / (1 / falling[:m]).sum() for m in (3, 4, 5)}
    assert max(rule.values()) == pytest.approx(15.584416, abs=1e-6)
    assert worst.value == pytest.approx(max(rule.values()))
    m = max(rule, key=lambda k: rule[k])
    assert np.flatnonzero(worst.storm > 1e-9).tolist() == list(range(5 - m, 5))  # the m LARGEST weights
    assert (h * worst.storm)[5 - m :] == pytest.approx(10.0 / (1 / falling[:m]).sum())
    printed = np.zeros(5)
    printed[:3] = 10.0 / h[:3] / (1 / h[:3]).sum()
    loss = h * printed
    assert (loss * (1 - crew_response(loss, 1.0, crew_budget=2.0))).sum() == pytest.approx(5.454545, abs=1e-6)


def test_fault__proposition_1_distinct_costs_do_not_make_crews_whole() -> None:
    sent = crew_response([3.0, 2.0], [1.0, 2.0], crew_budget=2.0)  # distinct losses, distinct costs, whole budget
    assert sent == pytest.approx([1.0, 0.5])
    whole = crew_response([3.0, 2.0], [1.0, 2.0], crew_budget=2.0, crews="binary")
    assert whole.tolist() == [1.0, 0.0]


# Messages


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total_upper": 2.0}, r"no storm fits: the sum of lower is 3, above total_upper 2"),
        ({"total_lower": 40.0, "total_upper": 50.0}, r"no storm fits: the sum of upper is 12, below total_lower 40"),
        ({"total_lower": 9.0, "total_upper": 8.0}, r"total_lower must be at most total_upper; got 9 above 8"),
        ({"lower": [1.0, 7.0]}, r"lower must be at most upper; region 1 has 7 above 6"),
        ({"upper": np.inf, "total_upper": np.inf}, r"unbounded: upper is infinite in regions \[0, 1\]"),
        ({"weights": [[1.0]]}, r"weights must be \[n\] with at least one region; got shape \(1, 1\)"),
        ({"weights": [1.0, -1.0]}, r"weights must be finite and at least 0; got -1.0 to 1.0"),
        ({"protect_cost": [1.0, 2.0, 3.0]}, r"protect_cost must be a number or \[2\].*got shape \(3,\)"),
        ({"lower": [1.0, np.nan]}, r"lower must not hold NaN; region 1 does"),
        ({"budget": -1.0}, r"budget must be finite and at least 0; got -1.0"),
        ({"method": "simplex"}, r"method must be compact, benders, kkt or brute-force; got 'simplex'"),
        ({"crews": "half"}, r"crews must be continuous or binary; got 'half'"),
        ({"gap": 5.0}, r"gap must be in \[0, 1\); got 5.0. Did you mean 0.05\?"),
        ({"time_limit": 0.0}, r"time_limit must be above 0 seconds, or None; got 0.0"),
        ({"method": "kkt", "crews": "binary", "crew_cost": [1.0, 2.0]}, r"use compact or benders"),
    ],
)
def test_errors__name_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "weights": [1.0, 2.0],
        "protect_cost": 1.0,
        "crew_cost": 1.0,
        "lower": [1.0, 2.0],
        "upper": 6.0,
        "total_lower": 0.0,
        "total_upper": 8.0,
        "budget": 1.0,
        "crew_budget": 1.0,
    }
    with pytest.raises(ValueError, match=message):
        solve_trilevel(**(good | change))


def test_errors__methods_that_cannot_list_everything(draw: Callable[..., Any]) -> None:
    data, limits = draw(40, 0)
    with pytest.raises(ValueError, match=rf"brute force tries at most {MAX_BRUTE_FORCE} plans"):
        solve_trilevel(*data, **limits, method="brute-force")
    with pytest.raises(ValueError, match=r'too many; use method="benders"'):
        solve_trilevel(*data, **limits, crews="binary")


def test_errors__of_the_other_functions(draw: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"protect must be \[2\] of 0 and 1; got \[0.5, 0\]"):
        worst_case([0.5, 0], [1.0, 1.0], 1.0, 0.0, 1.0, 0.0, 2.0, crew_budget=1.0)
    with pytest.raises(ValueError, match="loss must be"):
        crew_response([-1.0], 1.0, crew_budget=1.0)
    data, limits = draw(3, 0)
    with pytest.raises(ValueError, match=r"two-stage-mean needs mean, \[3\] finite outages"):
        solve_baseline("two-stage-mean", *data, **limits)
    with pytest.raises(ValueError, match="kind must be one of"):
        solve_baseline("three-stage", *data, **limits)  # type: ignore[arg-type]


def test_docs__python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[4] / "docs" / "planners_trilevel.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})  # our own documentation
    assert "optimal" in capsys.readouterr().out
