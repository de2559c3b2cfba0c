"""Tables of an evaluation with hand-made episodes."""

import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from stormgym.agents.evaluation.figures import draw_all
from stormgym.agents.evaluation.report import holds_limit, render_report, sorted_agents, tail_notes
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation, Latency, evaluate
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.terminal import WIDTH
from stormgym.envs.risk_measure import MEAN, RiskMeasure


def shown(summary: dict[str, Any], width: int = WIDTH, sort: str | None = None) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"), highlight=False)  # noqa: SIM115
    console.print(render_report(summary, sort))
    return console.export_text()


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


def test_report__marks_privileged_agents_and_says_why(
    full: Evaluation, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    text = shown(summarise(full))
    assert "clairvoyant †" in text
    assert "† looks at what nobody can know" in text
    assert "†" not in shown(summarise(evaluation(record("nearest", 50, 17), record("tsp", 49, 10))))


def test_paired__says_that_no_heuristic_is_within_the_limit_and_why_it_is_this_one(
    full: Evaluation, record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    assert "Difference to equity-planner (best heuristic) on" in shown(summarise(full))
    nobody = summarise(evaluation(record("nearest", 50, 17), record("tsp", 55, 11)))
    text = " ".join(shown(nobody).split())
    assert "best heuristic" not in text
    assert "Difference to tsp on the same scenarios" in text
    assert "no heuristic is within the limit: tsp has the smallest mean gap" in text


def test_report__is_of_differences_to_the_reference(full: Evaluation) -> None:
    text = shown(summarise(full))
    assert "Difference to equity-planner (best heuristic) on the same scenarios" in text
    text = shown(summarise(full, reference="nearest"))
    assert "Difference to nearest on the same scenarios" in text
    assert "to nearest" in text.partition("Tail of")[2]


def test_report__says_who_chooses_what_the_mask_has_closed(
    record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    blind, sound = record("ppo", 50, 17, learned=True), record("nearest", 49, 10)
    blind.metrics["wasted_trips"], sound.metrics["wasted_trips"] = np.full(60, 45.5), np.zeros(60)
    text = " ".join(shown(summarise(evaluation(blind, sound))).split())
    assert (
        "Wasted trips an episode: ppo (45.50). These policies choose what the action mask has closed; how to give them "
        "the mask: docs/your_own.md#masks."
    ) in text
    assert "action mask" not in shown(summarise(evaluation(sound)))


def test_report__says_when_the_bound_is_missing_or_episodes_did_not_complete(
    record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    stuck = record("stuck", 60, 20)
    stuck.metrics["completed"][0] = 0.0
    text = shown(summarise(evaluation(stuck, record("tsp", 49, 10))))
    assert "needs clairvoyant among the agents" in text
    assert "Did not complete every episode: stuck." in text


def test_report__single_episode_and_single_agent_have_no_intervals(
    record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
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


def test_tail__has_a_table_of_its_own_sorts_and_says_where_it_is_short(full: Evaluation) -> None:
    summary = summarise(full)
    text = shown(summary, sort="mean_outage_h_cvar_0.1")
    table = text[text.index("Tail of mean outage h") : text.index("Further means")].splitlines()
    assert re.split(r"  +", table[2].strip()) == [
        "agent",
        "mean",
        "CVaR 0.1",
        "worst episode",
        "to equity-planner",
        "of gap h",
    ]
    assert table[1].split("  ")[-1].strip() == "CVaR 0.1"
    rows = {line.split()[0]: line for line in table[4:10]}
    number = r"\d+\.\d\d"
    assert re.search(
        rf"{number} +{number} \[{number}, {number}\] +{number} +\+9\.00 \[\+9\.00, \+9\.00\]", rows["nearest"]
    )
    assert rows["equity-planner"].count("[") == 2  # its tail and that of its gap, and no difference to itself
    assert re.search(rf"{number} \[{number}, {number}\]$", rows["clairvoyant"].rstrip())
    assert "mean of an agent's own worst 10 % of scenarios" in text
    assert "10 % of 60 is a tail of 6: its intervals are too narrow below 500 scenarios." in text
    assert "narrow" not in " ".join(tail_notes({**summary, "episodes": 500}))
    tails = [
        summary["agents"][name]["mean_outage_h_cvar_0.1"] for name in sorted_agents(summary, "mean_outage_h_worst")
    ]
    assert tails[:4] == sorted(tails[:4])
    assert max(len(line.rstrip()) for line in text.splitlines()) <= WIDTH


@pytest.mark.parametrize(
    ("measure", "what", "held"),
    [
        (MEAN, "the mean gap: 8 h", True),
        (RiskMeasure("cvar", 0.95), "CVaR 0.05 of the gap: 8 h", False),
        (RiskMeasure("chance", 0.6), "the gap in 60 % of scenarios: 8 h", True),
        (RiskMeasure("chance", 0.9), "the gap in 90 % of scenarios: 8 h", False),
    ],
)
def test_title__says_what_the_limit_bounds_and_the_best_within_it_is_bold(
    full: Evaluation, measure: RiskMeasure, what: str, held: bool
) -> None:
    summary = summarise(replace(full, measure=measure))
    assert f"limit on {what}" in shown(summary).splitlines()[0]
    assert holds_limit(summary, summary["agents"]["equity-planner"]) == held
    (figure,) = [figure for caption, figure in draw_all(full, summary) if "against" in caption]
    assert bool([line for line in figure.axes[0].lines if line.get_linestyle() == "--"]) == measure.is_mean


def test_tail__of_one_agent_or_one_scenario_has_no_difference_and_no_interval(
    record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    text = shown(summarise(evaluation(record("nearest", 50, 17, episodes=1))))
    assert "difference to" not in text[text.index("Tail of") : text.index("CVaR 0.1: mean of")]
    assert "[" not in text
    table = text[text.index("Tail of") :].splitlines()
    assert len(set(table[4].split()[1:4])) == 1  # mean, tail and worst of one are the same


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


def test_report__without_limit_and_groups_says_that_there_is_no_equity(newsvendor: ModuleType) -> None:
    agents = resolve_agents(None, newsvendor.ENV_ID)
    summary = summarise(evaluate(newsvendor.ENV_ID, agents, episodes=20, env_kwargs={"fresh": True}))
    assert summary["cost_limit"] is None
    text = shown(summary)
    head = next(line for line in text.splitlines() if line.startswith("agent"))
    assert head.split()[:2] == ["agent", "±"]
    assert "gap" in head
    rows = [line for line in text.splitlines() if line.startswith(("usual-order", "quantile-order", "perfect-order"))]
    for row in rows[:3]:
        cells = re.split(r"  +", row.removesuffix(" †"))
        assert "-" in [cell.strip() for cell in cells], row  # a dash, and no invented zero
    assert "gap: there are no groups here, so there is no equity to measure." in text
    assert "limit" not in text
    assert "Difference to quantile-order (best heuristic)" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= WIDTH


def test_report__with_groups_leaves_the_gap_to_its_own_columns(full: Evaluation) -> None:
    text = shown(summarise(full))
    assert "no equity" not in text
