"""How plans of least CVaR move with the samples: derivatives by the optimality conditions, for many cases at a time.

The plan of a linear program jumps from vertex to vertex. The iterate of an interior point that stops at complementarity
mu > 0 does not: it moves smoothly with the samples, and Newton's matrix M at it gives how. With D_k = 1 / (a_k / p_k +
v_k / u_k) of `stormgym.envs.risk_interior`, a change dc_k of samples moves z = (w, eta) by

    M dz = - sum_k p_k dc_k - sum_k c_k D_k (dc_k . z),

so one solve with M for an incoming gradient g, y = M^-1 g, gives the gradient - p_k y - D_k (c_k . y) z in each sample.
No active set has to be guessed. Where mu is 1e-6 the plan is that of the program to about as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.risk import Polytope, check_alpha
from stormgym.envs.risk_batch import Goal, program_of
from stormgym.envs.risk_interior import Newton, Point, Program, Residuals, Walls, solve

TOLERANCE = 1e-6
"""Complementarity at which plans stop, relative to their value."""


@dataclass(frozen=True, eq=False)
class MovingPlans:
    """Plans of least CVaR, with what is needed to move them."""

    plan: Floats
    """`[B, d]`"""
    threshold: Floats
    """`[B]` eta: cost at which the tail begins."""
    converged: Bools
    """`[B]` whether the interior point reached its tolerance; elsewhere derivatives are 0."""
    _program: Program
    _point: Point
    _scale: Floats  # [B] costs are divided by

    def slope(self, on_plan: ArrayLike, on_threshold: ArrayLike) -> Floats:
        """Gradient `[K, B, d]` in the samples of what has gradients `[B, d]` in plans and `[B]` in thresholds."""
        program, point = self._program, self._point
        newton = Newton.at(program, point, Residuals.of(program, point))
        d = self.plan.shape[1]
        right = np.zeros((len(self.plan), newton.matrix.shape[1]))
        right[:, :d] = on_plan
        right[:, d] = np.asarray(on_threshold) * self._scale
        found = np.asarray(np.linalg.solve(newton.matrix, right[:, :, None]))[:, : d + 1, 0]  # y [B, d + 1]
        weight = point.split(point.dual)[0]  # p [B, K]
        along = newton.weights * np.matmul(program.costs, found[:, :, None])[:, :, 0]
        slope = -weight[:, :, None] * found[:, None, :d] - along[:, :, None] * point.z[:, None, :d]
        slope *= (self.converged / self._scale)[:, None, None]
        return np.ascontiguousarray(slope.transpose(1, 0, 2))


def moving_plans(
    samples: ArrayLike,
    polytope: Polytope,
    *,
    alpha: float,
    quadratic: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> MovingPlans:
    """Plans `[B, d]` of least CVaR over samples `[K, B, d]` that can be differentiated in them.

    Args:
        samples: costs of each part.
        polytope: what can be decided.
        alpha: share of worst samples, below 1.
        quadratic: `[d, d]` positive semidefinite; some of it makes plans move where a linear program's would jump.
        tolerance: at which the interior point stops.

    Raises:
        ValueError: alpha is 1, which has no tail, or out of (0, 1).
    """
    if check_alpha(alpha) == 1.0:
        raise ValueError("alpha must be below 1 for a plan with a tail; got 1")
    costs = np.ascontiguousarray(np.asarray(samples, dtype=np.float64).transpose(1, 0, 2))
    n_cases, _, d = costs.shape
    walls = Walls.of(polytope, d, n_free=1)
    square = None if quadratic is None else np.asarray(quadratic, dtype=np.float64)
    program, scale = program_of(costs, np.zeros((n_cases, d)), Goal(alpha, 0.0, square), walls)
    z = np.repeat(walls.interior()[None], n_cases, axis=0)
    z[:, d] = (program.costs[:, :, :d].mean(axis=1) * z[:, :d]).sum(axis=1)
    point, converged = solve(program, z, tolerance)
    plan = np.clip(point.z[:, :d], walls.low[:d], walls.high[:d])
    return MovingPlans(plan, point.z[:, d] * scale, converged, program, point, scale)
