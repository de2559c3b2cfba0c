"""Rewards in natural units of an environment's return, for learners where no limit on a cost is to be held."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class VecScaledReward(VecEnvWrapper):
    """Vector environment whose reward is `scale * reward`; infos keep the plain numbers.

    `info["reward"]` is the plain reward of the step, and `episode` (with it `rollout/ep_rew_mean`) the plain return.

    Args:
        venv: environments.
        scale: factor of the reward, so that returns are of the order of one to ten.
        bootstrap_truncated: as for `VecLagrangianReward`.
    """

    def __init__(self, venv: VecEnv, scale: float, *, bootstrap_truncated: bool = True) -> None:
        if not 0 < scale < np.inf:
            raise ValueError(f"scale must be above 0; got {scale!r}")
        super().__init__(venv)
        self.scale = float(scale)
        self.bootstrap_truncated = bootstrap_truncated

    def reset(self) -> VecEnvObs:
        """Reset all environments."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, with the scaled reward."""
        obs, reward, done, infos = self.venv.step_wait()
        for info, plain in zip(infos, reward.tolist(), strict=True):
            info["reward"] = plain
        if not self.bootstrap_truncated:
            for i in np.flatnonzero(done).tolist():
                infos[i]["TimeLimit.truncated"] = False
        return obs, (self.scale * reward).astype(np.float32), done, infos
