"""Leave one storm out: forecasters of recorded storms, tried on a storm that they have not seen.

    python examples/georgia_helene.py --outages GA.parquet --counties us_counties.csv --period-h 6 --out runs/helene
    python examples/georgia_helene.py --storm dorian --outages NC.csv.gz --counties us_counties.csv --out runs/dorian
    python benchmarks/dispatch_storms.py runs/helene runs/dorian --docs docs/dispatch_results.md

Each folder (docs/environments/dispatch.md, "Real outages") is left out in turn: the outage ODE is fitted on the others,
its networks see a county's customers and income group, and its waves begin when 1 % of the county is out, or (second
table) at once everywhere. With one storm to learn from there is nothing to calibrate intervals on, so there are none.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from dispatch_results.cells import played
from learning_cells import markdown
from numpy.typing import NDArray
from pages import replace_block
from rich.progress import track

from stormgym.agents.dispatch.decision import DispatchProblem, Events, events_of
from stormgym.agents.dispatch.flow import online_greedy
from stormgym.agents.dispatch.forecasters import N_PLANNED, AdaptiveDispatch
from stormgym.agents.dispatch.planners import typical_storms
from stormgym.agents.terminal import make_console
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.dispatch.recorded import RecordedProfile
from stormgym.predictors.outage_ode import Loss, OutageODE

Floats = NDArray[np.float64]
SEEN = ("log_customers", "group")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Leave one storm out."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of recorded storms with periods of one length, two or more."""
    n_steps: int = 100
    """Gradient steps of each fit."""
    steps_per_period: int = 10
    """Euler steps."""
    seed: int = 0
    docs: Path | None = None
    """Page whose block dispatch_storms gets the tables."""


def main(args: list[str] | None = None) -> int:
    """Fit on all storms but one, play that one, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = make_console()
    if len(settings.folders) < 2:
        console.print(f"error: two folders or more are needed to leave one out; got {len(settings.folders)}")
        return 2
    profiles = [resolve_profile(str(folder)) for folder in settings.folders]
    for folder, profile in zip(settings.folders, profiles, strict=True):
        if not isinstance(profile, RecordedProfile):
            console.print(f"error: {folder} is no folder of recorded storms")
            return 2
    torch.set_num_threads(1)
    parts = []
    cases = [(known, i) for known in (True, False) for i in range(len(profiles))]
    for known, left_out in track(cases, description="leaving out", console=make_console(stderr=True)):
        others = [profile for i, profile in enumerate(profiles) if i != left_out]
        rows = scores(others, profiles[left_out], known, settings)
        when = "known onsets" if known else "onsets unknown"
        head = [f"{profiles[left_out].name}, {when}", "cost", "above the optimum", "error of the forecast"]
        parts.append(markdown(head, rows))
    text = "\n\n".join(parts)
    console.print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs, "dispatch_storms", text)
    return 0


def scores(
    others: list[RecordedProfile], test: RecordedProfile, known_onset: bool, settings: Settings
) -> list[list[str]]:
    """A row an agent: its cost on the storm left out, what that is above the optimum, and its forecast's error.

    The error is the root mean square over counties and periods of forecast minus truth, as shares of customers.
    """
    problem, storm = DispatchProblem(test), recorded(test, known_onset)
    truth = storm.outcomes
    optimum = float(problem.cost(problem.decide(truth[None]), truth).mean())
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
    rows = []
    for name, (plan, forecast) in plans.items():
        cost = float(problem.cost(plan, truth).mean())
        error = "" if forecast is None else f"{np.sqrt((((forecast - truth) / test.population) ** 2).mean()):.3f}"
        rows.append([name, f"{cost:,.0f}", f"{cost / optimum - 1:.1%}", error])
    return rows


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
