"""The teacher: which policies can be one, when it plays, how it is imitated, and the cooling when it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import DOMAINS
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.teacher import Teacher, teacher_of
from stormgym.envs.adapters.sb3 import make_vec_env

CITY = "synthetic:7:1"


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


NARROW: dict[str, Any] = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}


@pytest.fixture(scope="module")
def taught() -> STASAC:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    teacher = make_policy("equity-planner", env, iterations=50)
    settings = STASACSettings(teacher_steps=100, gradient_steps=2, **NARROW)
    return STASAC("STASACPolicy", env, settings, teacher=teacher, seed=0, device="cpu").learn(280)


def test_cool__makes_an_unsure_actor_as_sure_as_asked_and_changes_no_greedy_choice(
    taught: STASAC, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = taught.replay_buffer.demonstrations(64)
    monkeypatch.setattr(taught.teacher, "_cooled", False)
    with torch.no_grad():
        before = taught.policy.episode_log_probs(batch)[2]
        taught.teacher.cool(taught.policy, taught.replay_buffer, 0.3)
        after = taught.policy.episode_log_probs(batch)[2]
        taught.teacher.cool(taught.policy, taught.replay_buffer, 0.1)  # once is all
        assert torch.equal(taught.policy.episode_log_probs(batch)[2], after)
    assert torch.equal(before.argmax(-1), after.argmax(-1))
    n_open = batch.action_mask.sum(-1)
    wanted = 0.3 * n_open.log().mean()
    assert float(-(before.exp() * before).sum(-1).mean()) > 2 * float(wanted)
    assert float(-(after.exp() * after).sum(-1).mean()) == pytest.approx(float(wanted), rel=0.15)


def test_teacher__plays_whole_episodes_first(taught: STASAC) -> None:
    assert taught.teacher.until == 112  # 100 steps, rounded up to whole rounds of 8 environments and 7 regions
    assert taught.learning_starts == 0
    buffer = taught.replay_buffer
    assert buffer.n_demonstrations == 100 // 7
    assert buffer.size() == 280 // 7
    first, own = buffer.episodes(np.arange(8)), buffer.episodes(np.arange(16, 40))
    assert first.taught.all()
    assert (first.behaviour == 1.0).all()
    assert not own.taught.any()
    assert not (own.behaviour == 1.0).all()


def test_teacher__takes_over_where_the_learner_hands_over() -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    settings = STASACSettings(teacher="nearest", gradient_steps=1, **NARROW)
    model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    model.learn(56 * 20)
    taught = model.replay_buffer.episodes(np.arange(80)).taught.numpy()  # the teacher's 560 steps
    switches = taught[:, 1:].astype(int) - taught[:, :-1]
    assert (switches >= 0).all()  # never back to the learner
    assert taught[:24].all()  # whole episodes in the first third
    assert 0.1 < (~taught[24:]).mean() < 0.6
    assert taught[:, -1].all()
    batch = model.replay_buffer.episodes(np.arange(80))
    row, step = np.nonzero(taught)
    closed = np.where(batch.is_open.numpy(), batch.distance_km.numpy(), np.inf)[row, step]
    assert (closed.argmin(axis=1) == batch.actions.numpy()[row, step]).all()


@pytest.mark.slow
def test_teacher__its_choices_become_likely() -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    teacher = make_policy("equity-planner", env, iterations=50)
    settings = STASACSettings(teacher_steps=448, gradient_steps=16)
    model = STASAC("STASACPolicy", env, settings, teacher=teacher, seed=0, device="cpu")
    model.learn(896)
    batch = model.replay_buffer.demonstrations(64)
    _, _, log_pi = model.policy.episode_log_probs(batch)
    foreseen = (log_pi.argmax(-1) == batch.actions) & batch.taught
    by_chance = (1.0 / batch.action_mask.sum(-1).clamp_min(1)) * batch.taught
    assert float(foreseen.sum()) > 1.5 * float(by_chance.sum())


def test_teacher__has_at_most_half_of_the_training_and_imitation_moves_to_its_last_weight() -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    settings = STASACSettings(teacher="nearest", teacher_steps=10_000, imitation=(2.0, 1.0), gradient_steps=1, **NARROW)
    model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    model.learn(224)
    assert model.teacher.until == 112
    assert model._stage().imitation_weight == 1.0
    for left, weight in ((0.5, 2.0), (0.25, 1.5)):
        assert model.teacher.imitation_weight(left, 224) == pytest.approx(weight)


def test_teacher__is_made_of_the_settings_and_a_file_says_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(DOMAINS["Restoration-v0"], teacher_arguments={"iterations": 50})
    monkeypatch.setitem(DOMAINS, "Restoration-v0", quick)
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    settings = STASACSettings(
        teacher="equity-planner", teacher_margin=0.2, teacher_steps=56, gradient_steps=1, **NARROW
    )
    model = STASAC("STASACPolicy", env, settings, seed=0, device="cpu")
    assert (model.teacher.policy.name, model.teacher.policy.margin) == ("equity-planner", 0.2)  # type: ignore[union-attr]
    model.save(tmp_path / "begun")
    assert STASAC.load(tmp_path / "begun", device="cpu").teacher.policy is None  # it acts, and needs no teacher
    assert STASAC.load(tmp_path / "begun", env=env, device="cpu").teacher.policy.margin == 0.2  # type: ignore[union-attr]
    model.learn(112)
    model.save(tmp_path / "over")
    again = STASAC.load(tmp_path / "over", env=env, device="cpu")
    assert (again.teacher.policy, again.teacher.until) == (None, 56)  # its time is over


def test_teacher__of_ones_own_is_handed_to_load_again(tmp_path: Path) -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city=CITY)
    own = make_policy("nearest", env)
    model = STASAC("STASACPolicy", env, STASACSettings(), teacher=own, seed=0, device="cpu")
    assert model.teacher.policy is own
    model.save(tmp_path / "model")
    assert STASAC.load(tmp_path / "model", env=env, device="cpu").teacher.policy is None
    assert STASAC.load(tmp_path / "model", env=env, device="cpu", own_teacher=own).teacher.policy is own


def test_teacher__nobody_has_no_time() -> None:
    teacher = Teacher(STASACSettings(), 4)
    teacher.schedule(1_000, 28)
    assert teacher.until == 0
    teacher.take_rows(0, np.full(4, 7), np.ones(4, dtype=bool))
    assert not teacher.plays
    assert not teacher.rows.any()
