"""A Ray cluster, where one machine ends: how a command line asks for it, and the connection.

`--jobs ray` uses every processor of the cluster, `--jobs ray:8` eight workers. Ray looks for the cluster where
`RAY_ADDRESS` says, then on this machine, and starts one of this machine's processors where there is none.
"""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

from stormgym.predictors.extras import require

THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that cap the threads of numerical libraries."""


MOST_WORKERS, MOST_A_PROCESSOR = 10_000, 16
"""Workers that may be asked for, and processes of this machine for each of its processors."""


@dataclass(frozen=True)
class Workers:
    """How many workers are asked for, and where they are."""

    n: int | None
    """None: as many as the cluster has processors for."""
    on_ray: bool = False

    def count(self, processors: int = 1) -> int:
        """How many side by side; each takes so many processors of the cluster. Connects to it where `n` is None."""
        if self.n is not None:
            return self.n
        return max(1, int(connect().cluster_resources().get("CPU", 1)) // processors)


def parse_workers(text: str | int, option: str = "--jobs", least: int = 1) -> Workers:
    """Read "4" (processes of this machine), "ray" or "ray:4".

    Raises:
        ValueError: another text, fewer workers than `least`, or more than `MOST_WORKERS`.
    """
    where, colon, number = str(text).partition(":")
    on_ray = where == "ray"
    if on_ray and not colon:
        return Workers(None, on_ray=True)
    digits = number if on_ray else str(text)
    if not (digits.isascii() and digits.removeprefix("-").isdigit()):
        raise ValueError(f"{option} must be a number, ray or ray:NUMBER; got {text!r}")
    least = max(least, 1) if on_ray else least
    n_workers = int(digits[:20])  # as many digits as tell that it is too large
    if not least <= n_workers <= MOST_WORKERS:
        bound = f"at least {least}" if n_workers < least else f"at most {MOST_WORKERS:,}"
        raise ValueError(f"{option} must be {bound}; got {digits[:40]}")
    most = MOST_A_PROCESSOR * processors()
    if not on_ray and n_workers > most:
        warnings.warn(
            f"{option} {n_workers} is more than {MOST_A_PROCESSOR} for each processor that this process may use; it "
            f"takes {most}",
            UserWarning,
            stacklevel=2,
        )
    return Workers(n_workers if on_ray else min(n_workers, most), on_ray)


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def connect() -> Any:
    """The module `ray`, connected to a cluster: the one in use, else the one that is found, else one of this machine.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    require("a Ray cluster", "ray", extra="ray")
    import ray

    if not ray.is_initialized():
        # Without an address Ray looks for a running cluster first. Workers' output goes to logs of ours.
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return ray


def environment_of(threads: int) -> dict[str, str]:
    """Variables that a worker needs: those that say where data are, and the caps of threads."""
    own = {name: value for name, value in os.environ.items() if name.startswith("STORMGYM_")}
    return {**own, **dict.fromkeys(THREAD_CAPS, str(threads))}
