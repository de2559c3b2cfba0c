"""What is doubtful about a plan for today: features that no record has, agents of other places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stormgym.agents.policy import Entrant
from stormgym.agents.pretrained import known_pretrained
from stormgym.agents.registry import domain_of
from stormgym.agents.runs import open_run
from stormgym.envs.arrays import Floats
from stormgym.envs.data import City, DataError, resolve_city


def plan_warnings(
    city: City, jobs: Sequence[str], features: Floats, name: str, agent: Entrant, env_id: str
) -> tuple[str, ...]:
    """All of them, one sentence each.

    Args:
        city: the place.
        jobs: J names.
        features: `[J, F]` of theirs, columns as in the city's log.
        name, agent: who plans.
        env_id: of the environment.
    """
    return (*unseen_features(city, jobs, features), *other_city(city, name, agent, env_id))


def unseen_features(city: City, jobs: Sequence[str], features: Floats) -> list[str]:
    """A sentence for each feature of which a job has less or more than all records of the log."""
    log, told = city.log, []
    for name, seen, values in zip(log.feature_names, log.features.T, features.T, strict=True):
        low, high = float(seen.min()), float(seen.max())
        outside = [(job, value) for job, value in zip(jobs, values.tolist(), strict=True) if not low <= value <= high]
        if not outside:
            continue
        job, value = outside[0]
        more = len(outside) - 1
        others = f" ({more} more {'is' if more == 1 else 'are'} outside)" if more else ""
        told.append(
            f"{name} of job {job} is {value:g}{others}; in the city's log it is {low:g} to {high:g}. "
            "The forecast takes the nearest of these; correct the value if it is an error."
        )
    return told


def other_city(city: City, name: str, agent: Entrant, env_id: str) -> list[str]:
    """A sentence where a trained agent knows one other city only."""
    trained_on = agent.trained_on
    if agent.run is not None:
        trained_on = open_run(agent.run).settings.env_kwargs.get("city", "default")
    if not isinstance(trained_on, str) or _names_many(trained_on, env_id) or _name_of(trained_on) == city.name:
        return []
    general = [full for full, card in known_pretrained(env_id).items() if _names_many(card.trained_on.city, env_id)]
    cure = f"{general[0]} is the one for other cities" if general else "a planner needs no training"
    return [f"{name} was trained on city {trained_on} and has never seen {city.name}; {cure}."]


def _names_many(city: str, env_id: str) -> bool:
    many = domain_of(env_id).many
    return many is not None and many.of({many.argument: city}) is not None


def _name_of(city: str) -> str:
    """The name that a city has once it is made; that of its folder where this is not here any more."""
    try:
        return resolve_city(city).name
    except (ValueError, DataError, OSError):
        return Path(city).name
