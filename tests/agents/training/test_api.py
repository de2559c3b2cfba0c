"""Training from Python: defaults, other threads, stopping early by a score, an error or a request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.training.api import Trained, resume, train
from stormgym.agents.training.callbacks import StopRequest
from stormgym.agents.usage import UsageError

QUICK: dict[str, Any] = {
    "agent": "maskable-ppo",
    "settings": {"n_steps": 16, "batch_size": 64, "n_epochs": 1},
    "env_kwargs": {"city": "synthetic:6:1", "predictor": "none"},
    "num_envs": 8,
    "timesteps": 512,
    "eval_freq": 128,
    "eval_episodes": 8,
}


def quick(folder: Path, **changed: Any) -> Trained:
    return train("Restoration-v0", runs_dir=folder, **{**QUICK, **changed})


def test_train__returns_run_and_scores_and_is_the_same_in_another_thread(tmp_path: Path) -> None:
    told: list[int] = []
    here = quick(tmp_path / "here", on_eval=lambda step, score: told.append(step))
    with ThreadPoolExecutor(1) as thread:
        there = thread.submit(quick, tmp_path / "there").result()
    assert told == list(here.scores) == [128, 256, 384, 512]
    assert here.scores == there.scores
    assert not here.stopped
    first = here.scores[128]
    assert {"return", "cost", "gap_h", "mean_outage_h", "excess", "is_best"} <= set(first)
    assert first["is_best"] == 1.0
    assert here.best in here.scores.values()
    assert here.run.settings.seed == 0
    table = evaluate("Restoration-v0", {"it": here.policy()}, episodes=4, env_kwargs=QUICK["env_kwargs"])
    assert np.isfinite(table.agents["it"].metrics["return"]).all()


def test_on_eval__that_returns_false_ends_a_run_that_can_go_on(tmp_path: Path) -> None:
    stopped = quick(tmp_path, on_eval=lambda step, score: step < 256)
    assert stopped.stopped
    assert list(stopped.scores) == [128, 256]
    checkpoint = stopped.run.last_checkpoint()
    assert checkpoint is not None
    assert checkpoint.name == "256"
    rest = resume(stopped.run.folder)
    whole = quick(tmp_path / "whole")
    assert list(rest.scores) == [384, 512]
    assert rest.scores == {step: whole.scores[step] for step in (384, 512)}  # exactly as it would have gone on


def test_on_eval__that_raises_ends_a_run_that_is_saved(tmp_path: Path) -> None:
    class Pruned(Exception):
        pass

    def prune(step: int, score: dict[str, float]) -> None:
        raise Pruned(step)

    with pytest.raises(Pruned, match="128"):
        quick(tmp_path, on_eval=prune)
    assert [p.name for p in tmp_path.glob("*/*/*/checkpoints/*")] == ["128"]


def test_stop__is_set_by_another_thread(tmp_path: Path) -> None:
    stop, begun = StopRequest(), threading.Event()

    def first(step: int, score: dict[str, float]) -> None:
        begun.set()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(quick, tmp_path, timesteps=1_000_000, eval_freq=128, on_eval=first, stop=stop)
        assert begun.wait(60)
        stop.asked = True
        trained = future.result(timeout=60)
    assert trained.stopped
    assert trained.run.last_checkpoint() is not None


def test_wrong_names__are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown agent 'ppoo'"):
        quick(tmp_path, agent="ppoo")
    with pytest.raises(TypeError, match="time_steps"):
        quick(tmp_path, time_steps=3)
