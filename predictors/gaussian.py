"""Normal forecasts by a network: mean and spread of each of D outcomes, independent given what is known.

`fit(X, y, X_validation, y_validation) -> forecast(X), sample(X, K, noise), log_prob(y, X)`. `GaussianNet` is the
network of SO-EBM section 4.1, `DiagonalGaussian` that beside Gen-DFL's flow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from stormgym.predictors.arrays import Floats
from stormgym.predictors.conditional import ConditionalNetwork, checked_events, matrix_of, perceptron, spread_of
from stormgym.predictors.networks import fit_until_stopped, restore_weights, seeded, weights_as_arrays
from stormgym.predictors.threads import one_thread

LEAST_SD = 1e-6
"""Least spread, in units of the outcomes' own."""


class MeanAndSd(NamedTuple):
    """A normal forecast of E events."""

    mean: Tensor  # [E, D]
    sd: Tensor  # [E, D], above 0


def log_density(forecast: MeanAndSd, y: Tensor) -> Tensor:
    """Log density `[..., D]` of each number of outcomes `[..., D]`."""
    z = (y - forecast.mean) / forecast.sd
    return -0.5 * z.square() - forecast.sd.log() - 0.5 * math.log(2.0 * math.pi)


class GaussianNet:
    """Mean and spread of D outcomes from F features by one network (layers of ReLU, batch norm and dropout).

    Inputs and outcomes are standardised with those of the fit. Training is on all events at a time; the state of the
    least validation loss is kept.

    Args:
        hidden: widths of the layers.
        dropout: share of units left out in training.
        batch_norm: whether layers are normalised over the batch.
        learning_rate, weight_decay: of Adam.
        max_steps: gradient steps, at most.
        patience: steps without a better validation loss after which the fit ends.
        standardise_outcomes: whether the network's outputs are in units of the outcomes' spread around their mean.
            Without, as in published code, a forecast's spread starts at 0.7 whatever the outcomes, and is still too
            wide when the fit is stopped early.
        random_state: seed of weights and dropout.

    Attributes:
        network_: the fitted network.
        n_steps_: steps taken up to the best state.
        scale_: factor on the spread, 1 until somebody calibrates it (`stormgym.agents.decisions.methods`).
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (200, 200),
        dropout: float = 0.2,
        batch_norm: bool = True,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        max_steps: int = 1_000,
        patience: int = 100,
        standardise_outcomes: bool = True,
        random_state: int = 0,
    ) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {dropout!r}")
        for name, value in (("learning_rate", learning_rate), ("max_steps", max_steps), ("patience", patience)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0; got {value!r}")
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden must name at least one width of at least 1; got {tuple(hidden)}")
        self.hidden, self.dropout, self.batch_norm = tuple(hidden), dropout, batch_norm
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.max_steps, self.patience, self.random_state = max_steps, patience, random_state
        self.standardise_outcomes = standardise_outcomes
        self.scale_ = 1.0

    def fit(self, X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike) -> Self:
        """Learn by the likelihood of E events, and stop by that of E' others.

        Args:
            X, X_validation: `[E, F]`, `[E', F]` features.
            y, y_validation: `[E, D]`, `[E', D]` outcomes.

        Raises:
            ValueError: shapes that do not fit, or values that are not finite.
        """
        inputs, outcomes, others, held = checked_events(X, y, X_validation, y_validation)
        self.x_mean_, self.x_scale_ = inputs.mean(axis=0), spread_of(inputs)
        self.y_mean_, self.y_scale_ = np.zeros(outcomes.shape[1]), np.ones(outcomes.shape[1])
        if self.standardise_outcomes:
            self.y_mean_, self.y_scale_ = outcomes.mean(axis=0), spread_of(outcomes)
        with one_thread(), seeded(self.random_state):
            self._build()
            optimizer = torch.optim.Adam(
                self.network_.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
            )
            train, validation = self._standard(inputs), self._standard(others)
            target = torch.as_tensor(outcomes)
            held_target = torch.as_tensor(held)

            def step() -> None:
                optimizer.zero_grad()
                loss = -log_density(self._split(self.network_(train)), target).mean()
                loss.backward()
                optimizer.step()

            def held_loss() -> float:
                return -float(log_density(self._split(self.network_(validation)), held_target).mean())

            self.n_steps_, _ = fit_until_stopped(
                self.network_, step, held_loss, most=self.max_steps, patience=self.patience
            )
        self.scale_ = 1.0
        return self

    def parameters(self) -> list[nn.Parameter]:
        """What gradient steps change."""
        self._need_fit()
        return list(self.network_.parameters())

    def forecast(self, X: ArrayLike) -> MeanAndSd:
        """Mean and spread `[E, D]`, differentiable in the weights; dropout is off and batch statistics are frozen."""
        self._need_fit()
        mean, sd = self._split(self.network_(self._standard(matrix_of("X", X))))
        return MeanAndSd(mean, self.scale_ * sd)

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator) -> Tensor:
        """Samples `[K, E, D]`, differentiable in the weights."""
        mean, sd = self.forecast(X)
        eps = torch.randn((n_samples, *mean.shape), generator=noise, dtype=mean.dtype)
        return mean + sd * eps

    def log_prob(self, y: ArrayLike, X: ArrayLike) -> Tensor:
        """Log density `[E]` of outcomes `[E, D]`, differentiable in the weights."""
        forecast, outcomes = self.forecast(X), matrix_of("y", y)
        if outcomes.shape != forecast.mean.shape:
            raise ValueError(f"y must be {list(forecast.mean.shape)}, as the forecast is; got shape {outcomes.shape}")
        return log_density(forecast, torch.as_tensor(outcomes)).sum(-1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights and standardisation as plain arrays."""
        self._need_fit()
        own = {name: np.asarray(getattr(self, name)) for name in (*_STANDARD, "scale_")}
        return {**weights_as_arrays(self.network_), **own}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says.

        Raises:
            KeyError, RuntimeError: names or shapes of another network.
        """
        for name in _STANDARD:
            setattr(self, name, np.array(state[name]))
        self.scale_ = float(state["scale_"])
        with seeded(0):
            self._build()
        restore_weights(self.network_, state)

    def _build(self) -> None:
        layers: list[nn.Module] = []
        width = len(self.x_mean_)
        for n_out in self.hidden:
            layers.append(nn.Linear(width, n_out))
            layers += [nn.BatchNorm1d(n_out)] if self.batch_norm else []
            layers += [nn.ReLU(), nn.Dropout(self.dropout)]
            width = n_out
        self.network_ = nn.Sequential(*layers, nn.Linear(width, 2 * len(self.y_mean_)))

    def _standard(self, X: Floats) -> Tensor:
        if X.shape[1] != len(self.x_mean_):
            raise ValueError(f"X must have the {len(self.x_mean_)} features of the fit; got {X.shape[1]}")
        return torch.as_tensor((X - self.x_mean_) / self.x_scale_, dtype=torch.float32)

    def _split(self, output: Tensor) -> MeanAndSd:
        mean, raw = output.double().chunk(2, dim=-1)
        scale = torch.as_tensor(self.y_scale_)
        sd = nn.functional.softplus(raw) + LEAST_SD
        return MeanAndSd(torch.as_tensor(self.y_mean_) + scale * mean, scale * sd)

    def _need_fit(self) -> None:
        if not hasattr(self, "network_"):
            raise NotFittedError("GaussianNet is not fitted: call fit(X, y, X_validation, y_validation) first")


_STANDARD = ("x_mean_", "x_scale_", "y_mean_", "y_scale_")


class DiagonalGaussian(ConditionalNetwork):
    """Normal outcomes, independent given the features: what a flow has to beat."""

    def forecast(self, X: ArrayLike) -> MeanAndSd:
        """Mean and spread `[E, D]`, differentiable in the weights."""
        mean, sd = self._standard_forecast(self.standard_features(X))
        return MeanAndSd(self.in_units(mean), torch.as_tensor(self.y_scale_) * sd)

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """Samples `[K, E, D]`, differentiable in the weights; see `Generator`."""
        mean, sd = self.forecast(X)
        shape = (n_samples, 1 if common else len(mean), mean.shape[1])
        return mean + sd * torch.randn(shape, generator=noise, dtype=mean.dtype)

    def log_prob(self, y: ArrayLike, X: ArrayLike) -> Tensor:
        """Log density `[E]` of outcomes `[E, D]`, differentiable in the weights."""
        x, outcomes = self.standard_features(X), self.standard_outcomes(y)
        if len(x) != len(outcomes):
            raise ValueError(f"X and y must have one row an event; got {len(x)} and {len(outcomes)}")
        density = log_density(self._standard_forecast(x), outcomes).sum(-1)
        return density - torch.as_tensor(self.y_scale_).log().sum()

    def _standard_forecast(self, x: Tensor) -> MeanAndSd:
        mean, raw = self.network_(x).chunk(2, dim=-1)
        return MeanAndSd(mean, nn.functional.softplus(raw) + LEAST_SD)

    def _build(self, n_features: int, n_outcomes: int) -> nn.Module:
        return perceptron(n_features, self.hidden, 2 * n_outcomes)

    def _loss(self, features: Tensor, outcomes: Tensor) -> Tensor:
        """Negative log-likelihood of a number."""
        return -log_density(self._standard_forecast(features), outcomes).mean()
