"""Risk of a decision: CVaR of its costs, and the decision of least CVaR over equally likely samples.

CVaR_alpha is the mean of the worst share alpha of costs, the upper tail: alpha = 1 is the mean, alpha -> 0 the maximum.
(The literature of Rockafellar and Uryasev calls 1 - alpha the level.) One function, `cvar_plan`, makes the plans for
portfolios, knapsacks, paths, generators and buried lines: whatever costs a linear function of the decision in each
sample. `stormgym.envs.risk_batch` solves many small ones at a time.

Sources: Rockafellar and Uryasev (2000); Gen-DFL eq. 4-6.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from stormgym.envs.arrays import Floats

CONIC_TOLERANCES = (1e-10, 1e-8)
"""At which Clarabel stops; the second where rounding keeps it from the first."""
WHOLE = 1e-9
"""How far below a whole number alpha K may be and still count as it: 0.3 x 10 is 2.9999999999999996."""


def check_alpha(alpha: Any, name: str = "alpha") -> float:
    """Return the share as a float.

    Raises:
        TypeError: no number.
        ValueError: not in (0, 1].
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (Real, np.generic)):
        raise TypeError(f"{name} must be a number in (0, 1], the share of worst outcomes; got {alpha!r}")
    share = float(alpha)
    if not 0.0 < share <= 1.0:
        hint = f" Did you mean {share / 100:g}?" if 1.0 < share <= 100.0 else ""
        raise ValueError(f"{name} must be in (0, 1], the share of worst outcomes; got {share:g}.{hint}")
    return share


def check_mean_weight(mean_weight: Any) -> float:
    """The weight of the mean beside CVaR as a float.

    Raises:
        ValueError: not in [0, 1].
    """
    if not 0.0 <= mean_weight <= 1.0:
        raise ValueError(f"mean_weight must be in [0, 1], the weight of the mean beside CVaR; got {mean_weight!r}")
    return float(mean_weight)


def _atoms(n: int, alpha: float) -> tuple[int, float]:
    """Whole atoms in the tail of n, and how much of the next one."""
    size = alpha * n
    whole = min(math.floor(size + WHOLE), n)
    return whole, max(size - whole, 0.0) if whole < n else 0.0


def cvar(costs: Any, alpha: float) -> Any:
    """CVaR_alpha `[...]` of equally likely costs `[..., K]`; arrays, or tensors with a gradient.

    With m = alpha K and k = floor(m) it is (f_1 + ... + f_k + (m - k) f_{k+1}) / m of the costs in falling order: the
    last atom counts in part. Taking ceil(m) whole ones is another, smaller number.

    Raises:
        ValueError: no costs, or alpha out of (0, 1].
    """
    alpha = check_alpha(alpha)
    is_tensor = type(costs).__module__.startswith("torch")
    values: Any = costs if is_tensor else np.asarray(costs, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"costs must be [..., K] with at least one; got shape {tuple(values.shape)}")
    n = values.shape[-1]
    whole, part = _atoms(n, alpha)
    if is_tensor:
        top = values.topk(min(whole + 1, n), dim=-1).values
        tail = top[..., :whole].sum(-1)
        return (tail + part * top[..., -1] if part else tail) / (whole + part)
    if whole == n:
        return values.mean(axis=-1)
    ordered = np.partition(values, n - whole - 1, axis=-1)
    tail = ordered[..., n - whole :].sum(axis=-1)
    return (tail + part * ordered[..., n - whole - 1]) / (whole + part)


def tail_weights(costs: ArrayLike, alpha: float) -> Floats:
    """Weights `[..., K]` that add up to 1 and with which costs `[..., K]` have their CVaR as mean."""
    values = np.asarray(costs, dtype=np.float64)
    n = values.shape[-1]
    whole, part = _atoms(n, check_alpha(alpha))
    rank = np.empty(values.shape, dtype=np.int64)
    order = np.argsort(-values, axis=-1, kind="stable")
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(n), values.shape), axis=-1)
    weights: Floats = np.where(rank < whole, 1.0, np.where(rank == whole, part, 0.0)) / (whole + part)
    return weights


def value_at_risk(costs: ArrayLike, alpha: float) -> Floats:
    """The threshold eta `[...]` of Rockafellar and Uryasev: where the tail begins, the least where there are several.

    CVaR = eta + mean [f - eta]_+ / alpha holds at it.
    """
    values = np.asarray(costs, dtype=np.float64)
    n = values.shape[-1]
    whole, _ = _atoms(n, check_alpha(alpha))
    at = max(n - whole - 1, 0)
    threshold: Floats = np.partition(values, at, axis=-1)[..., at]
    return threshold


def mean_cvar(costs: Any, alpha: float, mean_weight: float = 0.0) -> Any:
    """mean_weight x mean + (1 - mean_weight) x CVaR_alpha, `[...]` of costs `[..., K]`."""
    tail = cvar(costs, alpha)
    return tail if not mean_weight else mean_weight * costs.mean(-1) + (1.0 - mean_weight) * tail


@dataclass(frozen=True, eq=False)
class Polytope:
    """{w : lower <= w <= upper, A_ub w <= b_ub, A_eq w = b_eq}; None where there is none. Matrices may be sparse."""

    lower: Floats | None = None
    """`[d]`, or a number for all."""
    upper: Floats | None = None
    A_ub: Any = None
    """`[m, d]`"""
    b_ub: Floats | None = None
    A_eq: Any = None
    b_eq: Floats | None = None

    def bounds(self, d: int) -> tuple[Floats, Floats]:
        """Lower and upper bounds `[d]`, infinite where there are none."""
        low = np.broadcast_to(np.asarray(-np.inf if self.lower is None else self.lower, dtype=np.float64), (d,))
        high = np.broadcast_to(np.asarray(np.inf if self.upper is None else self.upper, dtype=np.float64), (d,))
        return low, high

    def rows(self, d: int) -> tuple[Any, Floats, Any, Floats]:
        """A_ub, b_ub, A_eq, b_eq as sparse matrices and vectors, empty where there are none.

        Raises:
            ValueError: shapes that do not fit d.
        """
        found: list[Any] = []
        for name, matrix, right in (("ub", self.A_ub, self.b_ub), ("eq", self.A_eq, self.b_eq)):
            if (matrix is None) != (right is None):
                raise ValueError(f"A_{name} and b_{name} go together; one of them is None")
            rows = sparse.csr_matrix((0, d)) if matrix is None else sparse.csr_matrix(matrix)
            values = np.zeros(0) if right is None else np.atleast_1d(np.asarray(right, dtype=np.float64))
            if rows.shape != (len(values), d):
                raise ValueError(
                    f"A_{name} must be [{len(values)}, {d}], a row for each of b_{name} and a column for each part of "
                    f"the decision; got {rows.shape}"
                )
            found += [rows, values]
        return found[0], found[1], found[2], found[3]


@dataclass(frozen=True, eq=False)
class CVaRPlan:
    """The decision of least risk over samples."""

    plan: Floats
    """`[d]`"""
    value: float
    """mean_weight x mean + (1 - mean_weight) x CVaR_alpha of the samples' costs at `plan`, and what does not depend on
    the sample."""
    bound: float
    """Lower bound on the value of any decision."""
    status: str
    """`optimal`, or why the solver stopped."""
    seconds: float


def cvar_plan(
    samples: Any,
    polytope: Polytope,
    *,
    alpha: float,
    quadratic: ArrayLike | None = None,
    mean_weight: float = 0.0,
    linear: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    norm_weight: float = 0.0,
    integral: Any = None,
    gap: float = 1e-6,
    time_limit: float | None = None,
) -> CVaRPlan:
    """The decision of least CVaR over K equally likely samples of what each part of it costs, exact.

    min over w of (1 - mean_weight) CVaR_alpha(C w + offsets) + mean_weight mean(C w + offsets)
                  + w' quadratic w + linear . w + norm_weight |w|

    A linear program of HiGHS (Rockafellar and Uryasev 2000), a mixed one where parts are whole, a conic one of Clarabel
    where there is a quadratic or a norm. With alpha = 1 the mean sample alone decides, and so it is solved.

    Args:
        samples: C `[K, d]` costs of each part; gains have a minus. May be sparse.
        polytope: what can be decided.
        alpha: share of worst samples, in (0, 1]; 1 is the mean of all.
        quadratic: `[d, d]` positive semidefinite; it does not depend on the sample and stays outside of the tail.
        mean_weight: of the mean beside the CVaR, in [0, 1].
        linear: `[d]` costs that are the same in every sample.
        offsets: `[K]` costs of a sample whatever is decided.
        norm_weight: of the Euclidean norm of w (a Wasserstein ball around the samples).
        integral: bool `[d]` or True, what must be whole; not with a quadratic or a norm.
        gap: relative optimality gap at which a mixed program stops.
        time_limit: seconds after which a mixed program stops with the best so far.

    Raises:
        ValueError: shapes or numbers that do not fit.
        RuntimeError: no decision is possible, the least is unbounded, or the solver failed.
    """
    began = time.perf_counter()
    alpha = check_alpha(alpha)
    is_sparse = bool(sparse.issparse(samples))
    costs: Any = sparse.csr_matrix(samples) if is_sparse else np.asarray(samples, dtype=np.float64)
    if costs.ndim != 2 or not costs.shape[0] or not costs.shape[1]:
        raise ValueError(f"samples must be [K, d], at least one of each; got shape {costs.shape}")
    n, d = costs.shape
    flat = np.zeros(n) if offsets is None else np.asarray(offsets, dtype=np.float64)
    same = np.zeros(d) if linear is None else np.asarray(linear, dtype=np.float64)
    if flat.shape != (n,) or same.shape != (d,):
        raise ValueError(f"offsets must be [{n}] and linear [{d}]; got {flat.shape} and {same.shape}")
    check_mean_weight(mean_weight)
    if not 0.0 <= norm_weight < np.inf:
        raise ValueError(f"norm_weight must be at least 0 and finite; got {norm_weight!r}")
    entries = costs.data if is_sparse else costs
    if not (np.isfinite(entries).all() and np.isfinite(flat).all() and np.isfinite(same).all()):
        raise ValueError("samples, offsets and linear must be finite; some are NaN or infinite")
    square = None if quadratic is None else np.asarray(quadratic, dtype=np.float64)
    if square is not None and square.shape != (d, d):
        raise ValueError(f"quadratic must be [{d}, {d}]; got {square.shape}")
    if alpha == 1.0 or mean_weight == 1.0:
        mean_costs, mean_flat = _mean_row(costs), flat.mean(keepdims=True)
        program = _Program(mean_costs, mean_flat, same, 1.0, 1.0)
    else:
        program = _Program(costs, flat, same, alpha, mean_weight)
    if square is not None or norm_weight:
        if integral is not None and np.any(integral):
            raise ValueError("whole parts go with linear costs alone; leave out quadratic and norm_weight")
        plan, bound, status = _conic(program, polytope, square, norm_weight)
    else:
        plan, bound, status = _mixed(program, polytope, integral, gap, time_limit)
    value = float(mean_cvar(costs @ plan + flat, alpha, mean_weight)) + float(same @ plan)
    if square is not None:
        value += float(plan @ square @ plan)
    value += norm_weight * float(np.linalg.norm(plan))
    return CVaRPlan(plan, value, min(bound, value), status, time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class _Program:
    """Costs of each sample and part, and how they are weighed."""

    costs: Any  # [K, d], dense or sparse
    offsets: Floats  # [K]
    linear: Floats  # [d] the same in every sample
    alpha: float
    mean_weight: float

    def columns(self) -> tuple[Floats, float]:
        """Prices of (w, eta, v) `[d + 1 + K]` of Rockafellar and Uryasev's program, and a constant."""
        n = len(self.offsets)
        tail = 1.0 - self.mean_weight
        prices = self.linear + self.mean_weight * _mean_row(self.costs)[0] if self.mean_weight else self.linear
        constant = self.mean_weight * float(self.offsets.mean())
        return np.concatenate([prices, [tail], np.full(n, tail / (self.alpha * n))]), constant

    def rows(self) -> Any:
        """costs w - eta - v <= -offsets, `[K, d + 1 + K]`."""
        n = len(self.offsets)
        threshold: Any = sparse.csr_matrix(np.full((n, 1), -1.0))
        return sparse.hstack([sparse.csr_matrix(self.costs), threshold, -sparse.eye(n)], format="csr")


def _mean_row(costs: Any) -> Floats:
    """Mean sample `[1, d]`."""
    return np.asarray(costs.mean(axis=0), dtype=np.float64).reshape(1, -1)


def _wider(matrix: Any, n: int) -> Any:
    """A matrix with n empty columns more."""
    return sparse.hstack([matrix, sparse.csr_matrix((matrix.shape[0], n))], format="csr")


def _mixed(
    program: _Program, polytope: Polytope, integral: Any, gap: float, time_limit: float | None
) -> tuple[Floats, float, str]:
    """Plan, bound and status of a linear or mixed program."""
    from scipy.optimize import linprog

    n, d = program.costs.shape
    low, high = polytope.bounds(d)
    a_ub, b_ub, a_eq, b_eq = polytope.rows(d)
    whole = np.zeros(d, dtype=np.int64)
    whole[:] = 0 if integral is None else np.asarray(integral, dtype=bool)
    if program.mean_weight == 1.0:
        prices, constant = program.linear + program.costs[0], float(program.offsets[0])
        bounds = np.stack([low, high], axis=1)
    else:
        prices, constant = program.columns()
        a_ub = sparse.vstack([program.rows(), _wider(a_ub, n + 1)], format="csr")
        b_ub = np.concatenate([-program.offsets, b_ub])
        a_eq = _wider(a_eq, n + 1)
        free = np.concatenate([[-np.inf], np.zeros(n)]), np.full(n + 1, np.inf)
        bounds = np.stack([np.concatenate(pair) for pair in zip((low, high), free, strict=True)], axis=1)
        whole = np.concatenate([whole, np.zeros(n + 1, dtype=np.int64)])
    options: dict[str, Any] = {}
    if whole.any():
        options = {"mip_rel_gap": gap} | ({} if time_limit is None else {"time_limit": float(time_limit)})
    solve: Any = linprog
    answer = solve(
        prices,
        A_ub=a_ub,
        b_ub=b_ub,
        A_eq=a_eq,
        b_eq=b_eq,
        bounds=bounds,
        integrality=whole if whole.any() else None,
        method="highs",
        options=options,
    )
    if answer.x is None:
        raise RuntimeError(f"no plan was found: {answer.message}")
    plan = np.asarray(answer.x[:d])
    if whole.any():
        plan = np.where(whole[:d] > 0, np.round(plan), plan)
        bound = getattr(answer, "mip_dual_bound", None)
        least = float(answer.fun if bound is None else bound) + constant
    else:
        least = float(answer.fun) + constant
    plan = np.clip(plan, low, high)
    return plan, least, "optimal" if answer.status == 0 else str(answer.message)


def _conic(
    program: _Program, polytope: Polytope, square: Floats | None, norm_weight: float
) -> tuple[Floats, float, str]:
    """The same with w' square w and the norm: Clarabel on (w, eta, v, t), t the norm, with costs scaled to about 1.

    Raises:
        RuntimeError: it finds no plan at either of its tolerances.
    """
    costs, is_sparse = program.costs, bool(sparse.issparse(program.costs))
    entries = costs.data if is_sparse else costs
    scale = float(np.sqrt(np.mean(np.square(entries)))) or 1.0
    scaled = replace(
        program, costs=program.costs / scale, offsets=program.offsets / scale, linear=program.linear / scale
    )
    quadratic = None if square is None else square / scale
    for tolerance in CONIC_TOLERANCES:
        plan, bound, status = _clarabel(scaled, polytope, quadratic, norm_weight / scale, tolerance)
        if status in ("Solved", "AlmostSolved"):
            return plan, scale * bound, "optimal" if status == "Solved" else status
    raise RuntimeError(f"no plan was found: Clarabel ends with {status}")


def _clarabel(
    program: _Program, polytope: Polytope, square: Floats | None, norm_weight: float, tolerance: float
) -> tuple[Floats, float, str]:
    """Plan, bound and status at a tolerance."""
    import clarabel

    n, d = program.costs.shape
    low, high = polytope.bounds(d)
    a_ub, b_ub, a_eq, b_eq = polytope.rows(d)
    if program.mean_weight == 1.0:
        prices, constant, tail = program.linear + program.costs[0], float(program.offsets[0]), 0
    else:
        prices, constant = program.columns()
        tail = n + 1
    own = int(norm_weight > 0)
    prices = np.concatenate([prices, [norm_weight] * own])
    size = len(prices)
    blocks, rights = [_wider(a_eq, size - d)], [b_eq]
    cones: list[Any] = [clarabel.ZeroConeT(len(b_eq))] if len(b_eq) else []
    least: list[tuple[Any, Floats]] = [(_wider(a_ub, size - d), b_ub)]
    if tail:
        least.append((_wider(program.rows(), own), -program.offsets))
        at = sparse.eye(n, size, k=d + 1, format="csr")
        least.append((-at, np.zeros(n)))
    eye = sparse.eye(d, size, format="csr")
    least.append((eye[np.isfinite(high)], high[np.isfinite(high)]))
    least.append((-eye[np.isfinite(low)], -low[np.isfinite(low)]))
    blocks += [block for block, _ in least]
    rights += [right for _, right in least]
    n_rows = sum(len(right) for _, right in least)
    cones.append(clarabel.NonnegativeConeT(n_rows))
    if own:  # (t, w) in the second-order cone
        blocks.append(sparse.vstack([-sparse.eye(1, size, k=size - 1), -sparse.eye(d, size)]))
        rights.append(np.zeros(d + 1))
        cones.append(clarabel.SecondOrderConeT(d + 1))
    hessian = sparse.lil_matrix((size, size))
    if square is not None:
        hessian[:d, :d] = square + square.T
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    upper: Any = sparse.triu(hessian).tocsc()
    rows: Any = sparse.vstack(blocks).tocsc()
    answer = clarabel.DefaultSolver(upper, prices, rows, np.concatenate(rights), cones, settings).solve()
    plan = np.clip(np.array(answer.x)[:d], low, high)
    return plan, float(answer.obj_val_dual) + constant, str(answer.status)
