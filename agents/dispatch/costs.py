"""What a plan for generators costs, and the checks that every planner of them begins with."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Floats
from stormgym.envs.core import is_number, numbers_of

LARGEST = 1e18
"""Of outages, and of what a generator can cost or save: HiGHS takes 1e20 for infinity."""
ReturnBy = Literal["after", "within", "none"]
"""When generators must be home: `after` the horizon, on day T + 1; `within` it, so that nobody is served on day T;
`none`: they may stay in counties, and shipments home are free."""


def checked_outages(
    outages: ArrayLike,
    interruption_cost: ArrayLike,
    operating_cost: float,
    customers_per_generator: float,
    return_by: str,
) -> tuple[Floats, Floats]:
    """Waves `[T, K]` or `[S, T, K]` and interruption costs `[K]`; see `solve_dispatch` for what is raised."""
    waves = numbers_of("outages", outages)
    if waves.ndim not in (2, 3) or waves.size == 0:
        raise ValueError(f"outages must be [T, K] or samples [S, T, K], not empty; got shape {waves.shape}")
    if not (np.isfinite(waves) & (waves >= 0)).all():
        raise ValueError(f"outages must be finite and at least 0 customers; got {waves.min()} to {waves.max()}")
    if not is_number(operating_cost) or not 0 <= operating_cost < np.inf:
        raise ValueError(f"operating_cost must be at least 0; got {operating_cost!r}")
    tau = numbers_of("interruption_cost", interruption_cost)
    if tau.shape not in ((), waves.shape[-1:]) or not (np.isfinite(tau) & (tau >= 0)).all():
        raise ValueError(
            f"interruption_cost must be at least 0, a number or {waves.shape[-1:]}; got {interruption_cost!r}"
        )
    tau = np.broadcast_to(tau, waves.shape[-1:])
    if not is_number(customers_per_generator) or not 0 < customers_per_generator < np.inf:
        raise ValueError(f"customers_per_generator must be above 0; got {customers_per_generator!r}")
    if return_by not in ("after", "within", "none"):
        raise ValueError(f"return_by must be after, within or none; got {return_by!r}")
    for name, largest in (
        ("outages", float(waves.max())),
        ("operating_cost", float(operating_cost)),
        ("interruption_cost times customers_per_generator", float(tau.max(initial=0.0)) * customers_per_generator),
    ):
        check_largest(name, largest)
    return waves, tau


def check_largest(name: str, largest: float) -> None:
    """Raise `ValueError` where a number is so large that the solver takes it for infinity."""
    if largest > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g}; got {largest:g}. Count in a larger unit")


def checked_stock0(stock0: ArrayLike | None, n_counties: int) -> Floats:
    """Generators in counties before day 1, `[K]`; zeros for None.

    Raises:
        ValueError: another shape, or numbers that are not whole or below 0.
    """
    held = np.zeros(n_counties) if stock0 is None else numbers_of("stock0", stock0)
    if held.shape != (n_counties,) or not np.isfinite(held).all() or (held < 0).any() or (held != np.round(held)).any():
        raise ValueError(f"stock0 must be {(n_counties,)} whole numbers of at least 0; got {stock0!r}")
    return held


def plan_cost(
    stock: ArrayLike,
    outages: ArrayLike,
    *,
    customers_per_generator: float,
    transport_cost: ArrayLike,
    interruption_cost: ArrayLike,
    operating_cost: float,
    return_by: ReturnBy = "after",
    stock0: ArrayLike | None = None,
) -> Floats:
    """Cost of plans with one warehouse, from their stocks alone: g(x, S) of GDF eq. 8, over any leading axes.

    Args:
        stock: `[..., T, K]` generators in each county.
        outages: `[..., T, K]` customers out.
        customers_per_generator: N_g.
        transport_cost: a number or `[K]`, each way.
        interruption_cost, operating_cost, return_by: as in `solve_dispatch`; with `within` the last day's stock must
            be 0, and with `none` trips home are free.
        stock0: `[K]` generators in counties before day 1; none when left out.

    Returns:
        `[...]`, one cost a plan.
    """
    q = np.asarray(stock, dtype=np.float64)
    change = np.diff(q, axis=-2, prepend=0.0)
    if stock0 is not None:
        change[..., 0, :] -= np.asarray(stock0, dtype=np.float64)
    if return_by == "none":  # only trips out cost
        change = np.maximum(change, 0.0)
    trips = np.abs(change).sum(axis=-2) + (q[..., -1, :] if return_by == "after" else 0.0)  # [..., K]
    transport = (trips * np.asarray(transport_cost, dtype=np.float64)).sum(axis=-1)
    unserved = np.maximum(np.asarray(outages) - customers_per_generator * q, 0.0)
    tau = np.asarray(interruption_cost, dtype=np.float64)
    interruption = tau * unserved.sum(axis=(-2, -1)) if tau.ndim == 0 else (unserved.sum(axis=-2) * tau).sum(axis=-1)
    result: Floats = transport + operating_cost * q.sum(axis=(-2, -1)) + interruption
    return result
