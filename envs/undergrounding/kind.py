"""A folder of regions and their past storms as `stormgym.envs.data.checking` reads it."""

from __future__ import annotations

from stormgym.envs.data.checking import FolderKind
from stormgym.envs.data.tables import read_json, read_table
from stormgym.envs.undergrounding.folder import PROFILE, REGIONS, STORMS, load_profile
from stormgym.envs.undergrounding.recorded import RecordedUnderground


def _in_words(profile: RecordedUnderground) -> str:
    return f"{len(profile.region):,} regions, {len(profile.storm):,} storms"


KIND = FolderKind(
    name="undergrounding",
    summary="regions.csv, storms.csv, profile.json (docs/environments/undergrounding.md)",
    read=load_profile,
    describe=_in_words,
    needed=(REGIONS, STORMS, PROFILE),
    apart={REGIONS: read_table, STORMS: read_table, PROFILE: read_json},
    usual={PROFILE: {"budget": 1.0, "n_crews": 1}},
    told_by=(STORMS,),
)
