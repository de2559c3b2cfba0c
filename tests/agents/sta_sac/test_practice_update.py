"""The actor's update on simulated storms: its price, its direction, and when it takes place."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from stormgym.agents.sta_sac.algorithm import SLOWER, STASAC
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.storage.records import record_of
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.risk_measure import RiskMeasure


@pytest.mark.parametrize("cost", ["excess", "gap"])
def test_update__raises_what_practice_found_better_at_the_price_of_real_storms(make: Any, cost: str) -> None:
    model = make(
        n_envs=8,
        n_rollouts=3,
        practice=1,
        practice_cost=cost,
        practice_margin=0.3,
        practice_orders=6,
        practice_lr=1.0,
        max_grad_norm=1e9,
    )
    model.learn(56)
    update, policy = model.practice_update, model.policy
    storms = model.replay_buffer.sample(4)
    scales = policy.scales(storms)
    per_limit = model.multiplier.value / model.chosen.limit_margin  # units of return for a gap of the limit, 8 h
    price = float(per_limit) * scales.total_hours[:, 0].numpy() / 8.0
    free_h = 0.0
    if cost == "excess":
        price, free_h = 4.0 * price, 0.3 * 8.0
    np.random.seed(3)
    drawn = update.practice.draw(policy.actor, storms)
    if cost == "excess":  # some pay and some do not
        assert 0 < (drawn.gap_h > free_h).mean()
    advantage = update.practice.advantages(drawn, price, free_h) / scales.total_hours[:, :, None]
    objective = update.practice.objective(policy.actor, drawn, advantage)
    wanted = torch.autograd.grad(objective, list(policy.actor.parameters()))
    policy.practice_optimizer = torch.optim.SGD(policy.actor.parameters(), lr=1.0)
    left = model._stage().own_left
    rate = model.settings.practice_lr * (0.05 + 0.95 * left)
    before = [p.detach().clone() for p in policy.actor.parameters()]
    np.random.seed(3)
    logs = update(storms, model._stage())
    for old, new, slope in zip(before, policy.actor.parameters(), wanted, strict=True):
        torch.testing.assert_close(new.detach() - old, rate * slope, rtol=1e-2, atol=1e-5)
    assert logs["price"] == pytest.approx(price.mean(), rel=1e-5)
    assert logs["outage_h"] == pytest.approx(drawn.outage_h.sum(-1)[:, 0].mean())


@pytest.mark.parametrize(
    ("changes", "practises"),
    [
        ({"practice": 2}, True),
        ({"practice": 0}, False),
        ({"practice": 2, "n_rollouts": 1}, False),  # critics tell what is good
        ({"practice": 2, "actor_gradient": "critics"}, False),
    ],
)
def test_practice__goes_with_shared_storms(make: Any, changes: dict[str, Any], practises: bool) -> None:
    model = make(n_envs=8, **{"n_rollouts": 3, "practice_orders": 6, **changes})
    assert (model.practice_update is not None) == practises
    updates = []
    if practises:
        update = model.practice_update
        model.practice_update = lambda storms, stage: updates.append(len(storms.regions)) or update(storms, stage)
    model.learn(112)
    assert updates == ([model.settings.practice_storms] * 4 if practises else [])  # two collections of 56 steps


def test_practice__waits_for_the_teacher_to_leave(make: Any) -> None:
    model = make(n_envs=8, n_rollouts=3, practice=1, practice_orders=4, teacher="equity-planner", teacher_steps=112)
    seen: list[bool] = []
    update = model.practice_update
    model.practice_update = lambda storms, stage: seen.append(stage.teaching) or update(storms, stage)
    model.learn(224)
    assert seen == [False, False]


def test_practice__is_not_where_the_limit_is_on_a_tail(make: Any) -> None:
    tail = RiskMeasure.of("cvar", 0.1)
    with pytest.warns(UserWarning, match="practice=1 is left out: it needs Restoration-v0 with"):
        make(n_envs=8, n_rollouts=3, practice=1, measure=tail)
    assert make(n_envs=8, n_rollouts=3, practice=1, measure=tail).practice_update is None
    model = make(n_envs=8)  # the limit of its environments is on the mean, as the algorithm's own is not
    settings = replace(model.settings, n_rollouts=3, practice=1)
    own = STASAC("STASACPolicy", model.env, settings, cost_limit_kind="cvar", cost_limit_level=0.1, device="cpu")
    assert own.practice_update is None


@pytest.mark.parametrize(
    ("kwargs", "practises"), [({}, True), ({"shock": "group"}, False), ({"cost_limit_kind": "cvar"}, False)]
)
def test_practice__left_out_is_where_it_is_possible(kwargs: dict[str, Any], practises: bool) -> None:
    """No warning elsewhere; and the teacher leaves more of the limit free where nothing mends imitation."""
    env = make_vec_env("Restoration-v0", 8, seed=0, city="synthetic:7:1", **kwargs)
    settings = STASACSettings(teacher="equity-planner", width=16, n_layers=1, practice_orders=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    assert (model.practice_update is not None) == practises
    assert model.chosen == ((24, 0.1, 0.98) if practises else (0, 0.25, 0.88))
    assert model.teacher.policy.margin == model.chosen.teacher_margin  # type: ignore[union-attr]
    if not kwargs.get("cost_limit_kind"):
        assert model.multiplier.limit == pytest.approx(8.0 * model.chosen.limit_margin)
    if practises:
        updates: list[int] = []
        model.set_logger(Logger(None, []))
        model.replay_buffer.any_episodes = lambda n: None  # type: ignore[method-assign, assignment]
        model.practice_update = lambda storms, stage: updates.append(1) or {"gap_h": 0.0}  # type: ignore[assignment]
        model._practise()
        assert len(updates) == 24


def test_runs__from_before_there_was_practice_go_on_without() -> None:
    stored = {"learning_rate": 0.01, "n_rollouts": 4}
    settings = record_of(STASACSettings, stored, Path("settings.json"), "a run")
    assert settings.practice_spread == 0.0
    assert (settings.practice, settings.teacher_margin, settings.limit_margin) == STASACSettings().chosen(False)
    today = json.loads(json.dumps(asdict(STASACSettings())))
    assert record_of(STASACSettings, today, Path("settings.json"), "a run") == STASACSettings()


def test_price__moves_slower_where_the_actor_follows_it_faster(make: Any) -> None:
    rates = [make(n_envs=8, n_rollouts=3, practice=n).multiplier.optimizer.param_groups[0]["lr"] for n in (0, 1)]
    assert rates == pytest.approx([0.05, 0.05 * SLOWER])


def test_practice_cost__is_one_of_two(make: Any) -> None:
    with pytest.raises(ValueError, match="practice_cost must be 'excess' or 'gap'; got 'none'"):
        make(practice_cost="none")


@pytest.mark.parametrize("wrong", [{"practice": -1}, {"practice_storms": 0}, {"practice_orders": 2}])
def test_settings__out_of_range_are_told(make: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="practice must be at least 0, practice_storms at least 1 and practice_orders"):
        make(**wrong)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("practice_margin", 0.0, "(0, 1]"),
        ("practice_spread", 1.0, "[0, 1)"),
        ("teacher_margin", -0.1, "[0, 1)"),
        ("limit_margin", 1.1, "(0, 1]"),
    ],
)
def test_shares__out_of_range_are_told(make: Any, name: str, value: float, rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} must be in {rule}; got {value}")):
        make(**{name: value})
