"""Regions, their storms and limits, and where crews go."""

from dataclasses import replace

import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.undergrounding.profiles import resolve_profile, synthetic_profile
from stormgym.envs.undergrounding.regions import send_crews, usual_limit_h


def test_send_crews__to_the_largest_losses_lower_index_first_and_not_where_nothing_is_lost():
    assert send_crews(np.array([3.0, 5.0, 5.0, 0.0]), 2).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert send_crews(np.array([3.0, 0.0, 0.0]), 2).tolist() == [1.0, 0.0, 0.0]
    assert send_crews(np.array([2.0, 2.0]), 1).tolist() == [1.0, 0.0]
    assert send_crews(np.array([2.0, 2.0]), 0).tolist() == [0.0, 0.0]


def test_profile__limit_is_three_fifths_of_the_gap_of_doing_nothing():
    profile = synthetic_profile(6, 3)
    seasons = profile.seasons([np.random.default_rng([0, i]) for i in range(500)])
    gaps = []
    for hours in seasons.outage_h:
        left = hours.copy()
        left[np.argmax(hours * profile.population)] = 0.0
        gaps.append(profile.gap_h(left))
    assert profile.cost_limit == pytest.approx(0.6 * np.mean(gaps), rel=5e-3)
    assert usual_limit_h(profile) == profile.cost_limit


def test_profile__noise_is_in_customer_hours_and_never_below_zero():
    quiet = resolve_profile("appendix-g")
    streams = [[np.random.default_rng([3, i]) for i in range(2_000)] for _ in range(2)]
    noisy = quiet.seasons(streams[0]).outage_h
    plain = replace(quiet, noise=0.0).seasons(streams[1]).outage_h
    np.testing.assert_allclose((noisy - plain).std(axis=0) * quiet.population, 1_000.0, rtol=0.08)
    assert (noisy >= 0).all()
