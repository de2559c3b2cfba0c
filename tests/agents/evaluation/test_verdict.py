"""The outcome of an evaluation in a sentence."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.evaluation.verdict import verdict
from stormgym.agents.registry import domain_of
from stormgym.envs.risk_measure import RiskMeasure


def said(evaluation: Evaluation) -> str:
    """The verdict, with numbers as one sees them."""
    summary = summarise(evaluation)
    return verdict(summary, domain_of(summary["env"]).headline, list(summary["agents"]))


@pytest.fixture
def flat(record: Callable[..., AgentRecord]) -> Callable[..., AgentRecord]:
    """Makes an agent whose means are to the digit what is asked for."""

    def make(name: str, mean: float, gap: float, **kind: bool) -> AgentRecord:
        made = record(name, mean, gap, **kind)
        made.metrics.update({"mean_outage_h": 0 * made.metrics["cost"] + mean, "gap_h": 0 * made.metrics["cost"] + gap})
        made.metrics["cost"] = made.metrics["gap_h"]
        return made

    return make


def test_verdict__names_the_best_within_the_limit_and_the_status_quo(
    flat: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    usual, fair = flat("request-volume", 50, 7), flat("equity-planner", 40, 6)
    short, bound = flat("repairman", 35, 9), flat("clairvoyant", 30, 5, privileged=True)
    best = "Within the limit of 8 h and lowest mean outage: equity-planner, 40.00 h"
    assert said(evaluation(usual, fair, short, bound)) == (
        f"{best}. The status quo, request-volume, has 50.00 h, 25 % more."
    )
    late = flat("request-volume", 50, 9)
    assert said(evaluation(late, fair)).endswith("has 50.00 h, 25 % more, and is over the limit.")
    assert said(evaluation(fair, short)) == f"{best}."
    assert said(evaluation(usual, short)).endswith("request-volume, 50.00 h, which is the status quo.")
    assert said(evaluation(fair, short, cost_limit=None)) == "Lowest mean outage: repairman, 35.00 h."
    assert said(evaluation(bound)) == ""


def test_verdict__says_that_nobody_is_within_the_limit_and_who_is_closest(
    flat: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]
) -> None:
    far, close = flat("repairman", 35, 14), flat("tsp", 40, 9)
    told = "within the limit of 8 h; closest to it: tsp, gap 9.00 h, mean outage 40.00 h."
    assert said(evaluation(far, close)) == f"No agent is {told}"
    bound = flat("clairvoyant", 30, 5, privileged=True)
    assert said(evaluation(far, close, bound)) == f"No agent but those that look at the future is {told}"
    tail = replace(evaluation(far, close), measure=RiskMeasure("cvar", 0.9))
    assert "closest to it: tsp, 1.12 times the limit, mean outage 40.00 h." in said(tail)
