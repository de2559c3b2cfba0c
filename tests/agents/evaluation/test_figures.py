"""Figures of an evaluation."""

from collections.abc import Callable

from stormgym.agents.evaluation.figures import draw_all
from stormgym.agents.evaluation.html import render_html
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation
from stormgym.agents.evaluation.summary import summarise


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
