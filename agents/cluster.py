"""A Ray cluster, where one machine ends: how a command line asks for it, and the connection.

`--jobs ray` uses every processor of the cluster, `--jobs ray:8` eight workers. Ray looks for the cluster where
`RAY_ADDRESS` says, then on this machine, and starts one of this machine's processors where there is none.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from stormgym.predictors.extras import require

THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that cap the threads of numerical libraries."""


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
        ValueError: another text, or fewer workers than `least`.
    """
    where, colon, number = str(text).partition(":")
    on_ray = where == "ray"
    if on_ray and not colon:
        return Workers(None, on_ray=True)
    digits = number if on_ray else str(text)
    if not (digits.isascii() and digits.removeprefix("-").isdigit()):
        raise ValueError(f"{option} must be a number, ray or ray:NUMBER; got {text!r}")
    least = max(least, 1) if on_ray else least
    if int(digits) < least:
        raise ValueError(f"{option} must be at least {least}; got {digits}")
    return Workers(int(digits), on_ray)


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
