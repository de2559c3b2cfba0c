"""Checkpoints from which a run continues exactly: model, optimisers, lambda, buffer, environments, random states."""

from __future__ import annotations

import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.files import write_folder
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.lagrangian import VecLagrangianReward
from stormgym.agents.runs import MODEL, Run

BUFFER, STATE = "replay_buffer.pkl", "state.pkl"
KEPT = 2
"""Checkpoints that stay; older ones are deleted."""
FORMAT = 2
"""Version of a checkpoint's state; one without a number is version 1, whose environments are of older classes."""


def save_checkpoint(run: Run, model: BaseAlgorithm, progress: dict[str, Any]) -> Path:
    """Write a checkpoint, whole or not at all, and delete the oldest ones.

    Meant for the moment between two rollouts, when nothing is half collected.

    Args:
        run: where it goes.
        model: what is trained, with its environments.
        progress: state of the callbacks (their `state_dict`s).
    """
    venv = model.get_env()
    assert venv is not None
    state = {
        "format": FORMAT,
        "num_timesteps": model.num_timesteps,
        "random": _random_state(model),
        # bytes of their own, or None: environments that cannot be pickled must not keep the rest from being saved
        "env": _pickled(venv.unwrapped),
        "wrapper": venv.state_dict() if isinstance(venv, VecLagrangianReward) else None,
        "progress": progress,
    }

    def fill(folder: Path) -> None:
        # lambda is in the model's file (`LagrangianCallback`), the wrapper's running sums in `state`
        model.save(folder / MODEL)
        if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
            model.save_replay_buffer(folder / BUFFER)
        (folder / STATE).write_bytes(cloudpickle.dumps(state))

    folder = write_folder(run.checkpoints / str(model.num_timesteps), fill)
    found = sorted((p for p in run.checkpoints.glob("[0-9]*")), key=lambda p: int(p.name))
    for old in found[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_checkpoint(
    folder: Path, learner: Learner, settings: Any, venv: VecEnv, *, device: str = "cpu"
) -> tuple[BaseAlgorithm, VecEnv, dict[str, Any]]:
    """Read a checkpoint of this project's own making (it holds pickles: never open one from a stranger).

    Args:
        folder: the checkpoint.
        learner: what made it.
        settings: the learner's settings.
        venv: fresh environments, taken when the saved ones could not be stored.
        device: torch device.

    Returns:
        The model on its environments, the wrapped environments, and the callbacks' progress.

    Raises:
        FileNotFoundError: the checkpoint is not complete.
        ValueError: it was written by another version, whose environments are not those of this one.
    """
    for name in (MODEL, STATE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"checkpoint {folder} lacks {name}; delete the folder to resume from an older one")
    state = pickle.loads((folder / STATE).read_bytes())
    if state.get("format", 1) != FORMAT:
        raise ValueError(
            f"checkpoint {folder} was written by another version of stormgym (format {state.get('format', 1)}, not "
            f"{FORMAT}), and holds its environments in the middle of episodes; the run still scores "
            "(evaluate.py --agents RUN), and the same options train it again from the start"
        )
    # the stored environments are in the middle of episodes: with them not even an episode is cut off
    stored: VecEnv | None = None if state["env"] is None else pickle.loads(state["env"])
    if stored is not None:
        venv.close()
    wrapped = learner.wrap(venv if stored is None else stored, settings)
    model = learner.load(folder / MODEL, wrapped, device=device, force_reset=stored is None)
    if stored is not None:
        wrapped.unwrapped._reset_seeds()  # loading a model seeds its environments; these go on as they were
        if isinstance(wrapped, VecLagrangianReward):
            wrapped.load_state_dict(state["wrapper"])
    if isinstance(model, OffPolicyAlgorithm) and (folder / BUFFER).is_file():
        model.load_replay_buffer(folder / BUFFER)
    _set_random_state(model, state["random"])  # last, since making and loading the model draws random numbers
    return model, wrapped, state["progress"]


def _pickled(venv: VecEnv) -> bytes | None:
    """The environments as bytes; None for those that cannot be pickled, which then start new episodes."""
    try:
        data = cloudpickle.dumps(venv)
        pickle.loads(data)  # some can be pickled and not read back, which would only be known when the run resumes
    except Exception:  # third-party environments fail in their own ways
        return None
    return bytes(data)


def _random_state(model: BaseAlgorithm) -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # the generator that Stable-Baselines3 draws from
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None,
        "action_space": model.action_space.np_random.bit_generator.state,
    }


def _set_random_state(model: BaseAlgorithm, state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    model.action_space.np_random.bit_generator.state = state["action_space"]
