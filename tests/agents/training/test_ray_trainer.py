"""Training runs in actors of a Ray cluster: killed and taken up again, stopped, failed; and without Ray."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster
from rich.console import Console
from safetensors.numpy import load_file

from stormgym.agents.cluster import Workers, parse_workers
from stormgym.agents.runs import MODEL
from stormgym.agents.training import pool
from stormgym.agents.training.pool import ATTEMPTS, Trainer, TrainingJob, train_all, train_to_end
from stormgym.agents.training.ray_trainer import RayTrainer
from stormgym.agents.training.workers import trainer_for
from stormgym.predictors.extras import MissingExtraError

PPO = "--agent maskable-ppo --maskable-ppo.n-steps 16 --maskable-ppo.batch-size 64 --maskable-ppo.n-epochs 1"
SMALL = "--city synthetic:6:1 --predictor none --num-envs 8 --eval-episodes 8 --eval-freq 768 --checkpoint-freq 256"
TIMESTEPS = 4_096
CLOCKS = ("time/fps", "time/time_elapsed", "time/iterations")
STAND_IN = textwrap.dedent(
    """
    import json, os, signal, sys, time
    from pathlib import Path
    def main(words):
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
        place = Path(words[words.index("--place") + 1])
        if "--fail" in words:
            print("it broke")
            return 3
        if "--wrong" in words:
            sys.exit(2)
        print(os.environ["OMP_NUM_THREADS"], os.environ["STORMGYM_CACHE"], Path.cwd())
        (place / "begun").write_text(str(os.getpid()))
        while not stopped:
            time.sleep(0.01)
        (place / "saved").write_text("")
        return 143
    """
)


@pytest.fixture(scope="module", autouse=True)
def two_machines() -> Iterator[None]:
    """A local cluster of two nodes, one processor each."""
    memory = {"object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
    cluster.add_node(num_cpus=1, **memory)
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()


def quiet() -> Console:
    return Console(file=open(os.devnull, "w"))


def wait_for(ready: Callable[[], Any], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.005)


def job_of(folder: Path, seed: int) -> TrainingJob:
    return TrainingJob(
        name=f"seed {seed}",
        env_id="Restoration-v0",
        agent="maskable-ppo",
        seed=seed,
        timesteps=TIMESTEPS,
        options=f"--env Restoration-v0 {PPO} {SMALL} --timesteps {TIMESTEPS} --seed {seed}".split(),
        runs_dir=folder / "runs",
        folder=folder / "jobs" / str(seed),
    )


def logged(run: Path) -> list[dict[str, str]]:
    """The rows of a run's log, without clocks and the number of rollouts since this process began."""
    with (run / "progress.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]


@pytest.mark.slow
def test_killed__is_taken_up_from_its_checkpoint_and_nothing_is_lost_or_counted_twice(tmp_path: Path) -> None:
    job, trainer = job_of(tmp_path / "killed", 0), RayTrainer()
    outcome: list[Any] = []
    thread = threading.Thread(
        target=lambda: outcome.append(train_all([job], n_workers=1, console=quiet(), trainer=trainer))
    )
    thread.start()
    checkpoints = "runs/*/*/*/checkpoints/[0-9]*/state.safetensors"  # not one that is being written (.new-*)
    wait_for(lambda: list((tmp_path / "killed").glob(checkpoints)))
    ((_, process),) = [place for place in trainer._actors.values() if place is not None]
    os.kill(process, signal.SIGKILL)
    thread.join(120)
    ((done, (run, spent)),) = outcome[0].done
    assert outcome[0].exit_code == 0
    assert done is job
    assert spent.cpu_s is None  # nobody knows how long the first attempt took
    assert len(json.loads((job.folder / ATTEMPTS).read_text())) == 2
    assert [p.parent for p in (tmp_path / "killed").rglob("settings.json")] == [run.folder]  # none begun anew

    whole, _ = train_to_end(Trainer(in_process=True), job_of(tmp_path / "whole", 0))
    steps = [int(row["time/total_timesteps"]) for row in logged(run.folder)]
    assert steps == sorted(steps)
    assert logged(run.folder) == logged(whole.folder)
    first, second = (load_file(r.checkpoints / str(TIMESTEPS) / MODEL) for r in (run, whole))
    assert first.keys() == second.keys()
    for name, weights in first.items():
        np.testing.assert_array_equal(weights, second[name])  # to the bit


def stand_in(folder: Path) -> RayTrainer:
    (folder / "train.py").write_text(STAND_IN)
    return RayTrainer(script=folder / "train.py")


def test_stop__asks_runs_to_save_and_gives_up_those_that_wait_for_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORMGYM_CACHE", "somewhere")
    trainer = stand_in(tmp_path)
    ends: list[BaseException] = []

    def run(i: int) -> None:
        (tmp_path / str(i)).mkdir()
        try:
            trainer.run(["--place", str(tmp_path / str(i))], tmp_path / f"{i}.log")
        except pool.Stopping as stopping:
            ends.append(stopping)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]  # on two processors
    for thread in threads:
        thread.start()
    wait_for(lambda: len(list(tmp_path.glob("*/begun"))) == 2)
    nodes = {place[0] for place in trainer._actors.values() if place is not None}
    trainer.stop()
    for thread in threads:
        thread.join(60)
    assert len(nodes) == 2
    assert len(ends) == 3
    assert len(list(tmp_path.glob("*/saved"))) == 2
    begun = next(tmp_path.glob("*/begun")).parent.name
    assert (tmp_path / f"{begun}.log").read_text() == f"1 somewhere {Path.cwd()}\n"
    assert sum(getattr(end, "cpu_s", None) is not None for end in ends) == 2
    with pytest.raises(pool.Stopping):
        trainer.run([], tmp_path / "log")


def test_failed__is_told_with_its_log_and_not_tried_again(tmp_path: Path) -> None:
    trainer = stand_in(tmp_path)
    with pytest.raises(RuntimeError, match="ended with code 3:\nit broke") as error:
        trainer.run(["--place", ".", "--fail"], tmp_path / "log")
    assert not isinstance(error.value, pool.Killed)
    with pytest.raises(RuntimeError, match="ended with code 2"):
        trainer.run(["--place", ".", "--wrong"], tmp_path / "log")


def test_always_killed__is_given_up(tmp_path: Path) -> None:
    class Cursed(Trainer):
        attempts = 0

        def _apart(self, words: Any, log: Path, keep_open: int | None) -> tuple[int, float | None]:
            self.attempts += 1
            return -signal.SIGKILL, None

    trainer = Cursed()
    with pytest.raises(pool.Killed, match="was killed by SIGKILL"):
        train_to_end(trainer, job_of(tmp_path, 0))
    assert trainer.attempts == 1 + pool.RETRIES


def test_workers__are_read_from_a_word() -> None:
    assert parse_workers("3") == parse_workers(3) == Workers(3)
    assert parse_workers("ray:5") == Workers(5, on_ray=True)
    trainer, n_workers = trainer_for(parse_workers("ray"))
    assert isinstance(trainer, RayTrainer)
    assert n_workers == 2
    assert trainer_for(parse_workers("ray"), threads=2)[1] == 1
    assert trainer_for(parse_workers(0, least=0))[0].in_process
    for wrong, message in {"0": "at least 1; got 0", "ray:0": "at least 1; got 0", "rays": "a number, ray or"}.items():
        with pytest.raises(ValueError, match=message):
            parse_workers(wrong)


@pytest.mark.slow
def test_without_ray__one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'needs ray.*pip install "stormgym\[ray\]"'):
        trainer_for(parse_workers("ray"))
