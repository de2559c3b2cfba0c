"""Learners on a GPU, where there is one: they train there, go on there, and what they learnt acts on any device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from results_table.rows import Row, small
from results_table.training import Trainer

from stormgym.agents.policy import AGENTS
from stormgym.agents.training.runs import load_policy, open_run
from stormgym.agents.training.vec_env import make_vec_env

NAMES = [name for name, spec in AGENTS.items() if spec.trainable and "Restoration-v0" in spec.envs]
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device that torch can use")
    ),
]
CITY = ("--city", "synthetic:8:1", "--predictor", "none", "--split", "all", "--final-episodes", "0", "--no-progress")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_learner__trains_and_resumes_on_the_device_and_acts_on_the_cpu(tmp_path: Path, name: str, device: str) -> None:
    row = small(Row(label=name, agent=name, group="learners", kind="learner", timesteps=1_500))
    train = Trainer(in_process=True)
    train.run([*row.options(), *CITY, "--runs-dir", str(tmp_path), "--device", device], tmp_path / "log")
    (folder,) = (file.parent for file in tmp_path.rglob("settings.json"))
    train.run(["--resume", str(folder), "--timesteps", "4000", *CITY[-3:]], tmp_path / "log")
    run = open_run(folder)
    assert run.settings.device == device
    assert int(run.last_checkpoint().name) >= 4_000  # type: ignore[union-attr]

    venv = make_vec_env("Restoration-v0", 4, seed=2, city="synthetic:8:1", predictor="none")
    obs: Any = venv.reset()
    here = load_policy(folder, venv)
    there = load_policy(folder, venv, device=device)
    action, _ = here.predict(obs, deterministic=True)
    assert obs["action_mask"][np.arange(4), action].all()
    np.testing.assert_array_equal(action, there.predict(obs, deterministic=True)[0])
    drawn, _ = there.predict(obs, deterministic=False)
    assert obs["action_mask"][np.arange(4), drawn].all()
