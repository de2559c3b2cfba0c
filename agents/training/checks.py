"""What a training is checked for before anything is made: names, numbers, sizes, and the table at its end."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from stormgym.agents.devices import check_device
from stormgym.agents.domain import AgentSpec
from stormgym.agents.evaluation.command import MOST_EPISODES, check_runs
from stormgym.agents.evaluation.options import check_env_id
from stormgym.agents.learners.base import Learner
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.model_files import MOST_ENVS
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import AGENTS, agent_spec, domain_of, has_domain, known_agents, plain_id
from stormgym.agents.runs import Run, RunRequest
from stormgym.envs.risk_measure import MEAN, RiskMeasure
from stormgym.envs.spelling import unknown

SIZES = ("batch_size", "buffer_size", "n_steps", "n_epochs", "train_freq", "width", "step_width", "n_layers", "n_heads")
"""Settings of the learners that count something; those a learner lacks are passed over."""
FRACTIONS = {"learning_rate": (math.inf, "at least 0 and finite"), "gamma": (1.0, "from 0 to 1")}
"""Settings of the learners that are a step or a discount: the largest value, and the rule in words."""
MOST_STEPS, LARGEST_SEED = 10**15, 2**32 - 1
"""Bounds of what a run may ask for; its counters are kept exactly up to 2**53, and NumPy takes seeds below 2**32."""


@dataclass(frozen=True)
class FinalTable:
    """The table that ends a run."""

    episodes: int = 0
    """Held-out scenarios; 0 for no table."""
    compare: str | None = None
    """Agents beside the trained one, or "none"; None: all that need no training."""
    trust_pickle: bool = False
    """Open models of runs that an earlier version wrote."""


NO_TABLE = FinalTable()


def choose_agent(env_id: str, agent: str | None) -> AgentSpec:
    """Return the learner's entry in the registry; None takes the environment's default.

    Raises:
        KeyError: an unknown name.
        ValueError: a rule (nothing to train), a learner that does not fit, or no default.
    """
    domain = domain_of(env_id)
    fitting = ", ".join(spec.name for spec in domain.agents if spec.trainable)
    learners = ", ".join(name for name, spec in AGENTS.items() if spec.trainable)
    agent = agent or domain.default_learner
    if agent is None:
        raise ValueError(f"{env_id} has no default agent; name one with --agent: {fitting}")
    spec = domain.agent(agent) or AGENTS.get(agent)
    if spec is None:
        raise KeyError(
            unknown(f"unknown agent {agent!r}", agent, learners.split(", "), f"agents that learn: {learners}")
        )
    if not spec.trainable:
        raise ValueError(
            f"agent {agent!r} is a rule or a planner, or fits its forecast when it is scored, and needs no training: "
            f"python evaluate.py --env {env_id} --agents {agent}. Agents that learn here: {fitting or learners}"
        )
    if domain.agent(agent) is None:
        raise ValueError(f"agent {agent!r} does not fit {env_id}; agents that do: {fitting}")
    return spec


def names_many(env_id: str, env_kwargs: Mapping[str, Any]) -> str | None:
    """The argument of the environment that names many instances to train on; None where one instance is meant."""
    many = domain_of(env_id).many
    return None if many is None or many.of(env_kwargs) is None else many.argument


def makes_table(env_id: str, env_kwargs: Mapping[str, Any], table: FinalTable) -> bool:
    """Whether a run of this environment ends with a table; it needs a domain, and one instance to be scored on."""
    return table.episodes > 0 and has_domain(env_id) and names_many(env_id, env_kwargs) is None


def others_in(table: FinalTable, env_id: str) -> dict[str, Entrant]:
    """The agents beside the trained one in the table."""
    if table.compare == "none":
        return {}
    return resolve_agents(table.compare, env_id, trust_pickle=table.trust_pickle)


def check_table(env_id: str, env_kwargs: Mapping[str, Any], table: FinalTable) -> None:
    """Raise `ValueError` or `KeyError` where the table at the end cannot be made: now, and not after hours."""
    if not 0 <= table.episodes <= MOST_EPISODES:
        least = "at least 0 (no table)" if table.episodes < 0 else f"at most {MOST_EPISODES:,}"
        raise ValueError(f"--final-episodes must be {least}; got {table.episodes}")
    if makes_table(env_id, env_kwargs, table):
        others = others_in(table, env_id)
        if any(entrant.learned for entrant in others.values()):
            check_runs(others, env_id, env_kwargs)


def check_limit(learner: Learner, env_id: str, settings: Any, env_kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError` where every episode has a limit of its own and the learner has one price, or as
    `check_measure`."""
    limit = env_kwargs.get("cost_limit")
    if isinstance(limit, tuple | list) and not learner.any_limit and getattr(settings, "constrained", True):
        able = [name for name in known_agents(env_id, trainable=True) if agent_spec(name).load().any_limit]
        other = f", or take {' or '.join(able)}, which has a price for every limit" if able else ""
        raise ValueError(
            f"{learner.name} learns one price of the gap, which fits one limit; got the range {tuple(limit)}. Give one "
            f"number{other}"
        )
    kind, level = env_kwargs.get("cost_limit_kind", MEAN.kind), env_kwargs.get("cost_limit_level")
    check_measure(learner, env_id, settings, RiskMeasure.of(kind, level))


def check_measure(learner: Learner, env_id: str, settings: Any, measure: RiskMeasure) -> None:
    """Raise `ValueError` where the limit is on the tail of the cost and the learner prices its mean."""
    if not measure.is_mean and not learner.any_measure and getattr(settings, "constrained", True):
        able = [name for name in known_agents(env_id, trainable=True) if agent_spec(name).load().any_measure]
        other = f", or take {' or '.join(able)}" if able else ""
        raise ValueError(
            f"{learner.name} learns under limits on the mean of the cost; got cost_limit_kind {measure.kind!r}. Leave "
            f"it out{other}"
        )


def check_one(learner: Learner, env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError` where many instances are named and the learner takes one."""
    argument = names_many(env_id, env_kwargs)
    if argument is None or learner.many_cities:
        return
    fitting = [name for name in known_agents(env_id, trainable=True) if agent_spec(name).load().many_cities]
    raise ValueError(
        f"agent {learner.name!r} fits one {argument}, and {env_kwargs[argument]!r} names many; name one {argument}, or "
        f"train {' or '.join(fitting)}"
    )


def check_registered(run: Run, env_id: str | None) -> None:
    """Raise `ValueError` unless the run's environment is known already: what its settings name is not imported."""
    if env_id is not None and plain_id(check_env_id(env_id)) != run.env_id:
        raise ValueError(f"run {str(run.folder)!r} was trained on {run.settings.env_id}, not {env_id}; leave out --env")
    if run.env_id not in gym.registry:
        raise ValueError(
            f"run {str(run.folder)!r} was trained on {run.settings.env_id}, which is not registered, and a module that "
            f"a file names is not imported; if you trust it, name it yourself: --env {shlex.quote(run.settings.env_id)}"
        )


def check_numbers(request: RunRequest, device: str = "--device", cure: str = "take cpu or auto") -> None:
    """Raise `ValueError` for numbers out of range, and for a device that torch lacks (words as for `check_device`)."""
    numbers = {
        "--num-envs": request.num_envs,
        "--eval-freq": request.eval_freq,
        "--eval-episodes": request.eval_episodes,
        "--checkpoint-freq": request.checkpoint_freq,
        "--torch-threads": request.torch_threads,
    }
    for option, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{option} must be at least 1; got {value}")
    bounds = {
        "--num-envs": (request.num_envs, MOST_ENVS),
        "--eval-episodes": (request.eval_episodes, MOST_EPISODES),
        "--seed": (request.seed, LARGEST_SEED),
    }
    for option, (value, most) in bounds.items():
        if value is not None and value > most:
            raise ValueError(f"{option} must be at most {most:,}; got {value}")
    if request.timesteps is not None:
        check_steps(request.timesteps)
    if request.seed < 0:
        raise ValueError(f"--seed must be at least 0; got {request.seed}")
    check_device(request.device, device, cure)


def check_steps(timesteps: int) -> None:
    """Raise `ValueError` for a budget out of range."""
    if not 1 <= timesteps <= MOST_STEPS:
        least = "at least 1" if timesteps < 1 else f"at most {MOST_STEPS:,}"
        raise ValueError(f"--timesteps must be {least}; got {timesteps}")


def check_sizes(learner: Learner, settings: Any) -> None:
    """Raise `ValueError` for a size of the learner that is not at least 1, and for a step or discount out of range."""
    for name in SIZES:
        size = getattr(settings, name, None)
        if size is not None and size < 1:
            raise ValueError(f"--{learner.name}.{name.replace('_', '-')} must be at least 1; got {size}")
    for name, (high, rule) in FRACTIONS.items():
        value = getattr(settings, name, None)
        if isinstance(value, int | float) and not (0 <= value <= high and math.isfinite(value)):
            raise ValueError(f"--{learner.name}.{name.replace('_', '-')} must be {rule}; got {value}")
