"""How STA-SAC reads a way through a grid and chooses it: by enumeration, trained for some seconds, saved and loaded."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.decisions.domain import PATH_DEFAULTS
from stormgym.agents.decisions.reading import READING
from stormgym.agents.decisions.tokens import DOWN, RIGHT, ask, fits, sizes_of, tokens_of, walk_of
from stormgym.agents.runs import load_policy
from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.agents.sta_sac.reading import can_be_read, reading_of
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training.api import resume, train
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.decisions.shortest_path import ShortestPathProblem

ID = "ShortestPath-v0"
SMALL = {"grid": 3, "actions": "moves", "n_train": 12, "n_validation": 12, "n_test": 12}
SIZES = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}
PARTS = READING.parts
assert PARTS is not None


def observations(n: int = 4, **kwargs: Any) -> tuple[Any, Any]:
    env = gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})
    return env, env.reset(seed=0)[0]


def problem() -> ShortestPathProblem:
    return ShortestPathProblem(**SMALL)


def net(space: Any) -> TokenNet:
    torch.manual_seed(0)
    sizes = sizes_of(space)
    return TokenNet(sizes.choice, sizes.actor, sizes.common, 1, **SIZES)


def settings_of(**changes: Any) -> STASACSettings:
    return STASACSettings(**{**PATH_DEFAULTS.settings, **SIZES, **changes})


def every_action(n_moves: int = 4) -> np.ndarray[Any, Any]:
    return np.array(list(itertools.product((RIGHT, DOWN), repeat=n_moves)), dtype=np.int64)


def test_ways__have_all_the_probability_together_and_each_is_one_row_of_choices() -> None:
    env, obs = observations(1)
    actor = net(env.single_observation_space)
    found: dict[tuple[int, ...], float] = {}
    for action in every_action():
        likely = 1.0
        for k in range(4):
            asked = ask(obs, action[None, :k])
            likely *= float(step_probs(actor, tokens_of(asked), asked["action_mask"])[0, action[k]])
            if likely == 0.0:
                break
        if likely > 0.0:
            found[tuple(action)] = likely
    assert len(found) == 6  # of 3 x 3 nodes
    assert all(sum(way) == 2 for way in found)
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-5)


def test_choices__of_an_action_make_it_again_or_what_is_carried_out_in_its_place() -> None:
    actions = every_action()
    _, obs = observations(len(actions))
    choices = PARTS.split(obs, actions)
    plans, repaired = problem().plans_of(actions)
    again, again_repaired = problem().plans_of(PARTS.join(obs, choices))
    np.testing.assert_array_equal(again, plans)
    assert not again_repaired.any()
    np.testing.assert_array_equal((choices != actions).any(axis=1), repaired)
    for k in range(4):  # each choice is open when it is asked for
        mask = ask(obs, choices[:, :k])["action_mask"]
        assert (mask[np.arange(len(actions)), choices[:, k]] == 1).all()
        assert (mask[:, 2] == 0).all()


def test_tokens__name_the_arcs_that_are_taken_and_what_is_known_of_the_case() -> None:
    actions = every_action()
    env, obs = observations(len(actions))
    sizes, rows = sizes_of(env.single_observation_space), np.arange(len(actions))
    choices = PARTS.split(obs, actions)
    taken = np.zeros((len(actions), 12))
    for k in range(4):
        tokens = tokens_of(ask(obs, choices[:, :k]))
        assert tokens.choices.shape == (len(actions), 2, sizes.choice)
        assert tokens.actors.shape == (len(actions), 1, sizes.actor)
        assert tokens.common.shape == (len(actions), sizes.common)
        by_arc = tokens.choices[rows, choices[:, k]].reshape(len(actions), 12, 6)
        taken += by_arc[..., 0]
        np.testing.assert_array_equal(by_arc.sum(axis=1)[:, 1:], obs["features"])
        assert (tokens.choices[~tokens.is_open] == 0).all()
        at = walk_of(obs, choices[:, :k])
        assert (tokens.actors[rows, 0, 1 + 3 * at.row + at.column] == 1).all()
        assert (tokens.actors.sum(axis=2) == 2).all()
    np.testing.assert_array_equal(taken, problem().plans_of(actions)[0])
    first = tokens_of(obs)  # as the environment shows it: the first move is asked
    np.testing.assert_array_equal(first.choices, tokens_of(ask(obs, choices[:, :0])).choices)


@pytest.mark.parametrize("grid", [2, 3, 5])
def test_actions__are_never_repaired(grid: int) -> None:
    venv = make_vec_env(ID, 32, seed=0, **{**SMALL, "grid": grid})
    model: Any = sta_sac.build(venv, settings_of(), seed=0)
    obs = venv.reset()
    for deterministic in (True, False):
        action, _ = model.predict(obs, deterministic=deterministic)
        obs, _, done, infos = venv.step(action)
        assert done.all()
        assert not any(info["metrics"]["repaired"] for info in infos)


def test_learning__ends_near_the_best_ways_of_a_tiny_problem() -> None:
    known = {**SMALL, "noise": 0.0, "split": "train"}  # costs follow from the features
    venv = make_vec_env(ID, 64, seed=0, **known)
    settings = settings_of(learning_rate=5e-3, actor_batch_size=64, n_epochs=2, actor_tau=0.05)
    model: Any = sta_sac.build(venv, settings, seed=0)

    def regret() -> float:
        obs = venv.reset()
        _, _, _, infos = venv.step(model.predict(obs, deterministic=True)[0])
        return float(np.mean([info["metrics"]["regret"] for info in infos]))

    before = regret()
    model.learn(64 * 60)
    assert before > 0.5
    assert regret() < 0.1 * before


def test_without_a_limit__nothing_is_constrained_and_a_cost_is_an_error() -> None:
    venv = make_vec_env(ID, 16, seed=0, **SMALL)
    model: Any = sta_sac.build(venv, settings_of(), seed=0)
    assert not model.is_limited
    assert model.cost_limit is None
    model.learn(64)
    assert model.settings.constrained is False
    assert model.collector.finished == []
    batch = model.replay_buffer.episodes(np.arange(2))
    assert batch.valid.shape[1] == 4  # moves of one step
    assert (batch.rewards[:, :-1] == 0).all()
    assert (batch.rewards[:, -1] < 0).all()
    assert (batch.costs == 0).all()
    assert float(model.storm_update.rewards.price(batch, model.policy.scales(batch)).max()) == 0.0
    core: Any = venv.unwrapped.env.unwrapped.core
    step = core.step
    core.step = lambda actions, live=None: step(actions, live)._replace(cost=np.ones(16))
    with pytest.raises(ValueError, match=r"cost 1\.0, and the environment has no cost_limit; pass cost_limit"):
        model.learn(16)


def test_run__is_loaded_as_it_was_and_goes_on(tmp_path: Path) -> None:
    few: dict[str, Any] = {"num_envs": 16, "timesteps": 64, "eval_episodes": 4, "eval_freq": 64}
    trained = train(ID, "sta-sac", SIZES, runs_dir=tmp_path, env_kwargs=SMALL, **few)
    env, obs = observations(6)
    policy: Any = load_policy(trained.run.folder, env)
    action, _ = policy.predict(obs, deterministic=True)
    assert not problem().plans_of(action)[1].any()
    assert not policy.model.is_limited
    again = resume(trained.run.folder, 128)
    assert set(again.scores) == {128}


@pytest.mark.parametrize(
    ("env_id", "kwargs", "fault"),
    [
        (ID, {"grid": 3}, r'takes MultiDiscrete actions with such observations; got Box.* with actions="moves"'),
        ("Portfolio-v0", {"n_assets": 16}, "STA-SAC takes MultiDiscrete actions with such observations; got Box"),
        ("FractionalKnapsack-v0", {"n_items": 8, "integral": True}, r'ShortestPath-v0 with actions="moves"'),
        ("NetworkSecurity-v0", {"n_nodes": 12, "radius": 0.45}, "STA-SAC needs an observation"),
        ("EnergyScheduling-v0", {"n_days": 120}, "STA-SAC needs an observation"),
    ],
)
def test_reading__is_for_ways_of_moves_only(env_id: str, kwargs: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        sta_sac.check(make_vec_env(env_id, 2, seed=0, **kwargs))


def test_reading__refuses_other_choices_under_such_observations() -> None:
    venv = make_vec_env(ID, 2, seed=0, **SMALL)
    space = venv.observation_space
    assert fits(space)
    assert can_be_read(space)
    assert reading_of(space) is READING
    assert READING.layout_of(space, venv.action_space).n_parts == 4
    for other in (gym.spaces.MultiDiscrete([2] * 6), gym.spaces.MultiDiscrete([3] * 4)):
        with pytest.raises(ValueError, match="those of a way through a grid, with actions"):
            READING.layout_of(space, other)
