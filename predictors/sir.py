"""The outage wave as an SIR system: customers unaffected, out, and restored (GDF eq. 5).

    U' = -phi Y U,   R' = rho Y,   Y' = -U' - R'

An outage spreads from customers that are out (Y) to those not yet affected (U) and ends at a rate of its own; restored
customers (R) stay restored. `transmission` below is beta = phi N, so that both rates are per period. One Euler step
keeps U + Y + R. Everything works on NumPy arrays and on torch tensors alike, over any leading axes (events,
environments) and counties; nothing here imports torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stormgym.predictors.arrays import Floats

_AT_ONCE = 2048
"""Numbers of an array that are advanced together, so that all arrays of a step stay in the nearest cache."""
FIRST_OUT = 0.01
"""Share of a county's customers with which its wave begins; without any, Y stays 0 for ever."""


class SIRState(NamedTuple):
    """Customers of each county `[..., K]`; the three add up to all of them."""

    unaffected: Any
    out: Any
    restored: Any


def sir_step(state: SIRState, transmission: Any, restoration: Any, population: Any, dt: float) -> SIRState:
    """One Euler step of GDF eq. 5 over `dt` periods.

    Args:
        state: customers `[..., K]`.
        transmission: beta = phi N `[..., K]`, per period.
        restoration: rho `[..., K]`, per period.
        population: N `[..., K]`, above 0.
        dt: length of the step in periods; `check_step` says whether it is short enough.
    """
    struck = (dt * transmission) * state.out * (state.unaffected / population)
    mended = (dt * restoration) * state.out
    return SIRState(state.unaffected - struck, state.out + struck - mended, state.restored + mended)


def check_step(transmission: Any, restoration: Any, dt: float) -> None:
    """Raise `ValueError` unless an explicit Euler step of `dt` stays in range: dt * max(beta, rho) < 1.

    A larger step restores more customers than are out, or strikes more than there are.
    """
    rates = {"transmission": transmission, "restoration": restoration}
    for name, rate in rates.items():
        values = np.asarray(rate.detach().cpu() if hasattr(rate, "detach") else rate, dtype=np.float64)
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"{name} must be finite and at least 0 per period; got {values.min()} to {values.max()}")
        largest = float(values.max(initial=0.0))
        if dt * largest >= 1.0:
            raise ValueError(
                f"an Euler step of {dt:g} periods is too long for {name} {largest:g} per period: dt * rate must be "
                f"below 1. Take at least {int(largest) + 1} steps a period"
            )


def simulate_sir(
    transmission: Any,
    restoration: Any,
    population: Any,
    *,
    n_periods: int,
    onset: Any = 0,
    steps_per_period: int = 20,
    first_out: float = FIRST_OUT,
) -> Any:
    """Customers out at the beginning of each period, `[n_periods + 1, ..., K]`.

    A county's wave begins at the start of its onset period, with `first_out` of its customers out.

    Args:
        transmission, restoration: `[..., K]`, per period (NumPy or torch).
        population: N `[..., K]`, above 0, of the same library.
        n_periods: T.
        onset: `[..., K]` period in which the wave begins, an integer of at least 0.
        steps_per_period: Euler steps a period.
        first_out: share in (0, 1).

    Raises:
        ValueError: a step that Euler cannot carry, a population or a number out of range.
    """
    if not 0.0 < first_out < 1.0:
        raise ValueError(f"first_out must be a share in (0, 1); got {first_out!r}")
    if n_periods < 1 or steps_per_period < 1:
        raise ValueError(f"n_periods and steps_per_period must be at least 1; got {n_periods} and {steps_per_period}")
    if not bool((population > 0).all()):
        raise ValueError(f"population must be above 0 in every county; got {population!r}")
    dt = 1.0 / steps_per_period
    check_step(transmission, restoration, dt)
    nobody = 0.0 * (population + transmission + restoration)  # the shape of all of them, in their library
    if isinstance(nobody, np.ndarray) and nobody.dtype == np.float64:
        rates = (dt * transmission + nobody, dt * restoration + nobody)
        return _waves(*rates, population + nobody, onset, first_out * population + nobody, n_periods, steps_per_period)
    state = SIRState(population + nobody, nobody, nobody)
    waves = []
    for t in range(n_periods + 1):
        begins = (onset == t) * (first_out * population) + nobody
        state = SIRState(state.unaffected - begins, state.out + begins, state.restored)
        waves.append(state.out)
        if t < n_periods:
            for _ in range(steps_per_period):
                state = sir_step(state, transmission, restoration, population, dt)
    if isinstance(waves[0], np.ndarray):
        return np.stack(waves)
    from torch import stack

    return stack(waves)


def _waves(
    striking: Floats, mending: Floats, population: Floats, onset: Any, first: Floats, n_periods: int, n_steps: int
) -> Floats:
    """The waves `[n_periods + 1, ..., K]` of `sir_step` to the bit, in place: a wave takes hundreds of small steps.

    Args:
        striking, mending: `[..., K]` both rates times the length of a step.
        population: `[..., K]`.
        onset: as of `simulate_sir`.
        first: `[..., K]` customers with whom a wave begins.
        n_periods, n_steps: periods, and steps of each.
    """
    shape = population.shape
    waves = np.empty((n_periods + 1, *shape))
    flat = waves.reshape(n_periods + 1, -1)
    parts = [part.ravel() for part in (striking, mending, population, np.broadcast_to(onset, shape), first)]
    for begin in range(0, population.size, _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        strike, mend, everybody, start, struck_first = (part[some] for part in parts)
        unaffected, out = everybody.copy(), np.zeros_like(everybody)
        struck, other = np.empty_like(out), np.empty_like(out)
        for t in range(n_periods + 1):
            np.multiply(start == t, struck_first, out=other)
            unaffected -= other
            out += other
            flat[t, some] = out
            for _ in range(n_steps if t < n_periods else 0):
                np.multiply(strike, out, out=struck)
                np.divide(unaffected, everybody, out=other)
                struck *= other
                np.multiply(mend, out, out=other)
                unaffected -= struck
                out += struck
                out -= other
    return waves
