"""Checkpoints that earlier versions wrote as pickles: opened only where they are trusted."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.learners.base import Learner
from stormgym.agents.runs import PICKLED_MODEL, Run
from stormgym.agents.storage.container import readable
from stormgym.agents.training.checkpoints import Resumed, begin_anew

PICKLED_BUFFER, PICKLED_STATE = "replay_buffer.pkl", "state.pkl"


def load_pickled_checkpoint(folder: Path, run: Run, learner: Learner, settings: Any, venv: VecEnv) -> Resumed:
    """Read a checkpoint that the caller trusts: model, buffer and states are pickles, which can run any code.

    Its environments, which are pickles too, are not opened: they begin new episodes. Arguments as for
    `load_checkpoint`.

    Raises:
        FileNotFoundError: the checkpoint is not complete.
        UnreadableFile: a file of it cannot be read.
    """
    if not (folder / PICKLED_STATE).is_file():
        raise FileNotFoundError(
            f"checkpoint {folder} lacks {PICKLED_STATE}; delete the folder to resume from an older one"
        )
    what, anything = "a part of a checkpoint of an earlier version", (Exception,)  # what a pickle raises, nobody knows
    with readable(folder / PICKLED_STATE, what, anything):
        state = pickle.loads((folder / PICKLED_STATE).read_bytes())
        kept, progress = state["random"], state["progress"]
    wrapped = learner.wrap(venv, settings)
    with readable(folder / PICKLED_MODEL, what, anything):
        model = learner.load_pickled(folder / PICKLED_MODEL, wrapped, device=run.settings.device)
    if isinstance(model, OffPolicyAlgorithm) and (folder / PICKLED_BUFFER).is_file():
        with readable(folder / PICKLED_BUFFER, what, anything):
            model.load_replay_buffer(folder / PICKLED_BUFFER)
    begin_anew(model, wrapped)
    with readable(folder / PICKLED_STATE, what, anything):
        random.setstate(kept["python"])
        np.random.set_state(kept["numpy"])
        torch.set_rng_state(kept["torch"])
    return Resumed(model, wrapped, progress, exact=False)
