"""Plans against the worst storm: known optima, four methods beside each other, the paper's printed faults, messages."""

import json
import os
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from stormgym.agents.undergrounding.trilevel.baselines import BASELINES, solve_baseline
from stormgym.agents.undergrounding.trilevel.compact import solve_compact
from stormgym.agents.undergrounding.trilevel.problem import WorstStormProgram, knapsack, list_patterns, make_problem
from stormgym.agents.undergrounding.trilevel.solve import MAX_BRUTE_FORCE, crew_response, solve_trilevel, worst_case

FULL = os.environ.get("STORMGYM_FULL") == "1"
NAMES = ("n10_uniform", "n14_nonuniform", "n5_uniform", "n8_nonuniform", "tiny2", "tiny3", "tiny4_frac")
METHODS = ("compact", "benders", "kkt", "brute-force")


def load(folder: Path, name: str) -> tuple[tuple[Any, ...], dict[str, float], dict[str, Any]]:
    d = json.loads((folder / "instances" / f"trilevel_{name}.json").read_text())
    data = tuple(d[key] for key in ("h", "b", "c", "L", "T", "L0", "T0"))
    return data, {"budget": d["B"], "crew_budget": d["C"]}, d["expected"]


def draw(n: int, seed: int, *, equal: bool = False) -> tuple[tuple[Any, ...], dict[str, float]]:
    rng = np.random.default_rng([n, seed])
    h, b = rng.uniform(1, 10, n), rng.integers(100, 500, n).astype(float)
    c = np.ones(n) if equal else rng.uniform(0.5, 3.0, n)
    low = rng.uniform(0, 5, n)
    high = low + rng.uniform(0, 10, n)
    ends = low.sum() + np.sort(rng.uniform(0, 1, 2)) * (high - low).sum()
    limits = {"budget": float(rng.uniform(0.2, 0.6) * b.sum()), "crew_budget": float(rng.uniform(0.1, 0.4) * c.sum())}
    if equal:
        limits["crew_budget"] = float(np.ceil(limits["crew_budget"]))
    return (h, b, c, low, high, float(ends[0]), float(ends[1])), limits


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_instance__every_method_finds_its_optimum(name: str, method: Any, shared_data: Path) -> None:
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


@pytest.mark.parametrize("name", NAMES)
def test_instance__plans_without_an_optimum_have_the_stated_value(name: str, shared_data: Path) -> None:
    data, limits, expected = load(shared_data, name)
    n, crews = len(data[0]), {"crew_budget": limits["crew_budget"]}
    rest = (data[0], *data[2:])
    unit = np.eye(n)[expected["V_at_unit_vector"]["index"]]
    assert worst_case(np.zeros(n), *rest, **crews).value == pytest.approx(expected["V_at_x0"], abs=1e-6)
    assert worst_case(unit, *rest, **crews).value == pytest.approx(expected["V_at_unit_vector"]["value"], abs=1e-6)
    whole = worst_case(np.zeros(n), *rest, **crews, crews="binary").value
    assert whole == pytest.approx(expected["V0_binary_crews"], abs=1e-6)


@pytest.mark.parametrize("method", ["compact", "benders", "brute-force"])
@pytest.mark.parametrize("name", NAMES)
def test_instance__whole_crews(name: str, method: Any, shared_data: Path) -> None:
    if name == "n14_nonuniform" and method == "brute-force" and not FULL:
        pytest.skip("1,606 plans; with STORMGYM_FULL=1")
    data, limits, expected = load(shared_data, name)
    plan = solve_trilevel(*data, **limits, method=method, crews="binary")
    assert plan.value == pytest.approx(expected["V_binary_crews"], abs=1e-6)
    assert plan.crew_kind == "binary"


@pytest.mark.parametrize("name", NAMES)
def test_instance__baselines(name: str, shared_data: Path) -> None:
    data, limits, expected = load(shared_data, name)
    one = solve_baseline("one-stage-worst", *data, **limits)
    two = solve_baseline("two-stage-worst", *data, **limits)
    static = solve_baseline("two-stage-worst", *data, **limits, crews="binary")
    assert one.objective == pytest.approx(expected["V_one_stage_worst_no_crews"], abs=1e-6)
    assert static.objective == pytest.approx(expected["V_two_stage_static_binary_y"], abs=1e-6)
    # With crews that can be shared it is the three-level problem itself.
    assert two.objective == pytest.approx(expected["V"], abs=1e-6)
    assert two.value == pytest.approx(expected["V"], abs=1e-6)


# Equivalence


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_random__compact_and_benders_are_brute_force(n: int) -> None:
    for seed in range(40):
        data, limits = draw(n, seed, equal=seed % 3 == 0)
        exact = solve_trilevel(*data, **limits, method="brute-force").value
        for method in ("compact", "benders"):
            found = solve_trilevel(*data, **limits, method=method)  # type: ignore[arg-type]
            assert found.value == pytest.approx(exact, rel=1e-6, abs=1e-7), (n, seed, method)
            assert found.status == "optimal"


def test_random__brute_force_is_enumeration_over_corners() -> None:
    for seed in range(12):
        n = 2 + seed % 4
        data, limits = draw(n, 100 + seed)
        plans = [np.array(x) for x in product((0, 1), repeat=n) if np.dot(x, data[1]) <= limits["budget"]]
        exact = min(value_by_corners(x, data, limits["crew_budget"]) for x in plans)
        assert solve_trilevel(*data, **limits, method="brute-force").value == pytest.approx(exact, rel=1e-6, abs=1e-7)


def test_random__kkt_agrees() -> None:
    for seed in range(24):
        data, limits = draw(2 + seed % 4, 200 + seed, equal=seed % 2 == 0)
        exact = solve_trilevel(*data, **limits).value
        assert solve_trilevel(*data, **limits, method="kkt").value == pytest.approx(exact, rel=1e-6, abs=1e-7), seed


def test_random__whole_crews_by_every_method() -> None:
    for seed in range(16):
        data, limits = draw(3 + seed % 4, 300 + seed)
        exact = solve_trilevel(*data, **limits, method="brute-force", crews="binary")
        assert exact.value >= solve_trilevel(*data, **limits).value - 1e-9
        for method in ("compact", "benders"):
            found = solve_trilevel(*data, **limits, method=method, crews="binary")  # type: ignore[arg-type]
            assert found.value == pytest.approx(exact.value, rel=1e-6, abs=1e-7), (seed, method)


def test_split__intervals_of_the_price_change_no_value() -> None:
    for seed in range(12):
        data, limits = draw(12, seed, equal=seed % 2 == 0)
        problem = make_problem(*data, **limits)
        storm = WorstStormProgram(problem)
        scale = storm(np.zeros(12)).value
        whole, split = (solve_compact(problem, scale, gap=1e-6, time_limit=60.0, split_above=most) for most in (12, 11))
        assert storm(split.protect).value == pytest.approx(storm(whole.protect).value, rel=2e-6)
        assert split.lower_bound == pytest.approx(whole.lower_bound, rel=2e-6)
        assert split.stopped == whole.stopped == ""


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 100] if FULL else [20])
def test_large__benders_meets_compact(n: int) -> None:
    for seed in range(4 if FULL else 2):
        data, limits = draw(n, seed)
        exact = solve_trilevel(*data, **limits)
        found = solve_trilevel(*data, **limits, method="benders", time_limit=60.0 if FULL else 10.0)
        assert exact.status == "optimal"
        assert found.lower_bound <= exact.value * (1 + 1e-6)
        assert found.value >= exact.lower_bound * (1 - 1e-6)
        if found.status == "optimal":
            assert found.value == pytest.approx(exact.value, rel=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 500] if FULL else [120])
def test_large__compact_closes(n: int) -> None:
    data, limits = draw(n, 1, equal=True)
    plan = solve_trilevel(*data, **limits, gap=1e-3, time_limit=120.0)
    assert plan.status == "optimal"
    assert plan.gap <= 1e-3


# What the record says


def test_record__storm_and_crews_are_a_saddle_point() -> None:
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


def test_total_lower__never_changes_the_worst_storm() -> None:
    data, limits = draw(6, 1)
    h, b, c, low, high, _, t0 = data
    values = [solve_trilevel(h, b, c, low, high, l0, t0, **limits).value for l0 in (0.0, 0.5 * (low.sum() + t0), t0)]
    assert values == pytest.approx([values[0]] * 3)


def test_units__scale_the_value_and_nothing_else() -> None:
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


def test_case_study__one_crew_a_region_is_cost_one() -> None:
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


def test_budgets__nothing_and_everything() -> None:
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
def test_time_limit__gives_the_best_plan_with_its_gap(method: Any) -> None:
    n = 60 if method in ("compact", "benders") else 12
    data, limits = draw(n, 5, equal=True)
    plan = solve_trilevel(*data, **limits, method=method, time_limit=1e-3)
    assert np.dot(data[1], plan.protect) <= limits["budget"]
    assert 0.0 <= plan.lower_bound <= plan.value
    assert plan.status == "time limit"
    assert plan.gap == pytest.approx((plan.value - plan.lower_bound) / plan.value)


# Pieces


def test_knapsack__is_enumeration() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(1, 9))
        gain, cost = rng.random(n) * (rng.random(n) < 0.8), rng.uniform(0.5, 3.0, n)
        budget = float(rng.uniform(0.0, 0.6) * cost.sum())
        plans = np.array(list(product((0, 1), repeat=n)))
        best = (plans @ gain)[plans @ cost <= budget].max()
        chosen = knapsack(gain, cost, budget)
        assert cost[chosen].sum() <= budget + 1e-9
        assert gain[chosen].sum() == pytest.approx(best)


def test_patterns__are_the_full_sets() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        n = int(rng.integers(1, 8))
        cost = np.round(rng.uniform(0.0, 3.0, n), 1)
        budget = float(np.round(rng.uniform(0.0, 0.8) * cost.sum(), 1))
        sets = np.array(list(product((False, True), repeat=n)))
        limit = budget * (1 + 1e-9)
        full = {
            tuple(s) for s in sets[sets @ cost <= limit] if all(s[i] or s @ cost + cost[i] > limit for i in range(n))
        }
        found = list_patterns(cost, budget)
        assert found is not None
        assert {tuple(s) for s in found} == full
        assert len(found) == len(full)


def test_cuts__hold_at_every_plan() -> None:
    for crews in ("continuous", "binary"):
        data, limits = draw(5, 6)
        problem = make_problem(*data, **limits, crews=crews)  # type: ignore[arg-type]
        storm = WorstStormProgram(problem)
        plans = np.array(list(product((0.0, 1.0), repeat=5)))
        values = np.array([storm(x).value for x in plans])
        for x in (*plans, *np.random.default_rng(0).random((20, 5))):
            cut = storm(x)
            assert (cut.constant - plans @ cut.slope <= values + 1e-8).all()
            assert cut.constant - x @ cut.slope == pytest.approx(
                cut.value, abs=1e-8
            )  # and it is tight where it was made


# The paper's printed faults, each by a counter-example


FAULT: tuple[Any, ...] = ([2.0, 4.0, 5.0], [2.0, 1.0, 3.0], [1.0, 3.0, 2.0], 0.0, [4.0, 7.0, 1.0], 0.0, 11.0)
"""Regions with B = 1, C = 3: protecting the second leaves nothing that crews cannot take, V = 0."""


def printed_slope(plan: np.ndarray, data: tuple[Any, ...], crew_budget: float) -> tuple[float, np.ndarray]:
    """V and what eq. 12 gives for a subgradient: the derivative of its objective, -h u (1 - y)."""
    worst = worst_case(plan, data[0], *data[2:], crew_budget=crew_budget)
    return worst.value, -np.asarray(data[0]) * worst.storm * (1.0 - worst.crews)


def test_fault__the_printed_cut_cuts_the_optimum_off() -> None:
    h, t = [1.0, 1.0], [10.0, 9.0]
    rest = (h, 1.0, 0.0, t, 0.0, 19.0)
    value, slope = printed_slope(np.zeros(2), (h, [1.0, 1.0], *rest[1:]), 1.0)
    assert value == pytest.approx(9.0)  # the crew takes the 10
    optimum = np.array([1.0, 0.0])
    assert worst_case(optimum, *rest, crew_budget=1.0).value == pytest.approx(0.0)
    assert value + slope @ optimum == pytest.approx(9.0)  # eq. 13 claims that V is at least 9 there


def test_fault__printed_benders_returns_a_wrong_plan() -> None:
    plans = [np.array(x) for x in product((0, 1), repeat=3) if np.dot(FAULT[1], x) <= 1.0]
    cuts: list[tuple[float, np.ndarray, np.ndarray]] = []
    for _ in range(20):
        master = [max((v + g @ (x - at) for v, g, at in cuts), default=0.0) for x in plans]
        plan = plans[int(np.argmin(master))]
        value, slope = printed_slope(plan, FAULT, 3.0)
        cuts.append((value, slope, plan))
        if value - min(master) <= 1e-9:
            break
    assert min(v for v, _, _ in cuts) == pytest.approx(13.0)
    for method in METHODS:
        exact = solve_trilevel(*FAULT, budget=1.0, crew_budget=3.0, method=method)  # type: ignore[arg-type]
        assert exact.value == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_array_equal(exact.protect, [False, True, False])


def test_fault__algorithm_2_with_its_bounds_exchanged_stops_at_once() -> None:
    # Lines 3-8: UB is the master's value, LB is V(x). The first master has no cut: x = 0, value 0.
    ub, lb = 0.0, worst_case([0, 0, 0], FAULT[0], *FAULT[2:], crew_budget=3.0).value
    assert ub - lb <= 0.0  # "converged", with a plan that costs 13 where 0 can be had
    assert lb == pytest.approx(13.0)


def test_fault__stationarity_with_the_wrong_budget_excludes_the_crews_best_answer() -> None:
    # Eq. 22 as printed, B - sum rho - gamma = 0 with gamma >= 0, lets no more than B regions have crews.
    worst = worst_case([0, 0, 0], [1.0, 1.0, 1.0], 1.0, 0.0, 1.0, 0.0, 3.0, crew_budget=2.0)
    assert worst.crews.sum() == pytest.approx(2.0)  # C - sum c rho - gamma = 0 holds, and with B = 1 eq. 22 does not


def test_fault__one_complementary_pair_is_not_enough() -> None:
    # n = 1, h = T = T_0 = 1, no budgets: V = 1. Eq. 32-33 keep the first pair alone; u = 0 then satisfies eq. 16-24.
    h, t, u, lam, mu, rho, gamma, above = 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
    assert lam + mu - h * u >= 0  # eq. 16
    assert h * (1 - rho) - above == 0  # stationarity in u: the multiplier of u <= T carries the gain
    assert 0 - rho - gamma == 0  # in lam
    assert rho * (lam + mu - h * u) == 0  # eq. 24, the pair that is kept
    assert above * (t - u) != 0  # eq. 28, one of those that are left out
    assert h * u - lam * 0 - mu == 0.0  # so the printed program returns 0
    assert solve_trilevel([h], 1.0, 1.0, 0.0, t, 0.0, 1.0, budget=0.0, crew_budget=0.0, method="kkt").value == 1.0


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


def test_errors__methods_that_cannot_list_everything() -> None:
    data, limits = draw(40, 0)
    with pytest.raises(ValueError, match=rf"brute force tries at most {MAX_BRUTE_FORCE} plans"):
        solve_trilevel(*data, **limits, method="brute-force")
    with pytest.raises(ValueError, match=r'too many; use method="benders"'):
        solve_trilevel(*data, **limits, crews="binary")


def test_errors__of_the_other_functions() -> None:
    with pytest.raises(ValueError, match=r"protect must be \[2\] of 0 and 1; got \[0.5, 0\]"):
        worst_case([0.5, 0], [1.0, 1.0], 1.0, 0.0, 1.0, 0.0, 2.0, crew_budget=1.0)
    with pytest.raises(ValueError, match="loss must be"):
        crew_response([-1.0], 1.0, crew_budget=1.0)
    data, limits = draw(3, 0)
    with pytest.raises(ValueError, match=r"two-stage-mean needs mean, \[3\] finite outages"):
        solve_baseline("two-stage-mean", *data, **limits)
    with pytest.raises(ValueError, match="kind must be one of"):
        solve_baseline("three-stage", *data, **limits)  # type: ignore[arg-type]


def test_baselines__none_beats_three_levels_in_the_worst_storm() -> None:
    for seed in range(6):
        data, limits = draw(6, 500 + seed)
        mean = 0.5 * (np.asarray(data[3]) + data[4])
        exact = solve_trilevel(*data, **limits)
        for kind in BASELINES:
            plan = solve_baseline(kind, *data, **limits, mean=mean)
            assert plan.status == "optimal"
            assert plan.value >= exact.value - 1e-7
            assert np.dot(data[1], plan.protect) <= limits["budget"]


def test_baselines__mean_plans_are_enumeration() -> None:
    for seed in range(6):
        n = 5
        data, limits = draw(n, 600 + seed)
        mean = np.random.default_rng(seed).random(n)
        loss, plans = np.asarray(data[0]) * mean, np.array(list(product((0, 1), repeat=n)))
        fits = plans[plans @ data[1] <= limits["budget"]]
        one = solve_baseline("one-stage-mean", *data, **limits, mean=mean)
        assert one.objective == pytest.approx(((1 - fits) @ loss).min())
        for crews in ("continuous", "binary"):
            two = solve_baseline("two-stage-mean", *data, **limits, mean=mean, crews=crews)  # type: ignore[arg-type]
            limit = {"crew_budget": limits["crew_budget"], "crews": crews}
            left = [loss * (1 - x) for x in fits]
            answers = [z @ (1 - crew_response(z, data[2], **limit)) for z in left]  # type: ignore[arg-type]
            assert two.objective == pytest.approx(min(answers), rel=1e-6)


def test_docs__python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[4] / "docs" / "planners_trilevel.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})  # our own documentation
    assert "optimal" in capsys.readouterr().out
