"""Datasets by kind: every environment has them, cards say what is in them, mixes have equal parts."""

import json

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.offline.datasets import (
    KINDS,
    DatasetSpec,
    RandomActions,
    figures_of,
    folder_of,
    make_dataset,
    spec_of_dataset,
)
from stormgym.agents.registry import DOMAINS, domain_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
IDS = [env_id for env_id in DOMAINS if env_id in gym.registry]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def spec(env_id, kind, episodes=6, **kwargs):
    return DatasetSpec(env_id, kind, episodes, 0, {**domain_of(env_id).small, **kwargs})


@pytest.mark.parametrize("env_id", IDS)
def test_kinds__every_environment_names_agents_that_fit_it(env_id):
    domain = domain_of(env_id)
    assert set(domain.demonstrators) == {"status-quo", "planner", "expert"}
    for name in domain.demonstrators.values():
        found = domain.agent(name)
        assert found is not None
        assert not found.privileged
        assert not found.trainable


@pytest.mark.parametrize("env_id", IDS)
def test_random__actions_are_of_the_space_open_and_repeatable(env_id):
    made = gym.make_vec(env_id, 3, vectorization_mode="vector_entry_point", **domain_of(env_id).small)
    policies = [RandomActions(made, seed=1) for _ in range(2)]
    obs, _ = made.reset(seed=0)
    for _ in range(4):
        actions, again = (policy.predict(obs)[0] for policy in policies)
        np.testing.assert_array_equal(actions, again)
        assert made.action_space.contains(actions)
        if isinstance(made.single_action_space, gym.spaces.Discrete):
            assert obs["action_mask"][np.arange(3), actions].all()
        obs, *_ = made.step(actions)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_dataset__and_its_card(kind):
    dataset = make_dataset(spec("Restoration-v0", kind, episodes=5, split="train"))
    card = json.loads((folder_of(dataset) / "card.json").read_text())
    assert (card["kind"], card["episodes"], card["transitions"]) == (kind, 5, dataset.total_steps)
    assert sum(card["episodes_by_policy"].values()) == 5
    assert card["means"] == figures_of(dataset)
    assert card["means"]["cost"] == pytest.approx(card["means"]["gap_h"])
    assert f"5 episodes, {dataset.total_steps} transitions" in (folder_of(dataset) / "card.md").read_text()
    assert spec_of_dataset(dataset) == spec("Restoration-v0", kind, episodes=5, split="train")
    again = make_dataset(spec("Restoration-v0", kind, episodes=5, split="train"))  # replaces, and is the same
    assert again[4].rewards.tolist() == dataset_rewards(card, again)


def dataset_rewards(card, dataset):
    """Of episode 4, by the mean of all that the first card told."""
    assert figures_of(dataset) == card["means"]
    return dataset[4].rewards.tolist()


@pytest.mark.slow
def test_mix__has_equal_parts_on_storms_of_their_own():
    dataset = make_dataset(spec("GeneratorDispatch-v0", "mixed", episodes=6))
    card = json.loads((folder_of(dataset) / "card.json").read_text())
    assert sorted(card["episodes_by_policy"].values()) == [1, 1, 2, 2]
    first = {tuple(episode.observations["wind_ms"][0].tolist()) for episode in dataset.iterate_episodes()}
    assert len(first) == 6


def test_dataset__bad_requests():
    with pytest.raises(ValueError, match="kind must be one of random, status-quo, planner, expert, mixed"):
        make_dataset(spec("Restoration-v0", "best"))
    with pytest.raises(ValueError, match="episodes must be at least 4, one for each policy; got 3"):
        make_dataset(spec("Restoration-v0", "mixed", episodes=3))
