"""The shortest open path: visit every region once, end anywhere (PyVRP)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stormgym.agents.restoration.search.orders import Floats, Ints

UNITS_PER_HOUR = 36_000
"""PyVRP counts in integers; a tenth of a second is one."""


@dataclass(frozen=True)
class RoutePlan:
    """An open path through n regions."""

    order: Ints
    """`[n]` regions in the order of visits."""
    duration_h: float
    """Travel and service (h)."""
    bound_h: float
    """No path is shorter: minimum spanning tree over regions and start, and the service (h)."""
    status: str
    """ "heuristic", or "optimal" where the path meets the bound."""


def plan_route(travel_h: ArrayLike, service_h: ArrayLike, *, iterations: int = 1500, seed: int = 0) -> RoutePlan:
    """Search the open path of least travel and service time.

    Service takes the same time wherever it stands in the path, so it changes the duration but not the best
    path.

    Args:
        travel_h: `[n+1, n+1]` hours from row to column; the start is last.
        service_h: `[n]` hours at each region.
        iterations: of PyVRP's iterated local search; a fixed number, so that equal arguments give equal
            paths.
        seed: of the search.

    Raises:
        ValueError: shapes that do not fit, or hours that are negative or not finite.
    """
    travel, service = np.asarray(travel_h, dtype=np.float64), np.asarray(service_h, dtype=np.float64)
    n = service.size
    if service.ndim != 1 or travel.shape != (n + 1, n + 1):
        raise ValueError(
            f"service_h must be [n] and travel_h [n+1, n+1]; got shapes {service.shape} and {travel.shape}"
        )
    for name, value in (("travel_h", travel), ("service_h", service)):
        if not (np.isfinite(value) & (value >= 0)).all():
            raise ValueError(f"{name} must be finite and >= 0 h; got {value.min()} to {value.max()}")
    order = np.arange(n) if n < 2 else _solve(travel, service, iterations, seed)
    duration = float(travel[np.concatenate([[n], order[:-1]]), order].sum() + service.sum()) if n else 0.0
    bound = _spanning_tree(np.minimum(travel, travel.T)) + float(service.sum())
    return RoutePlan(order, duration, bound, "optimal" if duration <= bound * (1 + 1e-9) else "heuristic")


def _solve(travel: Floats, service: Floats, iterations: int, seed: int) -> Ints:
    from pyvrp import Model
    from pyvrp.stop import MaxIterations

    n = service.size
    hours = np.rint(travel * UNITS_PER_HOUR).astype(np.int64)
    hours[:, n] = 0  # the path is open: the way back costs nothing
    model = Model()
    places = [model.add_location(0, 0) for _ in range(n + 1)]
    depot = model.add_depot(places[n])
    model.add_vehicle_type(1, start_depot=depot, end_depot=depot)
    for place, duration in zip(places, np.rint(service * UNITS_PER_HOUR).astype(np.int64), strict=False):
        model.add_client(place, service_duration=int(duration))
    for i in range(n + 1):
        for j in range(n + 1):
            if i != j:
                model.add_edge(places[i], places[j], distance=int(hours[i, j]), duration=int(hours[i, j]))
    result = model.solve(MaxIterations(iterations), seed=seed, collect_stats=False, display=False)
    (route,) = result.best.routes()
    return np.array([stop.idx for stop in route if stop.is_client()], dtype=np.int64)


def _spanning_tree(weight: Floats) -> float:
    """Weight of the minimum spanning tree of a symmetric matrix (Prim)."""
    left = np.ones(len(weight), dtype=bool)
    left[-1] = False
    nearest, total = weight[-1].copy(), 0.0
    while left.any():
        new = int(np.where(left, nearest, np.inf).argmin())
        total += float(nearest[new])
        left[new] = False
        nearest = np.minimum(nearest, weight[new])
    return total
