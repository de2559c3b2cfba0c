"""`clairvoyant`, one name for the policy with perfect information of whichever environment is played."""

from __future__ import annotations

from typing import Any

from stormgym.agents.binding import base_envs
from stormgym.agents.domain import load_entry
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import DOMAINS, domain_of_env
from stormgym.envs.core import Core
from stormgym.envs.making import spec_of


class ClairvoyantOfDomain(BasePolicy):
    """Reference with perfect information: what could have been had by who knows what comes.

    Idea: the domain's own (`Domain.clairvoyant`). Cost: the domain's. Source: none needed.
    """

    name = "clairvoyant"
    privileged = True

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> BasePolicy:
        """The domain's own policy, bound to `env`.

        An environment that was made without an id is known by its core.

        Raises:
            TypeError: no environment of a domain.
            ValueError: its domain names none.
        """
        domain = domain_of_env(env)
        if domain.env_id not in DOMAINS:
            able = [known for known in DOMAINS.values() if known.clairvoyant is not None]
            core = base_envs(env, "core", Core, " or ".join(known.env_id for known in able))[0].core
            domain = next((known for known in able if isinstance(core, _core_class(known.env_id))), domain)
        if domain.clairvoyant is None:
            raise ValueError(f"{domain.env_id} has no clairvoyant policy: its Domain names none")
        policy: BasePolicy = load_entry(domain.clairvoyant).for_env(env, **kwargs)
        return policy


def _core_class(env_id: str) -> type[Core]:
    """The core of an environment's single form."""
    entry: Any = spec_of(env_id).entry_point
    core_class: type[Core] = (load_entry(entry) if isinstance(entry, str) else entry).core_class
    return core_class
