"""Policies for every decision problem: plans on a forecast by each method, a network, and two that know the future."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from stormgym.agents.binding import base_envs, truth_of
from stormgym.agents.decisions.methods import Method, fitted, fitted_policy_net, plans_of
from stormgym.agents.decisions.tasks import Task, task_of
from stormgym.agents.dfl.risk import check_alpha
from stormgym.agents.policy import BasePolicy
from stormgym.envs.arrays import Bools, Floats, Observation
from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.problem import Cases, DecisionProblem

N_TRUE_SAMPLES = 500
"""Samples of the true law that `true-distribution` plans for."""


def problem_of(env: Any) -> DecisionProblem:
    """The problem of a decision environment (single, batched or wrapped), as planners may know it.

    Raises:
        TypeError: another environment, or one that runs in other processes.
        ValueError: environments of several problems side by side.
    """
    try:
        found: list[DecisionProblem] = [e.announced.problem for e in base_envs(env, "core", DecisionCore)]
    except TypeError:
        raise TypeError(
            f"this agent decides decision problems (environments of one step with a `problem`), in this process; got "
            f"{env!r}. It cannot read other processes"
        ) from None
    others = [problem.key for problem in found if problem.key != found[0].key]
    if others:
        raise ValueError(f"an agent is fitted to one problem; got {found[0].key} and {others[0]} side by side")
    return found[0]


def risk_of(problem: DecisionProblem, risk: float | None) -> float:
    """The share of worst outcomes to plan for: as it is given, else the problem's own, else 1, the mean.

    Raises:
        TypeError, ValueError: no number in (0, 1].
    """
    return check_alpha(getattr(problem, "risk", 1.0) if risk is None else risk, "risk")


class DecisionPolicy(BasePolicy):
    """Decides on what it sees; subclasses write `decide`.

    Args:
        problem: of the environment.
        seed: of weights and noise; a policy is fitted once a problem and seed, and then recalled.
    """

    def __init__(self, problem: DecisionProblem, *, seed: int = 0) -> None:
        self.problem, self.seed = problem, seed
        self.task: Task = task_of(problem)

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> DecisionPolicy:
        """Bind to the problem of `env`."""
        return cls(problem_of(env), **kwargs)

    def decide(self, cases: Cases) -> Floats:
        """Decisions `[B, n]` of cases whose outcomes are not known (and are zeros here)."""
        raise NotImplementedError(f"{type(self).__name__} must write decide()")

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Any, Any]:
        """Actions that stand for decisions `[B, n]`; there is no state."""
        del episode_start, deterministic
        missing = [name for name in self.problem.context_shapes if name not in observation]
        if missing:
            raise ValueError(
                f"{self.name} decides for {type(self.problem).__name__}; the observation lacks {missing[0]!r}. "
                "Make it with for_env of the environment that it plays"
            )
        context = {name: np.asarray(observation[name], dtype=np.float64) for name in self.problem.context_shapes}
        n = len(next(iter(context.values())))
        return self.problem.actions_of(self.decide(Cases(context, np.zeros((n, 1))))), state


class Usual(DecisionPolicy):
    """The same decision always: the one of least cost over the training cases, in the mean or in the tail.

    Idea: what can be had without looking. Cost: one plan. Source: sample-average approximation.

    Args:
        risk: share of worst outcomes whose mean cost is least (CVaR); None: the problem's own, or 1, the mean.
    """

    name = "usual"

    def __init__(self, problem: DecisionProblem, *, seed: int = 0, risk: float | None = None) -> None:
        super().__init__(problem, seed=seed)
        self.risk = risk_of(problem, risk)
        outcomes = problem.cases("train").outcomes
        self.plan: Floats = np.asarray(self.task.decision.decide(outcomes[:, None], self.risk))[0]

    def decide(self, cases: Cases) -> Floats:
        """That plan."""
        return np.tile(self.plan, (len(cases), 1))


class ForecastPolicy(DecisionPolicy):
    """The best plan for a forecast; subclasses name the method by which the forecaster is trained.

    Args:
        risk: share of worst outcomes whose mean cost is least (CVaR); None: the problem's own, or 1, the mean. It is of
            the plan alone: forecasters are trained for the mean.
    """

    method: ClassVar[Method]

    def __init__(self, problem: DecisionProblem, *, seed: int = 0, risk: float | None = None) -> None:
        super().__init__(problem, seed=seed)
        self.risk = risk_of(problem, risk)
        self.model = fitted(self.task, self.method, seed)

    def decide(self, cases: Cases) -> Floats:
        """Forecast, then plan."""
        return plans_of(self.task, self.model, cases, self.seed, self.risk)


class TwoStage(ForecastPolicy):
    """Predict, then optimise: a forecaster fitted by likelihood, and the best plan for what it says.

    Idea: the two steps know nothing of each other. Cost: one fit, then a plan. Source: SO-EBM's two-stage baseline.
    """

    name = "two-stage"
    method = "two-stage"


class TwoStageCalibrated(ForecastPolicy):
    """The same with one factor on the forecast's spread, chosen by what plans cost on validation cases.

    Idea: what fine-tuning most often finds is that the spread is too wide. Cost: eight plans of the validation cases.
    Source: the suite's own.
    """

    name = "two-stage-calibrated"
    method = "two-stage-calibrated"


class DecisionFocused(ForecastPolicy):
    """The forecaster is fine-tuned on the cost of its plans, through their optimality conditions.

    Idea: exact derivatives of the plan. Cost: a plan of every training case a step. Source: Donti, Amos and Kolter
    (2017); SO-EBM's DFL.
    """

    name = "dfl"
    method = "dfl"


class DecisionFocusedCvx(ForecastPolicy):
    """The same through cvxpylayers over samples, to be compared with; power scheduling only.

    Idea: a general layer. Cost: hundreds of times that of `dfl`. Source: Agrawal et al. (2019); SO-EBM's DFL-CVX.
    """

    name = "dfl-cvx"
    method = "dfl-cvx"


class SOEBM(ForecastPolicy):
    """The forecaster is fine-tuned as an energy-based model of the best decisions in hindsight.

    Idea: no plan is made while it learns; its likelihood needs a normaliser, exact where energies are sums. Cost: less
    than a second a step. Source: SO-EBM eq. 1-6. What it gains over `two-stage` is a correction of a spread that is too
    wide (docs/decisions.md): compare it with `two-stage-calibrated`.
    """

    name = "so-ebm"
    method = "so-ebm"


class EnergyCost(ForecastPolicy):
    """An energy-based model trained on the expected cost of its own decisions, from the calibrated forecaster on.

    Idea: what SO-EBM's losses do not aim at, without the derivative of a plan. Cost: as `so-ebm`; only where energies
    are sums over the parts of a decision. Source: the suite's own.
    """

    name = "energy-cost"
    method = "energy-cost"


class NetworkPolicy(DecisionPolicy):
    """A network from what is known straight to a decision, trained on its cost.

    Idea: no forecast, no solver. Cost: one fit. Source: SO-EBM's policy net (with the gradient of the cost; its form by
    reinforcement learning is `train.py --agent ppo`).
    """

    name = "policy-net"

    def __init__(self, problem: DecisionProblem, *, seed: int = 0) -> None:
        super().__init__(problem, seed=seed)
        self.net = fitted_policy_net(self.task, seed)

    def decide(self, cases: Cases) -> Floats:
        """The network's decisions, within the feasible set."""
        return self.net.plans(cases)


class PrivilegedPolicy(DecisionPolicy):
    """Reads the truth of the environment it is bound to; subclasses write `decide_knowing`."""

    privileged = True

    def __init__(self, env: Any, *, seed: int = 0) -> None:
        super().__init__(problem_of(env), seed=seed)
        self._env = env

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> PrivilegedPolicy:
        """Bind to `env` and its truth."""
        return cls(env, **kwargs)

    def decide(self, cases: Cases) -> Floats:
        """Decisions for the current cases, which must be those that the policy sees."""
        truths = truth_of(self._env, self)
        name = next(iter(self.problem.context_shapes))
        known, seen = np.concatenate([t.cases.context[name] for t in truths]), cases.context[name]
        if known.shape != seen.shape or not np.allclose(known, seen, rtol=1e-4):
            raise ValueError(f"{self.name} is bound to other cases; bind it to the environment that it plays")
        return np.concatenate([self.decide_knowing(truth.problem, truth.cases) for truth in truths])

    def decide_knowing(self, problem: DecisionProblem, cases: Cases) -> Floats:
        """Decisions `[B, n]` of cases with their outcomes and hidden state."""
        raise NotImplementedError(f"{type(self).__name__} must write decide_knowing()")


class Clairvoyant(PrivilegedPolicy):
    """Reference with perfect information: the best decision in hindsight; regret is measured from it.

    Idea: the outcome itself is planned for. Cost: one plan. Source: none needed.
    """

    name = "clairvoyant"

    def decide_knowing(self, problem: DecisionProblem, cases: Cases) -> Floats:
        """The problem's own best decision."""
        return problem.best(cases.outcomes)


class TrueDistribution(PrivilegedPolicy):
    """The floor: the best plan for the true law of what comes, where it is known.

    Idea: no forecaster can know more. Cost: a plan over 500 samples. Source: none needed.

    Args:
        risk: share of worst outcomes whose mean cost is least (CVaR); None: the problem's own, or 1, the mean.

    Raises:
        ValueError: the law is not known.
    """

    name = "true-distribution"

    def __init__(self, env: Any, *, seed: int = 0, risk: float | None = None) -> None:
        super().__init__(env, seed=seed)
        self.risk = risk_of(self.problem, risk)
        if not self.problem.knows_truth:
            raise ValueError(
                f"true-distribution needs a problem whose law is known; this {type(self.problem).__name__} has none"
            )

    def decide_knowing(self, problem: DecisionProblem, cases: Cases) -> Floats:
        """The plan of least risk over samples of the true law; of a case the same whatever the others are."""
        samples = [
            problem.true_outcomes(
                cases.rows(slice(i, i + 1)), N_TRUE_SAMPLES, np.random.default_rng([9_017, self.seed])
            )
            for i in range(len(cases))
        ]
        return np.asarray(self.task.decision.decide(np.concatenate(samples, axis=1), self.risk))
