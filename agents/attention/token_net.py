"""A network over tokens that change from step to step: things to choose among, who serves them, and what is common.

A transformer runs over the tokens of one state: a summary ([CLS], made from what is common to all), the actors, and the
choices that are open. The query is the summary joined with the encoding of the actor that is asked, the key of a choice
its encoding beside its raw features (EPOPR section 3.3.2); one more key, learnt, stands for choosing nothing (waiting).
Relabelling choices or actors permutes the scores and changes nothing else.

Most states have few open choices. So choices are packed to the front, and many states are worked on in groups of like
size, each cut to its largest. Shapes: S states, N choices, K actors, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.attention.reading import Tokens

GROUP = 256
"""States in a group of like size, at least."""


@dataclass
class TokenInputs:
    """Inputs of S states."""

    choices: Tensor  # [S, N, F] features of what may be chosen
    is_open: Tensor  # [S, N] bool: the others have no token
    actors: Tensor  # [S, K, F'] features of actors, the first column 1 for the one that is asked
    common: Tensor  # [S, C] features of all

    def rows(self, at: Tensor) -> TokenInputs:
        """Those of some states."""
        return TokenInputs(self.choices[at], self.is_open[at], self.actors[at], self.common[at])


class TokenNet(nn.Module):
    """Scores `[S, N + 1, n_out]` of N choices and of choosing none.

    Args:
        n_choice, n_actor, n_common: F, F' and C.
        n_out: numbers a choice.
        width: D.
        n_layers, n_heads: of the transformer.
        step_width: width of query and keys.
    """

    def __init__(
        self,
        n_choice: int,
        n_actor: int,
        n_common: int,
        n_out: int,
        *,
        width: int,
        n_layers: int,
        n_heads: int,
        step_width: int,
    ) -> None:
        super().__init__()
        self.n_out = n_out
        self.choice = nn.Linear(n_choice, width)
        self.actor = nn.Linear(n_actor, width)
        self.common = nn.Linear(n_common, width)
        layer = nn.TransformerEncoderLayer(width, n_heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Sequential(nn.Linear(2 * width + n_common, width), nn.ReLU(), nn.Linear(width, step_width))
        self.key = nn.Linear(width + n_choice, step_width)
        self.rest = nn.Parameter(torch.zeros(step_width))
        self.mix = nn.Linear(step_width, step_width)
        self.out = nn.Linear(step_width, n_out)

    def forward(self, inputs: TokenInputs) -> Tensor:
        """Score; states of like size are worked on together."""
        count = inputs.is_open.sum(dim=1)
        s, n = inputs.is_open.shape
        if s <= GROUP:
            return self._scores(inputs, int(count.max()) if s else 0)
        order = count.argsort()
        parts = []
        for at in order.split(GROUP):
            parts.append(self._scores(inputs.rows(at), int(count[at[-1]])))
        back = torch.empty_like(order)
        back[order] = torch.arange(s, device=order.device)
        del n
        return torch.cat(parts)[back]

    def _scores(self, inputs: TokenInputs, most: int) -> Tensor:
        """Scores of states with at most `most` open choices."""
        s, n = inputs.is_open.shape
        k = inputs.actors.shape[1]
        place = torch.argsort(inputs.is_open.to(torch.int8), dim=1, descending=True, stable=True)[:, :most]
        there = inputs.is_open.gather(1, place)  # [S, most]
        raw = inputs.choices.gather(1, place.unsqueeze(-1).expand(-1, -1, inputs.choices.shape[-1]))
        tokens = torch.cat(
            [self.common(inputs.common)[:, None], self.actor(inputs.actors), self.choice(raw)], dim=1
        )  # [S, 1 + K + most, D]
        hidden = torch.cat([torch.zeros(s, 1 + k, dtype=torch.bool, device=there.device), ~there], dim=1)
        h = self.norm(self.layers(tokens, src_key_padding_mask=hidden))
        asked = (h[:, 1 : 1 + k] * inputs.actors[..., :1]).sum(dim=1)
        query = self.query(torch.cat([h[:, 0], asked, inputs.common], dim=-1))  # [S, d]
        keys = self.key(torch.cat([h[:, 1 + k :], raw], dim=-1))
        keys = torch.cat([keys, self.rest.expand(s, 1, -1)], dim=1)  # [S, most + 1, d]
        scores = self.out(torch.relu(self.mix(torch.relu(keys + query[:, None]))))
        result = scores.new_zeros(s, n + 1, self.n_out)
        where = place.unsqueeze(-1).expand(-1, -1, self.n_out)
        # places behind the open ones hold others; what is written there is not read: they are closed
        result = result.scatter(1, where, scores[:, :-1])
        return torch.cat([result[:, :-1], scores[:, -1:]], dim=1)


class SetValue(nn.Module):
    """A value `[S]` of states: sums over open choices and over actors, and what is common, through two layers.

    Args:
        n_choice, n_actor, n_common: as in `TokenNet`.
        width: of its layers.
    """

    def __init__(self, n_choice: int, n_actor: int, n_common: int, width: int = 64) -> None:
        super().__init__()
        self.choice = nn.Sequential(nn.Linear(n_choice, width), nn.ReLU(), nn.Linear(width, width))
        self.actor = nn.Sequential(nn.Linear(n_actor, width), nn.ReLU(), nn.Linear(width, width))
        self.out = nn.Sequential(nn.Linear(2 * width + n_common, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, inputs: TokenInputs) -> Tensor:
        """The value."""
        open_ = inputs.is_open.unsqueeze(-1).to(inputs.choices.dtype)
        choices = (self.choice(inputs.choices) * open_).sum(dim=1) / 10.0
        actors = self.actor(inputs.actors).mean(dim=1)
        return self.out(torch.cat([choices, actors, inputs.common], dim=-1)).squeeze(-1)


@torch.no_grad()
def step_probs(
    actor: TokenNet, tokens: Tokens, action_mask: NDArray[Any], device: torch.device | str = "cpu"
) -> Tensor:
    """Probabilities `[B, N + 1]` of the choices, and of none, in B states."""

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, device=device)

    # buffers keep half precision, and what acts sees what learns
    choices, actors = (tensor(part.astype(np.float16)).float() for part in (tokens.choices, tokens.actors))
    inputs = TokenInputs(choices, tensor(tokens.is_open), actors, tensor(tokens.common))
    mask = torch.as_tensor(np.asarray(action_mask) > 0, device=device)
    return masked_log_softmax(actor(inputs).squeeze(-1), mask).exp()
