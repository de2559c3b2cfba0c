"""STA-SAC's networks over jobs and crews: any number of them, no order among them, and a whole small training."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.attention.reading import TokenLayout
from stormgym.agents.attention.token_net import SetValue, TokenInputs, TokenNet, step_probs
from stormgym.agents.crews.network.features import (
    n_crew_features,
    n_groups_of,
    n_job_features,
    n_storm_features,
    tokens_of,
)
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.agents.sta_sac.reading import can_be_read, reading_of
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.token_policy import TokenPolicy
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.crews.layout import JOB_COLUMNS, crew_columns

ID = "CrewDispatch-v0"
SMALL = {"city": "synthetic:9:1", "n_crews": 3, "predictor": "none"}
SIZES = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}


def batch_of(n, **kwargs):
    return gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})


def some_observations(steps=6, n=3, **kwargs):
    env = batch_of(n, **kwargs)
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=1)
    for _ in range(steps):
        mask = obs["action_mask"].astype(float)
        action = np.array([rng.choice(row.size, p=row / row.sum()) for row in mask])
        obs, *_ = env.step(action)
    return obs


def net(groups=3, n_out=1):
    torch.manual_seed(0)
    return TokenNet(n_job_features(groups), n_crew_features(), n_storm_features(groups), n_out, **SIZES)


def probs_of(actor, obs):
    return step_probs(actor, tokens_of(obs), obs["action_mask"])


def test_tokens__are_finite_of_the_said_widths_and_zero_for_what_is_not_open():
    for kwargs in ({}, {"shock": "group"}, {"assessed_share": 0.0, "n_assessors": 1}, {"n_skills": 1}):
        obs = some_observations(**kwargs)
        tokens = tokens_of(obs)
        groups = n_groups_of(obs["storm"].shape[-1])
        assert tokens.choices.shape == (*obs["known"].shape, n_job_features(groups))
        assert tokens.actors.shape == (*obs["crew_asked"].shape, n_crew_features())
        assert tokens.common.shape == (3, n_storm_features(groups))
        for part in (tokens.choices, tokens.actors, tokens.common):
            assert np.isfinite(part).all()
        assert (tokens.choices[~tokens.is_open] == 0).all()
        assert tokens.is_open[obs["action_mask"][:, :-1] > 0].all()
        np.testing.assert_array_equal(tokens.actors[..., 0].argmax(axis=1), obs["crew_asked"].argmax(axis=1))


def test_tokens__have_no_units():
    """All hours doubled and speeds halved: the same storm, told in half hours."""
    obs = some_observations()
    doubled = {name: values.copy() for name, values in obs.items()}
    for name, values in doubled.items():
        if name.endswith("_h"):
            values *= 2.0
    doubled["crew_speed_kmh"] /= 2.0
    storm = doubled["storm"]
    groups = n_groups_of(storm.shape[-1])
    storm[:, :4] *= 2.0  # elapsed, arrivals left, limit, gap
    storm[:, 5 + groups : 5 + 2 * groups] *= 2.0
    storm[:, 5 + 3 * groups :] *= 2.0
    once, twice = tokens_of(obs), tokens_of(doubled)
    np.testing.assert_allclose(twice.choices, once.choices, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(twice.actors, once.actors, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(twice.common, once.common, rtol=1e-4, atol=1e-4)


def test_scores__follow_relabelled_jobs_and_ignore_relabelled_crews():
    obs = some_observations()
    actor = net()
    plain = probs_of(actor, obs).numpy()
    jobs = np.random.default_rng(3).permutation(9)
    moved = {name: obs[name][:, jobs] if name in JOB_COLUMNS else obs[name] for name in obs}
    moved["action_mask"] = obs["action_mask"][:, [*jobs, 9]]
    np.testing.assert_allclose(probs_of(actor, moved).numpy(), plain[:, [*jobs, 9]], atol=1e-5)
    crews = np.array([2, 0, 1])
    names = crew_columns(2)
    moved = {name: obs[name][:, crews] if name in names else obs[name] for name in obs}
    np.testing.assert_allclose(probs_of(actor, moved).numpy(), plain, atol=1e-5)


@pytest.mark.parametrize(
    "kwargs", [{"city": "synthetic:20:2"}, {"n_crews": 6}, {"n_crews": 1, "n_assessors": 1, "n_skills": 1}]
)
def test_one_network__acts_for_any_number_of_jobs_and_crews(kwargs):
    env = batch_of(2, on_invalid="raise", **kwargs)
    actor = net()
    obs, _ = env.reset(seed=0)
    for _ in range(5):
        obs, *_ = env.step(probs_of(actor, obs).numpy().argmax(axis=1))


def test_scores__of_many_states_in_groups_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    s, n, k = 600, 12, 3
    inputs = TokenInputs(
        torch.tensor(rng.normal(size=(s, n, 5)), dtype=torch.float32),
        torch.tensor(rng.random((s, n)) < rng.random((s, 1))),
        torch.tensor(rng.normal(size=(s, k, 4)), dtype=torch.float32),
        torch.tensor(rng.normal(size=(s, 6)), dtype=torch.float32),
    )
    torch.manual_seed(1)
    many = TokenNet(5, 4, 6, 2, **SIZES).eval()
    with torch.no_grad():
        together = many(inputs)
        for row in (0, 17, 599):
            alone = many(inputs.rows(torch.tensor([row])))
            at = [*np.flatnonzero(inputs.is_open[row].numpy()), n]
            np.testing.assert_allclose(together[row][at].numpy(), alone[0][at].numpy(), atol=1e-5)
        value = SetValue(5, 4, 6, width=8)(inputs)
    assert value.shape == (s,)


def test_reading__is_that_of_the_domain_whose_observation_it_is():
    crews, restoration = batch_of(1), gym.make("stormgym:Restoration-v0", city="synthetic:6:1", predictor="none")
    assert isinstance(reading_of(crews.single_observation_space).layout(crews.single_observation_space), TokenLayout)
    assert reading_of(restoration.observation_space).layout(restoration.observation_space).first
    other = gym.make("stormgym:GeneratorDispatch-v0", action="blocks")  # which its domain reads as whole allocations
    assert not can_be_read(other.observation_space)
    with pytest.raises(ValueError, match=r"STA-SAC needs an observation .* \(CrewDispatch-v0\)"):
        reading_of(other.observation_space)


def test_buffer__hands_out_what_the_network_saw():
    env = batch_of(2)
    space = env.single_observation_space
    buffer = EpisodeReplayBuffer(200, space, env.single_action_space, "cpu", n_envs=2)
    obs, info = env.reset(seed=0)
    seen, done = [], np.zeros(2, dtype=bool)
    while not done.any():
        action = obs["action_mask"].argmax(axis=1)
        seen.append(tokens_of(obs))
        mask = obs["action_mask"].copy()
        new, reward, terminated, truncated, info = env.step(action)
        done = terminated | truncated
        buffer.add_step(obs, action, reward, np.asarray(info["cost"]), np.ones(2), done)
        obs = new
    row = int(done.argmax())
    batch = buffer.episodes(np.array([0]))
    assert batch.valid.sum() == len(seen)
    for t, tokens in enumerate(seen):
        np.testing.assert_allclose(batch.choices[0, t].float().numpy(), tokens.choices[row], rtol=2e-3, atol=2e-3)
        np.testing.assert_array_equal(batch.is_open[0, t].numpy(), tokens.is_open[row])
    np.testing.assert_array_equal(batch.action_mask[0, len(seen) - 1].numpy(), mask[row] > 0)


@pytest.mark.slow
def test_training__imitates_then_learns_from_shared_storms_and_acts_the_same_when_read_again(tmp_path):
    venv = make_vec_env(ID, 8, seed=0, **SMALL)
    settings = STASACSettings(teacher_steps=400, n_rollouts=3, buffer_size=600, gradient_steps=4, **SIZES)
    model = sta_sac.build(venv, settings, seed=0)
    assert isinstance(model.policy, TokenPolicy)
    before = [p.detach().clone() for p in model.policy.actor.parameters()]
    model.learn(1200)
    assert model.teacher.has_left(model.num_timesteps)
    assert any((a != b).any() for a, b in zip(before, model.policy.actor.parameters(), strict=True))
    obs = some_observations()
    first, _ = model.predict(obs, deterministic=True)
    again = sta_sac.build(make_vec_env(ID, 8, seed=0, **SMALL), settings, seed=1)
    again.policy.load_state_dict(model.policy.state_dict())
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], first)


@pytest.mark.slow
@pytest.mark.parametrize("teacher_steps", [0, 300])
def test_training__goes_on_where_storms_take_more_steps_than_there_are_jobs(teacher_steps):
    looking = {"assessed_share": 0.0, "n_assessors": 1}  # every job is looked at first: two steps each
    venv = make_vec_env(ID, 8, seed=0, **SMALL, **looking)
    settings = STASACSettings(
        teacher="none" if not teacher_steps else "list-rho",
        teacher_steps=teacher_steps,
        n_rollouts=3,
        buffer_size=600,
        gradient_steps=1,
        **SIZES,
    )
    model = sta_sac.build(venv, settings, seed=0)
    updates = []
    for steps in (600, 1200, 1800):
        model.learn(steps - model.num_timesteps, reset_num_timesteps=model.num_timesteps == 0)
        updates.append(model._n_updates)
    assert model.collector.longest > model.round_steps  # of 9 jobs and one choice for none
    assert updates[0] < updates[1] < updates[2]
    assert model.replay_buffer.round is not None
