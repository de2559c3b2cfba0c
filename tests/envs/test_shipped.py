"""Forecasts that come with the package: those that a fit gives today, and taken for nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from benchmarks.installs.shipped_forecasts import defaults, made_with, read, same
from stormgym.envs.cache import Costly
from stormgym.envs.cities.forecasts import costly_forecasts
from stormgym.envs.data import resolve_city
from stormgym.envs.shipped import FOLDER, INDEX, shipped_arrays

REMAKE = "run python -m benchmarks.installs.shipped_forecasts and commit envs/shipped"
INDEXED = json.loads((FOLDER / INDEX).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def costly() -> dict[str, Costly]:
    return defaults()


@pytest.mark.parametrize("name", ["restoration.npz", "undergrounding.npz"])
def test_files__are_indexed_for_todays_data_settings_and_source(costly: dict[str, Costly], name: str) -> None:
    own = costly[name]
    assert INDEXED["files"].get(f"{own.kind}-{own.digest}") == name, f"made of something else: {REMAKE}"


def test_folder__holds_what_the_index_names_and_nothing_else() -> None:
    files = {file.name for file in FOLDER.iterdir() if file.suffix == ".npz"}
    assert sorted(INDEXED["files"].values()) == sorted(files) == sorted(defaults())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["restoration.npz", "undergrounding.npz"])
def test_files__are_what_a_fit_gives_today(costly: dict[str, Costly], name: str) -> None:
    shipped, made = read(FOLDER / name), costly[name].make()
    if made_with() == INDEXED["made_with"]:
        assert same(made, shipped), REMAKE
        return
    # Other kernels and versions add in another order: trees may split a tie otherwise, a network stop a step later.
    assert made.keys() == shipped.keys()
    for part in ("point_h", "lower_h", "upper_h") if name == "restoration.npz" else ("mean_", "sd_", "widths_"):
        np.testing.assert_allclose(np.mean(made[part]), np.mean(shipped[part]), rtol=0.05, err_msg=part)


def test_shipped__is_taken_for_its_own_key_alone(costly: dict[str, Costly], tmp_path: Path) -> None:
    own = costly["restoration.npz"]
    assert shipped_arrays(own.kind, own.digest) is not None
    assert shipped_arrays("seasons", own.digest) is None
    assert shipped_arrays(own.kind, own.digest, tmp_path) is None  # a folder without an index
    city = resolve_city("default")
    longer = replace(city, log=replace(city.log, repair_h=1.01 * city.log.repair_h))
    for other in ((city, "ecqr", 0.8), (city, "cp", 0.9), (longer, "ecqr", 0.9)):
        asked = costly_forecasts(*other)
        assert shipped_arrays(asked.kind, asked.digest) is None


@pytest.mark.parametrize("env_id", ["Restoration-v0", "Undergrounding-v0"])
def test_defaults__fit_nothing_and_leave_the_cache_empty(
    env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise AssertionError("a default environment fitted something")

    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("stormgym.envs.cache.store_arrays", fails)
    monkeypatch.setattr("stormgym.envs.cities.forecasts._memory", {})
    from stormgym.envs.undergrounding.forecasts import _fitted

    _fitted.cache_clear()
    gym.make(env_id).reset(seed=0)
    assert not (tmp_path / "cache").exists()
