"""Lagrangian relaxation for learners without constraints: reward - lambda * cost, with a learnt lambda."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.storage.buffers import load_ring_state, ring_state
from stormgym.envs.wrappers import cost_of


class VecLagrangianReward(VecEnvWrapper):
    """Vector environment whose reward is `reward_scale * reward - lambda * cost / limit`.

    Infos keep the unpenalised numbers: `reward` is the plain reward of the step, and `episode` (and with it
    `rollout/ep_rew_mean`) the plain return; `episode["c"]` is the episode's cost and `episode["p"]` its
    penalised return. The costs of finished episodes wait in `finished_costs` for the dual step, which
    `LagrangianCallback` does.

    Args:
        venv: environments whose infos hold `cost`.
        multiplier: lambda; its limit scales the costs.
        reward_scale: factor of the reward, so that returns are of the order of one to ten.
        bootstrap_truncated: whether learners may bootstrap the value of a truncated episode. False for
            environments that settle what is left inside the last step, as Restoration-v0 does.
    """

    def __init__(
        self,
        venv: VecEnv,
        multiplier: LagrangeMultiplier,
        *,
        reward_scale: float = 1.0,
        bootstrap_truncated: bool = True,
    ) -> None:
        if not 0 < reward_scale < np.inf:
            raise ValueError(f"reward_scale must be above 0; got {reward_scale!r}")
        super().__init__(venv)
        self.multiplier = multiplier
        self.reward_scale = float(reward_scale)
        self.bootstrap_truncated = bootstrap_truncated
        self.finished_costs: list[float] = []
        self._cost = np.zeros(self.num_envs)
        self._penalised = np.zeros(self.num_envs)

    def reset(self) -> VecEnvObs:
        """Reset all environments and the running sums."""
        self._cost[:], self._penalised[:] = 0.0, 0.0
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, with the penalised reward.

        Raises:
            KeyError: an info has no `cost`.
        """
        obs, reward, done, infos = self.venv.step_wait()
        cost = np.array([cost_of(info) for info in infos])
        penalised = self.reward_scale * reward - self.multiplier.per_unit * cost
        self._cost += cost
        self._penalised += penalised
        for info, plain in zip(infos, reward.tolist(), strict=True):
            info["reward"] = plain
        for i in np.flatnonzero(done).tolist():
            self.finished_costs.append(float(self._cost[i]))
            if "episode" in infos[i]:
                infos[i]["episode"]["c"] = float(self._cost[i])
                infos[i]["episode"]["p"] = float(self._penalised[i])
            if not self.bootstrap_truncated:
                infos[i]["TimeLimit.truncated"] = False
        self._cost[done], self._penalised[done] = 0.0, 0.0
        return obs, penalised.astype(np.float32), done, infos

    def state_dict(self) -> dict[str, Any]:
        """Running sums and waiting costs; lambda is saved with the model."""
        return {"cost": self._cost, "penalised": self._penalised, "finished_costs": list(self.finished_costs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self._cost[:], self._penalised[:] = state["cost"], state["penalised"]
        self.finished_costs = [float(cost) for cost in state["finished_costs"]]


class LagrangianCallback(BaseCallback):
    """Do the dual step at the end of a rollout, on the mean cost of the episodes finished since the last one.

    Lambda is attached to the model (`model.multiplier_state`), so that its file holds it and its
    optimiser; a loaded model's lambda is put back when training starts.

    Args:
        venv: the wrapper whose multiplier is learnt.
        min_episodes: the dual step waits until so many episodes have finished (learners with short rollouts).
        fixed: no dual steps: lambda stays at its value; costs are only logged.
    """

    def __init__(self, venv: VecLagrangianReward, min_episodes: int = 16, *, fixed: bool = False) -> None:
        super().__init__()
        if min_episodes < 1:
            raise ValueError(f"min_episodes must be at least 1; got {min_episodes}")
        self.venv = venv
        self.min_episodes = min_episodes
        self.fixed = fixed

    def _on_training_start(self) -> None:
        state = getattr(self.model, "multiplier_state", None)
        if state is not None:
            restore_multiplier(self.venv.multiplier, state)
        self._share()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if len(self.venv.finished_costs) >= self.min_episodes:
            if not self.fixed:
                self.venv.multiplier.update(float(np.mean(self.venv.finished_costs)))
            self.venv.finished_costs.clear()
            self._share()
        record_episode_costs(self.model)
        self.logger.record("train/lambda", self.venv.multiplier.per_unit)

    def _share(self) -> None:
        """Attach lambda to the model, and update the rewards of a priced replay buffer."""
        self.model.multiplier_state = multiplier_state(self.venv.multiplier)  # type: ignore[attr-defined]
        buffer = getattr(self.model, "replay_buffer", None)
        if isinstance(buffer, PricedReplayBuffer):
            buffer.reprice(self.venv.multiplier.per_unit)


class PricedReplayBuffer(DictReplayBuffer):
    """A replay buffer that stores costs, so that old transitions are penalised by the current lambda.

    `add` takes the penalised reward and `info["cost"]`, as `VecLagrangianReward` gives them.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
    ) -> None:
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
        )
        self.price = 0.0
        self.costs = np.zeros_like(self.rewards)  # [buffer_size, n_envs]
        self.unpriced = np.zeros_like(self.rewards)  # [buffer_size, n_envs] scaled reward without the penalty

    def add(  # type: ignore[override]
        self,
        obs: dict[str, NDArray[Any]],
        next_obs: dict[str, NDArray[Any]],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Add one step of every environment, with its cost apart."""
        cost = np.array([cost_of(info) for info in infos])
        at = self.pos
        self.costs[at] = cost
        self.unpriced[at] = reward + self.price * cost
        super().add(obs, next_obs, action, reward, done, infos)
        self.rewards[at] = self.unpriced[at] - self.price * self.costs[at]  # to the last bit as `reprice` does

    def state_dict(self) -> dict[str, Any]:
        """All transitions, and the price of their costs."""
        return {**ring_state(self, ("costs", "unpriced")), "price": self.price}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        load_ring_state(self, state, ("costs", "unpriced"))
        self.price = float(state["price"])

    def reprice(self, price: float) -> None:
        """Set lambda / limit, the price of one unit of cost, in all transitions that are held."""
        self.price = float(price)
        self.rewards[:] = self.unpriced - self.price * self.costs


def record_episode_costs(model: BaseAlgorithm) -> None:
    """Log the mean cost (and penalised return) of the episodes behind `rollout/ep_rew_mean`."""
    episodes = model.ep_info_buffer or ()
    for key, name in (("c", "rollout/ep_cost_mean"), ("p", "rollout/ep_penalised_mean")):
        values = [episode[key] for episode in episodes if key in episode]
        if values:
            model.logger.record(name, float(np.mean(values)))


def multiplier_state(multiplier: LagrangeMultiplier) -> dict[str, Any]:
    """Everything that a resumed multiplier needs: lambda, its optimiser, and what they belong to."""
    return {
        "method": multiplier.method,
        "limit": multiplier.limit,
        "lambda": deepcopy(multiplier.state_dict()),
        "optimizer": deepcopy(multiplier.optimizer.state_dict()),
    }


def restore_multiplier(multiplier: LagrangeMultiplier, state: dict[str, Any]) -> None:
    """Continue from `multiplier_state`.

    Raises:
        ValueError: the state belongs to another method or limit.
    """
    for key in ("method", "limit"):
        if state[key] != getattr(multiplier, key):
            raise ValueError(
                f"the saved multiplier has {key} {state[key]!r}, this one {getattr(multiplier, key)!r}; "
                f"continue with the run's own {key}"
            )
    multiplier.load_state_dict(state["lambda"])
    multiplier.optimizer.load_state_dict(state["optimizer"])
