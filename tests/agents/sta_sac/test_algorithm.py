"""STA-SAC as an algorithm: learning, determinism, save and load, settings, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from stormgym.agents.attention.networks import SHAPES
from stormgym.agents.lineup import make_policy
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training.play import play
from stormgym.envs.adapters.sb3 import make_vec_env

CITY = "synthetic:7:1"
UNTAUGHT = STASACSettings(teacher="none")


def weights(model: STASAC) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.policy.state_dict().items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def test_learn__is_a_stable_baselines3_algorithm_that_updates(trained: STASAC) -> None:
    assert isinstance(trained, OffPolicyAlgorithm)
    assert trained._n_updates > 0
    assert trained.replay_buffer.size() == 280 // 7


def test_learn__same_seed_same_weights_to_the_bit(make: Any, trained: STASAC) -> None:
    again = make()
    again.learn(280)
    assert_same(weights(trained), weights(again))
    assert again.multiplier.value == trained.multiplier.value


def test_learn__other_seed_other_weights(make: Any, trained: STASAC) -> None:
    other = make(seed=1)
    other.learn(280)
    assert any(not torch.equal(a, b) for a, b in zip(weights(trained).values(), weights(other).values(), strict=True))


def test_save_load__keeps_networks_optimisers_multiplier_and_temperature(trained: STASAC, tmp_path: Any) -> None:
    trained.save(tmp_path / "model")
    loaded = STASAC.load(tmp_path / "model", env=trained.get_env(), device="cpu")
    assert_same(weights(trained), weights(loaded))
    assert loaded.multiplier.value == trained.multiplier.value
    assert loaded.multiplier.limit == trained.multiplier.limit
    assert torch.equal(loaded.log_alpha, trained.log_alpha)
    for name in ("actor", "critic"):
        old, new = (getattr(m.policy, f"{name}_optimizer").state_dict()["state"] for m in (trained, loaded))
        assert old.keys() == new.keys()
        assert all(torch.equal(old[k]["exp_avg"], new[k]["exp_avg"]) for k in old)
    obs = trained.get_env().reset()
    np.testing.assert_array_equal(
        trained.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0]
    )


def test_load__one_more_update_is_that_of_the_saved_model(make: Any, tmp_path: Any) -> None:
    model = make()
    model.learn(280)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = STASAC.load(tmp_path / "model", env=model.get_env(), device="cpu")
    loaded.load_replay_buffer(tmp_path / "buffer")
    for m in (model, loaded):
        m.set_logger(model.logger)
        np.random.seed(5)
        m.train(2, 4)
    assert_same(weights(model), weights(loaded))


def test_predict__chooses_open_regions_single_and_batched(trained: STASAC) -> None:
    obs = trained.get_env().reset()
    obs["action_mask"][:] = 0
    obs["action_mask"][np.arange(4), [1, 3, 5, 6]] = 1
    for deterministic in (True, False):
        np.testing.assert_array_equal(trained.predict(obs, deterministic=deterministic)[0], [1, 3, 5, 6])
    one = {key: value[2] for key, value in obs.items()}
    assert trained.predict(one, deterministic=True)[0] == 5


def test_predict__cached_encodings_change_no_choice(trained: STASAC) -> None:
    env = make_vec_env("Restoration-v0", 4, seed=9, city=CITY)
    obs, state = env.reset(), None
    for _ in range(6):
        fresh, _ = trained.predict(obs, deterministic=True)
        kept, state = trained.predict(obs, state, np.zeros(4, dtype=bool), deterministic=True)
        np.testing.assert_array_equal(fresh, kept)
        obs, *_ = env.step(kept)


def test_evaluate_policy__of_stable_baselines3_runs(trained: STASAC) -> None:
    mean, _ = evaluate_policy(trained, trained.get_env(), n_eval_episodes=8)
    assert -50 < float(np.mean(mean)) < 0


@pytest.mark.slow
@pytest.mark.parametrize(("gradient", "rounds"), [("critics", 12), ("returns", 24)])
def test_learn__without_a_teacher_beats_chance(make: Any, gradient: str, rounds: int) -> None:
    held_out = make_vec_env("Restoration-v0", 32, seed=99, city=CITY)
    model = make(n_envs=8, actor_gradient=gradient, gradient_steps=8, constrained=False)
    model.learn(7 * 8 * rounds)
    learnt, chance = play(held_out, model, 128), play(held_out, make_policy("random", held_out), 128)
    assert learnt.mean_return > chance.mean_return  # after 16 rounds by 4 to 9 standard errors, three seeds of each


@pytest.mark.parametrize("shape", list(SHAPES))
def test_learn__every_shape_of_the_networks_trains(make: Any, shape: str) -> None:
    model = make(
        shape=shape,
        share_critics=False,
        retrace=0.0,
        entropy_in_critic=True,
        cost_reduction="max",
        multiplier_method="projected",
    )
    before = weights(model)
    model.learn(140)
    after = weights(model)
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("actor"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"retrace": 1.5}, "retrace must be in"),
        ({"cost_reduction": "min"}, "cost_reduction must be"),
        ({"greedy_share": 1.0}, "greedy_share must be in"),
        ({"limit_margin": 0.0}, "limit_margin must be in"),
        ({"target_entropy": (1.0, 0.1)}, "target_entropy must be"),
        ({"shape": "round"}, "shape must be one of"),
    ],
)
def test_settings__bad_values_are_named(make: Any, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**setting)


def test_policy__another_observation_is_refused() -> None:
    from stable_baselines3.common.env_util import make_vec_env as plain

    with pytest.raises(ValueError, match="needs an observation Dict"):
        STASAC("STASACPolicy", plain("CartPole-v1"), cost_limit=1.0)


def test_unconstrained__never_prices_the_cost() -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY, cost_limit=0.1)
    settings = replace(UNTAUGHT, constrained=False, learning_starts=50, gradient_steps=1)
    model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    model.learn(280)
    value = model.multiplier.value
    model.learn(280, reset_num_timesteps=False)
    assert model.multiplier.value == value < 1e-3


@pytest.mark.slow
def test_learn__soon_beats_the_nearest_region_rule_within_the_limit() -> None:
    env = make_vec_env("Restoration-v0", 32, seed=0, city="synthetic:20:2")
    model = STASAC("STASACPolicy", env, replace(UNTAUGHT, gradient_steps=8), seed=0, device="cpu")
    model.learn(32_000)
    held_out = make_vec_env("Restoration-v0", 64, seed=999, city="synthetic:20:2")
    learnt = play(held_out, model, 128)
    nearest = play(held_out, make_policy("nearest", held_out), 128)
    assert learnt.mean_return > nearest.mean_return + 0.5
    assert learnt.mean_cost < 1.15 * model.cost_limit
