"""A decision of your own: one call makes it an environment that every command line, method and learner knows."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym

from stormgym.agents.decisions.domain import CALIBRATED, POLICY_NET, SO_EBM, TWO_STAGE, decision_domain
from stormgym.agents.domain import AgentSpec, Domain
from stormgym.agents.general import CLAIRVOYANT
from stormgym.agents.registry import DOMAINS, register_domain
from stormgym.envs.decisions.env import environments_of
from stormgym.envs.decisions.problem import DecisionProblem

WITHOUT_DERIVATIVES = (TWO_STAGE, CALIBRATED, SO_EBM, POLICY_NET, CLAIRVOYANT)
"""Methods that need no more than a cost and a feasible set."""


def register_decision(
    env_id: str,
    problem_class: Callable[..., DecisionProblem],
    *,
    agents: tuple[AgentSpec, ...] = WITHOUT_DERIVATIVES,
    options: tuple[str, ...] = (),
    decimals: int = 3,
) -> Domain:
    """Register a problem as an environment of one step, with its table of methods; calling it again changes nothing.

    Call it where the problem is defined, so that `--env module:Name-v0` does it.

    Args:
        env_id: "Name-v0".
        problem_class: makes the problem, from keyword arguments that JSON can hold (`DecisionProblem`).
        agents: methods beside PPO and SAC. `dfl` and others that need the derivative of a plan need a task of their own
            (`stormgym.agents.decisions.tasks.register_task`).
        options: arguments of the problem that command lines name.
        decimals: of costs in tables.

    Raises:
        ValueError: the id is that of another environment.
    """
    if env_id in DOMAINS:
        return DOMAINS[env_id]
    if env_id in gym.registry:
        raise ValueError(f"{env_id} is registered already, as {gym.registry[env_id].entry_point}; take another id")
    single, vector = environments_of(problem_class, env_id.partition("-")[0])
    gym.register(env_id, entry_point=single, vector_entry_point=vector)
    domain = decision_domain(env_id, agents=agents, options=options, decimals=decimals)
    register_domain(domain)
    return domain
