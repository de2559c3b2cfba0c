"""The teacher: which policies can be one."""

from __future__ import annotations

import pytest

from stormgym.agents.sta_sac.teacher import teacher_of
from stormgym.envs.adapters.sb3 import make_vec_env


def test_sta_sac__refuses_a_teacher_that_it_cannot_have() -> None:
    venv = make_vec_env("Restoration-v0", 4, city="synthetic:8:1")
    for name in ("clairvoyant", "ppo", "nobody"):
        with pytest.raises(ValueError, match=f"teacher must be none or one of .*equity-planner.*; got '{name}'"):
            teacher_of(name, venv)
    assert teacher_of("none", venv) is None
    assert teacher_of("rollout", venv, margin=0.25).margin == 0.25  # type: ignore[union-attr]
    shaken = make_vec_env("Restoration-v0", 4, city="synthetic:8:1", shock="group")
    again = teacher_of("equity-planner", shaken, margin=0.25)
    assert (again.name, again.margin) == ("equity-replanner", 0.25)  # type: ignore[union-attr]
    teacher = teacher_of("equity-planner", venv, margin=0.25)
    assert teacher.margin == 0.25  # type: ignore[union-attr]
