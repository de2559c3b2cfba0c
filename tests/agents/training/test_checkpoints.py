"""Checkpoints: a run that stopped goes on exactly."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

import stormgym  # noqa: F401
from stormgym.agents.registry import DOMAINS, known_agents
from stormgym.agents.runs import RunSettings, create_run, open_run
from stormgym.agents.training import checkpoints, command
from stormgym.agents.training.command import Training
from stormgym.agents.usage import UsageError

ROOT = Path(__file__).resolve().parents[3]
ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
OWN_LIMITS: dict[str, Any] = {**ENV_KWARGS, "cost_limit": [2.0, 20.0]}
TAIL_OF_EACH: dict[str, Any] = {**OWN_LIMITS, "cost_limit_kind": "cvar", "cost_limit_level": 0.8}
MANY_CITIES: dict[str, Any] = {**OWN_LIMITS, "city": "synthetic:5-8:1:3"}
NARROW = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8, "buffer_size": 300}
PLANNED = {"teacher": "equity-planner", "teacher_steps": 84, "gradient_steps": 1, **NARROW}
CLOCKS = ("start_time", "_num_timesteps_at_start")
LEARNERS = sorted({*known_agents("Restoration-v0", trainable=True)} - {"sta-sac-paper"})  # which is sta-sac


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "env_kwargs"),
    [
        *((agent, ENV_KWARGS) for agent in LEARNERS),
        *(("sta-sac", kwargs) for kwargs in (MANY_CITIES, OWN_LIMITS, TAIL_OF_EACH)),
    ],
    ids=[*LEARNERS, *(f"sta-sac-{what}" for what in ("many-cities", "own-limits", "tail-of-each-limit"))],
)
def test_run__resumed_goes_on_exactly_as_if_it_had_not_stopped(
    agent: str, env_kwargs: dict[str, Any], tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    resumes_exactly(begin(tmp_path, console, agent, env_kwargs=env_kwargs), tmp_path / "copy", console)


def test_run__whose_teacher_plans_resumed_in_its_time_goes_on_exactly_too(
    tmp_path: Path, console: Console, begin: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(DOMAINS["Restoration-v0"], teacher_arguments={"iterations": 20})
    monkeypatch.setitem(DOMAINS, "Restoration-v0", quick)
    monkeypatch.setattr(checkpoints, "KEPT", 3)
    training = begin(tmp_path, console, "sta-sac", learner=PLANNED, num_envs=4, timesteps=168, checkpoint_freq=56)
    resumes_exactly(training, tmp_path / "copy", console, n_checkpoints=3)
    assert training.model.teacher.until == 84  # the first checkpoint is at step 56


@pytest.mark.parametrize("agent", ["ppo", "sac"])
def test_run__of_decisions_resumed_goes_on_exactly_too(
    agent: str, newsvendor: ModuleType, tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, agent, env_id=f"newsvendor:{newsvendor.ENV_ID}", env_kwargs={})
    resumes_exactly(training, tmp_path / "copy", console)


@pytest.mark.slow
def test_run__whose_actions_have_parts_resumed_goes_on_exactly_too(
    tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(
        tmp_path,
        console,
        "sta-sac",
        env_id="GeneratorDispatch-v0",
        env_kwargs={"profile": "synthetic:3:0", "generators": 4},
        learner={"teacher": "online-greedy", "teacher_steps": 30, "n_rollouts": 3, "gradient_steps": 1, **NARROW},
        num_envs=4,
        timesteps=128,
        eval_freq=64,
        checkpoint_freq=64,
    )
    resumes_exactly(training, tmp_path / "copy", console)


def resumes_exactly(training: Training, copy: Path, console: Console, n_checkpoints: int = 2) -> None:
    """Train a run of some checkpoints; the copy of its folder that resumes from the first one must end the same."""
    run, through = training.run, training.model
    command.train(training, console, progress=False)
    shutil.copytree(run.folder, copy)
    kept = sorted((copy / "checkpoints").iterdir(), key=lambda p: int(p.name))
    assert len(kept) == n_checkpoints
    for later in kept[1:]:
        shutil.rmtree(later)
    again = command.resume(copy, None, console=console)
    resumed = again.model
    assert 0 < resumed.num_timesteps < through.num_timesteps
    command.train(again, console, progress=False)
    assert resumed.num_timesteps == through.num_timesteps
    for key, value in through.policy.state_dict().items():
        assert torch.equal(value, resumed.policy.state_dict()[key]), key
    assert multiplier_of(resumed) == multiplier_of(through)
    if hasattr(through, "multiplier"):  # the threshold of a tail with it
        assert_same(dict(through.multiplier.state_dict()), dict(resumed.multiplier.state_dict()), "multiplier")
    for key, value in plain_parts(through).items():
        assert_same(value, plain_parts(resumed)[key], key)
    for name in ("best/score.json", "settings.json"):
        assert (copy / name).read_text() == (run.folder / name).read_text()
    rows, more = (list(csv.DictReader((f / "progress.csv").open())) for f in (run.folder, copy))
    assert [row["time/total_timesteps"] for row in rows] == [row["time/total_timesteps"] for row in more]
    for name in ("eval/return", *(name for name in rows[0] if name.startswith("practice/"))):
        assert [row[name] for row in rows] == [row[name] for row in more], name
    assert again.run.settings == open_run(run.folder).settings
    glossary = (ROOT / "docs" / "metrics.md").read_text()
    groups = {part.split("/")[0]: part for part in glossary.split("\n## ")}
    for column in rows[0]:
        group, name = column.split("/")
        assert f"`{name}`" in groups[group], f"docs/metrics.md lacks {column}"


def plain_parts(model: Any) -> dict[str, Any]:
    """All numbers, words and arrays of a model and its buffer, so that no part of its state is forgotten."""
    parts = {key: value for key, value in vars(model).items() if key not in CLOCKS}
    buffer = getattr(model, "replay_buffer", None)
    for name, store in (("buffer", buffer), ("store", getattr(buffer, "_store", None))):
        parts |= {} if store is None else {f"{name}.{key}": value for key, value in vars(store).items()}
    if buffer is not None and model.action_space.np_random is not None:
        parts["drawn"] = model.action_space.np_random.bit_generator.state
    plain = (int, float, str, bool, np.ndarray, dict, list, tuple, deque, type(None))
    return {key: value for key, value in parts.items() if isinstance(value, plain)}


def assert_same(first: Any, second: Any, what: str) -> None:
    assert type(first) is type(second), what
    if isinstance(first, dict):
        assert set(first) == set(second), what
        for key in first:
            if not what.endswith("ep_info_buffer") or key != "t":  # a clock
                assert_same(first[key], second[key], f"{what}/{key}")
    elif isinstance(first, list | tuple | deque):
        assert len(first) == len(second), what
        for one, two in zip(first, second, strict=True):
            assert_same(one, two, what)
    elif isinstance(first, np.ndarray | torch.Tensor):
        np.testing.assert_array_equal(
            np.asarray(first.detach() if torch.is_tensor(first) else first),
            second.detach() if torch.is_tensor(second) else second,
            what,
        )
    elif isinstance(first, int | float | str | type(None)):
        assert first == second, what


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
    with pytest.raises(UsageError, match="has reached its 256 steps"):
        command.resume(run.folder, None, console=console)
    longer = command.resume(run.folder, 300, console=console)
    command.train(longer, console, progress=False)
    assert longer.model.num_timesteps >= 300
    assert open_run(run.folder).settings.timesteps == longer.run.settings.timesteps == 300


def test_run__of_environments_without_a_core_goes_on_with_new_episodes_and_says_so(
    tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, "ppo", env_id="CartPole-v1", env_kwargs={}, timesteps=256, checkpoint_freq=256)
    first = training.venv.reset()
    command.train(training, console, progress=False)
    told = Console(file=io.StringIO(), width=400)
    again = command.resume(training.run.folder, 400, console=told)
    assert "Note: the environments begin new episodes" in told.file.getvalue()  # type: ignore[attr-defined]
    assert again.model.num_timesteps == training.model.num_timesteps
    assert not np.array_equal(again.venv.reset(), first)
    again.venv.seed(1)
    command.train(again, console, progress=False)
    assert again.model.num_timesteps >= 400


def test_run__of_another_package_is_resumed_where_its_module_is_named(
    newsvendor: ModuleType,
    tmp_path: Path,
    console: Console,
    begin: Callable[..., Training],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env_id = f"newsvendor:{newsvendor.ENV_ID}"
    training = begin(tmp_path, console, "ppo", env_id=env_id, env_kwargs={}, timesteps=128, eval_freq=512)
    command.train(training, console, progress=False)
    folder = training.run.folder
    assert command.resume_command(training.run) == f"python train.py --resume {folder} --env {env_id}"
    monkeypatch.delitem(gym.registry, newsvendor.ENV_ID)
    monkeypatch.delitem(sys.modules, "newsvendor")
    with pytest.raises(UsageError, match=f"is not registered, .* if you trust it, name it yourself: --env {env_id}"):
        command.resume(folder, 200, console=console)
    assert "newsvendor" not in sys.modules
    with pytest.raises(UsageError, match=f"was trained on {env_id}, not CartPole-v1; leave out --env"):
        command.resume(folder, 200, env_id="CartPole-v1", console=console)
    again = command.resume(folder, 200, env_id=env_id, console=console)
    command.train(again, console, progress=False)
    assert again.model.num_timesteps >= 200


@pytest.mark.parametrize("name", ["model", "state", "replay_buffer"])
def test_checkpoint__that_lacks_a_file_says_so(
    name: str, tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, "dqn", timesteps=128)
    command.train(training, console, progress=False)
    folder = training.run.last_checkpoint()
    assert folder is not None
    (folder / f"{name}.safetensors").unlink()
    reason = f"lacks {name}.safetensors" if name != "model" else "has no checkpoint to resume from"
    with pytest.raises(UsageError, match=reason):
        command.resume(training.run.folder, 300, console=console)
