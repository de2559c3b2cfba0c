"""STA-SAC's networks over tokens that a domain reads anew at every step: one set of weights for any number of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.attention.reading import Tokens
from stormgym.agents.attention.token_net import SetValue, TokenInputs, TokenNet, step_probs
from stormgym.agents.sta_sac.policy import N_CRITICS, STASACPolicy
from stormgym.agents.sta_sac.reading import reading_of


@dataclass
class Units:
    """Units of M episodes."""

    total_hours: Tensor  # [M, 1] of return (h)


class TokenCritics(nn.Module):
    """Two reward and two cost critics, all learnt: `[S, N + 1, 4]`."""

    def __init__(self, sizes: tuple[int, int, int], **width: Any) -> None:
        super().__init__()
        self.net = TokenNet(*sizes, N_CRITICS, **width)

    def forward(self, inputs: TokenInputs) -> Tensor:
        """Values."""
        values: Tensor = self.net(inputs)
        return values


class TokenPolicy(STASACPolicy):
    """Actor and critics over tokens of choices and of actors (EPOPR section 3.3.2, with many crews).

    Arguments as of `STASACPolicy`; `balance`, `update`, `shape`, `share_critics` and `known_part` change nothing here.
    What is expected of returns is learnt (`SetValue`), and subtracted beside the mean of a storm's rollouts.
    """

    def read_space(self, space: spaces.Dict) -> None:
        """Sizes of tokens, and how they are read."""
        reading = reading_of(space)
        if reading.sizes is None or reading.tokens is None:
            raise ValueError(f"the domain of this observation space says nothing of tokens; got {space}")
        self.read: Callable[[dict[str, NDArray[Any]]], Tokens] = reading.tokens
        sizes = reading.sizes(space)
        self._features = (sizes.choice, sizes.actor, sizes.common)
        self.n_groups = reading.n_groups(space) if reading.n_groups is not None else 0
        self.parts = reading.parts
        self.recalls = reading.recall
        self._remaining = reading.remaining

    @property
    def widths(self) -> dict[str, int]:
        """Features of a choice, of an actor, and in common."""
        return dict(zip(("choice", "actor", "common"), self._features, strict=True))

    @property
    def sizes(self) -> dict[str, Any]:
        """Sizes of every network."""
        return {key: self._settings[key] for key in ("width", "n_layers", "n_heads", "step_width")}

    def make_actor(self) -> TokenNet:
        """Scores of jobs and of waiting."""
        return TokenNet(*self._features, 1, **self.sizes)

    def make_critic(self) -> TokenCritics:
        """Four critics on one trunk."""
        return TokenCritics(self._features, **self.sizes)

    def make_forecast(self) -> SetValue:
        """The expected return to go."""
        return SetValue(*self._features, width=self._settings["width"])

    def episode_scores(self, batch: Any) -> tuple[TokenInputs, Any, Tensor]:
        """Inputs of all steps, units, and the learning actor's scores `[M, T, N + 1]`."""
        inputs = inputs_of(batch)
        scores = self.actor(inputs).squeeze(-1).unflatten(0, batch.valid.shape)
        return inputs, self.scales(batch), scores

    def values(self, inputs: Any, batch: Any, scales: Any, *, target: bool = False) -> Tensor:
        """Values `[M, T, N + 1, 4]`."""
        del scales
        values: Tensor = (self.critic_target if target else self.critic)(inputs)
        return values.unflatten(0, batch.valid.shape)

    def scales(self, batch: Any) -> Any:
        """The unit of return, as the first step saw it."""
        return Units(batch.unit[:, :1])

    def limits(self, batch: Any) -> Tensor:
        """Cost limits `[M, T]`."""
        limits: Tensor = batch.limit
        return limits

    def expected_to_go(self, batch: Any, scales: Any) -> Tensor:
        """The learnt guess `[M, T]`."""
        del scales
        with torch.no_grad():
            guess: Tensor = self.forecast(inputs_of(batch)).unflatten(0, batch.valid.shape)
        return guess * batch.valid

    def fit_expectation(self, batch: Any, gain: Tensor) -> None:
        """One step towards the returns that followed."""
        to_go = (gain * batch.valid).flip(1).cumsum(1).flip(1)
        guess = self.forecast(inputs_of(batch)).unflatten(0, batch.valid.shape)
        loss = ((guess - to_go).square() * batch.valid).sum() / batch.valid.sum()
        self.forecast_optimizer.zero_grad()
        loss.backward()
        self.forecast_optimizer.step()

    def fit_forecast(self, batch: Any, scales: Any) -> Tensor:
        """Repairs are not told apart from the clock where crews work side by side: nothing is taken out."""
        del scales
        return torch.zeros_like(batch.rewards)

    def without_luck(self, batch: Any, scales: Any, shock: bool) -> tuple[Tensor, Tensor]:
        """Rewards and costs as they are."""
        del scales, shock
        return batch.rewards, batch.costs

    def facts_of(self, observation: dict[str, NDArray[Any]]) -> tuple[list[float], list[float]]:
        """Cost limits and units of return of B episodes."""
        tokens = self.read(observation)
        return tokens.limit.tolist(), tokens.unit.tolist()

    def left(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
        """As the domain says, or the open choices."""
        return super().left(observation) if self._remaining is None else self._remaining(observation)

    def step_probs(
        self, observation: dict[str, NDArray[Any]], state: Any, start: NDArray[np.bool_], average: bool = True
    ) -> tuple[Tensor, Any]:
        """Probabilities `[B, N + 1]`; nothing is kept between steps."""
        del start
        actor = self.actor_average if average else self.actor
        return step_probs(actor, self.read(observation), observation["action_mask"], self.device), state


def inputs_of(batch: Any) -> TokenInputs:
    """Inputs of all M * T steps of a batch of episodes, one after another."""
    return TokenInputs(
        batch.choices.flatten(0, 1).float(),
        batch.is_open.flatten(0, 1),
        batch.actors.flatten(0, 1).float(),
        batch.common.flatten(0, 1),
    )
