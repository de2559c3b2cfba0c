"""What conditional generators share: outcomes `[E, D]` given features `[E, F]`, standardised, fitted until stopped.

    fit(X, y, X_validation, y_validation) -> sample(X, K, noise), and log_prob(y, X) where there is a density

Networks learn in batches and are kept at their least validation loss; their weights are plain arrays (`state`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from stormgym.predictors.arrays import Floats
from stormgym.predictors.networks import fit_until_stopped, restore_weights, seeded, weights_as_arrays
from stormgym.predictors.threads import one_thread

_STANDARD = ("x_mean_", "x_scale_", "y_mean_", "y_scale_")


class Generator(Protocol):
    """A conditional law that can be learnt and sampled."""

    def fit(self, X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike) -> Self:
        """Learn the law of outcomes `[E, D]` given features `[E, F]`; stop by E' others."""
        ...

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """Samples `[K, E, D]`; of a network differentiable in its weights.

        Args:
            X: `[E, F]` features.
            n_samples: K.
            noise: random numbers.
            common: whether all events share them, so that those of an event do not depend on which others there are.
        """
        ...

    def state(self) -> Mapping[str, NDArray[Any]]:
        """All that fitting decided, as plain arrays."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        ...


class Density(Generator, Protocol):
    """A generator with a density. Resampled outcomes are atoms and have none."""

    def log_prob(self, y: ArrayLike, X: ArrayLike) -> Tensor:
        """Log density `[E]`, differentiable in the weights."""
        ...


def spread_of(values: Floats) -> Floats:
    """Standard deviations `[F]`; 1 where a column never changes."""
    sd: Floats = values.std(axis=0)
    return np.where(sd > 1e-12, sd, 1.0)


def matrix_of(name: str, values: ArrayLike) -> Floats:
    """Values as a finite matrix of float64.

    Raises:
        ValueError: another shape, no rows, or values that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} must be a matrix [E, *] with at least one event; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {array[~np.isfinite(array)][0]}")
    return array


def checked_events(
    X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike
) -> tuple[Floats, Floats, Floats, Floats]:
    """Events to fit and to stop by, as matrices that fit each other.

    Raises:
        ValueError: shapes that do not fit, fewer than two events, or values that are not finite.
    """
    inputs, outcomes = matrix_of("X", X), matrix_of("y", y)
    others, held = matrix_of("X_validation", X_validation), matrix_of("y_validation", y_validation)
    if len(inputs) != len(outcomes) or len(others) != len(held) or inputs.shape[1] != others.shape[1]:
        raise ValueError(
            "X and y must have one row an event, and X_validation the features of X; got shapes "
            f"{inputs.shape}, {outcomes.shape}, {others.shape}, {held.shape}"
        )
    if held.shape[1] != outcomes.shape[1]:
        raise ValueError(f"y_validation must have the {outcomes.shape[1]} outcomes of y; got {held.shape[1]}")
    if len(inputs) < 2:
        raise ValueError(f"at least 2 events are needed to fit; got {len(inputs)}")
    return inputs, outcomes, others, held


def perceptron(n_in: int, hidden: Sequence[int], n_out: int) -> nn.Sequential:
    """Linear layers with ReLU between them, in float64."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_in, width), nn.ReLU()]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out)).double()


class ConditionalNetwork:
    """A network that learns outcomes from features in batches; subclasses write `_build` and `_loss`.

    Args:
        hidden: widths of layers.
        learning_rate, weight_decay: of Adam.
        batch_size: events a gradient step.
        max_epochs: at most.
        patience: epochs without a better validation loss after which the fit ends.
        random_state: seed of weights and batches.

    Attributes:
        network_: the network.
        n_epochs_: epoch of the least validation loss, 0 before any.
        validation_losses_: loss of each epoch, the untrained network first.
    """

    network_: nn.Module

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (64, 64),
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        batch_size: int = 32,
        max_epochs: int = 300,
        patience: int = 30,
        random_state: int = 0,
    ) -> None:
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden must name at least one width of at least 1; got {tuple(hidden)}")
        for name, value in (("learning_rate", learning_rate), ("batch_size", batch_size), ("patience", patience)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0; got {value!r}")
        for name, value in (("weight_decay", weight_decay), ("max_epochs", max_epochs)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0; got {value!r}")
        self.hidden, self.learning_rate, self.weight_decay = tuple(hidden), learning_rate, weight_decay
        self.batch_size, self.max_epochs, self.patience = batch_size, max_epochs, patience
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike) -> Self:
        """Learn from E events, and stop by the loss of E' others.

        Args:
            X, X_validation: `[E, F]`, `[E', F]` features.
            y, y_validation: `[E, D]`, `[E', D]` outcomes.

        Raises:
            ValueError: shapes that do not fit, or values that are not finite.
        """
        inputs, outcomes, others, held = checked_events(X, y, X_validation, y_validation)
        self.initialise(inputs, outcomes)
        with one_thread():
            train, target = self.standard_features(inputs), self.standard_outcomes(outcomes)
            step = self._epochs(train, target)
            validation, held_target = self.standard_features(others), self.standard_outcomes(held)
            self.n_epochs_, self.validation_losses_ = fit_until_stopped(
                self.network_,
                step,
                lambda: float(self._loss(validation, held_target)),
                most=self.max_epochs,
                patience=self.patience,
                start_counts=True,
            )
        return self

    def initialise(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Untrained weights, with the standardisation of these events: where other losses start from nothing."""
        inputs, outcomes = matrix_of("X", X), matrix_of("y", y)
        self.x_mean_, self.x_scale_ = inputs.mean(axis=0), spread_of(inputs)
        self.y_mean_, self.y_scale_ = outcomes.mean(axis=0), spread_of(outcomes)
        self.n_epochs_, self.validation_losses_ = 0, []
        with seeded(self.random_state):
            self.network_ = self._build(inputs.shape[1], outcomes.shape[1])
        self.network_.eval()
        return self

    def _epochs(self, train: Tensor, target: Tensor) -> Callable[[], None]:
        """One pass over shuffled batches, to be called again and again."""
        order = torch.Generator().manual_seed(self.random_state + 1)
        optimizer = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)

        def epoch() -> None:
            for index in torch.randperm(len(train), generator=order).split(self.batch_size):
                optimizer.zero_grad()
                self._loss(train[index], target[index]).backward()
                optimizer.step()

        return epoch

    def _build(self, n_features: int, n_outcomes: int) -> nn.Module:
        raise NotImplementedError(f"{type(self).__name__} must write _build()")

    def _loss(self, features: Tensor, outcomes: Tensor) -> Tensor:
        """Mean loss of standardised events."""
        raise NotImplementedError(f"{type(self).__name__} must write _loss()")

    def standard_features(self, X: ArrayLike) -> Tensor:
        """Features `[E, F]` in units of the fit.

        Raises:
            NotFittedError: before a fit.
            ValueError: another number of features than in the fit.
        """
        if not hasattr(self, "network_"):
            raise NotFittedError(
                f"{type(self).__name__} is not fitted: call fit(X, y, X_validation, y_validation) first"
            )
        inputs = matrix_of("X", X)
        if inputs.shape[1] != len(self.x_mean_):
            raise ValueError(f"X must have the {len(self.x_mean_)} features of the fit; got {inputs.shape[1]}")
        return torch.as_tensor((inputs - self.x_mean_) / self.x_scale_)

    def standard_outcomes(self, y: ArrayLike) -> Tensor:
        """Outcomes `[E, D]` in units of the fit.

        Raises:
            ValueError: another number of outcomes than in the fit.
        """
        outcomes = matrix_of("y", y)
        if outcomes.shape[1] != len(self.y_mean_):
            raise ValueError(f"y must have the {len(self.y_mean_)} outcomes of the fit; got {outcomes.shape[1]}")
        return torch.as_tensor((outcomes - self.y_mean_) / self.y_scale_)

    def in_units(self, standard: Tensor) -> Tensor:
        """Standardised outcomes `[..., D]` in their own units."""
        return torch.as_tensor(self.y_mean_) + torch.as_tensor(self.y_scale_) * standard

    def parameters(self) -> list[nn.Parameter]:
        """What gradient steps change."""
        return list(self.network_.parameters())

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights and standardisation as plain arrays."""
        own = {name: np.asarray(getattr(self, name)) for name in _STANDARD}
        return {**weights_as_arrays(self.network_), **own}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says.

        Raises:
            KeyError, RuntimeError: names or shapes of another network.
        """
        for name in _STANDARD:
            setattr(self, name, np.array(state[name]))
        with seeded(0):
            self.network_ = self._build(len(self.x_mean_), len(self.y_mean_))
        restore_weights(self.network_, state)
