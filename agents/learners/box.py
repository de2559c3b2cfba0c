"""Continuous actions in their own units: policies of PPO and SAC that are scaled by what good actions have been.

The parts of a decision may differ by orders of magnitude (megawatts beside dollars), and the bounds of the action space
say little about where good ones lie. An environment that knows good actions of the past says so (`Core.usual_action`,
centre and spread `[2, n]`). A network then speaks in units of that spread around that centre, while the model takes and
gives actions as the environment has them: a saved one needs no wrapper to act.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import SAC
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.sac.policies import MultiInputPolicy
from torch import Tensor

REACH = 10.0
"""Spreads on either side of the centre that SAC's bounded actions reach."""


def centre_and_spread(
    usual_action: Sequence[Sequence[float]] | NDArray[Any], space: spaces.Space[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and spread of good actions, each of the shape of the action space.

    Args:
        usual_action: `[2, n]` centre and spread (`Core.usual_action`).
        space: a Box of n numbers.

    Raises:
        ValueError: another space, another shape, a number that is not finite, or a spread that is not above 0.
    """
    usual = np.asarray(usual_action, dtype=np.float64)
    if not isinstance(space, spaces.Box) or usual.shape != (2, int(np.prod(space.shape))):
        raise ValueError(f"usual_action must be [2, n] for a Box of n numbers; got shape {usual.shape} for {space}")
    if not np.isfinite(usual).all() or (usual[1] <= 0).any():
        raise ValueError(f"usual_action must be a finite centre and a spread above 0; got {usual.tolist()}")
    return usual[0].reshape(space.shape), usual[1].reshape(space.shape)


class ScaledActorCriticPolicy(MultiInputActorCriticPolicy):
    """PPO's Gaussian policy with mean and standard deviation in spreads around the centre of good actions.

    The distribution is of actions as the environment has them, so that probabilities, the rollout buffer and `predict`
    need no change: of N(m, s) in spreads it is N(centre + spread m, spread s), whose densities differ by a constant.

    Args:
        usual_action: `[2, n]` centre and spread of good actions.
        *args, **kwargs: of `MultiInputActorCriticPolicy`.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, *args: Any, usual_action: Sequence[Sequence[float]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.action_dist, DiagGaussianDistribution):
            raise ValueError("a policy scaled by good actions is a Gaussian over a Box, without gSDE")
        centre, spread = centre_and_spread(usual_action, self.action_space)
        self.usual_action = [centre.ravel().tolist(), spread.ravel().tolist()]
        self.register_buffer("centre", torch.as_tensor(centre.ravel(), dtype=torch.float32))
        self.register_buffer("spread", torch.as_tensor(spread.ravel(), dtype=torch.float32))

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        mean = self.centre + self.spread * self.action_net(latent_pi)  # [B, n]
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        return self.action_dist.proba_distribution(mean, self.log_std + self.spread.log())

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "usual_action": self.usual_action}


class ScaledSACPolicy(MultiInputPolicy):
    """SAC's policy whose squashed actions [-1, 1] span `REACH` spreads around the centre of good actions.

    Squashed actions are even in asinh((a - centre) / spread): steps are a third as long near the centre, where good
    actions lie close, as if they were even in a, and yet the ends reach the rare ones of heavy tails (the wave of an
    epidemic), which four spreads would miss. What is beyond the bounds of the action space is cut off. The critics see
    the squashed actions, so no part weighs more than another for its unit.

    Args:
        usual_action: `[2, n]` centre and spread of good actions.
        *args, **kwargs: of SAC's `MultiInputPolicy`.
    """

    def __init__(self, *args: Any, usual_action: Sequence[Sequence[float]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.centre, self.spread = centre_and_spread(usual_action, self.action_space)
        assert isinstance(self.action_space, spaces.Box)
        self.usual_action = [self.centre.ravel().tolist(), self.spread.ravel().tolist()]
        self.low, self.high = (
            np.clip(self._warped(bound), -np.arcsinh(REACH), np.arcsinh(REACH))
            for bound in (self.action_space.low, self.action_space.high)
        )
        # a centre at a bound whose spread is of no size still spans something: no NaN
        self.span = np.maximum(self.high - self.low, np.finfo(np.float32).tiny)

    def _warped(self, action: NDArray[Any]) -> NDArray[np.float64]:
        warped: NDArray[np.float64] = np.arcsinh((np.asarray(action, np.float64) - self.centre) / self.spread)
        return warped

    def scale_action(self, action: NDArray[Any]) -> NDArray[Any]:
        """Actions in the environment's units as [-1, 1]; those beyond the reach are at its ends."""
        scaled = 2.0 * (self._warped(action) - self.low) / self.span - 1.0
        return np.clip(scaled, -1.0, 1.0).astype(np.float32)

    def unscale_action(self, scaled_action: NDArray[Any]) -> NDArray[Any]:
        """Actions in [-1, 1] in the environment's units, within its bounds."""
        assert isinstance(self.action_space, spaces.Box)
        warped = self.low + 0.5 * (np.asarray(scaled_action, np.float64) + 1.0) * self.span
        action = (self.centre + self.spread * np.sinh(warped)).astype(np.float32)
        return np.clip(action, self.action_space.low, self.action_space.high)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "usual_action": self.usual_action}


class BoxSAC(SAC):
    """Stable-Baselines3's SAC whose first, random actions are those that its policy could take.

    Idea: off-policy actor and critics with an entropy bonus whose weight is learnt, warmed up by actions drawn evenly
    from what the squashed policy spans. Where that is the whole action space, as with SAC's own, nothing differs.
    Cost: as SAC. Source: Haarnoja et al. (2018), doi:10.48550/arXiv.1812.05905.

    Arguments are those of `stable_baselines3.SAC`.
    """

    def _setup_model(self) -> None:
        if self.target_entropy == "auto":  # SAC's own rule, which asks the environments: a saved model has none
            self.target_entropy = -float(np.prod(self.action_space.shape))  # type: ignore[arg-type]
        super()._setup_model()

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.num_timesteps >= learning_starts:
            return super()._sample_action(learning_starts, action_noise, n_envs)
        scaled = np.random.uniform(-1.0, 1.0, (n_envs, *self.action_space.shape)).astype(np.float32)  # type: ignore[misc]
        return self.policy.unscale_action(scaled), scaled
