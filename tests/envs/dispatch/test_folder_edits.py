"""Random edits of folders of storms: read, warned of or refused by a sentence, and never another error."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.dispatch.folder import load_profile

Edit = Callable[[bytes, np.random.Generator], bytes]
COUNTIES = """fips_code,customers,income_usd,lat,lon,humidity
1001,4000,30000,30.0,-88.0,0.5
1003,9000,60000,31.0,-87.0,0.6
1005,2500,45000,30.5,-85.0,0.4
"""
OUTAGES = "fips_code,county,state,customers_out,run_start_time\n" + "".join(
    f"{code},somewhere,Alabama,{100 * (6 - abs(hour - 5)) + code % 10},2021-08-28 {hour:02d}:00:00\n"
    for hour in range(12)
    for code in (1001, 1003, 1005)
)
PROFILE = json.dumps(
    {
        "period_hours": 2,
        "windows": [{"name": "early", "start": "2021-08-28T02:00", "end": "2021-08-28T10:00"}],
        "generators": 12,
        "customers_per_generator": 500,
        "transport_cost": 300.0,
        "interruption_cost": 6.0,
        "operating_cost": 60.0,
        "rate": 4.0,
        "severity": [0.5, 1.5],
        "latest_onset": 2,
        "interval_min": 60,
        "steps_per_period": 5,
    }
)
FILES = {"counties.csv": COUNTIES, "outages.csv": OUTAGES, "profile.json": PROFILE}
N_EDITS = 80


def test_folder__as_it_is_it_is_read(tmp_path: Path) -> None:
    assert _loaded(tmp_path, {}) is None


@pytest.mark.parametrize("seed", range(4))
def test_folder__an_edited_file_is_read_or_named(tmp_path: Path, random_edit: Edit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    refused = []
    for i in range(N_EDITS):
        name = list(FILES)[i % len(FILES)]
        refused.append(_loaded(tmp_path, {name: random_edit(FILES[name].encode(), rng)}))
    told = [text for text in refused if text is not None]
    assert 0.2 < len(told) / N_EDITS < 0.95
    for text in told:
        assert len(text) > 30
        assert any(name in text for name in FILES) or str(tmp_path) in text


def _loaded(folder: Path, edited: dict[str, bytes]) -> str | None:
    """The words in which a folder is refused, None if it is read; any error but a `ValueError` fails the test."""
    for name, text in FILES.items():
        (folder / name).write_bytes(edited.get(name, text.encode()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            profile, _ = load_profile(folder)
        except ValueError as error:  # DataError is one
            return str(error)
    assert np.isfinite(profile.recorded).all()
    assert (profile.recorded <= profile.population).all()
    return None
