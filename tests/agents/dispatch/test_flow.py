"""The exact dispatch plan: known optima, a MILP and dynamic programming beside it, and its errors."""

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from stormgym.agents.dispatch.flow import online_greedy, plan_cost, solve_dispatch

NAMES = (
    "A_e160_c100",
    "A_e160_c500",
    "A_e160_c1000",
    "B_e160_c500",
    "K14_T14",
    "graph0",
    "tiny1",
    "tiny2",
    "tiny_noreturn",
)


def problem(rng: np.random.Generator, t: int = 4, k: int = 2, q: int = 3) -> dict[str, Any]:
    return {
        "outages": rng.gamma(2.0, 80.0, (t, k)) * (rng.random((t, k)) < 0.8),
        "generators": q,
        "customers_per_generator": float(rng.uniform(40, 120)),
        "transport_cost": float(rng.uniform(5, 120)),
        "interruption_cost": float(rng.uniform(0.5, 3.0)),
        "operating_cost": float(rng.uniform(0.0, 10.0)),
    }


def by_enumeration(p: dict[str, Any], return_by: str) -> float:
    """Dynamic programming over all stocks of all counties."""
    y = np.asarray(p["outages"])
    n_days, k = y.shape
    states = [s for s in product(range(p["generators"] + 1), repeat=k) if sum(s) <= p["generators"]]
    home = np.zeros(k)

    def trips(a: np.ndarray, b: np.ndarray) -> float:
        change = np.asarray(b) - np.asarray(a)
        return float((np.maximum(change, 0) if return_by == "none" else np.abs(change)).sum() * p["transport_cost"])

    @cache
    def least(day: int, state: tuple[int, ...]) -> float:
        if day == n_days:
            return trips(np.array(state), home) if return_by == "after" else 0.0
        options = [tuple(home.astype(int))] if return_by == "within" and day == n_days - 1 else states
        values = []
        for stock in options:
            served = p["customers_per_generator"] * np.array(stock)
            cost = p["operating_cost"] * sum(stock)
            cost += p["interruption_cost"] * np.maximum(y[day] - served, 0).sum()
            values.append(trips(np.array(state), np.array(stock)) + cost + least(day + 1, stock))
        return min(values)

    return least(0, (0,) * k)


def by_milp(p: dict[str, Any]) -> float:
    """The printed model in whole generators, with a stock of the warehouse and everything back on day T + 1."""
    y = np.asarray(p["outages"])
    n_days, k = y.shape
    n = n_days * k
    # columns: q, out, back, unserved, each [T, K]
    cost = np.concatenate(
        [
            np.tile(np.where(np.arange(n_days) == n_days - 1, p["transport_cost"], 0.0), (k, 1)).T.ravel()
            + p["operating_cost"],
            np.full(2 * n, p["transport_cost"]),
            np.full(n, p["interruption_cost"]),
        ]
    )
    balance = np.zeros((n, 4 * n))
    enough = np.zeros((n, 4 * n))
    limit = np.zeros((n_days, 4 * n))
    for t, c in product(range(n_days), range(k)):
        i = t * k + c
        balance[i, [i, n + i, 2 * n + i]] = 1, -1, 1
        if t:
            balance[i, i - k] = -1
        enough[i, [i, 3 * n + i]] = p["customers_per_generator"], 1
        limit[t, i] = 1
    answer = milp(
        cost,
        constraints=[
            LinearConstraint(balance, 0, 0),
            LinearConstraint(enough, y.ravel(), np.inf),
            LinearConstraint(limit, -np.inf, p["generators"]),
        ],
        integrality=np.repeat([1, 1, 1, 0], n),
        options={"mip_rel_gap": 0.0},
    )
    assert answer.status == 0
    return float(answer.fun)


@pytest.mark.parametrize("name", NAMES)
def test_solve_dispatch__finds_the_known_optimum(shared_data: Path, name: str) -> None:
    d = json.loads((shared_data / "instances" / f"dispatch_{name}.json").read_text())
    shared = {
        "customers_per_generator": d["Ng"],
        "interruption_cost": d["tau"],
        "operating_cost": d["gamma"],
        "generators": [int(q) for q in d["Qw"]] if "Qw" in d else d["Q"],
        "transport_cost": d["cost"] if "cost" in d else d["c"],
    }
    return_by = "after" if d.get("must_return", True) else "none"
    plan = solve_dispatch(d["Y"], return_by=return_by, **shared)
    assert plan.cost == pytest.approx(d["opt"], abs=1e-6)
    assert (plan.status, plan.bound) == ("optimal", pytest.approx(d["opt"], abs=1e-5))
    assert plan.cost == pytest.approx(plan.transport_cost + plan.operating_cost + plan.interruption_cost)
    if d.get("printed_return_opt"):
        assert solve_dispatch(d["Y"], return_by="within", **shared).cost == pytest.approx(
            d["printed_return_opt"], abs=1e-6
        )
    if "do_nothing" in d:
        none = {**shared, "generators": 0}
        assert solve_dispatch(d["Y"], **none).cost == pytest.approx(d["do_nothing"], abs=1e-6)


@pytest.mark.parametrize("return_by", ["after", "within", "none"])
def test_solve_dispatch__equals_dynamic_programming_and_costs_what_its_stock_says(return_by: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(12):
        p = problem(rng)
        plan = solve_dispatch(**p, return_by=return_by)
        assert plan.cost == pytest.approx(by_enumeration(p, return_by), abs=1e-6)
        rest = {key: value for key, value in p.items() if key not in ("outages", "generators")}
        assert plan_cost(plan.stock, p["outages"], return_by=return_by, **rest) == pytest.approx(plan.cost)
        assert (plan.stock.sum(axis=1) <= p["generators"]).all()


def test_solve_dispatch__equals_the_milp_where_the_printed_relaxation_is_too_low() -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        p = problem(rng, t=6, k=4, q=7)
        assert solve_dispatch(**p).cost == pytest.approx(by_milp(p), rel=1e-7)


def test_solve_dispatch__a_graph_of_one_warehouse_is_the_plain_problem() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        p = problem(rng, t=5, k=3, q=4)
        far = np.full((4, 4), 1e6)  # no way between counties pays
        far[:3, 3] = far[3, :3] = p["transport_cost"]
        graph = solve_dispatch(**{**p, "transport_cost": far, "generators": [4]})
        assert graph.cost == pytest.approx(solve_dispatch(**p).cost)


def test_solve_dispatch__warehouses_get_their_own_number_back_and_ways_have_a_capacity() -> None:
    y = np.array([[300.0], [300.0]])
    cost = np.array([[0.0, 10.0, 50.0], [10.0, 0.0, 5.0], [50.0, 5.0, 0.0]])  # county, near and far warehouse
    shared = {"customers_per_generator": 100.0, "interruption_cost": 1.0, "operating_cost": 0.0}
    plan = solve_dispatch(y, generators=[1, 2], transport_cost=cost, **shared)
    # the far warehouse's two go by way of the near one, 15 each way
    assert plan.cost == pytest.approx(2 * 10 + 2 * 2 * 15)
    most = np.full((3, 3), 10.0)
    most[1, 0] = 1
    tight = solve_dispatch(y, generators=[1, 2], transport_cost=cost, arc_capacity=most, **shared)
    assert tight.cost > plan.cost
    blocked = np.zeros((3, 3))
    assert solve_dispatch(y, generators=[1, 2], transport_cost=cost, arc_capacity=blocked, **shared).cost == 600.0


def test_solve_dispatch__samples_give_the_least_mean_cost() -> None:
    rng = np.random.default_rng(3)
    p = problem(rng, t=2, k=2, q=2)
    samples = rng.gamma(2.0, 80.0, (7, 2, 2))
    rest = {key: value for key, value in p.items() if key not in ("outages", "generators")}
    plan = solve_dispatch(samples, generators=2, **rest)
    states = [s for s in product(range(3), repeat=2) if sum(s) <= 2]
    stocks = np.array([[a, b] for a in states for b in states])
    costs = plan_cost(stocks[:, None], samples[None], **rest).mean(axis=1)
    assert plan.cost == pytest.approx(costs.min())
    twice = solve_dispatch(np.repeat(samples[:1], 3, axis=0), generators=2, **rest)
    assert twice.cost == pytest.approx(solve_dispatch(samples[0], generators=2, **rest).cost)


def test_solve_dispatch__goes_on_from_generators_that_are_out_already() -> None:
    rng = np.random.default_rng(4)
    for _ in range(6):
        p = problem(rng, t=5, k=3, q=4)
        plan = solve_dispatch(**p)
        later = solve_dispatch(**{**p, "outages": p["outages"][2:]}, stock0=plan.stock[1])
        first = {**p, "outages": p["outages"][:2]}
        del first["generators"]
        spent = float(plan_cost(plan.stock[:2], first.pop("outages"), **first))
        spent -= p["transport_cost"] * plan.stock[1].sum()  # which did not go home
        assert spent + later.cost == pytest.approx(plan.cost)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outages": np.zeros(3)}, r"outages must be \[T, K\] or samples"),
        ({"outages": np.array([[1.0, -2.0]])}, "outages must be finite and at least 0"),
        ({"generators": 1.5}, "generators must be whole numbers"),
        ({"generators": [1, 2]}, "2 warehouses need a transport_cost"),
        ({"transport_cost": [1.0, 2.0, 3.0]}, r"transport_cost must be a number, \(2,\) or \(3, 3\)"),
        ({"transport_cost": -1.0}, "transport_cost must be finite and at least 0"),
        ({"customers_per_generator": 0.0}, "customers_per_generator must be above 0; got 0.0"),
        ({"interruption_cost": -1.0}, "interruption_cost must be at least 0"),
        ({"return_by": "soon"}, "return_by must be after, within or none; got 'soon'"),
        ({"stock0": [4, 0]}, "stock0 holds 4 generators, and there are 3"),
        ({"stock0": [0.5, 0]}, r"stock0 must be \(2,\) whole numbers"),
        ({"arc_capacity": np.ones((3, 3))}, "arc_capacity goes with a transport_cost"),
        *(({"generators": bad}, "generators must be whole numbers") for bad in (np.inf, np.nan, 1e20, True, None)),
        ({"generators": "x"}, "generators must be an array of numbers; got x"),
        ({"generators": 10**400}, "generators must be an array of numbers"),
        ({"outages": [["a"]]}, "outages must be an array of numbers"),
        ({"outages": np.full((2, 2), 1e300)}, r"outages must be at most 1e\+18; got 1e\+300"),
        ({"interruption_cost": 1e20}, r"interruption_cost times customers_per_generator must be at most 1e\+18"),
        ({"transport_cost": 1e20}, r"transport_cost must be at most 1e\+18; got 1e\+20"),
        ({"transport_cost": np.inf}, "transport_cost must be finite"),
        *(({"operating_cost": bad}, "operating_cost must be at least 0") for bad in ("x", None, True, 10**400)),
        *(({"customers_per_generator": bad}, "customers_per_generator must be above 0") for bad in ("x", None, np.inf)),
        ({"stock0": [np.inf, 0]}, r"stock0 must be \(2,\) whole numbers"),
    ],
)
def test_solve_dispatch__wrong_input_is_named(change: dict[str, Any], message: str) -> None:
    p = problem(np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        solve_dispatch(**{**p, **change})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "graph0"])
def test_online_greedy__costs_what_is_known_with_every_lag_and_rule(shared_data: Path, name: str) -> None:
    d = json.loads((shared_data / "instances" / f"dispatch_{name}.json").read_text())
    shared = {"customers_per_generator": d["Ng"]}
    costs = {
        "transport_cost": d["c"],
        "interruption_cost": d["tau"],
        "operating_cost": d["gamma"],
        "return_by": "after" if d["must_return"] else "none",
    }
    for lag, (word, rule) in product((1, 3, 5), (("returns", "returns"), ("noreturns", "keeps"))):
        stock = online_greedy(d["Y"], d["Y0"], generators=d["Q"], lag=lag, rule=rule, **shared)
        assert (stock.sum(axis=1) <= d["Q"]).all()
        cost = plan_cost(stock, d["Y"], **shared, **costs)
        assert float(cost) == pytest.approx(d["online"][f"lag{lag}_{word}"]["cost"], abs=1e-6)
        assert float(cost) >= d["opt"] - 1e-6
    for lag in (1, 3, 5):
        printed = online_greedy(d["Y"], d["Y0"], generators=d["Q"], lag=lag, rule="printed", **shared)
        assert bool((printed.sum(axis=1) > d["Q"]).any()) == d["online"][f"lag{lag}_literal_overships"]


def test_online_greedy__plays_many_waves_at_once_and_names_what_is_wrong() -> None:
    rng = np.random.default_rng(5)
    waves, first = rng.gamma(2.0, 80.0, (6, 5, 3)), rng.gamma(2.0, 10.0, (6, 3))
    shared = {"generators": 4, "customers_per_generator": 70.0}
    together = online_greedy(waves, first, lag=2, **shared)
    for i in range(6):
        np.testing.assert_array_equal(together[i], online_greedy(waves[i], first[i], lag=2, **shared))
    with pytest.raises(ValueError, match="lag must be at least 1 day"):
        online_greedy(waves, first, lag=0, **shared)
    with pytest.raises(ValueError, match="rule must be returns, keeps or printed; got 'best'"):
        online_greedy(waves, first, rule="best", **shared)  # type: ignore[arg-type]


def test_solve_dispatch__interruption_costs_of_counties() -> None:
    """One generator for two counties with the same wave: it goes where an interruption costs more."""
    wave = np.full((3, 2), 100.0)
    costs = {"generators": 1, "customers_per_generator": 100.0, "transport_cost": 10.0, "operating_cost": 0.0}
    for dear in (0, 1):
        tau = np.where(np.arange(2) == dear, 2.0, 1.0)
        found = solve_dispatch(wave, interruption_cost=tau, **costs)
        assert (found.stock[:, dear] == 1).all()
        assert found.cost == pytest.approx(20.0 + 300.0)
        assert found.bound == pytest.approx(found.cost)
    with pytest.raises(ValueError, match=r"interruption_cost must be at least 0, a number or \(2,\)"):
        solve_dispatch(wave, interruption_cost=[1.0, 2.0, 3.0], **costs)


def test_solve_dispatch__without_a_plan_says_which_input_leaves_none() -> None:
    wave, ways = np.full((3, 2), 10.0), np.ones((3, 3))
    shared = {"generators": 3, "customers_per_generator": 10.0, "interruption_cost": 1.0, "operating_cost": 0.0}
    with pytest.raises(
        RuntimeError, match=r"all 3 generators must come home, 2 of them from counties \(stock0\), and arc_"
    ):
        solve_dispatch(wave, transport_cost=ways, arc_capacity=0 * ways, stock0=[2, 0], **shared)  # type: ignore[arg-type]
    samples = np.full((2, 50, 100), 1e9)
    with pytest.raises(
        ValueError, match=r"samples need an arc for each day, county and generator .*, 500,005,000; at m"
    ):
        solve_dispatch(samples, transport_cost=1.0, **{**shared, "generators": 100_999, "customers_per_generator": 1e4})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"outages": np.full((3, 2), bad)}, "outages must be from 0 to") for bad in (np.inf, np.nan, -1.0, 1e300)),
        ({"outages": [["x"]]}, "outages must be an array of numbers"),
        (
            {"first": [0.0, 0.0, 0.0]},
            r"outages must be \[..., T, K\] and first \[..., K\]; got shapes \(3, 2\) and \(3,\)",
        ),
        ({"customers_per_generator": 0.0}, "customers_per_generator must be a finite number"),
        ({"generators": -3}, "generators must be a finite number of at least 0; got -3"),
        ({"lag": 1.5}, "lag must be at least 1 day.*got 1.5"),
    ],
)
def test_online_greedy__numbers_that_cannot_be_are_named(change: dict[str, Any], message: str) -> None:
    usual = {"outages": np.ones((3, 2)), "first": np.ones(2), "generators": 3, "customers_per_generator": 10.0}
    with pytest.raises(ValueError, match=message):
        online_greedy(**{**usual, **change})
