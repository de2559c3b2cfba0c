"""What looking ahead is worth to a trained agent: orders drawn and looks taken, beside the equity planner.

    python -m benchmarks.restoration.lookahead --docs docs

`0` is the agent as it is; `K:EVERY` draws K orders and looks again every EVERY regions (`32:999` looks once);
`K:EVERY:MOVES` ends each look in local searches of so many moves, and `K:EVERY:MOVES:PRICE` does so at one price on
every hour of gap (hours of mean outage, or `past`: found on past storms) in place of a limit in each. All play the
same storms of records that training never drew. Forms that are kept are not played again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number, show
from benchmarks.restoration.transfer import label, weights_of, without_folders
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.past_price import PAST
from stormgym.agents.policy import Entrant
from stormgym.agents.restoration.network.lookahead import look_ahead
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.envs.data import resolve_city

ENV_ID = "Restoration-v0"
PLANNER = "equity-planner"
BENCHMARK = "restoration/lookahead"
PAGE = Page("restoration-looking-ahead", "Looking ahead", "restoration")
HEADS = (
    "agent",
    "orders",
    "a look every",
    "moves",
    "mean outage h",
    "behind the planner h",
    "mean gap h",
    "ms a decision in a batch",
)
ONCE = 999
"""A look every so many regions is one look."""


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """What looking ahead is worth."""

    agent: str = "sta-sac:default"
    """Pretrained agent (AGENT:NAME) or run folder, also as LABEL=ITEM."""
    looks: tuple[str, ...] = (
        "0",
        "1:999",
        "32:999",
        "96:999",
        "32:9",
        "32:6",
        "16:6",
        "32:9:100",
        "32:6:400",
        "32:9:100:past",
        "32:9:100:0.08",
    )
    """Forms of the agent: 0, ORDERS:EVERY, ORDERS:EVERY:MOVES, or ORDERS:EVERY:MOVES:PRICE."""
    city: str = "default"
    """Name or folder."""
    shock: float = 0.0
    """Strength (log standard deviation) of a shock that each group shares; 0 is none."""
    episodes: int = 400
    """Storms."""
    seed: int = 99
    """Decides the storms; settings were chosen on those of 99, so other tables take others."""


@dataclass(frozen=True, kw_only=True)
class Form(Cell):
    """One form of an agent on the storms of one city."""

    agent: str
    """Without folders of this machine: a run is RUN."""
    name: str
    """As the table shows it."""
    weights: str
    """Hash of the agent's weights; nothing for the planner."""
    orders: int
    every: int
    city: str
    """Its fingerprint."""
    shock: float
    episodes: int
    seed: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{self.name}-{self.orders}-{self.every}"


@dataclass(frozen=True, kw_only=True)
class SearchedForm(Form):
    """One whose looks end in local searches."""

    moves: int

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{super().title}-{self.moves}"


@dataclass(frozen=True, kw_only=True)
class PricedForm(SearchedForm):
    """One that pays a price for the gap in place of a limit in each storm."""

    price: str

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"{super().title}-{self.price}"


def parse(look: str) -> tuple[int, int, int, str]:
    """Orders, regions between looks, moves of a search, and a price; (0, 0, 0, "") is the agent as it is.

    Raises:
        ValueError: neither 0 nor two or three whole numbers above 0, the three perhaps with a price.
    """
    if look == "0":
        return 0, 0, 0, ""
    parts = look.split(":")
    price = parts.pop() if len(parts) == 4 and (parts[-1] == PAST or _is_number(parts[-1])) else ""
    if len(parts) not in (2, 3) or not all(part.isdigit() and int(part) for part in parts):
        raise ValueError(
            f"--looks must be 0, ORDERS:EVERY, ORDERS:EVERY:MOVES or ORDERS:EVERY:MOVES:PRICE, whole numbers above 0, "
            f"as 32:9; got {look!r}"
        )
    orders, every, *moves = map(int, parts)
    return orders, every, moves[0] if moves else 0, price


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def forms_of(settings: Settings) -> list[Form]:
    """The planner, then every form of the agent."""
    city = resolve_city(settings.city).fingerprint()
    where = {"city": city, "shock": settings.shock, "episodes": settings.episodes, "seed": settings.seed}
    (name,) = resolve_agents([settings.agent], ENV_ID)
    agent = {"agent": without_folders(settings.agent), "name": name, "weights": weights_of(settings.agent)}
    looks = [parse(look) for look in settings.looks]
    planner = Form(agent=PLANNER, name=PLANNER, weights="", orders=0, every=0, **where)  # type: ignore[arg-type]
    forms: list[Form] = []
    for k, every, moves, price in looks:
        own: dict[str, Any] = {"orders": k, "every": every, **agent, **where}
        if price:
            forms.append(PricedForm(moves=moves, price=price, **own))
        else:
            forms.append(SearchedForm(moves=moves, **own) if moves else Form(**own))
    return [planner, *forms]


def play(form: Form, settings: Settings) -> dict[str, Any]:
    """Outage and gap of every storm, and the time of a decision."""
    item = PLANNER if form.agent == PLANNER else settings.agent
    entrant = resolve_agents([item], ENV_ID)[form.name]
    player = Entrant(_ahead(entrant.make, form), learned=True) if form.orders else entrant
    env: dict[str, Any] = {"city": settings.city, "split": "test"}
    if form.shock:
        env |= {"shock": "group", "shock_log_sd": form.shock}
    found = evaluate(ENV_ID, {form.name: player}, episodes=form.episodes, seed=form.seed, env_kwargs=env)
    record = found.agents[form.name]
    hours = {
        key: np.round(record.metrics[name], 4) for key, name in (("outage_h", "mean_outage_h"), ("gap_h", "gap_h"))
    }
    return {**hours, "batched_ms": record.latency.batched_ms}


def _ahead(make: Callable[[Any], Any], form: Form) -> Callable[[Any], Any]:
    moves = form.moves if isinstance(form, SearchedForm) else 0
    given: dict[str, Any] = {"n_orders": form.orders, "every": form.every, "search_iterations": moves}
    if isinstance(form, PricedForm):
        given["price"] = form.price if form.price == PAST else float(form.price)
    return lambda env: look_ahead(make(env), env, **given)


def rows_of(cells: Cells, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The table's cells of what is kept, the planner first."""
    planner, *forms = map(cells.need, keys)
    lines = [_cells((PLANNER, "", "", ""), planner.result, None)]
    for form in forms:
        orders, every = form.cell["orders"], form.cell["every"]
        look = "" if not orders else "once" if every >= ONCE else f"{every} regions"
        price = form.cell.get("price")
        priced = "" if price is None else ", one price from the past" if price == PAST else f", one price of {price}"
        who = (form.cell["name"], str(orders or ""), look, f"{form.cell.get('moves', '')}{priced}")
        lines.append(_cells(who, form.result, planner.result))
    return lines


def _cells(who: tuple[str, ...], found: dict[str, Any], planner: dict[str, Any] | None) -> tuple[str, ...]:
    behind = ""
    if planner is not None:
        behind = number(paired_difference(found["outage_h"], planner["outage_h"]), "+", 2)
    gap = number(mean_estimate(found["gap_h"]), decimals=2)
    return (*who, f"{np.mean(found['outage_h']):.2f}", behind, gap, f"{found['batched_ms']:.1f}")


def command(settings: Settings) -> str:
    """The command that makes this table: what differs from the defaults, a run as RUN."""
    return command_of("restoration.lookahead", settings, Settings(), shown=_shown)


def _shown(option: str, value: Any) -> str:
    """An option's value without folders of this machine: a run is RUN, a city its last name."""
    return {"agent": without_folders, "city": label}.get(option, str)(value)


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is not None:
        storms = f"{page['episodes']:,} storms of seed {page['seed']} in city `{page['city']}`"
        made = f"Made by `{page['command']}`: {storms}; ± are 95 % intervals over storms."
        PAGE.write(docs, f"{made}\n\n{markdown(HEADS, rows_of(cells, page['keys']))}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or number)."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    cells = settings.kept(BENCHMARK)
    try:
        if settings.episodes < 2:
            raise ValueError(f"--episodes must be at least 2, for intervals; got {settings.episodes}")
        forms = forms_of(settings)
        err = Console(stderr=True, emoji=False)
        for form in track(forms, "playing", console=err, transient=True):
            if cells.find(form.key) is None:
                cells.keep(form.key, asdict(form), play(form, settings))
    except (KeyError, ValueError, OSError) as error:
        print(f"restoration.lookahead: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    keys = [form.key for form in forms]
    cells.collect(keys)
    show(HEADS, rows_of(cells, keys))
    if settings.docs is not None:
        page = {"command": command(settings), "episodes": settings.episodes, "seed": settings.seed}
        cells.keep_page({**page, "city": label(settings.city), "keys": keys})
        write_pages(cells, settings.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
