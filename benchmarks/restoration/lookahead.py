"""What looking ahead is worth to a trained agent: orders drawn and looks taken, beside the equity planner.

    python benchmarks/lookahead.py --docs docs/results.md

`0` is the agent as it is; `K:EVERY` draws K orders and looks again every EVERY regions (`32:999` looks once). All play
the same storms of records that training never drew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import tyro
from pages import replace_block
from rich.console import Console
from rich.progress import track

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.restoration.network.lookahead import look_ahead
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.agents.terminal import make_console, simple_table

ENV_ID = "Restoration-v0"
PLANNER = "equity-planner"
BLOCK = "lookahead"
HEADS = (
    "agent",
    "orders",
    "a look every",
    "mean outage h",
    "behind the planner h",
    "mean gap h",
    "ms a decision in a batch",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What looking ahead is worth."""

    agent: str = "sta-sac:default"
    """Pretrained agent (AGENT:NAME) or run folder, also as LABEL=ITEM."""
    looks: tuple[str, ...] = ("0", "1:999", "32:999", "96:999", "32:9", "32:6", "16:6")
    """Forms of the agent: 0, or ORDERS:EVERY."""
    city: str = "default"
    """Name or folder."""
    shock: float = 0.0
    """Strength (log standard deviation) of a shock that each group shares; 0 is none."""
    episodes: int = 400
    """Storms."""
    seed: int = 99
    """Decides the storms; settings were chosen on those of 99, so other tables take others."""
    docs: Path | None = None
    """Markdown page whose block lookahead is replaced."""


def parse(look: str) -> tuple[int, int]:
    """Orders and regions between looks; (0, 0) is the agent as it is.

    Raises:
        ValueError: neither 0 nor two whole numbers above 0.
    """
    if look == "0":
        return 0, 0
    orders, colon, every = look.partition(":")
    if not (colon and orders.isdigit() and every.isdigit() and int(orders) and int(every)):
        raise ValueError(f"--looks must be 0 or ORDERS:EVERY, two whole numbers above 0, as 32:9; got {look!r}")
    return int(orders), int(every)


def rows(settings: Settings) -> list[tuple[str, ...]]:
    """The table's cells: the planner, then every form of the agent."""
    forms = [parse(look) for look in settings.looks]
    ((name, entrant),) = resolve_agents([settings.agent], ENV_ID).items()
    env: dict[str, Any] = {"city": settings.city, "split": "test"}
    if settings.shock:
        env |= {"shock": "group", "shock_log_sd": settings.shock}

    def play(label: str, player: Entrant) -> Any:
        found = evaluate(ENV_ID, {label: player}, episodes=settings.episodes, seed=settings.seed, env_kwargs=env)
        return found.agents[label]

    def ahead(orders: int, every: int) -> Callable[[Any], Any]:
        return lambda env: look_ahead(entrant.make(env), env, n_orders=orders, every=every)

    planner = play(PLANNER, resolve_agents([PLANNER], ENV_ID)[PLANNER])
    lines = [_cells((PLANNER, "", ""), planner, None)]
    for orders, every in track(forms, "playing", console=Console(stderr=True, emoji=False), transient=True):
        player = Entrant(ahead(orders, every), learned=True) if orders else entrant
        shown = "once" if every >= 999 else f"{every} regions" if every else ""
        lines.append(_cells((name, str(orders or ""), shown), play(name, player), planner))
    return lines


def _cells(who: tuple[str, ...], record: Any, planner: Any) -> tuple[str, ...]:
    outage = record.metrics["mean_outage_h"]
    behind = ""
    if planner is not None:
        d = paired_difference(outage, planner.metrics["mean_outage_h"])
        behind = f"{d.value:+.2f} ± {d.half_width:.2f}"
    gap = mean_estimate(record.metrics["gap_h"])
    latency = f"{record.latency.batched_ms:.1f}"
    return (*who, f"{outage.mean():.2f}", behind, f"{gap.value:.2f} ± {gap.half_width:.2f}", latency)


def markdown(settings: Settings, lines: Sequence[tuple[str, ...]]) -> str:
    """The table as Markdown."""
    storms = f"{settings.episodes:,} storms of seed {settings.seed} in city `{settings.city}`"
    head = f"{storms}; ± are 95 % intervals over storms."
    table = ["| " + " | ".join(HEADS) + " |", "| " + " | ".join(["---"] * len(HEADS)) + " |"]
    made = f"Made by `{command(settings)}`: {head}"
    return "\n".join([made, "", *table, *(f"| {' | '.join(cells)} |" for cells in lines)])


def command(settings: Settings) -> str:
    """The command that makes this table: what differs from the defaults, a run as RUN."""
    words, default = ["python benchmarks/lookahead.py"], Settings()
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name != "docs" and value != getattr(default, field.name):
            shown = map(str, value) if isinstance(value, tuple) else [str(value)]
            words += [f"--{field.name}", *("RUN" if Path(word).is_dir() else word for word in shown)]
    return " ".join(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        lines = rows(settings)
    except (KeyError, ValueError, OSError) as error:
        print(f"lookahead.py: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    grid: Any = simple_table(None, list(HEADS[1:]), first=HEADS[0])
    for cells in lines:
        grid.add_row(*cells)
    make_console().print(grid)
    if settings.docs is not None:
        replace_block(settings.docs, BLOCK, markdown(settings, lines))
        print(f"table: {settings.docs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
