"""Decision problems whose cost is linear in what comes: f(c, w) = s c.w + w'Qw over a polytope (Gen-DFL section 1).

The sense s is 1 where c is a cost and -1 where it is a gain; it lives here alone, and everything is minimised. Where
the law of c is known, a decision has a true risk, and its regret is measured against the best decision for that law:

    R_alpha(x) = CVaR_alpha[f(c, w)] - min over w* of CVaR_alpha[f(c, w*)],    c ~ p(. | x)

and never against a forecast. (The paper's text has the CVaR of a difference, which is larger.)
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases, DecisionProblem
from stormgym.envs.risk import Polytope

RISKS = (1.0, 0.5, 0.1)
"""Shares of worst outcomes of which tables show the true risk."""


class LinearProblem(DecisionProblem):
    """min over w in a polytope of s c.w + w'Qw; subclasses write the data, the polytope and the oracle.

    Attributes:
        sense: s, 1 or -1.
        polytope: what can be decided.
        quadratic: Q `[n, n]`, the same in every case, or None.
    """

    sense: ClassVar[float] = 1.0
    polytope: Polytope
    quadratic: Floats | None = None

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f `[...]` of plans and outcomes `[..., n]`, broadcast; arrays or tensors."""
        linear = self.sense * (plans * outcomes).sum(-1)
        return linear if self.quadratic is None else linear + self.quadratic_cost(plans)

    def quadratic_cost(self, plans: Any) -> Any:
        """w'Qw `[...]` of plans `[..., n]`."""
        if self.quadratic is None:
            return 0.0 * plans.sum(-1)
        quadratic = self.quadratic
        if type(plans).__module__.startswith("torch"):
            quadratic = plans.new_tensor(quadratic)
        return ((plans @ quadratic) * plans).sum(-1)

    def oracle(self, prices: Floats) -> Floats:
        """The decisions `[B, n]` of least prices.w + w'Qw, exact, for prices `[B, n]` (s c where c is known)."""
        raise NotImplementedError(f"{type(self).__name__} must write oracle()")

    def best(self, outcomes: Floats) -> Floats:
        """The best decisions in hindsight `[B, n]`."""
        return self.oracle(self.sense * np.asarray(outcomes, dtype=np.float64))

    def true_mean(self, cases: Cases) -> Floats:
        """Mean outcome `[E, n]` of the true law.

        Raises:
            ValueError: the law is not known.
        """
        del cases
        raise ValueError(f"the true law of {type(self).__name__} is not known")

    def true_risk(self, plans: Floats, cases: Cases, alpha: float) -> Floats:
        """CVaR_alpha of the true cost `[E]` of decisions `[E, n]`, one a case.

        Raises:
            ValueError: the law is not known.
        """
        del plans, cases, alpha
        raise ValueError(f"the true law of {type(self).__name__} is not known")

    def true_plans(self, cases: Cases, alpha: float) -> Floats:
        """The decisions `[E, n]` of least true CVaR_alpha, from which true regret is measured.

        Raises:
            ValueError: the law is not known.
        """
        del cases, alpha
        raise ValueError(f"the true law of {type(self).__name__} is not known")
