"""Callbacks of a training: evaluation and the best model, checkpoints, logged costs, stopping on request."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.files import write_atomically, write_folder
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.lagrangian import record_episode_costs
from stormgym.agents.model_files import write_model
from stormgym.agents.moved import forward
from stormgym.agents.registry import domain_of
from stormgym.agents.runs import BEST, MODEL, Run, model_in
from stormgym.agents.storage.container import UnreadableFile, cured_by, read_json, readable
from stormgym.agents.training.checkpoints import save_checkpoint
from stormgym.agents.training.play import SPARED_FOR_NEW_RECORDS, Score, play

__getattr__ = forward(__name__)

SCORE = "score.json"
SIGHUP: int | None = getattr(signal, "SIGHUP", None)
"""What a terminal that is closed sends; None on Windows."""


@dataclass
class StopRequest:
    """Whether the training has been asked to stop, and by which signal if by one."""

    signum: int | None = None
    asked: bool = False
    """Asked by who called it: true for what a thread or an actor sets while another one trains."""

    def __bool__(self) -> bool:
        return self.asked or self.signum is not None


class EpisodeCosts(BaseCallback):
    """Log `rollout/ep_cost_mean` beside Stable-Baselines3's `rollout/ep_rew_mean`."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        record_episode_costs(self.model)


class EvaluationCallback(BaseCallback):
    """Play the policy on fixed scenarios now and then, log the result under `eval/`, and keep the best model.

    Between rollouts every `freq` steps, and at the end of training. The best model is the feasible one (upper 95 %
    bound of the mean cost within the limit, in every band of limits where episodes have their own) with the highest
    return; while none is feasible, the one least over the limit. For a learner that was told to leave the cost out
    (`constrained` off) it is the one with the highest return: choosing by the limit would bring the constraint back.
    It goes to `best/`.

    Args:
        run: the run.
        venv: environments of its own, so that the training's episodes stay as they are.
        learner: gives the policy that plays.
        stop: after a request to stop nothing is played any more.
        on_result: called with the step, the score, and whether it is the best so far.
        check: called before the run's folder is written to; raises where it is no longer there (`RunLock.check`).
    """

    def __init__(
        self,
        run: Run,
        venv: VecEnv,
        learner: Learner,
        stop: StopRequest | None = None,
        on_result: Callable[[int, Score, bool], None] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.run = run
        self.venv = venv
        self.learner = learner
        self.stop = stop
        self.headline = domain_of(run.settings.env_id).headline
        self.freq = run.settings.eval_freq
        self.constrained = bool(run.settings.learner.get("constrained", True))
        self.on_result = on_result
        self.check = check
        self.last_step = 0
        self.best_rank: tuple[float, float] | None = None
        self._best_step: Any = None  # of the model in best/ when the run was resumed

    def state_dict(self) -> dict[str, Any]:
        """Step of the last evaluation, and the rank of the best model so far."""
        return {"last_step": self.last_step, "best_rank": self.best_rank}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`; the best rank is that of the model in `best/`, which may be newer.

        Where that folder is gone, the next model is the best so far.

        Raises:
            UnreadableFile: `best/score.json` is no score.
        """
        self.last_step = int(state["last_step"])
        rank = None if model_in(self.run.best) is None else state["best_rank"]
        file = self.run.best / SCORE
        with cured_by(f"Delete the folder {self.run.best}: the best model is then chosen among those to come"):
            if os.path.lexists(file):
                score = read_json(file, "the score of a model")
                rank, self._best_step = score.get("rank"), score.get("timesteps")
                if rank is None:
                    raise UnreadableFile(f"{file} cannot be read as the score of a model: it has no rank")
            with readable(file, "the score of a model"):
                self.best_rank = None if rank is None else (float(rank[0]), float(rank[1]))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps // self.freq > self.last_step // self.freq:
            self.evaluate()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self.last_step and not self.stop:
            self.evaluate()

    def evaluate(self) -> Score:
        """Play the scenarios now; log the score and keep the model if it is the best."""
        score = play(self.venv, self.learner.policy(self.model), self.run.settings.eval_episodes)
        if self.run.settings.env_kwargs.get("split") == "train":
            score = replace(score, spared=SPARED_FOR_NEW_RECORDS)
        self.last_step = self.num_timesteps
        rank = self._rank(score)
        same = (rank, self.num_timesteps) == (self.best_rank, self._best_step)  # its checkpoint was never written
        best = self.best_rank is None or rank > self.best_rank or same
        if best:
            self.best_rank = rank
            self._keep(score)
        for key, value in score.logged(self.headline).items():
            self.logger.record(f"eval/{key}", value)
        self.logger.record("eval/is_best", float(best))
        self.logger.dump(self.num_timesteps)
        if self.on_result is not None:
            self.on_result(self.num_timesteps, score, best)
        return score

    def _rank(self, score: Score) -> tuple[float, float]:
        return score.rank if self.constrained else (0.0, score.mean_return)

    def _keep(self, score: Score) -> None:
        what = {
            "timesteps": self.num_timesteps,
            "feasible": score.excess == 0.0,
            "rank": self._rank(score),
            **score.logged(self.headline),
        }

        def fill(folder: Path) -> None:
            settings = self.run.settings
            write_model(self.learner, self.model, folder / MODEL, settings.learner, settings.env_id)
            write_atomically(folder / SCORE, json.dumps(what, indent=1) + "\n")

        self.check()
        write_folder(self.run.folder / BEST, fill)


class Checkpoints(BaseCallback):
    """Write a checkpoint between rollouts every `checkpoint_freq` steps, when asked to stop, and at the end.

    After a request to stop the run saves at the next boundary between rollouts, and training ends there.

    Args:
        run: the run.
        evaluation: its progress is part of the checkpoint.
        stop: set from outside.
    """

    def __init__(self, run: Run, evaluation: EvaluationCallback, stop: StopRequest) -> None:
        super().__init__()
        self.run = run
        self.evaluation = evaluation
        self.stop = stop
        self.freq = run.settings.checkpoint_freq
        self.last_step = 0
        self.stopped = False

    def _on_training_start(self) -> None:
        self.last_step = self.num_timesteps

    def _on_rollout_start(self) -> None:
        if self.stop:
            self.save()
            self.stopped = True
        elif self.num_timesteps // self.freq > self.last_step // self.freq:
            self.save()

    def _on_step(self) -> bool:
        return not self.stopped

    def _on_training_end(self) -> None:
        if not self.stopped:
            self.save()

    def state_dict(self) -> dict[str, Any]:
        """State of the callbacks: of the evaluation, and what the next row of the log will hold of the last update."""
        return {"evaluation": self.evaluation.state_dict(), "log": pending(self.logger)}

    def save(self) -> None:
        """Write a checkpoint now."""
        self.evaluation.check()
        save_checkpoint(self.run, self.model, self.evaluation.learner, self.state_dict())
        self.last_step = self.num_timesteps


def pending(logger: Logger) -> dict[str, float]:
    """Numbers that have been recorded and not written yet, by name."""
    kinds = (int, float, np.integer, np.floating)
    return {name: float(value) for name, value in logger.name_to_value.items() if isinstance(value, kinds)}


def stopping_signals() -> list[int]:
    """Signals that ask a process to end, without those that it was started to ignore."""
    hangup = [] if SIGHUP is None or signal.getsignal(SIGHUP) == signal.SIG_IGN else [SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


@contextmanager
def stop_on_signals(
    on_request: Callable[[], None] | None = None, stop: StopRequest | None = None
) -> Iterator[StopRequest]:
    """Turn the first Ctrl-C (SIGINT), SIGTERM or SIGHUP into a request to stop; a second one interrupts at once.

    A terminal that closes may send more than one SIGHUP, so these never interrupt; and where they are ignored (`nohup`)
    they stay so. Only the main thread of a process can take signals: in any other they do what they did before, and
    whoever shall stop the training sets `asked`.

    Args:
        on_request: called at the first signal, e.g. to say that the run is being saved.
        stop: the request; None makes one.
    """
    stop = StopRequest() if stop is None else stop
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        del frame
        if stop:
            if signum != SIGHUP:
                raise KeyboardInterrupt
            return
        stop.signum = signum
        if on_request is not None:
            with suppress(OSError):  # a terminal that has just been closed
                on_request()

    before: dict[int, Any] = {s: signal.signal(s, handle) for s in stopping_signals()}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
