"""The policy of two levels: a group, then a region of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env
from torch.distributions import Categorical

from stormgym.agents.restoration.network.hierarchical import (
    GroupedRegionExtractor,
    RegionHierarchicalPolicy,
    TwoLevelDistribution,
    TwoLevelScores,
    hrl_dpdp,
)
from stormgym.envs.adapters.sb3 import StormVecEnv
from stormgym.envs.restoration.layout import REGION_COLUMNS


def packed(group: list[int], lower: list[float], upper: list[float]) -> torch.Tensor:
    return torch.tensor([[*map(float, group), *lower, *upper]])


def test_two_levels__probability_is_that_of_the_group_times_that_of_the_region_in_it() -> None:
    group, lower, upper = [0, 0, 1, 2, 1], [0.3, -1.0, 2.0, 5.0, 0.5], [0.2, 1.5, -0.4]
    distribution = TwoLevelDistribution(5, 3).proba_distribution(packed(group, lower, upper))
    groups = torch.softmax(torch.tensor(upper), 0)
    for r, g in enumerate(group):
        members = [k for k in range(5) if group[k] == g]
        within = torch.softmax(torch.tensor([lower[k] for k in members]), 0)[members.index(r)]
        assert distribution.log_prob(torch.tensor([r])).item() == pytest.approx(
            (groups[g] * within).log().item(), abs=1e-5
        )

    distribution.apply_masking(np.array([[True, False, True, False, True]]))
    probs = distribution.distribution.probs[0]
    assert probs[[1, 3]].sum() == 0.0
    open_groups = torch.softmax(torch.tensor(upper[:2]), 0)  # group 2 has no open region left
    assert probs[0].item() == pytest.approx(open_groups[0].item(), abs=1e-5)
    assert probs[[2, 4]].sum().item() == pytest.approx(open_groups[1].item(), abs=1e-5)
    assert distribution.entropy().item() == pytest.approx(Categorical(probs=probs).entropy().item(), abs=1e-4)


def test_two_levels__mode_is_taken_level_by_level() -> None:
    # group 0 is likelier, though its regions share its probability
    distribution = TwoLevelDistribution(4, 2).proba_distribution(packed([0, 0, 0, 1], [0.0, 0.1, 0.0, 0.0], [0.3, 0.0]))
    assert distribution.distribution.probs.argmax(1).item() == 3
    assert distribution.mode().item() == 1
    distribution.apply_masking(np.array([[True, False, True, True]]))
    assert distribution.mode().item() in (0, 2)
    distribution.apply_masking(np.array([[False, False, False, True]]))
    assert distribution.mode().item() == 3


def test_two_levels__gradients_stay_finite_when_groups_are_closed() -> None:
    scores = packed([0, 0, 1, 2], [0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 9.0]).requires_grad_()
    distribution = TwoLevelDistribution(4, 3).proba_distribution(scores)
    distribution.apply_masking(np.array([[True, True, True, False]]))
    (distribution.log_prob(torch.tensor([1])) + distribution.entropy()).sum().backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0, 4 + 3] == 0.0
    assert scores.grad[0, 4 + 4 + 2] == 0.0


def test_two_levels__relabelling_regions_permutes_scores_and_keeps_groups(
    environments: Callable[..., StormVecEnv],
) -> None:
    venv = environments()
    obs: Any = venv.reset()
    torch.manual_seed(0)
    extractor = GroupedRegionExtractor(venv.observation_space, width=16)
    scores = TwoLevelScores(16, extractor.n_groups, gain=1.0)
    order = np.random.default_rng(1).permutation(7)
    moved = {key: value if key == "crew" else value[:, order] for key, value in obs.items()}
    assert set(REGION_COLUMNS) <= set(moved)
    with torch.no_grad():
        features = [extractor({k: torch.as_tensor(v.copy()) for k, v in o.items()}) for o in (obs, moved)]
        assert features[0].shape[1] == extractor.features_dim
        before, after = (scores(f) for f in features)
    for part in (slice(0, 7), slice(7, 14)):
        torch.testing.assert_close(after[:, part], before[:, part][:, order])
    torch.testing.assert_close(after[:, 14:], before[:, 14:])


def test_two_levels__need_their_extractor_and_regions(environments: Callable[..., StormVecEnv]) -> None:
    with pytest.raises(ValueError, match="GroupedRegionExtractor"):
        MaskablePPO(RegionHierarchicalPolicy, environments(), device="cpu")
    with pytest.raises(ValueError, match="hrl-dpdp chooses among regions"):
        hrl_dpdp.check(make_dummy_vec_env("CartPole-v1", n_envs=2))
