"""Leave one storm out: forecasters of recorded storms, tried on a storm that they have not seen.

    python examples/georgia_helene.py --outages GA.parquet --counties us_counties.csv --period-h 6 --out runs/helene
    python examples/georgia_helene.py --storm dorian --outages NC.csv.gz --counties us_counties.csv --out runs/dorian
    python -m benchmarks.dispatch.storms runs/helene runs/dorian --docs docs

Each folder (docs/environments/dispatch.md, "Real outages") is left out in turn: the outage ODE is fitted on the others,
its networks see a county's customers and income group, and its waves begin when 1 % of the county is out, or (second
table) at once everywhere. With one storm to learn from there is nothing to calibrate intervals on, so there are none.
What is kept is not fitted again.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.dispatch.forecasts.cells import played
from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping
from benchmarks.kit.tables import markdown
from stormgym.agents.dispatch.decision import DispatchProblem, Events, events_of
from stormgym.agents.dispatch.flow import online_greedy
from stormgym.agents.dispatch.forecasters import N_PLANNED, AdaptiveDispatch
from stormgym.agents.dispatch.planners import typical_storms
from stormgym.agents.terminal import make_console
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.dispatch.recorded import RecordedProfile
from stormgym.predictors.outage_ode import Loss, OutageODE

Floats = NDArray[np.float64]
BENCHMARK = "dispatch/storms"
PAGE = Page("dispatch-storms", "A storm left out", "dispatch")
SEEN = ("log_customers", "group")


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Leave one storm out."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of recorded storms with periods of one length, two or more."""
    n_steps: int = 100
    """Gradient steps of each fit."""
    steps_per_period: int = 10
    """Euler steps."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LeftOut(Cell):
    """One folder's storms, forecast by what was fitted on the others."""

    test: str
    """Name of the folder that is left out."""
    others: tuple[str, ...]
    contents: tuple[str, ...]
    """Digests of all folders, the one that is left out first."""
    known_onset: bool
    n_steps: int
    steps_per_period: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        name = "".join(letter if letter.isalnum() else "-" for letter in self.test.lower())
        return f"{name}-{'known' if self.known_onset else 'unknown'}"


def main(args: list[str] | None = None) -> int:
    """Fit on all storms but one, play that one, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = make_console()
    if len(settings.folders) < 2:
        console.print(f"error: two folders or more are needed to leave one out; got {len(settings.folders)}")
        return 2
    profiles: list[RecordedProfile] = []
    for folder in settings.folders:
        profile = resolve_profile(str(folder))
        if not isinstance(profile, RecordedProfile):
            console.print(f"error: {folder} is no folder of recorded storms")
            return 2
        profiles.append(profile)
    torch.set_num_threads(1)
    cells, keys = settings.kept(BENCHMARK), []
    cases = [(known, i) for known in (True, False) for i in range(len(profiles))]
    for known, i in track(cases, description="leaving out", console=make_console(stderr=True)):
        others = [profile for j, profile in enumerate(profiles) if j != i]
        cell = left_out(profiles[i], others, known, settings)
        if cells.find(cell.key) is None:
            cells.keep(cell.key, asdict(cell), {"rows": scores(others, profiles[i], known, settings)})
        keys.append(cell.key)
    cells.collect(keys)
    console.print(body(cells, keys), markup=False)
    if settings.docs is not None:
        folders = " ".join(folder.name if folder.is_absolute() else folder.as_posix() for folder in settings.folders)
        command = f"python -m benchmarks.dispatch.storms {folders}"
        cells.keep_page({"command": command, "keys": keys})
        write_pages(cells, settings.docs)
    return 0


def left_out(test: RecordedProfile, others: Sequence[RecordedProfile], known: bool, settings: Settings) -> LeftOut:
    """The cell of a folder."""
    return LeftOut(
        test=test.name,
        others=tuple(profile.name for profile in others),
        contents=tuple(map(content_of, (test, *others))),
        known_onset=known,
        n_steps=settings.n_steps,
        steps_per_period=settings.steps_per_period,
        seed=settings.seed,
    )


def content_of(profile: RecordedProfile) -> str:
    """Digest of a folder's counties, storms and costs."""
    found = hashlib.sha256()
    for array in (profile.recorded, profile.covariates, profile.population, profile.group):
        found.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    costs = (profile.transport_cost, profile.interruption_cost, profile.operating_cost)
    found.update(repr((*costs, profile.generators, profile.customers_per_generator)).encode())
    return found.hexdigest()[:16]


def body(cells: Cells, keys: Sequence[str]) -> str:
    """A table for each folder that was left out."""
    parts = []
    for key in keys:
        kept = cells.need(key)
        when = "known onsets" if kept.cell["known_onset"] else "onsets unknown"
        head = [f"{kept.cell['test']}, {when}", "cost", "above the optimum", "error of the forecast"]
        parts.append(markdown(head, rows_of(kept.result["rows"])))
    return "\n\n".join(parts)


def rows_of(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    """A row an agent: its cost, what that is above the optimum, and its forecast's error."""
    optimum = found["optimum"]["cost"]
    return [
        [
            name,
            f"{row['cost']:,.0f}",
            f"{row['cost'] / optimum - 1:.1%}",
            "" if row["error"] is None else f"{row['error']:.3f}",
        ]
        for name, row in found.items()
    ]


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is not None:
        PAGE.write(docs, f"Made by `{page['command']}`.\n\n{body(cells, page['keys'])}")


def scores(
    others: list[RecordedProfile], test: RecordedProfile, known_onset: bool, settings: Settings
) -> dict[str, dict[str, float | None]]:
    """By agent: its `cost` on the storm left out, and its forecast's `error`, if it has a forecast.

    The error is the root mean square over counties and periods of forecast minus truth, as shares of customers.
    """
    problem, storm = DispatchProblem(test), recorded(test, known_onset)
    truth = storm.outcomes
    family = typical_storms(test)[:, None, 1:]
    fitted: dict[Loss, OutageODE] = {
        loss: fit(others, loss, known_onset, settings).moved(test.population, test.n_periods)
        for loss in ("mse", "crps")
    }
    wave = fitted["mse"].predict(storm.X, storm.onset)[None, :, 1:]
    samples = fitted["crps"].sample(storm.X, storm.onset, n_samples=N_PLANNED)[:, :, 1:]
    online = online_greedy(
        truth, storm.out[:, 0], generators=test.generators, customers_per_generator=test.customers_per_generator
    )
    plans: dict[str, tuple[NDArray[np.int64], Floats | None]] = {
        "optimum": (problem.decide(truth[None]), None),
        "do nothing": (np.zeros(truth.shape, dtype=np.int64), None),
        "online greedy": (online, None),
        "static plan, simulated family": (problem.decide(family.mean(axis=0)[None]), family.mean(axis=0)),
        "two-stage, other storms": (problem.decide(wave), wave[0]),
        "sampled, other storms": (problem.decide(samples), samples.mean(axis=0)),
        "adaptive, other storms": (played(AdaptiveDispatch(test, fitted["crps"]), test_events(test, storm)), None),
    }
    found: dict[str, dict[str, float | None]] = {}
    for name, (plan, forecast) in plans.items():
        error = None if forecast is None else float(np.sqrt((((forecast - truth) / test.population) ** 2).mean()))
        found[name] = {"cost": float(problem.cost(plan, truth).mean()), "error": error}
    return found


def fit(others: list[RecordedProfile], loss: Loss, known_onset: bool, settings: Settings) -> OutageODE:
    """Networks fitted on all storms of the other profiles, each county of which is an event of one county.

    Storms of different length are cut to the shortest.
    """
    events = [(profile, recorded(profile, known_onset)) for profile in others]
    length = min(one.out.shape[1] for _, one in events)
    share = [one.out[:, :length] / profile.population for profile, one in events]
    out = np.concatenate([part.transpose(0, 2, 1).reshape(-1, length, 1) for part in share])  # [E K, T + 1, 1]
    X = np.concatenate([one.X.reshape(-1, 1, len(SEEN)) for _, one in events])
    onset = np.concatenate([one.onset.reshape(-1, 1) for _, one in events])
    ode = OutageODE(
        [1.0],
        length - 1,
        feature_names=SEEN,
        loss=loss,
        steps_per_period=settings.steps_per_period,
        n_steps=settings.n_steps,
        random_state=settings.seed,
    )
    return ode.fit(X, out, onset)


def recorded(profile: RecordedProfile, known_onset: bool) -> Events:
    """All storms of a folder; onsets of 0 where they are not known."""
    events = events_of(profile.storms(), profile, SEEN)
    return events if known_onset else replace(events, onset=np.zeros_like(events.onset))


def test_events(profile: RecordedProfile, events: Events) -> Events:
    """The same storms with the weather in the place of what the networks see, as the environment shows it."""
    return replace(events_of(profile.storms(), profile), onset=events.onset)


if __name__ == "__main__":
    sys.exit(main())
