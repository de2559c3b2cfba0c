"""The equity planner that plans again: worth hours under a shock, and the equity planner without one."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from numpy.testing import assert_array_equal

from stormgym.agents.lineup import make_policy
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:3"
FULL = os.environ.get("STORMGYM_FULL") == "1"


def test_replanner__is_the_equity_planner_where_there_is_no_shock(play: Callable[..., Any]) -> None:
    env = RestorationVectorEnv(8, city=CITY)
    once, again = (
        play(env, make_policy(name, env, iterations=60))[2] for name in ("equity-planner", "equity-replanner")
    )
    assert_array_equal(once["mean_outage_h"], again["mean_outage_h"])


@pytest.mark.slow
def test_replanner__learns_on_the_way_which_groups_repairs_take_long(play: Callable[..., Any]) -> None:
    kwargs: dict[str, Any] = {"city": CITY, "shock": "group", "shock_log_sd": 1.0, "cost_limit": 20.0}
    n, search = (256, {}) if FULL else (48, {"iterations": 150})
    env = RestorationVectorEnv(n, **kwargs)
    once, again = (
        play(env, make_policy(name, env, **more, **search))[2]["mean_outage_h"]
        for name, more in (("equity-planner", {}), ("equity-replanner", {"every": 2}))
    )
    gain = once - again
    assert gain.mean() > 2 * gain.std() / n**0.5  # two standard errors
