"""Training seeds of benchmarks: what `train.py` is told for one, and how a trained one is known again.

`stormgym.agents.training.pool` trains them, found, resumed or begun, side by side.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stormgym.agents.registry import agent_spec, domain_of
from stormgym.agents.training.command import env_options
from stormgym.agents.training.pool import TrainingJob


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the seeds of one learner are trained."""

    env_id: str
    agent: str
    timesteps: int
    """Environment steps of each seed."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the environment that differ from its defaults."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the learner that differ from its defaults (`--AGENT.NAME` of train.py)."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Further options of train.py, such as num_envs."""

    def options(self) -> list[str]:
        """Options of train.py, but for the environment's, seed and folders."""
        words = ["--env", self.env_id, "--agent", self.agent, "--timesteps", str(self.timesteps)]
        for name, value in self.run.items():
            words += _option(f"--{name}", value)
        for name, value in self.train.items():
            words += _option(f"--{self.agent}.{name}", value)
        return words

    def settings_today(self) -> dict[str, Any]:
        """All settings of the learner, as JSON gives them back, with those that are left at their default."""
        own = domain_of(self.env_id).defaults_of(self.agent).settings
        settings = agent_spec(self.agent).load().settings(**{**own, **self.train})
        found: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
        return found

    def job(self, name: str, folder: Path, seed: int) -> TrainingJob:
        """One seed's run.

        Args:
            name: how messages call it.
            folder: the seed's own: its run, log and times are kept there.
            seed: the training seed.
        """
        today = self.settings_today()
        return TrainingJob(
            name=name,
            env_id=self.env_id,
            agent=self.agent,
            seed=seed,
            timesteps=self.timesteps,
            options=[*self.options(), *shlex.split(env_options(self.env)), "--seed", str(seed)],
            runs_dir=folder,
            folder=folder,
            is_own=lambda settings: not changed_settings(settings.learner, today),
            drop_buffers=True,
        )


def _option(name: str, value: Any) -> list[str]:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        head, dot, tail = name.rpartition(".")
        return [name] if value else [f"{head}.no-{tail}" if dot else f"--no-{name[2:]}"]
    if isinstance(value, (list, tuple)):
        return [name, *map(str, value)]
    return [name, str(value)]


def changed_settings(stored: Mapping[str, Any], today: Mapping[str, Any]) -> list[str]:
    """Names that both sets of settings have, with different values: options added later change no old run."""
    return sorted(name for name in stored.keys() & today.keys() if stored[name] != today[name])
