"""The order of a table, checked before anything is played for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stormgym.agents.domain import Headline
from stormgym.agents.evaluation.report import figures_of, sorted_agents
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import AGENTS, domain_of


def check_sort(sort: str | None, entrants: Mapping[str, Entrant], env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Raise `KeyError` where no agent will have the figure that a table is to be sorted by.

    Which figures there are is known when an episode has ended. So one agent of the registry plays one, and for figures
    of their own (`episode_metrics`) those that are not of the registry; as few as are needed to find the figure.
    """
    headline = domain_of(env_id).headline
    if sort is None or sort in _known_ahead(headline, entrants):
        return
    registered = [name for name in entrants if name in AGENTS]
    seen: dict[str, Any] = {}
    for name in (*registered[:1], *(name for name in entrants if name not in AGENTS)):
        played = evaluate(env_id, {name: entrants[name]}, episodes=1, env_kwargs=env_kwargs, latency_episodes=1)
        summary = summarise(played)
        if sort in figures_of(summary):
            return
        seen = {**summary, "agents": {**seen.get("agents", {}), **summary["agents"]}}
    sorted_agents(seen, sort)


def _known_ahead(headline: Headline, entrants: Mapping[str, Entrant]) -> set[str]:
    """Orders that need no look: of the leading figures every episode tells."""
    bound = {headline.excess_key} if headline.bound in entrants else set()
    leading = {column.key for column in headline.leading}
    return {"given", "name", headline.tail.key, headline.worst.key} | leading | bound
