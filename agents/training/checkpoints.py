"""Checkpoints from which a run continues exactly: model, optimisers, lambda, buffer, environments, random states.

Three files of arrays and JSON (`stormgym.agents.storage`). Environments in the middle of episodes are their generators
and the actions since (`stormgym.envs.replay`): they are made afresh and played to where they were.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.files import write_folder
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.lagrangian import VecLagrangianReward
from stormgym.agents.model_files import check_size, read_to_continue, write_model
from stormgym.agents.registry import domain_of
from stormgym.agents.runs import MODEL, SETTINGS, Run, checkpoint_folders
from stormgym.agents.storage.buffers import read_buffer, write_buffer
from stormgym.agents.storage.container import open_file, readable, write_file

BUFFER, STATE = "replay_buffer.safetensors", "state.safetensors"
KIND = "state of a training"
KEPT = 2
"""Checkpoints that stay; older ones are deleted."""
NEW_EPISODES = (
    "the environments begin new episodes: those that were under way cannot be taken up again, so the run does not go "
    "on exactly as it would have"
)


@dataclass
class Resumed:
    """A training as a checkpoint left it."""

    model: BaseAlgorithm
    """On its environments."""
    venv: VecEnv
    """The same, wrapped for the learner."""
    progress: dict[str, Any]
    """State of the callbacks."""
    exact: bool
    """Whether the environments are where they were; else they begin new episodes."""


def save_checkpoint(run: Run, model: BaseAlgorithm, learner: Learner, progress: dict[str, Any]) -> Path:
    """Write a checkpoint, whole or not at all, and delete the oldest ones.

    Meant for the moment between two rollouts, when nothing is half collected.

    Args:
        run: where it goes.
        model: what is trained, with its environments.
        learner: what made it.
        progress: state of the callbacks (their `state_dict`s).
    """
    venv = model.get_env()
    assert venv is not None
    settings = run.settings
    state = {
        "num_timesteps": model.num_timesteps,
        "random": _random_state(model),
        "env": _called(venv.unwrapped, "state_dict"),
        "wrapper": venv.state_dict() if isinstance(venv, VecLagrangianReward) else None,
        "observation": model._last_obs,
        "starts": model._last_episode_starts,
        "episodes": list(model.ep_info_buffer or ()),
        "successes": [float(value) for value in model.ep_success_buffer or ()],
        "progress": progress,
    }

    def fill(folder: Path) -> None:
        write_model(learner, model, folder / MODEL, settings.learner, settings.env_id)
        if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
            write_buffer(model.replay_buffer, folder / BUFFER)
        write_file(folder / STATE, KIND, state)

    folder = write_folder(run.checkpoints / str(model.num_timesteps), fill)
    for old in checkpoint_folders(run.folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_checkpoint(folder: Path, run: Run, learner: Learner, settings: Any, venv: VecEnv) -> Resumed:
    """Read a checkpoint; nothing in it is run.

    Args:
        folder: the checkpoint.
        run: whose it is.
        learner: what made it.
        settings: the learner's settings.
        venv: fresh environments.

    Raises:
        FileNotFoundError: the checkpoint is not complete.
        UnreadableFile: a file of it is not what `save_checkpoint` wrote, or belongs to another run or other data.
    """
    for name in (MODEL, STATE, *((BUFFER,) if issubclass(learner.algorithm, OffPolicyAlgorithm) else ())):
        if not os.path.lexists(folder / name):
            raise FileNotFoundError(f"checkpoint {folder} lacks {name}; delete the folder to resume from an older one")
    file, s = folder / STATE, run.settings
    contents = open_file(file, KIND)
    check_size(learner, folder / MODEL, settings, s.env_id)
    with readable(run.folder / SETTINGS, "the settings of this checkpoint"):
        wrapped = learner.wrap(venv, settings)
        model = learner.build(wrapped, settings, seed=s.seed, device=s.device, extractor=domain_of(s.env_id).extractor)
    read_to_continue(learner, model, folder / MODEL, s.env_id)
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        read_buffer(model.replay_buffer, folder / BUFFER)
    with readable(file, f"the {KIND}"):
        state = {key: contents.tree(key) for key in contents.head}
        if state["num_timesteps"] != model.num_timesteps:
            raise ValueError(
                f"it is of step {state['num_timesteps']}, and the model beside it of {model.num_timesteps}"
            )
        _continue_episodes(model, state)
        exact = state["env"] is not None
        if exact:
            _continue_environments(model, wrapped, state)
        else:
            begin_anew(model, wrapped)
        _set_random_state(model, state["random"])  # last, since making and loading the model draws random numbers
        progress = _progress(state["progress"])
    return Resumed(model, wrapped, progress, exact)


def begin_anew(model: BaseAlgorithm, venv: VecEnv) -> None:
    """Let the environments begin new episodes, others than those at the start of the training."""
    model._last_obs = None  # Stable-Baselines3 resets where there is none
    venv.seed((model.seed or 0) + model.num_timesteps)
    _called(getattr(model, "replay_buffer", None), "drop_unfinished")
    _called(model, "drop_unfinished")


def _continue_environments(model: BaseAlgorithm, venv: VecEnv, state: Mapping[str, Any]) -> None:
    unwrapped: Any = venv.unwrapped
    if not hasattr(unwrapped, "load_state_dict"):
        raise ValueError("it holds episodes under way of environments of another kind")
    observation = unwrapped.load_state_dict(state["env"])
    unwrapped._reset_seeds()  # making a model seeds its environments; these go on as they were
    if not _equal(observation, state["observation"]):
        raise ValueError(
            "its environments, played to where they were, show something else now; their data or this version of "
            "stormgym is another one"
        )
    if (state["wrapper"] is not None) != isinstance(venv, VecLagrangianReward):
        raise ValueError("it is of another reward")
    if isinstance(venv, VecLagrangianReward):
        venv.load_state_dict(state["wrapper"])
    starts = np.asarray(state["starts"])
    if starts.shape != (venv.num_envs,) or starts.dtype != np.bool_:
        raise ValueError(f"{starts.shape} beginnings of episodes")
    model._last_obs, model._last_episode_starts = observation, starts


def _continue_episodes(model: BaseAlgorithm, state: Mapping[str, Any]) -> None:
    """The last finished episodes, over which logs take their means."""
    window = model._stats_window_size
    for episode in state["episodes"]:
        if not all(isinstance(value, int | float) for value in episode.values()):
            raise ValueError(f"an episode of {str(episode)[:80]}")
    model.ep_info_buffer = deque(state["episodes"], maxlen=window)
    model.ep_success_buffer = deque(map(float, state["successes"]), maxlen=window)


def _progress(state: Any) -> dict[str, Any]:
    """The state of the callbacks, if it is one."""
    evaluation, log = state["evaluation"], state["log"]
    rank = evaluation["best_rank"]
    numbers = [evaluation["last_step"], *(() if rank is None else rank), *log.values()]
    if not all(isinstance(number, int | float) for number in numbers) or (rank is not None and len(rank) != 2):
        raise ValueError(f"progress of {str(state)[:80]}")
    return {"evaluation": evaluation, "log": log}


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return (
            isinstance(second, dict) and list(first) == list(second) and all(_equal(first[k], second[k]) for k in first)
        )
    if not isinstance(second, np.ndarray):
        return False
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def _called(owner: Any, method: str) -> Any:
    """What a method gives, where there is one."""
    return getattr(owner, method)() if hasattr(owner, method) else None


def _random_state(model: BaseAlgorithm) -> dict[str, Any]:
    version, words, gauss = random.getstate()
    kind, keys, pos, has_gauss, cached = np.random.get_state()  # the generator that Stable-Baselines3 draws from
    return {
        "python": {"version": version, "words": np.array(words, dtype=np.uint32), "gauss": gauss},
        "numpy": {"kind": kind, "keys": keys, "pos": pos, "has_gauss": has_gauss, "cached": cached},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None,
        "action_space": model.action_space.np_random.bit_generator.state,
    }


def _set_random_state(model: BaseAlgorithm, state: Mapping[str, Any]) -> None:
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state((numpy["kind"], numpy["keys"], numpy["pos"], numpy["has_gauss"], numpy["cached"]))
    torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([torch.from_numpy(each.copy()) for each in state["cuda"]])
    model.action_space.np_random.bit_generator.state = state["action_space"]
