"""Learners on a GPU, where there is one: they train there, go on there, and what they learnt acts on any device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.restoration.table.rows import Row, small
from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.registry import known_agents
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
    "Restoration-v0": {"city": "synthetic:8:1", "predictor": "none", "split": "all"},
    "GeneratorDispatch-v0": {"profile": "A"},
    "Undergrounding-v0": {"profile": "synthetic:5:1"},
}
ONE_CHOICE = {("GeneratorDispatch-v0", name): {"action": "blocks"} for name in ("dqn", "maskable-dqn")}
"""Learners of one choice, and the argument that gives an environment's actions that form."""
CASES = [
    *(
        (name, env_id, ONE_CHOICE.get((env_id, name), {}))
        for env_id in ENVS
        for name in known_agents(env_id, trainable=True)
    ),
    ("sta-sac", "Restoration-v0", {"cost_limit": "4-12"}),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "env_id", "more"), CASES, ids=lambda value: str(value) if value else "")
def test_learner__trains_and_resumes_on_the_device_and_acts_on_the_cpu(
    tmp_path: Path, name: str, env_id: str, more: dict[str, str], device: str
) -> None:
    row = small(Row(label=name, agent=name, group="learners", kind="learner", timesteps=1_500))
    quiet = ["--final-episodes", "0", "--no-progress"]
    words = [*row.training("").options(), *quiet, "--env", env_id, "--runs-dir", str(tmp_path), "--device", device]
    for key, value in {**ENVS[env_id], **more}.items():
        words += ["--option", f"{key}={value}"] if key == "action" else [f"--{key.replace('_', '-')}", str(value)]
    train = Trainer(in_process=True)
    train.run(words, tmp_path / "log")
    (folder,) = (file.parent for file in tmp_path.rglob("settings.json"))
    run = open_run(folder)
    first = run.last_checkpoint()
    assert first is not None
    train.run(["--resume", str(folder), "--timesteps", str(int(first.name) + 500), *quiet], tmp_path / "log")
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
