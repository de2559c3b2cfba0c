"""Scores of one seed: played on held-out storms, and kept as a cell.

A cell holds means, intervals, times, settings and versions, and the episodes, as whole hundredths of an hour, for
paired differences.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.kit.cells import STAMPED, Cells, Kept
from benchmarks.kit.seeds import changed_settings
from benchmarks.restoration.table.rows import ENV_ID, SPLIT, Row
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import OVER_LIMIT_TOLERANCE
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.runs import VERSIONS, Run
from stormgym.agents.statistics import mean_estimate, wilson_interval
from stormgym.agents.training.pool import TrainingTime
from stormgym.agents.versions import run_versions
from stormgym.envs.data import City, resolve_city
from stormgym.envs.data.resolve import is_generated
from stormgym.envs.making import episode_seeds, make_batch

Floats = NDArray[np.float64]
EPISODE_KEYS = ("mean_outage_h", "gap_h")
_PER_HOUR = 100
_DECIDES = ("agent", "env", "revision", "train", "run", "timesteps", "lookahead", "seed", "city", "held_out")
"""Facts that decide the others."""


@dataclass(frozen=True)
class Place:
    """A city of the table."""

    name: str
    """What `City` is resolved from: a name or a folder."""
    slug: str
    """Its name in tables and file names; of a folder only the last part."""
    fingerprint: str

    @classmethod
    def of(cls, name: str) -> Place:
        """Resolve a city's name or folder; raises as `resolve_city`."""
        city: City = resolve_city(name)
        slug = name.replace(":", "-") if is_generated(name) else Path(name).resolve().name
        return cls(name, slug, city.fingerprint())


@dataclass(frozen=True)
class Held:
    """The held-out storms."""

    episodes: int
    seed: int


@dataclass(frozen=True)
class Score:
    """One seed of one row in one city."""

    seed: int
    facts: dict[str, Any]
    """Settings, means, intervals, times, versions."""
    episodes: dict[str, Floats]
    """Metric -> `[E]`, hours to two decimals."""

    @property
    def scenarios(self) -> str:
        """Hash of the storms: equal ones may be paired."""
        return str(self.facts["held_out"]["scenarios"])


def cell_folder(row: Row, place: Place, held: Held) -> str:
    """What the keys of a row's seeds begin with: city, agent and settings, storms."""
    return f"{place.slug}/{row.agent}-{row.digest(place.fingerprint)}/{held.episodes}-{held.seed}"


def key_of(row: Row, place: Place, held: Held, seed: int) -> str:
    """Name of a seed's cell."""
    return f"{cell_folder(row, place, held)}/{seed}"


def load_score(cells: Cells, key: str, row: Row) -> Score | None:
    """Read a seed; None when it is not there, or of settings that are no longer today's."""
    kept = cells.find(key)
    if kept is None or changed_since(kept, row):
        return None
    facts = {**kept.cell, **kept.result, "versions": kept.made}
    hundredths = facts.pop("hundredths")
    episodes = {key: np.array(hundredths[key], dtype=np.int32) / _PER_HOUR for key in EPISODE_KEYS}
    return Score(int(facts["seed"]), facts, episodes)


def changed_since(kept: Kept | None, row: Row) -> list[str]:
    """Names of the learner's settings that were others when the seed was trained: defaults changed since."""
    if kept is None or row.kind == "policy" or row.lacking() is not None:
        return []
    return changed_settings(kept.result["learner"], row.training("").settings_today())


def keep_score(cells: Cells, key: str, facts: Mapping[str, Any], episodes: Mapping[str, Floats]) -> None:
    """Keep a seed."""
    hundredths = {key: np.rint(_PER_HOUR * episodes[key]).astype(np.int32) for key in EPISODE_KEYS}
    cell = {name: facts[name] for name in _DECIDES if name in facts}
    others = {name: value for name, value in facts.items() if name not in (*_DECIDES, "versions")}
    cells.keep(key, cell, {**others, "hundredths": hundredths}, facts["versions"])


def play(
    row: Row, place: Place, held: Held, seed: int = 0, run: Run | None = None, time: TrainingTime | None = None
) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Play a row on the held-out storms of a city.

    Args:
        row: what plays.
        place, held: where, and on which storms.
        seed: the training seed.
        run: a learner's run.
        time: how long it trained.

    Returns:
        The facts and the episodes that `keep_score` keeps.
    """
    env_kwargs = {"city": place.name, "split": SPLIT, **row.env}
    ahead = f"@{row.lookahead}" if row.lookahead else ""
    entrants = resolve_agents([row.agent if run is None else f"{row.agent}={run.folder}{ahead}"], ENV_ID)
    found = evaluate(ENV_ID, entrants, episodes=held.episodes, seed=held.seed, env_kwargs=env_kwargs)
    record = found.agents[row.agent]
    assert found.cost_limit is not None
    over = int((record.metrics["cost"] > found.cost_limit + OVER_LIMIT_TOLERANCE).sum())
    facts: dict[str, Any] = {
        **row.settings(),
        "seed": seed,
        "city": {"name": place.slug, "fingerprint": place.fingerprint},
        "cost_limit_h": found.cost_limit,
        "held_out": {**asdict(held), "scenarios": scenario_hash(place.name, row.env, held)},
        "privileged": record.privileged,
        "decision_ms": record.latency.mean_ms,
        "decision_ms_worst": record.latency.worst_ms,
        "decision_ms_batched": record.latency.batched_ms,
    }
    for key in (*EPISODE_KEYS, "worst_group_mean_h"):
        estimate = mean_estimate(record.metrics[key])
        facts[key], facts[f"{key}_ci"] = estimate.value, [estimate.low, estimate.high]
    share = wilson_interval(over, held.episodes)
    facts["violation_rate"], facts["violation_rate_ci"] = share.value, [share.low, share.high]
    made_by = run_versions()
    if run is not None:
        made_by = json.loads((run.folder / VERSIONS).read_text(encoding="utf-8"))
        facts["learner"] = run.settings.learner
        facts["training"] = None if time is None else asdict(time)
    facts["versions"] = {name: made_by.get(name) for name in STAMPED}
    return facts, {key: record.metrics[key] for key in EPISODE_KEYS}


def scenario_hash(city: str, env: Mapping[str, Any], held: Held) -> str:
    """Hash of the true repair hours of the first 16 storms: rows with equal ones met the same storms."""
    seeds = episode_seeds(held.seed, min(16, held.episodes))
    envs: Any = make_batch(ENV_ID, len(seeds), {"city": city, "split": SPLIT, **env})
    try:
        envs.reset(seed=list(seeds))
        hours = np.asarray(envs.unwrapped.process.duration_h, dtype="<f8")
    finally:
        envs.close()
    return hashlib.sha256(hours.tobytes()).hexdigest()[:16]
