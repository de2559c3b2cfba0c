"""The exact plan of a small storm by mixed-integer programming, for crews without shifts: the search's yardstick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from stormgym.agents.crews.search.problem import UNABLE_H, CrewProblem, value_tours
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.core import is_number

MOST_ITEMS = 10
"""More jobs than these take more than minutes."""


@dataclass(frozen=True, eq=False)
class ExactPlan:
    """A plan that is proved to be the best."""

    tour: Ints
    """`[T]` as in `problem`."""
    outage_h: float
    """Weighted outage of jobs without power."""
    bound_h: float
    """No plan is below it."""
    status: str


def exact_plan(problem: CrewProblem, *, time_limit_s: float = 60.0) -> ExactPlan:
    """The least weighted outage of one storm.

    Arcs say which job of a crew follows which; the finish of a job is at least that of the one before it and the way
    and work between; power is back when all above a job is mended. Big-M is the time in which one crew could do all.

    Args:
        problem: one storm, of crews that are always on duty.
        time_limit_s: of HiGHS.

    Raises:
        ValueError: several storms, more than `MOST_ITEMS` jobs, crews with off hours, a job that no crew can do,
            numbers that are not finite, or no plan in the time.
    """
    n = int(problem.n_items[0])
    if problem.n_storms != 1 or n > MOST_ITEMS or (problem.roster.off_h > 0).any():
        raise ValueError(
            f"the exact plan is for one storm of up to {MOST_ITEMS} jobs and crews without off hours; got "
            f"{problem.n_storms} storms, {n} jobs, off_h {problem.roster.off_h.max():g}"
        )
    if not is_number(time_limit_s) or not time_limit_s > 0:
        raise ValueError(f"time_limit_s must be above 0 seconds; got {time_limit_s!r}")
    _check_jobs(problem, n)
    model = _Model(problem, n)
    answer = milp(
        model.cost,
        constraints=model.constraints,
        bounds=Bounds(model.low, model.high),
        integrality=model.integral,
        options={"time_limit": time_limit_s},
    )
    if answer.x is None:
        why = f"time_limit_s = {time_limit_s:g} is too short" if answer.status == 1 else str(answer.message)
        raise ValueError(f"HiGHS found no plan of {n} jobs for {problem.n_crews} crews: {why}")
    tour = model.tour(answer.x)
    value = float(value_tours(problem, tour[None], np.zeros(1, dtype=np.int64)).outage_h[0])
    bound = float(answer.mip_dual_bound) + model.constant
    return ExactPlan(tour, value, bound, "optimal" if answer.status == 0 else "time limit")


def _check_jobs(problem: CrewProblem, n: int) -> None:
    """Raise `ValueError` for a job that no crew can do, or numbers that are not finite."""
    own = problem.leg_h[0][:, :, :n]
    unable = (own >= UNABLE_H).all(axis=(0, 1))
    if unable.any():
        raise ValueError(
            f"job {int(unable.argmax())} can be done by no crew: none has its skill. Change skills or jobs"
        )
    for name, values in (
        ("leg_h", np.minimum(own, UNABLE_H)),
        ("ready_h", problem.ready_h[0]),
        ("weight", problem.weight[0]),
    ):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite for an exact plan; got {values[~np.isfinite(values)][0]}")


class _Model:
    """Columns: arcs `[K, n + 1, n + 1]` (row n: from the start, column n: to the end), finishes `[n]`, power `[W]`."""

    def __init__(self, problem: CrewProblem, n: int) -> None:
        self.n, self.k = n, problem.n_crews
        self.columns = problem.slots.shape[1]
        width = problem.weight.shape[1]
        self.n_arcs = self.k * (n + 1) ** 2
        total = self.n_arcs + n + width
        every = [*range(n), self.columns]
        leg = problem.leg_h[0][:, every][:, :, every]  # [K, n + 1, n + 1]
        earliest = np.zeros(n) if problem.earliest_h is None else problem.earliest_h[0, :n]
        ready, under_way = problem.ready_h[0], problem.under_way_h[0]
        self.big = float(ready.max() + earliest.max(initial=0.0) + np.where(leg < UNABLE_H, leg, 0.0).max((0, 1)).sum())
        self.cost = np.zeros(total)
        self.cost[self.n_arcs + n :] = problem.weight[0]
        self.constant = -float((problem.weight[0] * problem.arrival_h[0]).sum())
        self.integral = (np.arange(total) < self.n_arcs).astype(int)
        self.low, self.high = np.zeros(total), np.full(total, np.inf)
        self.high[: self.n_arcs] = 1.0
        forbidden = leg >= UNABLE_H
        forbidden[:, np.arange(n), np.arange(n)] = True
        self.high[: self.n_arcs][forbidden.ravel()] = 0.0
        self.rows: list[tuple[dict[int, float], float, float]] = []
        self._flows()
        self._times(leg, earliest, ready)
        self._power(problem, under_way)

    def _arc(self, crew: int, before: int, after: int) -> int:
        return (crew * (self.n + 1) + before) * (self.n + 1) + after

    def _flows(self) -> None:
        """Every job is done once, and a crew that comes to it leaves it."""
        n, crews = self.n, range(self.k)
        for j in range(n):
            self.rows.append(({self._arc(c, i, j): 1.0 for c in crews for i in range(n + 1) if i != j}, 1.0, 1.0))
            for c in crews:
                flow = {self._arc(c, i, j): 1.0 for i in range(n + 1) if i != j}
                flow |= {self._arc(c, j, i): -1.0 for i in range(n + 1) if i != j}
                self.rows.append((flow, 0.0, 0.0))
        for c in crews:
            self.rows.append(({self._arc(c, n, j): 1.0 for j in range(n + 1)}, 1.0, 1.0))

    def _times(self, leg: Floats, earliest: Floats, ready: Floats) -> None:
        """The finish of a job is at least that of the one before it (or the crew's start), and the leg between."""
        n = self.n
        for j in range(n):
            for c in range(self.k):
                for i in range(n + 1):
                    if i == j or leg[c, i, j] >= UNABLE_H:
                        continue
                    arc, own = self._arc(c, i, j), self.n_arcs + j
                    start = max(ready[c], earliest[j]) if i == n else earliest[j]
                    self.rows.append(({own: 1.0, arc: -(start + leg[c, i, j])}, 0.0, np.inf))
                    if i < n:
                        row = {own: 1.0, self.n_arcs + i: -1.0, arc: -(leg[c, i, j] + self.big)}
                        self.rows.append((row, -self.big, np.inf))

    def _power(self, problem: CrewProblem, under_way: Floats) -> None:
        """Power is back when a job and all above it are mended."""
        first = self.n_arcs + self.n
        for column, chain in enumerate(problem.chain[0]):
            for other in set(chain.tolist()):
                if other < self.n:
                    self.rows.append(({first + column: 1.0, self.n_arcs + other: -1.0}, 0.0, np.inf))
                elif other > self.columns:
                    self.low[first + column] = max(self.low[first + column], float(under_way[other - self.columns - 1]))

    @property
    def constraints(self) -> LinearConstraint:
        """All rows."""
        at = [(r, c, v) for r, (row, _, _) in enumerate(self.rows) for c, v in row.items()]
        r, c, v = (np.array(part) for part in zip(*at, strict=True))
        matrix = coo_array((v, (r, c)), shape=(len(self.rows), self.cost.size)).tocsr()
        return LinearConstraint(matrix, [low for _, low, _ in self.rows], [high for _, _, high in self.rows])

    def tour(self, x: Floats) -> Ints:
        """The tour that the arcs of a solution say."""
        n = self.n
        arc = x[: self.n_arcs].reshape(self.k, n + 1, n + 1) > 0.5
        result: list[int] = []
        for crew in range(self.k):
            here = n
            while True:
                here = int(arc[crew, here].argmax())
                if here == n:
                    break
                result.append(here)
            if crew < self.k - 1:
                result.append(self.columns + 1 + crew)
        padding = self.columns - n
        return np.array(result + [self.columns] * padding)
