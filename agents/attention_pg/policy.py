"""The attention model as a Stable-Baselines3 policy: regions encoded once an episode, masked softmax at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.attention.networks import Encoding, EpisodeNet, Inputs
from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.restoration.network.features import N_STATIC, check_observation_space, make_inputs, n_crew_features
from stormgym.envs.restoration.layout import COLUMN, n_groups_of, regions_of

_DEFAULT = AttentionPGSettings()


class AttentionPolicy(BasePolicy):
    """STA-SAC's actor alone (`EpisodeNet`), with its own optimiser.

    Args:
        observation_space: of Restoration-v0 (region columns, `crew`, `action_mask`).
        action_space: `Discrete(N)`.
        lr_schedule: learning rate as a function of the progress that remains.
        width, n_layers, n_heads: size of the encoder.
        step_width: width of what is computed for every region at every step.
        balance: show the network what restoring each region does to the balance between groups.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        width: int = _DEFAULT.width,
        n_layers: int = _DEFAULT.n_layers,
        n_heads: int = _DEFAULT.n_heads,
        step_width: int = _DEFAULT.step_width,
        balance: bool = _DEFAULT.balance,
        use_sde: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space, squash_output=False)
        if use_sde:
            raise ValueError("use_sde is for continuous actions; the attention model chooses regions")
        check_observation_space(observation_space)
        crew_shape = observation_space["crew"].shape
        assert crew_shape is not None
        self.n_groups = n_groups_of(crew_shape[0])
        self._size: dict[str, Any] = {
            "width": width,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "step_width": step_width,
            "balance": balance,
        }
        self.actor = EpisodeNet(N_STATIC + self.n_groups, n_crew_features(self.n_groups), 1, **self._size)
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=lr_schedule(1.0))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = {"observation_space": self.observation_space, "action_space": self.action_space}
        return {**data, "lr_schedule": lambda _: 1e-3, **self._size}

    def log_probs(self, inputs: Inputs, action_mask: Tensor, encoding: Encoding | None = None) -> Tensor:
        """Log probabilities `[B, T, N]` of all regions at all steps; the regions are encoded here unless given."""
        logits = self.actor.score(self.actor.encode(inputs) if encoding is None else encoding, inputs)
        return masked_log_softmax(logits.squeeze(-1), action_mask)

    @torch.no_grad()
    def step_log_probs(
        self, observation: dict[str, NDArray[Any]], state: Encoding | None, start: NDArray[np.bool_]
    ) -> tuple[Tensor, Encoding]:
        """Log probabilities `[B, N]` of a batch of observations, and the encodings to keep as `state`."""
        regions = self._tensor(regions_of(observation), torch.float32)
        inputs, _ = make_inputs(
            regions,
            regions[:, None, :, COLUMN["distance_km"]],
            regions[:, None, :, COLUMN["open"]] > 0,
            self._tensor(observation["crew"], torch.float32)[:, None],
            self.n_groups,
        )
        encoding = state
        if encoding is None or encoding[0].shape[0] != regions.shape[0] or start.any():
            encoding = self.actor.encode(inputs)
        mask = self._tensor(observation["action_mask"], torch.bool)
        return self.log_probs(inputs, mask[:, None], encoding)[:, 0], encoding

    def _tensor(self, array: NDArray[Any], dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=self.device)

    def choose(self, log_probs: Tensor, greedy: bool | NDArray[np.bool_]) -> NDArray[np.int64]:
        """Likeliest or drawn regions `[B]`; `greedy` is one answer, or one a row.

        Drawn by adding Gumbel noise from NumPy's global generator, which Stable-Baselines3 seeds.
        """
        scores = log_probs.cpu().numpy().astype(np.float64)
        if not np.all(greedy):
            noise = -np.log(np.random.exponential(size=scores.shape))
            scores += np.where(np.atleast_1d(greedy)[:, None], 0.0, noise)
        return scores.argmax(axis=1)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Regions for one observation or a batch. `state` only saves time: it holds what an episode's steps share."""
        self.set_training_mode(False)
        single = np.ndim(observation["action_mask"]) == 1
        batch = {k: np.asarray(v)[None] for k, v in observation.items()} if single else observation
        start = np.atleast_1d(np.asarray(False if episode_start is None else episode_start, dtype=bool))
        log_probs, state = self.step_log_probs(batch, state, start)
        action = self.choose(log_probs, deterministic)
        return (action[0] if single else action), state

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        arrays = {k: v.cpu().numpy() for k, v in observation.items()}
        log_probs, _ = self.step_log_probs(arrays, None, np.ones(1, dtype=bool))
        return torch.as_tensor(self.choose(log_probs, deterministic))

    def forward(self, observation: Any, deterministic: bool = False) -> Tensor:
        """As `_predict`."""
        return self._predict(observation, deterministic)
