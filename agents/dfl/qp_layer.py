"""Batched quadratic programs whose solutions can be differentiated with respect to prices.

    min_x  p'x + 1/2 sum_i r_i x_i^2    s.t.  A x = b,  0 <= x <= u

`solve_qp` is Mehrotra's predictor-corrector interior point method, for all elements of a batch at once; A enters by
`Constraints` alone. `qp_layer` adds the derivative, from the optimality conditions with bounds that bind handled as
such (GDF eq. 17-23, corrected: the printed matrix K leaves out complementarity). Sources: Mehrotra (1992), SIAM J.
Optim. 2(4); Gertz and Wright (2003), ACM TOMS 29(1); Amos and Kolter (2017), OptNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from stormgym.agents.dfl.constraints import (
    Constraints,
    DenseConstraints,
    FlowBlocks,
    FlowConstraints,
    Solve,
    float64_of,
)
from stormgym.envs.core import is_number, is_whole

__all__ = [
    "Constraints",
    "DenseConstraints",
    "FlowBlocks",
    "FlowConstraints",
    "QPSolution",
    "Solve",
    "qp_layer",
    "solve_qp",
]

STEP = 0.995
"""Share of the way to the nearest bound that a step goes: x, s, z and w must stay above 0."""
SHIFT = 1e-9
"""Of the rows' matrix, in units of b over p: rows whose variables all sit at bounds keep small prices, and what the
shift leaves of A x = b vanishes with the steps (Friedlander and Orban, 2012)."""
KEEP_FROM = 15
"""Iterations from which the best iterate is kept, should rounding make later ones worse."""


@dataclass(frozen=True, eq=False)
class QPSolution:
    """Primal and dual solutions of a batch, float64, with p + r x - A'y - z + w = 0, x z = 0 and (u - x) w = 0."""

    x: Tensor
    """`[B, n]`"""
    y: Tensor
    """`[B, m]` prices of the rows."""
    z: Tensor
    """`[B, n]` prices of x >= 0, at least 0."""
    w: Tensor
    """`[B, n]` prices of x <= u, at least 0; 0 where u is inf."""
    d_inverse: Tensor
    """`[B, n]` 1 / (r + z / x + w / (u - x)), 0 where u is 0: how far x gives way to prices."""
    primal_residual: Tensor
    """`[B]` largest |A x - b|, over 1 + largest |b|."""
    dual_residual: Tensor
    """`[B]` largest |p + r x - A'y - z + w|, over 1 + largest |p|."""
    gap: Tensor
    """`[B]` x'z + (u - x)'w, over 1 + |objective|."""
    iterations: Tensor
    """`[B]` int64."""
    converged: Tensor
    """`[B]` bool: both residuals and the gap are within the tolerance."""


def solve_qp(
    p: Tensor,
    r: ArrayLike | Tensor,
    constraints: Constraints,
    *,
    tolerance: float = 1e-8,
    max_iterations: int = 60,
    strict: bool = True,
) -> QPSolution:
    """Solve a batch of quadratic programs; elements stop on their own and do not depend on each other.

    Iterates of an element agree to rounding in any batch. Only where a residual is that close to the tolerance can it
    stop one iteration sooner or later; both answers are then within the tolerance.

    Args:
        p: `[B, n]` prices.
        r: `[n]` curvature, at least 0.
        constraints: A, b and u.
        tolerance: of residuals and gap, relative (see `QPSolution`).
        max_iterations: after which an element is given up, at its best iterate.
        strict: raise where an element did not converge; False: look at `converged`.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
        RuntimeError: elements that did not converge (most often there is no feasible x, or no least value).
    """
    with torch.no_grad():
        p64, r64 = float64_of("p", p), float64_of("r", r)
        _check(p64, r64, constraints, tolerance, max_iterations)
        solution = _Solver(p64, r64, constraints).run(tolerance, max_iterations)
    if strict and not bool(solution.converged.all()):
        bad = (~solution.converged).nonzero().flatten().tolist()
        first = bad[0]
        raise RuntimeError(
            f"{len(bad)} of {len(p)} quadratic programs did not converge in {max_iterations} iterations to "
            f"{tolerance:g}: elements {bad[:10]}; element {first} has primal residual "
            f"{solution.primal_residual[first]:.1e}, dual residual {solution.dual_residual[first]:.1e} and gap "
            f"{solution.gap[first]:.1e}. A primal residual that stays points to constraints that no x meets, a dual "
            f"residual to an objective without a least value. {_worst(solution, first, p64, r64, constraints)}"
        )
    return solution


def qp_layer(
    p: Tensor,
    r: ArrayLike | Tensor,
    constraints: Constraints,
    *,
    tolerance: float = 1e-8,
    max_iterations: int = 60,
) -> Tensor:
    """Solutions x `[B, n]` of `solve_qp`, differentiable with respect to p alone, in the dtype of p.

    With D = r + z / x + w / (u - x) at the solution, the gradient is -v, where A D^-1 A' l = A D^-1 g and
    v = D^-1 (g - A' l) for the gradient g of x: one more factor, none of the iterations is differentiated. Where r is
    0, x is piecewise constant in p, and so is the layer: its gradient is near 0 but at kinks. b, u and r get none.

    A kink is smoothed over where x z is below the gap that is left, and D of what lies between its bounds is r up to
    about gap / x^2. Each factor of 100 in the tolerance costs one iteration: 1e-10 or 1e-12 give sharper gradients.
    Where r is below about 1e-7 of p / x, rounding keeps some elements from anything beyond 1e-8.

    Args:
        p: `[B, n]` prices.
        r, constraints, tolerance, max_iterations: as in `solve_qp`.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
        RuntimeError: elements that did not converge.
    """
    x: Tensor = _Layer.apply(p, r, constraints, tolerance, max_iterations)
    return x


class _Layer(torch.autograd.Function):
    """Forward: the solver; backward: the implicit function theorem."""

    @staticmethod
    def forward(
        ctx: Any, p: Tensor, r: ArrayLike | Tensor, constraints: Constraints, tolerance: float, max_iterations: int
    ) -> Tensor:
        solution = solve_qp(p, r, constraints, tolerance=tolerance, max_iterations=max_iterations)
        ctx.save_for_backward(solution.d_inverse)
        ctx.constraints = constraints
        return solution.x.to(p.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:
        # Move the prices by dp: the optimality conditions stay met where D dx - A'dy = -dp and A dx = 0 (z and w are
        # eliminated into D, as in `_Solver.step`). That system is symmetric, so the gradient of p is minus the v that
        # solves it for g in place of -dp: D v = g - A'l with A v = 0, that is A D^-1 A' l = A D^-1 g.
        (d_inverse,) = ctx.saved_tensors
        constraints: Constraints = ctx.constraints
        solve = constraints.factor(d_inverse)
        rest = g.double()
        # twice: the first leaves little of g where D^-1 is large, and the second does not lose it in a difference
        rest = rest - constraints.transposed(solve(constraints.times(d_inverse * rest))[0])
        weighted = d_inverse * rest
        _, back = solve(constraints.times(weighted))
        return back.sub_(weighted).to(g.dtype), None, None, None, None


class _Solver:
    """State of the elements that still run, `[B', ...]`, and results `[B, ...]` of all.

    With the slack s = u - x to the upper bound, the optimum is where (z and w are the prices of the two bounds)

        A x = b,   p + r x - A'y - z + w = 0,   x z = 0,   s w = 0,   x, s, z, w >= 0.

    An interior-point method keeps x, s, z, w above 0 and all products x z and s w about as large as their mean mu. It
    lets mu fall to 0 and so decides upon no bound too early. Each iteration is two Newton steps on these equations,
    with one factor (`step`).

    A variable without upper bound has s = 1 and w = 0 and no say in complementarity; one with u = 0 is left at 0.
    """

    def __init__(self, p: Tensor, r: Tensor, constraints: Constraints) -> None:
        self.constraints = constraints
        n_batch, n = p.shape
        self.p, self.r = p, r
        self.u = constraints.u.expand(n_batch, n)
        self.b = constraints.b.expand(n_batch, -1)
        fixed = self.u == 0
        unbounded = self.u.isinf() | fixed
        self.bounded = (~unbounded).double()
        self.fixed = fixed if bool(fixed.any()) else None
        self.unbounded = unbounded if bool(unbounded.any()) else None
        self.n_pairs = ((~fixed).sum(-1) + (~unbounded).sum(-1)).clamp_min(1).double()  # complementarity pairs
        self.p_scale = 1.0 + p.abs().amax(-1)
        self.b_scale = 1.0 + self.b.abs().amax(-1)
        self.shift = (SHIFT * self.b_scale / self.p_scale).unsqueeze(-1)
        self.start()

    def start(self) -> None:
        """A point inside the bounds, near the least squares solutions of both residuals.

        Newton steps from a point close to a bound are short, so x starts well inside: at 0.1 to 0.9 of u where there is
        one, else lifted until the least of an element is positive and not tiny beside the others. z and w likewise take
        what the slope asks for, p + r x - A'y = z - w, plus a lift that keeps both positive.
        """
        free = torch.ones_like(self.p)
        if self.fixed is not None:
            free.masked_fill_(self.fixed, 0.0)
        bounded = self.bounded
        middle = torch.where(bounded > 0, 0.5 * self.u, 0.0)
        # least squares from the middle of the bounds; narrow variables have little room and so little weight
        weight = torch.where(bounded > 0, middle.square().clamp_max(1.0), free)
        solve = self.constraints.factor(weight)
        x = middle + solve(self.b - self.constraints.times(middle))[1]
        size = (x.abs() * free).sum(-1, keepdim=True) / free.sum(-1, keepdim=True).clamp_min(1.0)
        low = x.masked_fill(bounded > 0, 0.0).amin(-1, keepdim=True).clamp_max(0.0)
        open_x = x - 1.5 * low + 0.1 * size + 1e-3
        self.x = torch.where(bounded > 0, torch.minimum(torch.maximum(x, 0.1 * self.u), 0.9 * self.u), open_x)
        if self.fixed is not None:
            self.x.masked_fill_(self.fixed, 0.0)
        slope = self.p + self.r * self.x
        self.y, _ = solve(self.constraints.times(weight * slope))  # prices of the rows that explain most of the slope
        d = (slope - self.constraints.transposed(self.y)) * free
        size = d.abs().sum(-1, keepdim=True) / free.sum(-1, keepdim=True).clamp_min(1.0)
        low = d.masked_fill(bounded > 0, 0.0).amin(-1, keepdim=True).clamp_max(0.0)
        lift = 0.5 * size + 1e-3 * self.p_scale.unsqueeze(-1)
        self.z = torch.where(bounded > 0, d.clamp_min(0.0), d - 1.5 * low) + lift
        self.w = (d.neg().clamp_min(0.0) + lift) * bounded
        self.s = self.u - self.x
        if self.unbounded is not None:
            self.s.masked_fill_(self.unbounded, 1.0)
        if self.fixed is not None:
            self.z.masked_fill_(self.fixed, 0.0)

    def run(self, tolerance: float, max_iterations: int) -> QPSolution:
        """Iterate until every element has converged or is given up."""
        n_batch, n = self.p.shape
        real, keep = self.p.new_zeros, self.p.new_full
        best = QPSolution(
            x=real(n_batch, n),
            y=real(n_batch, self.b.shape[-1]),
            z=real(n_batch, n),
            w=real(n_batch, n),
            d_inverse=real(n_batch, n),
            primal_residual=keep((n_batch,), torch.inf),
            dual_residual=keep((n_batch,), torch.inf),
            gap=keep((n_batch,), torch.inf),
            iterations=torch.zeros(n_batch, dtype=torch.int64),
            converged=torch.zeros(n_batch, dtype=torch.bool),
        )
        where = torch.arange(n_batch)  # which element a row of the state is
        merit_of = keep((n_batch,), torch.inf)
        stuck = torch.zeros(n_batch, dtype=torch.bool)
        for iteration in range(max_iterations + 1):
            primal, slope, residuals, mu = self.residuals()
            inverse_x, inverse_s, d_inverse = self.weights()
            merit = torch.stack(residuals).amax(0)
            done = merit <= tolerance
            over = done | stuck if iteration < max_iterations else torch.ones_like(done)
            save = ~(merit >= merit_of[where])  # better than what is kept, or not a number
            if iteration < KEEP_FROM:
                save &= over  # of the early iterates only the last one of an element that has finished
            if bool(save.any()):
                to = where[save]
                merit_of[to] = merit[save]
                for name, value in (("x", self.x), ("y", self.y), ("z", self.z), ("w", self.w)):
                    getattr(best, name)[to] = value[save]
                best.d_inverse[to] = d_inverse[save]
                for name, value in zip(("primal_residual", "dual_residual", "gap"), residuals, strict=True):
                    getattr(best, name)[to] = value[save]
                best.iterations[to] = iteration
                best.converged[to] = done[save]
            if bool(over.all()):
                break
            if int(over.sum()) * 8 >= len(over):  # drop the finished: what they would cost is more than the copy
                rest = ~over
                where = where[rest]
                self.keep(rest)
                inverse_x, inverse_s, d_inverse = inverse_x[rest], inverse_s[rest], d_inverse[rest]
                primal, slope, mu = primal[rest], slope[rest], mu[rest]
                over = over[rest]
            stuck = self.step(inverse_x, inverse_s, d_inverse, primal, slope, mu) | over
        return best

    def keep(self, rows: Tensor) -> None:
        """Keep these elements `[B']` alone."""
        scales = ("n_pairs", "p_scale", "b_scale", "shift", "fixed", "unbounded", "bounded")
        for name in ("p", "u", "b", "x", "s", "z", "w", "y", *scales):
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, value[rows])

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """1 / x and 1 / s, 0 where there is no bound, and D^-1, each `[B', n]`."""
        inverse_x, inverse_s = self.x.reciprocal(), self.s.reciprocal()
        if self.fixed is not None:
            inverse_x.masked_fill_(self.fixed, 0.0)
        if self.unbounded is not None:
            inverse_s.mul_(self.bounded)
        d = torch.addcmul(self.r, self.z, inverse_x).addcmul_(self.w, inverse_s).reciprocal_()
        if self.fixed is not None:
            d.masked_fill_(self.fixed, 0.0)
        return inverse_x, inverse_s, d

    def residuals(self) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor], Tensor]:
        """b - A x `[B', m]`, A'y - p - r x `[B', n]`, their relative sizes and the gap `[B']`, and mu `[B']`."""
        primal = self.b - self.constraints.times(self.x)
        cost = torch.addcmul(self.p, self.r, self.x)
        value = 0.5 * ((self.p + cost) * self.x).sum(-1)
        slope = self.constraints.transposed(self.y).sub_(cost)
        if self.fixed is not None:
            slope.masked_fill_(self.fixed, 0.0)
        pairs = _dot(self.x, self.z) + _dot(self.s, self.w)
        sizes = (
            primal.abs().amax(-1) / self.b_scale,
            (slope + self.z).sub_(self.w).abs_().amax(-1) / self.p_scale,
            pairs / (1.0 + value.abs()),
        )
        return primal, slope, sizes, pairs / self.n_pairs

    def step(
        self, inverse_x: Tensor, inverse_s: Tensor, d_inverse: Tensor, primal: Tensor, slope: Tensor, mu: Tensor
    ) -> Tensor:
        """One predictor-corrector step, in place; True `[B']` for elements that cannot move.

        Newton's equations for the products to become t (ds = -dx, since x + s = u always holds):

            A dx = b - A x                                  (`primal`)
            r dx - A'dy - dz + dw = -(p + r x - A'y - z + w)
            z dx + x dz = t - x z - dx dz                   the last terms are of second order: 0 in the predictor,
            w ds + s dw = t - s w - ds dw                   in the corrector what the predictor's step makes of them

        The last two give dz = rise_x - z - z dx / x and dw = rise_s - w + w dx / s, with rise_x = (t - dx dz) / x and
        rise_s = (t - ds dw) / s. Put into the second, with D = r + z / x + w / s,

            D dx - A'dy = slope + rise_x - rise_s,          slope = A'y - p - r x,

        and with the first A D^-1 A' dy = primal - A D^-1 (slope + rise_x - rise_s): one symmetric system in the rows.
        All directions share its factor.

        Args:
            inverse_x, inverse_s, d_inverse: from `weights`.
            primal, slope, mu: from `residuals`.
        """
        solve = self.constraints.factor(d_inverse, self.shift)

        def direction(h: Tensor) -> tuple[Tensor, Tensor]:  # dx, dy with D dx - A'dy = h and A dx = primal
            ahead = d_inverse * h
            dy, moves = solve(primal - self.constraints.times(ahead))
            return moves.add_(ahead), dy

        # Predictor: straight for t = 0, and no further than the nearest bound. With rise = 0,
        # dz / z = -1 - dx / x and dw / w = -1 + dx / s, so dx alone tells how far each of x, z, s and w lets it go.
        dx, _ = direction(slope)
        of_x, of_s = dx * inverse_x, dx.mul_(inverse_s)  # dx / x, dx / s
        worst = torch.stack([-of_x.amin(-1), 1.0 + of_x.amax(-1), of_s.amax(-1), 1.0 - of_s.amin(-1)])
        worst = worst.amax(0).clamp_min(1.0)
        length = worst.reciprocal()  # largest share of the step, at most 1, that keeps all four at least 0
        bend_x = torch.addcmul(of_x, of_x, of_x).mul_(self.z)  # -dx dz / x
        bend_s = of_s.square().sub_(of_s).mul_(self.w)  # -ds dw / s
        bend = (_dot(self.x, bend_x) + _dot(self.s, bend_s)) / self.n_pairs
        # A step of length a leaves (1 - a) mu, and a^2 times the mean of dx dz and ds dw. Where little is left the
        # optimum is near and t may be ambitious; Mehrotra's rule is the cube of that share.
        left = ((1.0 - length) - length.square() * bend / mu).clamp(0.0, 1.0)
        target = (left**3 * mu).unsqueeze(-1)
        # Corrector: for that t, and with the second-order terms that the predictor left out.
        rise_x = (inverse_x * target).add_(bend_x)
        rise_s = (inverse_s * target).add_(bend_s)
        dx, dy = direction(rise_x.sub(rise_s).add_(slope))
        of_x, of_s = dx * inverse_x, dx * inverse_s
        dz = rise_x.sub_(self.z).sub_(of_x * self.z)
        dw = rise_s.sub_(self.w).addcmul_(of_s, self.w)
        # One length for x and y, z, w alike: with a quadratic term the second equation binds all of them together.
        worst = torch.stack([-of_x.amin(-1), of_s.amax(-1), self.ratio(dz, self.z, self.fixed)])
        worst = torch.maximum(worst.amax(0), self.ratio(dw, self.w, self.unbounded))
        length = (STEP / worst.clamp_min(1e-300)).clamp_max(1.0)
        stuck = ~(length > 1e-10)  # also where a number is not finite
        length = length.masked_fill(stuck, 0.0).unsqueeze(-1)
        if bool(stuck.any()):
            for change in (dx, dy, dz, dw):
                change[stuck] = 0.0
        self.x.addcmul_(length, dx)  # before dx loses what has no upper bound
        if self.unbounded is None:
            self.s.addcmul_(length, dx, value=-1.0)
        else:
            self.s.addcmul_(length, dx.mul_(self.bounded), value=-1.0)
        self.y.addcmul_(length, dy)
        self.z.addcmul_(length, dz)
        self.w.addcmul_(length, dw)
        return stuck

    @staticmethod
    def ratio(change: Tensor, value: Tensor, without: Tensor | None) -> Tensor:
        """Largest -change / value `[B']`, over pairs with a bound."""
        ratio = change / value
        if without is not None:
            ratio.masked_fill_(without, 0.0)
        return -ratio.amin(-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products `[B]`."""
    return torch.linalg.vecdot(a, b)


def _worst(solution: QPSolution, element: int, p: Tensor, r: Tensor, constraints: Constraints) -> str:
    """Which numbers of an element that did not converge to look at, in words."""
    x = solution.x[element]
    b, u = (value if value.ndim == 1 else value[element] for value in (constraints.b, constraints.u))
    # the constraints are for a whole batch: repeat the element, and look at its row
    row = constraints.times(x.repeat(len(p), 1))[element]
    if solution.primal_residual[element] >= solution.dual_residual[element]:
        i = int((row - b).abs().nan_to_num(torch.inf).argmax())
        told = f"Row {i} needs b = {float(b[i]):g} and gets {float(row[i]):g} from the nearest x within 0 <= x <= u"
        if isinstance(constraints, DenseConstraints):
            ends = torch.where(constraints.a[i] == 0, 0.0, constraints.a[i] * u)  # inf where there is no bound
            told += f"; any x gives {float(ends.clamp_max(0).sum()):g} to {float(ends.clamp_min(0).sum()):g}"
        return f"{told}. Change b or u."
    slope = (p[element] + r * x).masked_fill(u.isfinite(), torch.inf)
    j = int(slope.argmin())
    largest = max(float(p[element].abs().max()), float(r.max()))
    if not bool(u.isinf().any()):
        return f"Numbers of p and r go up to {largest:g}: scale them."
    return (
        f"Variable {j} has no bound u, p = {float(p[element, j]):g} and r = {float(r[j]):g}: give it a bound or r > 0."
    )


def _check(p: Tensor, r: Tensor, constraints: Constraints, tolerance: float, max_iterations: int) -> None:
    n = constraints.u.shape[-1]
    if p.ndim != 2 or p.shape[1] != n or len(p) == 0:
        raise ValueError(f"p must be [B, n] with n = {n} and B at least 1; got shape {tuple(p.shape)}")
    if not bool(p.isfinite().all()):
        where = (~p.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"p must be finite; got {p[tuple(where)].item()} at {where}. Did the network diverge?")
    if r.shape != (n,):
        raise ValueError(f"r must be [n] = [{n}], one for the whole batch; got shape {tuple(r.shape)}")
    if not bool(((r >= 0) & r.isfinite()).all()):
        worst = r[~((r >= 0) & r.isfinite())][0].item()
        raise ValueError(f"r must be finite and at least 0, or the program is not convex; got {worst}")
    for name, value in (("b", constraints.b), ("u", constraints.u)):
        if value.ndim == 2 and len(value) != len(p):
            raise ValueError(
                f"{name} of the constraints is for {len(value)} elements and p for {len(p)}: make both equal"
            )
    if not is_number(tolerance) or not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be in (0, 1); got {tolerance!r}")
    if not is_whole(max_iterations) or max_iterations < 1:
        raise ValueError(f"max_iterations must be at least 1; got {max_iterations!r}")
