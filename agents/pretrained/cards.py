"""Cards of pretrained agents: what each is, how it was trained and how it scores; the known ones by name."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stormgym.agents.files import write_atomically
from stormgym.agents.moved import forward

__getattr__ = forward(__name__)

FOLDER = Path(__file__).resolve().parent
"""Where the package keeps its pretrained agents."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class CardScore:
    """How the agent did on held-out scenarios; `evaluate` with the same arguments gives the same numbers."""

    env_kwargs: dict[str, Any]
    episodes: int
    seed: int
    """Seed of the scenarios, as in `evaluate`."""
    metrics: dict[str, float]
    """Means over episodes of what tables show first in this environment: its objective, and what its limit bounds."""
    cost_limit: float
    """Limit on the latter's mean, in its unit; the mean of the episodes' limits where each has its own."""


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """Environment and instances that a pretrained agent was trained on."""

    env_id: str
    env_kwargs: dict[str, Any]
    instance: str
    """Name of the city or profile, or a name of many cities (`stormgym.envs.data.resolve.many_cities`)."""
    cost_limit: float | tuple[float, float] | None
    """Limit on the mean gap, in its unit, or the range from which each episode drew its own; None: each instance's own
    limit."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a pretrained agent is, how it was made and how it scores."""

    agent: str
    """Registry name of the learner."""
    name: str
    """Name among the learner's pretrained agents; files are AGENT-NAME.npz and AGENT-NAME.json."""
    summary: str
    """One line."""
    network: dict[str, Any]
    """Shape and sizes of the acting network."""
    n_groups: int
    """G; instances may have any number of regions, and must have this number of groups."""
    command: str
    """The command that trained it."""
    seed: int
    timesteps: int
    """Steps of the whole training."""
    version: str
    """Of stormgym, when it was exported."""
    date: str
    """Of the export, ISO 8601."""
    trained_on: TrainedOn
    scores: tuple[CardScore, ...]

    @property
    def full_name(self) -> str:
        """AGENT:NAME, by which it is loaded."""
        return f"{self.agent}:{self.name}"

    @property
    def stem(self) -> str:
        """AGENT-NAME, the name of its two files without the ending."""
        return file_stem(self.agent, self.name)


def known_pretrained(env_id: str | None = None, folder: str | os.PathLike[str] | None = None) -> dict[str, Card]:
    """The cards of all pretrained agents, or of those for one environment id, by full name (AGENT:NAME)."""
    files = sorted(_folder(folder).glob("*.json"))
    cards = [read_card(file) for file in files]
    return {card.full_name: card for card in cards if env_id in (None, card.trained_on.env_id)}


def load_card(full_name: str, folder: str | os.PathLike[str] | None = None) -> Card:
    """The card of a pretrained agent.

    Args:
        full_name: AGENT:NAME, such as `"sta-sac:default"`.
        folder: where its files are; None takes the package's own.

    Raises:
        KeyError: no such agent; the message lists those there are.
    """
    known = known_pretrained(folder=folder)
    if full_name not in known:
        there = ", ".join(known) or f"none in {_folder(folder)}"
        raise KeyError(f"unknown pretrained agent {full_name!r}; known pretrained agents: {there}")
    return known[full_name]


def read_card(file: Path) -> Card:
    """Read a card.

    Raises:
        ValueError: the file holds no card, or one with another name than its own.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        where, scores = data.pop("trained_on"), data.pop("scores")
        if isinstance(where["cost_limit"], list):
            where["cost_limit"] = tuple(where["cost_limit"])
        card = Card(**data, trained_on=TrainedOn(**where), scores=tuple(CardScore(**score) for score in scores))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} cannot be read as the card of a pretrained agent: {error!r}. "
            "Write it anew with benchmarks/pretrained/export.py"
        ) from error
    if card.stem != file.stem:
        raise ValueError(f"{file} is the card of {card.full_name!r}; name the file {card.stem}.json")
    return card


def write_card(card: Card, folder: Path) -> Path:
    """Write `AGENT-NAME.json`; see `check_name`."""
    text = json.dumps(asdict(card), indent=1, ensure_ascii=False)
    return write_atomically(folder / f"{card.stem}.json", text + "\n")


def file_stem(agent: str, name: str) -> str:
    """AGENT-NAME: two learners may each have an agent of one name; see `check_name`."""
    return f"{agent}-{check_name(name)}"


def check_name(name: str) -> str:
    """Return a name that can be one of a pretrained agent; else raise `ValueError`."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name of a pretrained agent must be words of a-z and 0-9 joined by hyphens, as any-limit; got {name!r}"
        )
    return name


def weights_file(card: Card, folder: str | os.PathLike[str] | None = None) -> Path:
    """File of an agent's weights."""
    return _folder(folder) / f"{card.stem}.npz"


def _folder(folder: str | os.PathLike[str] | None) -> Path:
    return FOLDER if folder is None else Path(folder)
