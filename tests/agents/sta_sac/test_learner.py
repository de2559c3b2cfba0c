"""The learner of the registry: what it makes of settings and environments."""

from __future__ import annotations

from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.envs.adapters.sb3 import make_vec_env


def test_sta_sac__takes_what_a_group_shares_for_news_where_there_is_a_shock() -> None:
    for shock, expected in (("none", False), ("common", True), ("group", True)):
        venv = make_vec_env("Restoration-v0", 4, city="synthetic:8:1", shock=shock)
        model = sta_sac.build(venv, sta_sac.settings(teacher="nearest"), seed=0)
        assert model.shock is expected  # type: ignore[attr-defined]
