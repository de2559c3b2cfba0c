"""Point forecasts by a network: the mean of D outcomes given F features, by least squares."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from stormgym.predictors.conditional import ConditionalNetwork, perceptron


class PointNet(ConditionalNetwork):
    """One forecast an event. As a generator it is a law of one atom: every sample is the forecast."""

    def predict(self, X: ArrayLike) -> Tensor:
        """Forecasts `[E, D]`, differentiable in the weights."""
        return self.in_units(self.network_(self.standard_features(X)))

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """The forecast, K times, `[K, E, D]`."""
        del noise, common
        forecast = self.predict(X)
        return forecast.expand(n_samples, *forecast.shape)

    def _build(self, n_features: int, n_outcomes: int) -> nn.Module:
        return perceptron(n_features, self.hidden, n_outcomes)

    def _loss(self, features: Tensor, outcomes: Tensor) -> Tensor:
        """Mean squared error of standardised outcomes."""
        return (self.network_(features) - outcomes).square().mean()
