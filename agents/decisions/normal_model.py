"""`NormalModel`: a `GaussianNet` on the features of cases, as a forecaster that the methods train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.dfl.decision import Gaussian
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases
from stormgym.predictors.gaussian import GaussianNet


class NormalModel:
    """Normal outcomes, independent given what is known.

    Args:
        net: unfitted.
        features: cases -> `[E, F]` inputs.
    """

    def __init__(self, net: GaussianNet, features: Callable[[Cases], Floats]) -> None:
        self.net, self.features = net, features

    @property
    def scale_(self) -> float:
        """Factor on the spread."""
        return self.net.scale_

    @scale_.setter
    def scale_(self, value: float) -> None:
        self.net.scale_ = value

    def fit(self, train: Cases, validation: Cases) -> None:
        """By likelihood, stopped by that of the validation cases."""
        self.net.fit(self.features(train), _flat(train), self.features(validation), _flat(validation))

    def parameters(self) -> list[nn.Parameter]:
        """Weights of the network."""
        return self.net.parameters()

    def outcomes(self, data: Cases, noise: torch.Generator) -> Any:
        """The normal forecast of each number of an outcome."""
        del noise
        return Gaussian(*self.net.forecast(self.features(data)))

    def fit_loss(self, data: Cases, noise: torch.Generator) -> Tensor:
        """Negative log-likelihood of a number."""
        del noise
        y = _flat(data)
        return -self.net.log_prob(y, self.features(data)).mean() / y.shape[1]

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return self.net.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        self.net.restore(state)


def _flat(cases: Cases) -> Floats:
    """Outcomes `[E, D]`."""
    return cases.outcomes.reshape(len(cases), -1)
