"""Random edits of the feeds' files: a table whose faults are flagged, or a sentence, and never another error."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data.feeds import (
    JobTable,
    read_aneel_interruptions,
    read_aneel_jobs,
    read_nged,
    read_pge,
    read_pge_stated,
    read_ssen,
    read_ukpn,
)
from stormgym.envs.data.feeds.columns import TIMES

Edit = Callable[[bytes, np.random.Generator], bytes]
READERS: dict[str, Callable[[Path], JobTable]] = {
    "nged_power_outage_ext.csv": partial(read_nged, tz="Europe/London"),
    "nged_detailed.csv": partial(read_nged, tz="UTC"),
    "ukpn_live_faults.csv": partial(read_ukpn, tz="Europe/London"),
    "ukpn_live_faults.json": read_ukpn,
    "ssen_power_track.json": partial(read_ssen, seen="2024-12-07T12:00Z"),
    "aneel_ocorrencias_2023.csv": partial(read_aneel_jobs, tz="America/Sao_Paulo"),
    "aneel_ocorrencias_2026.csv": partial(read_aneel_jobs, tz="America/Sao_Paulo"),
    "aneel_interrupcoes_2023.csv": partial(read_aneel_interruptions, tz="UTC"),
    "aneel_interrupcoes_2026.csv": partial(read_aneel_interruptions, tz="UTC"),
    "pge_outages.csv": read_pge,
}
N_EDITS = 60


@pytest.mark.parametrize("name", READERS)
def test_feed__an_edited_file_is_read_or_named(name: str, fixtures: Path, tmp_path: Path, random_edit: Edit) -> None:
    rng = np.random.default_rng(len(name))
    file, whole = tmp_path / name, (fixtures / name).read_bytes()
    n_read = 0
    for _ in range(N_EDITS):
        file.write_bytes(random_edit(whole, rng))
        n_read += _read_or_named(file, READERS[name])
    assert 0.1 < n_read / N_EDITS < 0.95


def test_feed__edited_statements_and_the_tables_own_form_are_read_or_named(
    fixtures: Path, tmp_path: Path, random_edit: Edit
) -> None:
    rng = np.random.default_rng(5)
    jobs = read_pge(fixtures / "pge_outages.csv")
    own, history = tmp_path / "jobs.csv", tmp_path / "etr_history.csv"
    jobs.to_csv(own)
    whole = {own: own.read_bytes(), history: (fixtures / "pge_etr_history.csv").read_bytes()}
    for file in (own, history):
        for _ in range(N_EDITS):
            file.write_bytes(random_edit(whole[file], rng))
            _read_or_named(file, JobTable.read_csv if file == own else partial(read_pge_stated, jobs=jobs))


def test_feed__edited_parquet_is_read_or_named(fixtures: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    file = tmp_path / "jobs.parquet"
    read_pge(fixtures / "pge_outages.csv").to_parquet(file)
    whole = file.read_bytes()
    for _ in range(N_EDITS):
        at = int(rng.integers(len(whole)))
        file.write_bytes(whole[:at] if rng.integers(4) == 0 else whole[:at] + rng.bytes(2) + whole[at + 2 :])
        _read_or_named(file, JobTable.read_parquet)


def _read_or_named(file: Path, read: Callable[[Path], JobTable]) -> bool:
    """Whether the file is read; else the error, a `ValueError`, names it. No time is of a year that means unknown."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            jobs = read(file)
        except ValueError as error:  # DataError is one; anything else fails the test
            refused = str(error)
        else:
            refused = ""
    if refused:
        assert file.name in refused
        assert len(refused) > 30
        return False
    if isinstance(jobs, JobTable):
        for name in TIMES:
            years = getattr(jobs, name).astype("M8[Y]").astype(np.int64) + 1970
            assert (np.isnat(getattr(jobs, name)) | ((years >= 1990) & (years <= 2099))).all()
        jobs.faults()
    return True
