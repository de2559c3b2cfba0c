"""OmniSafe: our environments as its constrained Markov decision processes, by way of scores, since it knows boxes only.

from stormgym.envs.adapters.omnisafe import register_cmdp

register_cmdp("Restoration-v0", on_invalid="raise")
omnisafe.Agent("PPOLag", "Restoration-v0", custom_cfgs=...).learn()
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import torch
from gymnasium import spaces
from omnisafe.envs.core import CMDP, env_register

from stormgym.envs.adapters.masked import MaskedObservation
from stormgym.envs.adapters.scores import ScoreActions
from stormgym.envs.making import spec_of


def register_cmdp(env_id: str, **kwargs: Any) -> type[CMDP]:
    """Make an id known to OmniSafe, with these arguments; returns the class.

    Actions are one score a choice where they are `Discrete` (the best open one is taken), and the environment's own
    where they are a `Box` (`GeneratorDispatch-v0` with `action="box"`). Observations are one vector.
    """
    spec = spec_of(env_id)

    class StormCMDP(_StormCMDP):
        """The environment behind this id."""

        _support_envs: ClassVar[list[str]] = [spec.id]
        env_kwargs: ClassVar[dict[str, Any]] = dict(kwargs)

    StormCMDP.__name__ = StormCMDP.__qualname__ = f"{spec.id.rpartition('-')[0]}CMDP"
    registered: type[CMDP] = env_register(StormCMDP)
    return registered


class _StormCMDP(CMDP):
    """One environment; OmniSafe's wrappers begin new episodes."""

    need_auto_reset_wrapper = True
    need_time_limit_wrapper = False
    env_kwargs: ClassVar[dict[str, Any]] = {}

    def __init__(self, env_id: str, num_envs: int = 1, device: Any = "cpu", **kwargs: Any) -> None:
        super().__init__(env_id)
        if num_envs != 1:
            raise ValueError(f"num_envs must be 1, and OmniSafe's vector_env_nums with it; got {num_envs}")
        env = gym.make(env_id, **{**self.env_kwargs, **kwargs})
        if isinstance(env.action_space, spaces.Discrete):
            env = ScoreActions(env)
        if not isinstance(env.action_space, spaces.Box):
            raise ValueError(
                f"OmniSafe knows Box actions, and scores for Discrete ones; {env_id} has {env.action_space}"
            )
        self._env = MaskedObservation(env)
        self._device = torch.device(device)
        self._num_envs = 1
        self._time_limit = None
        self._metadata = dict(env.metadata)
        self._action_space = env.action_space
        self._observation_space = self._env.form.space["observation"]

    @property
    def max_episode_steps(self) -> None:
        """None: environments end by themselves."""
        return None

    def set_seed(self, seed: int) -> None:
        """Seed the environment's random stream."""
        self._env.reset(seed=seed)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Draw a new episode."""
        obs, info = self._env.reset(seed=seed, options=options)
        return self._tensor(obs["observation"]), info

    def step(self, action: torch.Tensor) -> tuple[Any, ...]:
        """Observation, reward, cost, terminated, truncated, info; numbers as float32 tensors."""
        obs, reward, terminated, truncated, info = self._env.step(action.detach().cpu().numpy())
        seen = self._tensor(obs["observation"])
        if terminated or truncated:
            info["final_observation"] = seen  # the auto-reset wrapper replaces the observation
        numbers = (self._tensor(value) for value in (reward, info["cost"], terminated, truncated))
        return (seen, *numbers, info)

    def render(self) -> Any:
        """As the environment's."""
        return self._env.render()

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _tensor(self, value: Any) -> torch.Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=self._device)
