"""`RayTrainer` runs each `train.py` in an actor of a Ray cluster; the pool is the same as for processes.

All machines need the package, and see the folder of the runs at the same path (docs/ray.md). An actor takes as many
processors as its run has threads, and a GPU where it trains on one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stormgym.agents.cluster import connect, environment_of
from stormgym.agents.training.pool import TRAIN, Killed, Stopping, Trainer

ASK_S = 30.0
"""Seconds that a request to stop may take to reach a machine."""


class RayTrainer(Trainer):
    """Runs `train.py` in actors of a Ray cluster, which is connected to where it is not yet.

    Args:
        device, threads, script: as for `Trainer`; another script than that of this source tree must be on every
            machine.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, device: str = "cpu", threads: int = 1, script: Path | None = None) -> None:
        super().__init__(device=device, threads=threads, script=script)
        self.ray = connect()
        self._actors: dict[Any, tuple[str, int] | None] = {}
        """Actors, and the machine and process of those that have begun."""

    def stop(self) -> None:
        """Ask every run to save and end; one that waits for a machine is given up."""
        with self._guard:
            self.stopping = True
            actors = dict(self._actors)
        kill = self.ray.remote(num_cpus=0)(_ask_to_stop)
        near = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = []
        for actor, place in actors.items():
            if place is None:
                self.ray.kill(actor)
            else:
                node, process = place
                asked.append(kill.options(scheduling_strategy=near(node, soft=False)).remote(process))
        self.ray.wait(asked, num_returns=len(asked), timeout=ASK_S) if asked else None

    def _apart(self, words: Sequence[str], log: Path, keep_open: int | None) -> tuple[int, float | None]:
        del keep_open  # the caller holds the lock: an actor ends with the caller
        options = {
            "num_cpus": self.threads,
            "num_gpus": 0 if self.device == "cpu" else 1,
            "runtime_env": {"env_vars": environment_of(self.threads)},
        }
        with self._guard:
            if self.stopping:
                raise Stopping
            actor = self.ray.remote(**options)(_Runner).remote(os.getcwd(), self._script_there())
            self._actors[actor] = None
        try:
            place = self.ray.get(actor.place.remote())
            with self._guard:
                self._actors[actor] = place
                if self.stopping:  # the request passed while the actor was made
                    raise Stopping
            code, seconds = self.ray.get(actor.run.remote(list(words), str(log.absolute())))
            return int(code), float(seconds)
        except self.ray.exceptions.RayActorError as error:
            if self.stopping:
                raise Stopping from error
            raise Killed(f"the worker of train.py {' '.join(words)} has died: {_first_line(error)}") from error
        finally:
            with self._guard:
                self._actors.pop(actor)
            self.ray.kill(actor)

    def _script_there(self) -> str | None:
        return None if self.script == TRAIN else str(self.script.absolute())


class _Runner:
    """An actor that runs one `train.py`, in its main thread, which takes signals."""

    def __init__(self, folder: str, script: str | None) -> None:
        if not Path(folder).is_dir():
            raise FileNotFoundError(
                f"{os.uname().nodename} has no folder {folder}: start from one that all machines of the cluster share"
            )
        os.chdir(folder)  # relative paths mean what they mean where the command was given
        self.trainer = Trainer(in_process=True, script=None if script is None else Path(script))

    def place(self) -> tuple[str, int]:
        """The machine and the process of this actor."""
        import ray

        return ray.get_runtime_context().get_node_id(), os.getpid()

    def run(self, words: list[str], log: str) -> tuple[int, float]:
        """Exit code and processor seconds of `train.py`."""
        begin = time.process_time()
        code, _ = self.trainer.run_here(words, Path(log))
        return code, time.process_time() - begin


def _ask_to_stop(process: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(process, signal.SIGTERM)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
