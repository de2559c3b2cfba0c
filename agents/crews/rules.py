"""Rules of CrewDispatch-v0: a score of every job that is open to the asked crew; the least is taken, nobody waits."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.binding import announced_of
from stormgym.agents.policy import BasePolicy
from stormgym.agents.rules import checked_key
from stormgym.envs.arrays import Bools, Floats, Ints, Observation

ENV_ID = "CrewDispatch-v0"
USUAL_WAY_H = 0.12
"""Way between jobs that list scheduling reckons with, where it does not know which crew comes from where (h)."""


class CrewRule(BasePolicy):
    """Base of rules: subclasses write `key`, the least of which among open jobs is taken, of equal ones the first."""

    def key(self, observation: Observation) -> Floats:
        """A number for each job, `[B, N]`."""
        raise NotImplementedError(f"{type(self).__name__} must write key()")

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Ints, Any]:
        """The open job of least key."""
        del episode_start, deterministic
        if "crew_asked" not in observation:
            raise ValueError(f"this agent reads the observation of {ENV_ID}; got {sorted(observation)}")
        open_ = np.asarray(observation["action_mask"])[:, :-1] > 0
        keys = checked_key(self, self.key(observation), open_.shape, "[B, N] of the jobs, without waiting")
        key = np.where(open_, keys, np.inf)
        return np.where(open_.any(axis=1), key.argmin(axis=1), open_.shape[1]), state


class NearestJob(CrewRule):
    """The nearest open job.

    Idea: save the way. Cost: none. Source: none needed.
    """

    name = "nearest"

    def key(self, observation: Observation) -> Floats:
        """Road km."""
        return np.asarray(observation["distance_km"], dtype=np.float64)


class ShortestRepair(CrewRule):
    """The open job with the least forecast of its repair.

    Idea: shortest processing time first. Cost: none. Source: Smith (1956) without weights and ways.
    """

    name = "shortest-repair"

    def key(self, observation: Observation) -> Floats:
        """Hours."""
        return np.asarray(observation["point_h"], dtype=np.float64)


class Smith(CrewRule):
    """The open job with the least hours, way included, for its weight. It knows no feeder.

    Idea: weighted shortest processing time. Cost: none. Source: Smith (1956).
    """

    name = "smith"
    per: ClassVar[str] = "weight"
    """Part of the observation that hours are divided by."""

    def key(self, observation: Observation) -> Floats:
        """Hours per weight."""
        hours = np.asarray(observation["travel_h"], dtype=np.float64) + observation["point_h"]
        return hours / np.maximum(observation[self.per], 1e-12)


class MostCustomers(Smith):
    """The open job with the least hours, way included, for its customers.

    Idea: Smith's rule for what utilities report. Cost: none. Source: Smith (1956).
    """

    name = "customers"
    per = "customers"


class RequestVolume(CrewRule):
    """The job that was reported first; of those reported together the region that files most requests.

    Idea: the status quo. Cost: none. Source: EPOPR, section 5.

    Args:
        requests: `[R]` volume of requests of each region.
        xy_km: `[R, 2]` their coordinates, by which a job's region is told.
    """

    name = "request-volume"

    def __init__(self, requests: Floats, xy_km: Floats) -> None:
        self.requests = np.asarray(requests, dtype=np.float64)
        self.xy_km = np.asarray(xy_km, dtype=np.float32)

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> RequestVolume:
        """Take the city's requests."""
        city = announced_of(env)[0].city
        return cls(city.requests, city.xy_km, **kwargs)

    def key(self, observation: Observation) -> Floats:
        """Hours without power as one number with the rank of the region below a second."""
        rank = np.argsort(np.argsort(-self.requests, kind="stable"), kind="stable") / self.requests.size
        place = np.stack([observation["x_km"], observation["y_km"]], axis=-1)[..., None, :]  # [B, N, 1, 2]
        region = np.abs(place - self.xy_km).sum(axis=-1).argmin(axis=-1)
        return -np.round(np.asarray(observation["age_h"], dtype=np.float64), 4) + 1e-5 * rank[region]


class ListRho(CrewRule):
    """List scheduling by the best ratio of weight to hours among what a job and the jobs below it bring.

    Idea: a job is worth what hangs on it: the largest (sum of weight) / (sum of hours) over pieces of the forest that
    begin with it. What is below an open job comes last. Cost: microseconds a job. Source: Horn (1972) for trees; Tan et
    al. (2017) for crews.
    """

    name = "list-rho"

    def key(self, observation: Observation) -> Floats:
        """Minus the ratio; jobs below an open one are behind all others."""
        ratio, blocked = priorities(observation)
        return np.where(blocked, 1e6 - ratio, -ratio)


def priorities(observation: Observation, own_way: bool = True) -> tuple[Floats, Bools]:
    """The best ratio of weight to hours of each job `[B, N]`, and whether a job above it is open.

    Hours are the forecast of the repair and a usual way between jobs, for the job itself the asked crew's own way where
    `own_way` says so; of what is mended or under way none. Ratios are found for all jobs at once by Dinkelbach's
    method: a piece of the forest below j is worth its weight minus lam times its hours, children that are worth nothing
    are left out, and lam rises to the ratio of the best piece until that is worth 0.
    """
    parent = np.rint(observation["parent"]).astype(np.int64)
    open_ = np.asarray(observation["open"]) > 0.5
    dark = np.asarray(observation["dark"]) > 0.5
    weight = np.where(dark, np.asarray(observation["weight"], dtype=np.float64), 0.0)
    point = np.asarray(observation["point_h"], dtype=np.float64)
    hours = np.where(open_, point + USUAL_WAY_H, 0.0)
    way = np.asarray(observation["travel_h"], dtype=np.float64) if own_way else np.full(point.shape, USUAL_WAY_H)
    first = np.where(open_, point + way, 0.0)
    chain = _ancestors(parent)  # [B, D, N] the d-th above each job, -1 where there is none
    rows = np.arange(len(parent))[:, None]
    blocked = np.zeros(open_.shape, dtype=bool)
    for above in chain[:, 1:].swapaxes(0, 1):
        blocked |= (above >= 0) & open_[rows, above]
    return _best_ratios(chain, weight, hours, first), blocked


def _ancestors(parent: Ints) -> Ints:
    """`[B, D, N]` each job, its parent, the parent of that, ...; -1 beyond the head."""
    rows = np.arange(len(parent))[:, None]
    chain = [np.broadcast_to(np.arange(parent.shape[1]), parent.shape)]
    while True:
        above = np.where(chain[-1] >= 0, parent[rows, chain[-1]], -1)
        if not (above >= 0).any():
            return np.stack(chain, axis=1)
        chain.append(above)


def _best_ratios(chain: Ints, weight: Floats, hours: Floats, first: Floats) -> Floats:
    """`[B, N]` the largest ratio over pieces that begin with each job; `first` are the hours of the job itself."""
    b, depth, n = chain.shape
    level = (chain >= 0).sum(axis=1) - 1  # [B, N] how deep a job is
    # pairs (root, job below it or itself): root is the (level - d)-th above the job
    below: list[tuple[NDArray[np.int64], ...]] = []
    for d in range(depth):
        row, job = np.nonzero(chain[:, d] >= 0)
        below.append((row, chain[row, d, job], job))
    ratio = weight / np.maximum(first, 1e-9)
    for _ in range(20):
        worth = np.zeros((b, n, n))  # [B, root, job] of the best piece that begins with the job, at the root's ratio
        for lev in range(int(level.max()), -1, -1):
            for d in range(depth):
                row, root, job = below[d]
                at = level[row, job] == lev
                row, root, job = row[at], root[at], job[at]
                taken = first[row, job] if d == 0 else hours[row, job]
                worth[row, root, job] += weight[row, job] - ratio[row, root] * taken
                if d > 0:
                    up = chain[row, 1, job]
                    np.add.at(worth, (row, root, up), np.maximum(worth[row, root, job], 0.0))
        best = _ratio_of_pieces(chain, below, level, worth, weight, hours, first)
        if np.allclose(best, ratio, rtol=1e-10, atol=0.0):
            break
        ratio = np.maximum(best, ratio)
    return ratio


def _ratio_of_pieces(
    chain: Ints,
    below: list[tuple[NDArray[np.int64], ...]],
    level: Ints,
    worth: Floats,
    weight: Floats,
    hours: Floats,
    first: Floats,
) -> Floats:
    """The ratio `[B, N]` of the pieces that are worth most: jobs below whose way up to the root is worth something."""
    total_w, total_h = weight.copy(), first.copy()
    kept = np.zeros(worth.shape, dtype=bool)
    row, root, job = below[0]
    kept[row, root, job] = True
    for lev in range(1, int(level.max()) + 1):
        for d in range(1, len(below)):
            row, root, job = below[d]
            at = level[row, job] == lev
            row, root, job = row[at], root[at], job[at]
            good = kept[row, root, chain[row, 1, job]] & (worth[row, root, job] > 0)
            row, root, job = row[good], root[good], job[good]
            kept[row, root, job] = True
            np.add.at(total_w, (row, root), weight[row, job])
            np.add.at(total_h, (row, root), hours[row, job])
    return total_w / np.maximum(total_h, 1e-9)
