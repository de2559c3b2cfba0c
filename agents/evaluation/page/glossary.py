"""What the words of a page mean, for readers who do not know them; docs/metrics.md has the same sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stormgym.agents.domain import Headline


@dataclass(frozen=True)
class Term:
    """A word and its meaning."""

    name: str
    meaning: str
    keys: tuple[str, ...]
    """Figures of an agent; the word is explained where there is one of them."""


TERMS = (
    Term(
        "scenario",
        "One case with all its chances, such as a storm: what is damaged, how long each repair takes. All agents meet "
        "the same ones.",
        ("return",),
    ),
    Term(
        "mean outage",
        "Hours without power of a mean region (of a mean job, where crews serve jobs), averaged over the scenarios.",
        ("mean_outage_h",),
    ),
    Term(
        "gap",
        "How unequally groups wait. The waits of two groups, each sorted from shortest to longest, are laid side by "
        "side; the gap is the mean distance between them (Wasserstein-1, W1), of the two groups where it is largest. "
        "0: all groups wait alike.",
        ("gap_h", "gap"),
    ),
    Term(
        "limit",
        "The most that the gap may be on average over the scenarios, or in the worst of them, as the line under the "
        "heading says. A limit on the average leaves room for single scenarios above it.",
        ("violation_rate",),
    ),
    Term("over limit", "Share of the scenarios whose own gap is above the limit.", ("violation_rate",)),
    Term(
        "group means",
        "Mean hours without power of the regions of each group; the worst group is the one that waits longest.",
        ("worst_group_mean_h", "group_mean_h_0"),
    ),
    Term("p95 (95th pct.)", "95 % of the regions wait at most so many hours, 5 % longer.", ("p95_h",)),
    Term(
        "Gini",
        "Inequality of all waits, whatever the group, from 0 (all wait equally long) to 1 (one waits for all).",
        ("gini",),
    ),
    Term(
        "SAIDI",
        "Hours (or periods) without power of a mean customer of the whole place, those who never lost it included.",
        ("saidi_h", "saidi"),
    ),
    Term("CAIDI", "Hours without power of a mean customer among those who lost it.", ("caidi_h",)),
    Term(
        "CVaR 0.1",
        "Mean of the worst tenth of the scenarios: what to expect when things go badly.",
        ("mean_outage_h_cvar_0.1", "total_cost_cvar_0.1", "saidi_h_cvar_0.1", "cost_cvar_0.1", "return_cvar_0.1"),
    ),
    Term(
        "clairvoyant, oracle (†)",
        "An agent that knows ahead what nobody can, such as how long each repair takes. It shows how much there is to "
        "gain.",
        ("privileged",),
    ),
    Term(
        "95 % CI, ±",
        "Confidence interval: with other scenarios of the same kind the mean would lie in it 95 times in 100. "
        "Differences are taken scenario by scenario.",
        ("return_ci",),
    ),
    Term(
        "ms/decision",
        "Computing time of one decision in milliseconds; the slowest in brackets.",
        ("decision_ms",),
    ),
)
"""In the order of reading."""


def bound_term(headline: Headline) -> Term | None:
    """The distance to the bound, named as the table names it; None where there is none."""
    if headline.bound is None:
        return None
    return Term(
        f"above {headline.bound}",
        f"How much worse than {headline.bound} in the same scenarios. Some of it nobody can avoid.",
        (headline.excess_key,),
    )


def terms_of(summary: dict[str, Any], headline: Headline) -> list[Term]:
    """Those whose figures the agents of an evaluation have."""
    present = {key for agent in summary["agents"].values() for key, value in agent.items() if value is not None}
    if not any(agent["privileged"] for agent in summary["agents"].values()):
        present.discard("privileged")
    bound = bound_term(headline)
    known = (*TERMS, *(() if bound is None else (bound,)))
    return [term for term in known if present.intersection(term.keys)]
