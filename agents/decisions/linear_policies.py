"""Policies for decisions of linear cost: plans on samples at a risk, SPO+, a robust ball, and the tuned generator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stormgym.agents.decisions.generative import (
    GEN_DFL,
    SPO_PLUS,
    ball_radius,
    generator_of,
    samples_of,
    tuned_generator,
)
from stormgym.agents.decisions.linear import GeneratorModel, LinearTask
from stormgym.agents.decisions.policies import DecisionPolicy, risk_of
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases, DecisionProblem


class LinearPolicy(DecisionPolicy):
    """Plans on samples of a law; subclasses say which.

    Args:
        problem: of the environment, with linear costs.
        seed: of weights and noise.
        risk: share of worst outcomes whose mean cost is least (CVaR); None: the problem's own.

    Raises:
        TypeError: a problem whose costs are not linear in what comes.
    """

    task: LinearTask

    def __init__(self, problem: DecisionProblem, *, seed: int = 0, risk: float | None = None) -> None:
        super().__init__(problem, seed=seed)
        if not isinstance(self.task, LinearTask):
            raise TypeError(
                f"{self.name} needs costs that are linear in what comes (LinearProblem); "
                f"{type(problem).__name__} has two-stage"
            )
        self.risk = risk_of(problem, risk)
        self.model = self.trained()

    def trained(self) -> GeneratorModel:
        """The law that is planned on."""
        raise NotImplementedError(f"{type(self).__name__} must write trained()")

    def decide(self, cases: Cases) -> Floats:
        """Sample, then plan."""
        return self.task.decision.decide(samples_of(self.model, cases, self.seed, common=True), self.risk)


class SampledPlan(LinearPolicy):
    """The plan of least CVaR over 200 samples of a law fitted by its likelihood.

    Idea: at risk 1 the mean alone counts, and samples add nothing to a point forecast; below it the law does. Cost: one
    fit, then some milliseconds a plan. Source: Gen-DFL eq. 6 (generate, then optimise).

    Args:
        problem, seed, risk: of `LinearPolicy`.
        generator: `gaussian`, `flow`, `residuals`, `ratios` or `forest`.
    """

    name = "sampled-plan"

    def __init__(
        self,
        problem: DecisionProblem,
        *,
        seed: int = 0,
        risk: float | None = None,
        generator: str = "residuals",
    ) -> None:
        self.generator = generator
        super().__init__(problem, seed=seed, risk=risk)

    def trained(self) -> GeneratorModel:
        """By likelihood, or by residuals."""
        return generator_of(self.task, self.generator, self.seed)


class SPOPlus(LinearPolicy):
    """A point forecast, tuned from least squares on by SPO+; it takes no account of risk.

    Idea: a convex bound of the regret. Cost: two oracle calls a case and step. Source: Elmachtoub and Grigas (2022).
    """

    name = "spo+"

    def trained(self) -> GeneratorModel:
        """From the two-stage forecast on."""
        return tuned_generator(self.task, "point", SPO_PLUS, self.seed)


class RobustBall(LinearPolicy):
    """The best plan against the worst law in a Wasserstein ball around the point forecast; its radius is validated.

    Idea: worst-case CVaR is the forecast's cost and radius x norm of the plan / alpha. Cost: a conic program a case.
    Source: Diff-DRO (Ma, Ning and Du 2024) in its smallest correct form.
    """

    name = "dro"

    def __init__(self, problem: DecisionProblem, *, seed: int = 0, risk: float | None = None) -> None:
        super().__init__(problem, seed=seed, risk=risk)
        self.radius = ball_radius(self.task, self.model, self.risk, seed)

    def trained(self) -> GeneratorModel:
        """The two-stage forecast."""
        return generator_of(self.task, "point", self.seed)

    def decide(self, cases: Cases) -> Floats:
        """Forecast, then plan against the ball."""
        return self.task.decision.decide_in_ball(samples_of(self.model, cases, self.seed), self.radius, self.risk)


class GenDFL(LinearPolicy):
    """A generator tuned on its likelihood and on the regret of its plans: SPO+ of the mean of its worst samples.

    Idea: what has to be right is the mean of the tail at the plan; no proxy is needed. Cost: one fit, and a plan of
    every training case an epoch. Source: Gen-DFL eq. 7 with another decision loss. Compare it with `sampled-plan`: no
    decision loss here, the paper's least of all, is ahead of as many epochs of likelihood by more than its interval
    (docs/results/decisions.md).

    Args:
        problem, seed, risk: of `LinearPolicy`.
        generator: `gaussian` or `flow`.
    """

    name = "gen-dfl"

    def __init__(
        self, problem: DecisionProblem, *, seed: int = 0, risk: float | None = None, generator: str = "flow"
    ) -> None:
        self.generator = generator
        super().__init__(problem, seed=seed, risk=risk)

    def trained(self) -> GeneratorModel:
        """Likelihood first, then both."""
        settings: Any = replace(GEN_DFL, risk=self.risk)
        return tuned_generator(self.task, self.generator, settings, self.seed)
