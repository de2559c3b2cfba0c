"""Whitened contexts of decision problems, for Stable-Baselines3's algorithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from stormgym.envs.decisions.problem import DecisionProblem

LARGEST = 10.0
"""A number farther than this from its mean, in standard deviations, is taken for one this far."""


class CaseFeatures(BaseFeaturesExtractor):
    """All that is known before a decision, each number in standard deviations of the training cases: `[B, F]`.

    A number that never changed in training is only centred. There are no weights.

    Args:
        observation_space: of a decision problem; `action_mask` is left out.
        mean, sd: name -> numbers of that array, flat; None: the numbers as they are.
    """

    mean: Tensor  # [F]
    sd: Tensor  # [F]

    def __init__(
        self,
        observation_space: spaces.Dict,
        mean: Mapping[str, Sequence[float]] | None = None,
        sd: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        names = [name for name in observation_space.spaces if name != "action_mask"]
        sizes = [int(np.prod(observation_space[name].shape or ())) for name in names]
        super().__init__(observation_space, features_dim=sum(sizes))
        self.names = names
        for what, given, plain in (("mean", mean, 0.0), ("sd", sd, 1.0)):
            parts = {n: [plain] * size for n, size in zip(names, sizes, strict=True)} if given is None else dict(given)
            if set(parts) != set(names) or any(len(parts[n]) != size for n, size in zip(names, sizes, strict=True)):
                raise ValueError(
                    f"{what} must have {dict(zip(names, sizes, strict=True))} numbers, as the observation; got "
                    f"{ {name: len(part) for name, part in parts.items()} }"
                )
            flat = [number for name in names for number in parts[name]]
            self.register_buffer(what, torch.as_tensor(flat, dtype=torch.float32))

    @classmethod
    def arguments_for(cls, venv: VecEnv) -> dict[str, Any]:
        """Means and standard deviations of the training cases of the problem that the environments announce."""
        problem: DecisionProblem = venv.get_attr("announced")[0].problem
        context = problem.cases("train").context
        flat = {name: np.asarray(values, dtype=np.float64).reshape(len(values), -1) for name, values in context.items()}
        spread = {name: values.std(axis=0) for name, values in flat.items()}
        return {
            "mean": {name: values.mean(axis=0).tolist() for name, values in flat.items()},
            # rounding leaves a trace of spread in numbers that are all the same
            "sd": {
                name: np.where(sd > 1e-9 * np.abs(flat[name]).max(axis=0), sd, 1.0).tolist()
                for name, sd in spread.items()
            },
        }

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Observations -> `[B, F]`."""
        seen = torch.cat([observations[name].flatten(1) for name in self.names], dim=1)
        return ((seen - self.mean) / self.sd).clamp(-LARGEST, LARGEST)
