"""Pretrained STA-SAC: it acts in cities of any size, scores as its card says, and draws from a seed of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.policy import Policy
from stormgym.agents.pretrained import known_pretrained, load_pretrained
from stormgym.agents.pretrained.cards import FOLDER, Card, CardScore
from stormgym.envs.restoration.layout import observation_space

FULL = os.environ.get("STORMGYM_FULL") == "1"
KNOWN = known_pretrained()
OVER_REGIONS = known_pretrained("Restoration-v0")
ANY = next(iter(OVER_REGIONS), "")
CHECKED = 64
"""Episodes of the scores that are played again in every test run; longer ones only with STORMGYM_FULL=1."""
TOLERANCE_H = 0.05
"""Room for other machines' rounding, which may turn a close choice in a few episodes."""
SCORES = [(card, score) for card in KNOWN.values() for score in card.scores if FULL or score.episodes <= CHECKED]


@pytest.mark.parametrize("full_name", KNOWN)
def test_weights__are_float32_arrays_without_pickles(full_name: str) -> None:
    with np.load(FOLDER / f"{KNOWN[full_name].stem}.npz", allow_pickle=False) as arrays:
        assert arrays.files
        for key in arrays.files:
            assert arrays[key].dtype == np.float32, key
            assert np.isfinite(arrays[key]).all(), key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("card", "score"), SCORES, ids=[f"{card.full_name}-{i}-{s.episodes}" for i, (card, s) in enumerate(SCORES)]
)
def test_agent__scores_as_its_card_says(card: Card, score: CardScore) -> None:
    evaluation = evaluate(
        card.trained_on.env_id,
        {"it": load_pretrained(card.full_name)},
        episodes=score.episodes,
        seed=score.seed,
        env_kwargs=score.env_kwargs,
        latency_episodes=1,
    )
    record = evaluation.agents["it"]
    assert len(score.metrics) == 2
    for key, value in score.metrics.items():
        room = TOLERANCE_H if value < 1_000 else 1e-3 * value
        assert record.metrics[key].mean() == pytest.approx(value, abs=room), key
    assert np.mean(evaluation.limits_of(record)) == pytest.approx(score.cost_limit, abs=1e-3)


@pytest.mark.parametrize("full_name", OVER_REGIONS)
@pytest.mark.parametrize("city", ["synthetic:5:1", "synthetic:23:2"])
def test_agent__acts_in_a_city_of_any_size_single_and_batched(
    full_name: str, city: str, vector_env: Callable[..., Any]
) -> None:
    envs = vector_env(3, city=city)
    policy = load_pretrained(full_name, envs)
    assert isinstance(policy, Policy)
    assert not policy.privileged
    obs, _ = envs.reset(seed=0)
    state, start = None, np.ones(3, dtype=bool)
    for _ in range(envs.single_action_space.n):
        action, state = policy.predict(obs, state, start, deterministic=True)
        assert action.shape == (3,)
        assert obs["action_mask"][np.arange(3), action].all()
        alone, _ = policy.predict({key: value[1] for key, value in obs.items()}, deterministic=True)
        assert np.shape(alone) == ()
        assert alone == action[1]
        drawn, _ = policy.predict(obs, state, np.zeros(3, dtype=bool), deterministic=False)
        assert obs["action_mask"][np.arange(3), drawn].all()
        obs, _, terminated, _, _ = envs.step(action)
        start = np.zeros(3, dtype=bool)
    assert terminated.all()


def test_agent__draws_follow_from_its_own_seed(vector_env: Callable[..., Any]) -> None:
    envs = vector_env(32, city="synthetic:9:1")

    def drawn(seed: int) -> list[list[int]]:
        policy, state, result = load_pretrained(ANY, envs, seed=seed), None, []
        obs, _ = envs.reset(seed=0)
        for _ in range(9):  # a trained agent is sure of many choices, never of a whole episode
            action, state = policy.predict(obs, state, deterministic=False)
            result.append(action.tolist())
            obs, *_ = envs.step(action)
        return result

    np.random.seed(5)
    before = np.random.get_state()[1]
    assert drawn(1) == drawn(1) != drawn(2)
    assert (np.random.get_state()[1] == before).all()


def test_agent__state_of_another_city_is_not_taken(vector_env: Callable[..., Any]) -> None:
    policy = load_pretrained(ANY)
    small, large = (vector_env(2, city=city).reset(seed=0)[0] for city in ("synthetic:5:1", "synthetic:8:1"))
    _, state = policy.predict(small, deterministic=True)
    fresh, _ = policy.predict(large, deterministic=True)
    kept, _ = policy.predict(large, state, np.zeros(2, dtype=bool), deterministic=True)
    assert fresh.tolist() == kept.tolist()


def test_agent__of_another_number_of_groups_is_refused_at_once_or_at_the_first_observation() -> None:
    groups = KNOWN[ANY].n_groups
    env = SimpleNamespace(observation_space=observation_space(6, groups + 1))
    said = f"'{ANY}' was trained on cities with {groups} groups; this environment has {groups + 1}. Take a city with"
    with pytest.raises(ValueError, match=said):
        load_pretrained(ANY, env)
    obs = env.observation_space.sample()
    with pytest.raises(ValueError, match=f"these observations have {groups + 1}"):
        load_pretrained(ANY).predict(obs)
    with pytest.raises(ValueError, match="STA-SAC needs an observation Dict"):
        load_pretrained(ANY, gym.make("CartPole-v1"))


def test_weights__that_hold_pickles_are_not_opened(copied: Path) -> None:
    with np.load(copied / f"{KNOWN[ANY].stem}.npz") as arrays:
        held = {key: arrays[key] for key in arrays.files}
    first = next(iter(held))
    held[first] = np.array([{}], dtype=object)
    np.savez(copied / f"{KNOWN[ANY].stem}.npz", **held)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_pretrained(ANY, folder=copied)
