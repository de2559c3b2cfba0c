"""`PolicyNet`: it learns decisions by their cost, stops in time, keeps the feasible set and comes back to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.decisions.general import flat_features
from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.decisions.power_scheduling import features
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem
from stormgym.envs.decisions.problem import SPLITS

PROBLEM = PowerSchedulingProblem(synthetic_load(120))
TRAIN, VALIDATION, TEST = (PROBLEM.cases(split) for split in SPLITS)


def made(**changes: Any) -> PolicyNet:
    settings: dict[str, Any] = {"hidden": (32,), "learning_rate": 3e-3, "max_steps": 120}
    return PolicyNet(PROBLEM, lambda cases: features(cases.context), **{**settings, **changes})


@pytest.fixture(scope="module")
def net() -> PolicyNet:
    return made().fit(TRAIN, VALIDATION)


def mean_cost(plans: np.ndarray, cases: Any) -> float:
    return float(np.mean(PROBLEM.cost(plans, cases.outcomes)))


def test_fit__is_worth_more_than_the_usual_decision(net: PolicyNet) -> None:
    for cases in (TRAIN, TEST):
        usual = mean_cost(np.tile(PROBLEM.usual[0], (len(cases), 1)), cases)
        assert mean_cost(net.plans(cases), cases) < 0.7 * usual


def test_fit__starts_near_the_usual_decision_in_units_of_its_spread() -> None:
    net = made(max_steps=1, learning_rate=1e-9).fit(TRAIN, VALIDATION)
    centre, spread = PROBLEM.usual
    off = (net._plans(net._standard(TRAIN)).detach().numpy() - centre) / spread
    assert np.abs(off).max() < 3.0
    assert np.abs(off.mean(axis=0)).max() < 1.0


def test_fit__keeps_the_step_of_the_least_validation_cost() -> None:
    def fitted(n: int) -> float:
        found = made(max_steps=n, patience=10, learning_rate=2e-2).fit(TRAIN, VALIDATION)
        with torch.no_grad():
            plans = found._plans(found._standard(VALIDATION)).numpy()
        return mean_cost(plans, VALIDATION)

    costs = [fitted(n) for n in (5, 20, 60, 120)]
    assert (np.diff(costs) <= 1e-9).all()


def test_plans__can_be_carried_out(net: PolicyNet) -> None:
    plans = net.plans(TEST)
    np.testing.assert_array_equal(PROBLEM.project(plans), plans)
    assert np.abs(np.diff(plans, axis=1)).max() <= PROBLEM.ramp * (1.0 + 1e-6)


def test_plans__do_not_depend_on_the_other_cases(net: PolicyNet) -> None:
    together = net.plans(TEST)
    for i in (0, 7):
        np.testing.assert_allclose(net.plans(TEST.rows(slice(i, i + 1)))[0], together[i], atol=1e-5)


def test_fit__is_the_same_for_the_same_seed_and_leaves_torchs_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (made(max_steps=5, seed=s).fit(TRAIN, VALIDATION).plans(TEST) for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_state__restores_to_the_bit_through_a_file(net: PolicyNet, tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", **net.state())  # type: ignore[arg-type]
    with np.load(tmp_path / "net.npz", allow_pickle=False) as data:
        state = dict(data)
    twin = made(seed=9)
    twin.restore(state)
    np.testing.assert_array_equal(twin.plans(TEST), net.plans(TEST))


def test_restore__of_another_network_is_an_error(net: PolicyNet) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        made(hidden=(8,)).restore(net.state())
    with pytest.raises(KeyError, match="mean_"):
        made().restore({})


def test_features__that_never_change_do_no_harm() -> None:
    def with_constant(cases: Any) -> np.ndarray:
        return np.column_stack([flat_features(cases), np.full(len(cases), 7.0)])

    found = PolicyNet(PROBLEM, with_constant, hidden=(8,), max_steps=3).fit(TRAIN, VALIDATION)
    assert np.isfinite(found.plans(TEST)).all()
