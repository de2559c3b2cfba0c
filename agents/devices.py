"""Torch devices and threads: what this machine has, said before anything is made."""

from __future__ import annotations

import warnings

import torch

from stormgym.agents.cluster import processors


def check_device(device: str, option: str = "--device", cure: str = "take cpu or auto") -> None:
    """Raise `ValueError` unless torch can compute on the device here.

    Args:
        device: "cpu", "cuda", "cuda:1", "auto", or another of torch's.
        option, cure: for the message.
    """
    if device == "auto":
        return
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"{option} must be cpu, cuda or auto; got {device!r}") from None
    if found.type == "cuda":
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not n_devices:
            raise ValueError(f"{option} {device}: this machine has no CUDA device that torch can use; {cure}")
        if (found.index or 0) >= n_devices:
            raise ValueError(f"{option} {device}: this machine has {n_devices} CUDA devices, from cuda:0 on; {cure}")
        return
    try:
        torch.zeros(1, device=found).cpu()
    except Exception:  # of whatever kind: each backend that is lacking has an error of its own
        raise ValueError(
            f"{option} {device}: torch {torch.__version__} cannot compute on {found.type!r} here; {cure}"
        ) from None


def capped_threads(threads: int, option: str = "--torch-threads") -> int:
    """The number of threads, at most one a processor; a warning says so where it was more."""
    most = processors()
    if threads > most:
        warnings.warn(
            f"{option} {threads} is more than the processors that this process may use; it takes {most}",
            UserWarning,
            stacklevel=2,
        )
    return min(threads, most)
