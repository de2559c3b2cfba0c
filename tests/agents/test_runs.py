"""Run folders: what they hold, which model is taken, and policies that are loaded from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console

import stormgym  # noqa: F401
from stormgym.agents.runs import Run, RunSettings, create_run, find_model, load_policy, open_run
from stormgym.agents.training import command
from stormgym.agents.training.command import Training
from stormgym.agents.usage import UsageError

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
OWN_LIMITS: dict[str, Any] = {**ENV_KWARGS, "cost_limit": [2.0, 20.0]}
MANY_CITIES: dict[str, Any] = {**OWN_LIMITS, "city": "synthetic:5-8:1:3"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, begin: Callable[..., Training]) -> Run:
    """A run of maskable-ppo that has reached its budget; copy its folder where it is to be changed."""
    console = Console(quiet=True)
    training = begin(tmp_path_factory.mktemp("runs"), console)
    command.train(training, console, progress=False)
    return training.run


def test_run__folder_holds_all_that_is_promised(trained: Run) -> None:
    run = trained
    assert run.folder.parts[-3:-1] == ("Restoration-v0", "maskable-ppo")
    assert run.folder.name.startswith("3-")
    settings = json.loads((run.folder / "settings.json").read_text())
    assert settings["env_kwargs"] == {**ENV_KWARGS, "split": "train"}
    assert settings["learner"]["n_steps"] == 8
    versions = json.loads((run.folder / "versions.json").read_text())
    assert {"python", "stormgym", "torch", "stable-baselines3", "commit"} <= set(versions)
    assert list(run.folder.glob("events.out.tfevents*"))
    header = (run.folder / "progress.csv").read_text().splitlines()[0].split(",")
    promised = {
        "rollout/ep_rew_mean",
        "rollout/ep_cost_mean",
        "train/lambda",
        "eval/gap_h",
        "eval/violation_rate",
    }
    assert promised <= set(header)
    assert {p.name for p in run.last_checkpoint().iterdir()} == {"model.safetensors", "state.safetensors"}  # type: ignore[union-attr]
    assert find_model(run.folder) == run.folder / "best" / "model.safetensors"
    assert open_run(run.folder) == run
    assert not [p for p in run.folder.rglob(".*") if p.is_dir()]  # nothing temporary is left


@pytest.mark.parametrize("make", ["single", "vector"])
def test_policy__loads_best_model_and_acts_in_any_form(make: str, trained: Run, tmp_path: Path) -> None:
    run = open_run(shutil.copytree(trained.folder, tmp_path / "run"))
    env: Any = (
        gym.make("Restoration-v0", **ENV_KWARGS)
        if make == "single"
        else gym.make_vec("Restoration-v0", 3, vectorization_mode="vector_entry_point", **ENV_KWARGS)
    )
    policy = load_policy(run.folder, env)
    obs, _ = env.reset(seed=0)
    for _ in range(7):
        action, _ = policy.predict(obs, deterministic=True)
        mask = np.atleast_2d(obs["action_mask"])
        assert mask[np.arange(len(mask)), np.atleast_1d(action)].all()
        obs, *_ = env.step(action)
    other = gym.make("Restoration-v0", city="synthetic:9:1", predictor="none")
    with pytest.raises(ValueError, match=r"was trained with .*synthetic:7:1.* and fits observation_space"):
        load_policy(run.folder, other)
    shutil.rmtree(run.best)
    assert find_model(run.folder).parent == run.last_checkpoint()
    load_policy(run.folder, env)


def test_policy__of_many_cities_acts_in_any_city(
    tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, "sta-sac", env_kwargs=MANY_CITIES, timesteps=128)
    command.train(training, console, progress=False)
    for city in ("synthetic:4:1", "synthetic:12:1"):
        env = gym.make("Restoration-v0", city=city, predictor="none", cost_limit=3.0)
        policy = load_policy(training.run.folder, env)
        obs, _ = env.reset(seed=0)
        ended = False
        while not ended:
            action, _ = policy.predict(obs, deterministic=True)
            assert obs["action_mask"][action]
            obs, _, ended, *_ = env.step(action)
    with pytest.raises(ValueError, match="fits observation_space"):
        load_policy(training.run.folder, gym.make("CartPole-v1"))
    with pytest.raises(UsageError, match=r"agent 'ppo' fits one city, .* names many; .* train sta-sac"):
        begin(tmp_path, console, "ppo", env_kwargs=MANY_CITIES)


def test_policy__of_attention_pg_acts_with_another_number_of_regions(
    tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, "attention-pg", timesteps=64)
    command.train(training, console, progress=False)
    env = gym.make("Restoration-v0", city="synthetic:12:1", predictor="none")
    obs, _ = env.reset(seed=0)
    action, _ = load_policy(training.run.folder, env).predict(obs, deterministic=True)
    assert obs["action_mask"][action]


def test_policy__missing_or_incomplete_folder_says_so(tmp_path: Path, settings_for: Callable[..., RunSettings]) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no settings\.json"):
        load_policy(tmp_path)
    run = create_run(tmp_path, settings_for())
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_policy(run.folder)
    (run.folder / "settings.json").write_text('{"env_id": 3}')
    with pytest.raises(ValueError, match="cannot be read as the settings"):
        load_policy(run.folder)


def test_policy__of_a_run_of_an_agent_that_does_not_learn_names_the_file(
    tmp_path: Path, settings_for: Callable[..., RunSettings]
) -> None:
    for agent, why in (("nearest", "which needs no training"), ("nobody", "that is not there: unknown agent 'nobody'")):
        run = create_run(tmp_path, settings_for(agent))
        with pytest.raises(ValueError, match=rf"settings\.json names .*{why}"):
            load_policy(run.folder)


@pytest.mark.parametrize("text", ["", "{", '{"env_id": "Resto', "[1]", "\0" * 40])
def test_run__whose_settings_are_garbled_names_file_and_cure(
    text: str, tmp_path: Path, settings_for: Callable[..., RunSettings]
) -> None:
    run = create_run(tmp_path, settings_for())
    (run.folder / "settings.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"settings\.json cannot be read as .*\. Restore it from a copy, or train again"
    ):
        open_run(run.folder)


@pytest.mark.parametrize("name", ["48.bak", "048", "notes.txt"])
def test_checkpoint__copied_beside_the_others_is_ignored_with_a_warning(
    name: str, tmp_path: Path, settings_for: Callable[..., RunSettings]
) -> None:
    run = create_run(tmp_path, settings_for())
    for step in ("24", "48", name, ".new-abc"):
        (run.checkpoints / step).mkdir(parents=True)
        (run.checkpoints / step / "model.safetensors").write_text("")
    with pytest.warns(UserWarning, match=f"{name} is ignored: a checkpoint is a folder named by its step") as told:
        assert run.last_checkpoint() == run.checkpoints / "48"
    assert len(told) == 1


def test_run__that_is_interrupted_while_it_is_made_leaves_no_folder(
    tmp_path: Path, settings_for: Callable[..., RunSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stormgym.agents.runs.run_versions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_run(tmp_path, settings_for())
    assert not list(tmp_path.rglob("settings.json"))


def test_policy__of_a_device_that_torch_lacks_is_one_sentence(trained: Run) -> None:
    with pytest.raises(ValueError, match=r"device xla: torch .* cannot compute on 'xla' here"):
        load_policy(trained.folder, device="xla")


def test_run__two_in_one_second_have_two_folders(tmp_path: Path, settings_for: Callable[..., RunSettings]) -> None:
    folders = {create_run(tmp_path, settings_for()).folder for _ in range(3)}
    assert len(folders) == 3
