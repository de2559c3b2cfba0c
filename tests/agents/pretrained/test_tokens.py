"""Pretrained agents over tokens: any number of jobs and crews, what does not fit, and damaged files."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.pretrained import known_pretrained, load_pretrained
from stormgym.agents.pretrained.cards import write_card

KNOWN = known_pretrained("CrewDispatch-v0")
ID = "stormgym:CrewDispatch-v0"


@pytest.mark.parametrize("full_name", KNOWN)
@pytest.mark.parametrize("kwargs", [{"city": "synthetic:7:1", "n_crews": 2}, {"city": "synthetic:23:2", "n_crews": 6}])
def test_agent__dispatches_any_number_of_crews_alone_and_in_a_batch(full_name, kwargs):
    batch = gym.make_vec(ID, 3, vectorization_mode="vector_entry_point", predictor="none", on_invalid="raise", **kwargs)
    single = gym.make(ID, predictor="none", on_invalid="raise", **kwargs)
    policy = load_pretrained(full_name, batch)
    obs, _ = batch.reset(seed=[1, 2, 3])
    one, _ = single.reset(seed=2)
    ended = False
    while not ended:
        action, _ = policy.predict(obs, deterministic=True)
        choice, _ = policy.predict(one, deterministic=True)
        assert action[1] == choice
        obs, *_ = batch.step(action)
        one, _, ended, *_ = single.step(int(choice))


@pytest.mark.parametrize("full_name", KNOWN)
def test_agent__says_where_it_does_not_fit(full_name):
    with pytest.raises(ValueError, match="It plays CrewDispatch-v0"):
        load_pretrained(full_name, gym.make("stormgym:Restoration-v0", city="synthetic:6:1", predictor="none"))
    policy = load_pretrained(full_name)
    obs, _ = gym.make(ID, city="synthetic:7:1", predictor="none").reset(seed=0)
    obs["storm"] = obs["storm"][: 5 + 3 * 2 + 1]  # as with two groups
    with pytest.raises(ValueError, match="was trained on cities with 3 groups"):
        policy.predict(obs)


@pytest.mark.parametrize("full_name", KNOWN)
def test_files__that_do_not_fit_are_told(full_name, tmp_path):
    card = KNOWN[full_name]
    file = tmp_path / f"{card.stem}.npz"
    write_card(card, tmp_path)
    with pytest.raises(FileNotFoundError, match="has a card and no weights"):
        load_pretrained(full_name, folder=tmp_path)
    np.savez(file, nothing=np.zeros(3))
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_pretrained(full_name, folder=tmp_path)
    write_card(replace(card, network={"shape": "tokens"}), tmp_path)
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_pretrained(full_name, folder=tmp_path)


@pytest.mark.parametrize("full_name", KNOWN)
def test_agent__draws_from_a_seed_of_its_own(full_name):
    obs, _ = gym.make_vec(ID, 8, vectorization_mode="vector_entry_point", predictor="none").reset(seed=3)
    first, again = (load_pretrained(full_name, seed=5).predict(obs)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
