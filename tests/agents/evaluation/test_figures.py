"""Figures of an evaluation."""

from collections.abc import Callable
from types import ModuleType

import pytest

from stormgym.agents.evaluation.figures import draw_all
from stormgym.agents.evaluation.html import render_html
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation, evaluate
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents


def test_figures__curves_with_region_times_else_bars(
    full: Evaluation, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    summary = summarise(full)
    assert ["group" in c for c, _ in draw_all(full, summary)] == [False, True]
    bars = evaluation(record("nearest", 50, 17, times=False))
    caption, figure = draw_all(bars, summarise(bars))[1]
    assert caption.startswith("Mean of each group")
    assert len(figure.axes[0].patches) == 2
    assert "Mean of each group" in render_html(bars, summarise(bars))


def test_figures__without_a_constraint_are_rows_of_the_objective(newsvendor: ModuleType) -> None:
    agents = resolve_agents(None, newsvendor.ENV_ID)
    played = evaluate(newsvendor.ENV_ID, agents, episodes=20)
    summary = summarise(played)
    ((caption, figure),) = draw_all(played, summary)
    assert caption.startswith("Mean cost over the scenarios with its interval.")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["quantile-order", "usual-order", "perfect-order †"]
    assert ax.get_xlabel() == "cost (USD)"
    best = summary["agents"]["quantile-order"]
    line, _, (bars,) = ax.containers[0]
    assert line.get_xdata()[0] == best["cost"]
    assert [x for x, _ in bars.get_segments()[0]] == pytest.approx(best["cost_ci"])
    page = render_html(played, summary)
    assert page.count("<figure>") == 1
    assert "no equity to measure" in page
    assert "<td>-</td>" in page


def test_figures__one_episode_without_a_constraint_has_no_intervals(newsvendor: ModuleType) -> None:
    agents = resolve_agents("usual-order", newsvendor.ENV_ID)
    played = evaluate(newsvendor.ENV_ID, agents, episodes=1)
    ((_, figure),) = draw_all(played, summarise(played))
    assert figure.axes[0].lines
