"""The learner of the registry: what it makes of settings and environments."""

from __future__ import annotations

from typing import Any

from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.training.play import make_training_env
from stormgym.envs.adapters.sb3 import make_vec_env


def test_sta_sac__takes_what_a_group_shares_for_news_where_there_is_a_shock() -> None:
    for shock, expected in (("none", False), ("common", True), ("group", True)):
        venv = make_vec_env("Restoration-v0", 4, city="synthetic:8:1", shock=shock)
        model = sta_sac.build(venv, sta_sac.settings(teacher="nearest"), seed=0)
        assert model.shock is expected  # type: ignore[attr-defined]


def test_learner__updated_forecasts_are_shown_under_a_shock_only() -> None:
    for shock in ("none", "group"):
        venv = make_training_env("Restoration-v0", 2, {"city": "synthetic:7:1", "shock": shock})
        model: Any = sta_sac.build(venv, STASACSettings(teacher="none"), seed=0)
        assert model.policy_kwargs["update"] is model.policy.actor.sees_updates is (shock == "group")
