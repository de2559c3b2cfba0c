"""Text and frames of an episode."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stormgym.envs.data import resolve_city
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.render import render

CITY = "synthetic:12:1"
N = 12


@pytest.fixture
def half_way(env_of) -> Callable[..., RestorationEnv]:
    """Makes an episode with half of the regions restored."""

    def make(**kwargs: Any) -> RestorationEnv:
        env = env_of(**kwargs)
        env.reset(seed=1)
        for action in range(N // 2):
            env.step(action)
        return env

    return make


def test_render__frame_has_the_documented_size_and_shows_the_state(half_way):
    env = half_way(render_mode="rgb_array")
    frame = env.render()
    assert frame.shape == (500, 1000, 3)
    assert frame.dtype == np.uint8
    env.step(N - 1)
    assert (env.render() != frame).any(axis=-1).mean() > 0.005


def test_render__text_is_narrow_and_names_gap_groups_and_next_regions(half_way):
    env = half_way(render_mode="ansi")
    text = env.render()
    assert max(map(len, text.splitlines())) <= 80
    for part in ("6 of 12 regions restored", "gap", "limit 8.00 h", *env.city.group_names, "nearest dark"):
        assert part in text
    marks = "".join(line for line in text.splitlines() if line.startswith("  |"))
    assert sum(mark.isupper() for mark in marks) == N // 2
    assert sum(mark.islower() for mark in marks) == N // 2
    for action in range(N // 2, N):
        env.step(action)
    assert env.render().endswith("every region is restored")


def test_render__many_groups_and_one_group_are_drawn_too(half_way):
    city = resolve_city(CITY)
    for n_groups, mark in ((1, "g"), (8, "a")):
        names = tuple(f"group {g}" for g in range(n_groups))
        env = half_way(city=replace(city, group=np.arange(N) % n_groups, group_names=names))
        assert render(env.process, 0, "rgb_array").shape == (500, 1000, 3)
        text = render(env.process, 0, "ansi")
        assert f"{mark} group 0" in text
        assert max(map(len, text.splitlines())) <= 80


def test_render__unknown_mode_is_an_error(half_way):
    with pytest.raises(ValueError, match="render mode must be ansi or rgb_array; got 'human'"):
        render(half_way().process, 0, "human")


def test_render__leaves_pyplot_alone_and_matplotlib_is_loaded_for_frames_only():
    code = (
        "import sys\n"
        "from stormgym.envs.restoration.env import RestorationEnv\n"
        "env = RestorationEnv('synthetic:6:2', predictor='none', render_mode='ansi')\n"
        "env.reset(seed=0); env.render()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "env.render_mode = 'rgb_array'; env.render()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
