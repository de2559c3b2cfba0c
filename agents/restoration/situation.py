"""From a batch of observations to planning problems: open regions, the crew's position, the gap accrued so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.binding import base_envs
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.data import City
from stormgym.envs.equity import group_pairs, pair_matrix
from stormgym.envs.restoration.knowledge import RestorationAnnounced
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, crew_columns, regions_of
from stormgym.envs.risk_measure import MEAN, RiskMeasure

ENV_ID = "Restoration-v0"


def restoration_envs(env: Any) -> list[Any]:
    """Return the restoration environments behind `env` (see `stormgym.agents.binding.base_envs`)."""
    return base_envs(env, "city", City, ENV_ID)


def city_of(env: Any) -> City:
    """Return the city of a restoration environment (single, batched or wrapped)."""
    city: City = restoration_envs(env)[0].announced.city
    return city


def risk_measure_of(env: Any, kind: str | None = None, level: float | None = None) -> RiskMeasure:
    """The statistic of the gap that a policy holds to the limit: what its arguments say, else the environment's.

    Args:
        env: the environment that the policy is bound to; None is one that limits the mean.
        kind, level: the policy's `cost_limit_kind` and `cost_limit_level`; None takes the environment's.

    Raises:
        TypeError, ValueError: as of `RiskMeasure.of`.
    """
    announced = MEAN if env is None else restoration_envs(env)[0].announced.risk_measure
    if kind is None and level is None:
        return announced
    return RiskMeasure.of(announced.kind if kind is None else kind, level)


def rows_of_part(
    announced: Sequence[RestorationAnnounced], part: Part, n_rows: int, values: Sequence[NDArray[Any] | None]
) -> NDArray[Any] | None:
    """Values `[R, ...]` of a part's episodes, out of those of all episodes; None where an environment has none.

    Args:
        announced: one record for each environment that the policy is bound to.
        part: R episodes.
        n_rows: B, of the observation.
        values: `[B_i, ...]` of each environment's episodes, whose B_i add up to B.

    Raises:
        ValueError: the observation does not come from these environments.
    """
    held = sum(len(record.point_h) for record in announced)
    if held != n_rows:
        raise ValueError(
            f"the policy is bound to {held} episodes but the observation has {n_rows}; "
            "bind it to the environment that it plays, with for_env(env)"
        )
    point = np.concatenate([record.point_h for record in announced])[part.rows]
    if not np.array_equal(point, part.point_h):
        raise ValueError(
            "the observation shows other jobs than the environment that the policy is bound to; "
            "bind it to the environment that it plays, with for_env(env)"
        )
    known = [value for value in values if value is not None]
    return None if len(known) < len(values) else np.asarray(np.concatenate(known)[part.rows])


@dataclass(frozen=True)
class Part:
    """R episodes with equally many open regions, as one planning problem."""

    rows: Ints
    """`[R]` rows of the observation."""
    regions: Ints
    """`[R, n]` open regions, ascending; plans number them 0..n-1."""
    closed: Ints
    """`[R, N - n]` the other regions."""
    problem: OrderProblem
    """With the mean forecasts as repair hours."""
    point_h: Floats
    """`[R, N]` mean forecasts of all regions."""
    upper_h: Floats
    """`[R, N]` upper ends of the prediction intervals of all regions."""
    limit_h: Floats
    """`[R]` limit on the expected gap."""

    def local(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the open regions, `[R, ..., n]`, out of those of all regions, `[R, ..., N]`."""
        index = self.regions.reshape(len(self.rows), *[1] * (values.ndim - 2), -1)
        return np.take_along_axis(values, index, axis=-1)

    def start(self, order: Ints) -> Ints:
        """Orders `[R, n]` of the open regions as they follow each other in the order `[N]` of all regions."""
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        return np.argsort(rank[self.regions], axis=1)

    def whole(self, order: Ints) -> Ints:
        """Orders `[R, N]` of all regions: the plan `[R, n]`, then the closed ones."""
        return np.concatenate([np.take_along_axis(self.regions, order, axis=1), self.closed], axis=1)


def parts(observation: Observation, city: City, rows: Ints) -> Iterator[Part]:
    """Split episodes `rows` of a batched observation into planning problems, one a number of open regions.

    Raises:
        ValueError: the observation is not one of Restoration-v0 with this city's regions and groups.
    """
    regions, crew = _checked(observation, city)
    regions, crew = regions[rows].astype(np.float64), crew[rows].astype(np.float64)
    is_open = regions[..., COLUMN["open"]] > 0
    n_open = is_open.sum(axis=1)
    for n in np.unique(n_open):
        if n > 0:
            at = np.flatnonzero(n_open == n)
            yield _part(city, rows[at], regions[at], crew[at], is_open[at])


def _checked(observation: Observation, city: City) -> tuple[NDArray[Any], NDArray[Any]]:
    wanted = (city.n_regions, len(REGION_COLUMNS)), (len(crew_columns(city.n_groups)),)
    if not {*REGION_COLUMNS, "crew", "action_mask"} <= set(observation):
        raise ValueError(f"a planner reads the observation of Restoration-v0; got {sorted(observation)}")
    regions, crew = regions_of(observation), observation["crew"]
    if (regions.shape[1:], crew.shape[1:]) != wanted:
        raise ValueError(
            f"the policy is bound to {city!r}, whose observations have shapes {wanted}; "
            f"got {(regions.shape[1:], crew.shape[1:])}. "
            "Bind it to the environment that it plays, with for_env(env)"
        )
    return regions, crew


def _part(city: City, rows: Ints, regions: Floats, crew: Floats, is_open: Bools) -> Part:
    columns = {name: i for i, name in enumerate(crew_columns(city.n_groups))}
    n = int(is_open[0].sum())
    ids = np.argsort(~is_open, axis=1, kind="stable")
    chosen, closed = ids[:, :n], ids[:, n:]
    way = regions[..., COLUMN["distance_km"]] / crew[:, columns["speed_kmh"], None]  # [R, N] from the crew
    if n == city.n_regions and np.allclose(way, city.travel_h[-1, :-1], rtol=1e-5, atol=1e-6):
        travel = city.travel_h  # all open, at the depot: one table for all
    else:
        travel = np.zeros((len(rows), n + 1, n + 1))
        travel[:, :n, :n] = city.travel_h[chosen[:, :, None], chosen[:, None, :]]
        travel[:, n, :n] = np.take_along_axis(way, chosen, axis=1)
    shares = np.stack([crew[:, columns[f"share_restored_{g}"]] for g in range(city.n_groups)], axis=1)
    pairs = [columns[f"pair_gap_h_{a}_{b}"] for a, b in group_pairs(city.n_groups)]
    problem = OrderProblem.of(
        travel,
        np.take_along_axis(regions[..., COLUMN["point_h"]], chosen, axis=1),
        city.group[chosen],
        group_size=np.bincount(city.group, minlength=city.n_groups),
        ahead=shares @ pair_matrix(city.n_groups),
        accrued_h=crew[:, pairs],
    )
    point, upper = regions[..., COLUMN["point_h"]], regions[..., COLUMN["upper_h"]]
    return Part(rows, chosen, closed, problem, point, upper, crew[:, columns["cost_limit_h"]])
