"""Looking ahead at lines to bury: who may, the best of what is drawn, alone as in a batch, and what it reads."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.attention.token_net import TokenNet
from stormgym.agents.lineup import make_policy
from stormgym.agents.look_ahead import look_ahead
from stormgym.agents.undergrounding.case import case_of, listed_plans
from stormgym.agents.undergrounding.lookahead import LookaheadHardening
from stormgym.agents.undergrounding.network import N_OVERALL
from stormgym.agents.undergrounding.planners import FairHardening
from stormgym.agents.undergrounding.reading import N_CHOICE
from stormgym.envs.undergrounding.profiles import resolve_profile

ID = "Undergrounding-v0"
SMALL = {"profile": "synthetic:6:0"}


class Trained:
    """What has a network, as trained agents do."""

    name = "trained"

    def __init__(self, features: int = N_CHOICE) -> None:
        torch.manual_seed(0)
        sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}
        self.acting_network = TokenNet(features, features + 1, N_OVERALL, 1, **sizes), 3


def batch_of(n: int, **kwargs: Any) -> Any:
    return gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})


def plans_of(policy: Any, env: Any, seed: Any) -> np.ndarray:
    """What is buried at the end of seasons `[B, K]`."""
    obs, _ = env.reset(seed=seed)
    state, start = None, np.ones(env.num_envs, dtype=bool)
    buried = np.zeros((env.num_envs, env.single_action_space.n - 1), dtype=bool)
    over = np.zeros(env.num_envs, dtype=bool)
    while not over.all():
        action, state = policy.predict(obs, state, start, deterministic=True)
        start[:] = False
        rows = np.flatnonzero(~over & (action < buried.shape[1]))
        buried[rows, action[rows]] = True
        obs, _, ended, _, _ = env.step(action)
        over |= ended
    return buried


@pytest.mark.parametrize("storm", ["simulated", "adversarial"])
def test_plan__is_the_best_of_all_where_all_are_drawn(storm: str) -> None:
    """Drawn often enough by a network that is unsure, every plan is among those it chooses from."""
    env = batch_of(3, storm=storm)
    policy: Any = look_ahead(Trained(), env, n_orders=1_000)
    exact = make_policy("tri-level" if storm == "adversarial" else "fair-hardening", env)
    obs, _ = env.reset(seed=1)
    found = policy.plans(obs, np.arange(3))
    for row in range(3):
        case = case_of(obs, row)
        every = listed_plans(case, full=False)
        assert every is not None
        least = policy._score(case, every).min()
        assert policy._score(case, found[[row]])[0] == pytest.approx(least, rel=1e-6)
        assert policy._score(case, exact.plans(obs, np.array([row])))[0] == pytest.approx(least, rel=1e-6)


def test_more_plans__never_score_worse() -> None:
    env = batch_of(8)
    few, more = (look_ahead(Trained(), env, n_orders=n) for n in (2, 64))
    obs, _ = env.reset(seed=3)
    rows = np.arange(8)
    for row, (a, b) in enumerate(zip(few.plans(obs, rows), more.plans(obs, rows), strict=True)):
        case = case_of(obs, row)
        assert more._score(case, b[None])[0] <= few._score(case, a[None])[0] + 1e-12


def test_plans__are_the_same_alone_as_in_a_batch_and_within_the_budget() -> None:
    batch, alone = batch_of(4), batch_of(1)
    together = plans_of(look_ahead(Trained(), batch, n_orders=8), batch, [1, 2, 3, 4])
    single = plans_of(look_ahead(Trained(), alone, n_orders=8), alone, [3])
    np.testing.assert_array_equal(together[2], single[0])
    profile = resolve_profile(SMALL["profile"])
    assert (together @ profile.protect_cost <= profile.budget * (1 + 1e-6)).all()
    assert together.any()


def test_plan__goes_on_from_what_is_buried() -> None:
    env = batch_of(2)
    policy = look_ahead(Trained(), env, n_orders=16)
    obs, _ = env.reset(seed=0)
    first = obs["action_mask"][:, :-1].argmax(axis=1)
    obs, *_ = env.step(first)
    found = policy.plans(obs, np.arange(2))
    left = obs["state"][:, 3]
    assert not found[np.arange(2), first].any()
    assert (found @ resolve_profile(SMALL["profile"]).protect_cost <= left * (1 + 1e-5)).all()


def test_price__is_that_of_the_planner_none_against_the_worst_storm_or_ones_own() -> None:
    simulated, adversarial = batch_of(1), batch_of(1, storm="adversarial")
    own = FairHardening(resolve_profile(SMALL["profile"]), margin=0.05).gap_weight
    assert look_ahead(Trained(), simulated).price == own
    assert look_ahead(Trained(), adversarial).price == 0.0
    assert look_ahead(Trained(), simulated, price=0.3).price == 0.3


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"n_orders": 0}, "n_plans, the K of @K, must be a whole number, from 1 to 4,096; got 0"),
        ({"n_orders": 5_000}, "got 5000"),
        ({"n_orders": True}, "got True"),
        ({"search_iterations": 5}, "looking ahead in Undergrounding-v0 ends in no local search; take @K without moves"),
        ({"price": "past"}, "price must be None or a number of hours, at least 0 and finite; got 'past'"),
        ({"margin": 2.0, "price": 0.1}, r"margin must be in \[0, 1\); got 2.0"),
        ({"price": -1.0}, "price must be None or a number of hours, at least 0 and finite; got -1.0"),
    ],
)
def test_arguments__that_make_no_look_are_refused(arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        look_ahead(Trained(), batch_of(1), **arguments)


def test_look_ahead__takes_a_network_of_this_environment_only() -> None:
    env = batch_of(1)
    for other in (object(), Trained(features=7)):
        with pytest.raises(ValueError, match="cannot look ahead among lines to bury: only a trained sta-sac"):
            look_ahead(other, env)
    assert isinstance(look_ahead(Trained(), env), LookaheadHardening)
