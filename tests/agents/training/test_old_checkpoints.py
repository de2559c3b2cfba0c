"""Runs that earlier versions wrote as pickles: refused in one sentence, and opened where they are trusted."""

from __future__ import annotations

import pickle
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console

from stormgym.agents.runs import UntrustedPickle, load_policy
from stormgym.agents.training import command
from stormgym.agents.training.command import FinalTable, Training
from stormgym.agents.usage import UsageError

CITY = ("--city", "synthetic:7:1", "--option", "predictor=none")
WHY = r"model\.zip is not opened: .* pickles, which can run any code .*; if you trust who made it, add --trust-pickle"
TRUSTED = r"model\.zip is opened because of --trust-pickle: .* pickles, which can run any code"


def as_before(training: Training, console: Console) -> Path:
    """The folder of a run that trained, as an earlier version left it."""
    command.train(training, console, progress=False)
    run, model = training.run, training.model
    checkpoint = run.last_checkpoint()
    assert checkpoint is not None
    shutil.rmtree(run.folder / "best")
    for file in run.folder.rglob("*.safetensors"):
        file.unlink()
    for folder in (run.folder / "best", checkpoint):
        folder.mkdir(exist_ok=True)
        model.save(folder / "model.zip")
    state = {
        "format": 2,
        "random": {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()},
        "env": pickle.dumps("environments, which are not opened"),
        "progress": {"evaluation": {"last_step": model.num_timesteps, "best_rank": (0.0, -1e9)}},
    }
    (checkpoint / "state.pkl").write_bytes(pickle.dumps(state))
    if hasattr(model, "save_replay_buffer"):
        model.save_replay_buffer(checkpoint / "replay_buffer.pkl")
    return run.folder


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory, begin: Callable[..., Training]) -> Path:
    """A run of dqn as an earlier version left it."""
    quiet = Console(quiet=True)
    return as_before(begin(tmp_path_factory.mktemp("runs"), quiet, "dqn", timesteps=128), quiet)


@pytest.mark.parametrize("agent", ["maskable-ppo", "sta-sac"])
def test_run__of_before_is_opened_where_it_is_trusted_and_goes_on_in_the_form_of_today(
    agent: str, tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    training = begin(tmp_path, console, agent, checkpoint_freq=256)
    folder = as_before(training, console)
    env = gym.make("Restoration-v0", city="synthetic:7:1", predictor="none")
    with pytest.raises(UntrustedPickle, match=WHY):
        load_policy(folder, env)
    with pytest.raises(UsageError, match=WHY):
        command.resume(folder, 400, console=console)
    with pytest.warns(UserWarning, match=TRUSTED):
        policy = load_policy(folder, env, trust_pickle=True)
    observation, _ = env.reset(seed=0)
    action, _ = policy.predict(observation, deterministic=True)
    assert action == training.learner.policy(training.model).predict(observation, deterministic=True)[0]
    with pytest.warns(UserWarning, match=TRUSTED):
        again = command.resume(folder, 400, console=console, table=FinalTable(trust_pickle=True))
    buffer: Any = getattr(again.model, "replay_buffer", None)
    assert again.model.num_timesteps == training.model.num_timesteps
    assert buffer is None or (buffer.size() > 0 and not buffer._at.any())  # episodes that were under way are dropped
    command.train(again, console, progress=False)
    assert again.model.num_timesteps >= 400
    last = again.run.last_checkpoint()
    assert last is not None
    assert (last / "model.safetensors").is_file()
    load_policy(folder, env, trust_pickle=not (folder / "best" / "model.safetensors").is_file())


def test_command_lines__take_the_option(
    tmp_path: Path,
    console: Console,
    begin: Callable[..., Training],
    evaluate_main: Callable[..., int],
    train_main: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(as_before(begin(tmp_path, console, "ppo", timesteps=128), console))
    score = ["--agents", folder, *CITY, "--episodes", "2"]
    plan = ["--plan", "--agents", folder, *CITY]
    resume = ["--resume", folder, "--timesteps", "300", "--final-episodes", "2", "--compare", "none", "--no-progress"]
    begun = ["--agent", "ppo", *CITY, "--timesteps", "64", "--runs-dir", str(tmp_path), "--compare", folder]
    begun += ["--final-episodes", "2", "--no-progress", "--num-envs", "8", "--ppo.n-steps", "8"]
    for main, words in ((evaluate_main, score), (evaluate_main, plan), (train_main, begun), (train_main, resume)):
        assert main(words) == 2
        assert "add --trust-pickle" in capsys.readouterr().err
        with pytest.warns(UserWarning, match=TRUSTED):
            assert main([*words, "--trust-pickle"]) == 0
    assert "the environments begin new episodes" in capsys.readouterr().err
    assert evaluate_main(["--list", "--trust-pickle"]) == 2


@pytest.mark.parametrize("name", ["state.pkl", "model.zip", "replay_buffer.pkl"])
@pytest.mark.parametrize("text", [b"", None, b"garbled", pickle.dumps(7)], ids=["empty", "half", "garbled", "other"])
def test_checkpoint__of_before_that_is_garbled_is_one_sentence(
    name: str, text: bytes | None, pickled: Path, tmp_path: Path, console: Console
) -> None:
    folder = shutil.copytree(pickled, tmp_path / "run")
    file = next(folder.glob(f"checkpoints/*/{name}"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if text is None else text)
    with pytest.warns(UserWarning, match=TRUSTED), pytest.raises(UsageError) as told:
        command.resume(folder, 400, console=console, table=FinalTable(trust_pickle=True))
    assert re.search(f"{name} cannot be read as .*Delete the folder {file.parent}", str(told.value)), told.value
    assert "\n" not in str(told.value)
    if name == "model.zip":
        shutil.copyfile(file, folder / "best" / name)
        with (
            pytest.warns(UserWarning, match=TRUSTED),
            pytest.raises(ValueError, match=r"best/model\.zip cannot be read"),
        ):
            load_policy(folder, trust_pickle=True)


def test_checkpoint__of_before_that_lacks_a_file_says_so(
    tmp_path: Path, console: Console, begin: Callable[..., Training]
) -> None:
    folder = as_before(begin(tmp_path, console, "ppo", timesteps=128), console)
    next(folder.rglob("state.pkl")).unlink()
    with pytest.warns(UserWarning, match=TRUSTED), pytest.raises(UsageError, match=r"lacks state\.pkl"):
        command.resume(folder, 400, console=console, table=FinalTable(trust_pickle=True))
