"""ERT published: when, with which intervals, by which policies, and never on storms of their calibration."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.binding import truth_reads
from stormgym.agents.crews.ert import publishing as room
from stormgym.agents.crews.ert.calibration import Kind, as_simulated
from stormgym.agents.crews.ert.looks import Look
from stormgym.agents.crews.ert.past_storms import PastStorms, calibrate, past_seeds, play_past
from stormgym.agents.crews.ert.published import AGES_H, Published, aged, published
from stormgym.agents.crews.ert.publishing import PublishingPolicy, past_kwargs, publishing
from stormgym.agents.crews.ert.report import Outcomes, ert_report
from stormgym.agents.crews.planners import RollingPlanner, StaticPlan
from stormgym.agents.crews.rules import NearestJob
from stormgym.agents.crews.search.annealing import Schedule
from stormgym.agents.evaluation.cli import main
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.storms import record_storms
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.envs.making import episode_seeds, make_batch

ID = "CrewDispatch-v0"
SMALL = {"city": "synthetic:12:1", "n_crews": 3, "predictor": "none"}


def static(env):
    return StaticPlan(env, first=Schedule(10))


def rolling(env):
    return RollingPlanner(env, first=Schedule(10), again=Schedule(2))


def seen(now, ert, *, dark=True, sent=False, crewed=False, spread=1.0):
    """A look at one job of one storm."""
    quantile = ert + spread * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    cell = np.ones((1, 1), dtype=bool)
    return Look(
        np.array([now]),
        cell & dark,
        cell & sent,
        cell & crewed,
        quantile[None, None],
        np.zeros((1, 1), int),
        0.0 * cell,
    )


def test_publishing__is_for_new_jobs_medians_that_left_the_interval_and_crews_that_are_sent():
    steps = (
        (seen(0.0, 8.0), Kind.FIRST, [6.0, 8.0, 10.0]),
        (seen(1.0, 9.9), None, [6.0, 8.0, 10.0]),  # within the interval in force
        (seen(2.0, 10.1), Kind.REVISED, [8.1, 10.1, 12.1]),
        (seen(3.0, 8.2), None, [8.1, 10.1, 12.1]),
        (seen(4.0, 9.0, sent=True, crewed=True), Kind.SENT, [7.0, 9.0, 11.0]),
        (seen(5.0, 12.0, crewed=True, dark=False), None, [7.0, 9.0, 11.0]),
        (seen(6.0, 11.5, crewed=True), Kind.REVISED_SENT, [9.5, 11.5, 13.5]),
    )
    state, calibration = Published.none(1, 1), as_simulated(1)
    for look, kind, in_force in steps:
        state, news = published(state, look, calibration)
        assert news.kind[0, 0] == (-1 if kind is None else kind)
        np.testing.assert_allclose(state.now_h[0, 0], in_force)
    assert state.revisions[0, 0] == 3
    np.testing.assert_allclose(state.first_h[0, 0], [6.0, 8.0, 10.0])
    np.testing.assert_allclose(state.sent_h[0, 0], [7.0, 9.0, 11.0])
    assert (state.first_at_h[0, 0], state.sent_at_h[0, 0]) == (0.0, 4.0)
    ends = aged(state, np.zeros((1, 1)), np.array([np.inf]))
    np.testing.assert_allclose(ends[0, 0, :, 1], [10.1, 11.5, 11.5])  # in force at 3, 6 and 12 h
    assert AGES_H == (3.0, 6.0, 12.0)
    assert np.isnan(state.without(np.array([True])).now_h).all()


def test_publishing__of_a_job_that_is_sent_at_once_is_first_and_sent():
    state, news = published(Published.none(1, 1), seen(0.0, 2.0, sent=True, crewed=True), as_simulated(1))
    assert news.kind[0, 0] == Kind.SENT
    np.testing.assert_allclose(state.first_h, state.sent_h)
    assert state.revisions[0, 0] == 0


def past(make=static, n=60, first=0, **kwargs):
    return play_past(make, ID, {**SMALL, **kwargs}, past_seeds(n, first))


def test_past_storms__hold_what_came_and_come_back_from_plain_arrays():
    storms = past(n=30)
    assert storms.n_storms == 30
    assert np.isfinite(storms.power_h).all()
    assert (storms.power_h > storms.arrival_h).all()
    state, found = storms.replay(as_simulated(3))
    assert np.isfinite(state.first_h).all()
    assert np.isfinite(state.sent_h).all()
    assert len(found[Kind.SENT].storm) == storms.power_h.size
    again = PastStorms.of_arrays(storms.arrays())
    np.testing.assert_array_equal(again.replay(as_simulated(3))[0].now_h, state.now_h)
    for seen_ in storms.looks:  # ERTs are of what is dark, and none in the past
        times = seen_.quantile_h[seen_.dark]
        assert (times >= np.repeat(seen_.now_h[:, None], 12, axis=1)[seen_.dark][:, None] - 1e-3).all()


def test_past_storms__are_the_same_in_another_batch(monkeypatch):
    import stormgym.agents.crews.ert.past_storms as module

    together = past(make=rolling, n=6)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    apart = past(make=rolling, n=6)
    np.testing.assert_array_equal(apart.power_h, together.power_h)
    now = (storms.replay(as_simulated(3))[0].now_h for storms in (together, apart))
    np.testing.assert_allclose(*now, rtol=1e-6)


@pytest.mark.slow
def test_calibration__covers_storms_to_come_that_are_like_the_past():
    storms, to_come = past(n=80), past(n=80, first=80)
    calibration = calibrate(storms, 3)
    board = to_come.replay(calibration)[0]
    o = Outcomes(board, to_come.power_h, to_come.arrival_h, to_come.group, 3)
    told = ert_report(o)
    raw = ert_report(replace(o, published=to_come.replay(as_simulated(3))[0]))
    # the sd of a storm's coverage is about 0.1, so that of the difference of past and present means is 0.016
    assert abs(told.first.coverage.value - 0.905) < 0.045
    assert abs(told.sent.coverage.value - 0.905) < 0.045
    assert raw.first.coverage.value < 0.8
    assert abs(told.first.error_h.value) < 0.3
    assert told.first.interval_score_h.value < raw.first.interval_score_h.value
    assert told.revisions.value < 2.5
    again = calibrate(storms, 3)
    np.testing.assert_array_equal(again.weights, calibration.weights)


def test_policy__decides_as_before_and_tells_the_same_alone_and_in_a_batch():
    calibration = as_simulated(3)
    batch, alone, plain = make_batch(ID, 3, SMALL), gym.make(f"stormgym:{ID}", **SMALL), make_batch(ID, 3, SMALL)
    policy, own, bare = (
        PublishingPolicy(rolling(batch), batch, calibration),
        PublishingPolicy(rolling(alone), alone, calibration),
        rolling(plain),
    )
    (obs, _), (one, _), (same, _) = batch.reset(seed=[5, 6, 7]), alone.reset(seed=6), plain.reset(seed=[5, 6, 7])
    state = own_state = bare_state = None
    ended = False
    while not ended:
        action, state = policy.predict(obs, state)
        choice, own_state = own.predict(one, own_state)
        expected, bare_state = bare.predict(same, bare_state)
        np.testing.assert_array_equal(action, expected)
        assert choice == action[1]
        np.testing.assert_allclose(own_state.published.now_h[0], state.published.now_h[1])
        obs, *_ = batch.step(action)
        same, *_ = plain.step(expected)
        one, _, ended, *_ = alone.step(int(choice))
    metrics = own.episode_metrics(own_state, np.array([0]))
    assert {"ert_coverage", "ert_coverage_0", "ert_coverage_2", "ert_width_h", "ert_revisions"} <= set(metrics)
    assert all(values.shape == (1,) and np.isfinite(values).all() for values in metrics.values())
    assert truth_reads(alone) == truth_reads(batch) == 0


def test_policy__refuses_storms_of_its_calibration():
    env = make_batch(ID, 2, SMALL)
    policy = PublishingPolicy(static(env), env, as_simulated(3), past_seeds(5))
    policy.seed_episodes(list(episode_seeds(0, 500)))
    with pytest.raises(ValueError, match="is one that ERTs were calibrated on; take another seed"):
        policy.seed_episodes([1, past_seeds(5)[3]])


def test_policy__that_keeps_no_plan_says_so():
    env = make_batch(ID, 2, SMALL)
    obs, _ = env.reset(seed=0)
    with pytest.raises(TypeError, match="'nearest' keeps no plan"):
        PublishingPolicy(NearestJob(), env, as_simulated(3)).predict(obs)
    assert publishing("nearest", Entrant(NearestJob.for_env), ID, SMALL) is None


def test_past__has_other_seeds_and_the_training_half_where_storms_are_of_the_test_half():
    assert past_kwargs({"split": "test", "n_crews": 3}) == {"split": "train", "n_crews": 3}
    assert past_kwargs({"n_crews": 3}) == {"n_crews": 3}
    assert past_kwargs({"profile": "utility"}) == {"profile": "utility"}
    assert not set(past_seeds()) & {seed for first in range(20) for seed in episode_seeds(first, 1000)}


def test_evaluation__has_ert_of_those_who_plan_beside_the_others():
    env_kwargs = {**SMALL, "split": "test"}
    told = publishing("static", Entrant(static, summary="static"), ID, env_kwargs, kept=False, n_storms=40)
    agents = {"static": told, **resolve_agents(["nearest"], ID)}
    found = evaluate(ID, agents, episodes=30, batch_size=20, latency_episodes=1, env_kwargs=env_kwargs).agents
    assert 0.8 < found["static"].metrics["ert_coverage"].mean() < 1.0
    assert found["static"].metrics["ert_coverage"].shape == (30,)
    assert not any(name.startswith("ert") for name in found["nearest"].metrics)
    again = evaluate(ID, {"static": told}, episodes=30, batch_size=7, latency_episodes=1, env_kwargs=env_kwargs)
    for name, values in found["static"].metrics.items():
        np.testing.assert_allclose(again.agents["static"].metrics[name], values, err_msg=name, rtol=1e-9)


def test_replay__holds_first_erts_and_what_came():
    entrants = {"static": publishing("static", Entrant(static, summary="static"), ID, SMALL, kept=False, n_storms=40)}
    entrants |= resolve_agents(["nearest"], ID)
    evaluation = evaluate(ID, entrants, episodes=4, env_kwargs=SMALL)
    kept = record_storms(evaluation, summarise(evaluation), entrants, 2)
    for storm in kept["storms"]:
        assert storm["agents"]["nearest"]["told"] is None
        rows = storm["agents"]["static"]["told"]["rows"]
        names, places, at, low, middle, high, came = zip(*rows, strict=True)
        metrics = storm["agents"]["static"]["metrics"]
        assert len(set(names)) == len(rows) == 12  # one of each region
        assert set(places) <= set(range(12))
        low, middle, high, came = map(np.array, (low, middle, high, came))
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert (np.array(at) < came).all()
        assert ((came >= low) & (came <= high)).mean() == metrics["ert_coverage"]
        np.testing.assert_allclose((came - middle).mean(), metrics["ert_error_h"], atol=1e-3)


def test_command__writes_ert_into_tables_and_json_and_keeps_the_calibration(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(publishing.__kwdefaults__, "n_storms", 40)
    file = tmp_path / "e.json"
    words = ["--env", ID, "--city", "synthetic:6:1", "--n-crews", "2", "--predictor", "none"]
    words += ["--agents", "static-plan,nearest", "--episodes", "3", "--ert", "--json", str(file)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "First estimated restoration time of a job" in text
    assert "The same when its crew is sent" in text
    assert '"ert_coverage_0"' in file.read_text(encoding="utf-8")
    assert len(list((tmp_path / "cache").glob("ert-*.npz"))) == 1

    def never(*_, **__):
        raise AssertionError("storms are played again though the calibration is kept")

    monkeypatch.setattr(room, "play_past", never)
    assert main(words) == 0


def test_command__says_what_ert_is_for(capsys):
    assert main(["--env", ID, "--city", "synthetic:6:1", "--agents", "nearest", "--episodes", "2", "--ert"]) == 2
    assert "--ert needs an agent that keeps a plan; got nearest" in capsys.readouterr().err
    assert main(["--env", "Restoration-v0", "--agents", "nearest", "--episodes", "2", "--ert"]) == 2
    assert "--ert is for CrewDispatch-v0; got Restoration-v0" in capsys.readouterr().err
    assert main(["--env", ID, "--plan", "--ert"]) == 2
    assert "--ert" in capsys.readouterr().err
