"""A policy that publishes ERTs while it plays, and how evaluations come by one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.agents.binding import announced_of
from stormgym.agents.crews.ert.calibration import Calibration, check_arrays
from stormgym.agents.crews.ert.looks import look
from stormgym.agents.crews.ert.past_storms import (
    N_STORMS,
    calibrate,
    check_keeps_plans,
    past_seeds,
    play_past,
)
from stormgym.agents.crews.ert.published import Published, published
from stormgym.agents.crews.ert.report import Outcomes, episode_metrics
from stormgym.agents.crews.ert.simulation import Draws
from stormgym.agents.crews.planners import Plans
from stormgym.agents.crews.situation import read
from stormgym.agents.policy import BasePolicy, Entrant, Maker, Policy
from stormgym.agents.storm_replay import Told, ToldTimes
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.cache import Costly, recall_arrays
from stormgym.envs.making import make_batch

LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class PublishingState:
    """State of a policy that publishes."""

    policy: Any
    """State of the policy that decides."""
    published: Published


class PublishingPolicy(BasePolicy):
    """Decides as another policy does, and publishes ERTs of its plans.

    Args:
        policy: one whose state is its plans (`Plans`).
        env: the environment that it plays.
        calibration: of its ERTs.
        past: seeds of the storms that they were calibrated on, which it refuses to play.
    """

    def __init__(self, policy: Policy, env: Any, calibration: Calibration, past: Sequence[int] = ()) -> None:
        self.policy, self.calibration = policy, calibration
        self.name = getattr(policy, "name", type(policy).__name__)
        self.privileged = bool(getattr(policy, "privileged", False))
        self._env, self._past = env, frozenset(past)
        self._draws: Draws | None = None

    def seed_episodes(self, seeds: Sequence[int]) -> None:
        """Seeds of the storms that begin.

        Raises:
            ValueError: ERTs were calibrated on one of them.
        """
        known = self._past & {int(seed) for seed in seeds}
        if known:
            raise ValueError(f"the storm of seed {min(known)} is one that ERTs were calibrated on; take another seed")
        if hasattr(self.policy, "seed_episodes"):
            self.policy.seed_episodes(seeds)

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """Decide, then publish what follows from it."""
        inner = None if state is None else state.policy
        action, inner = self.policy.predict(observation, inner, episode_start, deterministic)
        plans = check_keeps_plans(self.policy, inner)
        situation = read(observation, announced_of(self._env))
        if self._draws is None:
            self._draws = Draws.of(situation.known.shape[1])
        board = Published.none(*situation.known.shape) if state is None else state.published.without(episode_start)
        seen = look(situation, plans, np.asarray(action), self._draws, self.calibration.level)
        return action, PublishingState(inner, published(board, seen, self.calibration)[0])

    def outcomes(self, state: PublishingState, rows: Ints) -> Outcomes:
        """What was published in storms that have just ended, and what came."""
        records = announced_of(self._env)
        arrival, power, site = (
            np.concatenate([getattr(r, name) for r in records])[rows] for name in ("arrival_h", "power_h", "site")
        )
        city = records[0].city
        board = Published(*(getattr(state.published, name)[rows] for name in Published.__dataclass_fields__))
        group = city.group[np.maximum(site, 0)]
        return Outcomes(board, power, arrival, group, city.n_groups, self.calibration.level)

    def episode_metrics(self, state: PublishingState, rows: Ints) -> dict[str, Floats]:
        """Figures of storms that have just ended, name to `[len(rows)]`."""
        return episode_metrics(self.outcomes(state, rows))

    def told_times(self, state: PublishingState, row: int) -> ToldTimes:
        """First ERTs of a storm that has just ended, and when power was back, for pages."""
        o = self.outcomes(state, np.array([row]))
        site = np.concatenate([r.site for r in announced_of(self._env)])[row]
        told, power = o.first_h[0], o.power_h[0]
        jobs = np.flatnonzero(np.isfinite(told[:, 0]) & np.isfinite(power))
        hours = np.column_stack([o.published.first_at_h[0], told, power]).tolist()
        title = "first ERT, its interval, and when power was back"
        return ToldTimes(title, tuple(Told(f"job {j}", int(site[j]), *hours[j]) for j in jobs))


def publishing(
    name: str,
    entrant: Entrant,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    *,
    kept: bool = True,
    n_storms: int = N_STORMS,
    on_progress: Callable[[int], None] | None = None,
) -> Entrant | None:
    """An agent that publishes ERTs; None where it keeps no plan (`evaluate.py --ert`).

    ERTs are calibrated on `n_storms` past storms (`past_kwargs`, `past_seeds`), which it plays first, or has played
    before: the calibration is kept in the cache.

    Args:
        name: of the agent.
        entrant: it.
        env_id, env_kwargs: the environment.
        kept: whether the name and the environment say all that decides how it plays, so that the cache may be used.
        n_storms: past storms.
        on_progress: called with the number of storms that it has just played.
    """
    env = make_batch(env_id, 1, env_kwargs)
    try:
        if not _keeps_plans(entrant.make, env):
            return None
        city = announced_of(env)[0].city
    finally:
        env.close()
    past, seeds = past_kwargs(env_kwargs), past_seeds(n_storms)

    def make_arrays() -> dict[str, Any]:
        storms = play_past(entrant.make, env_id, past, seeds, level=LEVEL, on_progress=on_progress)
        return calibrate(storms, city.n_groups, LEVEL).arrays()

    others = {**past, "city": city.fingerprint()}
    key = json.dumps([name, others, n_storms, LEVEL, _source()], sort_keys=True, default=repr)
    names = tuple(Calibration.__dataclass_fields__)
    costly = Costly("ert", key, names, make_arrays, partial(check_arrays, n_groups=city.n_groups))
    arrays = recall_arrays(costly) if kept else make_arrays()
    calibration = Calibration.of_arrays(arrays)

    def make(env: Any) -> Policy:
        return PublishingPolicy(entrant.make(env), env, calibration, seeds)

    return Entrant(make, entrant.learned, entrant.privileged, entrant.summary)


def past_kwargs(env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the environment whose storms are the past of one with these.

    Where storms are drawn from the records of the test half, those of the past are from the training half; else from
    the same records, which storms do not wear out. The seeds are others in any case.
    """
    return {**env_kwargs, **({"split": "train"} if env_kwargs.get("split") == "test" else {})}


def _keeps_plans(make: Maker, env: Any) -> bool:
    observation, _ = env.reset(seed=0)
    return isinstance(make(env).predict(observation)[1], Plans)


def _source() -> str:
    """Hash of the source that decides what is played and told: no calibration of another version is taken."""
    here = Path(__file__).resolve().parents[1]
    rooms = (here, here / "search", here / "ert", here.parents[1] / "envs" / "crews")
    files = [file for room in rooms for file in sorted(room.glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
