"""Many training runs side by side, with a stand-in for train.py: found, resumed, begun, stopped, failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stormgym.agents.training.pool import ATTEMPTS, DONE, LOCK, LOG, Trainer, TrainingJob, train_all, train_to_end, work

STAND_IN = '''
"""Trains nothing: a checkpoint every ten steps; SIGTERM ends it after the one under way, as it does train.py."""
import argparse, json, os, signal, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
for name in ("--seed", "--timesteps"):
    parser.add_argument(name, type=int)
for name in ("--resume", "--runs-dir", "--torch-threads", "--device", "--final-episodes", "--crash-at", "--pause"):
    parser.add_argument(name)
parser.add_argument("--no-progress", action="store_true")
asked = parser.parse_args()
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
if asked.resume:
    run = Path(asked.resume)
    settings = json.loads((run / "settings.json").read_text())
    step = max(int(p.name) for p in (run / "checkpoints").iterdir())
else:
    run = Path(asked.runs_dir) / "Some-v0" / "learner" / f"{asked.seed}-{os.getpid()}"
    (run / "checkpoints").mkdir(parents=True)
    settings = {"env_id": "Some-v0", "agent": "learner", "seed": asked.seed, "timesteps": asked.timesteps,
                "num_envs": 1, "eval_freq": 1, "eval_episodes": 1, "checkpoint_freq": 10, "device": asked.device,
                "learner": {"crash_at": asked.crash_at, "pause": asked.pause}}
    (run / "settings.json").write_text(json.dumps(settings))
    step = 0
print("threads", os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"], asked.torch_threads, flush=True)
while step < settings["timesteps"]:
    time.sleep(float(settings["learner"]["pause"] or 0.01))
    step += 10
    if settings["learner"]["crash_at"] == str(step) and not asked.resume:
        print("it broke")
        os._exit(3)
    folder = run / "checkpoints" / str(step)
    folder.mkdir()
    (folder / "model.safetensors").write_text("")
    (folder / "replay_buffer.safetensors").write_text("")
    with (run / "progress.csv").open("a") as log:
        log.write(("" if log.tell() else "time/total_timesteps,time/time_elapsed\\n") + f"{step},{step}\\n")
    if stopped:
        sys.exit(143)
print("trained", flush=True)
'''


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "train.py"
    file.write_text(STAND_IN)
    return file


def job_of(folder: Path, seed: int, *options: str, timesteps: int = 40, **others: Any) -> TrainingJob:
    return TrainingJob(
        name=f"seed {seed}",
        env_id="Some-v0",
        agent="learner",
        seed=seed,
        timesteps=timesteps,
        options=["--seed", str(seed), "--timesteps", str(timesteps), *options],
        runs_dir=folder / "runs",
        folder=folder / "jobs" / str(seed),
        **others,
    )


def quiet() -> Console:
    return Console(file=open(os.devnull, "w"))


def wait_for(ready: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.01)


def test_all__are_trained_two_at_a_time_on_one_thread_each_and_logged(tmp_path: Path, script: Path) -> None:
    jobs = [job_of(tmp_path, seed, "--pause", "0.05") for seed in range(4)]
    active: list[int] = []
    together: list[int] = []

    def watch(job: TrainingJob) -> Any:
        active.append(job.seed)
        together.append(len(active))
        found = train_to_end(trainer, job)
        active.remove(job.seed)
        return found

    trainer = Trainer(script=script)
    outcome = work(jobs, watch, trainer=trainer, n_workers=2, console=quiet())
    assert outcome.exit_code == 0
    assert max(together) == 2
    assert {job.name for job, _ in outcome.done} == {f"seed {seed}" for seed in range(4)}
    for job, (run, spent) in outcome.done:
        assert run.settings.seed == job.seed
        assert run.folder.parent == tmp_path / "runs" / "Some-v0" / "learner"
        assert (job.folder / LOG).read_text() == "threads 1 1 1\ntrained\n"
        assert (job.folder / json.loads((job.folder / DONE).read_text())["run"]).resolve() == run.folder.resolve()
        assert spent.wall_s == 40.0
        assert spent.cpu_s is not None
        assert job.steps_done() == 40
        assert list(run.folder.rglob("replay_buffer.safetensors"))  # its budget can still be raised


def test_ended__is_found_and_not_trained_again(tmp_path: Path, script: Path) -> None:
    job = job_of(tmp_path, 3, drop_buffers=True)
    run, spent = train_to_end(Trainer(script=script), job)
    assert not list(run.folder.rglob("replay_buffer.safetensors"))
    again, spent_again = train_to_end(Trainer(script=tmp_path / "nowhere.py"), job)
    assert (again.folder, spent_again) == (run.folder, spent)
    more = job_of(tmp_path, 3, timesteps=80)
    assert more.ended_run() is None  # another budget


def test_runs__of_other_seeds_and_other_settings_are_not_a_jobs_own(tmp_path: Path, script: Path) -> None:
    first, _ = train_to_end(Trainer(script=script), job_of(tmp_path, 1))
    other = job_of(tmp_path, 1, "--pause", "0.02", is_own=lambda settings: settings.learner["pause"] == "0.02")
    assert job_of(tmp_path, 2).newest_run() is None
    assert other.newest_run() is None
    second, _ = train_to_end(Trainer(script=script), other)
    assert second.folder != first.folder
    newest = other.newest_run()
    assert newest is not None
    assert newest.folder == second.folder


def test_garbled__files_of_other_runs_and_of_times_hold_up_no_job(tmp_path: Path, script: Path) -> None:
    job = job_of(tmp_path, 3)
    run, spent = train_to_end(Trainer(script=script), job)
    other = run.folder.with_name("3-garbled")
    other.mkdir()
    (other / "settings.json").write_text("{")
    with pytest.warns(UserWarning, match=r"3-garbled/settings\.json cannot be read .* The run is passed over"):
        again, spent_again = train_to_end(Trainer(script=script), job)
    assert (again.folder, spent_again) == (run.folder, spent)
    (other / "settings.json").unlink()
    for text in ("", "[1", "7", '["much"]'):
        (job.folder / ATTEMPTS).write_text(text)
        assert train_to_end(Trainer(script=script), job)[1].cpu_s is None
    (run.folder / "progress.csv").write_text("time/total_timesteps,time/time_elapsed\n40,soon\n")
    assert train_to_end(Trainer(script=script), job)[1].wall_s is None
    assert job.steps_done() == 40


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a system without SIGHUP")
@pytest.mark.parametrize("ignored", [False, True])
def test_hangup__stops_the_pool_unless_it_is_ignored(ignored: bool, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    (tmp_path / "train.py").write_text("")
    try:
        trainer = Trainer(script=tmp_path / "train.py")
        outcome = work(
            [1], lambda job: os.kill(os.getpid(), signal.SIGHUP), trainer=trainer, n_workers=0, console=quiet()
        )
        assert outcome.stopped is not ignored
    finally:
        signal.signal(signal.SIGHUP, before)


def test_crashed__is_told_with_its_log_holds_up_no_other_and_is_resumed_by_the_same_call(
    tmp_path: Path, script: Path
) -> None:
    jobs = [job_of(tmp_path, 0, "--crash-at", "30"), job_of(tmp_path, 1)]
    console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115
    outcome = train_all(jobs, n_workers=2, console=console, trainer=Trainer(script=script))
    assert outcome.exit_code == 1
    assert [job.name for job, _ in outcome.done] == ["seed 1"]
    ((failed, error),) = outcome.failed
    assert failed is jobs[0]
    assert "ended with code 3:\nthreads 1 1 1\nit broke" in str(error)
    assert console.export_text().count("failed: seed 0: train.py") == 2  # at once, and at the end
    outcome = train_all(jobs, n_workers=2, console=quiet(), trainer=Trainer(script=script))
    assert outcome.exit_code == 0
    assert len(list((tmp_path / "runs").rglob("settings.json"))) == 2  # gone on with, none begun anew
    assert json.loads((jobs[0].folder / ATTEMPTS).read_text())[0] is None  # nobody saw how long the first took
    assert outcome.done[0][1][1].cpu_s is None or outcome.done[1][1][1].cpu_s is None


def test_budget__that_is_not_reached_is_an_error(tmp_path: Path, script: Path) -> None:
    job = job_of(tmp_path, 0, timesteps=40)
    short = TrainingJob(**{**vars(job), "options": ["--seed", "0", "--timesteps", "20"]})
    with pytest.raises(RuntimeError, match=r"its run has not reached 40 steps"):
        train_to_end(Trainer(script=script), short)


CALLER = textwrap.dedent(
    """
    import signal, sys
    from pathlib import Path
    from rich.console import Console
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    from stormgym.agents.training.pool import Trainer, TrainingJob, train_all
    folder = Path(sys.argv[1])
    jobs = [
        TrainingJob(name=f"seed {s}", env_id="Some-v0", agent="learner", seed=s, timesteps=int(sys.argv[2]),
                    options=["--seed", str(s), "--timesteps", sys.argv[2], "--pause", "0.1"],
                    runs_dir=folder / "runs", folder=folder / "jobs" / str(s))
        for s in range(3)
    ]
    outcome = train_all(jobs, n_workers=2, console=Console(stderr=True), trainer=Trainer(script=folder / "train.py"))
    sys.exit(outcome.exit_code)
    """
)


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stop__saves_every_run_and_the_same_call_goes_on(tmp_path: Path, script: Path, signum: signal.Signals) -> None:
    command = [sys.executable, "-c", CALLER, str(tmp_path), "100"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("runs/*/*/*/checkpoints/[0-9]*/model.safetensors"))) >= 2)
    first.send_signal(signum)
    assert first.wait(60) == 130
    runs = list(tmp_path.glob("runs/*/*/*"))
    assert len(runs) == 2  # the third was never begun
    for seed in (0, 1):
        (spent,) = json.loads((tmp_path / "jobs" / str(seed) / ATTEMPTS).read_text())
        assert spent > 0  # it ended of itself, and was seen to
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    assert len(list(tmp_path.glob("runs/*/*/*"))) == 3
    assert all((run / "checkpoints" / "100").is_dir() for run in tmp_path.glob("runs/*/*/*"))


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_killed_caller__leaves_runs_that_the_next_call_waits_for(tmp_path: Path, script: Path) -> None:
    command = [sys.executable, "-c", CALLER, str(tmp_path), "60"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("runs/*/*/*/checkpoints/[0-9]*/model.safetensors"))) >= 2)
    first.kill()
    first.wait(60)
    assert (tmp_path / "jobs" / "0" / LOCK).is_file()
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    assert len(list(tmp_path.glob("runs/*/*/*"))) == 3
    assert (tmp_path / "jobs" / "0" / LOG).read_text().count("trained") == 1


def test_in_process__does_one_after_the_other_and_begins_none_once_stopped(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "calls = []\ndef main(words):\n    calls.append(words)\n    return 130 if 'stop' in words else 0\n"
    )
    trainer = Trainer(in_process=True, script=script)
    assert trainer.run(["a"], tmp_path / "log") is not None
    jobs = ["a", "stop", "b"]
    done: list[str] = []

    def do(job: str) -> None:
        trainer.run([job], tmp_path / "log")
        done.append(job)

    outcome = work(jobs, do, trainer=trainer, n_workers=0, console=quiet())
    assert outcome.stopped
    assert outcome.exit_code == 130
    assert done == ["a"]


def test_trainer__without_a_script_says_where_to_take_one_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no train\.py at .*nowhere.*source tree"):
        Trainer(script=tmp_path / "nowhere.py").run([], tmp_path / "log")
