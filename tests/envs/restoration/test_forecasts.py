"""Forecasts of a city's log: out of fold, and a cache that never takes them for those of other data or versions."""

import re
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from stormgym.envs.cache import store_arrays
from stormgym.envs.cities import forecasts
from stormgym.envs.cities.forecasts import cache_folder, city_forecasts
from stormgym.envs.data import City, resolve_city
from stormgym.predictors.cross_fit import CrossFit, cross_fit

MODULE = import_module("stormgym.predictors.cross_fit")  # the package has a function of this name


@pytest.fixture
def fits(tmp_path, monkeypatch):
    """An empty cache in a folder of its own; the list of predictors that were fitted."""
    fitted: list[str] = []

    def counted(*args, predictor, **kwargs):
        fitted.append(predictor)
        return cross_fit(*args, predictor="none", **kwargs)  # no forest has to grow for this

    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(forecasts, "_memory", {})
    monkeypatch.setattr(MODULE, "cross_fit", counted)
    return fitted


@pytest.fixture(scope="module")
def city():
    return City.synthetic(1, 6)


def forget(monkeypatch):
    """As another process would find things: nothing in memory."""
    monkeypatch.setattr(forecasts, "_memory", {})


def assert_equal(a: CrossFit, b: CrossFit) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


def test_cache__is_read_from_memory_and_from_disk(city, fits, monkeypatch):
    first = city_forecasts(city, "cp", 0.9)
    assert city_forecasts(city, "cp", 0.9) is first
    forget(monkeypatch)
    again = city_forecasts(city, "cp", 0.9)
    assert fits == ["cp"]
    assert_equal(first, again)
    assert [file.suffix for file in cache_folder().iterdir()] == [".npz"]


def test_cache__keys_on_city_predictor_and_level(city, fits):
    city_forecasts(city, "cp", 0.9)
    for other in ((City.synthetic(2, 6), "cp", 0.9), (city, "cqr", 0.9), (city, "cp", 0.8)):
        city_forecasts(*other)
    assert fits == ["cp", "cp", "cqr", "cp"]
    assert len(list(cache_folder().iterdir())) == 4


def test_cache__keys_on_the_source_behind_cross_fitting(city, fits, monkeypatch):
    city_forecasts(city, "cp", 0.9)
    forget(monkeypatch)
    monkeypatch.setattr(MODULE, "source_digest", lambda: "another version")
    city_forecasts(city, "cp", 0.9)
    assert fits == ["cp", "cp"]


@pytest.mark.parametrize("damage", [b"", b"not a zip file"])
def test_cache__a_file_that_cannot_be_read_costs_time_alone(city, fits, monkeypatch, damage):
    first = city_forecasts(city, "cp", 0.9)
    (file,) = cache_folder().iterdir()
    file.write_bytes(damage)
    forget(monkeypatch)
    with pytest.warns(UserWarning, match=f"the cache file {re.escape(str(file))} cannot be read"):
        assert_equal(first, city_forecasts(city, "cp", 0.9))
    assert fits == ["cp", "cp"]


def test_cache__a_folder_that_cannot_be_made_costs_time_alone(city, fits, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("STORMGYM_CACHE", str(blocked))
    city_forecasts(city, "cp", 0.9)
    assert fits == ["cp"]


def test_cache_folder__is_that_of_the_environment_variable_else_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("STORMGYM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "stormgym"
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.slow
@pytest.mark.parametrize("predictor", ["ecqr", "cqr", "cp"])
def test_forecasts__of_a_drawn_record_come_from_the_cross_fit_that_left_its_fold_out(env_of, predictor):
    env = env_of("synthetic:6:2", predictor=predictor)
    city = env.city
    forecast = city_forecasts(city, predictor, 0.9)
    obs, _ = env.reset(seed=3)
    record = env.process.tables.record[env.process.row[0]]
    np.testing.assert_allclose(obs["lower_h"], forecast.lower_h[record], rtol=1e-6)
    np.testing.assert_allclose(obs["upper_h"], forecast.upper_h[record], rtol=1e-6)
    np.testing.assert_allclose(obs["point_h"], forecast.point_h[record], rtol=1e-6)
    own = (forecast.fold, np.arange(len(city.log)))
    assert not forecast.fit_mask[own].any()
    assert not forecast.calibration_mask[own].any()
    for k in range(forecast.fit_mask.shape[0]):
        assert not forecast.fit_mask[k][forecast.fold == k].any()
        assert not forecast.calibration_mask[k][forecast.fold == k].any()


@pytest.mark.slow
def test_forecasts__a_records_own_duration_does_not_move_its_forecast():
    city = resolve_city("synthetic:6:2")
    record = 17
    longer = city.log.repair_h.copy()
    longer[record] *= 50.0
    changed = replace(city, log=replace(city.log, repair_h=longer))
    before, after = (city_forecasts(c, "cp", 0.9) for c in (city, changed))
    for name in ("lower_h", "upper_h", "point_h", "quantile_h"):
        np.testing.assert_array_equal(getattr(before, name)[record], getattr(after, name)[record])
    assert not np.array_equal(before.point_h, after.point_h)


def cut(arrays):
    return {name: values[..., :-1] for name, values in arrays.items()}


def holed(arrays):
    return {**arrays, "point_h": np.where(np.arange(arrays["point_h"].size) == 3, np.nan, arrays["point_h"])}


def crossed(arrays):
    return {**arrays, "lower_h": arrays["upper_h"] + 1.0}


@pytest.mark.parametrize(
    ("harm", "reason"),
    [(cut, "must have shape"), (holed, "point_h must be finite; got nan"), (crossed, "hours must not")],
)
def test_cache__forecasts_that_cannot_be_the_citys_are_named_and_made_again(city, fits, monkeypatch, harm, reason):
    first = city_forecasts(city, "cp", 0.9)
    (file,) = cache_folder().iterdir()
    store_arrays(file, harm(vars(first)))
    forget(monkeypatch)
    with pytest.warns(UserWarning, match=f"the cache file {re.escape(str(file))} is not taken .*{reason}.*made again"):
        assert_equal(first, city_forecasts(city, "cp", 0.9))
    forget(monkeypatch)
    assert_equal(first, city_forecasts(city, "cp", 0.9))
    assert fits == ["cp", "cp"]


@pytest.mark.parametrize("part", [0.5, 0.98])
def test_cache__a_file_cut_in_two_or_with_another_bit_is_named_and_made_again(city, fits, monkeypatch, part):
    first = city_forecasts(city, "cp", 0.9)
    (file,) = cache_folder().iterdir()
    whole = file.read_bytes()
    at = int(part * len(whole))
    for damaged in (
        whole[:at],
        whole[: len(whole) // 3] + bytes([whole[len(whole) // 3] ^ 1]) + whole[len(whole) // 3 + 1 :],
    ):
        file.write_bytes(damaged)
        forget(monkeypatch)
        with pytest.warns(UserWarning, match=f"the cache file {re.escape(str(file))} cannot be read .*made again"):
            assert_equal(first, city_forecasts(city, "cp", 0.9))
        assert file.read_bytes()[:4] == whole[:4]
