"""What a trained actor needs to act: probabilities of open regions, what steps share, and choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare

from stormgym.agents.attention.masking import choose, masked_log_softmax
from stormgym.agents.attention.networks import SHAPES
from stormgym.agents.restoration.network.acting import step_probs
from stormgym.agents.restoration.network.features import N_STATIC, n_crew_features
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

SIZE: dict[str, Any] = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}


def actor_of(shape: str) -> Any:
    torch.manual_seed(0)
    return SHAPES[shape](N_STATIC + 3, n_crew_features(3), 1, **SIZE).eval()


@pytest.mark.parametrize("shape", SHAPES)
def test_probs__are_those_of_open_regions_and_what_is_kept_only_saves_time(shape: str) -> None:
    env = RestorationVectorEnv(3, city="synthetic:7:1", predictor="none")
    actor = actor_of(shape)
    obs, _ = env.reset(seed=0)
    memory, start = None, np.ones(3, dtype=bool)
    for _ in range(4):
        probs, memory = step_probs(actor, obs, memory, start, 3)
        assert probs.shape == (3, 7)
        assert_allclose(probs.sum(1).numpy(), 1.0, rtol=1e-5)
        assert (probs.numpy()[obs["action_mask"] == 0] == 0).all()
        fresh, _ = step_probs(actor, obs, None, start, 3)
        assert_allclose(probs.numpy(), fresh.numpy(), rtol=1e-4, atol=1e-6)
        obs, *_ = env.step(choose(probs, deterministic=True))
        start = np.zeros(3, dtype=bool)


def test_probs__memory_is_made_anew_for_another_batch_and_where_an_episode_begins() -> None:
    actor = actor_of("episode")
    large, small = (RestorationVectorEnv(2, city=f"synthetic:{n}:1", predictor="none") for n in (9, 7))
    ongoing = np.zeros(2, dtype=bool)
    _, memory = step_probs(actor, large.reset(seed=0)[0], None, ongoing, 3)
    obs, _ = small.reset(seed=0)
    probs, other = step_probs(actor, obs, memory, ongoing, 3)
    assert other is not memory
    assert probs.shape == (2, 7)
    assert step_probs(actor, obs, other, ongoing, 3)[1] is other
    assert step_probs(actor, obs, other, np.array([False, True]), 3)[1] is not other


def test_masked_log_softmax__is_the_softmax_over_what_is_open() -> None:
    logits = torch.tensor([[1.0, 2.0, 50.0]])
    found = masked_log_softmax(logits, torch.tensor([[True, True, False]])).exp()
    torch.testing.assert_close(found, torch.softmax(torch.tensor([[1.0, 2.0, -torch.inf]]), dim=-1))


def test_choose__is_the_likeliest_or_a_draw_in_proportion() -> None:
    probs = torch.tensor([[0.2, 0.0, 0.8]])
    assert choose(probs, deterministic=True).tolist() == [2]
    drawn = choose(probs.expand(5_000, -1), deterministic=False, rng=np.random.default_rng(0))
    count = np.bincount(drawn, minlength=3)
    assert count[1] == 0
    assert chisquare(count[[0, 2]], [1_000, 4_000]).pvalue > 1e-4  # fails for one seed in ten thousand


def test_choose__draws_follow_from_the_generator_or_from_numpys_own() -> None:
    probs = torch.full((64, 5), 0.2)
    first, second = (choose(probs, False, np.random.default_rng(1)) for _ in range(2))
    assert_array_equal(first, second)
    np.random.seed(4)
    theirs = choose(probs, False)
    np.random.seed(4)
    assert_array_equal(choose(probs, False), theirs)
