"""What plans cost: in storms that came, one and two standard deviations up, and in three kinds of worst storm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.undergrounding.regions import send_crews
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.uncertainty_set import UncertaintySet

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REALISED = ("mean", "tenth", "1 sd", "2 sd")
ADVERSARIAL = ("total", "box", "both")
"""Worst storms without local bounds (eq. 5), without those of the total (eq. 6), and of the whole set (eq. 7)."""
COLUMNS = (*REALISED, *ADVERSARIAL)


def loss(protected: Bools, outage_h: Floats, weights: Floats, n_crews: int) -> Floats:
    """Customer-hours lost `[...]` when crews, who know the storm, go where most is lost.

    Args:
        protected: `[..., K]`.
        outage_h: `[..., K]`.
        weights: `[K]` customers.
        n_crews: C.
    """
    lost = weights * outage_h * ~protected
    result: Floats = (lost * (1.0 - send_crews(lost, n_crews))).sum(axis=-1)
    return result


def schemes(sets: UncertaintySet) -> dict[str, UncertaintySet]:
    """The three sets that nature chooses from, by `ADVERSARIAL`."""
    nothing, endless = np.zeros_like(sets.lower), np.full_like(sets.upper, np.inf)
    free, none = np.full_like(sets.total_upper, np.inf), np.zeros_like(sets.total_lower)
    return {
        "total": UncertaintySet(nothing, endless, sets.total_lower, sets.total_upper),
        "box": UncertaintySet(sets.lower, sets.upper, none, free),
        "both": sets,
    }


def worst_loss(protected: Bools, weights: Floats, sets: UncertaintySet, n_crews: int) -> Floats:
    """V(x) `[E]` of E plans `[E, K]`, each in its own set: nature knows the plan, crews know the storm."""
    storms = worst_storms(protected, weights, sets, n_crews)
    return loss(protected, storms, weights, n_crews)


def score(
    protected: Bools, outage_h: Floats, past_h: Floats, weights: Floats, sets: UncertaintySet, n_crews: int
) -> dict[str, Floats]:
    """Losses of plans made before each test storm, one `[E]` a column of `COLUMNS`; `tenth` is of the worst tenth.

    Args:
        protected: `[E, K]`, the plan before each storm.
        outage_h: `[E, K]`, the storms that came.
        past_h: `[H, K]`, the storms whose mean and standard deviation are used.
        weights: `[K]`.
        sets: E sets, the same for every method.
        n_crews: C.
    """
    real = loss(protected, outage_h, weights, n_crews)
    worst = np.sort(real)[-max(len(real) // 10, 1) :]
    centre, sd = past_h.mean(axis=0), past_h.std(axis=0, ddof=1)
    columns = {"mean": real, "tenth": worst}
    columns |= {f"{k} sd": loss(protected, centre + k * sd, weights, n_crews) for k in (1, 2)}
    columns |= {name: worst_loss(protected, weights, part, n_crews) for name, part in schemes(sets).items()}
    return columns
