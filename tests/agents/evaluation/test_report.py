"""Summary, terminal tables, JSON and page of an evaluation with hand-made episodes."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console
from scipy import stats

from stormgym.agents.evaluation.figures import draw_all
from stormgym.agents.evaluation.html import render_html, write_html
from stormgym.agents.evaluation.report import render_report, sorted_agents
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation, Latency
from stormgym.agents.evaluation.summary import best_heuristic, plain, summarise, write_json
from stormgym.agents.terminal import WIDTH, make_console

EPISODES = 60


def record(
    name: str, mean: float, gap: float, *, episodes: int = EPISODES, times: bool = True, **kind: Any
) -> AgentRecord:
    rng = np.random.default_rng(7)  # common scenarios: every agent meets the same noise
    outage = mean + rng.normal(0, 4, episodes)
    gaps = np.maximum(gap + rng.normal(0, 2, episodes), 0.1)
    low, high = outage + 3, outage - 3
    return AgentRecord(
        name=name,
        metrics={
            "mean_outage_h": outage,
            "gap_h": gaps,
            "worst_group_mean_h": low,
            "group_mean_h_0": low,
            "group_mean_h_1": high,
            "p95_h": outage * 1.9,
            "gini": np.full(episodes, 0.31),
            "completed": np.ones(episodes),
            "saidi_h": outage + 1,
            "customer_hours": 1000 * outage,
            "customers_out_24h": np.full(episodes, 0.6),
            "return": -outage,
            "cost": gaps,
            "steps": np.full(episodes, 55.0),
        },
        latency=Latency(0.2, 21.0, 0.01, 32),
        times=np.abs(rng.normal(mean, mean / 2, (episodes, 6))) if times else None,
        **kind,
    )


def evaluation(*records: AgentRecord, cost_limit: float | None = 8.0) -> Evaluation:
    episodes = records[0].metrics["cost"].size
    return Evaluation(
        env_id="Restoration-v0",
        seeds=tuple(range(100, 100 + episodes)),
        settings={"seed": 0, "episodes": episodes, "env_kwargs": {}, "batch_size": 32},
        cost_limit=cost_limit,
        agents={r.name: r for r in records},
        group=np.array([0, 0, 0, 1, 1, 1]),
        group_names=("low", "high"),
    )


@pytest.fixture
def full() -> Evaluation:
    return evaluation(
        record("nearest", 52.8, 17.4),
        record("equity-planner", 43.8, 7.0),
        record("repairman", 42.5, 14.0),
        record("sta-sac/0-20250101-120000", 45.0, 7.4, learned=True),
        record("clairvoyant", 36.9, 13.0, privileged=True),
        record("clairvoyant-fair", 37.7, 7.8, privileged=True),
    )


def shown(summary: dict[str, Any], width: int = WIDTH, sort: str | None = None) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"), highlight=False)  # noqa: SIM115
    console.print(render_report(summary, sort))
    return console.export_text()


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


def test_best__takes_lowest_gap_when_none_holds_the_limit_and_none_without_candidates() -> None:
    none_fits = evaluation(record("fast", 40, 30), record("fairer", 50, 15), record("learnt", 45, 5, learned=True))
    assert best_heuristic(none_fits) == "fairer"
    assert best_heuristic(evaluation(record("fast", 40, 30), record("slow", 50, 15), cost_limit=None)) == "fast"
    assert best_heuristic(evaluation(record("clairvoyant", 37, 7, privileged=True))) is None


def test_json__has_no_nan_and_reads_back(full: Evaluation, tmp_path: Path) -> None:
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


def test_report__fits_its_width_and_names_every_figure(full: Evaluation) -> None:
    text = shown(summarise(full))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= WIDTH
    assert "…" not in text
    for part in (
        "mean outage h",
        "gap h",
        "over limit",
        "worst",
        "95th",
        "Gini",
        "above",
        "ms/decision",
        "SAIDI h",
    ):
        assert part in text
    row = next(line for line in text.splitlines() if line.lstrip().startswith("equity-planner"))
    assert re.search(r"\d+\.\d\d ± \d\.\d\d +\d\.\d\d ± \d\.\d\d +\d+ % \(\d+-\d+\)", row)
    assert "0.20 (21)" in row


def test_report__marks_privileged_agents_and_says_why(full: Evaluation) -> None:
    text = shown(summarise(full))
    assert "clairvoyant †" in text
    assert "† looks at what no crew can know" in text
    assert "†" not in shown(summarise(evaluation(record("nearest", 50, 17), record("tsp", 49, 10))))


def test_report__says_when_the_bound_is_missing_or_episodes_did_not_complete() -> None:
    stuck = record("stuck", 60, 20)
    stuck.metrics["completed"][0] = 0.0
    text = shown(summarise(evaluation(stuck, record("tsp", 49, 10))))
    assert "needs clairvoyant among the agents" in text
    assert "Did not complete every episode: stuck." in text


def test_report__single_episode_and_single_agent_have_no_intervals() -> None:
    text = shown(summarise(evaluation(record("nearest", 50, 17, episodes=1))))
    assert "±" not in next(line for line in text.splitlines() if line.startswith("nearest"))
    assert "Difference to" not in text


def test_sort__by_objective_figure_name_or_as_given(full: Evaluation) -> None:
    summary = summarise(full)
    honest = ["repairman", "equity-planner", "sta-sac/0-20250101-120000", "nearest"]
    assert sorted_agents(summary) == [*honest, "clairvoyant", "clairvoyant-fair"]
    assert sorted_agents(summary, "gap_h")[0] == "equity-planner"
    assert sorted_agents(summary, "given")[0] == "nearest"
    assert sorted_agents(summary, "name")[0] == "equity-planner"
    with pytest.raises(KeyError, match="no figure 'speed' to sort by; known: given, name, "):
        sorted_agents(summary, "speed")


def test_report__unknown_environment_is_shown_generically() -> None:
    plain_record = AgentRecord(
        "rule",
        {
            "return": np.array([1.0, 3.0]),
            "cost": np.zeros(2),
            "steps": np.ones(2),
            "load_shed_kwh": np.ones(2),
        },
        Latency(1, 1, 1, 2),
    )
    other = Evaluation("Other-v0", (1, 2), {"seed": 0, "batch_size": 2}, None, {"rule": plain_record})
    text = shown(summarise(other))
    assert "load shed kwh" in text
    assert "over limit" not in text
    assert draw_all(other, summarise(other))


def test_console__is_wide_enough_when_piped(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        assert make_console(file=out).width == WIDTH


def test_page__is_self_contained_and_escapes(full: Evaluation, tmp_path: Path) -> None:
    full.agents["<b>mine</b>"] = record("<b>mine</b>", 46, 7)
    page = write_html(full, summarise(full), tmp_path / "page.html").read_text()
    assert "<b>mine" not in page
    assert "&lt;b&gt;mine" in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert not re.search(r'(src|href)="http', page)
    assert "customers_out_24h" in page


def test_figures__curves_with_region_times_else_bars(full: Evaluation) -> None:
    summary = summarise(full)
    assert ["group" in c for c, _ in draw_all(full, summary)] == [False, True]
    bars = evaluation(record("nearest", 50, 17, times=False))
    caption, figure = draw_all(bars, summarise(bars))[1]
    assert caption.startswith("Mean of each group")
    assert len(figure.axes[0].patches) == 2
    assert "Mean of each group" in render_html(bars, summarise(bars))


def test_console__shows_names_as_they_are() -> None:
    text = io.StringIO()
    make_console(file=text).print("synthetic:100:9003")
    assert text.getvalue() == "synthetic:100:9003\n"
