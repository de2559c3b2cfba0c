"""Many training runs side by side: each is one `train.py` in a process of its own, found, resumed or begun.

Five seeds of one agent, two at a time:

    jobs = [
        TrainingJob(
            name=f"seed {seed}",
            env_id="Restoration-v0",
            agent="sta-sac",
            seed=seed,
            timesteps=60_000,
            options=("--env", "Restoration-v0", "--agent", "sta-sac", "--timesteps", "60000", "--seed", str(seed)),
            runs_dir=Path("runs"),
            folder=Path("runs/pool") / str(seed),
        )
        for seed in range(5)
    ]
    outcome = train_all(jobs, n_workers=2, console=Console(stderr=True))
    sys.exit(outcome.exit_code)

- **On a Ray cluster** the trainer is another (`stormgym.agents.training.workers.trainer_for`); all else is the same.
- **Killed, stopped or crashed, the same call continues.** A run whose process alone was killed is taken up again at
  once. A job whose run has reached its budget is not trained again; one whose run has a checkpoint is resumed from it
  (`train.py --resume`); any other is begun. `TrainingJob.is_own` says which run folders are a job's own.
- **One thread a run.** Workers share the processor by running side by side, not by each taking all of it.
- **Ctrl-C is clean.** Runs are in sessions of their own, so the signal reaches the caller alone, which asks every run
  once to save and end. A caller that is killed outright leaves its runs to go on; the next call waits for them by their
  lock.
- **Logs.** `train.log` in the job's folder has what its runs printed, `attempts.json` the processor seconds of each
  attempt, `done.json` the run that reached the budget.
"""

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
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.cluster import THREAD_CAPS
from stormgym.agents.files import write_atomically
from stormgym.agents.runs import SETTINGS, Run, RunSettings, open_run
from stormgym.agents.storage.container import UnreadableFile

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, start one pool at a time
    fcntl = None  # type: ignore[assignment]

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
"""The command line of this source tree."""
ATTEMPTS, DONE, LOCK, LOG = "attempts.json", "done.json", "lock", "train.log"
RETRIES = 3
"""How often a run is taken up again whose process was killed."""
_POLL_S = 1.0
_TAIL = 1_500
"""Characters of a log that an error message ends with."""

J = TypeVar("J")
R = TypeVar("R")


class Stopping(Exception):
    """The pool was asked to stop; runs under way have been saved."""

    def __init__(self, cpu_s: float | None = None) -> None:
        super().__init__("stopped; the same command goes on")
        self.cpu_s = cpu_s


class Killed(RuntimeError):
    """The process of a run was killed, or its machine is gone: not by what the run did, so it is worth another try."""


@dataclass(frozen=True)
class TrainingTime:
    """How long a run has trained, over all attempts."""

    wall_s: float | None
    """Seconds by the run's own clock, evaluations included; work lost in a crash is not."""
    cpu_s: float | None
    """Processor seconds of all attempts; None when one ended without telling."""
    device: str = "cpu"
    """Torch device that it trained on."""


def _any_run(settings: RunSettings) -> bool:
    del settings
    return True


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingJob:
    """One run of `train.py` that is to reach its budget."""

    name: str
    """How messages call it."""
    env_id: str
    agent: str
    seed: int
    timesteps: int
    """Budget: environment steps of the whole run."""
    options: Sequence[str]
    """Options of train.py that begin the run, all but `--runs-dir`, `--device` and threads."""
    runs_dir: Path
    """Where train.py makes the run's folder."""
    folder: Path
    """Where the job keeps its log, times and lock; no other job's."""
    is_own: Callable[[RunSettings], bool] = _any_run
    """Whether a run of this environment, agent and seed in `runs_dir` was trained as this job would be."""
    drop_buffers: bool = False
    """Delete replay buffers once the run has ended: they are large, and without them its budget cannot be raised."""

    def newest_run(self) -> Run | None:
        """The job's last run, ended or not; None when it has none."""
        files = sorted(
            self.runs_dir.glob(f"{self.env_id}/{self.agent}/*/{SETTINGS}"), key=lambda file: file.stat().st_mtime
        )
        runs = [run for file in files if (run := _readable_run(file.parent)) is not None]
        own = [run for run in runs if run.settings.seed == self.seed and self.is_own(run.settings)]
        return own[-1] if own else None

    def ended_run(self) -> Run | None:
        """The job's last run if it has reached the budget."""
        run = self.newest_run()
        last = None if run is None else run.last_checkpoint()
        return run if last is not None and int(last.name) >= self.timesteps else None

    def steps_done(self) -> int:
        """Steps of the last run, as its log of metrics tells; for a progress bar."""
        files = self.runs_dir.glob(f"{self.env_id}/{self.agent}/{self.seed}-*/progress.csv")
        try:
            newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
            if newest is None:
                return 0
            with newest.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 2_000))
                last = file.read().decode("utf-8", errors="replace").strip().rpartition("\n")[2]
        except OSError:  # a run that is moved or deleted just now
            return 0
        head = last.partition(",")[0]
        return int(head) if head.isdecimal() else 0


def _readable_run(folder: Path) -> Run | None:
    """The run of a folder; None, with a warning, where its settings cannot be read: other runs go on all the same."""
    try:
        return open_run(folder)
    except UnreadableFile as error:
        warnings.warn(f"{error}. The run is passed over", UserWarning, stacklevel=2)
        return None


class Trainer:
    """Runs `train.py`: each time in a process of its own, or, for tests and trials, in this one.

    Args:
        in_process: run it in this process, without signals and thread caps.
        device: torch device of new runs, shared by those side by side.
        threads: threads of each run.
        script: the `train.py` to run; None takes that of this source tree.
    """

    def __init__(
        self, in_process: bool = False, device: str = "cpu", threads: int = 1, script: Path | None = None
    ) -> None:
        self.in_process = in_process
        self.device = device
        self.threads = threads
        self.script = script or TRAIN
        self.stopping = False
        self._live: set[int] = set()
        self._guard = threading.Lock()

    def run(self, words: Sequence[str], log: Path, keep_open: int | None = None) -> float | None:
        """Run train.py with these options; return processor seconds, where the system tells.

        Args:
            words: options.
            log: file that what it prints is appended to.
            keep_open: descriptor of a file that its process inherits (a lock that shall end with it).

        Raises:
            Stopping: the pool is being stopped.
            FileNotFoundError: there is no such script.
            Killed: its process was killed.
            RuntimeError: train.py failed; the message ends as its log does.
        """
        if self.stopping:
            raise Stopping
        if not self.script.is_file():
            raise FileNotFoundError(
                f"no train.py at {self.script}: a wheel does not hold command lines. Give the script of a source tree"
            )
        code, seconds = self.run_here(words, log) if self.in_process else self._apart(words, log, keep_open)
        if code and (self.stopping or (self.in_process and code in (130, 143))):
            raise Stopping(seconds)
        if code < 0:
            raise Killed(f"train.py {shlex.join(words)} was killed by {signal.Signals(-code).name}")
        if code:
            tail = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
            raise RuntimeError(f"train.py {shlex.join(words)} ended with code {code}:\n{tail}")
        return seconds

    def stop(self) -> None:
        """Ask every run to save and end; none begins from here on."""
        with self._guard:
            self.stopping = True
            for pid in self._live:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(pid, signal.SIGTERM)

    def _apart(self, words: Sequence[str], log: Path, keep_open: int | None) -> tuple[int, float | None]:
        env = {**os.environ, **dict.fromkeys(THREAD_CAPS, str(self.threads))}
        with log.open("a", encoding="utf-8") as out:
            with self._guard:  # between this check and the child's number no `stop` may pass
                if self.stopping:
                    raise Stopping
                child = subprocess.Popen(
                    [sys.executable, str(self.script), *words],
                    env=env,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,  # Ctrl-C reaches the pool alone
                    pass_fds=() if keep_open is None or os.name == "nt" else (keep_open,),
                )
                self._live.add(child.pid)
            try:
                return _wait(child)
            finally:
                with self._guard:
                    self._live.discard(child.pid)

    def run_here(self, words: Sequence[str], log: Path) -> tuple[int, float | None]:
        """Run train.py in this process; return its exit code and processor seconds."""
        start = time.process_time()
        with log.open("a", encoding="utf-8") as out, redirect_stdout(out), redirect_stderr(out):
            try:
                code = train_module(self.script).main(list(words))
            except SystemExit as error:  # a wrong option
                code = error.code if isinstance(error.code, int) else int(error.code is not None)
        return code, time.process_time() - start


def train_module(script: Path = TRAIN) -> Any:
    """The command line `train.py` as a module."""
    name = f"stormgym train.py {script}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, script)
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
    """Hold a job's folder; wait while another pool, or a run that outlived its own, still does.

    The lock belongs to the open file, which the run inherits: it ends with the last process that trains the job.
    """
    if fcntl is None:
        yield None
        return
    with (folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def train_to_end(trainer: Trainer, job: TrainingJob) -> tuple[Run, TrainingTime]:
    """Begin, resume or find a job's run; return it once it has reached its budget, and the time it took.

    A run whose process is killed is taken up again from its last checkpoint, `RETRIES` times: what it had logged since
    then is dropped, and written anew.

    Raises:
        Stopping, RuntimeError: as `Trainer.run`; also a RuntimeError when train.py ends and the budget is not reached.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with locked(job.folder) as descriptor:
        for left in range(RETRIES, -1, -1):
            if job.ended_run() is not None:
                break
            try:
                _attempt(trainer, _words(trainer, job), job.folder, descriptor)
                break
            except Killed:
                if not left:
                    raise
        run = job.ended_run()
        if run is None:
            raise RuntimeError(f"train.py ended, but its run has not reached {job.timesteps:,} steps: {job.folder}")
        write_atomically(job.folder / DONE, json.dumps({"run": os.path.relpath(run.folder, job.folder)}) + "\n")
        if job.drop_buffers:
            from stormgym.agents.training.checkpoints import BUFFER  # here, since it loads torch

            for buffer in run.checkpoints.glob(f"*/{BUFFER}"):
                buffer.unlink()
        return run, _time(job.folder, run)


def _words(trainer: Trainer, job: TrainingJob) -> list[str]:
    """Options of train.py that resume a job's run, or begin one; without its final table and progress bar."""
    quiet = ["--final-episodes", "0", "--no-progress"]
    run = job.newest_run()
    if run is not None and run.last_checkpoint() is not None:
        return [*quiet, "--resume", str(run.folder), *_module(job.options)]
    write_atomically(job.folder / ATTEMPTS, "[]\n")
    where = ["--runs-dir", str(job.runs_dir), "--torch-threads", str(trainer.threads), "--device", trainer.device]
    return [*quiet, *job.options, *where]


def _module(options: Sequence[str]) -> list[str]:
    """The option that imports the module of an environment, where there is one: a run's own settings import nothing."""
    words = [part for word in options for part in (word.split("=", 1) if word.startswith("--env=") else (word,))]
    named = next((value for option, value in pairwise(words) if option == "--env"), "")
    return ["--env", named] if ":" in named else []


def _attempt(trainer: Trainer, words: list[str], folder: Path, descriptor: int | None) -> None:
    """Run train.py and keep its processor time, also that of an attempt that was stopped."""
    file = folder / ATTEMPTS
    before = _attempts(file) if file.is_file() else []
    write_atomically(file, json.dumps([*before, None]) + "\n")  # stays None when this process dies first
    try:
        seconds = trainer.run(words, folder / LOG, descriptor)
    except Stopping as stopped:
        write_atomically(file, json.dumps([*before, stopped.cpu_s]) + "\n")
        raise
    write_atomically(file, json.dumps([*before, seconds]) + "\n")


def _time(folder: Path, run: Run) -> TrainingTime:
    attempts = _attempts(folder / ATTEMPTS)
    known = [seconds for seconds in attempts if seconds is not None]
    cpu_s = sum(known) if known and len(known) == len(attempts) else None
    return TrainingTime(_wall_s(run.folder / "progress.csv"), cpu_s, run.settings.device)


def _attempts(file: Path) -> list[float | None]:
    """Processor seconds of each attempt; one that is not known where the file is missing or says something else."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return [None if seconds is None else float(seconds) for seconds in told]
    except (OSError, ValueError, TypeError):
        return [None]


def _wall_s(file: Path) -> float | None:
    """Seconds that a run took, None where its log cannot be read: its clock starts anew with every resumption."""
    total, last = 0.0, 0.0
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for line in csv.DictReader(lines):
                now = float(line.get("time/time_elapsed") or last)
                if now < last:
                    total += last
                last = now
    except (OSError, ValueError, TypeError, csv.Error):
        return None
    return total + last


@dataclass
class Outcome(Generic[J, R]):
    """How the jobs ended."""

    done: list[tuple[J, R]] = field(default_factory=list)
    failed: list[tuple[J, BaseException]] = field(default_factory=list)
    stopped: bool = False
    """Ctrl-C or SIGTERM: finished work is kept, and the same call continues."""

    @property
    def exit_code(self) -> int:
        """For a command line: 0, 1 when a job failed, 130 when stopped."""
        return 130 if self.stopped else 1 if self.failed else 0


def train_all(
    jobs: Sequence[TrainingJob], *, n_workers: int, console: Console, trainer: Trainer | None = None
) -> Outcome[TrainingJob, tuple[Run, TrainingTime]]:
    """Bring every job to its budget, `n_workers` at a time (0: in this process, one after the other).

    A job that fails does not keep the others back; each failure is printed with the end of its log. The bar has a line
    for each run under way.
    """
    runner = trainer or Trainer(in_process=n_workers == 0)
    return work(
        jobs,
        lambda job: train_to_end(runner, job),
        trainer=runner,
        n_workers=n_workers,
        console=console,
        training=lambda job: job,
    )


def work(
    jobs: Sequence[J],
    do: Callable[[J], R],
    *,
    trainer: Trainer,
    n_workers: int,
    console: Console,
    name: Callable[[J], str] = lambda job: str(getattr(job, "name", job)),
    training: Callable[[J], TrainingJob | None] = lambda job: None,
    unit: str = "runs",
) -> Outcome[J, R]:
    """Do all jobs, which may train and then do more (`do` calls `train_to_end`); one that fails holds up no other.

    Args:
        jobs: what is to be done, in the order in which it is begun.
        do: does one; called in threads, `n_workers` at a time.
        trainer: what `do` trains with; it is stopped on Ctrl-C and SIGTERM.
        n_workers: how many side by side; 0 does them in this thread, one after the other.
        console: for the bar and failures.
        name: how messages call a job.
        training: the run that a job trains, whose steps the bar shows.
        unit: what jobs are, for the bar.
    """
    outcome: Outcome[J, R] = Outcome()
    active: set[J] = set()

    def one(job: J) -> R:
        active.add(job)
        try:
            return do(job)
        finally:
            active.discard(job)

    with _bar(console) as bar, _terminates(trainer):
        total = bar.add_task("all", total=len(jobs), unit=unit)
        lines: dict[J, Any] = {}

        def draw() -> None:
            _draw_active(bar, lines, active, name, training)

        try:
            ends = _in_turn(jobs, one) if n_workers == 0 else _side_by_side(jobs, one, n_workers, trainer, draw)
            for job, result, error in ends:
                bar.advance(total)
                if error is None:
                    outcome.done.append((job, result))  # type: ignore[arg-type]  # a job without an error has a result
                else:
                    outcome.failed.append((job, error))
                    bar.console.print(f"failed: {name(job)}: {error}", markup=False, soft_wrap=True)
        except (KeyboardInterrupt, Stopping):
            trainer.stop()
            outcome.stopped = True
            return outcome
    for job, error in outcome.failed:  # again at the end, where a long log would have hidden it
        console.print(f"failed: {name(job)}: {str(error).splitlines()[0]}", markup=False, soft_wrap=True)
    return outcome


End = tuple[J, R | None, BaseException | None]


def _in_turn(jobs: Sequence[J], do: Callable[[J], R]) -> Iterator[End[J, R]]:
    for job in jobs:
        try:
            yield job, do(job), None
        except Stopping:
            raise
        except Exception as error:  # any failure of one job is told at the end
            yield job, None, error


def _side_by_side(
    jobs: Sequence[J], do: Callable[[J], R], n_workers: int, trainer: Trainer, draw: Callable[[], None]
) -> Iterator[End[J, R]]:
    """Jobs as they end; `draw` is called between whiles."""
    with ThreadPoolExecutor(n_workers) as pool:
        pending: dict[Future[R], J] = {pool.submit(do, job): job for job in jobs}
        try:
            while pending:
                ended, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    job, error = pending.pop(future), future.exception()
                    if isinstance(error, Stopping):
                        raise error
                    yield job, None if error else future.result(), error
                draw()
        except BaseException:
            trainer.stop()
            for future in pending:
                future.cancel()
            raise


def _draw_active(
    bar: Progress,
    lines: dict[J, Any],
    active: set[J],
    name: Callable[[J], str],
    training: Callable[[J], TrainingJob | None],
) -> None:
    """A line of the bar for each job under way, with the steps of its run."""
    now = set(active)
    for job in lines.keys() - now:
        bar.remove_task(lines.pop(job))
    for job in now:
        run = training(job)
        if job not in lines:
            lines[job] = bar.add_task(name(job), total=run.timesteps if run else None, unit="steps")
        if run:
            bar.update(lines[job], completed=min(run.steps_done(), run.timesteps))


@contextmanager
def _terminates(trainer: Trainer) -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the pool as Ctrl-C does, where handlers may be set; runs in here set their own.

    A SIGHUP that the process was started to ignore (`nohup`) stays ignored.
    """
    if trainer.in_process or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: Any) -> None:
        del signum, frame
        raise KeyboardInterrupt

    hangup = getattr(signal, "SIGHUP", None)  # which Windows lacks
    ignored = hangup is None or signal.getsignal(hangup) == signal.SIG_IGN
    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, *(() if ignored else (hangup,)))}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
