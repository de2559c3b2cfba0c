"""Checkpoints: a run that stopped goes on exactly."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from rich.console import Console

import stormgym  # noqa: F401
from stormgym.agents.registry import known_agents
from stormgym.agents.runs import RunSettings, create_run, open_run
from stormgym.agents.training import command
from stormgym.agents.training.command import Training
from stormgym.agents.usage import UsageError

ROOT = Path(__file__).resolve().parents[3]
ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
OWN_LIMITS: dict[str, Any] = {**ENV_KWARGS, "cost_limit": [2.0, 20.0]}
MANY_CITIES: dict[str, Any] = {**OWN_LIMITS, "city": "synthetic:5-8:1:3"}
LEARNERS = sorted({*known_agents("Restoration-v0", trainable=True)} - {"sta-sac-paper"})  # which is sta-sac


@pytest.mark.parametrize(
    ("agent", "env_kwargs"),
    [*((agent, ENV_KWARGS) for agent in LEARNERS), ("sta-sac", MANY_CITIES), ("sta-sac", OWN_LIMITS)],
    ids=[*LEARNERS, "sta-sac-many-cities", "sta-sac-own-limits"],
)
def test_run__resumed_goes_on_exactly_as_if_it_had_not_stopped(
    agent: str, env_kwargs: dict[str, Any], tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    resumes_exactly(begin(tmp_path, console, agent, env_kwargs=env_kwargs), tmp_path / "copy", console)


@pytest.mark.parametrize("agent", ["ppo", "sac"])
def test_run__of_decisions_resumed_goes_on_exactly_too(
    agent: str, newsvendor: ModuleType, tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, agent, env_id=f"newsvendor:{newsvendor.ENV_ID}", env_kwargs={})
    resumes_exactly(training, tmp_path / "copy", console)


def resumes_exactly(training: Training, copy: Path, console: Console) -> None:
    """Train a run of two checkpoints; the copy of its folder that resumes from the first one must end the same."""
    run, through = training.run, training.model
    command.train(training, console, progress=False)
    shutil.copytree(run.folder, copy)
    kept = sorted((copy / "checkpoints").iterdir(), key=lambda p: int(p.name))
    assert len(kept) == 2
    shutil.rmtree(kept[-1])
    again = command.resume(copy, None, console=console)
    resumed = again.model
    assert 0 < resumed.num_timesteps < through.num_timesteps
    command.train(again, console, progress=False)
    assert resumed.num_timesteps == through.num_timesteps
    for key, value in through.policy.state_dict().items():
        assert torch.equal(value, resumed.policy.state_dict()[key]), key
    assert multiplier_of(resumed) == multiplier_of(through)
    for name in ("best/score.json", "settings.json"):
        assert (copy / name).read_text() == (run.folder / name).read_text()
    rows, more = (list(csv.DictReader((f / "progress.csv").open())) for f in (run.folder, copy))
    assert [row["time/total_timesteps"] for row in rows] == [row["time/total_timesteps"] for row in more]
    assert [row["eval/return"] for row in rows] == [row["eval/return"] for row in more]
    assert again.run.settings == open_run(run.folder).settings
    glossary = (ROOT / "docs" / "metrics.md").read_text()
    groups = {part.split("/")[0]: part for part in glossary.split("\n## ")}
    for column in rows[0]:
        group, name = column.split("/")
        assert f"`{name}`" in groups[group], f"docs/metrics.md lacks {column}"


def multiplier_of(model: Any) -> float | None:
    if not (hasattr(model, "multiplier") or hasattr(model, "multiplier_state")):
        return None  # nothing is limited
    if hasattr(model, "multiplier"):
        return float(model.multiplier.value)
    return float(model.multiplier_state["lambda"]["raw"])


def test_resume__without_checkpoint_or_with_nothing_left_is_an_error(
    tmp_path: Path, console: Console, begin: Callable[..., Training], settings_for: Callable[..., RunSettings]
) -> None:
    run = create_run(tmp_path, settings_for())
    with pytest.raises(UsageError, match="no checkpoint to resume from"):
        command.resume(run.folder, None, console=console)
    training = begin(tmp_path, console)
    run = training.run
    command.train(training, console, progress=False)
    with pytest.raises(UsageError, match="has reached its 1,024 steps"):
        command.resume(run.folder, None, console=console)
    longer = command.resume(run.folder, 1300, console=console)
    command.train(longer, console, progress=False)
    assert longer.model.num_timesteps >= 1300
    assert open_run(run.folder).settings.timesteps == longer.run.settings.timesteps == 1300
