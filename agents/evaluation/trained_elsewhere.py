"""Whether a trained agent is asked to plan for a city that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stormgym.agents.domain import Domain
from stormgym.agents.policy import Entrant
from stormgym.agents.pretrained import known_pretrained
from stormgym.agents.runs import open_run
from stormgym.envs.data import DataError, resolve_city


def trained_elsewhere(name: str, agent: Entrant, domain: Domain, env_kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence where an agent was trained on one other city; none for agents that know many, or that do not learn.

    Args:
        name, agent: who plans.
        domain: of the environment; one without cities tells nothing.
        env_kwargs: of the environment.
    """
    if "city" not in domain.options:
        return ()
    trained_on = agent.trained_on
    if agent.run is not None:
        trained_on = open_run(agent.run).settings.env_kwargs.get("city", "default")
    place = env_kwargs.get("city", "default")
    if not isinstance(trained_on, str) or trained_on == place or _names_many(trained_on, domain):
        return ()
    here = _name_of(place)
    if _name_of(trained_on) == here:
        return ()
    cards = known_pretrained(domain.env_id).items()
    general = [full for full, card in cards if _names_many(card.trained_on.instance, domain)]
    one = "is the one" if len(general) == 1 else "are those"
    cure = f"{' and '.join(general)} {one} for other cities" if general else f"{domain.plan_agent} needs no training"
    return (f"{name} was trained on city {trained_on} and has never seen {here}; {cure}.",)


def _names_many(city: str, domain: Domain) -> bool:
    return domain.many is not None and domain.many.of({domain.many.argument: city}) is not None


def _name_of(city: Any) -> str:
    """The name that a city has once it is made; that of its folder where this is not here any more."""
    try:
        return resolve_city(city).name
    except (ValueError, DataError, OSError):
        return Path(str(city)).name
