"""Text and frames of a season."""

import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.undergrounding.env import UndergroundingEnv


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
@pytest.mark.parametrize("profile", ["ten", "synthetic:40:0"])
def test_render__before_and_after_the_storm(mode, profile):
    env = UndergroundingEnv(profile=profile, render_mode=mode)
    env.reset(seed=2)
    before = env.render()
    env.step(3)
    env.step(env.profile.n_counties)
    after = env.render()
    if mode == "ansi":
        assert max(map(len, after.splitlines())) <= 80
        assert "the storm is still to come" in before
        assert "1 of" in after
        assert "crew" in after
    else:
        assert after.shape == (560, 1000, 3)
        assert (after != before).any()
