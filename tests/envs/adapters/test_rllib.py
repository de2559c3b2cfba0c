"""RLlib's new API stack on a local cluster of two machines: ids, masks, costs, games, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray.tune
import torch
from ray.cluster_utils import Cluster
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.envs.adapters.rllib import (
    EpisodeCosts,
    ModulePolicy,
    make_env,
    masked_module,
    register_env,
)
from stormgym.envs.adapters.rllib_game import game_modules, make_game, player_of, register_game
from stormgym.envs.undergrounding.adversary import NATURE, PLAYERS

GAME = "DefenderAttacker-v0"

CITY = {"city": "synthetic:6:1", "on_invalid": "raise"}
NATIVE = "vector_entry_point"
SMALL = {"fcnet_hiddens": [16]}


@pytest.fixture(scope="module", autouse=True)
def two_machines() -> Iterator[None]:
    """One processor each, so that two runners must be on different ones."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000},
    )
    cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()


def ppo(env: Any, env_config: dict[str, Any], n_runners: int = 0, mode: str = NATIVE, fragment: int = 4) -> PPOConfig:
    """Fragments of four steps, shorter than an episode of a city of six regions."""
    rows = 2 * max(n_runners, 1)
    return (
        PPOConfig()
        .environment(env, env_config=env_config)
        .env_runners(
            num_env_runners=n_runners,
            num_envs_per_env_runner=2,
            gym_env_vectorize_mode=mode,
            rollout_fragment_length=fragment,
        )
        .training(train_batch_size_per_learner=fragment * rows, minibatch_size=fragment * rows, num_epochs=1)
        .callbacks(EpisodeCosts)
        .debugging(seed=0)
    )


def test_runners__on_two_machines_know_a_bare_id_play_natively_and_keep_to_masks(tmp_path: Path) -> None:
    config = ppo(register_env("Restoration-v0"), CITY, n_runners=2, fragment=24)
    algorithm = config.rl_module(rl_module_spec=masked_module(model_config=SMALL)).build_algo()
    nodes = algorithm.env_runner_group.foreach_env_runner(
        lambda runner: (ray.get_runtime_context().get_node_id(), type(runner.env.unwrapped).__name__),
        local_env_runner=False,
    )
    results = algorithm.train()["env_runners"]
    saved = algorithm.save_to_path(str(tmp_path / "saved"))
    env = gym.make("stormgym:Restoration-v0", **CITY)
    policy = ModulePolicy(algorithm.get_module(), env)
    algorithm.stop()

    assert len({node for node, _ in nodes}) == 2
    assert {kind for _, kind in nodes} == {"RestorationVectorEnv"}
    assert results["num_episodes"] >= 8
    assert results["episode_metrics"]["completed"] == 1.0  # a closed choice would have raised
    assert results["episode_metrics"]["wasted_trips"] == 0.0
    assert results["episode_cost_mean"] == pytest.approx(results["episode_metrics"]["gap_h"])
    assert results["episode_cost_max"] >= results["episode_cost_mean"] > 0

    again = ModulePolicy(RLModule.from_checkpoint(f"{saved}/learner_group/learner/rl_module/default_policy"), env)
    observation, _ = env.reset(seed=3)
    one, _ = policy.predict(observation, deterministic=True)
    assert one == again.predict(observation, deterministic=True)[0]
    table = evaluate("Restoration-v0", {"ppo": policy, "saved": again}, episodes=6, env_kwargs=CITY)
    first, second = table.agents.values()
    np.testing.assert_array_equal(first.metrics["cost"], second.metrics["cost"])


HAND: list[float] = []
"""Costs of the episodes that `Summing` has seen to their ends."""
NAIVE: list[float] = []
"""What one would take for them who sums the infos of an ended episode."""


class Summing(gym.Wrapper[Any, Any, Any, Any]):
    """Adds up the costs of steps, by hand."""

    def reset(self, **kwargs: Any) -> Any:
        self.total = 0.0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.total += result[4]["cost"]
        if result[2] or result[3]:
            HAND.append(self.total)
        return result


class NaiveSum(RLlibCallback):
    def on_episode_end(self, *, episode: Any, **others: Any) -> None:
        NAIVE.append(sum(info["cost"] for info in episode.get_infos()))


def test_costs__are_those_of_whole_episodes_however_short_the_fragments_are() -> None:
    HAND.clear()
    NAIVE.clear()
    ray.tune.register_env("summing", lambda given: Summing(make_env("Restoration-v0", given)))
    config = ppo("summing", CITY, mode="sync")
    config = config.rl_module(rl_module_spec=masked_module(model_config=SMALL)).callbacks([EpisodeCosts, NaiveSum])
    algorithm = config.build_algo()
    for _ in range(6):
        before = len(HAND)
        results = algorithm.train()["env_runners"]
        if HAND[before:]:  # RLlib's results are of the episodes that have just ended
            assert results["episode_cost_mean"] == pytest.approx(np.mean(HAND[before:]))
            assert results["episode_cost_max"] == pytest.approx(max(HAND[before:]))
    algorithm.stop()
    assert len(HAND) >= 4
    assert not np.allclose(HAND, NAIVE)  # the last fragment is not the episode


@pytest.mark.parametrize(
    ("env_id", "arguments", "mode", "masked"),
    [
        ("stormgym:GeneratorDispatch-v0", {}, NATIVE, True),  # several choices at once; a prefix is part of the name
        ("HospitalBeds-v0", {}, NATIVE, False),  # numbers, not choices
        ("DefenderAttackerCrews-v0", {}, "sync", True),  # a side of the game
        ("DefenderAttackerNature-v0", {}, "sync", False),  # one without a mask
    ],
)
def test_other_ids__train_and_their_modules_act(env_id: str, arguments: Any, mode: str, masked: bool) -> None:
    config = ppo(register_env(env_id), arguments, mode=mode, fragment=20)
    if masked:
        config = config.rl_module(rl_module_spec=masked_module(model_config=SMALL))
    algorithm = config.build_algo()
    results = algorithm.train()["env_runners"]
    name = env_id.rpartition(":")[2]
    env = gym.make(name, **arguments)
    policy = ModulePolicy(algorithm.get_module(), env)
    algorithm.stop()
    assert np.isfinite(results["episode_cost_mean"])
    assert results["num_episodes"] >= 1
    observation, _ = env.reset(seed=0)
    action, _ = policy.predict(observation)
    assert env.action_space.contains(action)
    batch, _ = policy.predict({key: np.stack([part] * 3) for key, part in observation.items()}, deterministic=True)
    assert len(batch) == 3
    assert env.action_space.contains(batch[0])


def test_module__never_draws_a_closed_choice() -> None:
    env = make_env("Restoration-v0", {"city": "synthetic:6:1"})
    module = masked_module(model_config=SMALL, observation_space=env.observation_space, action_space=env.action_space)
    policy = ModulePolicy(module.build(), env.unwrapped)
    observation, _ = env.unwrapped.reset(seed=0)
    batch = {key: np.stack([part] * 500) for key, part in observation.items()}
    for open_ in ([0], [2, 5], [0, 1, 2, 3, 4, 5]):
        batch["action_mask"] = np.tile(np.isin(range(6), open_).astype(np.int8), (500, 1))
        assert set(policy.predict(batch)[0].tolist()) == set(open_)
        assert set(policy.predict(batch, deterministic=True)[0].tolist()) <= set(open_)


def test_game__each_player_learns_within_its_mask_and_all_know_the_cost() -> None:
    config = ppo(register_game(GAME), {"n_crews": 2}, mode="sync", n_runners=2, fragment=20)
    config = config.multi_agent(policies=set(PLAYERS), policy_mapping_fn=player_of)
    algorithm = config.rl_module(rl_module_spec=game_modules(GAME)).build_algo()
    results = algorithm.train()["env_runners"]
    modules = {player: algorithm.get_module(player) for player in PLAYERS}
    algorithm.stop()
    assert results["episode_cost_mean"] == pytest.approx(results["episode_metrics"]["gap_h"])
    returns = results["module_episode_returns_mean"]
    assert returns["planner"] == pytest.approx(-returns[NATURE])

    game = make_game(GAME, {"n_crews": 2})
    seen, _ = game.reset(seed=1)
    assert list(seen) == ["planner"]
    over, turns = False, []
    while not over:
        ((player, observation),) = seen.items()
        turns.append(player)
        assert game.observation_spaces[player].contains(observation)
        if player == NATURE:
            action: Any = game.action_spaces[player].sample()
        else:
            batch = {name: torch.from_numpy(part)[None] for name, part in observation.items()}
            logits = modules[player].forward_inference({"obs": batch})["action_dist_inputs"]
            action = int(logits.argmax())
            assert observation["action_mask"][action] == 1
        seen, rewards, ended, _, infos = game.step({player: action})
        over = ended["__all__"]
    assert set(turns) == set(PLAYERS)
    assert set(rewards) == set(PLAYERS)
    assert {info["episode_cost"] for info in infos.values()} == {infos[NATURE]["metrics"]["gap_h"]}


def test_team__one_module_plays_every_crew_within_its_mask() -> None:
    arguments = {"city": "synthetic:6:1", "n_crews": 2}  # RLlib's own check of the environment passes masks over
    config = ppo(register_game("crew_dispatch_v0"), arguments, mode="sync", fragment=40)
    config = config.multi_agent(policies={"crew"}, policy_mapping_fn=lambda agent, *_, **__: "crew")
    modules = MultiRLModuleSpec(rl_module_specs={"crew": masked_module(model_config=SMALL)})
    algorithm = config.rl_module(rl_module_spec=modules).build_algo()
    results = algorithm.train()["env_runners"]
    algorithm.stop()
    metrics = results["episode_metrics"]
    assert results["num_episodes"] >= 2
    assert metrics["wasted_trips"] == 0.0  # no closed choice was drawn
    assert results["episode_cost_mean"] == pytest.approx(metrics["gap_h"])
    # of both crews, who are paid the same; RLlib leaves out what came before a crew's first turn
    own, whole = results["module_episode_returns_mean"]["crew"], metrics["mean_outage_h"] + 0.05 * metrics["overtime_h"]
    assert -2 * whole - 1e-6 <= own <= -1.9 * whole


def test_ids__that_do_not_exist_are_told_at_once() -> None:
    with pytest.raises(gym.error.NameNotFound):
        register_env("Restauration-v0")
