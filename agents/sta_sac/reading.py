"""Which domain says how STA-SAC is to read an observation (`Domain.tokens`)."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from stormgym.agents.attention.reading import Reading
from stormgym.agents.domain import load_entry
from stormgym.agents.registry import DOMAINS


def reading_of(space: spaces.Space[Any]) -> Reading:
    """The reading of the domain whose observations these are.

    Raises:
        ValueError: no domain says how STA-SAC is to read them.
    """
    readings: list[Reading] = [load_entry(domain.tokens) for domain in DOMAINS.values() if domain.tokens is not None]
    for reading in readings:
        if reading.fits(space):
            return reading
    raise ValueError(f"STA-SAC needs an observation {' or '.join(reading.needs for reading in readings)}; got {space}")


def can_be_read(space: spaces.Space[Any]) -> bool:
    """Whether some domain says how STA-SAC is to read such observations."""
    try:
        reading_of(space)
    except ValueError:
        return False
    return True
