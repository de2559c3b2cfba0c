"""Linear costs under uncertainty: plans for samples at any risk, forecasters, and the task of such problems (Gen-DFL).

At risk 1 the mean of the samples decides, and the problem's oracle solves it; below, plans of least CVaR are a linear
or quadratic program a case (`stormgym.envs.risk_batch`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.dfl.decision import Forecast, Gaussian, RiskPlans
from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.risk import Polytope, check_alpha, cvar_plan, cvar_plans
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.linear import LinearProblem
from stormgym.envs.decisions.problem import Cases
from stormgym.predictors.conditional import Density, Generator
from stormgym.predictors.flows import ConditionalFlow
from stormgym.predictors.gaussian import DiagonalGaussian
from stormgym.predictors.heavy_tails import HeavyTailed
from stormgym.predictors.point import PointNet
from stormgym.predictors.resampling import ForestWeights, ResidualBootstrap

N_SAMPLES, N_TRAINING_SAMPLES = 200, 64
"""Samples of a forecast that a plan is made for, and that a loss is computed on."""


class LinearCosts:
    """The decision of a `LinearProblem`, for forecasts that are samples `[S, B, n]` of what comes.

    Args:
        problem: costs, polytope, oracle.
    """

    separable = False

    def __init__(self, problem: LinearProblem) -> None:
        self.problem = problem

    @property
    def polytope(self) -> Polytope:
        """What can be decided."""
        return self.problem.polytope

    @property
    def quadratic(self) -> Floats | None:
        """Q `[n, n]`, or None."""
        return self.problem.quadratic

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f `[...]` of plans and outcomes `[..., n]`."""
        return self.problem.cost(plans, outcomes)

    def decide(self, forecast: Forecast, risk: float = 1.0) -> Floats:
        """Plans `[B, n]` of least CVaR over samples `[S, B, n]`, exact; of a `Gaussian` at risk 1, by its mean.

        Raises:
            ValueError: a risk out of (0, 1], or below 1 for a forecast that is no samples.
        """
        risk = check_alpha(risk, "risk")
        if isinstance(forecast, Gaussian):
            if risk < 1.0:
                raise ValueError(f"plans at risk {risk:g} need samples [S, B, n]; got a Gaussian: sample it first")
            forecast = np.asarray(forecast.mean)[None]
        prices = self.problem.sense * np.asarray(forecast, dtype=np.float64)
        if risk == 1.0 or len(prices) == 1:  # one atom is its own tail
            return self.problem.oracle(prices.mean(axis=0))
        if getattr(self.problem, "integral", False):
            return np.stack([self._whole(prices[:, i], risk) for i in range(prices.shape[1])])
        return cvar_plans(prices, self.polytope, alpha=risk, quadratic=self.quadratic).plan

    def _whole(self, prices: Floats, risk: float) -> Floats:
        return cvar_plan(prices, self.polytope, alpha=risk, integral=True).plan

    def decide_in_ball(self, forecast: Floats, radius: float, risk: float = 1.0) -> Floats:
        """Plans `[B, n]` against the worst law in a Wasserstein-1 ball around samples `[S, B, n]`, exact.

        Costs are linear in what comes, so the worst CVaR_alpha is the samples' own plus radius |w| / alpha (Euclidean
        norms): one conic program a case.

        Args:
            forecast: samples; one of a point forecast.
            radius: of the ball, in units of what comes.
            risk: share alpha of worst outcomes.
        """
        if radius == 0.0:
            return self.decide(forecast, risk)
        prices = self.problem.sense * np.asarray(forecast, dtype=np.float64)
        weight = radius / check_alpha(risk, "risk")
        found = [
            cvar_plan(prices[:, i], self.polytope, alpha=risk, quadratic=self.quadratic, norm_weight=weight).plan
            for i in range(prices.shape[1])
        ]
        return np.stack(found)

    def prices(self, outcomes: Tensor, smooth: float = 0.0) -> Tensor:
        """s c `[..., n]`; there are no corners to round."""
        del smooth
        return self.problem.sense * outcomes

    def oracle(self, prices: Tensor) -> Tensor:
        """The best plans `[B, n]` at prices `[B, n]`, exact, without gradient."""
        return torch.as_tensor(self.problem.oracle(prices.detach().numpy()))

    def quadratic_cost(self, plans: Tensor) -> Tensor:
        """w'Qw `[...]`."""
        cost: Tensor = self.problem.quadratic_cost(plans)
        return cost

    def tail(self, samples: Tensor, risk: float) -> RiskPlans:
        """Plans of least CVaR for prices `[S, B, n]` and the tail that decided them; see `OracleDecision`."""
        prices = samples.detach().numpy()
        found = cvar_plans(prices, self.polytope, alpha=risk, quadratic=self.quadratic)
        return RiskPlans(*(torch.as_tensor(array) for array in (found.plan, found.tail.T.copy(), found.eta)))

    def energy(self, forecast: Tensor, plans: Tensor) -> Tensor:
        """Mean cost `[..., B]` of plans `[..., B, n]` over samples `[S, B, n]`: that of the mean sample."""
        cost: Tensor = self.problem.cost(plans, forecast.mean(dim=0))
        return cost

    def project(self, plans: Tensor) -> Tensor:
        """The nearest feasible plans."""
        return torch.as_tensor(self.problem.project(plans.detach().numpy()))


class GeneratorModel:
    """A conditional generator as a forecaster that the methods train and plan on.

    Under `torch.no_grad`, where plans are made, it gives more samples than where a loss is computed.

    Args:
        generator: unfitted.
        features: cases -> `[E, F]` inputs.
        n_samples, n_training_samples: of each event.
    """

    scale_ = 1.0
    """There is no factor to calibrate."""
    common_noise = False
    """Whether all events of a forecast share random numbers."""

    def __init__(
        self,
        generator: Generator,
        features: Callable[[Cases], Floats],
        *,
        n_samples: int = N_SAMPLES,
        n_training_samples: int = N_TRAINING_SAMPLES,
    ) -> None:
        self.generator, self.features = generator, features
        is_point = isinstance(generator, PointNet)
        self.n_samples = 1 if is_point else n_samples
        self.n_training_samples = 1 if is_point else n_training_samples

    def fit(self, train: Cases, validation: Cases) -> None:
        """By the generator's own loss, stopped by that of the validation cases."""
        self.generator.fit(self.features(train), train.outcomes, self.features(validation), validation.outcomes)

    def parameters(self) -> list[nn.Parameter]:
        """Weights of the network.

        Raises:
            TypeError: the generator has none to train.
        """
        generator: Any = self.generator
        if not hasattr(generator, "parameters"):
            raise TypeError(
                f"{type(self.generator).__name__} resamples past outcomes and has no weights to train; take a flow, a "
                "Gaussian or a point forecast"
            )
        weights: list[nn.Parameter] = generator.parameters()
        return weights

    def outcomes(self, data: Cases, noise: torch.Generator) -> Tensor:
        """Samples `[S, E, n]`, differentiable where the generator is."""
        n = self.n_training_samples if torch.is_grad_enabled() else self.n_samples
        return self.generator.sample(self.features(data), n, noise, self.common_noise)

    def fit_loss(self, data: Cases, noise: torch.Generator) -> Tensor:
        """Negative log-likelihood of a number; of a point forecast its mean squared error."""
        del noise
        x = self.features(data)
        if isinstance(self.generator, PointNet):
            missed = self.generator.predict(x) - torch.as_tensor(data.outcomes)
            return (missed / torch.as_tensor(self.generator.y_scale_)).square().mean()
        generator: Any = self.generator
        density: Density = generator
        return -density.log_prob(data.outcomes, x).mean() / data.outcomes.shape[1]

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Plain arrays."""
        return self.generator.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        self.generator.restore(state)


GENERATORS: Mapping[str, Callable[[int], Generator]] = MappingProxyType(
    {
        "flow": lambda seed: ConditionalFlow(random_state=seed),
        "gaussian": lambda seed: DiagonalGaussian(random_state=seed),
        "residuals": lambda seed: ResidualBootstrap(point=new_point(seed)),
        "ratios": lambda seed: ResidualBootstrap(relative=True, point=new_point(seed)),
        "forest": lambda seed: ForestWeights(random_state=seed),
    }
)
"""Laws that `sampled-plan` takes its samples from, by name."""


def new_point(seed: int) -> PointNet:
    """An unfitted point forecaster."""
    return PointNet(learning_rate=3e-3, random_state=seed)


@dataclass(frozen=True)
class Features:
    """What tells cases apart, as numbers: the context without what never changes.

    Attributes:
        names: of context arrays.
    """

    names: tuple[str, ...]

    def __call__(self, cases: Cases) -> Floats:
        """`[E, F]`."""
        parts = [np.reshape(cases.context[name], (len(cases), -1)) for name in self.names]
        return np.concatenate(parts, axis=1, dtype=np.float64)


def features_of(problem: LinearProblem) -> Features:
    """Context arrays that differ from case to case."""
    constants: Mapping[str, Floats] = getattr(problem, "constants", dict)()
    return Features(tuple(name for name in problem.context_shapes if name not in constants))


class LinearTask:
    """What the methods need of a `LinearProblem`: decision, point forecaster, generators, policy network.

    Args:
        problem: what happens.
    """

    calibrations = (1.0,)
    tuning: Mapping[str, FineTuning] = MappingProxyType({})
    generators: Mapping[str, Callable[[int], Generator]] | None = None
    """Unfitted laws by name; None takes `GENERATORS`."""

    def __init__(self, problem: LinearProblem) -> None:
        self.problem = problem
        self.decision = LinearCosts(problem)
        self.features = features_of(problem)

    def new_model(self, seed: int) -> GeneratorModel:
        """An unfitted point forecaster (two-stage)."""
        return GeneratorModel(new_point(seed), self.features)

    def new_generator(self, name: str, seed: int) -> GeneratorModel:
        """An unfitted generator: of `GENERATORS`, or `point`, which is `new_model`.

        Raises:
            ValueError: another name.
        """
        if name == "point":
            return self.new_model(seed)
        known = GENERATORS if self.generators is None else self.generators
        if name not in known:
            raise ValueError(f"generator must be one of {', '.join(known)}; got {name!r}")
        return GeneratorModel(known[name](seed), self.features)

    def new_policy_net(self, seed: int) -> PolicyNet:
        """An unfitted network from features to plans."""
        return PolicyNet(self.problem, self.features, hidden=(64, 64), seed=seed)


class PriceTask(LinearTask):
    """The task of problems whose outcomes are prices, with spikes: densities are of their inverse hyperbolic sines."""

    generators = MappingProxyType(
        {
            **GENERATORS,
            "flow": lambda seed: HeavyTailed(ConditionalFlow(random_state=seed)),
            "gaussian": lambda seed: HeavyTailed(DiagonalGaussian(random_state=seed)),
        }
    )
