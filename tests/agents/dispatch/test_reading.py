"""How STA-SAC reads generator dispatch and chooses allocations: by enumeration, relabelled, trained and resumed."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.dispatch.reading import READING
from stormgym.agents.dispatch.tokens import (
    N_COMMON,
    N_COUNTY,
    N_LEVEL,
    fits,
    prepare,
    read,
    recall,
    sizes_of,
    tokens_of,
)
from stormgym.agents.pretrained import load_pretrained
from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.agents.sta_sac.losses import imitation_loss
from stormgym.agents.sta_sac.reading import reading_of
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.token_policy import TokenPolicy
from stormgym.envs.adapters.sb3 import make_vec_env

ID = "GeneratorDispatch-v0"
SMALL = {"profile": "synthetic:3:0", "generators": 4}
SIZES = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}
PARTS = READING.parts
COUNTY_KEYS = (
    *("stock", "out", "population", "group", "unserved", "temperature_c", "wind_ms", "humidity", "onset"),
    *("expected", "out_before"),
)


def batch_of(n, **kwargs):
    return gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})


def some_observations(n=3, days=6, **kwargs):
    env = batch_of(n, **kwargs)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=1)
    memory = None
    for day in range(days):
        memory = recall(obs, memory, np.full(n, day == 0))[1]
        obs, *_ = env.step(env.action_space.sample())
    return recall(obs, memory, np.zeros(n, dtype=bool))[0]


def net():
    torch.manual_seed(0)
    return TokenNet(N_LEVEL, N_COUNTY, N_COMMON, 1, **SIZES)


def joint(actor, obs):
    """Probability of every allocation, by enumeration of the choices: {allocation: probability} for each state."""
    obs = prepare(obs)
    found = [{} for _ in obs["stock"]]

    def follow(chosen, likely):
        if chosen.shape[1] == 3:
            for state, allocation, p in zip(found, PARTS.join(obs, chosen), likely, strict=True):
                if p > 0:
                    state[tuple(allocation)] = float(p)
            return
        asked = PARTS.ask(obs, chosen)
        probs = step_probs(actor, tokens_of(asked), asked["action_mask"]).numpy()
        for choice in np.flatnonzero(asked["action_mask"].any(axis=0)):
            column = np.full((len(chosen), 1), choice)
            follow(np.concatenate([chosen, column], axis=1), likely * probs[:, choice])

    follow(np.zeros((len(found), 0), dtype=np.int64), np.ones(len(found)))
    return found


def test_allocations__that_fit_have_all_the_probability_and_others_none():
    obs = some_observations()
    most = read(obs).most
    for state, allowed in zip(joint(net(), obs), most, strict=True):
        fitting = {a for a in itertools.product(*(range(m + 1) for m in allowed)) if sum(a) <= 4}
        assert set(state) == fitting
        assert sum(state.values()) == pytest.approx(1.0, abs=1e-5)


def test_decide__returns_the_probability_of_each_choice_and_draws_with_it():
    venv = make_vec_env(ID, 2, seed=0, **SMALL)
    model = sta_sac.build(venv, STASACSettings(teacher="none", n_rollouts=2, **SIZES), seed=0)
    policy = model.policy
    assert isinstance(policy, TokenPolicy)
    one = {name: values[:1] for name, values in some_observations().items()}
    n = 1_500
    many = {name: np.repeat(values, n, axis=0) for name, values in one.items()}
    np.random.seed(0)
    action, probability, _ = policy.decide(many, None, np.zeros(n, dtype=bool), deterministic=False, average=False)
    with torch.no_grad():
        known = joint(policy.actor, one)[0]
    drawn = {}
    for row, parts in zip(action, probability, strict=True):
        assert parts.prod() == pytest.approx(known[tuple(row)], rel=1e-3, abs=1e-7)
        drawn[tuple(row)] = drawn.get(tuple(row), 0) + 1
    # five standard errors, so that a false alarm is rarer than 1 in 10,000 for all allocations together
    for allocation, p in known.items():
        assert abs(drawn.get(allocation, 0) / n - p) < 5.0 * np.sqrt(p * (1.0 - p) / n) + 1e-3


def test_choices__of_an_action_make_it_again():
    obs = some_observations()
    for allocation in ([1, 0, 3], [0, 0, 0], [2, 2, 0]):
        action = np.minimum(np.tile(allocation, (3, 1)), read(obs).most)
        choices = PARTS.split(obs, action)
        np.testing.assert_array_equal(PARTS.join(obs, choices), action)
        for part in range(3):  # each choice is open when it is asked for
            mask = PARTS.ask(obs, choices[:, :part])["action_mask"]
            assert (mask[np.arange(3), choices[:, part]] == 1).all()
    too_many = read(obs).most  # more than there are: as the environment scales them down
    assert (PARTS.join(obs, PARTS.split(obs, too_many)).sum(axis=1) == 4).all()


def test_counties__that_are_relabelled_are_given_the_same():
    obs = some_observations(forecast="typical")
    place = np.array([2, 0, 1])
    k = 3
    moved = dict(obs)
    for name in COUNTY_KEYS:
        moved[name] = obs[name][:, place]
    for name in ("forecast", "lower", "upper"):
        moved[name] = obs[name].reshape(3, -1, k)[:, :, place].reshape(3, -1)
    actor = net()
    for state, other in zip(joint(actor, obs), joint(actor, moved), strict=True):
        for allocation, p in state.items():
            assert other[tuple(np.array(allocation)[place])] == pytest.approx(p, abs=1e-5)


def test_tokens__are_finite_of_the_said_widths_whatever_is_forecast():
    for kwargs in ({}, {"forecast": "none"}, {"generators": 0}, {"generators": 1}, {"transport_cost": 0.0}):
        env = batch_of(3, **kwargs)
        sizes = sizes_of(env.single_observation_space)
        obs, _ = env.reset(seed=2)
        for _ in range(3):
            for part in range(3):
                asked = PARTS.ask(prepare(obs), np.zeros((3, part), dtype=np.int64))
                tokens = tokens_of(asked)
                assert tokens.choices.shape == (3, asked["action_mask"].shape[1] - 1, sizes.choice)
                assert tokens.actors.shape == (3, 3, sizes.actor)
                assert tokens.common.shape == (3, sizes.common)
                assert (tokens.actors[..., 0].sum(axis=1) == 1).all()
                for values in (tokens.choices, tokens.actors, tokens.common):
                    assert np.isfinite(values).all()
            obs, *_ = env.step(np.zeros((3, 3), dtype=np.int64))


def test_tokens__have_no_units():
    """Customers in tens and money in cents: the same storm."""
    obs = some_observations()
    other = {name: values.astype(np.float64) for name, values in obs.items()}
    customers = ("out", "population", "forecast", "lower", "upper", "total_lower", "total_upper")
    for name in (*customers, "expected", "out_before"):
        other[name] = other[name] * 10.0
    other["state"] = other["state"] * np.array([1, 1, 1, 1, 10.0, 100.0, 10.0, 100.0, 1, 1])
    once, twice = tokens_of(obs), tokens_of(other)
    for name in ("choices", "actors", "common"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-3, atol=1e-3)


def test_memory__is_what_was_forecast_for_yesterday_and_forgets_when_an_episode_begins():
    env = batch_of(2)
    obs, _ = env.reset(seed=0)
    days, memory = [], None
    for day in range(4):
        start = np.array([day == 0, day == 2])
        seen, memory = recall(obs, memory, start)
        days.append(seen)
        obs, *_ = env.step(np.zeros((2, 3), dtype=np.int64))
    for name in ("expected", "out_before"):
        assert (days[0][name] == 0).all()
        assert (days[2][name][1] == 0).all()
    for day in (1, 2, 3):
        np.testing.assert_array_equal(days[day]["expected"][0], days[day - 1]["forecast"][0, :3])
        np.testing.assert_array_equal(days[day]["out_before"][0], days[day - 1]["out"][0])
    np.testing.assert_array_equal(days[3]["expected"][1], days[2]["forecast"][1, :3])


def test_predict__remembers_by_its_state_alone_and_in_a_batch():
    model = sta_sac.build(
        make_vec_env(ID, 2, seed=0, **SMALL), STASACSettings(teacher="none", n_rollouts=2, **SIZES), seed=0
    )
    both, first = batch_of(2), batch_of(1)
    obs, _ = both.reset(seed=[4, 5])
    one, _ = first.reset(seed=[4])
    state, own = None, None
    for day in range(5):
        start = np.full(2, day == 0)
        action, state = model.predict(obs, state, start, deterministic=True)
        alone, own = model.predict(
            {name: values[0] for name, values in one.items()}, own, start[:1], deterministic=True
        )
        np.testing.assert_array_equal(alone, action[0])
        np.testing.assert_array_equal(state["expected"][0], obs["forecast"][0, :3])
        obs, *_ = both.step(action)
        one, *_ = first.step(alone[None])


def test_pretrained__plays_as_the_model_that_it_was_made_of(tmp_path, untrained):
    model = sta_sac.build(
        make_vec_env(ID, 2, seed=0, **SMALL), STASACSettings(teacher="none", n_rollouts=2, **SIZES), seed=0
    )
    name = untrained(model, ID, SMALL, tmp_path)
    env = batch_of(2, profile="ten")  # other counties than it was made with
    policy = load_pretrained(name, env, folder=tmp_path)
    obs, _ = env.reset(seed=0)
    state = kept = None
    for day in range(4):
        start = np.full(2, day == 0)
        action, state = policy.predict(obs, state, start, deterministic=True)
        expected, kept = model.predict(obs, kept, start, deterministic=True)
        np.testing.assert_array_equal(action, expected)
        obs, *_ = env.step(action)


def test_reading__is_for_whole_allocations_only():
    space = batch_of(1).single_observation_space
    assert reading_of(space) is READING
    assert not fits(gym.make(f"stormgym:{ID}", action="blocks").observation_space)
    for action, fault in (("box", "STA-SAC takes MultiDiscrete actions"), ("blocks", "STA-SAC needs an observation")):
        with pytest.raises(ValueError, match=fault):
            sta_sac.check(make_vec_env(ID, 2, seed=0, action=action, **SMALL))


def test_network__acts_for_any_number_of_counties_and_days():
    actor = net()
    for profile in ("A", "ten", "synthetic:5:1"):
        env = batch_of(2, profile=profile, generators=6)
        obs, _ = env.reset(seed=0)

        def likeliest(asked):
            p = step_probs(actor, tokens_of(asked), asked["action_mask"]).numpy()
            return p.argmax(axis=1), p.max(axis=1)

        choices, _ = PARTS.choose(obs, likeliest)
        obs, *_ = env.step(PARTS.join(obs, choices))


def stop_after(n_steps):
    """A callback that ends a training."""
    return lambda state, _: state["self"].num_timesteps < n_steps


def settings_of(**changes):
    small = {"teacher_steps": 120, "n_rollouts": 3, "buffer_size": 600, "gradient_steps": 4, "teacher": "online-greedy"}
    return STASACSettings(**{**small, **SIZES, **changes})


def test_buffer__keeps_each_part_as_a_step_and_pays_with_the_last():
    venv = make_vec_env(ID, 4, seed=0, **SMALL)
    model = sta_sac.build(venv, settings_of(teacher="none", n_rollouts=2), seed=0)
    model.learn(4 * 30)
    batch = model.replay_buffer.episodes(np.arange(2))
    assert batch.valid.shape[1] == 30 * 3
    assert batch.valid.all()
    by_day = batch.rewards.reshape(2, 30, 3)
    assert (by_day[..., :2] == 0).all()
    assert (batch.costs.reshape(2, 30, 3)[..., :2] == 0).all()
    assert (batch.behaviour.reshape(2, 30, 3)[..., 0] < 1).any()
    open_ = batch.action_mask.gather(-1, batch.actions.unsqueeze(-1))
    assert open_.all()
    assert (batch.actions.reshape(2, 30, 3).sum(-1) <= 4).all()


def test_imitation__falls_to_the_choices_of_the_teacher():
    venv = make_vec_env(ID, 4, seed=0, **SMALL)
    changes = {"n_rollouts": 2, "teacher_steps": 240, "gradient_steps": 40, "learning_rate": 5e-3, "actor_tau": 1.0}
    model = sta_sac.build(venv, settings_of(**changes), seed=0)
    model.learn(480, stop_after(240), log_interval=10_000)
    shown = model.replay_buffer.demonstrations(8)
    with torch.no_grad():
        log_pi = model.policy.episode_log_probs(shown)[2]
    uniform = float(shown.action_mask.sum(-1).float().log().mean())
    assert float(imitation_loss(shown, log_pi)) < 0.35 * uniform
    same = (log_pi.argmax(-1) == shown.actions)[shown.taught]
    assert float(same.float().mean()) > 0.8


def test_teacher__that_follows_episodes_sees_the_days_that_the_learner_takes():
    venv = make_vec_env(ID, 3, seed=0, **SMALL)
    model = sta_sac.build(venv, settings_of(teacher="online-greedy"), seed=0)
    seen = []

    class Follower:
        follows_episodes = True

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            seen.append(np.array(episode_start))
            return np.zeros((3, 3), dtype=np.int64), state

    teacher = model.teacher
    teacher.policy, teacher.until = Follower(), 10_000
    np.random.seed(0)
    start = np.ones(3, dtype=bool)
    obs = venv.reset()
    for step in range(4):
        model.collector.act(obs, start, step=9_000 + step, at_random=False)
        start = np.zeros(3, dtype=bool)
    assert len(seen) == 4  # also while no row is the teacher's
    assert seen[0].all()
    assert not np.any(seen[1:])  # a handover is no beginning
