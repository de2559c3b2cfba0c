"""Rules and list scheduling on the default city of CrewDispatch-v0, on the same storms.

python -m benchmarks.crews.rules --docs docs
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown, number
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.agents.terminal import make_console

ENV_ID = "CrewDispatch-v0"
BEST = "list-rho"
RULES = ("random", "request-volume", "nearest", "shortest-repair", "smith", "customers", BEST)
COLUMNS = {"mean_outage_h": 2, "gap_h": 2, "saidi_h": 2, "overtime_h": 1, "makespan_h": 1, "travel_h": 1}


@dataclass(frozen=True)
class Settings:
    """Rules of crew dispatch."""

    episodes: int = 500
    """Storms."""
    seed: int = 0
    docs: Path | None = None
    """Folder of the docs: the table goes into environments/crews.md."""


def main(args: list[str] | None = None) -> int:
    """Play, print, write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    result = evaluate(ENV_ID, resolve_agents(RULES, ENV_ID), episodes=settings.episodes, seed=settings.seed)
    best = result.agents[BEST].metrics["mean_outage_h"]
    rows = []
    for name, record in sorted(result.agents.items(), key=lambda item: item[1].metrics["mean_outage_h"].mean()):
        row = [f"`{name}`"]
        row += [number(mean_estimate(record.metrics[key]), "", decimals) for key, decimals in COLUMNS.items()]
        against = "" if name == BEST else number(paired_difference(record.metrics["mean_outage_h"], best), "+", 2)
        rows.append([*row, against])
    head = ["agent", "mean outage h", "gap h", "SAIDI h", "overtime crew-h", "last power back h", "travel crew-h"]
    table = markdown([*head, f"mean outage against {BEST}"], rows)
    note = f"{settings.episodes} storms, the same for all; limit {result.cost_limit:g} h; ± 95 %, differences paired."
    text = f"{table}\n\n{note}"
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "crews.md", "crews-rules", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
