"""Whether storms of the profile "utility" look like those that it is fitted to, in figures that are no inputs.

python -m benchmarks.crews.utility --docs docs
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.lineup import make_policy
from stormgym.agents.terminal import make_console
from stormgym.envs.crews.core import CrewCore
from stormgym.envs.crews.env import CrewDispatchVectorEnv

RULES = ("request-volume", "nearest")
MEASURED = {
    "queue of jobs that need a repair crew h": "2.6 to 11.3 (from the first visit on)",
    "queue of the others h": "1.0 to 1.8 (to the first visit)",
    "way to jobs that need a repair crew h": "1.1 to 1.7; 0.2 to 0.4 with skipped stages",
    "way to the others h": "0.43 to 0.55; 0.25 to 0.32 with skipped stages",
    "outage of jobs that need a repair crew h": "11 to 46",
    "outage of the others h": "2.2 to 3.0",
    "open jobs a crew at the peak": "2.2 to 8.3 (a county)",
}
"""What came out in the four storms: medians over jobs, ranges over storms."""


@dataclass(frozen=True)
class Settings:
    """The profile "utility" beside its storms."""

    episodes: int = 200
    """Storms."""
    seed: int = 0
    docs: Path | None = None
    """Folder of the docs: the table goes into environments/crews.md."""


def figures(rule: str, episodes: int, seed: int = 0, **kwargs: Any) -> dict[str, float]:
    """Medians over the jobs of storms that a rule serves; keys as of `MEASURED`.

    Args:
        rule: name of an agent that chooses among open jobs.
        episodes: storms, played side by side.
        seed: of the first.
        **kwargs: arguments of the environment beside the profile.
    """
    env = CrewDispatchVectorEnv(episodes, profile="utility", **kwargs)
    env.reset(seed=seed)
    core, policy = env.core, make_policy(rule, env)
    while (core.process.n_left > 0).any():
        core.process.step(policy.predict(core.observe())[0])  # storms that are over stay as they are
    return _medians(core)


def _medians(core: CrewCore) -> dict[str, float]:
    p, jobs = core.process, core.process.jobs
    repair = jobs.need == 1
    parts = (p.sent_h - jobs.arrival_h, p.begun_h - p.sent_h, p.power_h - jobs.arrival_h)
    values = [float(np.median(hours[which])) for hours in parts for which in (repair, ~repair)]
    hours = np.arange(0.0, float(p.power_h.max()), 0.5)
    open_ = [((jobs.arrival_h <= hour) & (p.repaired_h > hour)).sum(axis=1) for hour in hours]
    crews = int((~core.roster.assessor).sum())
    values.append(float(np.median(np.max(open_, axis=0))) / crews)
    return dict(zip(MEASURED, values, strict=True))


def table_of(found: Sequence[dict[str, float]]) -> str:
    """The figures of `RULES` beside what was measured."""
    rows = [[name, *(f"{part[name]:.2g}" for part in found), told] for name, told in MEASURED.items()]
    return markdown(["median", *(f"`{rule}`" for rule in RULES), "four storms"], rows)


def main(args: list[str] | None = None) -> int:
    """Play, print, write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    found = [figures(rule, settings.episodes, settings.seed) for rule in RULES]
    text = f"{table_of(found)}\n\n{settings.episodes} storms of the default city."
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "crews.md", "crews-utility", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
