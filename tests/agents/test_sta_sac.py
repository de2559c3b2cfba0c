"""STA-SAC: buffer, targets, critics, multiplier step, determinism, save and load, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from stormgym.agents.policy import make_policy
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.features import make_inputs
from stormgym.agents.sta_sac.networks import SHAPES
from stormgym.agents.sta_sac.policy import Critics
from stormgym.agents.training.play import play
from stormgym.agents.training.settings import STASACSettings
from stormgym.agents.training.vec_env import make_vec_env
from stormgym.envs.restoration.layout import COLUMN, regions_of

CITY = "synthetic:7:1"
SMALL: dict[str, Any] = {
    "learning_starts": 60,
    "gradient_steps": 2,
    "batch_size": 4,
    "policy_kwargs": {"width": 16, "n_heads": 2, "n_layers": 1, "step_width": 8},
}


def make(seed: int = 0, n_envs: int = 4, **settings: Any) -> STASAC:
    env = make_vec_env("Restoration-v0", n_envs, seed=seed, city=CITY)
    return STASAC("STASACPolicy", env, seed=seed, device="cpu", **{**SMALL, **settings})


def weights(model: STASAC) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.policy.state_dict().items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


@pytest.fixture(scope="module")
def trained() -> STASAC:
    model = make()
    model.learn(280)
    return model


def test_learn__is_a_stable_baselines3_algorithm_that_updates(trained: STASAC) -> None:
    assert isinstance(trained, OffPolicyAlgorithm)
    assert trained._n_updates > 0
    assert trained.replay_buffer.size() == 280 // 7


def test_learn__same_seed_same_weights_to_the_bit(trained: STASAC) -> None:
    again = make()
    again.learn(280)
    assert_same(weights(trained), weights(again))
    assert again.multiplier.value == trained.multiplier.value


def test_learn__other_seed_other_weights(trained: STASAC) -> None:
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


def test_load__one_more_update_is_that_of_the_saved_model(tmp_path: Any) -> None:
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


def test_buffer__gives_back_whole_episodes_as_they_were_played() -> None:
    env = make_vec_env("Restoration-v0", 2, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(140, env.observation_space, env.action_space, device="cpu", n_envs=2)
    obs = env.reset()
    first, costs, totals = obs, [], []
    for step in range(7):
        action = np.array([step, 6 - step])
        nxt, reward, done, infos = env.step(action)
        buffer.add(obs, nxt, action, reward, done, infos)
        costs.append([info["cost"] for info in infos])
        totals.append(reward)
        obs = nxt
    batch = buffer.episodes(np.array([0, 1]))
    assert batch.valid.all()
    np.testing.assert_allclose(batch.costs.numpy(), np.array(costs).T, rtol=1e-6)
    np.testing.assert_allclose(batch.rewards.numpy(), np.array(totals).T, rtol=1e-6)
    np.testing.assert_array_equal(batch.actions.numpy(), [np.arange(7), np.arange(6, -1, -1)])
    np.testing.assert_array_equal(batch.regions.numpy(), regions_of(first))
    np.testing.assert_array_equal(batch.is_open.sum(-1).numpy(), np.tile(np.arange(7, 0, -1), (2, 1)))


def test_buffer__overwrites_the_oldest_and_grows_for_longer_episodes() -> None:
    env = make_vec_env("Restoration-v0", 1, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(21, env.observation_space, env.action_space, device="cpu")
    assert buffer.capacity == 3
    for episode in range(4):
        obs, step, done = env.reset(), 0, np.array([False])
        while not done[0]:
            action = np.array([0 if step < episode else step - episode])  # wasted trips first
            nxt, reward, done, infos = env.step(action)
            buffer.add(obs, nxt, action, reward, done, infos)
            obs, step = nxt, step + 1
    assert buffer.full
    assert sorted(buffer.lengths.tolist()) == [8, 9, 10]
    batch = buffer.episodes(np.arange(3))
    assert sorted(batch.valid.sum(1).tolist()) == [8, 9, 10]


def test_buffer__a_missing_cost_is_an_error() -> None:
    env = make_vec_env("Restoration-v0", 1, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(70, env.observation_space, env.action_space, device="cpu")
    obs = env.reset()
    with pytest.raises(KeyError, match="has no key 'cost'"):
        buffer.add(obs, obs, np.array([0]), np.array([0.0]), np.array([False]), [{}])


def test_buffer__sampling_nothing_is_an_error() -> None:
    env = make_vec_env("Restoration-v0", 1, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(70, env.observation_space, env.action_space, device="cpu")
    with pytest.raises(ValueError, match="no finished episode"):
        buffer.sample(4)


@pytest.mark.parametrize("retrace", [0.0, 0.7])
def test_targets__equal_a_plain_recursion(trained: STASAC, retrace: float) -> None:
    batch = trained.replay_buffer.episodes(np.arange(3))
    m, t, n = batch.is_open.shape
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(m, t, n, 4, generator=generator)
    logits = torch.randn(m, t, n, generator=generator)
    pi = trained.policy.log_probs(logits, batch.action_mask).exp()
    reward, cost = torch.randn(m, t, generator=generator), torch.randn(m, t, generator=generator)
    before, trained.retrace = trained.retrace, retrace
    got = trained._targets(batch, q, pi, reward, cost, torch.zeros(m, t))
    trained.retrace = before
    for values, gain, column in ((q[..., :2].amin(-1), reward, 0), (q[..., 2:].mean(-1), cost, 2)):
        for i in range(m):
            following = 0.0
            for k in range(t - 1, -1, -1):
                expected = gain[i, k].item() + following
                assert got[i, k, column].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
                action = int(batch.actions[i, k])
                value = (pi[i, k] * values[i, k]).sum().item()
                weight = retrace * min(1.0, pi[i, k, action].item() / batch.behaviour[i, k].item())
                following = value + weight * (expected - values[i, k, action].item())


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("shared", [True, False])
def test_critics__relabelling_regions_permutes_their_values(trained: STASAC, shape: str, shared: bool) -> None:
    torch.manual_seed(0)
    critics = Critics(3, shape, shared, width=16, n_layers=1, n_heads=2, step_width=8)
    batch = trained.replay_buffer.episodes(np.arange(2))
    order = torch.randperm(7)

    def values(regions: torch.Tensor, distance: torch.Tensor, is_open: torch.Tensor) -> torch.Tensor:
        inputs, scales = make_inputs(regions, distance, is_open, batch.crew, 3)
        return critics(inputs, regions, batch.crew, scales)

    with torch.no_grad():
        plain = values(batch.regions, batch.distance_km, batch.is_open)
        moved = values(batch.regions[:, order], batch.distance_km[..., order], batch.is_open[..., order])
    torch.testing.assert_close(moved, plain[:, :, order], rtol=1e-4, atol=1e-5)


def test_critics__known_part_is_exact_for_the_last_region(trained: STASAC) -> None:
    critics = Critics(3, "episode", True, width=16, n_layers=1, n_heads=2, step_width=8)
    torch.nn.init.zeros_(critics.nets[0].out.weight)
    torch.nn.init.zeros_(critics.nets[0].out.bias)
    batch = trained.replay_buffer.episodes(np.arange(8))
    inputs, scales = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, 3)
    with torch.no_grad():
        q = critics(inputs, batch.regions, batch.crew, scales)
    rows = torch.arange(8)
    last = batch.actions[:, -1]
    value = q[rows, -1, last]  # [8, 4]
    point = batch.regions[rows, last, COLUMN["point_h"]]
    travel = batch.distance_km[rows, -1, last] / batch.crew[:, -1, 3]
    realised = -batch.rewards[:, -1] * 7 - travel  # the last reward is -(travel + repair) / N
    expected = -(travel + point) / 7
    torch.testing.assert_close(value[:, 0] * scales.total_hours[:, 0], expected, rtol=1e-4, atol=1e-4)
    assert (realised > 0).all()


@pytest.mark.parametrize("shape", list(SHAPES))
def test_learn__every_shape_of_the_networks_trains(shape: str) -> None:
    size = {**SMALL["policy_kwargs"], "shape": shape, "share_critics": False}
    model = make(
        policy_kwargs=size, retrace=0.0, entropy_in_critic=True, cost_reduction="max", multiplier_method="projected"
    )
    before = weights(model)
    model.learn(140)
    after = weights(model)
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("actor"))


def test_dual_step__uses_greedy_episodes_only() -> None:
    model = make(n_envs=4, greedy_share=0.5)
    np.testing.assert_array_equal(model._greedy_rows(), [False, False, True, True])
    model = make(n_envs=1, greedy_share=0.5)
    assert not model._greedy_rows().any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"retrace": 1.5}, "retrace must be in"),
        ({"cost_reduction": "min"}, "cost_reduction must be"),
        ({"greedy_share": 1.0}, "greedy_share must be in"),
        ({"limit_margin": 0.0}, "limit_margin must be in"),
        ({"target_entropy": (1.0, 0.1)}, "target_entropy must be"),
        ({"policy_kwargs": {"shape": "round"}}, "shape must be one of"),
    ],
)
def test_settings__bad_values_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**setting)


def test_policy__another_observation_is_refused() -> None:
    from stable_baselines3.common.env_util import make_vec_env as plain

    with pytest.raises(ValueError, match="needs an observation Dict"):
        STASAC("STASACPolicy", plain("CartPole-v1"), cost_limit=1.0)


def test_defaults__of_the_command_line_are_those_of_the_class() -> None:
    import inspect

    from stormgym.agents.sta_sac.policy import STASACPolicy

    own = {
        name: parameter.default
        for target in (STASAC, STASACPolicy)
        for name, parameter in inspect.signature(target.__init__).parameters.items()
    }
    for name, value in vars(STASACSettings()).items():
        assert own[name] == value, name


@pytest.mark.slow
def test_learn__soon_beats_the_nearest_region_rule_within_the_limit() -> None:
    env = make_vec_env("Restoration-v0", 32, seed=0, city="synthetic:20:2")
    model = STASAC("STASACPolicy", env, seed=0, device="cpu", gradient_steps=8)
    model.learn(32_000)
    held_out = make_vec_env("Restoration-v0", 64, seed=999, city="synthetic:20:2")
    learnt = play(held_out, model, 128)
    nearest = play(held_out, make_policy("nearest", held_out), 128)
    assert learnt.mean_return > nearest.mean_return + 0.5
    assert learnt.mean_cost < 1.15 * model.cost_limit
