"""The plan of least risk: known optima, every plan of tiny cases beside it, the mean plan at alpha = 1, its errors."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.agents.dfl.risk import cvar, mean_cvar
from stormgym.agents.dispatch.flow import plan_cost, plan_dispatch_risk, solve_dispatch
from stormgym.agents.dispatch.planners import plan, risk_plan
from stormgym.envs.dispatch.profiles import resolve_profile


def case(rng: np.random.Generator, n_samples: int = 6, t: int = 3, k: int = 2, q: int = 2) -> dict[str, Any]:
    strength = rng.uniform(0.0, 2.5, (n_samples, 1, 1))
    return {
        "outages": strength * rng.gamma(2.0, 60.0, (n_samples, t, k)) * (rng.random((n_samples, t, k)) < 0.8),
        "generators": q,
        "customers_per_generator": float(rng.uniform(40, 120)),
        "transport_cost": rng.uniform(5, 120, k),
        "interruption_cost": rng.uniform(0.5, 3.0, k),
        "operating_cost": float(rng.uniform(0.0, 10.0)),
    }


def cost_of(p: dict[str, Any], stock: Any, **others: Any) -> np.ndarray:
    return plan_cost(stock, p["outages"], **{name: p[name] for name in COSTS}, **others)


COSTS = ("customers_per_generator", "transport_cost", "interruption_cost", "operating_cost")


def by_enumeration(p: dict[str, Any], alpha: float, weight: float, return_by: str, stock0: Any) -> float:
    """The least value over all stocks of all days."""
    t, k = p["outages"].shape[1:]
    days = [s for s in product(range(p["generators"] + 1), repeat=k) if sum(s) <= p["generators"]]
    stocks = np.array(list(product(days, repeat=t)))  # [P, T, K]
    if return_by == "within":
        stocks = stocks[(stocks[:, -1] == 0).all(axis=1)]
    costs = cost_of(p, stocks[:, None], return_by=return_by, stock0=stock0)  # [P, S]
    return float(np.min(mean_cvar(costs, alpha, weight)))


@pytest.mark.parametrize("number", [1, 2])
def test_plan__has_the_known_optimum_of_the_instances(number: int, shared_data: Path) -> None:
    known = json.loads((shared_data / "instances" / "dfl" / f"dispatch_cvar_{number}.json").read_text())
    for alpha, answer in known["answers"].items():
        found = plan_dispatch_risk(
            known["Y"],
            generators=known["Q"],
            customers_per_generator=known["Ng"],
            transport_cost=known["c"],
            interruption_cost=known["tau"],
            operating_cost=known["gamma"],
            alpha=float(alpha),
        )
        assert found.value == pytest.approx(answer["value"], rel=1e-6)
        assert found.status == "optimal"
        if answer["unique"]:
            np.testing.assert_array_equal(found.stock, answer["stock"])


@pytest.mark.parametrize("return_by", ["after", "within", "none"])
@pytest.mark.parametrize("seed", range(6))
def test_plan__is_the_best_of_all_plans(seed: int, return_by: Any) -> None:
    rng = np.random.default_rng([seed, 1])
    p = case(rng)
    stock0 = None if seed % 2 else rng.integers(0, 2, 2)
    for alpha, weight in ((0.25, 0.0), (0.4, 0.5), (1.0, 0.0), (0.1, 1.0)):
        found = plan_dispatch_risk(**p, alpha=alpha, mean_weight=weight, return_by=return_by, stock0=stock0)
        weight = 1.0 if alpha == 1.0 else weight
        assert found.value == pytest.approx(by_enumeration(p, alpha, weight, return_by, stock0), abs=1e-6)
        assert found.status == "optimal"
        costs = cost_of(p, found.stock, return_by=return_by, stock0=stock0)
        assert found.cvar == pytest.approx(cvar(costs, alpha))
        assert found.mean == pytest.approx(costs.mean())
        assert found.value == pytest.approx(weight * found.mean + (1.0 - weight) * found.cvar)


@pytest.mark.parametrize("seed", range(4))
def test_plan__is_the_flow_where_the_mean_alone_counts(seed: int) -> None:
    rng = np.random.default_rng([seed, 2])
    p = case(rng, n_samples=30, t=9, k=5, q=7)
    for options in ({}, {"stock0": np.array([1, 0, 2, 0, 0])}, {"return_by": "none"}, {"return_by": "within"}):
        best = solve_dispatch(**p, **options)
        for alpha, weight in ((1.0, 0.0), (0.2, 1.0)):
            found = plan_dispatch_risk(**p, alpha=alpha, mean_weight=weight, **options)
            assert found.mean == pytest.approx(best.cost, rel=1e-6)
            assert found.value == found.mean


@pytest.mark.parametrize("seed", range(4))
def test_plan__is_feasible_and_no_plan_is_below_its_bound(seed: int) -> None:
    rng = np.random.default_rng([seed, 3])
    p = case(rng, n_samples=40, t=12, k=6, q=6)
    other = solve_dispatch(**p).stock
    for alpha in (0.05, 0.1, 0.33, 0.6):
        found = plan_dispatch_risk(**p, alpha=alpha)
        assert found.stock.dtype.kind == "i"
        assert (found.stock >= 0).all()
        assert (found.stock.sum(axis=1) <= 6).all()
        assert found.bound <= found.value <= cvar(cost_of(p, other), alpha) + 1e-9
        assert found.gap <= 1e-6
        loose = plan_dispatch_risk(**p, alpha=alpha, gap=0.05)
        assert loose.bound <= found.value + 1e-6
        assert loose.value <= 1.05 * found.value


def test_plan__of_little_risk_is_dearer_in_the_mean_and_cheaper_in_the_tail() -> None:
    profile = resolve_profile("B")
    covariates = np.concatenate([np.tile([32.0, 14.0, 0.6], (3, 1)), np.full((3, 1), 2.0)], axis=1)[None]
    waves = profile.simulate_given(covariates, 100, seed=4)[:, 0, 1:]
    mean = risk_plan(profile, waves, alpha=1.0)
    half = risk_plan(profile, waves, alpha=0.1, mean_weight=0.5)
    tail = risk_plan(profile, waves, alpha=0.1)
    worst = cvar(cost_of({"outages": waves} | {name: getattr(profile, name) for name in COSTS}, mean.stock), 0.1)
    assert mean.mean == pytest.approx(risk_plan(profile, waves, alpha=0.5, mean_weight=1.0).mean)
    assert mean.mean < half.mean < tail.mean
    assert tail.cvar < half.cvar < worst
    assert half.status == tail.status == "optimal"  # within the planners' gap


def test_plan__from_a_stock_pays_no_trips_that_were_paid() -> None:
    """Planned anew after the first day, what remains costs no more than the rest of the plan."""
    p = case(np.random.default_rng(8), n_samples=20, t=8, k=3, q=4)
    first = plan_dispatch_risk(**p, alpha=1.0)
    rest = p | {"outages": p["outages"][:, 1:]}
    again = plan_dispatch_risk(**rest, alpha=1.0, stock0=first.stock[0])
    one_day = p | {"outages": p["outages"][:, :1]}
    paid = cost_of(one_day, first.stock[:1], return_by="none").mean()  # trips home of day 1 are part of the rest
    assert paid + again.value == pytest.approx(first.value)


def test_plan__does_not_depend_on_the_order_of_samples() -> None:
    rng = np.random.default_rng(9)
    p = case(rng, n_samples=50, t=10, k=4, q=5)
    found = plan_dispatch_risk(**p, alpha=0.1, mean_weight=0.5)
    mixed = plan_dispatch_risk(**p | {"outages": rng.permutation(p["outages"])}, alpha=0.1, mean_weight=0.5)
    assert mixed.value == pytest.approx(found.value, rel=1e-9)
    np.testing.assert_array_equal(plan_dispatch_risk(**p, alpha=0.1, mean_weight=0.5).stock, found.stock)


def test_plan__samples_outside_the_first_program_join_when_they_are_bad() -> None:
    """The first samples are those with most customers out; dear ones with few must be found all the same."""
    rng = np.random.default_rng(10)
    p = case(rng, n_samples=60, t=5, k=2, q=3)
    p["interruption_cost"] = np.array([0.1, 5.0])
    many, few = p["outages"], np.zeros((10, 5, 2))
    many[..., 1], few[..., 1] = 0.0, 400.0
    many += np.array([900.0, 0.0])
    p["outages"] = np.concatenate([many, few])  # ten dear samples behind sixty large ones
    found = plan_dispatch_risk(**p, alpha=0.1)
    assert found.status == "optimal"
    only = plan_dispatch_risk(**p | {"outages": few}, alpha=1.0)
    assert found.cvar >= only.value - 1e-6
    assert found.stock[:, 1].sum() > 0


def test_plan__mean_of_samples_is_that_of_the_profile_planner() -> None:
    profile = resolve_profile("A")
    waves = np.random.default_rng(1).gamma(2.0, 150.0, (30, 15, 3))
    stock = plan(profile, waves)
    costs = cost_of({"outages": waves} | {name: getattr(profile, name) for name in COSTS}, stock)
    assert risk_plan(profile, waves, alpha=1.0).value == pytest.approx(costs.mean(), rel=1e-6)


def test_plan__wrong_use_is_named() -> None:
    p = case(np.random.default_rng(0))
    for change, text in (
        ({"alpha": 10}, r"alpha must be in \(0, 1\], the share of worst outcomes; got 10. Did you mean 0.1?"),
        ({"alpha": 0.0}, "alpha must be in"),
        ({"mean_weight": 1.5}, r"mean_weight must be in \[0, 1\], .*; got 1.5"),
        ({"outages": p["outages"][0]}, r"outages must be samples \[S, T, K\]; got shape \(3, 2\)"),
        ({"outages": p["outages"] - 1e4}, "outages must be finite and at least 0 customers"),
        ({"stock0": [0.5, 0.0]}, "stock0 must be .* whole numbers of at least 0"),
        ({"stock0": [2, 1]}, "stock0 holds 3 generators, and there are 2"),
        ({"transport_cost": [1.0, 2.0, 3.0]}, r"transport_cost must be at least 0, a number or \(2,\)"),
        ({"transport_cost": -1.0}, "transport_cost must be at least 0"),
        ({"generators": [1, 1]}, "generators must be a whole number of at least 0, of one warehouse"),
        ({"generators": 1.5}, "generators must be a whole number"),
        ({"return_by": "never"}, "return_by must be after, within or none; got 'never'"),
    ):
        with pytest.raises(ValueError, match=text):
            plan_dispatch_risk(**{"alpha": 0.1} | p | change)
