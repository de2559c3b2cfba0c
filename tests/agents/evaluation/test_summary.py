"""Summary of an evaluation with hand-made episodes: means, intervals, pairs, and its file."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from stormgym.agents.evaluation.bootstrap import tail_difference, tail_estimate
from stormgym.agents.evaluation.report import holds_limit, sorted_agents
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation, Latency, evaluate
from stormgym.agents.evaluation.summary import best_heuristic, plain, reference_of, summarise, write_json
from stormgym.agents.lineup import resolve_agents
from stormgym.envs.risk_measure import RiskMeasure

EPISODES = 60


def test_summary__holds_means_intervals_and_every_episode(full: Evaluation) -> None:
    summary = summarise(full)
    agent = summary["agents"]["nearest"]
    x = full.agents["nearest"].metrics["mean_outage_h"]
    assert_allclose(agent["mean_outage_h"], x.mean())
    assert_allclose(agent["mean_outage_h_ci"], stats.t.interval(0.95, 59, x.mean(), stats.sem(x)))
    over = int((full.agents["nearest"].metrics["cost"] > 8.0).sum())
    wilson = stats.binomtest(over, EPISODES).proportion_ci(0.95, method="wilson")
    assert_allclose(agent["violation_rate"], over / EPISODES)
    assert_allclose(agent["violation_rate_ci"], [wilson.low, wilson.high])
    assert (summary["env"], summary["episodes"], len(agent["episodes"])) == (
        "Restoration-v0",
        EPISODES,
        EPISODES,
    )
    assert agent["episodes"][3]["seed"] == 103
    assert_allclose(agent["episodes"][3]["mean_outage_h"], x[3])
    assert {"python", "numpy", "gymnasium"} <= set(summary["versions"])
    assert summary["agents"]["clairvoyant"]["privileged"]
    assert not agent["privileged"]


def test_summary__compares_with_bound_and_best_heuristic_in_pairs(full: Evaluation) -> None:
    summary = summarise(full)
    assert summary["best_heuristic"] == "equity-planner"  # repairman is faster, but over the limit; sta-sac learnt
    agent = summary["agents"]["nearest"]
    assert_allclose(agent["excess_over_clairvoyant_h"], 52.8 - 36.9)
    assert_allclose(
        agent["excess_over_clairvoyant_h_ci"], [15.9, 15.9]
    )  # the same noise: the pairs differ by a constant
    assert agent["paired"]["versus"] == "equity-planner"
    assert_allclose(agent["paired"]["mean_outage_h"], 9.0)
    assert_allclose(agent["paired"]["mean_outage_h_ci"], [9.0, 9.0])


def test_summary__compares_with_whom_it_is_asked_to(full: Evaluation) -> None:
    summary = summarise(full, reference="sta-sac/0-20250101-120000")
    assert (summary["best_heuristic"], reference_of(summary)) == ("equity-planner", "sta-sac/0-20250101-120000")
    assert_allclose(summary["agents"]["nearest"]["paired"]["mean_outage_h"], 52.8 - 45.0)
    assert reference_of(summarise(full)) == "equity-planner"
    saved = {key: value for key, value in summarise(full).items() if key != "reference"}
    assert reference_of(saved) == "equity-planner"  # of a version that had no such key
    assert reference_of({"best_heuristic": None}) is None
    with pytest.raises(ValueError, match=r"got 'nerest'; did you mean 'nearest'\? Agents: nearest, equity-planner, "):
        summarise(full, reference="nerest")


def test_summary__holds_the_tail_of_the_objective_and_its_difference_to_the_best_heuristic(full: Evaluation) -> None:
    agents = summarise(full)["agents"]
    x, best = (full.agents[name].metrics["mean_outage_h"] for name in ("nearest", "equity-planner"))
    agent = agents["nearest"]
    assert_allclose(agent["mean_outage_h_cvar_0.1"], np.sort(x)[-6:].mean())  # six of 60
    assert agent["mean_outage_h_worst"] == x.max()
    tail = tail_estimate(x, 0.1)
    assert agent["mean_outage_h_cvar_0.1_ci"] == [tail.low, tail.high]
    assert tail.low < tail.value < tail.high
    difference = tail_difference(x, best, 0.1)
    assert_allclose(agent["paired"]["mean_outage_h_cvar_0.1"], np.sort(x)[-6:].mean() - np.sort(best)[-6:].mean())
    assert agent["paired"]["mean_outage_h_cvar_0.1_ci"] == [difference.low, difference.high]
    assert agents["equity-planner"]["paired"]["mean_outage_h_cvar_0.1_ci"] == [0.0, 0.0]
    assert summarise(full) == summarise(full)  # resamples are seeded


def test_summary__worst_is_the_smallest_where_larger_is_better() -> None:
    returns = np.array([5.0, -3.0, 4.0, 9.0, 1.0, 7.0, 8.0, 2.0, 6.0, 3.0, 10.0, 11.0, 12.0, 13.0, 14.0])
    zeros, time = np.zeros(15), Latency(1, 1, 1, 2)
    records = {
        name: AgentRecord(name, {"return": values, "cost": zeros, "steps": zeros + 1}, time)
        for name, values in {"ours": returns, "lower": returns - 2.0}.items()
    }
    summary = summarise(Evaluation("Other-v0", tuple(range(15)), {"seed": 0, "batch_size": 2}, None, records))
    ours, lower = summary["agents"]["ours"], summary["agents"]["lower"]
    assert_allclose(ours["return_cvar_0.1"], (-3.0 + 0.5 * 1.0) / 1.5)  # a tail of 1.5 episodes
    assert ours["return_worst"] == -3.0
    low, high = ours["return_cvar_0.1_ci"]
    assert low <= ours["return_cvar_0.1"] <= high
    assert low == -3.0
    assert summary["best_heuristic"] == "ours"
    assert_allclose([lower["paired"]["return_cvar_0.1"], *lower["paired"]["return_cvar_0.1_ci"]], -2.0)
    for key in ("return_cvar_0.1", "return_worst"):
        assert sorted_agents(summary, key) == ["ours", "lower"]


def test_best__takes_lowest_gap_when_none_holds_the_limit_and_none_without_candidates(
    record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    none_fits = evaluation(record("fast", 40, 30), record("fairer", 50, 15), record("learnt", 45, 5, learned=True))
    assert best_heuristic(none_fits) == "fairer"
    assert best_heuristic(evaluation(record("fast", 40, 30), record("slow", 50, 15), cost_limit=None)) == "fast"
    assert best_heuristic(evaluation(record("clairvoyant", 37, 7, privileged=True))) is None


def test_summary__judges_by_the_tail_where_the_limit_is_on_it(
    record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    played = evaluation(record("fast", 40, 7.0), record("fair", 50, 3.0))
    gaps = {name: agent.metrics["cost"] for name, agent in played.agents.items()}
    assert best_heuristic(played) == "fast"
    assert "burden" not in summarise(played)["agents"]["fast"]
    for measure in (RiskMeasure("cvar", 0.9), RiskMeasure("chance", 0.9)):
        limited = replace(played, measure=measure)
        summary = summarise(limited)
        assert (summary["cost_limit_kind"], summary["cost_limit_level"]) == (measure.kind, 0.9)
        for name, agent in summary["agents"].items():
            worst = np.sort(gaps[name])[-6:].mean()
            assert_allclose(agent["gap_h_cvar_0.1"], worst)
            low, high = agent["gap_h_cvar_0.1_ci"]
            assert low <= worst <= high
            share = worst / 8.0 if measure.kind == "cvar" else (gaps[name] > 8.0).mean() / 0.1
            assert_allclose(agent["burden"], share)
            assert holds_limit(summary, agent) == (measure.statistic(gaps[name]) <= 8.0) == (name == "fair")
        assert best_heuristic(limited) == summary["best_heuristic"] == "fair"
        assert best_heuristic(replace(limited, cost_limit=0.01)) == "fair"  # none holds it: the least


def test_json__has_no_nan_and_reads_back(
    full: Evaluation, tmp_path: Path, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    one = evaluation(
        record("nearest", 52.8, 17.4, episodes=1), record("clairvoyant", 30, 9, episodes=1, privileged=True)
    )
    file = write_json(summarise(one), tmp_path / "deep" / "evaluation.json")
    text = file.read_text()
    assert not re.search(r"NaN|Infinity", text)
    back = json.loads(text)
    assert back["agents"]["nearest"]["mean_outage_h_ci"] == [None, None]
    assert back == plain(summarise(one))
    write_json(summarise(full), file)
    assert json.loads(file.read_text())["episodes"] == EPISODES
    assert [p.name for p in file.parent.iterdir()] == ["evaluation.json"]  # no temporary file stays


def test_summary__without_a_limit_compares_with_the_best_objective_and_has_no_equity(newsvendor: ModuleType) -> None:
    played = evaluate(newsvendor.ENV_ID, resolve_agents(None, newsvendor.ENV_ID), episodes=20)
    summary = summarise(played)
    assert summary["best_heuristic"] == "quantile-order"
    assert (summary["cost_limit"], summary["group_names"]) == (None, [])
    agent = summary["agents"]["usual-order"]
    assert "violation_rate" not in agent
    assert not [key for key in agent if "gap" in key or "group" in key]
    assert_allclose(agent["cost"], -agent["return"], rtol=1e-6)
    assert_allclose(agent["regret"], agent["cost"] - agent["optimum"])
    assert summary["agents"]["perfect-order"]["regret"] == pytest.approx(0.0, abs=1e-4)  # actions are float32
    limited = replace(played, cost_limit=3.0)
    with pytest.raises(ValueError, match=r"headline of Newsvendor-v0 names no constraint, .* \(3\); name the metric"):
        summarise(limited)
