"""`PolicyNet`: a network from what is known straight to a decision, trained on the cost itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases, DecisionProblem
from stormgym.predictors.networks import fit_until_stopped, restore_weights, seeded, weights_as_arrays
from stormgym.predictors.threads import one_thread


class PolicyNet:
    """A decision as the usual one plus its spread times a network's output; the feasible set by projection afterwards.

    Args:
        problem: cost, feasible set and usual decisions.
        features: cases -> `[E, F]` inputs.
        hidden: widths of the layers.
        learning_rate: of Adam, on all cases at a time.
        max_steps, patience: gradient steps at most, and without a better validation cost.
        seed: of weights and dropout.
    """

    def __init__(
        self,
        problem: DecisionProblem,
        features: Callable[[Cases], Floats],
        *,
        hidden: tuple[int, ...] = (200, 200),
        learning_rate: float = 1e-3,
        max_steps: int = 1_000,
        patience: int = 100,
        seed: int = 0,
    ) -> None:
        self.problem, self.features, self.hidden = problem, features, hidden
        self.learning_rate, self.max_steps, self.patience, self.seed = learning_rate, max_steps, patience, seed

    def fit(self, train: Cases, validation: Cases) -> Self:
        """Learn by the mean cost of the training cases, stopped by that of the validation cases."""
        inputs = self.features(train)
        self.mean_ = inputs.mean(axis=0)
        self.sd_ = np.where(inputs.std(axis=0) > 1e-12, inputs.std(axis=0), 1.0)
        x, x_held = self._standard(train), self._standard(validation)
        y, y_held = torch.as_tensor(train.outcomes), torch.as_tensor(validation.outcomes)
        with one_thread(), seeded(self.seed):
            self._build()
            optimizer = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate)

            def step() -> None:
                optimizer.zero_grad()
                loss = self.problem.cost(self._plans(x), y).mean()
                loss.backward()
                optimizer.step()

            def held_cost() -> float:
                return float(self.problem.cost(self._plans(x_held), y_held).mean())

            fit_until_stopped(self.network_, step, held_cost, most=self.max_steps, patience=self.patience)
        return self

    def plans(self, cases: Cases) -> Floats:
        """Decisions `[E, n]` within the feasible set."""
        with torch.no_grad():
            wanted: Floats = self._plans(self._standard(cases)).numpy()
        return self.problem.project(wanted)

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return {**weights_as_arrays(self.network_), "mean_": self.mean_, "sd_": self.sd_}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says.

        Raises:
            KeyError, RuntimeError: names or shapes of another network.
        """
        self.mean_, self.sd_ = np.array(state["mean_"]), np.array(state["sd_"])
        with seeded(0):
            self._build()
        restore_weights(self.network_, state)

    def _build(self) -> None:
        layers: list[nn.Module] = []
        width = len(self.mean_)
        for n_out in self.hidden:
            layers += [nn.Linear(width, n_out), nn.BatchNorm1d(n_out), nn.ReLU(), nn.Dropout(0.2)]
            width = n_out
        self.network_ = nn.Sequential(*layers, nn.Linear(width, self.problem.n))

    def _standard(self, cases: Cases) -> Tensor:
        return torch.as_tensor((self.features(cases) - self.mean_) / self.sd_, dtype=torch.float32)

    def _plans(self, x: Tensor) -> Tensor:
        centre, spread = torch.as_tensor(self.problem.usual)
        plans: Tensor = centre + spread * self.network_(x).double()
        return plans
