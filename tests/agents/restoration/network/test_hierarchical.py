"""MaskableDQN, the policy of two levels, and learners that leave the cost out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env
from torch.distributions import Categorical

from stormgym.agents.learners import sb3 as learners
from stormgym.agents.learners.lagrangian import VecLagrangianReward
from stormgym.agents.learners.maskable_dqn import MaskableDQN, open_only, random_open
from stormgym.agents.registry import agent_spec
from stormgym.agents.restoration.domain import DOMAIN
from stormgym.agents.restoration.network.hierarchical import (
    GroupedRegionExtractor,
    RegionHierarchicalPolicy,
    TwoLevelDistribution,
    TwoLevelScores,
    hrl_dpdp,
)
from stormgym.agents.training.callbacks import Evaluation
from stormgym.agents.training.play import Score
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import REGION_COLUMNS

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}


def environments(num_envs: int = 4) -> Any:
    return make_vec_env("Restoration-v0", num_envs, seed=2, **ENV_KWARGS)


# leaving the cost out


@pytest.mark.parametrize("name", ["ppo", "dqn", "maskable-ppo", "maskable-dqn", "hrl-dpdp"])
@pytest.mark.parametrize("method", ["softplus", "projected"])
def test_unconstrained__lambda_is_zero_and_stays_there(name: str, method: str) -> None:
    learner = agent_spec(name).load()
    quick = {"learning_starts": 32} if "dqn" in name else {"n_steps": 8, "batch_size": 32, "n_epochs": 1}
    settings = learner.settings(constrained=False, multiplier_method=method, dual_episodes=2, width=8, **quick)
    venv = learner.wrap(environments(), settings)
    assert isinstance(venv, VecLagrangianReward)
    assert venv.multiplier.value == 0.0
    model = learner.build(venv, settings, seed=0, extractor=DOMAIN.extractor)
    model.learn(128, callback=learner.callbacks(venv, settings))
    assert venv.multiplier.value == 0.0
    assert len(venv.finished_costs) < 8  # counted, logged, and let go


def test_unconstrained__best_model_is_the_one_of_highest_return() -> None:
    settings = SimpleNamespace(env_id="Restoration-v0", eval_freq=1, learner={"constrained": False})
    run: Any = SimpleNamespace(settings=settings)
    fast, fair = (Score(np.array([r]), np.array([c]), 8.0, {}) for r, c in ((-10.0, 30.0), (-20.0, 7.0)))
    free = Evaluation(run, environments(), learners.ppo)
    assert free._rank(fast) > free._rank(fair)
    run.settings.learner = {"constrained": True}
    assert Evaluation(run, environments(), learners.ppo)._rank(fast) < free._rank(fair)
    run.settings.learner = {}  # a run of before
    assert Evaluation(run, environments(), learners.ppo)._rank(fast) == fast.rank


# masked DQN


def test_maskable_dqn__never_takes_a_closed_region_while_it_learns() -> None:
    venv = environments()
    model = MaskableDQN("MultiInputPolicy", venv, seed=0, learning_starts=60, train_freq=1, device="cpu")
    model.learn(7 * 4 * 6)
    assert model.replay_buffer is not None
    buffer: Any = model.replay_buffer
    actions, masks = buffer.actions[: buffer.pos], buffer.observations["action_mask"][: buffer.pos]
    assert np.take_along_axis(masks, actions, axis=2).all()
    assert {info["l"] for info in model.ep_info_buffer or ()} == {7}


def test_maskable_dqn__explores_open_regions_alike_row_by_row() -> None:
    mask = np.tile([0, 1, 1, 0, 1], (3000, 1))
    drawn = np.bincount(random_open(mask), minlength=5)
    assert drawn[[0, 3]].sum() == 0
    assert (np.abs(drawn[[1, 2, 4]] - 1000) < 150).all()  # 5.8 standard deviations
    model = MaskableDQN("MultiInputPolicy", environments(64), seed=0, device="cpu")
    model.exploration_rate = 0.5
    obs: Any = environments(64).reset()
    greedy, _ = model.predict(obs, deterministic=True)
    tried, _ = model.predict(obs)
    assert 0.2 < (greedy != tried).mean() < 0.7  # not all rows or none


def test_maskable_dqn__targets_take_the_online_networks_best_open_region(monkeypatch: pytest.MonkeyPatch) -> None:
    venv = environments()
    model = MaskableDQN("MultiInputPolicy", venv, seed=0, device="cpu", gamma=0.5, learning_starts=0)
    online = torch.tensor([[9.0, 1, 5, 0, 0, 0, 0]])
    slow = torch.tensor([[7.0, 8, 3, 0, 0, 0, 0]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 1, 1]])
    assert open_only(online, {"action_mask": mask}).argmax() == 2
    batch = SimpleNamespace(
        observations={"action_mask": mask},
        next_observations={"action_mask": mask},
        actions=torch.tensor([[1]]),
        rewards=torch.tensor([[1.0]]),
        dones=torch.tensor([[0.0]]),
        discounts=None,
    )
    weight = torch.nn.Parameter(torch.zeros(()))
    losses: dict[str, float] = {}
    monkeypatch.setattr(model, "q_net", lambda obs: online + weight)
    monkeypatch.setattr(model, "q_net_target", lambda obs: slow)
    monkeypatch.setattr(model, "replay_buffer", SimpleNamespace(sample=lambda *a, **k: batch))
    model.set_logger(SimpleNamespace(record=lambda key, value, **k: losses.__setitem__(key, value)))  # type: ignore[arg-type]
    model.train(1)
    # target 1 + 0.5 * slow[2] = 2.5, taken 1: Huber loss 1.5 - 0.5
    assert losses["train/loss"] == pytest.approx(1.0)


def test_maskable_dqn__needs_a_mask_in_the_observation() -> None:
    cartpole = make_dummy_vec_env("CartPole-v1", n_envs=2)
    with pytest.raises(ValueError, match="reads the key action_mask"):
        MaskableDQN("MlpPolicy", cartpole, device="cpu")
    with pytest.raises(ValueError, match="needs an environment with the key action_mask"):
        learners.maskable_dqn.check(cartpole)


# two levels


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


def test_two_levels__relabelling_regions_permutes_scores_and_keeps_groups() -> None:
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


def test_two_levels__need_their_extractor_and_regions() -> None:
    with pytest.raises(ValueError, match="GroupedRegionExtractor"):
        MaskablePPO(RegionHierarchicalPolicy, environments(), device="cpu")
    with pytest.raises(ValueError, match="hrl-dpdp chooses among regions"):
        hrl_dpdp.check(make_dummy_vec_env("CartPole-v1", n_envs=2))
