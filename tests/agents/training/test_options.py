"""Options of learners on a command line: whose are there, and which of them are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

import pytest

from stormgym.agents.domain import load_entry
from stormgym.agents.registry import AGENTS, DOMAINS
from stormgym.agents.runs import RunRequest
from stormgym.agents.training.command import complete
from stormgym.agents.training.options import field_name, settings_asked, with_learners


@dataclass(frozen=True, kw_only=True)
class Words:
    """A command line's options, without those of environments and learners."""

    env: str = "Restoration-v0"
    agent: str | None = None


PLAIN = ("--env", "Restoration-v0")
LEARNERS = [name for name, spec in AGENTS.items() if spec.settings is not None]


def added(*words: str) -> set[str]:
    """Fields of learners that a command line has."""
    return {f.name for f in fields(with_learners(Words, [*PLAIN, *words]))} & {field_name(name) for name in LEARNERS}


def test_options__of_every_learner_are_read() -> None:
    assert added() == {field_name(name) for name in LEARNERS}
    assert {name for name, spec in AGENTS.items() if spec.trainable} == set(LEARNERS)
    assert field_name("sta-sac-paper") == "sta_sac_paper"


def test_options__in_help_are_those_of_the_agent_that_is_asked_for() -> None:
    assert added("--help") == set()
    assert added("--agent", "sta-sac", "--help") == {"sta_sac"}
    assert added("--agent=maskable-ppo", "-h") == {"maskable_ppo"}
    assert added("--agent", "nearest", "--help") == set()


@pytest.mark.parametrize("name", LEARNERS)
def test_options__default_to_the_settings_of_the_learner(name: str) -> None:
    kind = load_entry(AGENTS[name].settings or "")
    assert is_dataclass(kind)
    command_line: Any = with_learners(Words, PLAIN)()
    assert settings_asked(command_line, name) == kind() == AGENTS[name].load().settings()


def test_settings__are_those_of_the_agent_and_no_others_may_be_set() -> None:
    command_line: Any = with_learners(Words, PLAIN)()
    wide = replace(command_line.ppo, width=32)
    assert settings_asked(replace(command_line, ppo=wide), "ppo").width == 32
    with pytest.raises(ValueError, match=r"options of --ppo\.\* are set, but the agent is dqn; leave them out"):
        settings_asked(replace(command_line, ppo=wide), "dqn")
    assert settings_asked(replace(command_line, ppo=replace(wide, width=command_line.ppo.width)), "dqn")


def test_options__keep_what_the_command_line_has_of_its_own() -> None:
    made: Any = with_learners(Words, ["--env", "GeneratorDispatch-v0"])(agent="ppo")
    assert (made.env, made.agent) == ("Restoration-v0", "ppo")
    assert made.environment.env_kwargs() == {}
    assert "A command line's options" in (type(made).__doc__ or "")


@pytest.mark.parametrize(
    ("env_id", "name"), [(env_id, name) for env_id, domain in DOMAINS.items() for name in domain.learner_defaults]
)
def test_options__default_to_what_the_environment_wants_of_a_learner(env_id: str, name: str) -> None:
    own = DOMAINS[env_id].defaults_of(name)
    learner = AGENTS[name].load()
    assert own.settings
    command_line: Any = with_learners(Words, ("--env", env_id))()
    assert settings_asked(command_line, name) == learner.settings(**own.settings) != learner.settings()
    assert settings_asked(command_line, "ppo") == AGENTS["ppo"].load().settings()  # the other's are not taken for set
    run = complete(RunRequest(env_id=env_id, agent=name, learner={"width": 32}))[2]
    assert run.learner == {**asdict(learner.settings(**own.settings)), "width": 32}
    assert run.timesteps == (own.timesteps or learner.default_timesteps)
    asked = complete(RunRequest(env_id=env_id, agent=name, timesteps=2_000, num_envs=8))[2]
    assert (asked.timesteps, asked.num_envs) == (2_000, 8)
