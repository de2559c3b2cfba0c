"""DQN that keeps to the mask: exploration and targets among open choices only, double-Q targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.noise import ActionNoise
from torch import Tensor


class MaskableDQN(DQN):
    """Stable-Baselines3's DQN for observations that hold an `action_mask`.

    Idea: Q learning that never tries, plays or bootstraps from a closed choice. The target of a step is
    r + gamma Q'(s', argmax over open a of Q(s', a)): the online network chooses, the target network values (double
    Q learning), which halves the optimism of a maximum over many regions.
    Cost: as DQN, and one more forward pass an update.
    Source: Mnih et al. (2015); van Hasselt, Guez and Silver (2016); DQN for routing under deterministic forecasts is
    EPOPR's baseline RL-DTSP (after Zhang et al. 2021).

    Arguments are those of `stable_baselines3.DQN`.

    Raises:
        ValueError: the observation has no `action_mask`.
    """

    def _setup_model(self) -> None:
        space = self.observation_space
        if not (isinstance(space, spaces.Dict) and "action_mask" in space.spaces):
            raise ValueError(f"MaskableDQN reads the key action_mask of the observation; got {space}. Take DQN")
        super()._setup_model()

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        observation: Any = self._last_obs
        if self.num_timesteps < learning_starts:
            action = random_open(observation["action_mask"])
        else:
            action, _ = self.predict(observation, deterministic=False)
        return action, action

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Best open choices; without `deterministic` each row takes a random open one with the exploration rate."""
        self.policy.set_training_mode(False)
        tensors, batched = self.policy.obs_to_tensor(observation)
        with torch.no_grad():
            q = open_only(self.q_net(tensors), tensors)  # type: ignore[arg-type]  # a Dict gives a dict
        action = q.argmax(dim=1).cpu().numpy()
        if not deterministic:
            explores = np.random.random(action.shape) < self.exploration_rate
            action = np.where(explores, random_open(np.reshape(observation["action_mask"], q.shape)), action)
        return (action if batched else action[0]), state

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """As DQN's, with masked double-Q targets."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            assert self.replay_buffer is not None
            batch: Any = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            with torch.no_grad():
                best = open_only(self.q_net(batch.next_observations), batch.next_observations).argmax(1, keepdim=True)
                value = self.q_net_target(batch.next_observations).gather(1, best)  # [M, 1]
                discount = self.gamma if getattr(batch, "discounts", None) is None else batch.discounts
                target = batch.rewards + (1 - batch.dones) * discount * value
            taken = self.q_net(batch.observations).gather(1, batch.actions.long())
            loss = torch.nn.functional.smooth_l1_loss(taken, target)
            losses.append(loss.item())
            self.policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))


def random_open(mask: NDArray[Any]) -> NDArray[np.int64]:
    """A random open choice for each row of a mask `[B, N]` (NumPy's global generator, as Stable-Baselines3's)."""
    return (np.random.random(mask.shape) * (np.asarray(mask) > 0)).argmax(axis=-1)


def open_only(q: Tensor, observation: dict[str, Tensor]) -> Tensor:
    """Q values `[B, N]` with minus infinity where `action_mask` `[B, N]` is closed."""
    return q.masked_fill(observation["action_mask"].reshape(q.shape) == 0, -torch.inf)
