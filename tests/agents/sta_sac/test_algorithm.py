"""STA-SAC: buffer, targets, critics, multiplier step, determinism, save and load, and that it learns."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from stormgym.agents.attention.multiplier import LagrangeMultiplier, LimitMultiplier
from stormgym.agents.attention.networks import SHAPES
from stormgym.agents.lineup import make_policy
from stormgym.agents.restoration.network.acting import masked_log_softmax
from stormgym.agents.restoration.network.features import (
    CREW,
    N_STATIC,
    EpisodeFeatures,
    make_inputs,
    n_crew_features,
    scales_of,
    split_groups,
)
from stormgym.agents.restoration.network.scenarios import expected_to_go
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.control_variate import Forecast, without_luck
from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.agents.sta_sac.losses import drawn_surrogate, retrace_targets
from stormgym.agents.sta_sac.policy import Critics, STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training.play import make_training_env, play
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.equity import pair_matrix
from stormgym.envs.restoration.layout import COLUMN, crew_columns, regions_of

CITY = "synthetic:7:1"
SMALL = STASACSettings(
    learning_starts=60, gradient_steps=2, teacher="none", width=16, n_heads=2, n_layers=1, step_width=8
)
UNTAUGHT = STASACSettings(teacher="none")


def make(seed: int = 0, n_envs: int = 4, **changes: Any) -> STASAC:
    env = make_vec_env("Restoration-v0", n_envs, seed=seed, city=CITY)
    return STASAC("STASACPolicy", env, replace(SMALL, **changes), seed=seed, device="cpu")


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


def test_buffer__keeps_one_episode_of_each_row_in_a_round() -> None:
    env = make_vec_env("Restoration-v0", 2, seed=0, city=CITY)
    buffer = EpisodeReplayBuffer(140, env.observation_space, env.action_space, device="cpu", n_envs=2)

    def play_rows(steps: int) -> None:
        obs = env.reset()
        for step in range(steps):
            action = np.array([step % 7, 6 - step % 7])
            nxt, reward, done, infos = env.step(action)
            buffer.add(obs, nxt, action, reward, done, infos)
            obs = nxt

    play_rows(3)  # left unfinished
    buffer.begin_round()
    play_rows(14)
    assert buffer.size() == 2
    np.testing.assert_array_equal(buffer.round, [0, 1])
    np.testing.assert_array_equal(buffer.episodes(buffer.round).actions.numpy(), [np.arange(7), np.arange(6, -1, -1)])
    buffer.begin_round()
    assert buffer.round.tolist() == [-1, -1]


def test_collection__rows_of_a_scenario_meet_one_storm_and_greedy_rows_their_own() -> None:
    model = make(n_envs=8, n_rollouts=3)
    model.learn(56)
    rows, buffer = model.collector.rows, model.replay_buffer
    assert rows is not None
    assert rows.scenario.tolist() == [0, 0, 0, 1, 1, 1, -1, -1]
    seen = buffer.episodes(buffer.round).regions[..., COLUMN["point_h"]].numpy()
    same = [[np.array_equal(a, b) for a in seen] for b in seen]
    number = np.where(rows.scenario < 0, 10 + np.arange(8), rows.scenario)
    np.testing.assert_array_equal(same, number[:, None] == number)
    behaviour = buffer.episodes(buffer.round).behaviour.numpy()
    np.testing.assert_array_equal((behaviour == 1.0).all(axis=1), rows.greedy)


def test_update_on_storms__gradient_is_that_of_returns_above_the_mean_of_the_storm() -> None:
    model = make(n_envs=8, n_rollouts=3, control_variate=False, alpha_init=1e-5, max_grad_norm=1e9)
    model.learn(56)
    rows = model.collector.rows
    assert rows is not None
    batch = model.replay_buffer.episodes(model.replay_buffer.round[rows.exploring])
    _, scales, log_pi = model.policy.episode_log_probs(batch)
    batch = batch._replace(behaviour=log_pi.detach().exp().gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1))
    gain = batch.rewards / scales.total_hours - model.multiplier.value / model.settings.limit_margin * batch.costs / 8.0
    to_go = gain.flip(1).cumsum(1).flip(1)
    guess = expected_to_go(batch.regions, batch.is_open, scales) / scales.total_hours
    better = (to_go - guess).unflatten(0, (2, 3))
    better = (better - better.mean(1, keepdim=True)).flatten(0, 1)
    taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    drawn = batch.behaviour < 0.999  # the last choice of an episode is none
    wanted = torch.autograd.grad(-(taken * better * drawn).mean(), list(model.policy.actor.parameters()))
    model.policy.actor_optimizer = torch.optim.SGD(model.policy.actor.parameters(), lr=1.0)
    before = [p.detach().clone() for p in model.policy.actor.parameters()]
    model.storm_update(batch, None, model._stage())
    for old, new, slope in zip(before, model.policy.actor.parameters(), wanted, strict=True):
        torch.testing.assert_close(old - new.detach(), slope, rtol=1e-2, atol=2e-5)


def test_cool__makes_an_unsure_actor_as_sure_as_asked_and_changes_no_greedy_choice(
    taught: STASAC, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = taught.replay_buffer.demonstrations(64)
    monkeypatch.setattr(taught.teacher, "_cooled", False)
    with torch.no_grad():
        before = taught.policy.episode_log_probs(batch)[2]
        taught.teacher.cool(taught.policy, taught.replay_buffer, 0.3)
        after = taught.policy.episode_log_probs(batch)[2]
        taught.teacher.cool(taught.policy, taught.replay_buffer, 0.1)  # once is all
        assert torch.equal(taught.policy.episode_log_probs(batch)[2], after)
    assert torch.equal(before.argmax(-1), after.argmax(-1))
    n_open = batch.action_mask.sum(-1)
    wanted = 0.3 * n_open.log().mean()
    assert float(-(before.exp() * before).sum(-1).mean()) > 2 * float(wanted)
    assert float(-(after.exp() * after).sum(-1).mean()) == pytest.approx(float(wanted), rel=0.15)


@pytest.mark.parametrize("retrace", [0.0, 0.7])
def test_targets__equal_a_plain_recursion(trained: STASAC, retrace: float) -> None:
    batch = trained.replay_buffer.episodes(np.arange(3))
    m, t, n = batch.is_open.shape
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(m, t, n, 4, generator=generator)
    logits = torch.randn(m, t, n, generator=generator)
    pi = masked_log_softmax(logits, batch.action_mask).exp()
    reward, cost = torch.randn(m, t, generator=generator), torch.randn(m, t, generator=generator)
    bonus = torch.zeros(m, t)
    got = retrace_targets(batch, q, pi, reward, cost, bonus, retrace=retrace, cost_reduction="mean")
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


def test_surrogate__clips_as_ppo_and_leaves_out_what_was_not_drawn(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(2))
    m, t, n = batch.is_open.shape
    generator = torch.Generator().manual_seed(0)
    pi = masked_log_softmax(torch.randn(m, t, n, generator=generator), batch.action_mask).exp()
    behaviour = torch.rand(m, t, generator=generator)
    behaviour[0, 0] = 1.0  # chosen greedily
    advantage = torch.randn(m, t, generator=generator)
    got = drawn_surrogate(batch._replace(behaviour=behaviour), pi, advantage, 0.2)
    for i, k in product(range(m), range(t)):
        ratio = (pi[i, k, batch.actions[i, k]] / behaviour[i, k]).item()
        gain = advantage[i, k].item()
        bound = min(ratio, 1.2) if gain > 0 else max(ratio, 0.8)
        drawn = bool(batch.valid[i, k]) and (i, k) != (0, 0)
        assert got[i, k].item() == pytest.approx(bound * gain * drawn, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("gradient", ["critics", "returns"])
def test_learn__without_a_teacher_beats_chance(gradient: str) -> None:
    held_out = make_vec_env("Restoration-v0", 32, seed=99, city=CITY)
    model = make(n_envs=8, actor_gradient=gradient, gradient_steps=16, constrained=False)
    model.learn(7 * 8 * 40)
    learnt, chance = play(held_out, model, 128), play(held_out, make_policy("random", held_out), 128)
    assert learnt.mean_return > chance.mean_return


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


def test_balance_features__agree_with_counting_by_hand(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(2))
    features = EpisodeFeatures(batch.regions, 3).balance(batch.crew).numpy()
    shares, gaps = (x.numpy() for x in split_groups(batch.crew, 3))
    group = batch.regions[..., COLUMN["group"]].long().numpy()
    pairs = [(0, 1), (0, 2), (1, 2)]
    for m, t, r in product(range(2), range(batch.crew.shape[1]), range(7)):
        own, f = group[m, r], shares[m, t]
        after = f.copy()
        after[own] += 1 / (group[m] == own).sum()
        weight = np.exp(4.0 * gaps[m, t] / batch.crew[m, t, CREW["cost_limit_h"]].item())
        weight /= weight.sum()
        widening = lead = 0.0
        for w, (a, b) in zip(weight, pairs, strict=True):
            widening += w * (abs(after[a] - after[b]) - abs(f[a] - f[b]))
            if own in (a, b):
                lead += w * (f[own] - f[b if a == own else a])
        expected = [4 * (f[own] - f.min()), 4 * (f[own] - f.max()), 4 * lead, widening * (group[m] == own).sum()]
        np.testing.assert_allclose(features[m, t, r], expected, atol=1e-5)


def test_balance_features__are_shown_only_when_asked(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(2))
    inputs, _ = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, 3)
    for feature, columns in (("balance", slice(3, 7)), ("update", slice(7, 9))):
        moving = inputs.moving.clone()
        moving[..., columns] += 1.0
        for shown in (True, False):
            torch.manual_seed(0)
            kwargs: dict[str, Any] = {"balance": False, feature: shown}
            net = SHAPES["episode"](N_STATIC + 3, n_crew_features(3), 1, 16, 1, 2, 8, **kwargs)
            with torch.no_grad():
                assert torch.equal(net(inputs), net(replace(inputs, moving=moving))) is not shown


def test_update_features__are_forecasts_times_the_shrunk_ratio_of_the_group(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(2))
    scales = scales_of(batch.regions)
    features = EpisodeFeatures(batch.regions, 3).update(batch.crew)
    names = {name: i for i, name in enumerate(crew_columns(3))}
    group, point = batch.regions[..., COLUMN["group"]].long(), batch.regions[..., COLUMN["point_h"]]
    assert torch.allclose(features[:, 0, :, 0], point / scales.hours, rtol=1e-5)  # no repair was seen
    m, t = 1, batch.crew.shape[1] - 1
    for r in range(point.shape[1]):
        own = int(group[m, r])
        seen = batch.crew[m, t, names[f"share_restored_{own}"]].item() * (group[m] == own).sum().item()
        ratio = batch.crew[m, t, names[f"log_ratio_{own}"]].item()
        expected = point[m, r].item() / scales.hours[m].item() * np.exp(ratio * seen / (seen + 6.0))
        np.testing.assert_allclose(features[m, t, r], [expected, np.log(expected)], rtol=1e-4, atol=1e-5)


def test_learner__updated_forecasts_are_shown_under_a_shock_only() -> None:
    for shock in ("none", "group"):
        venv = make_training_env("Restoration-v0", 2, {"city": CITY, "shock": shock})
        model: Any = sta_sac.build(venv, SMALL, seed=0)
        assert model.policy_kwargs["update"] is model.policy.actor.sees_updates is (shock == "group")


@pytest.mark.parametrize("shape", list(SHAPES))
def test_learn__every_shape_of_the_networks_trains(shape: str) -> None:
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


def test_dual_step__uses_greedy_episodes_only() -> None:
    model = make(n_envs=4, greedy_share=0.5)
    np.testing.assert_array_equal(model.collector.greedy, [False, False, True, True])
    model = make(n_envs=1, greedy_share=0.5)
    assert not model.collector.greedy.any()


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
def test_settings__bad_values_are_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**setting)


def test_policy__another_observation_is_refused() -> None:
    from stable_baselines3.common.env_util import make_vec_env as plain

    with pytest.raises(ValueError, match="needs an observation Dict"):
        STASAC("STASACPolicy", plain("CartPole-v1"), cost_limit=1.0)


def test_defaults__of_the_policy_are_those_of_the_settings() -> None:
    own = {name: parameter.default for name, parameter in inspect.signature(STASACPolicy.__init__).parameters.items()}
    for name, value in STASACSettings().network.items():
        assert own[name] == value, name
    assert inspect.signature(STASAC.__init__).parameters["settings"].default == STASACSettings()


@pytest.fixture(scope="module")
def taught() -> STASAC:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    teacher = make_policy("equity-planner", env)
    settings = STASACSettings(teacher_steps=100, gradient_steps=2)
    return STASAC("STASACPolicy", env, settings, teacher=teacher, seed=0, device="cpu").learn(280)


def test_teacher__plays_whole_episodes_first(taught: STASAC) -> None:
    assert taught.teacher.until == 112  # 100 steps, rounded up to whole rounds of 8 environments and 7 regions
    assert taught.learning_starts == 0
    buffer = taught.replay_buffer
    assert buffer.n_demonstrations == 100 // 7
    assert buffer.size() == 280 // 7
    first, own = buffer.episodes(np.arange(8)), buffer.episodes(np.arange(16, 40))
    assert first.taught.all()
    assert (first.behaviour == 1.0).all()
    assert not own.taught.any()
    assert not (own.behaviour == 1.0).all()


def test_teacher__takes_over_where_the_learner_hands_over() -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    settings = STASACSettings(teacher="nearest", gradient_steps=1)
    model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    model.learn(56 * 20)
    taught = model.replay_buffer.episodes(np.arange(80)).taught.numpy()  # the teacher's 560 steps
    switches = taught[:, 1:].astype(int) - taught[:, :-1]
    assert (switches >= 0).all()  # never back to the learner
    assert taught[:24].all()  # whole episodes in the first third
    assert 0.1 < (~taught[24:]).mean() < 0.6
    assert taught[:, -1].all()
    batch = model.replay_buffer.episodes(np.arange(80))
    row, step = np.nonzero(taught)
    closed = np.where(batch.is_open.numpy(), batch.distance_km.numpy(), np.inf)[row, step]
    assert (closed.argmin(axis=1) == batch.actions.numpy()[row, step]).all()


def test_teacher__its_choices_become_likely(taught: STASAC) -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    teacher = make_policy("equity-planner", env)
    settings = STASACSettings(teacher_steps=448, gradient_steps=16)
    model = STASAC("STASACPolicy", env, settings, teacher=teacher, seed=0, device="cpu")
    model.learn(896)
    batch = model.replay_buffer.demonstrations(64)
    _, _, log_pi = model.policy.episode_log_probs(batch)
    foreseen = (log_pi.argmax(-1) == batch.actions) & batch.taught
    by_chance = (1.0 / batch.action_mask.sum(-1).clamp_min(1)) * batch.taught
    assert float(foreseen.sum()) > 1.5 * float(by_chance.sum())


def test_teacher__has_at_most_half_of_the_training_and_imitation_moves_to_its_last_weight() -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    settings = STASACSettings(teacher="nearest", teacher_steps=10_000, imitation=(2.0, 1.0), gradient_steps=1)
    model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    model.learn(224)
    assert model.teacher.until == 112
    assert model._stage().imitation_weight == 1.0
    for left, weight in ((0.5, 2.0), (0.25, 1.5)):
        assert model.teacher.imitation_weight(left, 224) == pytest.approx(weight)


def test_padding__changes_no_score(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(3))
    policy = trained.policy

    def q(regions: Any, distance: Any, is_open: Any) -> Any:
        inputs, scales = make_inputs(regions, distance, is_open, batch.crew, policy.n_groups)
        return policy.actor(inputs).squeeze(-1), policy.critic(inputs, regions, batch.crew, scales)

    plain = q(batch.regions, batch.distance_km, batch.is_open)
    pad = torch.nn.functional.pad
    regions = pad(batch.regions, (0, 0, 0, 4))
    regions[:, 7:, COLUMN["group"]] = -1
    padded = q(regions, pad(batch.distance_km, (0, 4)), pad(batch.is_open, (0, 4)))
    for small, large in zip(plain, padded, strict=True):
        torch.testing.assert_close(large[:, :, :7], small, rtol=1e-4, atol=1e-5)


def test_limit_multiplier__rises_where_the_limit_is_broken_and_only_there() -> None:
    multiplier = LimitMultiplier(1.0, 4.0, n_knots=3, initial=1.0, learning_rate=0.1)
    limits, scale = torch.tensor([1.0, 4.0]), torch.ones(2)
    before = multiplier.of(limits, scale)
    torch.testing.assert_close(before, torch.ones(2))
    for _ in range(5):
        multiplier.update_each(torch.tensor([2.0, 2.0]), limits, scale)
    after = multiplier.of(limits, scale)
    assert after[0] > 1.1
    assert after[1] < 0.9
    middle = multiplier.of(torch.tensor([2.0]), torch.ones(1))
    torch.testing.assert_close(middle, torch.ones(1))  # its knot saw no episode
    between = float(multiplier.of(torch.tensor([1.3]), torch.ones(1)))
    assert 1.0 < between < float(after[0])
    torch.testing.assert_close(multiplier.of(torch.tensor([0.1]), torch.ones(1)), after[:1])


def test_limit_multiplier__is_one_multiplier_when_all_limits_are_alike() -> None:
    one = LagrangeMultiplier(0.9, initial=0.5, learning_rate=0.05)
    many = LimitMultiplier(1.0, 3.0, margin=0.9, n_knots=3, initial=0.5, learning_rate=0.05)
    limits, scale = torch.full((4,), 1.0), torch.ones(4)
    costs = torch.tensor([1.0, 1.5, 0.9, 1.2])
    for _ in range(3):
        one.update_each(costs, limits, scale)
        many.update_each(costs, limits, scale)
    assert float(many.of(limits, scale)[0]) == pytest.approx(one.value, rel=1e-6)


def test_limit_multiplier__refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="0 < low < high"):
        LimitMultiplier(2.0, 1.0)
    with pytest.raises(ValueError, match="n_knots must be at least 2"):
        LimitMultiplier(1.0, 2.0, n_knots=1)
    with pytest.raises(ValueError, match="costs of finished episodes"):
        LimitMultiplier(1.0, 2.0).update_each(torch.tensor([float("nan")]), torch.ones(1), torch.ones(1))


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


def test_without_luck__leaves_what_was_expected_of_each_repair(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(20))
    scales = scales_of(batch.regions)
    forecast = Forecast()
    with torch.no_grad():
        forecast.line.copy_(torch.tensor([0.1, 0.8]))
        late = forecast.surprise(batch, scales)
    reward, cost = without_luck(batch, late, scales, trained.policy.n_groups)
    at = batch.actions.unsqueeze(-1)
    travel = (batch.distance_km / batch.crew[..., CREW["speed_kmh"], None]).gather(-1, at).squeeze(-1)
    point = batch.regions[..., COLUMN["point_h"]]
    expected = 0.1 * point.mean(1, keepdim=True) + 0.8 * point.gather(-1, batch.actions)
    n_open = batch.is_open.sum(-1)
    wanted = -(travel + expected) * n_open / 7
    torch.testing.assert_close(reward[:, :-1], wanted[:, :-1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(reward[:, -1], batch.rewards[:, -1])  # nothing is observed after the last repair
    shares, gaps = split_groups(batch.crew, trained.policy.n_groups)
    pairs = torch.as_tensor(pair_matrix(trained.policy.n_groups), dtype=torch.float32)
    ahead = (shares @ pairs).abs()
    lead = gaps.argmax(-1)
    same = torch.zeros_like(lead, dtype=torch.bool)
    same[:, :-1] = (lead[:, 1:] == lead[:, :-1]) & (gaps[:, :-1].amax(-1) > 0)
    rate = ahead.gather(-1, lead.unsqueeze(-1)).squeeze(-1)
    assert same.float().mean() > 0.3
    torch.testing.assert_close(cost[same], (rate * (travel + expected))[same], rtol=1e-3, atol=2e-3)


def test_without_luck__keeps_means_and_takes_out_variance() -> None:
    env = make_vec_env("Restoration-v0", 64, seed=3, city=CITY)
    buffer = EpisodeReplayBuffer(7 * 2_048, env.observation_space, env.action_space, device="cpu", n_envs=64)
    policy = make_policy("equity-planner", env)
    obs, state, start = env.reset(), None, np.ones(64, dtype=bool)
    while buffer.size() < 2_048 and not buffer.full:
        action, state = policy.predict(obs, state, start, deterministic=True)
        after, reward, start, infos = env.step(action)
        buffer.add(obs, after, action, reward, start, infos)
        obs = after
    batch = buffer.episodes(np.arange(2_048))
    scales = scales_of(batch.regions)
    forecast = Forecast()
    with torch.no_grad():  # the line that fits these repairs
        late = forecast.surprise(batch, scales)
        known = late != 0
        point = batch.regions[..., COLUMN["point_h"]].gather(-1, batch.actions)
        x = torch.stack([scales.hours.expand_as(late)[known], point[known]], dim=1)
        forecast.line += torch.linalg.lstsq(x, late[known]).solution
        late = forecast.surprise(batch, scales)
    reward, cost = without_luck(batch, late, scales, 3)
    for plain, calm in ((batch.rewards, reward), (batch.costs, cost)):
        difference = (plain - calm).sum(1)
        assert abs(float(difference.mean())) < 4.0 * float(difference.std()) / 2_048**0.5
        assert float(calm.sum(1).std()) < 0.9 * float(plain.sum(1).std())  # what differs between storms stays


def test_surprise__leaves_out_what_a_groups_other_repairs_share() -> None:
    env = make_vec_env("Restoration-v0", 32, seed=3, city="synthetic:20:2", predictor="none", shock="group")
    buffer = EpisodeReplayBuffer(20 * 32, env.observation_space, env.action_space, device="cpu", n_envs=32)
    policy = make_policy("nearest", env)
    obs = env.reset()
    durations = np.array([core.process.duration_h for core in env.get_attr("core")[:1]])[0].copy()  # [32, 20]
    buffer.begin_round()
    for _ in range(20):
        action, _ = policy.predict(obs)
        nxt, reward, done, infos = env.step(action)
        buffer.add(obs, nxt, action, reward, done, infos)
        obs = nxt
    batch = buffer.episodes(buffer.round)
    scales = scales_of(batch.regions)
    with torch.no_grad():
        plain = Forecast().surprise(batch, scales)
        shared = Forecast().surprise(batch, scales, 3)
    regions = batch.regions.numpy()
    group, point = regions[..., COLUMN["group"]], regions[..., COLUMN["point_h"]]
    for row, step in product(range(5), range(19)):
        order = batch.actions[row].numpy()
        others = [r for r in order[:19] if group[row, r] == group[row, order[step]] and r != order[step]]
        factor = durations[row, others].sum() / point[row, others].sum() if others else 1.0
        wanted = durations[row, order[step]] - factor * point[row, order[step]]
        assert shared[row, step].item() == pytest.approx(wanted, abs=2e-3)
    assert shared[:, 19].abs().max() == 0
    poor = torch.from_numpy(group == 0).gather(1, batch.actions)
    mean = [float(((late * poor).sum(1) / poor.sum(1)).std()) for late in (plain, shared)]
    assert mean[1] < 0.5 * mean[0]


def test_forecast__learns_what_repairs_take(trained: STASAC) -> None:
    model = make(gradient_steps=8, learning_rate=5e-3)
    model.learn(1_400)
    batch = model.replay_buffer.episodes(np.arange(model.replay_buffer.size()))
    late = model.policy.forecast.surprise(batch, scales_of(batch.regions)).detach()
    plain = Forecast().surprise(batch, scales_of(batch.regions)).detach()
    assert late.square().mean() < 1.02 * plain.square().mean()
    assert not torch.equal(model.policy.forecast.line, Forecast().line)
