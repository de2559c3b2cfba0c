"""Agents of one name in several environments, such as `nearest`: each domain has its own (`Domain.own`)."""

from __future__ import annotations

from typing import Any

from stormgym.agents.binding import base_envs
from stormgym.agents.domain import Domain, load_entry
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import DOMAINS, domain_of_env
from stormgym.envs.core import Core
from stormgym.envs.making import spec_of


def domain_behind(env: Any, able: list[Domain]) -> Domain:
    """The domain of an environment; one that was made without an id is known by its core, among those that are `able`.

    Raises:
        TypeError: no environment of a domain.
    """
    domain = domain_of_env(env)
    if domain.env_id not in DOMAINS:
        core = base_envs(env, "core", Core, " or ".join(known.env_id for known in able))[0].core
        domain = next((known for known in able if isinstance(core, _core_class(known.env_id))), domain)
    return domain


def _core_class(env_id: str) -> type[Core]:
    """The core of an environment's single form."""
    entry: Any = spec_of(env_id).entry_point
    core_class: type[Core] = (load_entry(entry) if isinstance(entry, str) else entry).core_class
    return core_class


class OfDomain(BasePolicy):
    """Base of agents of one name; `for_env` gives the domain's own.

    Idea, cost, source: the domain's own.
    """

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> BasePolicy:
        """The domain's own policy of this name, bound to `env`.

        Raises:
            TypeError: no environment of a domain, for policies that need to know theirs.
            ValueError: its domain has none of this name.
        """
        able = [known for known in DOMAINS.values() if cls.name in known.own]
        try:
            domain = domain_behind(env, able)
        except TypeError:  # another kind of environment: the first one's own says what it needs
            domain = able[0]
        if cls.name not in domain.own:
            known = ", ".join(known.env_id for known in able)
            raise ValueError(f"{domain.env_id} has no agent {cls.name!r} of its own; environments that do: {known}")
        policy: BasePolicy = load_entry(domain.own[cls.name]).for_env(env, **kwargs)
        return policy


class Nearest(OfDomain):
    """What is nearest first.

    Idea: save the way. Cost: none. Source: none needed.
    """

    name = "nearest"


class RequestVolume(OfDomain):
    """Who asks most first.

    Idea: the status quo. Cost: none. Source: EPOPR, section 5.
    """

    name = "request-volume"


class ShortestRepair(OfDomain):
    """What is mended soonest first.

    Idea: shortest processing time first. Cost: none. Source: Smith (1956), without weights and ways.
    """

    name = "shortest-repair"


class ClairvoyantFair(OfDomain):
    """Reference with perfect information that keeps the limit in every episode.

    Idea: the limit asks for the mean only; keeping it always is more than needed. Cost: the domain's own. Source:
    EPOPR's problem (eq. 13, 14).
    """

    name = "clairvoyant-fair"
    privileged = True
