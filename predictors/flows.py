"""A conditional normalising flow: the law of D outcomes given F features, by RealNVP's affine couplings.

`fit(X, y, X_validation, y_validation) -> sample(X, K, noise), log_prob(y, X)`. Sources: Dinh, Sohl-Dickstein and Bengio
(2017); Winkler et al. (2019); Gen-DFL section 4.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stormgym.predictors.conditional import ConditionalNetwork, perceptron

MOST_LOG_SCALE = 2.0
"""Bound of a coupling's logarithmic scale: one layer stretches by 7 at most."""


class Coupling(nn.Module):
    """Shifts and scales the coordinates outside of a mask, by what those inside and the features say.

    On the way to noise z' = (z - t) exp(-s), with s = 2 tanh(o / 2) for outputs o of a network whose last layer starts
    at zero: a fresh flow is the identity.

    Args:
        kept: bool `[D]` coordinates that pass unchanged.
        n_features: F.
        hidden: widths of the network.
    """

    kept: Tensor

    def __init__(self, kept: Tensor, n_features: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        d = len(kept)
        self.register_buffer("kept", kept.double())
        self.net = perceptron(d + n_features, hidden, 2 * d)
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def _scale_and_shift(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.net(torch.cat([z * self.kept, x], dim=-1)).chunk(2, dim=-1)
        moved = 1.0 - self.kept
        return MOST_LOG_SCALE * torch.tanh(raw / MOST_LOG_SCALE) * moved, shift * moved

    def to_noise(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[..., D]` one layer nearer to noise, and the logarithm of the volume's change `[...]`."""
        log_scale, shift = self._scale_and_shift(z, x)
        return (z - shift) * torch.exp(-log_scale), -log_scale.sum(-1)

    def from_noise(self, z: Tensor, x: Tensor) -> Tensor:
        """The inverse `[..., D]`."""
        log_scale, shift = self._scale_and_shift(z, x)
        return z * torch.exp(log_scale) + shift


class ConditionalFlow(ConditionalNetwork):
    """RealNVP on standardised outcomes, conditional on features.

    Masks are even and odd coordinates in turn, **flipped at every layer**, so that each coordinate is moved by half of
    the layers and depends on all others. (The published code draws masks at random; there 12 of 50 coordinates are
    never moved.) The fit stops by validation likelihood: without, that of new events collapses within 100 epochs.

    Args:
        n_layers: couplings, at least 2.
        settings: of `ConditionalNetwork`.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, *, n_layers: int = 4, **settings: Any) -> None:
        if isinstance(n_layers, bool) or not isinstance(n_layers, int) or n_layers < 2:
            raise ValueError(f"n_layers must be a whole number of at least 2, to move all; got {n_layers!r}")
        super().__init__(**settings)
        self.n_layers = n_layers

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """Samples `[K, E, D]`, differentiable in the weights; see `Generator`."""
        x = self.standard_features(X)
        shape = (n_samples, 1 if common else len(x), len(self.y_mean_))
        z = torch.randn(shape, generator=noise, dtype=torch.float64)
        return self.in_units(self.from_noise(z.expand(n_samples, len(x), -1), x))

    def log_prob(self, y: ArrayLike, X: ArrayLike) -> Tensor:
        """Log density `[E]` of outcomes `[E, D]`, differentiable in the weights."""
        x, standard = self.standard_features(X), self.standard_outcomes(y)
        if len(x) != len(standard):
            raise ValueError(f"X and y must have one row an event; got {len(x)} and {len(standard)}")
        return self._standard_log_prob(standard, x) - torch.as_tensor(self.y_scale_).log().sum()

    def to_noise(self, standard: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Noise `[..., D]` of standardised outcomes, and the logarithm of the volume's change `[...]`."""
        z, log_volume = standard, standard.new_zeros(standard.shape[:-1])
        for layer in self._layers():
            z, change = layer.to_noise(z, x)
            log_volume = log_volume + change
        return z, log_volume

    def from_noise(self, z: Tensor, x: Tensor) -> Tensor:
        """Standardised outcomes `[..., D]` of noise, given standardised features `[E, F]`."""
        x = x.expand(*z.shape[:-1], x.shape[-1])
        for layer in reversed(self._layers()):
            z = layer.from_noise(z, x)
        return z

    def _layers(self) -> list[Coupling]:
        layers: Any = self.network_  # a list of couplings, see _build
        return list(layers)

    def _standard_log_prob(self, standard: Tensor, x: Tensor) -> Tensor:
        z, log_volume = self.to_noise(standard, x)
        return log_volume - 0.5 * z.square().sum(-1) - 0.5 * z.shape[-1] * math.log(2.0 * math.pi)

    def _build(self, n_features: int, n_outcomes: int) -> nn.Module:
        even = torch.arange(n_outcomes) % 2 == 0
        masks = [even if layer % 2 == 0 else ~even for layer in range(self.n_layers)]
        return nn.ModuleList([Coupling(kept, n_features, self.hidden) for kept in masks])

    def _loss(self, features: Tensor, outcomes: Tensor) -> Tensor:
        """Negative log-likelihood of a number."""
        return -self._standard_log_prob(outcomes, features).mean() / outcomes.shape[-1]
