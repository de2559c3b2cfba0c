"""A decision of your own: its environments and the record from which every command line, method and learner knows it.

register_domain(own_decision("FuelOrder-v0", FuelOrder))
"""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym

from stormgym.agents.decisions.domain import CALIBRATED, POLICY_NET, SO_EBM, TWO_STAGE, decision_domain
from stormgym.agents.domain import AgentSpec, Domain
from stormgym.agents.general import CLAIRVOYANT
from stormgym.envs.decisions.env import environments_of
from stormgym.envs.decisions.problem import DecisionProblem

WITHOUT_DERIVATIVES = (TWO_STAGE, CALIBRATED, SO_EBM, POLICY_NET, CLAIRVOYANT)
"""Methods that need no more than a cost and a feasible set."""


def own_decision(
    env_id: str,
    problem_class: Callable[..., DecisionProblem],
    *,
    agents: tuple[AgentSpec, ...] = WITHOUT_DERIVATIVES,
    options: tuple[str, ...] = (),
    decimals: int = 3,
) -> Domain:
    """Register a problem with Gymnasium as an environment of one step, and return its record with a table of methods.

    Give the record to `stormgym.agents.registry.register_domain` where the problem is defined, so that
    `--env module:Name-v0` does both. Doing so again changes nothing.

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
    if env_id not in gym.registry:
        single, vector = environments_of(problem_class, env_id.partition("-")[0])
        gym.register(env_id, entry_point=single, vector_entry_point=vector)
    elif getattr(gym.registry[env_id].entry_point, "problem_class", None) is not problem_class:
        raise ValueError(f"{env_id} is registered already, as {gym.registry[env_id].entry_point}; take another id")
    return decision_domain(env_id, agents=agents, options=options, decimals=decimals)
