"""Callbacks of a training: which model is kept as the best."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import stormgym  # noqa: F401
from stormgym.agents.learners import sb3 as learners
from stormgym.agents.training.callbacks import EvaluationCallback, StopRequest
from stormgym.agents.training.command import Training
from stormgym.agents.training.play import Score
from stormgym.envs.adapters.sb3 import StormVecEnv


def test_best_model__stays_when_a_later_one_breaks_the_limit(
    tmp_path: Path,
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[..., Training],
    score: Callable[..., Score],
) -> None:
    training = begin(tmp_path, console)
    run, model = training.run, training.model
    scores = iter([score(-30, 9), score(-20, 7), score(-10, 12), score(-18, 7.9), score(-19, 7.6)])
    monkeypatch.setattr("stormgym.agents.training.callbacks.play", lambda *_: next(scores))
    evaluation = EvaluationCallback(run, training.venv, training.learner)
    evaluation.init_callback(model)
    model._setup_learn(1)
    kept = []
    for step in (1, 2, 3, 4, 5):
        evaluation.num_timesteps = step
        evaluation.evaluate()
        kept.append(json.loads((run.best / "score.json").read_text())["timesteps"])
    assert kept == [1, 2, 2, 2, 5]  # the fourth leaves less than 5 % of the limit for records it never met

    # from a checkpoint before the best
    resumed = EvaluationCallback(run, training.venv, training.learner, StopRequest(15))
    resumed.load_state_dict({"last_step": 1, "best_rank": (-1.0, -30.0)})
    assert resumed.best_rank == (0.0, -19.0)
    resumed.init_callback(model)
    resumed.num_timesteps = 6
    resumed.on_training_end()  # asked to stop: plays nothing
    assert resumed.last_step == 1


def test_unconstrained__best_model_is_the_one_of_highest_return(environments: Callable[..., StormVecEnv]) -> None:
    settings = SimpleNamespace(env_id="Restoration-v0", eval_freq=1, learner={"constrained": False})
    run: Any = SimpleNamespace(settings=settings)
    fast, fair = (Score(np.array([r]), np.array([c]), 8.0, {}) for r, c in ((-10.0, 30.0), (-20.0, 7.0)))
    free = EvaluationCallback(run, environments(), learners.ppo)
    assert free._rank(fast) > free._rank(fair)
    run.settings.learner = {"constrained": True}
    assert EvaluationCallback(run, environments(), learners.ppo)._rank(fast) < free._rank(fair)
    run.settings.learner = {}  # a run of before
    assert EvaluationCallback(run, environments(), learners.ppo)._rank(fast) == fast.rank
