"""A folder of recorded storms as `stormgym.envs.data.checking` reads it."""

from __future__ import annotations

from pathlib import Path

from stormgym.envs.data.checking import FolderKind
from stormgym.envs.data.tables import read_json, read_table
from stormgym.envs.dispatch.folder import COUNTIES, OUTAGES, PROFILE, load_profile
from stormgym.envs.dispatch.recorded import RecordedProfile


def _in_words(content: tuple[RecordedProfile, float | None]) -> str:
    profile = content[0]
    return (
        f"{profile.n_counties:,} counties, {len(profile.window)} recorded storms of {profile.n_periods} periods, "
        f"{profile.n_counts:,} counts"
    )


def _read(folder: Path) -> tuple[RecordedProfile, float | None]:
    return load_profile(folder)


KIND = FolderKind(
    name="dispatch",
    summary="counties.csv, outages*.csv, profile.json (docs/environments/dispatch.md)",
    read=_read,
    describe=_in_words,
    needed=(COUNTIES, PROFILE, OUTAGES),
    apart={COUNTIES: read_table, PROFILE: read_json},
    usual={
        PROFILE: {
            "period_hours": 24.0,
            "generators": 1,
            "customers_per_generator": 1.0,
            "transport_cost": 1.0,
            "interruption_cost": 1.0,
            "operating_cost": 1.0,
            "rate": 1.0,
        }
    },
    told_by=(COUNTIES, OUTAGES),
)
