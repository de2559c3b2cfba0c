"""Past storms: a policy plays them, what is simulated at each decision is kept, and ERTs are calibrated on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.binding import announced_of
from stormgym.agents.crews.ert.calibration import Calibration, Kind, Past, as_simulated, calibrated
from stormgym.agents.crews.ert.looks import Look, Told, look
from stormgym.agents.crews.ert.published import Published, published
from stormgym.agents.crews.ert.simulation import Draws
from stormgym.agents.crews.planners import Plans
from stormgym.agents.crews.situation import read
from stormgym.agents.policy import Maker
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.making import episode_seeds, make_batch

N_STORMS = 200
"""Past storms of a calibration."""
SEED = 2**31 - 1 - 18
"""Of the seeds of past storms, far from those that people give."""
AT_ONCE = 25
_OF_STORMS = ("power_h", "arrival_h", "group")
ROUNDS = 4
"""Which ERTs are revised depends on the calibration of those that are: it is made so often."""


@dataclass(frozen=True, eq=False)
class PastStorms:
    """E storms: the looks at each decision, and what came."""

    looks: tuple[Look, ...]
    """One a decision; storms that are over have nothing dark."""
    power_h: Floats
    """`[E, N]` when power was back; inf for slots without a job."""
    arrival_h: Floats
    """`[E, N]`"""
    group: Ints
    """`[E, N]`"""

    @property
    def n_storms(self) -> int:
        """E."""
        return len(self.power_h)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As plain arrays: those of looks `[T, E, ...]`, those of storms as they are."""
        looks = {f.name: np.stack([getattr(seen, f.name) for seen in self.looks]) for f in fields(Look)}
        return {**looks, **{f"storm_{name}": getattr(self, name) for name in _OF_STORMS}}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PastStorms:
        """From what `arrays` gave."""
        looks = zip(*(arrays[f.name] for f in fields(Look)), strict=True)
        return cls(tuple(Look(*parts) for parts in looks), *(arrays[f"storm_{name}"] for name in _OF_STORMS))

    def replay(self, calibration: Calibration) -> tuple[Published, dict[Kind, Past]]:
        """Publish all of it with a calibration: what was published in the end, and every ERT by kind."""
        state = Published.none(*self.power_h.shape)
        found: dict[Kind, list[Past]] = {kind: [] for kind in Kind}
        for seen in self.looks:
            state, news = published(state, seen, calibration)
            for kind in Kind:
                chosen = news.kind == kind
                if chosen.any():
                    found[kind].append(Past(seen.at(chosen), np.nonzero(chosen)[0], self.power_h[chosen]))
        return state, {kind: _joined(parts) for kind, parts in found.items() if parts}


def _joined(parts: list[Past]) -> Past:
    told = Told(*(np.concatenate(column) for column in zip(*(part.told for part in parts), strict=True)))
    storm, power = (np.concatenate([getattr(part, name) for part in parts]) for name in ("storm", "power_h"))
    return Past(told, storm, power)


def calibrate(past: PastStorms, n_groups: int, level: float = 0.9) -> Calibration:
    """The calibration of a policy's ERTs from storms that it played.

    First ERTs, and those when a crew is sent, do not depend on it; which others are revised does, so these are found
    with the calibration so far, and calibrated, `ROUNDS` times.

    Raises:
        ValueError: too few storms.
    """
    first = past.replay(as_simulated(n_groups, level))[1]
    result = calibrated(_some(first, Kind.FIRST, Kind.SENT), n_groups, level)
    for _ in range(ROUNDS):
        revised = _some(past.replay(result)[1], Kind.REVISED, Kind.REVISED_SENT)
        result = calibrated(revised, n_groups, level, result)
    return result


def _some(found: dict[Kind, Past], *kinds: Kind) -> dict[Kind, Past]:
    return {kind: found[kind] for kind in kinds if kind in found}


def play_past(
    make: Maker,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    seeds: tuple[int, ...],
    *,
    level: float = 0.9,
    on_progress: Callable[[int], None] | None = None,
) -> PastStorms:
    """Let a policy play storms, and keep what is simulated at each decision.

    Args:
        make: makes the policy from an environment.
        env_id, env_kwargs: the environment.
        seeds: one a storm.
        level: coverage of the simulated interval.
        on_progress: called with the number of storms that have just ended.

    Raises:
        TypeError: the policy keeps no plan.
    """
    rows = -(-len(seeds) // -(-len(seeds) // AT_ONCE))
    env = make_batch(env_id, rows, env_kwargs)
    parts = []
    try:
        policy = make(env)
        for first in range(0, len(seeds), rows):
            part = seeds[first : first + rows]
            parts.append(_played(policy, env, list(part), level))
            if on_progress is not None:
                on_progress(len(part))
    finally:
        env.close()
    return side_by_side(parts)


def past_seeds(n_storms: int = N_STORMS, first: int = 0) -> tuple[int, ...]:
    """Seeds of past storms."""
    return episode_seeds(SEED, first + n_storms)[first:]


def check_keeps_plans(policy: Any, state: Any) -> Plans:
    """The state of a policy, which is its plans.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(state, Plans):
        name = getattr(policy, "name", type(policy).__name__)
        raise TypeError(f"{name!r} keeps no plan (its state is no Plans), so there is no ERT to simulate")
    return state


def _played(policy: Any, env: Any, seeds: list[int], level: float) -> PastStorms:
    wanted, n = len(seeds), env.num_envs
    seeds = seeds + [seeds[-1]] * (n - wanted)
    if hasattr(policy, "seed_episodes"):
        policy.seed_episodes(seeds)
    observation, _ = env.reset(seed=seeds)
    live, start, state = np.ones(n, dtype=bool), np.ones(n, dtype=bool), None
    looks: list[Look] = []
    power = arrival = np.zeros((0, 0))
    group: Ints = np.zeros((0, 0), dtype=np.int64)
    while live.any():
        action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True)
        situation = read(observation, announced_of(env))
        if not looks:
            power, arrival = np.full((2, *situation.known.shape), np.inf)
            group = np.zeros(situation.known.shape, dtype=np.int64)
            draws = Draws.of(situation.known.shape[1])
        seen = look(situation, check_keeps_plans(policy, state), np.asarray(action), draws, level)
        looks.append(_of_live(seen, live, wanted))
        known = situation.known & live[:, None]
        group[known], arrival[known] = situation.group[known], situation.arrival_h[known]
        observation, _, terminated, truncated, _ = env.step(action)
        start = np.zeros(n, dtype=bool)
        ended = live & (np.asarray(terminated) | np.asarray(truncated))
        if ended.any():
            power[ended] = np.concatenate([record.power_h for record in announced_of(env)])[ended]
        live &= ~ended
    return PastStorms(tuple(looks), power[:wanted], arrival[:wanted], group[:wanted])


def _of_live(seen: Look, live: np.ndarray, wanted: int) -> Look:
    """A look with nothing dark in storms that are over, and without those that only fill the batch."""
    dark = (seen.dark & live[:, None])[:wanted]
    quantile: Any = np.where(dark[..., None], seen.quantile_h[:wanted], np.nan).astype(np.float32)  # many are kept
    group, arrival = seen.group[:wanted], seen.arrival_h[:wanted]
    sent, crewed = (seen.sent & live[:, None])[:wanted], seen.crewed[:wanted]
    return Look(seen.now_h[:wanted], dark, sent, crewed, quantile, group, arrival)


def side_by_side(parts: Sequence[PastStorms]) -> PastStorms:
    """Storms of several batches; those that end earlier have nothing dark from then on."""
    looks = []
    for i in range(max(len(part.looks) for part in parts)):
        at = [part.looks[i] if i < len(part.looks) else _over(part.looks[-1]) for part in parts]
        looks.append(Look(*(np.concatenate([getattr(x, f.name) for x in at]) for f in fields(Look))))
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in _OF_STORMS)
    return PastStorms(tuple(looks), *arrays)


def _over(seen: Look) -> Look:
    nothing = np.zeros_like(seen.dark)
    return Look(
        seen.now_h, nothing, nothing, seen.crewed, np.full_like(seen.quantile_h, np.nan), seen.group, seen.arrival_h
    )
