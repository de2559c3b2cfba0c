"""One price on the gap: found on past storms, kept, and asked for where it cannot be found."""

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents import past_price
from stormgym.agents.crews.priced import RollingPriced, price_for
from stormgym.envs.cache import store_arrays
from stormgym.envs.crews.env import CrewDispatchEnv

ID = "stormgym:CrewDispatch-v0"
SMALL = {"city": "synthetic:9:1", "n_crews": 2, "predictor": "none"}


def test_price__is_found_once_and_a_tighter_aim_has_a_higher_one(monkeypatch, tmp_path):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(past_price.past_episodes, "__defaults__", (8,))
    env = gym.make(ID, cost_limit=3.4, **SMALL)
    found = [price_for(env, margin) for margin in (0.0, 0.2)]
    assert 0 <= found[0] < found[1]
    assert len(list(tmp_path.glob("price-*.npz"))) == 2
    monkeypatch.setattr(past_price, "find_price", lambda *_: pytest.fail("it was kept"))
    assert price_for(env) == found[0]
    assert RollingPriced(env).price == found[0]
    monkeypatch.setattr(past_price, "find_price", lambda *_: 1.5)
    for file in tmp_path.glob("price-*.npz"):
        store_arrays(file, {"price": np.array([np.nan])})
    with pytest.warns(
        UserWarning, match=r"price-.*npz is not taken \(price must be finite; got nan\); it is made again"
    ):
        assert price_for(env) == 1.5


def test_price__is_asked_for_where_there_are_no_past_storms():
    env = CrewDispatchEnv(**SMALL)
    with pytest.raises(ValueError, match="give the price"):
        RollingPriced(env)
    policy = RollingPriced(env, price=0.2)
    observation, _ = env.reset(seed=0)
    action, _ = policy.predict(observation)
    assert observation["action_mask"][action]


@pytest.mark.parametrize("wrong", [{"price": -1.0}, {"price": np.inf}, {"margin": 1.0}])
def test_price__out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        RollingPriced(CrewDispatchEnv(**SMALL), **wrong)
