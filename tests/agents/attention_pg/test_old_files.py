"""A model that was saved before settings were one object acts as it did, and goes on as it would have."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.save_util import load_from_zip_file, save_to_zip_file

from stormgym.agents.attention_pg.algorithm import AttentionPG
from stormgym.agents.attention_pg.settings import NETWORK, AttentionPGSettings
from stormgym.envs.adapters.sb3 import make_vec_env


def test_old_file__acts_as_it_did_and_goes_on_as_it_would_have(tmp_path: Path) -> None:
    env = make_vec_env("Restoration-v0", 8, seed=0, city="synthetic:7:1", predictor="none")
    settings = AttentionPGSettings(n_rollouts=3, n_epochs=2, width=16, n_layers=1, step_width=8, constrained=False)
    model = AttentionPG("AttentionPolicy", env, settings, seed=0, device="cpu").learn(112)
    model.save(tmp_path / "model.zip")
    data, params, variables = load_from_zip_file(tmp_path / "model.zip", device="cpu")
    assert data is not None
    flat = {key: value for key, value in asdict(data.pop("settings")).items() if key not in NETWORK}
    save_to_zip_file(tmp_path / "old.zip", data={**data, **flat}, params=params, pytorch_variables=variables)
    finals: list[Any] = []
    for name in ("model", "old"):
        again = AttentionPG.load(tmp_path / f"{name}.zip", env=env, device="cpu")
        assert again.settings == settings
        again.set_random_seed(7)
        again.learn(56, reset_num_timesteps=False)
        finals.append(torch.cat([p.flatten() for p in again.policy.parameters()]))
        assert "lr_last" not in vars(again)
    assert torch.equal(*finals)
