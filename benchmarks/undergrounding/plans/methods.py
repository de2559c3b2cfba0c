"""Plans of one seed: what each method buries before each test storm, and the sets of storms behind it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.undergrounding.trilevel.baselines import BASELINES, solve_baseline
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel
from stormgym.envs.undergrounding.regions import Seasons, UndergroundingProfile
from stormgym.predictors.uncertainty import ConformalPolytope
from stormgym.predictors.uncertainty_set import UncertaintySet

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOTHING, KNOWN = "nothing", "storm known"
OURS = "tri-level ncp"
WHOLE = "two-stage-whole"
"""Two-stage worst case with whole crews, sent before the storm; with crews that can be shared it is tri-level."""
KINDS = (*BASELINES, WHOLE, "tri-level")
METHODS = (NOTHING, *(f"{kind} {forecast}" for kind in KINDS for forecast in ("empirical", "ncp")), "tri-level joint")
SWEPT = (
    NOTHING,
    "one-stage-mean ncp",
    "one-stage-worst ncp",
    "two-stage-mean ncp",
    f"{WHOLE} ncp",
    "tri-level empirical",
    OURS,
)


class Outlook(NamedTuple):
    """What one forecaster says of E storms."""

    mean: Floats  # [E, K]
    sets: UncertaintySet  # E sets


def forecasters(
    profile: UndergroundingProfile,
    past: Seasons,
    n_fit: int,
    *,
    level: float,
    total_level: float,
    joint_level: float,
    seed: int,
) -> dict[str, ConformalPolytope]:
    """Sets by the name that methods give them, from the first `n_fit` past storms to fit and the others to calibrate.

    `empirical`, which calibrates nothing, takes all of them to fit. The others share one pair of networks; `joint` is
    `ncp` calibrated so that the whole set holds a storm at `joint_level`.
    """
    X, y = profile.known_before(past.covariates), past.outage_h
    levels: dict[str, Any] = {"confidence_level": level, "total_confidence_level": total_level, "random_state": seed}
    plain = ConformalPolytope(method="empirical", **levels).fit(X, y).conformalize(X, y)
    ncp = ConformalPolytope(method="ncp", **levels).fit(X[:n_fit], y[:n_fit])
    models = {
        "cp": copy.deepcopy(ncp).set_params(method="cp"),
        "ncp": ncp,
        "joint": copy.deepcopy(ncp).set_params(calibration="joint", confidence_level=joint_level),
    }
    return {"empirical": plain, **{name: own.conformalize(X[n_fit:], y[n_fit:]) for name, own in models.items()}}


def plan(kind: str, outlook: Outlook, profile: UndergroundingProfile) -> Bools:
    """What a method buries before each storm `[E, K]`; equal outlooks are planned once."""
    h = profile.population
    known: dict[bytes, Bools] = {}
    plans = []
    for e, mean in enumerate(outlook.mean):
        bounds = outlook.sets[e].bounds
        key = b"".join(np.asarray(part).tobytes() for part in (mean, *bounds))
        if key not in known:
            if kind == "tri-level":
                known[key] = solve_trilevel(
                    h, profile.protect_cost, 1.0, *bounds, budget=profile.budget, crew_budget=profile.n_crews
                ).protect
            else:
                found = solve_baseline(
                    "two-stage-worst" if kind == WHOLE else kind,  # type: ignore[arg-type]
                    h,
                    profile.protect_cost,
                    1.0,
                    *bounds,
                    budget=profile.budget,
                    crew_budget=profile.n_crews,
                    mean=mean,
                    crews="binary" if kind == WHOLE else "continuous",
                )
                known[key] = found.protect
        plans.append(known[key])
    return np.stack(plans)


def plan_known(outage_h: Floats, profile: UndergroundingProfile) -> Bools:
    """The best plan for each storm `[E, K]` if it were known."""
    wide = UncertaintySet(
        np.zeros_like(outage_h), outage_h, np.zeros(len(outage_h)), outage_h.sum(axis=1)
    )  # not looked at by a plan for means
    return plan("two-stage-mean", Outlook(outage_h, wide), profile)


def plans_of(methods: Sequence[str], outlooks: dict[str, Outlook], profile: UndergroundingProfile) -> dict[str, Bools]:
    """Plans `[E, K]` of methods written "kind forecast"."""
    shape = next(iter(outlooks.values())).mean.shape
    result = {}
    for method in methods:
        kind, _, forecast = method.partition(" ")
        if method == NOTHING:
            result[method] = np.zeros(shape, dtype=np.bool_)
        elif kind in KINDS and forecast in outlooks:
            result[method] = plan(kind, outlooks[forecast], profile)
        else:
            raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    return result
