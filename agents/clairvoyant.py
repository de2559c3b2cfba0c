"""`clairvoyant`, one name for the policy with perfect information of whichever environment is played."""

from __future__ import annotations

from typing import Any

from stormgym.agents.domain import load_entry
from stormgym.agents.of_domain import domain_behind
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import DOMAINS


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
        domain = domain_behind(env, [known for known in DOMAINS.values() if known.clairvoyant is not None])
        if domain.clairvoyant is None:
            raise ValueError(f"{domain.env_id} has no clairvoyant policy: its Domain names none")
        policy: BasePolicy = load_entry(domain.clairvoyant).for_env(env, **kwargs)
        return policy
