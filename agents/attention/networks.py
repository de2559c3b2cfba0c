"""The networks of STA-SAC: regions as tokens, encoded once an episode; each step adds an attention over open regions.

In an episode N choices ("regions") are open at first and closed one by one as they are taken. Most of what is known of
a region never changes; what changes is which ones are open, a few features of each (`moving`), and some features of
all (`crew`). Two shapes of the same idea (EPOPR section 3.3.2), chosen by `shape`:

- `"episode"` (default): a transformer with a [CLS] token encodes all regions of an episode once. At every step an
  attention over the regions still open (its weights come from the encodings, its sum runs over open regions only) and
  the features that changed are added, and every region is scored. A whole episode costs little more than one step.
- `"paper"`: the transformer runs over the open regions anew at every step; the query is [CLS] joined with the crew's
  state, the keys are each region's encoding joined with its raw features, the score is v' tanh(W [K, Q]).

Which features there are is said by an environment's own room, which makes the `Inputs`; the names are Restoration-v0's.
Shapes: B episodes, T steps, N regions (M where they are attended to), D width of an encoding, H heads, d = D / H.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Encoding = tuple[Tensor, ...]
"""What a network keeps of an episode from its first step on; only the network that made it reads it."""
N_WAY, N_BALANCE, N_UPDATE = 3, 4, 2
"""Features of a region that change from step to step: the way to it, the balance between groups, its forecast anew."""


@dataclass
class Inputs:
    """Inputs of B episodes over T steps; numbers without units, about 1 in size."""

    tokens: Tensor  # [B, N, F] static features
    is_open: Tensor  # [B, T, N] bool
    travel: Tensor  # [B, T, N] hours from the crew, in mean repairs
    moving: Tensor  # [B, T, N, 3 + 4 + 2] features of a region that change from step to step: way, balance, update
    crew: Tensor  # [B, T, C] features of all regions and of who serves them
    exists: Tensor | None = None  # [B, N] bool where cities of several sizes are padded to one; None: all exist


class RegionEncoder(nn.Module):
    """Transformer over region tokens with a [CLS] token: `[B, N, F]` -> encodings `[B, N, D]` and summary `[B, D]`."""

    def __init__(self, n_features: int, width: int, n_layers: int, n_heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(n_features, width)
        self.cls = nn.Parameter(torch.zeros(width))
        layer = nn.TransformerEncoderLayer(width, n_heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, is_open: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode; `is_open` `[B, N]` bool leaves other regions out of the attention."""
        x = self.embed(tokens)
        cls = self.cls.expand(x.shape[0], 1, -1)
        hidden = None
        if is_open is not None:
            hidden = torch.cat([torch.zeros_like(is_open[:, :1]), ~is_open], dim=1)
        x = self.norm(self.layers(torch.cat([cls, x], dim=1), src_key_padding_mask=hidden))
        return x[:, 1:], x[:, 0]


class EpisodeNet(nn.Module):
    """Encode an episode once, score its regions at every step: `[B, T, N, n_out]`.

    The trick: attention over the open regions alone needs no new attention at each step. Softmax weights over a subset
    are those over all regions, restricted to the subset and divided by their sum. So the unnormalised weights, the
    `kernel` [B, H, N, M], are computed once from the encodings, and a step only sums over what is open.

    Args:
        n_features: F of `Inputs.tokens`.
        n_crew: C of `Inputs.crew`.
        n_out: numbers a region.
        width: D.
        n_layers, n_heads: of the transformer; n_heads is also H.
        step_width: width of what is computed for every region at every step.
        balance: read what each choice does to the balance between groups (columns of `Inputs.moving`).
        update: read forecasts corrected by the repairs seen, which say something where durations share a factor.
    """

    def __init__(
        self,
        n_features: int,
        n_crew: int,
        n_out: int,
        width: int,
        n_layers: int,
        n_heads: int,
        step_width: int,
        balance: bool = True,
        update: bool = False,
    ) -> None:
        super().__init__()
        read = [True] * N_WAY + [balance] * N_BALANCE + [update] * N_UPDATE
        self.columns = [i for i, yes in enumerate(read) if yes]  # of Inputs.moving
        self.sees_updates = update
        self.n_heads = n_heads
        self.encoder = RegionEncoder(n_features, width, n_layers, n_heads)
        self.query = nn.Sequential(nn.Linear(2 * width + n_crew, width), nn.ReLU(), nn.Linear(width, step_width))
        self.attend = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(width, step_width, bias=False)
        self.key = nn.Linear(width, step_width, bias=False)
        self.moving = nn.Linear(len(self.columns), step_width)
        self.mix = nn.Linear(step_width, step_width)
        self.out = nn.Linear(step_width, n_out)

    def encode(self, inputs: Inputs) -> Encoding:
        """Encodings `[B, N, D]`, summary `[B, D]`, kernel `[B, H, N, M]` and values `[B, H, M, d']` of an episode.

        d' = step_width / H. Only what never changes in an episode is read.
        """
        h, cls = self.encoder(inputs.tokens, inputs.exists)
        b, n, d = h.shape
        heads, size = self.n_heads, d // self.n_heads
        q, k = self.attend(h).view(b, n, 2, heads, size).permute(2, 0, 3, 1, 4)  # each [B, H, N, d]
        logits = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(size)  # [B, H, N, M]
        if inputs.exists is not None:
            logits = logits.masked_fill(~inputs.exists[:, None, None], -1e9)
        # The maximum cancels when weights are divided by their sum. It is taken over all regions, open or not, so once
        # the strongest are closed what is left may be tiny; no weight is below e^-12, or their sum could vanish.
        kernel = (logits - logits.amax(-1, keepdim=True)).clamp_min(-12.0).exp()
        return h, cls, kernel, self.value(h).view(b, n, heads, -1).transpose(1, 2)

    def score(self, encoding: Encoding, inputs: Inputs) -> Tensor:
        """Scores `[B, T, N, n_out]` from an encoding and the state at each step.

        Each region adds up four vectors of `step_width`: what is around it (the open regions, attended to), its own
        features that change, its encoding, and the query, which is the same for all: [CLS], the mean of the open
        regions, the crew. Two layers then make its scores.
        """
        h, cls, kernel, value, *spread = encoding
        t = inputs.is_open.shape[1]
        weight = inputs.is_open.to(h.dtype)  # [B, T, N]
        pooled = torch.matmul(weight, h) / weight.sum(-1, keepdim=True).clamp_min(1.0)  # [B, T, D] mean of the open
        query = self.query(torch.cat([cls[:, None].expand(-1, t, -1), pooled, inputs.crew], dim=-1))
        around = self.around(kernel, value, weight, *spread)  # [B, T, N, step_width]
        own = self.moving(inputs.moving[..., self.columns])
        x = around + own + self.key(h)[:, None] + query[:, :, None]
        return self.out(torch.relu(self.mix(torch.relu(x))))

    def narrow(self, encoding: Encoding, index: Tensor) -> Encoding:
        """The encoding of some regions `[B, n]` of each episode, for many states in which no other one is open.

        Closed regions have no weight in any sum, so scores of the others are the same without them, at less cost. What
        `around` needs for many steps is made here once.
        """
        h, cls, kernel, value = encoding
        heads = kernel.shape[1]
        row = index[:, None, :, None].expand(-1, heads, -1, kernel.shape[-1])
        column = index[:, None, None].expand(-1, heads, index.shape[1], -1)
        kernel = kernel.gather(2, row).gather(3, column)
        value = value.gather(2, index[:, None, :, None].expand(-1, heads, -1, value.shape[-1]))
        h = h.gather(1, index.unsqueeze(-1).expand(-1, -1, h.shape[-1]))
        return h, cls, kernel, value, *self.spread(kernel, value)

    def spread(self, kernel: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """What each region m gives to all, in rows of m: weighted values `[B, M, N H d']` and weights `[B, M, N H]`."""
        b, heads, n, _ = kernel.shape
        values = (kernel.unsqueeze(-1) * value.unsqueeze(2)).permute(0, 3, 2, 1, 4)  # [B, M, N, H, d]
        return values.reshape(b, n, -1), kernel.permute(0, 3, 2, 1).reshape(b, n, n * heads)

    def around(
        self,
        kernel: Tensor,
        value: Tensor,
        weight: Tensor,
        values: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Attention of every region over the open ones, at every step: `[B, T, N, H d']`.

        For region r at step t it is sum_m weight[t, m] kernel[r, m] value[m] / sum_m weight[t, m] kernel[r, m]. One
        step is done as it stands. For whole episodes that would be a weight for each of T N M triples; but kernel times
        value does not depend on t, so with it in rows of m (`spread`) numerator and denominator are one matrix product
        each, `[T, M] @ [M, N H d']`, and no `[T, N, M]` tensor is made.

        Args:
            kernel: `[B, H, N, M]`.
            value: `[B, H, M, d']`.
            weight: `[B, T, M]` 1 for open regions, 0 for others.
            values, weights: what `spread` gives, where it is known.
        """
        b, heads, n, _ = kernel.shape
        t, size = weight.shape[1], value.shape[-1]
        if t == 1:
            on = kernel * weight[:, None]  # [B, H, N, M]
            result = torch.matmul(on, value) / on.sum(-1, keepdim=True).clamp_min(1e-6)
            return result.transpose(1, 2).reshape(b, 1, n, heads * size)
        if values is None or weights is None:
            values, weights = self.spread(kernel, value)
        norm = torch.matmul(weight, weights).clamp_min(1e-6)
        result = torch.matmul(weight, values).view(b, t, n * heads, size)  # numerators, one vector a region and head
        return (result / norm.unsqueeze(-1)).view(b, t, n, heads * size)

    def forward(self, inputs: Inputs) -> Tensor:
        """Encode and score."""
        return self.score(self.encode(inputs), inputs)


class PaperNet(nn.Module):
    """The paper's form: a transformer over the open regions at every step, and additive query-key scores.

    Of what changes it reads the travel, the crew and which regions are open; `balance` and `update` are there so that
    both shapes are made alike. Arguments as in `EpisodeNet`; a step costs as much as an episode's encoding there.
    """

    def __init__(
        self,
        n_features: int,
        n_crew: int,
        n_out: int,
        width: int,
        n_layers: int,
        n_heads: int,
        step_width: int,
        balance: bool = False,
        update: bool = False,
    ) -> None:
        super().__init__()
        del balance, update
        self.encoder = RegionEncoder(n_features + 1, width, n_layers, n_heads)
        self.project = nn.Linear(width + n_features + 1, step_width)
        self.query = nn.Linear(width + n_crew, step_width, bias=False)
        self.out = nn.Linear(step_width, n_out, bias=False)

    def encode(self, inputs: Inputs) -> Encoding:
        """Nothing is shared between steps here; the tokens pass through."""
        return (inputs.tokens,)

    def narrow(self, encoding: Encoding, index: Tensor) -> Encoding:
        """The tokens of some regions `[B, n]` of each episode."""
        (tokens,) = encoding
        return (tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])),)

    def score(self, encoding: Encoding, inputs: Inputs) -> Tensor:
        """Scores `[B, T, N, n_out]`: v' tanh(W [K, Q])."""
        tokens = encoding[0]
        b, t, n = inputs.is_open.shape
        raw = torch.cat([tokens[:, None].expand(-1, t, -1, -1), inputs.travel.unsqueeze(-1)], dim=-1)
        h, cls = self.encoder(raw.reshape(b * t, n, -1), inputs.is_open.reshape(b * t, n))
        keys = self.project(torch.cat([h.view(b, t, n, -1), raw], dim=-1))
        query = self.query(torch.cat([cls.view(b, t, -1), inputs.crew], dim=-1))
        return self.out(torch.tanh(keys + query[:, :, None]))

    def forward(self, inputs: Inputs) -> Tensor:
        """Score."""
        return self.score(self.encode(inputs), inputs)


SHAPES: dict[str, type[EpisodeNet] | type[PaperNet]] = {"episode": EpisodeNet, "paper": PaperNet}
"""Networks by the name that settings give them."""
