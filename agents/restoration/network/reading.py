"""How STA-SAC reads Restoration-v0."""

from __future__ import annotations

from stormgym.agents.attention.reading import Reading
from stormgym.agents.restoration.network.episodes import RegionLayout
from stormgym.agents.restoration.network.features import REGION_KEYS, has_regions

READING = Reading(
    fits=has_regions,
    layout=RegionLayout.of,
    policy="stormgym.agents.sta_sac.policy:STASACPolicy",
    needs=f"Dict with {', '.join(sorted(REGION_KEYS))} (Restoration-v0)",
    practice="stormgym.agents.restoration.network.practice:Practice",
)
