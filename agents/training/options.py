"""Options of learners on a command line: one group a learner, made of the dataclass of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, field, fields
from functools import partial
from typing import Any

from stormgym.agents.domain import load_entry
from stormgym.agents.evaluation.options import asks_for_help, extended, with_options, word_behind
from stormgym.agents.registry import AGENTS, domain_of


def field_name(agent: str) -> str:
    """The field of a command line's dataclass that holds an agent's settings: `--sta-sac.width` is `sta_sac.width`."""
    return agent.replace("-", "_")


def with_learners(settings: type[Any], words: Sequence[str]) -> type[Any]:
    """A command line's dataclass with the options of environments (`with_options`) and of learners.

    A learner's defaults are those of the environment that is asked for (`Domain.learner_defaults`).

    Help shows those of the agent that is asked for; 500 lines on all of them at once are no help. Otherwise every
    learner's are read, so that options of another learner than the one that trains get an error that says so.

    Args:
        settings: the dataclass.
        words: the command line.
    """
    base = with_options(settings, words)  # first: the module of an environment's prefix may bring learners
    asked = word_behind("--agent", words)
    if asks_for_help(words) and asked is not None and asked not in AGENTS:
        learners = ", ".join(spec.name for spec in AGENTS.values() if spec.trainable)
        raise KeyError(f"unknown agent {asked!r}; agents that learn: {learners}")
    env_id = word_behind("--env", words)
    domain = domain_of(str(next(f.default for f in fields(base) if f.name == "env")) if env_id is None else env_id)
    added: list[Any] = []
    for spec in AGENTS.values():
        if spec.settings is None or (asks_for_help(words) and spec.name != asked):
            continue
        kind = load_entry(spec.settings)
        default = partial(kind, **domain.defaults_of(spec.name).settings)
        added.append((field_name(spec.name), kind, field(default_factory=default)))
    return extended(base, added)


def settings_asked(settings: Any, agent: str) -> Any:
    """The settings of the learner that trains, out of a command line's.

    Raises:
        ValueError: options of another learner are set, which nothing would read.
    """
    names = {field_name(name): name for name, spec in AGENTS.items() if spec.settings is not None}
    for f in fields(settings):
        other = names.get(f.name)
        if other in (None, agent) or f.default_factory is MISSING:
            continue
        if getattr(settings, f.name) != f.default_factory():
            raise ValueError(f"options of --{other}.* are set, but the agent is {agent}; leave them out")
    return getattr(settings, field_name(agent))
