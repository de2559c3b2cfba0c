"""Learners on a GPU, where there is one: they train there, go on there, and what they learnt acts on any device."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.restoration.table.rows import Row, small
from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.registry import agent_spec, known_agents
from stormgym.agents.runs import load_policy, open_run
from stormgym.agents.training.pool import Trainer
from stormgym.envs.adapters.sb3 import make_vec_env

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device that torch can use")
    ),
]
ENVS: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:6:1", "predictor": "none", "split": "all"},
    "GeneratorDispatch-v0": {"profile": "synthetic:3:0"},
    "Undergrounding-v0": {"profile": "synthetic:4:0"},
}
FEW: dict[str, Any] = {"n_steps": 8, "learning_starts": 32, "teacher_steps": 48}
"""Settings, for learners that have them, with which each learns within its first hundred steps."""
RUN: dict[str, Any] = {"num_envs": 8, "eval_freq": 96, "eval_episodes": 4, "checkpoint_freq": 192}
ONE_CHOICE = {("GeneratorDispatch-v0", name): {"action": "blocks"} for name in ("dqn", "maskable-dqn")}
"""Learners of one choice, and the argument that gives an environment's actions that form."""
TEACHERS = {
    ("GeneratorDispatch-v0", "sta-sac"): {"sta-sac.teacher": "online-greedy"},
    ("Undergrounding-v0", "sta-sac"): {"sta-sac.teacher": "loss-per-cost"},
}
"""A quick rule of the environment's own, where the table's is of another one."""
CASES = [
    *(
        (name, env_id, {**ONE_CHOICE.get((env_id, name), {}), **TEACHERS.get((env_id, name), {})})
        for env_id in ENVS
        for name in known_agents(env_id, trainable=True)
    ),
    ("sta-sac", "Restoration-v0", {"cost_limit": "4-12"}),
]


def quick(name: str) -> Row:
    """The row of a learner that is trained for a moment."""
    row = small(Row(label=name, agent=name, group="learners", kind="learner"))
    known = {field.name for field in fields(agent_spec(name).load().settings)}
    few = {key: value for key, value in FEW.items() if key in known}
    return replace(row, timesteps=192, train={**row.train, **few}, run=RUN)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "env_id", "more"), CASES, ids=lambda value: str(value) if value else "")
def test_learner__trains_and_resumes_on_the_device_and_acts_on_the_cpu(
    tmp_path: Path, name: str, env_id: str, more: dict[str, str], device: str
) -> None:
    quiet = ["--final-episodes", "0", "--no-progress"]
    asked = [*quick(name).training("").options(), "--env", env_id, "--runs-dir", str(tmp_path), "--device", device]
    words = [*asked, *quiet]
    for key, value in {**ENVS[env_id], **more}.items():
        words += ["--option", f"{key}={value}"] if key == "action" else [f"--{key.replace('_', '-')}", str(value)]
    train = Trainer(in_process=True)
    train.run(words, tmp_path / "log")
    (folder,) = (file.parent for file in tmp_path.rglob("settings.json"))
    run = open_run(folder)
    first = run.last_checkpoint()
    assert first is not None
    train.run(["--resume", str(folder), "--timesteps", str(int(first.name) + 64), *quiet], tmp_path / "log")
    last = run.last_checkpoint()
    assert last is not None
    assert int(last.name) > int(first.name)
    assert run.settings.device == device

    form = ONE_CHOICE.get((env_id, name), {})
    venv = make_vec_env(env_id, 4, seed=2, **ENVS[env_id], **form)
    obs: Any = venv.reset()
    here, there = load_policy(folder, venv), load_policy(folder, venv, device=device)
    action, _ = here.predict(obs, deterministic=True)
    other, _ = there.predict(obs, deterministic=True)
    np.testing.assert_allclose(action, other, atol=1e-3)
    for chosen in (action, there.predict(obs, deterministic=False)[0]):
        if np.ndim(chosen) == 1:  # one choice among those of the mask
            assert obs["action_mask"][np.arange(4), chosen].all()


def test_multiplier__is_where_the_episodes_are() -> None:
    limits = torch.empty(3, 2, device="meta")
    assert LagrangeMultiplier(8.0).of(limits, limits).device == limits.device
