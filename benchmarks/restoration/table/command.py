"""Rebuild the results table: EPOPR's Table 1, our planners and learners, and ablations, with seeds and intervals.

    python -m benchmarks.restoration.table --jobs 2 --frontier --docs docs

Every learner's seed is one `train.py` run on one thread; every score is on the same held-out storms. Seeds that are
done are kept, so the table grows over days: stop the command whenever you like, and the same command goes on; runs
under way resume from their last checkpoint. A changed setting is a new run. `--only`, `--seeds` and `--table-only` do a
part; `--small` does all of it at the size of a test.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import tyro
from rich.console import Console

from benchmarks.kit.cells import Cells
from benchmarks.kit.pages import PICTURES, Page, write_summary
from benchmarks.kit.settings import SMALL, Keeping, command_of
from benchmarks.restoration.table import figure, summary, tables
from benchmarks.restoration.table.rows import FRONTIER, ROWS, SMALL_CITY, Row, choose, small
from benchmarks.restoration.table.scores import (
    Held,
    Place,
    Score,
    cell_folder,
    changed_since,
    keep_score,
    key_of,
    load_score,
    play,
)
from stormgym.agents.cluster import parse_workers
from stormgym.agents.evaluation.summary import plain
from stormgym.agents.files import write_atomically
from stormgym.agents.terminal import make_console
from stormgym.agents.training.pool import Stopping, TrainingJob, train_to_end, work
from stormgym.agents.training.workers import trainer_for
from stormgym.envs.data.resolve import is_generated

BENCHMARK = "restoration/table"
PAGE = Page("restoration-table", "The main paper's table", "restoration")
FIGURE = "results.png"


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """The results table of Restoration-v0."""

    cities: tuple[str, ...] = ("default",)
    """Cities of all rows but the ablations: names (as `--city` of train.py) or folders."""
    only: tuple[str, ...] = ()
    """Labels, agents or groups of the rows to train and score; the table still shows every row on disk."""
    seeds: int | None = None
    """Training seeds of each learner, 0, 1, ...; left out, the row's own number, and all on disk in the table."""
    timesteps: int | None = None
    """Steps of each seed; left out, the row's own number."""
    jobs: int | str = 1
    """Runs side by side, one thread each; 0 trains in this process, one after the other; ray or ray:N in a cluster."""
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
    small: bool = False
    """Every row at the size of a test, in this process: eight regions, two seeds of 1,500 steps, 64 storms."""

    HOW: ClassVar[tuple[str, ...]] = ("only", "table_only", "jobs", "runs_dir")


SMALL_DEFAULTS: dict[str, Any] = {
    "cities": (SMALL_CITY,),
    "jobs": 0,
    "episodes": 64,
    "runs_dir": SMALL / "restoration_table",
}
"""What `--small` changes, where the command line does not say otherwise."""
Placed = Sequence[tuple[Row, Place]]
"""Rows, each in a city."""
Found = dict[str, list[tuple[Row, list[Score]]]]
"""City -> rows with their seeds."""


@dataclass(frozen=True, eq=False)
class Job:
    """One seed to train and score, or one policy to score."""

    row: Row
    place: Place
    held: Held
    seed: int
    runs_dir: Path

    @property
    def key(self) -> str:
        """Name of its cell."""
        return key_of(self.row, self.place, self.held, self.seed)

    @property
    def name(self) -> str:
        """How it is called in messages."""
        seed = f" seed {self.seed}" if self.row.kind == "learner" else ""
        return f"{self.place.slug}: {self.row.label}{seed}"

    def training(self) -> TrainingJob | None:
        """The run of a learner's seed; a row that looks ahead plays the run of the row without."""
        if self.row.kind != "learner":
            return None
        row = self.row.trained_as
        settings = f"{row.agent}-{row.digest(self.place.fingerprint)}"
        folder = self.runs_dir.resolve() / self.place.slug / settings / str(self.seed)
        return row.training(_absolute(self.place.name)).job(self.name, folder, self.seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when a run failed, 2 for a wrong name or option, 130 when stopped."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    if settings.small:
        usual = Settings()
        untouched = {k: v for k, v in SMALL_DEFAULTS.items() if getattr(settings, k) == getattr(usual, k)}
        settings = replace(settings, **untouched)
    try:
        return _run(settings)
    except (KeyError, ValueError) as error:
        print(f"restoration.table: {error.args[0] if error.args else error}", file=sys.stderr)
        return 2


def _run(settings: Settings) -> int:
    for name, value, least in (
        ("--episodes", settings.episodes, 2),
        ("--seeds", settings.seeds, 1),
        ("--timesteps", settings.timesteps, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")
    parse_workers(settings.jobs, least=0)
    out, err = make_console(), Console(stderr=True, highlight=False, emoji=False)
    rows = rows_of(settings, err)
    with err.status("reading the cities"):
        placed = placed_of(settings.cities, rows, Place.of)
    chosen = {id(row) for row in choose([row for row, _ in placed], settings.only)}
    cells, code = settings.kept(BENCHMARK), 0
    if not settings.table_only:
        jobs = todo(settings, cells, [(row, place) for row, place in placed if id(row) in chosen])
        code = train_and_score(settings, cells, jobs, err)
        if code == 130:
            return code
    found = scores_of(settings, cells, placed, err)
    cells.collect(key_of(row, place, held_of(settings), seed) for row, place, seed in _seeds(settings, cells, placed))
    made = made_of(found)
    tables.show(made, summary.across_cities(of_all_rows(made)), out)
    if settings.docs is not None:
        cells.keep_page(page_of(settings, placed))
        _write(settings, made, settings.docs)
        figure.write(figure.draw(made, frontiers_of(found)), settings.docs / "img" / FIGURE)
    return code


def held_of(settings: Settings) -> Held:
    """The held-out storms that the settings ask for."""
    return Held(settings.episodes, settings.eval_seed)


def rows_of(settings: Settings, err: Console | None = None) -> tuple[Row, ...]:
    """The rows that the settings ask for, at the size that they ask for; what this version lacks is left out."""
    rows = ROWS + (FRONTIER if settings.frontier or settings.table_only else ())
    if settings.small:
        rows = tuple(small(row) for row in rows)
    changes: dict[str, Any] = {"seeds": settings.seeds, "timesteps": settings.timesteps}
    changes = {name: value for name, value in changes.items() if value is not None}
    rows = tuple(replace(row, **changes) if row.kind == "learner" else row for row in rows)
    lacking = {row.label: why for row in rows if (why := row.lacking()) is not None}
    for label, why in lacking.items() if err is not None else ():
        err.print(f"left out: {label} ({why} in this version)")  # type: ignore[union-attr]
    return tuple(row for row in rows if row.label not in lacking)


def placed_of(cities: Sequence[str], rows: Sequence[Row], resolve: Callable[[str], Place]) -> list[tuple[Row, Place]]:
    """Rows, each in its cities: those of the command line first, then the rows' own."""
    placed: list[tuple[Row, Place]] = []
    for name in dict.fromkeys((*cities, *(row.city for row in rows if row.city is not None))):
        members = [row for row in rows if row.city == name or (row.city is None and name in cities)]
        if members:
            place = resolve(name)
            placed += [(row, place) for row in members]
    return placed


def todo(settings: Settings, cells: Cells, placed: Placed) -> list[Job]:
    """What is not kept yet: the first seed of every row, then the second, and so on; equal settings once."""
    jobs: dict[str, Job] = {}
    for seed in range(max((row.seeds for row, _ in placed), default=0)):
        for row, place in placed:
            job = Job(row, place, held_of(settings), seed, settings.runs_dir)
            if seed < row.seeds and job.key not in jobs and load_score(cells, job.key, row) is None:
                jobs[job.key] = job
    return list(jobs.values())


def train_and_score(settings: Settings, cells: Cells, jobs: Sequence[Job], err: Console) -> int:
    """Do all jobs and keep their scores; return 0, 1 when one failed, 130 when stopped."""
    import torch

    if not jobs:
        return 0
    torch.set_num_threads(1)
    alone = threading.Lock()
    trainer, n_workers = trainer_for(parse_workers(settings.jobs, least=0), settings.device)

    def do(job: Job) -> None:
        run = spent = None
        if (training := job.training()) is not None:
            run, spent = train_to_end(trainer, training)
        if trainer.stopping:
            raise Stopping
        with alone:  # one scoring at a time: it is fast, and a decision's time is measured
            keep_score(cells, job.key, *play(job.row, job.place, job.held, job.seed, run, spent))

    unit = "seeds and policies"
    outcome = work(jobs, do, trainer=trainer, n_workers=n_workers, console=err, training=Job.training, unit=unit)
    if outcome.stopped:
        err.print("restoration.table: stopped; what is done is kept, and the same command goes on", soft_wrap=True)
    return outcome.exit_code


def _seeds(settings: Settings, cells: Cells, placed: Placed) -> Iterator[tuple[Row, Place, int]]:
    """Every seed that is kept of these rows; `--seeds` leaves out the later ones."""
    kept: dict[str, list[int]] = {}
    for key in cells.all_keys():
        folder, _, seed = key.rpartition("/")
        if seed.isdigit() and (settings.seeds is None or int(seed) < settings.seeds):
            kept.setdefault(folder, []).append(int(seed))
    for row, place in placed:
        yield from ((row, place, n) for n in sorted(kept.get(cell_folder(row, place, held_of(settings)), [])))


def scores_of(settings: Settings, cells: Cells, placed: Placed, err: Console | None = None) -> Found:
    """All that is kept of these rows.

    Raises:
        ValueError: nothing is kept yet.
    """
    held, found = held_of(settings), dict[tuple[int, str], tuple[Row, list[Score]]]()
    for row, place, seed in _seeds(settings, cells, placed):
        key = key_of(row, place, held, seed)
        score = load_score(cells, key, row)
        if score is not None:
            found.setdefault((id(row), place.slug), (row, []))[1].append(score)
        elif err is not None:
            names = ", ".join(changed_since(cells.find(key), row))
            what = f"{place.slug}: {row.label} seed {seed}"
            err.print(f"left out: {what} was trained with another {names} than today's", soft_wrap=True)
    by_city: Found = {}
    for (_, slug), pair in found.items():
        by_city.setdefault(slug, []).append(pair)
    if not any(row.group != "frontier" for pairs in by_city.values() for row, _ in pairs):
        raise ValueError(
            f"no scores of these rows on {held.episodes} storms of seed {held.seed} in {cells.results}; "
            "run without --table-only first"
        )
    return by_city


def made_of(found: Found) -> list[summary.CityTable]:
    """One table a city, of all rows but those that are drawn only."""
    lines = {city: [pair for pair in pairs if pair[0].group != "frontier"] for city, pairs in found.items()}
    return [summary.city_table(city, pairs) for city, pairs in lines.items() if pairs]


def of_all_rows(made: Sequence[summary.CityTable]) -> list[summary.CityTable]:
    """Tables of cities that have more than ablations."""
    return [table for table in made if any(line.row.group != "ablations" for line in table.lines)]


def frontiers_of(found: Found) -> dict[str, list[Score]]:
    """The equity planner's scores at several limits, by city."""
    return {
        city: [score for row, scores in pairs if row.group == "frontier" for score in scores]
        for city, pairs in found.items()
    }


def page_of(settings: Settings, placed: Placed) -> dict[str, Any]:
    """What the page is made of, without folders of this machine: settings, and the cities as they were."""
    cities = {_named(place.name): {"slug": place.slug, "fingerprint": place.fingerprint} for _, place in placed}
    shown = [_named(city) for city in settings.cities]
    return {"settings": {**settings.decisive(), "cities": shown}, "cities": cities}


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for; no folder of a city is needed."""
    page = cells.page()
    if page is None:
        return
    settings, cities = Settings.told(page["settings"]), page["cities"]
    placed = placed_of(settings.cities, rows_of(settings), lambda name: Place(name, **cities[name]))
    _write(settings, made_of(scores_of(settings, cells, placed)), docs)


def _write(settings: Settings, made: Sequence[summary.CityTable], docs: Path) -> None:
    """Write the page, every number of it as JSON beside it, and the front page's small table."""
    across = summary.across_cities(of_all_rows(made))
    file = PAGE.write(docs, tables.body(made, across, command(settings), f"{PICTURES}/{FIGURE}"))
    content: dict[str, Any] = plain(summary.as_json(made, across))
    write_atomically(file.with_suffix(".json"), json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_summary(docs, "restoration", tables.summary_table(made[0]))


def command(settings: Settings) -> str:
    """The command line that makes the whole table."""
    default = replace(Settings(), **SMALL_DEFAULTS) if settings.small else Settings()
    return command_of("restoration.table", settings, default, shown=_shown)


def _shown(option: str, value: Any) -> str:
    return _named(value) if option == "cities" else str(value)


def _named(city: str) -> str:
    """A city as readers are shown it: a folder by its last part, no folders of this machine."""
    return Path(city).name


def _absolute(city: str) -> str:
    """A city as train.py, which may run elsewhere, finds it."""
    return city if is_generated(city) else str(Path(city).resolve())
