"""Profiles of dispatch by name, their groups and limits."""

import numpy as np
import pytest

from stormgym.envs.dispatch.profiles import half_of_doing_nothing, resolve_profile, unserved_gap
from stormgym.envs.equity import group_means

NAMES = ("A", "B", "ten", "synthetic:12:3")


def streams(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(n)]


@pytest.mark.parametrize("name", NAMES)
def test_profiles__have_three_groups_and_a_limit_of_half_of_doing_nothing(name: str) -> None:
    profile = resolve_profile(name)
    assert set(profile.group.tolist()) == {0, 1, 2}
    assert profile.cost_limit == half_of_doing_nothing(profile)
    unserved = profile.draw(streams(2_000, seed=1)).out[:, 1:].sum(axis=1)
    assert 0.5 * unserved_gap(unserved, profile).mean() == pytest.approx(profile.cost_limit, rel=0.1)


def test_unserved_gap__of_one_county_a_group_is_the_largest_difference() -> None:
    profile = resolve_profile("A")
    unserved = np.array([[3_200.0, 4_000.0, 700.0], [0.0, 0.0, 0.0]])
    means = group_means(unserved / profile.population, profile.group, 3)
    np.testing.assert_allclose(unserved_gap(unserved, profile), np.ptp(means, axis=1))
    np.testing.assert_allclose(unserved_gap(unserved, profile), [1.5, 0.0])


@pytest.mark.parametrize("name", ["C", "", "synthetic:2:0", "synthetic:5", "synthetic:401:0"])
def test_resolve_profile__unknown_names_say_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match=r"profile .*synthetic:K:SEED"):
        resolve_profile(name)
