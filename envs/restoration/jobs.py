"""The jobs of an episode of Restoration-v0: drawn records, or those that a user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.tables import MAX_SHOCK_SD, CityTables
from stormgym.envs.core import numbers_of


@dataclass
class Jobs:
    """The drawn records of B episodes: what each region needs, and what is forecast of it."""

    duration_h: Floats  # [B, N] true repair hours; hidden from the agent
    lower_h: Floats  # [B, N]
    upper_h: Floats  # [B, N]
    point_h: Floats  # [B, N]
    row: Ints | None = None  # [B, N] row of the tables' sorted records; None for given jobs
    quantile_h: Floats | None = None  # [B, N, Q] only for given jobs

    @classmethod
    def draw(cls, tables: CityTables, rngs: list[np.random.Generator], shock: str, shock_log_sd: float) -> Jobs:
        """Draw one record per region for each generator, all regions at once (common random numbers).

        A shock is drawn after the records, so it never changes which records are drawn. It is lognormal with mean one;
        its normal score is cut at four standard deviations.
        """
        uniform = np.empty((len(rngs), tables.n_regions))
        for i, rng in enumerate(rngs):
            rng.random(out=uniform[i])
        row = tables.first + (uniform * tables.count).astype(np.int64)
        duration = tables.repair_h[row]
        if shock != "none":
            width = 1 if shock == "common" else tables.n_groups
            score = np.stack([rng.standard_normal(width) for rng in rngs]).clip(-MAX_SHOCK_SD, MAX_SHOCK_SD)
            factor = np.exp(shock_log_sd * score - 0.5 * shock_log_sd**2)  # [B, 1 or G]
            duration = duration * (factor if shock == "common" else factor[:, tables.group])
        return cls(
            np.minimum(duration, MAX_HOURS),
            tables.lower_h[row],
            tables.upper_h[row],
            tables.point_h[row],
            row,
        )

    @classmethod
    def from_arrays(cls, n_regions: int, jobs: Mapping[str, Any]) -> Jobs:
        """Take one episode's jobs from arrays `[N]`, N = `n_regions`.

        Keys: `duration_h, lower_h, upper_h, point_h` and optionally `quantile_h` `[N, Q]`.

        Raises:
            ValueError: a missing or unknown key, a wrong shape, a NaN or an hour outside [0, 1e4].
        """
        if not isinstance(jobs, Mapping):
            raise ValueError(f"options['jobs'] must be a dict of arrays by name; got {jobs!r}")
        needed = ("duration_h", "lower_h", "upper_h", "point_h")
        unknown = set(jobs) - {*needed, "quantile_h"}
        missing = set(needed) - set(jobs)
        if unknown or missing:
            raise ValueError(
                f"jobs must hold {', '.join(needed)} (and optionally quantile_h); "
                f"missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        arrays = {name: numbers_of(f"jobs[{name!r}]", jobs[name]) for name in jobs}
        for name, value in arrays.items():
            if value.shape[:1] != (n_regions,) or value.ndim != (2 if name == "quantile_h" else 1):
                raise ValueError(f"jobs[{name!r}] must have N = {n_regions} rows; got shape {value.shape}")
            if not ((value >= 0) & (value <= MAX_HOURS)).all():
                raise ValueError(f"jobs[{name!r}] must hold hours in [0, {MAX_HOURS:g}] without NaN")
        if not (arrays["point_h"] > 0).all():
            raise ValueError("jobs['point_h'] must be above 0; give the mean forecast of each job in hours")
        crossed = arrays["lower_h"] > arrays["upper_h"]
        if crossed.any():
            raise ValueError(f"jobs['lower_h'] must not exceed jobs['upper_h']; it does at row {int(crossed.argmax())}")
        one = {name: value[None] for name, value in arrays.items()}
        return cls(row=None, **one)
