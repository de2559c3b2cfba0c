"""Attention model by policy gradient: shared scenarios, advantages, updates, the constraint, saving."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

from stormgym.agents.attention_pg.algorithm import AttentionPG
from stormgym.agents.attention_pg.policy import AttentionPolicy
from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.restoration.network.features import scales_of
from stormgym.agents.restoration.network.scenarios import expected_to_go
from stormgym.envs.adapters.sb3 import make_vec_env

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
SMALL = AttentionPGSettings(n_rollouts=3, width=16, n_layers=1, step_width=8)


def model_on(num_envs: int = 8, *, cost_limit: float | None = None, **changes: Any) -> AttentionPG:
    venv = make_vec_env("Restoration-v0", num_envs, seed=0, **ENV_KWARGS)
    settings = replace(SMALL, **changes)
    return AttentionPG("AttentionPolicy", venv, settings, cost_limit=cost_limit, seed=0, device="cpu")


class Batches(BaseCallback):
    """Keeps each collection, as it is when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Any] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        assert isinstance(self.model, AttentionPG)
        self.batches.append(self.model._batch)


def test_collection__rollouts_of_a_scenario_meet_the_same_storm() -> None:
    model, seen = model_on(), Batches()
    model.learn(2 * 8 * 7, callback=seen)
    first = seen.batches[0]
    assert first.regions.shape == (6, 7, 9)
    assert first.actions.shape == (6, 7)
    assert first.valid.all()
    for batch in seen.batches:
        assert all(sorted(row) == list(range(7)) for row in batch.actions.tolist())
    assert model.num_timesteps == 2 * 8 * 7
    # the same region takes the same hours in all rollouts of a scenario, and others in other scenarios
    realised = [hours_of(batch) for batch in seen.batches]
    for hours in realised:
        np.testing.assert_allclose(hours[:3], np.tile(hours[0], (3, 1)), rtol=1e-3)
        np.testing.assert_allclose(hours[3:], np.tile(hours[3], (3, 1)), rtol=1e-3)
        assert not np.allclose(hours[0], hours[3])
    assert not np.allclose(realised[0], realised[1])


def hours_of(batch: Any) -> np.ndarray[Any, Any]:
    """Repair hours `[M, N]` of each region, worked out from rewards and distances."""
    rows = np.arange(batch.actions.shape[0])[:, None]
    taken = batch.actions.numpy()
    n_open = batch.is_open.sum(-1).numpy()
    delta = -batch.rewards.numpy() * taken.shape[1] / n_open
    way = np.take_along_axis(batch.distance_km.numpy(), taken[..., None], axis=2)[..., 0]
    result = np.empty(taken.shape)
    result[rows, taken] = delta - way / batch.crew[..., 3].numpy()
    return result


def test_collection__guess_of_the_return_is_exact_for_one_region_without_travel() -> None:
    seen = Batches()
    model_on().learn(56, callback=seen)
    batch = seen.batches[0]
    last = expected_to_go(batch.regions, batch.is_open, scales_of(batch.regions), pace=0.0)[:, -1]
    point = batch.regions[..., 4].gather(1, batch.actions[:, -1:])[:, 0]
    torch.testing.assert_close(last, -point / 7)


def test_update__first_gradient_is_that_of_reinforce() -> None:
    model, seen = model_on(n_epochs=1, batch_size=6), Batches()
    model.learn(56, callback=seen)
    batch = seen.batches[0]
    advantage = model._advantages(batch)
    model.policy.load_state_dict(model_on().policy.state_dict())  # the weights that collected
    log = model._update(batch, advantage)
    assert log["clip_fraction"] == 0.0
    assert log["policy_gradient_loss"] == pytest.approx(0.0, abs=1e-5)  # ratios are 1, and advantages have no mean
    assert advantage.square().mean().item() == pytest.approx(1.0, rel=1e-4)


def test_constraint__lambda_follows_greedy_costs_and_stays_at_zero_without_one() -> None:
    tight = model_on(cost_limit=0.5, multiplier_init=1.0)
    tight.learn(5 * 56)
    assert tight.multiplier.value > 1.0
    loose = model_on(cost_limit=500.0, multiplier_init=1.0)
    loose.learn(5 * 56)
    assert loose.multiplier.value < 1.0
    free = model_on(cost_limit=0.5, multiplier_init=1.0, constrained=False)
    before = free.multiplier.value
    free.learn(5 * 56)
    assert free.multiplier.value == before
    assert free._price() == 0.0


@pytest.mark.slow
def test_learning__gets_better_than_the_first_policy() -> None:
    model = model_on(32, n_rollouts=8, constrained=False, width=32)
    venv = make_vec_env("Restoration-v0", 32, seed=100, **ENV_KWARGS)
    before, _ = evaluate_policy(model, venv, n_eval_episodes=64)
    model.learn(12_000)
    venv.seed(100)
    after, _ = evaluate_policy(model, venv, n_eval_episodes=64)
    assert after > before + 0.3


def test_model__saves_loads_and_goes_on_exactly(tmp_path: Path) -> None:
    model = model_on()
    model.learn(112)
    model.save(tmp_path / "model")
    loaded = AttentionPG.load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert isinstance(loaded.policy, AttentionPolicy)
    for key, value in model.policy.state_dict().items():
        assert torch.equal(value, loaded.policy.state_dict()[key]), key
    assert loaded.multiplier.value == model.multiplier.value
    steps = [m.policy.optimizer.state_dict()["state"][0]["step"] for m in (model, loaded)]
    assert steps[0] == steps[1]
    obs = make_vec_env("Restoration-v0", 4, seed=3, **ENV_KWARGS).reset()
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    finals = []
    for again in (model, loaded):
        again.set_random_seed(7)
        again.learn(56, reset_num_timesteps=False)
        finals.append(torch.cat([p.flatten() for p in again.policy.parameters()]))
    assert torch.equal(*finals)


def test_policy__kept_encodings_change_nothing() -> None:
    model = model_on()
    venv = make_vec_env("Restoration-v0", 4, seed=3, **ENV_KWARGS)
    obs: Any = venv.reset()
    state, start = None, np.ones(4, dtype=bool)
    for _ in range(7):
        kept, state = model.predict(obs, state, start, deterministic=True)
        np.testing.assert_array_equal(kept, model.predict(obs, deterministic=True)[0])
        obs, _, start, _ = venv.step(kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_rollouts": 1}, "n_rollouts must be at least 2"),
        ({"greedy_share": 1.0}, r"greedy_share must be in \[0, 1\); got 1.0"),
        ({"limit_margin": 0.0}, r"limit_margin must be in \(0, 1\]; got 0.0"),
        ({"n_epochs": 0}, "n_epochs and batch_size must be at least 1; got 0 and 8"),
        ({"clip_range": 0.0}, "clip_range must be above 0; got 0.0"),
        ({"num_envs": 1}, "at least 2 environments"),
    ],
)
def test_model__wrong_settings_say_what_is_right(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_on(**changes)


def test_policy__has_no_noise_that_depends_on_the_state() -> None:
    venv = make_vec_env("Restoration-v0", 2, seed=0, **ENV_KWARGS)
    with pytest.raises(ValueError, match="use_sde is for continuous actions"):
        AttentionPG("AttentionPolicy", venv, SMALL, policy_kwargs={"use_sde": True}, device="cpu")


def test_defaults__of_the_policy_are_those_of_the_settings() -> None:
    own = {key: parameter.default for key, parameter in inspect.signature(AttentionPolicy.__init__).parameters.items()}
    for name, value in AttentionPGSettings().network.items():
        assert own[name] == value, name
    assert inspect.signature(AttentionPG.__init__).parameters["settings"].default == AttentionPGSettings()
