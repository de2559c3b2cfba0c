"""`GeneralTask`: learning and deciding for any problem, by its cost and feasible set alone.

Forecasts are normal (`GaussianNet` on all that is known), plans are found by projected gradient steps on the mean cost
over samples. A problem with structure does better with a task of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stormgym.agents.decisions.normal_model import NormalModel
from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.decisions.tail_plan import fixed_samples
from stormgym.agents.dfl.decision import Forecast
from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.risk import check_alpha, cvar
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases, DecisionProblem
from stormgym.predictors.gaussian import GaussianNet

N_STEPS = 400
N_SAMPLES = 100
"""Samples of a forecast that a plan is made for."""


def flat_features(cases: Cases) -> Floats:
    """Everything that is known, as numbers `[E, F]`."""
    return np.concatenate([np.reshape(v, (len(v), -1)) for v in cases.context.values()], axis=1, dtype=np.float64)


class SampledDecision:
    """Any decision with a differentiable cost: plans of least mean cost, or CVaR, over samples by projected gradient.

    Steps are in units of the usual spread of decisions and shrink to nothing; the best iterate is kept. Where the cost
    is convex plans cost within a thousandth of the optimum, a local one where it is not.

    Each part of a decision has steps of its own size (Adam) only where each is bounded alone. A constraint that joins
    parts, such as a budget, is kept by the nearest feasible decision, and that leads to the optimum only from steps
    along the slope itself: then all parts have one size, and should have one unit.
    """

    separable = False

    def __init__(self, problem: DecisionProblem) -> None:
        self.problem = problem

    @cached_property
    def joined(self) -> bool:
        """Whether a constraint joins parts of a decision: `project` then does more than keep bounds."""
        low, high = self.problem.low, self.problem.high
        wanted = low + np.random.default_rng(0).uniform(-0.5, 1.5, (64, self.problem.n)) * (high - low)
        moved = np.abs(self.problem.project(wanted) - np.clip(wanted, low, high))
        return bool((moved > 1e-6 * (high - low)).any())

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f of plans and outcomes."""
        return self.problem.cost(plans, outcomes)

    def energy(self, forecast: Tensor, plans: Tensor) -> Tensor:
        """Mean cost `[..., B]` over samples `[S, B, *]`."""
        cost: Tensor = self.problem.cost(plans.unsqueeze(-3), forecast)  # [..., S, B]
        return cost.mean(dim=-2)

    def decide(self, forecast: Forecast, risk: float = 1.0) -> Floats:
        """Plans `[B, n]` for samples `[S, B, *]` or a `Gaussian`, of which 100 samples are drawn.

        Args:
            forecast: what may come.
            risk: share of worst samples whose mean cost is least (CVaR).

        Raises:
            TypeError, ValueError: a risk that is no number in (0, 1].
        """
        share = check_alpha(risk, "risk")
        samples = torch.as_tensor(fixed_samples(forecast, N_SAMPLES))
        centre, spread = (torch.as_tensor(part) for part in self.problem.usual)
        if self.joined:
            spread = spread.square().mean().sqrt().expand(len(spread))
        plans = self.project(centre.expand(samples.shape[1], -1))
        if share < 1.0:  # no worse than the plan of the mean, from which it starts
            plans = torch.as_tensor(self.decide(forecast))
        best, least = plans, self._risk(samples, plans, share)
        mean, square = torch.zeros_like(plans), torch.zeros_like(plans)
        for step in range(1, N_STEPS + 1):
            at = plans.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._risk(samples, at, share).sum(), at)
            slope = slope * spread
            size = slope.square().mean(dim=1, keepdim=True) if self.joined else slope.square()
            mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * size
            ahead = (mean / (1.0 - 0.9**step)) / ((square / (1.0 - 0.99**step)).sqrt() + 1e-12)
            length = 0.2 * 0.5 * (1.0 + np.cos(np.pi * step / N_STEPS))
            plans = self.project(plans - length * spread * ahead)
            now = self._risk(samples, plans, share)
            better = now < least
            best, least = torch.where(better[:, None], plans, best), torch.where(better, now, least)
        return best.numpy()

    def project(self, plans: Tensor) -> Tensor:
        """The nearest feasible plans."""
        return torch.as_tensor(self.problem.project(plans.detach().numpy()))

    def _risk(self, samples: Tensor, plans: Tensor, share: float) -> Tensor:
        """Mean cost `[B]`, or that of the worst samples."""
        if share == 1.0:
            return self.energy(samples, plans)
        tail: Tensor = cvar(self.problem.cost(plans.unsqueeze(-3), samples).T, share)  # [B] of [B, S]
        return tail


class GeneralModel(NormalModel):
    """Normal outcomes of any shape from all that is known, as samples with the same noise for every case.

    Args:
        seed: of the weights.
        n_samples: S.
    """

    def __init__(self, seed: int = 0, n_samples: int = N_SAMPLES) -> None:
        super().__init__(GaussianNet(hidden=(64, 64), dropout=0.0, random_state=seed), flat_features)
        self.n_samples = n_samples

    def fit(self, train: Cases, validation: Cases) -> None:
        """By likelihood, stopped by that of the validation cases."""
        super().fit(train, validation)
        self.shape_ = train.outcomes.shape[1:]

    def outcomes(self, data: Cases, noise: torch.Generator) -> Tensor:
        """Samples `[S, E, *]`."""
        mean, sd = super().outcomes(data, noise)
        eps = torch.randn((self.n_samples, 1, mean.shape[-1]), generator=noise, dtype=mean.dtype)
        return (mean + sd * eps).unflatten(-1, self.shape_)

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return {**super().state(), "shape_": np.asarray(self.shape_, dtype=np.int64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        super().restore(state)
        self.shape_ = tuple(int(size) for size in state["shape_"])


class GeneralTask:
    """Learning and deciding for any problem."""

    calibrations = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
    tuning: Mapping[str, FineTuning] = {"so-ebm": FineTuning("so-ebm", fit_weight=0.0, normaliser="snis")}

    def __init__(self, problem: DecisionProblem) -> None:
        self.problem = problem
        self.decision = SampledDecision(problem)

    def new_model(self, seed: int) -> GeneralModel:
        """An unfitted forecaster."""
        return GeneralModel(seed)

    def new_policy_net(self, seed: int) -> PolicyNet:
        """An unfitted network from what is known to a decision."""
        return PolicyNet(self.problem, flat_features, hidden=(64, 64), seed=seed)
