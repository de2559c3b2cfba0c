"""scikit-learn's `MLPRegressor` with a loop that does no more than it must: the same weights to the bit, much sooner.

Most of a fit of a small network is no arithmetic: arguments are checked for each batch, and all that Adam keeps is made
anew, array by array. Here the weights are one vector and what a step needs is allocated once. The rest is as printed
there: Glorot's initial weights, a tenth of the rows to stop by, batches of shuffled rows, Adam (Kingma and Ba 2014).
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor

from stormgym.predictors.arrays import Floats


class QuickMLPRegressor(MLPRegressor):
    """An `MLPRegressor` of ReLU, Adam and early stopping, fitted quickly; with other settings it is as its parent.

    `loss_curve_` is as its parent's but for rounding; an interrupt ends the fit.
    """

    best_validation_score_: float
    _no_improvement_count: int

    def _fit_stochastic(self, X: Floats, y: Floats, *rest: Any, **named: Any) -> None:
        """What the parent's `fit` calls once arguments are checked and weights are drawn."""
        weighted = any(isinstance(part, np.ndarray) for part in (*rest, *named.values()))
        incremental = bool(rest[-1]) if rest else bool(named.get("incremental"))
        settings = (self.solver, self.activation, self.early_stopping, self.shuffle, self.verbose)
        usual = settings == ("adam", "relu", True, True, False) and y.shape[1] == 1 and X.dtype == np.float64
        if weighted or incremental or not usual:
            super()._fit_stochastic(X, y, *rest, **named)
        else:
            self._fit_quickly(X, y)

    def _fit_quickly(self, X: Floats, y: Floats) -> None:
        """Train until the validation score has not risen for a while; the best weights are kept."""
        rng, fraction = self._random_state, self.validation_fraction
        own, held_out, target, held_out_target = train_test_split(X, y, random_state=rng, test_size=fraction)
        if len(held_out) < 2:
            raise ValueError(
                f"the validation set is too small: {fraction:g} of {len(X)} rows. Give more rows or raise "
                "validation_fraction"
            )
        n = len(own)
        size = min(200, n) if self.batch_size == "auto" else int(np.clip(self.batch_size, 1, n))
        state = _Adam(self)
        order, most = np.arange(n), self.max_iter
        spread = ((held_out_target - np.average(held_out_target, axis=0)) ** 2).sum(axis=0)
        while self.n_iter_ < most:
            shuffled = np.arange(n)
            rng.shuffle(shuffled)
            order = order[shuffled]
            rows, wanted = own[order], target[order]
            loss = 0.0
            for first in range(0, n, size):
                batch = slice(first, min(first + size, n))
                loss += state.step(rows[batch], wanted[batch]) * (batch.stop - first)
            self.n_iter_ += 1
            self.loss_ = loss / n
            self.t_ += n
            self.loss_curve_.append(self.loss_)
            error = ((held_out_target - state.predict(held_out)) ** 2).sum(axis=0)
            if self._stops(float((1.0 - error / spread)[0]) if spread[0] else float(error[0] == 0.0), state):
                break
        else:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({most}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts

    def _stops(self, score: float, state: _Adam) -> bool:
        """Keep the weights if they are the best so far; whether it is time to stop."""
        self.validation_scores_.append(score)
        better = not score < self.best_validation_score_ + self.tol
        self._no_improvement_count = 0 if better else self._no_improvement_count + 1
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best_coefs = [weight.copy() for weight in state.weights]
            self._best_intercepts = [bias.copy() for bias in state.biases]
        return bool(self._no_improvement_count > self.n_iter_no_change)


class _Adam:
    """Weights and biases of a network as views of one vector, and Adam's steps on it.

    Args:
        network: whose weights have been drawn.
    """

    def __init__(self, network: Any) -> None:
        drawn = [*network.coefs_, *network.intercepts_]
        self.vector = np.concatenate([part.ravel() for part in drawn])  # [P] all weights, then all biases
        self.gradient = np.empty_like(self.vector)
        self.first, self.second = np.zeros_like(self.vector), np.zeros_like(self.vector)  # moments
        self._spare, self._root = np.empty_like(self.vector), np.empty_like(self.vector)
        depth = len(network.coefs_)
        views, slopes = _views(self.vector, drawn), _views(self.gradient, drawn)
        self.weights, self.biases = views[:depth], views[depth:]
        self._weight_slopes, self._bias_slopes = slopes[:depth], slopes[depth:]
        self._n_weights = sum(weight.size for weight in self.weights)
        self._room: dict[int, tuple[list[Floats], list[Floats], list[Any]]] = {}
        self.alpha, self.rate, self.epsilon = network.alpha, network.learning_rate_init, network.epsilon
        self.beta_1, self.beta_2, self.t = network.beta_1, network.beta_2, 0

    def predict(self, rows: Floats) -> Floats:
        """Outputs `[M, 1]` of rows `[M, F]`."""
        layer = rows
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            layer = layer @ weight
            layer += bias
            if i < len(self.weights) - 1:
                np.maximum(layer, 0, out=layer)
        return layer

    def step(self, rows: Floats, wanted: Floats) -> float:
        """One step on a batch of rows `[M, F]` and targets `[M, 1]`; the loss before it."""
        n, last = len(rows), len(self.weights) - 1
        layers, slopes, idle = self._buffers(n)
        layers[0] = rows
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            np.matmul(layers[i], weight, out=layers[i + 1])
            layers[i + 1] += bias
            if i < last:
                np.maximum(layers[i + 1], 0, out=layers[i + 1])
        np.subtract(layers[-1], wanted, out=slopes[last])
        error, decayed = slopes[last].ravel(), self.vector[: self._n_weights]
        loss = 0.5 * float(error @ error) / n + 0.5 * self.alpha * float(decayed @ decayed) / n
        for i in range(last, -1, -1):
            np.matmul(layers[i].T, slopes[i], out=self._weight_slopes[i])
            np.sum(slopes[i], axis=0, out=self._bias_slopes[i])
            if i:
                np.matmul(slopes[i], self.weights[i].T, out=slopes[i - 1])
                np.equal(layers[i], 0, out=idle[i])
                np.copyto(slopes[i - 1], 0.0, where=idle[i])
        np.multiply(decayed, self.alpha, out=self._spare[: self._n_weights])
        self.gradient[: self._n_weights] += self._spare[: self._n_weights]
        self.gradient /= n
        self._move()
        return loss

    def _move(self) -> None:
        """Adam's update for the gradient."""
        self.t += 1
        spare, root = self._spare, self._root
        self.first *= self.beta_1
        self.first += np.multiply(self.gradient, 1 - self.beta_1, out=spare)
        np.multiply(self.gradient, self.gradient, out=spare)
        spare *= 1 - self.beta_2
        self.second *= self.beta_2
        self.second += spare
        rate = self.rate * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        np.sqrt(self.second, out=root)
        root += self.epsilon
        np.multiply(self.first, -rate, out=spare)
        spare /= root
        self.vector += spare

    def _buffers(self, n: int) -> tuple[list[Floats], list[Floats], list[Any]]:
        """Room for a batch of n rows: layers, what the loss changes with them, and where a unit is idle."""
        if n not in self._room:
            widths = [len(self.weights[0]), *(len(bias) for bias in self.biases)]
            layers = [np.empty((n, width)) for width in widths]
            idle = [np.empty((n, width), dtype=np.bool_) for width in widths]
            self._room[n] = (layers, [np.empty((n, width)) for width in widths[1:]], idle)
        return self._room[n]


def _views(vector: Floats, parts: list[Floats]) -> list[Floats]:
    """Views of a vector in the shapes of parts that follow one another in it."""
    ends = np.cumsum([0, *(part.size for part in parts)]).tolist()
    return [vector[a:b].reshape(part.shape) for (a, b), part in zip(pairwise(ends), parts, strict=True)]
