"""Scores of one seed: played on held-out storms, and kept in two small files that are meant to be committed.

`SEED.json` holds means, intervals, times, settings and versions; `SEED.npz` the episodes, as whole hundredths of an
hour, for paired differences: `numpy.load(file)["mean_outage_h"] / 100`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_table.rows import ENV_ID, SPLIT, Row
from results_table.training import TrainingTime, changed_settings, settings_today

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import OVER_LIMIT_TOLERANCE, plain
from stormgym.agents.files import write_atomically
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.runs import VERSIONS, Run, versions
from stormgym.agents.statistics import mean_estimate, wilson_interval
from stormgym.envs.data import City, resolve_city
from stormgym.envs.making import episode_seeds, make_batch

Floats = NDArray[np.float64]
EPISODE_KEYS = ("mean_outage_h", "gap_h")
_PER_HOUR = 100
_KEPT_VERSIONS = ("python", "stormgym", "numpy", "torch", "stable-baselines3", "commit")


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
        known = name == "default" or name.startswith("synthetic:")
        slug = name.replace(":", "-") if known else Path(name).resolve().name
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
    """What `SEED.json` holds."""
    episodes: dict[str, Floats]
    """Metric -> `[E]`, hours to two decimals."""

    @property
    def scenarios(self) -> str:
        """Hash of the storms: equal ones may be paired."""
        return str(self.facts["held_out"]["scenarios"])


def score_file(results: Path, row: Row, place: Place, seed: int) -> Path:
    """Where a seed's facts are kept; its episodes lie beside them."""
    return results / place.slug / f"{row.agent}-{row.digest(place.fingerprint)}" / f"{seed}.json"


def load_score(file: Path, row: Row, held: Held) -> Score | None:
    """Read a seed; None when it is not there, or of other storms or of settings that are no longer today's."""
    if not file.is_file():
        return None
    facts = json.loads(file.read_text(encoding="utf-8"))
    kept = facts["held_out"]
    if (kept["episodes"], kept["seed"]) != (held.episodes, held.seed):
        return None
    if changed_since(file, row):
        return None
    with np.load(file.with_suffix(".npz"), allow_pickle=False) as stored:
        episodes = {key: stored[key] / _PER_HOUR for key in EPISODE_KEYS}
    return Score(int(facts["seed"]), facts, episodes)


def changed_since(file: Path, row: Row) -> list[str]:
    """Names of the learner's settings that were others when the seed was trained: defaults changed since."""
    if row.kind == "policy" or row.lacking() is not None or not file.is_file():
        return []
    return changed_settings(json.loads(file.read_text(encoding="utf-8"))["learner"], settings_today(row))


def write_score(file: Path, facts: Mapping[str, Any], episodes: Mapping[str, Floats]) -> None:
    """Keep a seed: the episodes first, so that facts never lack them."""
    hundredths = {key: np.rint(_PER_HOUR * episodes[key]).astype(np.int32) for key in EPISODE_KEYS}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **hundredths)  # type: ignore[arg-type]  # the stubs take the names for options
    _write_bytes(file.with_suffix(".npz"), buffer.getvalue())
    write_atomically(file, json.dumps(plain(dict(facts)), indent=1, sort_keys=True, allow_nan=False) + "\n")


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
        The facts and the episodes that `write_score` keeps.
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
    made_by = versions()
    if run is not None:
        made_by = json.loads((run.folder / VERSIONS).read_text(encoding="utf-8"))
        facts["learner"] = run.settings.learner
        facts["training"] = None if time is None else asdict(time)
    facts["versions"] = {name: made_by.get(name) for name in _KEPT_VERSIONS}
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


def _write_bytes(file: Path, data: bytes) -> None:
    """Write by way of a temporary file beside it, so that a reader never meets half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=file.parent, suffix=".tmp", delete=False) as temporary:
        temporary.write(data)
    os.chmod(temporary.name, 0o644)
    os.replace(temporary.name, file)
