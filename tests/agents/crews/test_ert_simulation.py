"""ERT by simulation: it is the process itself where hours are known, and draws follow what is forecast."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.crews.ert.simulation import (
    BEYOND,
    Draws,
    as_sent,
    begin_and_power_times,
    power_back_times,
    repair_draws,
    work_in_hand,
)
from stormgym.agents.crews.planners import Plans, StaticPlan
from stormgym.agents.crews.search.annealing import Schedule

ID = "stormgym:CrewDispatch-v0"
SMALL = {"city": "synthetic:12:1", "n_crews": 3}


def batch_of(n, **kwargs):
    if "profile" not in kwargs:
        kwargs = {"predictor": "none", **kwargs}
    return gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})


def at_work(seed=0, decisions=6, n=4, **kwargs):
    """Storms some decisions after they began: the policy, the situation, its plans and what it does next."""
    env = batch_of(n, **kwargs)
    policy = StaticPlan(env, first=Schedule(20))
    obs, _ = env.reset(seed=seed)
    state = None
    for _ in range(decisions):
        action, state = policy.predict(obs, state)
        obs, *_ = env.step(action)
    s = policy.situation(obs)
    action, plans = policy.predict(obs, state)
    return env, policy, s, plans, action


def spread(s, rng, low=0.5, high=2.0):
    """A situation whose forecasts are 20 quantiles from `low` to `high` times the point forecast."""
    levels = (np.arange(20) + 0.5) / 20
    factor = low + (high - low) * levels
    noise = np.sort(rng.random((*s.point_h.shape, 1)) * 0.2 + factor, axis=2)
    return replace(s, quantile_h=s.point_h[..., None] * noise, quantile_levels=levels)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"off_h": 0.0, "n_skills": 1},
        {"on_h": 6.0, "off_h": 4.0, "feeder": "radial"},
        {"profile": "utility", "n_jobs": 18, "n_crews": 4, "n_assessors": 1},
    ],
)
def test_power_back_times__are_those_of_the_process_where_hours_are_known(kwargs):
    env = batch_of(6, known_share=1.0, assessed_share=1.0, **kwargs)
    policy = StaticPlan(env, first=Schedule(30))
    obs, _ = env.reset(seed=3)
    core = env.unwrapped.core
    told, over, state = [], np.zeros(6, dtype=bool), None
    power = np.zeros((6, core.n_jobs))
    while not over.all():
        s = policy.situation(obs)
        true = core.process.jobs.duration_h
        s = replace(s, quantile_h=np.repeat(true[..., None], 20, axis=2), quantile_levels=(np.arange(20) + 0.5) / 20)
        before, (action, state) = state, policy.predict(obs, state)
        first = state if before is None else before
        plans = as_sent(s, state, action)
        changed = (plans.crew != first.crew).any(axis=1)  # a crew without a job of its own took another's
        on_site = np.where(s.busy & (s.job >= 0), s.now_h[:, None] - s.begin_h, 0.0)
        nearly = (np.take_along_axis(true, np.maximum(s.job, 0), axis=1) < BEYOND * on_site).any(axis=1)
        told.append((power_back_times(s, plans, Draws.of(core.n_jobs, 2)), changed, ~over, nearly, s.known))
        state = plans
        obs, _, terminated, *_ = env.step(action)
        ended = terminated & ~over
        power[ended] = core.process.power_h[ended]
        over |= terminated
    compared = 0
    for row in range(6):
        last = max([i for i, (_, changed, live, *_) in enumerate(told) if live[row] and changed[row]], default=0)
        for x, _, live, nearly, known in told[last:]:
            if live[row] and not nearly[row]:  # work that takes less than 2 % longer is told to take 2 %
                expected = np.broadcast_to(power[row, known[row]], x[row][:, known[row]].shape)
                np.testing.assert_allclose(x[row][:, known[row]], expected, atol=1e-9)
                compared += 1
    assert compared > 6 * 10


def test_draws__have_each_stratum_once_and_are_the_same_again():
    draws = Draws.of(7, 16, seed=4)
    np.testing.assert_allclose(np.sort(draws.uniform, axis=0), np.tile((np.arange(16) + 0.5)[:, None] / 16, (1, 7)))
    np.testing.assert_array_equal(draws.uniform, Draws.of(7, 16, seed=4).uniform)
    assert not np.array_equal(draws.uniform, Draws.of(7, 16, seed=5).uniform)
    with pytest.raises(ValueError, match="n_draws must be at least 1; got 0"):
        Draws.of(7, 0)


def test_repair_draws__follow_the_quantiles():
    _, _, s, _, _ = at_work()
    s = spread(s, np.random.default_rng(0))
    hours = repair_draws(s, Draws.of(12, 960))
    for level in (0.1, 0.5, 0.9):
        expected = np.array([[np.interp(level, s.quantile_levels, q) for q in row] for row in s.quantile_h])
        np.testing.assert_allclose(np.quantile(hours, level, axis=1), expected, rtol=2e-3)


def test_work_in_hand__is_drawn_from_what_is_left():
    _, _, s, _, _ = at_work()
    s = spread(s, np.random.default_rng(0))
    on_site = np.where(s.busy & (s.job >= 0), s.now_h[:, None] - s.begin_h, 0.0)
    assert (on_site > 0).sum() > 2
    draws = Draws.of(12, 2000)
    done = work_in_hand(s, repair_draws(s, draws), draws)
    assert (done >= s.now_h[:, None, None] - 1e-9).all()
    for b, k in np.argwhere(on_site > 0):
        hours = np.interp(draws.uniform[:, 0], s.quantile_levels, s.quantile_h[b, s.job[b, k]])
        left = hours[hours > BEYOND * on_site[b, k]]
        if left.size > 200:  # rejection gives the same distribution, but for the two ends
            ours = done[b, :, k] - s.begin_h[b, k]
            np.testing.assert_allclose(
                np.quantile(ours, [0.3, 0.5, 0.7]), np.quantile(left, [0.3, 0.5, 0.7]), rtol=0.03
            )
        else:
            assert (done[b, :, k] >= s.begin_h[b, k] + BEYOND * on_site[b, k] - 1e-9).all()


def test_shock__moves_all_jobs_of_a_group_together():
    _, _, s, _, _ = at_work()
    s = replace(s, factor_log_sd=np.full(s.known.shape, 0.4))
    hours = repair_draws(s, Draws.of(12, 400))
    known = s.known
    factor = hours.swapaxes(1, 2)[known] / s.quantile_h[known][:, :1]  # [jobs, S]
    np.testing.assert_allclose(factor.mean(axis=1), 1.0, rtol=0.02)
    np.testing.assert_allclose(factor, factor[:1].repeat(len(factor), axis=0))


def test_power_back_times__know_nothing_of_the_batch_and_jobs_in_no_plan_come_never():
    _, _, s, plans, action = at_work()
    s = spread(s, np.random.default_rng(0))
    plans = as_sent(s, plans, action)
    together = power_back_times(s, plans)
    for row in range(4):
        at = np.array([row])
        own = Plans(plans.crew[at], plans.place[at], plans.made_h[at])
        np.testing.assert_array_equal(power_back_times(s.rows(at), own)[0], together[row])
    none = power_back_times(s, Plans.none(*s.known.shape))
    assert np.isinf(none.swapaxes(1, 2)[s.open]).all()
    assert (together[~np.repeat(s.known[:, None], together.shape[1], axis=1)] == 0).all()
    under_way = s.known & ~s.open & ~np.isfinite(s.power_h)
    assert (together.swapaxes(1, 2)[under_way] >= np.repeat(s.now_h[:, None], 12, axis=1)[under_way][:, None]).all()


def test_as_sent__puts_the_choice_first():
    _, _, s, plans, _ = at_work()
    job = np.array([int(np.flatnonzero(row)[-1]) for row in s.open])
    job[0] = 12  # waits
    sent = as_sent(s, plans, job)
    np.testing.assert_array_equal(sent.crew[0], plans.crew[0])
    for row in (1, 2, 3):
        assert sent.crew[row, job[row]] == s.asked[row]
        own = s.open[row] & (sent.crew[row] == s.asked[row])
        assert job[row] == np.where(own, sent.place[row], 10**6).argmin()


def test_begin__is_when_work_starts_that_ends_with_the_same_draw():
    _, _, s, plans, _ = at_work(off_h=0.0, n_skills=1, feeder="none", known_share=1.0)
    s, draws = spread(s, np.random.default_rng(0)), Draws.of(s.known.shape[1], 16)
    begin, power = begin_and_power_times(s, plans, draws)
    assert np.array_equal(power, power_back_times(s, plans, draws))
    planned = np.broadcast_to((s.open & (plans.crew >= 0))[:, None], begin.shape)
    assert planned.any()
    assert np.array_equal(np.isfinite(begin), planned)
    hours = np.broadcast_to(repair_draws(s, draws), begin.shape)
    np.testing.assert_allclose((begin + hours)[planned], power[planned])
