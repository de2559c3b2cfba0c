"""Random edits of a city's folder: read, warned of or refused by a sentence, and what is read is saved to the same."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data import City, DataError
from stormgym.envs.data.jobs_file import read_reported_jobs

Edit = Callable[[bytes, np.random.Generator], bytes]
TOWN = Path(__file__).parent / "town"
CREWS = {
    "depots": [{"x_km": 0, "y_km": 1.5}],
    "crews": [
        {"name": "n", "depot": 0, "skills": [0, 1], "on_h": 16, "off_h": 8},
        {"depot": {"x_km": 1, "y_km": 2}, "skills": [], "start_h": -1, "on_h": 8, "off_h": 8, "assessor": True},
    ],
}
JOBS = """job,region,arrival_h,skill,parent,customers,assessed,crew,begun_h,repaired,damage_class,repair_h
A,a,-2,0,,12,1,n,-0.5,,2,1.5
B,a,,1,A,1,0,,,0,1,2
"""
FILES = {name: (TOWN / name).read_bytes() for name in ("regions.csv", "log.csv", "city.json")}
FILES |= {"crews.json": json.dumps(CREWS).encode(), "jobs.csv": JOBS.encode()}
N_EDITS = 60


def test_folder__as_it_is_it_is_read(tmp_path: Path) -> None:
    assert _refusal(tmp_path, {}) is None


@pytest.mark.parametrize("seed", range(4))
def test_folder__an_edited_file_is_read_or_named(tmp_path: Path, random_edit: Edit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    refused = []
    for i in range(N_EDITS):
        name = list(FILES)[i % len(FILES)]
        refused.append(_refusal(tmp_path, {name: random_edit(FILES[name], rng)}))
    told = [text for text in refused if text is not None]
    assert 0.2 < len(told) / N_EDITS < 0.95
    for text in told:
        assert str(tmp_path) in text
        assert 60 < len(text) < 1200


def _refusal(folder: Path, edited: dict[str, bytes]) -> str | None:
    """The words in which a folder is refused, None if it is read; any error but a `DataError` fails the test."""
    for name, data in FILES.items():
        (folder / name).write_bytes(edited.get(name, data))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            city = City.load(folder)
            jobs = read_reported_jobs(city, folder / "jobs.csv")
        except DataError as error:
            return str(error)
    assert np.isfinite(jobs.features).all()
    city.save(folder / "again")
    assert City.load(folder / "again").fingerprint() == city.fingerprint()
    return None
