"""`AGENT:NAME@K`: a trained agent that looks ahead, as the domain of whichever environment is played has it."""

from __future__ import annotations

from typing import Any

from stormgym.agents.domain import load_entry
from stormgym.agents.of_domain import domain_behind
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import DOMAINS


def look_ahead(policy: Any, env: Any, **kwargs: Any) -> BasePolicy:
    """Make a trained agent look ahead in `env`, the domain's own way (`Domain.look_ahead`).

    Args:
        policy: a trained agent: pretrained or of a run.
        env: the environment that it will play.
        **kwargs: of the domain's function; `n_orders` is the K of `@K`, `search_iterations` the MOVES of `@K:MOVES`,
            and `price="past"` the `past` of `@K:MOVES:past`.

    Raises:
        TypeError: no environment of a domain.
        ValueError: its domain has no look-ahead, or no local search in it, or the agent's network is not one for it.
    """
    able = [known for known in DOMAINS.values() if known.look_ahead is not None]
    domain = domain_behind(env, able)
    if domain.look_ahead is None:
        known = ", ".join(known.env_id for known in able)
        raise ValueError(f"agents cannot look ahead in {domain.env_id}; environments in which they can: {known}")
    if not domain.look_ahead_moves and (moves := kwargs.pop("search_iterations", 0)):
        raise ValueError(
            f"looking ahead in {domain.env_id} ends in no local search; take @K without moves, not @K:{moves}"
        )
    ahead: BasePolicy = load_entry(domain.look_ahead)(policy, env, **kwargs)
    return ahead
