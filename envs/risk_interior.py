"""A batched interior point for programs with a row for every sample: Mehrotra's predictor and corrector (1992).

    min over (z, v) of  linear.z + z'Hz / 2 + kappa sum_k v_k
    with  a_k = v_k - c_k.z >= 0  (dual p_k),   v_k >= 0  (dual u_k = kappa - p_k),
          G z + s = h, s >= 0  (dual y),        A z = b  (dual lambda).

With z = (w, eta) and c_k = (costs, -1) it is Rockafellar and Uryasev's program of the least CVaR; the cost tail of eta
makes sum_k p_k = tail. Each sample touches z along its own c_k alone, so Newton's equations shrink to z and lambda:
with D_k = 1 / (a_k / p_k + v_k / u_k) their matrix is H + C'DC + G' diag(y / s) G, bordered by A. The products C'DC are
most of the work, and BLAS does them for a stack of cases.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.risk import Polytope

MAX_ITERATIONS = 60
SHORTENING = 0.999
"""Share of the way to the nearest wall that a step goes at most."""
REDUNDANT = 1e-12
"""Regularisation of the equalities, so that redundant rows (flow conservation) leave the matrix regular."""
NEAR = 1e-3
"""Least distance from any wall at the start, in units of scaled costs."""

_Rows = TypeVar("_Rows", "Point", "Residuals")


@dataclass(frozen=True, eq=False)
class Walls:
    """A polytope as G z <= h, A z = b: G is bounds first (a sign each), then dense rows. Fixed parts are equalities."""

    low: Floats  # [n]
    high: Floats
    below: Ints  # parts with a lower bound
    above: Ints  # parts with an upper bound
    rows: Floats  # [m, n]
    right: Floats  # h [bounds + m]
    equal: Floats  # A [e, n]
    goal: Floats  # b [e]

    @classmethod
    def of(cls, polytope: Polytope, d: int, n_free: int = 0) -> Walls:
        """Dense walls of a polytope, with some more parts at the end that are free."""
        low, high = polytope.bounds(d)
        a_ub, b_ub, a_eq, b_eq = polytope.rows(d)
        fixed = low == high
        below, above = np.flatnonzero(np.isfinite(low) & ~fixed), np.flatnonzero(np.isfinite(high) & ~fixed)
        rows = np.pad(a_ub.toarray(), [(0, 0), (0, n_free)])
        equal = np.pad(np.concatenate([a_eq.toarray(), np.eye(d)[fixed]]), [(0, 0), (0, n_free)])
        right, goal = np.concatenate([-low[below], high[above], b_ub]), np.concatenate([b_eq, low[fixed]])
        low, high = (np.concatenate([ends, np.full(n_free, at)]) for ends, at in ((low, -np.inf), (high, np.inf)))
        return cls(low, high, below, above, rows, right, equal, goal)

    @property
    def n_bounds(self) -> int:
        """How many of G's rows are bounds."""
        return len(self.below) + len(self.above)

    def times(self, z: Floats) -> Floats:
        """G z `[..., bounds + m]`."""
        return np.concatenate([-z[..., self.below], z[..., self.above], _through(z, self.rows.T)], axis=-1)

    def back(self, y: Floats) -> Floats:
        """G'y `[B, n]`."""
        total = _through(y[:, self.n_bounds :], self.rows)
        total[:, self.below] -= y[:, : len(self.below)]
        total[:, self.above] += y[:, len(self.below) : self.n_bounds]
        return total

    def add_gram(self, matrix: Floats, weights: Floats) -> None:
        """Add G' diag(weights) G to the corner of matrices `[B, n or more, n or more]`."""
        n = len(self.low)
        if len(self.rows):
            matrix[:, :n, :n] += np.matmul(self.rows.T * weights[:, None, self.n_bounds :], self.rows)
        matrix[:, self.below, self.below] += weights[:, : len(self.below)]
        matrix[:, self.above, self.above] += weights[:, len(self.below) : self.n_bounds]

    def violation(self, z: Floats) -> Floats:
        """How far decisions `[B, n]` are beyond any row `[B]`."""
        beyond = np.concatenate([self.times(z) - self.right, np.abs(_through(z, self.equal.T) - self.goal)], axis=1)
        return beyond.max(axis=1, initial=0.0)

    def interior(self) -> Floats:
        """A decision `[n]` as far inside as it goes (Chebyshev's centre, at most 1 from every wall).

        Raises:
            RuntimeError: there is no decision.
        """
        from scipy.optimize import linprog

        n, has_equal = len(self.low), len(self.equal) > 0
        inner = np.where(np.isfinite(self.low), self.low + 1.0, np.where(np.isfinite(self.high), self.high - 1.0, 0.0))
        both = np.isfinite(self.low) & np.isfinite(self.high)
        inner[both] = (self.low[both] + self.high[both]) / 2.0
        if not len(self.rows) and not has_equal:
            return inner
        norms = np.concatenate([np.ones(self.n_bounds), np.linalg.norm(self.rows, axis=1)])
        answer: Any = linprog(
            np.concatenate([np.zeros(n), [-1.0]]),
            A_ub=np.column_stack([self.times(np.eye(n)).T, norms]) if len(norms) else None,
            b_ub=self.right if len(norms) else None,
            A_eq=np.column_stack([self.equal, np.zeros(len(self.equal))]) if has_equal else None,
            b_eq=self.goal if has_equal else None,
            bounds=[(None, None)] * n + [(0.0, 1.0)],
            method="highs",
        )
        if answer.x is None:
            raise RuntimeError(f"no plan was found: {answer.message}")
        return np.asarray(answer.x[:n])


@dataclass(frozen=True, eq=False)
class Program:
    """What B cases pay, and the walls they share."""

    costs: Floats  # C [B, K, n]
    linear: Floats  # [B, n]
    hessian: Floats | None  # H [B, n, n]
    kappa: float
    alpha: float
    """Share of kappa that samples take on average."""
    walls: Walls

    def gradient(self, z: Floats) -> Floats:
        """Of linear.z + z'Hz / 2 `[B, n]`."""
        return self.linear if self.hessian is None else self.linear + _times(self.hessian, z)

    def only(self, cases: Any) -> Program:
        """Some of the cases."""
        hessian = None if self.hessian is None else self.hessian[cases]
        return replace(self, costs=self.costs[cases], linear=self.linear[cases], hessian=hessian)

    def bound(self, point: Point, shares: Floats) -> Floats:
        """Lagrange's bound `[B]` from p `[B, K]` and the duals of rows: parts go to their cheaper bound."""
        walls = self.walls
        rows = point.split(point.dual)[2][:, walls.n_bounds :]
        reduced = self.gradient(point.z) + _back(self.costs, shares) + _through(rows, walls.rows)
        reduced = reduced + _through(point.equal, walls.equal)
        end = np.where(reduced >= 0, walls.low, walls.high)
        least = (reduced * np.where(np.isfinite(end), end, point.z)).sum(axis=1)
        if self.hessian is not None:
            least = least - 0.5 * (point.z * _times(self.hessian, point.z)).sum(axis=1)
        least -= (rows * walls.right[walls.n_bounds :]).sum(axis=1) + (point.equal * walls.goal).sum(axis=1)
        return np.asarray(least)


@dataclass(frozen=True, eq=False)
class Point:
    """An iterate, or a step of one."""

    z: Floats  # [B, n]
    equal: Floats  # lambda [B, e]
    primal: Floats  # (a, v, s) [B, 2K + walls]
    dual: Floats  # (p, u, y)
    n_samples: int

    def split(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """The parts of samples, samples and walls of `[B, 2K + walls]`."""
        k = self.n_samples
        return values[:, :k], values[:, k : 2 * k], values[:, 2 * k :]

    def moved(self, step: Point, primal: Floats, dual: Floats) -> Point:
        """The iterate after a step of lengths `[B]`."""
        far, wide = primal[:, None], dual[:, None]
        return replace(
            self,
            z=self.z + far * step.z,
            equal=self.equal + wide * step.equal,
            primal=self.primal + far * step.primal,
            dual=self.dual + wide * step.dual,
        )

    def put(self, cases: Ints, other: Point) -> None:
        """Overwrite some of the cases."""
        for mine, theirs in zip(_arrays(self), _arrays(other), strict=True):
            mine[cases] = theirs


@dataclass(frozen=True, eq=False)
class Residuals:
    """What Newton's step shall close; those of a and u are 0 throughout."""

    z: Floats  # stationarity [B, n]
    walls: Floats  # h - G z - s
    equal: Floats  # b - A z

    @classmethod
    def of(cls, program: Program, point: Point) -> Residuals:
        """At an iterate."""
        (p, _, y), s, walls = point.split(point.dual), point.split(point.primal)[2], program.walls
        slope = program.gradient(point.z) + _back(program.costs, p) + walls.back(y) + _through(point.equal, walls.equal)
        return cls(slope, walls.right - walls.times(point.z) - s, walls.goal - _through(point.z, walls.equal.T))

    def largest(self) -> Floats:
        """`[B]`"""
        return np.max([np.abs(values).max(axis=1, initial=0.0) for values in (self.z, self.walls, self.equal)], axis=0)


def _arrays(record: Point | Residuals) -> list[Floats]:
    """The arrays of a point or its residuals."""
    values = (getattr(record, field.name) for field in fields(record))
    return [value for value in values if isinstance(value, np.ndarray)]


def _some(record: _Rows, cases: Any) -> _Rows:
    """Some of the cases of a point or its residuals."""
    kept = [values[cases] for values in _arrays(record)]
    names = [field.name for field in fields(record)][: len(kept)]
    return replace(record, **dict(zip(names, kept, strict=True)))


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """`[B, i, j]` times `[B, j]`."""
    return np.asarray(np.matmul(matrices, vectors[:, :, None])[:, :, 0])


def _through(vectors: Floats, matrix: Floats) -> Floats:
    """`[..., i]` times `[i, j]`, each row by itself: a product of matrices has last bits that depend on the others."""
    return np.asarray(np.matmul(vectors[..., None, :], matrix)[..., 0, :], dtype=np.float64)


def _back(costs: Floats, weights: Floats) -> Floats:
    """Sum of samples `[B, K, n]` with weights `[B, K]`: `[B, n]`."""
    return np.asarray(np.matmul(weights[:, None, :], costs)[:, 0])


def _start(program: Program, z: Floats) -> Point:
    """Samples take the share alpha of kappa, and all is away from its wall by about what it varies."""
    walls, (n_cases, n_samples, _) = program.walls, program.costs.shape
    p = np.full((n_cases, n_samples), program.alpha * program.kappa)
    over = _times(program.costs, z)  # c.w - eta
    margin = 2.0 * np.abs(over).sum(axis=1, keepdims=True) / max(n_samples, 1) + NEAR
    s = np.maximum(walls.right - walls.times(z), NEAR)
    slope = program.gradient(z) + _back(program.costs, p)
    against = -walls.times(slope)  # a bound holds against the slope that pushes at it
    against[:, walls.n_bounds :] = 0.0
    y = np.maximum(against, 0.0) + 0.5 * np.abs(slope).mean(axis=1, keepdims=True) + NEAR
    primal = np.concatenate([np.maximum(-over, 0.0) + margin, np.maximum(over, 0.0) + margin, s], axis=1)
    dual = np.concatenate([p, program.kappa - p, y], axis=1)
    return Point(z, np.zeros((n_cases, len(walls.equal))), primal, dual, n_samples)


@dataclass(frozen=True, eq=False)
class Newton:
    """Newton's matrix at an iterate, and the step for what complementarity shall become."""

    program: Program
    point: Point
    residuals: Residuals
    weights: Floats  # D [B, K]
    matrix: Floats  # [B, n + e, n + e]

    @classmethod
    def at(cls, program: Program, point: Point, residuals: Residuals) -> Newton:
        """H + C'DC + G' diag(y / s) G with the border of A."""
        walls, n = program.walls, point.z.shape[1]
        size = n + len(walls.equal)
        (a, v, s), (p, u, y) = point.split(point.primal), point.split(point.dual)
        weights = 1.0 / (a / p + v / u)
        matrix = np.zeros((len(point.z), size, size))
        scaled = np.sqrt(weights)[:, :, None] * program.costs
        np.matmul(scaled.transpose(0, 2, 1), scaled, out=matrix[:, :n, :n])
        if program.hessian is not None:
            matrix[:, :n, :n] += program.hessian
        walls.add_gram(matrix, y / s)
        matrix[:, :n, n:] = walls.equal.T
        matrix[:, n:, :n] = walls.equal
        border = np.arange(n, size)
        matrix[:, border, border] = -REDUNDANT
        return cls(program, point, residuals, weights, matrix)

    def step(self, wanted: Floats) -> Point:
        """The step that changes primal x dual by `wanted` `[B, 2K + walls]` to first order."""
        program, point, off = self.program, self.point, self.residuals
        walls, n = program.walls, point.z.shape[1]
        (_, v, s), (p, u, y) = point.split(point.primal), point.split(point.dual)
        r_a, r_v, r_s = point.split(wanted)
        alone = (r_a / p - r_v / u) * self.weights  # dp where z stays
        wall = (r_s - y * off.walls) / s
        right = -off.z - _back(program.costs, alone) - walls.back(wall)
        right = np.concatenate([right, off.equal], axis=1)
        answer: Floats = np.asarray(np.linalg.solve(self.matrix, right[:, :, None])[:, :, 0], dtype=np.float64)
        dz = answer[:, :n]
        along, across = _times(program.costs, dz), walls.times(dz)
        dp = alone + self.weights * along
        dv = (r_v + v * dp) / u
        primal = np.concatenate([dv - along, dv, off.walls - across], axis=1)
        dual = np.concatenate([dp, -dp, wall + y / s * across], axis=1)
        return replace(point, z=dz, equal=answer[:, n:], primal=primal, dual=dual)


def _lengths(point: Point, step: Point, is_linear: bool) -> tuple[Floats, Floats]:
    """How far `[B]` primal and dual go until they meet a wall, at most 1; the same where there is a quadratic."""
    pairs = ((point.primal, step.primal), (point.dual, step.dual))
    primal, dual = (1.0 / np.maximum((-change / value).max(axis=1, initial=0.0), SHORTENING) for value, change in pairs)
    if not is_linear:
        primal = dual = np.minimum(primal, dual)
    return primal, dual


def _advance(program: Program, point: Point, residuals: Residuals) -> Point:
    """One step of predictor and corrector."""
    newton, is_linear = Newton.at(program, point, residuals), program.hessian is None
    product = point.primal * point.dual
    gap = product.sum(axis=1)
    guess = newton.step(-product)
    ahead = point.moved(guess, *(np.minimum(length, 1.0) for length in _lengths(point, guess, is_linear)))
    centre = ((ahead.primal * ahead.dual).sum(axis=1) / gap) ** 3 * gap / max(product.shape[1], 1)
    step = newton.step(centre[:, None] - product - guess.primal * guess.dual)
    return point.moved(step, *(np.minimum(SHORTENING * length, 1.0) for length in _lengths(point, step, is_linear)))


def solve(program: Program, z: Floats, tolerance: float) -> tuple[Point, Bools]:
    """Iterates from z `[B, n]`, and which `[B]` of them reach the tolerance.

    The tolerance is that of residuals, and of the gap relative to 1 + |cost|. Cases leave the batch when they are done.
    """
    point = _start(program, z)
    last, live, done = _some(point, slice(None)), np.arange(len(z)), np.zeros(len(z), dtype=bool)
    for _ in range(MAX_ITERATIONS):
        residuals = Residuals.of(program, point)
        gap = (point.primal * point.dual).sum(axis=1)
        worth = 1.0 + np.abs((program.linear * point.z).sum(axis=1))
        ready = (gap <= tolerance * worth) & (residuals.largest() <= tolerance)
        leaving = ready | ~np.isfinite(gap)
        if leaving.any():
            last.put(live, point)
            done[live[ready]] = True
            rest = ~leaving
            live = live[rest]
            if not len(live):
                break
            program, point, residuals = program.only(rest), _some(point, rest), _some(residuals, rest)
        try:
            with np.errstate(all="ignore"):
                point = _advance(program, point, residuals)
        except np.linalg.LinAlgError:
            break
    return last, done
