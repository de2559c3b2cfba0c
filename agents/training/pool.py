"""One training run a seed: found when it has ended, resumed when it was stopped, else begun."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from results_table.rows import ENV_ID, Row
from stormgym.agents.evaluation.summary import write_atomically
from stormgym.agents.policy import agent_spec
from stormgym.agents.runs import SETTINGS, Run, open_run
from stormgym.agents.training.checkpoints import BUFFER
from stormgym.agents.training.command import env_options

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, start one benchmark at a time
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parents[2]
ATTEMPTS, DONE, LOG = "attempts.json", "done.json", "train.log"
_TAIL = 1_500


class Stopping(Exception):
    """The benchmark was asked to stop; runs under way have been saved."""

    def __init__(self, cpu_s: float | None = None) -> None:
        super().__init__("stopped; the same command goes on")
        self.cpu_s = cpu_s


@dataclass(frozen=True)
class TrainingTime:
    """How long a seed has trained, over all attempts."""

    wall_s: float | None
    """Seconds by the run's own clock, evaluations included; work lost in a crash is not."""
    cpu_s: float | None
    """Processor seconds of all attempts; None when one ended without telling."""
    device: str = "cpu"
    """Torch device that it trained on."""


class Trainer:
    """Runs `train.py`, each seed in a process of its own with one thread, or in this process.

    A process of its own starts in a session of its own, so that Ctrl-C reaches the benchmark alone, which then asks
    every run once to save and end.
    """

    def __init__(self, in_process: bool = False, device: str = "cpu") -> None:
        self.in_process = in_process
        self.device = device
        self.stopping = False
        self._live: set[int] = set()
        self._guard = threading.Lock()

    def run(self, words: list[str], log: Path, keep_open: int | None = None) -> float | None:
        """Run train.py with these options; return processor seconds, where the system tells.

        Raises:
            Stopping: the benchmark is being stopped.
            RuntimeError: train.py failed; the message ends as its log does.
        """
        if self.stopping:
            raise Stopping
        code, seconds = self._here(words, log) if self.in_process else self._apart(words, log, keep_open)
        if code and (self.stopping or (self.in_process and code in (130, 143))):
            raise Stopping(seconds)
        if code:
            tail = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
            raise RuntimeError(f"train.py {shlex.join(words)} ended with code {code}:\n{tail}")
        return seconds

    def stop(self) -> None:
        """Ask every run to save and end."""
        with self._guard:
            self.stopping = True
            for pid in self._live:
                os.kill(pid, signal.SIGTERM)

    def _apart(self, words: list[str], log: Path, keep_open: int | None) -> tuple[int, float | None]:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("a", encoding="utf-8") as out:
            with self._guard:
                if self.stopping:
                    raise Stopping
                child = subprocess.Popen(
                    [sys.executable, str(ROOT / "train.py"), *words],
                    env=env,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    pass_fds=() if keep_open is None or os.name == "nt" else (keep_open,),
                )
                self._live.add(child.pid)
            try:
                return _wait(child)
            finally:
                with self._guard:
                    self._live.discard(child.pid)

    def _here(self, words: list[str], log: Path) -> tuple[int, float | None]:
        start = time.process_time()
        with log.open("a", encoding="utf-8") as out, redirect_stdout(out), redirect_stderr(out):
            code = _train_module().main(words)
        return code, time.process_time() - start


def _train_module() -> Any:
    """The door `train.py` as a module."""
    name = "stormgym_train_door"
    if name not in sys.modules:
        spec = spec_from_file_location(name, ROOT / "train.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)  # dataclasses look their module up by name
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, float | None]:
    """Exit code and processor seconds of a child."""
    if not hasattr(os, "wait4"):
        return child.wait(), None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage.ru_utime + usage.ru_stime


@contextmanager
def locked(folder: Path) -> Iterator[int | None]:
    """Hold a seed's folder; wait while another benchmark, or a run that outlived its own, still does.

    The lock belongs to the open file, which the run inherits: it ends with the last process that trains the seed.
    """
    if fcntl is None:
        yield None
        return
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def settings_today(row: Row) -> dict[str, Any]:
    """All settings of the row's learner, as JSON gives them back, with those that the row leaves at their default."""
    settings = agent_spec(row.agent).load().settings(**row.train)
    found: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return found


def changed_settings(stored: Mapping[str, Any], today: Mapping[str, Any]) -> list[str]:
    """Names that both sets of settings have, with different values: options added later change no old run."""
    return sorted(name for name in stored.keys() & today.keys() if stored[name] != today[name])


def same_settings(stored: Mapping[str, Any], today: Mapping[str, Any]) -> bool:
    """Whether two sets of settings agree on every name that both have."""
    return not changed_settings(stored, today)


def seed_folder(runs_dir: Path, row: Row, city_slug: str, digest: str, seed: int) -> Path:
    """Where a seed's run, log and times are kept."""
    return runs_dir / city_slug / f"{row.agent}-{digest}" / str(seed)


def train_seed(trainer: Trainer, row: Row, city: str, folder: Path, seed: int) -> tuple[Run, TrainingTime]:
    """Train a seed, or go on with it, or find it.

    Args:
        trainer: what runs train.py.
        row: a learner's row.
        city: name or folder of the city.
        folder: the seed's folder (`seed_folder`).
        seed: the training seed.

    Returns:
        The run that has reached its budget, and the time it took.

    Raises:
        Stopping, RuntimeError: as `Trainer.run`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as descriptor:
        run = newest_run(folder, row)
        if run is None or not _has_ended(run):
            # tables and progress bars of train.py are left out
            words = ["--final-episodes", "0", "--no-progress"]
            if run is not None and run.last_checkpoint() is not None:
                words += ["--resume", str(run.folder)]
            else:
                words += [*row.options(), *shlex.split(env_options({"city": city, **row.env}))]
                words += ["--seed", str(seed), "--runs-dir", str(folder), "--torch-threads", "1"]
                words += ["--device", trainer.device]
                write_atomically(folder / ATTEMPTS, "[]\n")
            _attempt(trainer, words, folder, descriptor)
            run = newest_run(folder, row)
            if run is None or not _has_ended(run):
                raise RuntimeError(f"train.py ended, but its run has not reached {row.timesteps:,} steps: {folder}")
        write_atomically(folder / DONE, json.dumps({"run": str(run.folder.relative_to(folder))}) + "\n")
        for buffer in run.checkpoints.glob(f"*/{BUFFER}"):
            buffer.unlink()  # large, and of no use once the run has ended
        return run, _time(folder, run)


def newest_run(folder: Path, row: Row) -> Run | None:
    """The last run in a seed's folder that was trained with today's settings."""
    today = settings_today(row)
    files = sorted(folder.glob(f"{ENV_ID}/{row.agent}/*/{SETTINGS}"), key=lambda file: file.stat().st_mtime)
    runs = [run for run in map(open_run, (file.parent for file in files)) if same_settings(run.settings.learner, today)]
    return runs[-1] if runs else None


def steps_done(folder: Path) -> int:
    """Steps of the run under way in a seed's folder, as its log of metrics tells."""
    files = sorted(folder.glob(f"{ENV_ID}/*/*/progress.csv"), key=lambda file: file.stat().st_mtime)
    if not files:
        return 0
    with files[-1].open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2_000))
        last = file.read().decode("utf-8", errors="replace").strip().rpartition("\n")[2]
    head = last.partition(",")[0]
    return int(head) if head.isdigit() else 0


def _has_ended(run: Run) -> bool:
    last = run.last_checkpoint()
    return last is not None and int(last.name) >= run.settings.timesteps


def _attempt(trainer: Trainer, words: list[str], folder: Path, descriptor: int | None) -> None:
    """Run train.py and keep its processor time, also that of an attempt that was stopped."""
    file = folder / ATTEMPTS
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    write_atomically(file, json.dumps([*before, None]) + "\n")  # stays None when nobody sees the end
    try:
        seconds = trainer.run(words, folder / LOG, descriptor)
    except Stopping as stopped:
        write_atomically(file, json.dumps([*before, stopped.cpu_s]) + "\n")
        raise
    write_atomically(file, json.dumps([*before, seconds]) + "\n")


def _time(folder: Path, run: Run) -> TrainingTime:
    file = folder / ATTEMPTS
    attempts = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else [None]
    cpu_s = None if None in attempts or not attempts else float(sum(attempts))
    return TrainingTime(_wall_s(run.folder / "progress.csv"), cpu_s, run.settings.device)


def _wall_s(file: Path) -> float | None:
    """Seconds that a run took: its clock starts anew with every resumption."""
    if not file.is_file():
        return None
    total, last = 0.0, 0.0
    with file.open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            now = float(line.get("time/time_elapsed") or last)
            if now < last:
                total += last
            last = now
    return total + last
