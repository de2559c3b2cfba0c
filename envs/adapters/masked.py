"""Observations in the two parts that most libraries of masked actions ask for: what is seen, and the mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import DTypeLike, NDArray

MASK = "action_mask"


class MaskedForm:
    """How an observation with `action_mask` is divided: the space of both parts, and the change itself.

    Args:
        space: of one environment's observation, a `Dict` with `action_mask`.
        observation: name of what is seen.
        mask: name of the mask; None leaves it out.
        mask_dtype: of the mask: `bool`, `int8`, `float32`, ...
        flat: one float32 vector of all parts but the mask, in the order of the space; else a `Dict` of them.

    Raises:
        ValueError: an observation without a mask, or the same name twice.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        observation: str = "observation",
        mask: str | None = "action_mask",
        mask_dtype: DTypeLike = np.bool_,
        flat: bool = True,
    ) -> None:
        if not (isinstance(space, spaces.Dict) and MASK in space.spaces):
            raise ValueError(f"the observation must be a Dict with the part {MASK!r}; got {space}")
        if observation == mask:
            raise ValueError(f"observation and mask need different names; both are {observation!r}")
        self.observation, self.mask, self.mask_dtype, self.flat = observation, mask, np.dtype(mask_dtype), flat
        self.parts = {key: part for key, part in space.spaces.items() if key != MASK}
        self.n_choices = int(np.prod(space[MASK].shape or (0,)))
        seen: spaces.Space[Any] = spaces.Dict(self.parts)
        if flat:
            boxes = [part for part in self.parts.values() if isinstance(part, spaces.Box)]
            low, high = (np.concatenate([getattr(box, end).ravel() for box in boxes]) for end in ("low", "high"))
            seen = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        self.space = spaces.Dict({observation: seen} if mask is None else {observation: seen, mask: self._mask_space()})

    def _mask_space(self) -> spaces.Space[Any]:
        if self.mask_dtype == np.int8:
            return spaces.MultiBinary(self.n_choices)
        return spaces.Box(0, 1, (self.n_choices,), dtype=self.mask_dtype.type)

    def of(self, observation: Mapping[str, NDArray[Any]], batched: bool = False) -> dict[str, Any]:
        """The two parts of an observation, or of B of them."""
        seen: Any = {key: observation[key] for key in self.parts}
        if self.flat:
            shape: tuple[int, ...] = (len(observation[MASK]), -1) if batched else (-1,)
            seen = np.concatenate([np.reshape(part, shape) for part in seen.values()], axis=-1, dtype=np.float32)
        parts = {self.observation: seen}
        return parts if self.mask is None else {**parts, self.mask: observation[MASK].astype(self.mask_dtype)}


class MaskedObservation(gym.ObservationWrapper[Any, Any, Any], gym.utils.RecordConstructorArgs):
    """The observation as `{observation: vector, mask: mask}`, names and dtype chosen.

    Args:
        env: a single environment whose observation holds `action_mask`.
        **form: of `MaskedForm`.
    """

    def __init__(self, env: gym.Env[Any, Any], **form: Any) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, **form)
        super().__init__(env)
        self.form = MaskedForm(env.observation_space, **form)
        self.observation_space = self.form.space

    def observation(self, observation: Any) -> dict[str, Any]:
        """The two parts."""
        return self.form.of(observation)


class VectorMaskedObservation(VectorWrapper[Any, Any, Any, Any, Any]):
    """The same for a vector environment, final observations under SAME_STEP too.

    Args:
        env: a vector environment whose observation holds `action_mask`.
        **form: of `MaskedForm`.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], **form: Any) -> None:
        super().__init__(env)
        self.autoreset_mode = env.metadata.get("autoreset_mode")  # libraries ask the outermost layer for it
        self.form = MaskedForm(env.single_observation_space, **form)
        self.single_observation_space = self.form.space
        self.observation_space = batch_space(self.form.space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset."""
        obs, infos = self.env.reset(seed=seed, options=options)
        return self.form.of(obs, batched=True), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step."""
        obs, reward, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            final = np.full(self.num_envs, None, dtype=object)
            for row in np.flatnonzero(infos["_final_obs"]).tolist():
                final[row] = self.form.of(infos["final_obs"][row])
            infos = {**infos, "final_obs": final}
        return self.form.of(obs, batched=True), reward, terminated, truncated, infos
