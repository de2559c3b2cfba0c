"""Models that were saved before settings were one object: they act as they did, and go on as they would have."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.save_util import load_from_zip_file, save_to_zip_file

from stormgym.agents.lineup import make_policy
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.settings import NETWORK, STASACSettings
from stormgym.envs.adapters.sb3 import make_vec_env

SMALL = STASACSettings(gradient_steps=2, n_rollouts=3, width=16, n_layers=1, n_heads=2, step_width=8)
OF_TEACHERS = {"teacher", "teacher_margin"}
"""Settings that such a model never had: it was handed a policy, which was not saved."""


def environments(**kwargs: Any) -> Any:
    return make_vec_env("Restoration-v0", 8, seed=0, city="synthetic:7:1", predictor="none", **kwargs)


def as_before(file: Path) -> Path:
    """The same model as the file of before held it: each setting and each state an attribute of its own."""
    data, params, variables = load_from_zip_file(file, device="cpu")
    assert data is not None
    settings, state = data.pop("settings"), data.pop("checkpoint_state")
    flat = {k: v for k, v in asdict(settings).items() if k not in {*NETWORK, *OF_TEACHERS, "train_freq"}}
    data.update({key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()})  # as JSON
    data.update(_whole_episodes=settings.train_freq is None, shared_luck=data.pop("shock"))
    data.update(teacher_until=state["teacher"]["until"], _cooled=state["teacher"]["cooled"])
    data.update(_begun=state["collector"]["storms_begun"], _dual_costs=state["collector"]["finished"])
    data.update(_running_cost=state["collector"]["cost"], _behaviour=np.ones(8), _teaching=False)
    data.update(_taught=np.zeros(8, dtype=bool), _begins=np.zeros(8, dtype=bool), _handover=np.zeros(8))
    old = file.with_name("old.zip")
    save_to_zip_file(old, data=data, params=params, pytorch_variables=variables)
    return old


def assert_same(first: STASAC, second: STASAC) -> None:
    a, b = first.policy.state_dict(), second.policy.state_dict()
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key
    assert first.multiplier.value == second.multiplier.value


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"n_rollouts": 1, "target_entropy": (0.2, 0.1)}, {"train_freq": 4}])
@pytest.mark.parametrize("kwargs", [{}, {"shock": "group"}, {"cost_limit": (4.0, 20.0)}], ids=str)
def test_old_file__acts_as_it_did(changes: dict[str, Any], kwargs: dict[str, Any], tmp_path: Path) -> None:
    settings = replace(SMALL, teacher="none", learning_starts=60, **changes)
    model = STASAC("STASACPolicy", environments(**kwargs), settings, seed=0, device="cpu")
    model.learn(168)
    model.save(tmp_path / "model.zip")
    old = STASAC.load(as_before(tmp_path / "model.zip"), device="cpu")
    assert_same(model, old)
    assert old.settings == replace(settings, teacher_margin=old.settings.teacher_margin)
    assert old.shock == model.shock
    obs = environments(**kwargs).reset()
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], old.predict(obs, deterministic=True)[0])
    old.save(tmp_path / "again.zip")  # a file of today
    data, _, _ = load_from_zip_file(tmp_path / "again.zip", device="cpu")
    model_data, _, _ = load_from_zip_file(tmp_path / "model.zip", device="cpu")
    assert data is not None
    assert model_data is not None
    assert data.keys() == model_data.keys()


@pytest.mark.parametrize("steps", [56, 224])  # in the teacher's time, and after it
def test_old_file__goes_on_as_it_would_have(steps: int, tmp_path: Path) -> None:
    settings = replace(SMALL, teacher="nearest", teacher_steps=112)
    model = STASAC("STASACPolicy", environments(), settings, seed=0, device="cpu")
    model._total_timesteps = 336
    model.teacher.schedule(336, 56)
    model.learn(steps)
    model.save(tmp_path / "model.zip")
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    results = []
    for file in (tmp_path / "model.zip", as_before(tmp_path / "model.zip")):
        env = environments()
        own = make_policy("nearest", env)  # an old file does not say who teaches
        again: Any = STASAC.load(file, env=env, device="cpu", own_teacher=own)
        again.load_replay_buffer(tmp_path / "buffer.pkl")
        again.set_random_seed(5)
        again.learn(336 - steps, reset_num_timesteps=False)
        results.append(again)
    assert_same(*results)
    taught = results[1].replay_buffer.n_demonstrations
    assert taught == 112 // 7
