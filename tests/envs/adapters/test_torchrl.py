"""TorchRL: masks kept, costs of an episode as a hand loop counts them, workers, batches, saved policies, the game."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensordict.nn import TensorDictModule
from torchrl.collectors import Collector
from torchrl.envs import check_env_specs
from torchrl.modules import MaskedCategorical, ProbabilisticActor

from stormgym.envs.adapters.torchrl import make_env, make_game, make_parallel_env

SMALL = {
    "Restoration-v0": {"city": "synthetic:8:1", "predictor": "none", "on_invalid": "raise"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1", "on_invalid": "raise"},
    "PowerScheduling-v0": {},
}
RESTORATION = ("stormgym:Restoration-v0", SMALL["Restoration-v0"])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def actor(env, seed=0):
    """A policy of one linear layer that keeps to the mask."""
    torch.manual_seed(seed)
    size, choices = env.observation_spec["observation"].shape[-1], env.observation_spec["action_mask"].shape[-1]
    net = TensorDictModule(torch.nn.Linear(size, choices), in_keys=["observation"], out_keys=["logits"])
    keys = {"logits": "logits", "mask": "action_mask"}
    return ProbabilisticActor(net, in_keys=keys, distribution_class=MaskedCategorical, spec=env.action_spec)


def hand_costs(env_id, kwargs, actions, seed):
    """Costs of one episode with these actions, step by step."""
    env = gym.make(env_id, **kwargs)
    env.reset(seed=seed)
    env.reset()  # TorchRL resets once with the seed and again to begin
    return [env.step(action)[4]["cost"] for action in actions]


@pytest.mark.parametrize("env_id", SMALL)
@pytest.mark.parametrize("num_envs", [None, 2])
def test_specs__are_those_of_the_data_and_masks_are_kept(env_id, num_envs):
    env = make_env(f"stormgym:{env_id}", num_envs, **SMALL[env_id])
    check_env_specs(env)
    data = env.rollout(12, break_when_any_done=False)
    assert data.batch_size == ((12,) if num_envs is None else (2, 12))
    assert data["next", "cost"].dtype == torch.float64


def test_costs__of_an_episode_are_those_of_a_hand_loop():
    env = make_env(RESTORATION[0], **RESTORATION[1])
    env.set_seed(3)
    data = env.rollout(100, actor(env))
    costs = hand_costs(RESTORATION[0], RESTORATION[1], data["action"].tolist(), 3)
    np.testing.assert_allclose(data["next", "cost"], costs)
    assert float(data["next", "episode_cost"][-1]) == pytest.approx(sum(costs))


@pytest.mark.parametrize("form", ["batch", "workers"])
def test_costs__of_many_episodes_side_by_side(form):
    if form == "batch":
        env = make_env(RESTORATION[0], 3, **RESTORATION[1])
    else:
        env = make_parallel_env(RESTORATION[0], 2, **RESTORATION[1])
    try:
        data = env.rollout(32, actor(env), break_when_any_done=False)
        n = data.batch_size[0]
        costs, done = data["next", "cost"], data["next", "done"].squeeze(-1)
        assert done.sum() == n * 4  # eight regions each
        for row in range(n):
            ends = torch.nonzero(done[row]).ravel().tolist()
            for first, last in zip([-1, *ends[:-1]], ends, strict=True):
                told = float(data["next", "episode_cost"][row, last])
                assert float(costs[row, first + 1 : last + 1].sum()) == pytest.approx(told)
    finally:
        env.close()


def test_policy__collected_from_and_saved_acts_the_same(tmp_path):
    env = make_env(RESTORATION[0], 2, **RESTORATION[1])
    policy = actor(env)
    collector = Collector(env, policy, frames_per_batch=32, total_frames=64)
    assert sum(batch.numel() for batch in collector) == 64
    torch.save(policy.state_dict(), tmp_path / "policy.pt")
    other = actor(env, seed=1)
    other.load_state_dict(torch.load(tmp_path / "policy.pt", weights_only=True))
    data = env.reset()
    with torch.no_grad():
        torch.testing.assert_close(other(data.clone())["logits"], policy(data.clone())["logits"])


def test_game__plays_a_season_with_a_group_for_each_player():
    game = make_game("stormgym:DefenderAttacker-v0", profile="synthetic:5:1")
    data = game.rollout(50)
    assert {"planner", "nature", "crews"} <= set(data.keys())
    last = data["next"][-1]
    assert bool(last["done"])
    assert float(last["planner", "info", "episode_cost"]) == float(last["crews", "info", "cost"]) > 0
    assert float(last["nature", "reward"]) == pytest.approx(-float(last["planner", "reward"]))


def test_game__of_crews_in_turns_gives_the_return_to_each():
    game = make_game("crew_dispatch_v0", city="synthetic:8:1", n_crews=2, predictor="none", on_invalid="raise")
    data = game.rollout(200)["next"]  # random choices within the masks: a closed one would have raised
    assert bool(data[-1]["done"])
    last = data[-1]["crew_0", "info"]
    assert float(data["crew_0", "info", "cost"].sum()) == pytest.approx(float(last["episode_cost"]), abs=1e-4)
    totals = [float(data[crew, "reward"].sum()) for crew in ("crew_0", "crew_1")]
    assert totals[0] == pytest.approx(totals[1], abs=1e-4)
    assert totals[0] < 0
