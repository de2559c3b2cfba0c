"""Storms over counties: weather, waves, and errors that name the number."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.storms import AMPLITUDE, COVARIATES

NAMES = ("A", "B", "ten", "synthetic:12:3")


def streams(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), [("A", "events_3city_A"), ("ten", "events_10city")])
def test_weather_and_rates__are_those_of_the_known_events(shared_data: Path, name: str, file: str) -> None:
    with np.load(shared_data / "instances" / f"{file}.npz") as events:
        profile = replace(
            resolve_profile(name),
            population=events["N"],
            place=events["pq"].T,
            income=np.arange(len(events["N"])),
        )
        rate = events["beta"] / (
            0.3 + 0.01 * (events["temp"] - 20) + 0.005 * (events["wind"] - 10) - 0.005 * (events["hum"] - 0.5)
        )
        np.testing.assert_allclose(rate, profile.rate)
        for known in np.stack([events["temp"], events["wind"], events["hum"]], axis=-1)[:4]:

            def off(x: np.ndarray, known: np.ndarray = known) -> np.ndarray:
                return ((profile.weather(x[None, :2], x[2:]) - known) / AMPLITUDE).ravel()

            starts = product(np.linspace(0, 1, 8), np.linspace(0, 1, 8), [1.0])
            assert min(least_squares(off, start).cost for start in starts) < 1e-12  # some shift and severity give it


@pytest.mark.parametrize("name", NAMES)
def test_draw__is_one_storm_a_stream_whatever_the_others_do(name: str) -> None:
    profile = resolve_profile(name)
    storms = profile.draw(streams(5))
    k, t = profile.n_counties, profile.n_periods
    assert storms.out.shape == (5, t + 1, k)
    assert storms.covariates.shape == (5, k, len(COVARIATES))
    alone = profile.draw(streams(5)[3:4])
    for ours, theirs in zip(storms, alone, strict=True):
        np.testing.assert_array_equal(ours[3], theirs[0])
    assert (storms.out >= 0).all()
    assert (storms.out <= profile.population).all()
    onset = storms.covariates[..., 3].astype(int)
    for b, c in np.ndindex(5, k):
        assert not storms.out[b, : onset[b, c], c].any()
        assert storms.out[b, onset[b, c], c] == pytest.approx(0.01 * profile.population[c])


def test_draw__has_the_spread_that_the_profile_says() -> None:
    profile = resolve_profile("B")
    storms = profile.draw(streams(800))
    noise = np.log(storms.restoration / (0.1 * profile.rate))
    assert noise.std() == pytest.approx(profile.restoration_noise, rel=0.05)
    assert abs(noise.mean()) < 0.02
    np.testing.assert_allclose(np.bincount(storms.covariates[..., 3].astype(int).ravel()) / 2_400, 1 / 8, atol=0.025)
    calm = replace(profile, severity=(0.0, 0.0), restoration_noise=0.0).draw(streams(3))
    np.testing.assert_allclose(calm.transmission, 0.3 * profile.rate)
    np.testing.assert_allclose(calm.restoration, 0.1 * profile.rate)
    np.testing.assert_allclose(calm.covariates[..., :3], np.broadcast_to([20.0, 10.0, 0.5], (3, 3, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"place": np.zeros((2, 2))}, r"place must be finite and of shape \(3, 2\)"),
        ({"population": np.array([1.0, 0.0, 2.0])}, "at least 3 counties, each with customers"),
        ({"severity": (0.5, 10**400)}, r"severity must be a pair 0 <= low <= high <= 1e\+06; got \(0.5, 1000"),
        ({"severity": (2.0, 1.0)}, r"severity must be a pair 0 <= low <= high"),
        ({"latest_onset": 99}, "latest_onset must be from 0 to n_periods"),
        ({"generators": -1}, "generators must be at least 0 and finite; got -1"),
        ({"customers_per_generator": 0.0}, "customers_per_generator must be above 0"),
        ({"steps_per_period": 1}, "an Euler step of 1 periods is too long"),
    ],
)
def test_profile__wrong_numbers_are_named(change: dict[str, Any], message: str) -> None:
    profile: StormProfile = resolve_profile("A")
    with pytest.raises(ValueError, match=message):
        replace(profile, **change).draw(streams(1))
