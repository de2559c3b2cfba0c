"""Plans of least CVaR where each part of a decision misses what is needed, at asymmetric linear and square prices.

    f(y, a) = sum_h  under [y_h - a_h]+ + under_sq [y_h - a_h]+^2 + over [a_h - y_h]+ + over_sq [a_h - y_h]+^2

Beds and generation are of this form. With o_h >= 0 what is too much and s_h = y_h - a_h + o_h >= 0 what is short, the
least CVaR over samples is a conic program: Rockafellar and Uryasev's rows, each with a second-order cone,

    min eta + 1 / (alpha S) sum_k v_k,
    under sum s_k + over sum o_k + |sqrt(under_sq) s_k|^2 + |sqrt(over_sq) o_k|^2 <= eta + v_k

Samples outside the tail have v_k = 0 and no say. The program begins with those that cost most, and takes others in
only where they turn out to cost more than eta: what it finds then is the least over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from stormgym.agents.dfl.decision import Forecast, Gaussian
from stormgym.agents.dfl.risk import check_alpha, cvar
from stormgym.envs.arrays import Bools, Floats

N_SAMPLES = 100
"""Samples of a normal forecast that a plan is made for."""
MOST_ROUNDS = 50
BEYOND = 1e-9
"""Relative cost above eta from which on a sample is in the tail."""


def fixed_samples(forecast: Forecast, n_samples: int = N_SAMPLES) -> Floats:
    """Samples `[S, B, *]` of a forecast: those it is made of, or of a `Gaussian` the same noise for every case."""
    if isinstance(forecast, Gaussian):
        noise = np.random.default_rng(0).standard_normal((n_samples, 1, np.shape(forecast.mean)[-1]))
        return np.asarray(forecast.mean + forecast.sd * noise)
    return np.asarray(forecast)


@dataclass(frozen=True, eq=False)
class Misses:
    """Prices of a unit, and of its square, too little and too much; and what can be decided."""

    under: float
    over: float
    under_sq: float
    over_sq: float
    low: Floats
    """`[n]`"""
    high: Floats
    ramp: float = np.inf
    """Largest change from one part to the next."""

    def cost(self, plan: Floats, samples: Floats) -> Floats:
        """f `[...]` of plans and needs `[..., n]`."""
        short = np.maximum(samples - plan, 0.0)
        excess = np.maximum(plan - samples, 0.0)
        each = self.under * short + self.under_sq * short**2 + self.over * excess + self.over_sq * excess**2
        return np.asarray(each.sum(axis=-1))


def tail_plans(samples: Floats, starts: Floats, misses: Misses, alpha: float) -> Floats:
    """Plans `[B, n]` of least CVaR over samples `[S, B, n]`, exact; one conic program a case.

    Args:
        samples: what is needed.
        starts: `[B, n]` feasible plans from which the tail is guessed (those of the mean).
        misses: prices and limits.
        alpha: share of worst samples, in (0, 1].

    Raises:
        ValueError: shapes, numbers that are not finite, or alpha.
        RuntimeError: Clarabel failed.
    """
    alpha = check_alpha(alpha, "risk")
    if samples.ndim != 3 or not len(samples) or starts.shape != samples.shape[1:]:
        raise ValueError(f"samples must be [S, B, n] and starts [B, n]; got {samples.shape} and {starts.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("samples must be finite; some are NaN or infinite")
    plans = [_tail_plan(samples[:, case], starts[case], misses, alpha) for case in range(len(starts))]
    return np.array(plans).reshape(starts.shape)


def _tail_plan(samples: Floats, start: Floats, misses: Misses, alpha: float) -> Floats:
    """One case: plan `[n]` for samples `[S, n]`."""
    costs = misses.cost(start, samples)
    n_first = min(len(samples), int(2.0 * alpha * len(samples)) + 5)
    taken: Bools = np.zeros(len(samples), dtype=bool)
    taken[np.argsort(-costs, kind="stable")[:n_first]] = True
    share = 1.0 / (alpha * len(samples))
    scale = max(float(cvar(costs, alpha)), 1e-9)
    for _ in range(MOST_ROUNDS):
        plan, eta = _conic(samples[taken], misses, share, scale)
        above = (misses.cost(plan, samples) > eta + BEYOND * scale) & ~taken
        if not above.any():
            break
        taken |= above
    return plan


def _conic(samples: Floats, misses: Misses, share: float, scale: float) -> tuple[Floats, float]:
    """Plan `[n]` and eta of min eta + share sum v over samples `[m, n]`, in units of `scale`."""
    import clarabel

    m, n = samples.shape
    size = n + 1 + m + m * n  # plan, eta, v, too much
    eye = sparse.eye(size, format="csr")
    plan, eta, v, over = eye[:n], eye[n : n + 1], eye[n + 1 : n + 1 + m], eye[n + 1 + m :]
    every = sparse.kron(np.ones((m, 1)), plan)  # the plan, once a sample [m n, size]
    short, needs = over - every, samples.ravel()  # what is short is this plus the needs
    total = sparse.kron(sparse.eye(m), np.ones((1, n)))  # sums over a sample's parts [m, m n]
    room = sparse.kron(np.ones((m, 1)), eta) + v - total @ (misses.under * short + misses.over * over) / scale
    owed = misses.under * samples.sum(axis=1) / scale  # room - owed is left for the squares
    change = plan[1:] - plan[:-1]
    limits: list[tuple[Any, Floats]] = [(-over, np.zeros(m * n)), (-short, needs), (-v, np.zeros(m))]
    limits += [(plan[rows] * sign, sign * ends[rows]) for sign, ends, rows in _bounds(misses, n)]
    if np.isfinite(misses.ramp):
        limits += [(change, np.full(n - 1, misses.ramp)), (-change, np.full(n - 1, misses.ramp))]
    cones: list[Any] = []
    squares = _squares(misses, short, over, needs, every, scale)
    if squares:
        stacked, right = _cones(room, owed, squares, m, n)
        cones = [clarabel.SecondOrderConeT(2 + n * len(squares))] * m
    else:
        limits.append((-room, -owed))
        stacked, right = sparse.csr_matrix((0, size)), np.zeros(0)
    rows: Any = sparse.vstack([block for block, _ in limits] + [stacked]).tocsc()
    rights = np.concatenate([ends for _, ends in limits] + [right])
    n_limits = sum(len(ends) for _, ends in limits)
    prices = np.concatenate([np.zeros(n), [1.0], np.full(m, share), np.zeros(m * n)])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    flat: Any = sparse.csc_matrix((size, size))
    solver = clarabel.DefaultSolver(flat, prices, rows, rights, [clarabel.NonnegativeConeT(n_limits), *cones], settings)
    answer = solver.solve()
    if str(answer.status) not in ("Solved", "AlmostSolved"):
        raise RuntimeError(f"no plan was found: Clarabel ends with {answer.status}")
    found = np.asarray(answer.x)
    return found[:n], float(found[n]) * scale


def _bounds(misses: Misses, n: int) -> list[tuple[float, Floats, Any]]:
    """Sign, ends `[n]` and parts of both bounds, where they are finite."""
    low, high = (np.broadcast_to(np.asarray(ends, dtype=np.float64), (n,)) for ends in (misses.low, misses.high))
    return [(sign, ends, np.flatnonzero(np.isfinite(ends))) for sign, ends in ((-1.0, low), (1.0, high))]


def _squares(
    misses: Misses, short: Any, over: Any, needs: Floats, every: Any, scale: float
) -> list[tuple[float, Any, Floats]]:
    """Weight, rows and constants of what is squared: the distance itself where both prices are the same."""
    if misses.under_sq == misses.over_sq:
        both = [(misses.under_sq, every, -needs)]
    else:
        both = [(misses.under_sq, short, needs), (misses.over_sq, over, np.zeros(len(needs)))]
    return [(float(np.sqrt(price / scale)), rows, constant) for price, rows, constant in both if price > 0]


def _cones(room: Any, owed: Floats, squares: list[tuple[float, Any, Floats]], m: int, n: int) -> tuple[Any, Floats]:
    """Rows and right sides of |x_k|^2 <= t_k, sample by sample: (t + 1, t - 1, 2 x) in a second-order cone."""
    blocks = [-room, -room] + [-2.0 * weight * rows for weight, rows, _ in squares]
    rights = [1.0 - owed, -1.0 - owed] + [2.0 * weight * constant for weight, _, constant in squares]
    sample = np.concatenate([np.arange(m)] * 2 + [np.repeat(np.arange(m), n)] * len(squares))
    order = np.argsort(sample, kind="stable")
    return sparse.vstack(blocks).tocsr()[order], np.concatenate(rights)[order]
