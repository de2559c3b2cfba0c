"""What trains a pool's runs: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from pathlib import Path

from stormgym.agents.cluster import Workers
from stormgym.agents.training.pool import Trainer


def trainer_for(
    workers: Workers, device: str = "cpu", threads: int = 1, script: Path | None = None
) -> tuple[Trainer, int]:
    """The trainer of these workers, and how many there are: processes of this machine, or actors of a Ray cluster.

    Args:
        workers: 0 trains in this process.
        device, threads, script: as for `Trainer`.

    Raises:
        MissingExtraError: Ray is asked for and not installed.
    """
    if not workers.on_ray:
        n_workers = workers.count()
        return Trainer(n_workers == 0, device, threads, script), n_workers
    from stormgym.agents.training.ray_trainer import RayTrainer  # here, since Ray is an extra

    return RayTrainer(device, threads, script), workers.count(threads)
