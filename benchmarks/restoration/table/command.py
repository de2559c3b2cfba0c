"""Rebuild the results table: EPOPR's Table 1, our planners and learners, and ablations, with seeds and intervals.

    python benchmarks/restoration_table.py --jobs 2 --frontier --docs docs/results.md --figure docs/img/results.png

Every learner's seed is one `train.py` run on one thread; every score is on the same held-out storms. Seeds that are
done are kept in the results folder (a few kB each, meant to be committed), so the table grows over days: stop the
command whenever you like, and the same command goes on; runs under way resume from their last checkpoint. A changed
setting is a new run. `--only`, `--seeds` and `--table-only` do a part; `--small` does all of it at the size of a test.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import tyro
from pages import replace_block
from results_table import figure, summary, tables
from results_table.rows import FRONTIER, ROWS, SMALL_CITY, Row, choose, small
from results_table.scores import Held, Place, Score, changed_since, load_score, play, score_file, write_score
from results_table.training import Stopping, Trainer, seed_folder, steps_done, train_seed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.evaluation.summary import plain
from stormgym.agents.files import write_atomically
from stormgym.agents.terminal import make_console

BLOCK = "restoration_table"
_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The results table of Restoration-v0."""

    cities: tuple[str, ...] = ("default",)
    """Cities of all rows but the ablations: names ("default", "synthetic:N:SEED") or folders."""
    only: tuple[str, ...] = ()
    """Labels, agents or groups of the rows to train and score; the table still shows every row on disk."""
    seeds: int | None = None
    """Training seeds of each learner, 0, 1, ...; left out, the row's own number, and all on disk in the table."""
    timesteps: int | None = None
    """Steps of each seed; left out, the row's own number."""
    jobs: int = 1
    """Runs side by side, one thread each; 0 trains in this process, one after the other."""
    device: str = "cpu"
    """Torch device that new runs train on, shared by those side by side; all are scored on the CPU."""
    episodes: int = 1_000
    """Held-out storms."""
    eval_seed: int = 12_345
    """Seed of the held-out storms; no training sees them."""
    frontier: bool = False
    """Score the equity planner at limits from 4 to 20 h as well, for the figure."""
    table_only: bool = False
    """Neither train nor score: make the table from what is on disk."""
    runs_dir: Path = Path("runs/restoration_table")
    """Where runs are kept."""
    results: Path = Path("benchmarks/results/restoration")
    """Where scores are kept, and the table as table.json."""
    docs: Path | None = None
    """Markdown file whose block between restoration_table:begin and restoration_table:end is replaced."""
    figure: Path | None = None
    """PNG file of mean outage against mean gap."""
    small: bool = False
    """Every row at the size of a test, in this process: eight regions, two seeds of 1,500 steps, 64 storms."""


SMALL_DEFAULTS: dict[str, Any] = {
    "cities": (SMALL_CITY,),
    "jobs": 0,
    "episodes": 64,
    "runs_dir": Path("runs/restoration_table_small"),
    "results": Path("runs/restoration_table_small/results"),
}
"""What `--small` changes, where the command line does not say otherwise."""


@dataclass(frozen=True, eq=False)
class Job:
    """One seed to train and score, or one policy to score."""

    row: Row
    place: Place
    seed: int
    file: Path

    @property
    def name(self) -> str:
        """How it is called in messages."""
        seed = f" seed {self.seed}" if self.row.kind == "learner" else ""
        return f"{self.place.slug}: {self.row.label}{seed}"


@dataclass
class Bench:
    """Trains and scores; what can be asked for while it does."""

    settings: Settings
    held: Held
    trainer: Trainer
    guard: threading.Lock
    """One scoring at a time: it is fast, and a decision's time is measured."""
    active: dict[Job, float]

    def do(self, job: Job) -> None:
        """Train what must be trained, score it, keep the score."""
        self.active[job] = time.monotonic()
        try:
            run = spent = None
            if job.row.kind == "learner":
                city = _absolute(job.place.name)
                run, spent = train_seed(self.trainer, job.row, city, self.folder(job), job.seed)
            if self.trainer.stopping:
                raise Stopping
            with self.guard:
                write_score(job.file, *play(job.row, job.place, self.held, job.seed, run, spent))
        finally:
            del self.active[job]

    def folder(self, job: Job) -> Path:
        """Where a learner's seed is trained."""
        digest = job.row.trained_as.digest(job.place.fingerprint)
        return seed_folder(self.settings.runs_dir.resolve(), job.row, job.place.slug, digest, job.seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when a run failed, 2 for a wrong name or option, 130 when stopped."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    if settings.small:
        plain_settings = Settings()
        untouched = {k: v for k, v in SMALL_DEFAULTS.items() if getattr(settings, k) == getattr(plain_settings, k)}
        settings = replace(settings, **untouched)
    try:
        return _run(settings)
    except (KeyError, ValueError) as error:
        print(f"restoration_table.py: {error.args[0] if error.args else error}", file=sys.stderr)
        return 2


def _run(settings: Settings) -> int:
    for name, value, least in (
        ("--episodes", settings.episodes, 2),
        ("--seeds", settings.seeds, 1),
        ("--timesteps", settings.timesteps, 1),
        ("--jobs", settings.jobs, 0),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")
    out, err = make_console(), Console(stderr=True, highlight=False, emoji=False)
    held = Held(settings.episodes, settings.eval_seed)
    rows = rows_of(settings)
    lacking = {row.label: why for row in rows if (why := row.lacking()) is not None}
    for label, why in lacking.items():
        err.print(f"left out: {label} ({why} in this version)")
    rows = tuple(row for row in rows if row.label not in lacking)
    with err.status("reading the cities"):
        placed = [(row, place) for place, members in _placed(settings, rows) for row in members]
    chosen = {id(row) for row in choose([row for row, _ in placed], settings.only)}
    code = 0
    if not settings.table_only:
        jobs = todo(settings, [(row, place) for row, place in placed if id(row) in chosen], held)
        code = work(settings, held, jobs, err)
        if code == 130:
            return code
    report(settings, placed, held, out, err)
    return code


def rows_of(settings: Settings) -> tuple[Row, ...]:
    """The rows that the settings ask for, at the size that they ask for."""
    rows = ROWS + (FRONTIER if settings.frontier or settings.table_only else ())
    if settings.small:
        rows = tuple(small(row) for row in rows)
    changes: dict[str, Any] = {"seeds": settings.seeds, "timesteps": settings.timesteps}
    changes = {name: value for name, value in changes.items() if value is not None}
    return tuple(replace(row, **changes) if row.kind == "learner" else row for row in rows)


def todo(settings: Settings, placed: Sequence[tuple[Row, Place]], held: Held) -> list[Job]:
    """What is not on disk yet: the first seed of every row, then the second, and so on; equal settings once."""
    jobs: dict[Path, Job] = {}
    for seed in range(max((row.seeds for row, _ in placed), default=0)):
        for row, place in placed:
            file = score_file(settings.results, row, place, seed)
            if seed < row.seeds and file not in jobs and load_score(file, row, held) is None:
                jobs[file] = Job(row, place, seed, file)
    return list(jobs.values())


def work(settings: Settings, held: Held, jobs: Sequence[Job], err: Console) -> int:
    """Do all jobs; one that fails does not keep the others back. Return 0, 1 or 130 (stopped)."""
    import torch

    if not jobs:
        return 0
    torch.set_num_threads(1)
    bench = Bench(settings, held, Trainer(in_process=settings.jobs == 0, device=settings.device), threading.Lock(), {})
    failed: list[tuple[Job, BaseException]] = []
    with _bar(err) as bar, _terminates(bench.trainer):
        total = bar.add_task("all", total=len(jobs), unit="seeds and policies")
        try:
            done = _in_turn(bench, jobs) if bench.trainer.in_process else _side_by_side(bench, jobs, bar)
            for job, error in done:
                bar.advance(total)
                if error is not None:
                    failed.append((job, error))
                    bar.console.print(f"failed: {job.name}: {error}", markup=False, soft_wrap=True)
        except (KeyboardInterrupt, Stopping):
            bench.trainer.stop()
            err.print(
                "restoration_table.py: stopped; what is done is kept, and the same command goes on", soft_wrap=True
            )
            return 130
    for job, error in failed:
        err.print(f"failed: {job.name}: {str(error).splitlines()[0]}", markup=False, soft_wrap=True)
    return 1 if failed else 0


def _in_turn(bench: Bench, jobs: Sequence[Job]) -> Iterator[tuple[Job, BaseException | None]]:
    for job in jobs:
        try:
            bench.do(job)
            yield job, None
        except Stopping:
            raise
        except Exception as error:  # any failure of one run is told at the end
            yield job, error


def _side_by_side(bench: Bench, jobs: Sequence[Job], bar: Progress) -> Iterator[tuple[Job, BaseException | None]]:
    """Jobs as they end; the bar shows the steps of those under way."""
    with ThreadPoolExecutor(bench.settings.jobs) as pool:
        pending: dict[Future[None], Job] = {pool.submit(bench.do, job): job for job in jobs}
        shown: dict[Job, Any] = {}
        try:
            while pending:
                ended, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    job, error = pending.pop(future), future.exception()
                    if isinstance(error, Stopping):
                        raise error
                    yield job, error
                _show_active(bench, bar, shown)
        except BaseException:
            bench.trainer.stop()
            for future in pending:
                future.cancel()
            raise


def _show_active(bench: Bench, bar: Progress, shown: dict[Job, Any]) -> None:
    active = set(bench.active)
    for job in shown.keys() - active:
        bar.remove_task(shown.pop(job))
    for job in active:
        if job not in shown:
            shown[job] = bar.add_task(job.name, total=job.row.timesteps or None, unit="steps")
        if job.row.kind == "learner":
            bar.update(shown[job], completed=min(steps_done(bench.folder(job)), job.row.timesteps))


@contextmanager
def _terminates(trainer: Trainer) -> Iterator[None]:
    """Let SIGTERM stop the benchmark as Ctrl-C does, where handlers may be set; runs in this process set their own."""
    if trainer.in_process or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: Any) -> None:
        del signum, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bar(err: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
    )


def report(
    settings: Settings, placed: Sequence[tuple[Row, Place]], held: Held, out: Console, err: Console
) -> dict[str, Any]:
    """Make table, JSON, figure and docs of all that is on disk; return what the JSON holds.

    Raises:
        ValueError: nothing is on disk yet.
    """
    found: dict[str, list[tuple[Row, list[Score]]]] = {}
    for row, place in placed:
        folder = score_file(settings.results, row, place, 0).parent
        files = sorted(folder.glob("[0-9]*.json"), key=lambda file: int(file.stem))
        if settings.seeds is not None:
            files = [file for file in files if int(file.stem) < settings.seeds]
        scores = [score for file in files if (score := load_score(file, row, held)) is not None]
        for file in files:
            if names := changed_since(file, row):
                what = f"{place.slug}: {row.label} seed {file.stem}"
                err.print(f"left out: {what} was trained with another {', '.join(names)} than today's", soft_wrap=True)
        if scores:
            found.setdefault(place.slug, []).append((row, scores))
    lines = {city: [pair for pair in rows if pair[0].group != "frontier"] for city, rows in found.items()}
    made = [summary.city_table(city, rows) for city, rows in lines.items() if rows]
    if not made:
        raise ValueError(
            f"no scores of these rows on {held.episodes} storms of seed {held.seed} in {settings.results}; "
            "run without --table-only first"
        )
    across = summary.across_cities([t for t in made if any(line.row.group != "ablations" for line in t.lines)])
    tables.show(made, across, out)
    content: dict[str, Any] = plain(summary.as_json(made, across))
    file = write_atomically(settings.results / "table.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    err.print(f"wrote {file}")
    address = None
    if settings.figure is not None:
        frontiers = {
            city: [score for row, scores in rows if row.group == "frontier" for score in scores]
            for city, rows in found.items()
        }
        figure.write(figure.draw(made, frontiers), settings.figure)
        err.print(f"wrote {settings.figure}")
    if settings.docs is not None:
        if settings.figure is not None:
            address = Path(os.path.relpath(settings.figure, settings.docs.parent)).as_posix()
        replace_block(settings.docs, BLOCK, tables.markdown(made, across, command(settings), address))
        err.print(f"wrote {settings.docs}")
    return content


def command(settings: Settings) -> str:
    """The command line that makes the whole table; folders of cities by their last part, no folders of this machine."""
    plain_settings = Settings()
    words = ["python benchmarks/restoration_table.py"]
    for f in fields(settings):
        value = getattr(settings, f.name)
        if f.name in ("only", "table_only", "jobs", "runs_dir", "results", "docs", "figure"):
            continue
        if value == getattr(plain_settings, f.name) or (settings.small and value == SMALL_DEFAULTS.get(f.name)):
            continue
        option = f"--{f.name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option)
        elif isinstance(value, tuple):
            words += [option, *(shlex.quote(Path(city).name) for city in value)]
        else:
            words += [option, str(value)]
    return " ".join(words)


def _placed(settings: Settings, rows: Sequence[Row]) -> list[tuple[Place, list[Row]]]:
    """Cities with their rows: those of the command line first, then the rows' own."""
    names = dict.fromkeys((*settings.cities, *(row.city for row in rows if row.city is not None)))
    named = [
        (name, [row for row in rows if row.city == name or (row.city is None and name in settings.cities)])
        for name in names
    ]
    return [(Place.of(name), members) for name, members in named if members]


def _absolute(city: str) -> str:
    """A city as train.py, which may run elsewhere, finds it."""
    return city if city == "default" or city.startswith("synthetic:") else str(Path(city).resolve())


if __name__ == "__main__":
    sys.exit(main())
