"""Decision problems whose cost is linear in what comes: f(c, w) = s c.w + w'Qw over a polytope (Gen-DFL section 1).

The sense s is 1 where c is a cost and -1 where it is a gain; it lives here alone, and everything is minimised. Where
the law of c is known, a decision has a true risk, and its regret is measured against the best decision for that law:

    R_alpha(x) = CVaR_alpha[f(c, w)] - min over w* of CVaR_alpha[f(c, w*)],    c ~ p(. | x)

and never against a forecast. (The paper's text has the CVaR of a difference, which is larger.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases, DecisionProblem
from stormgym.envs.risk import Polytope, check_alpha

RISKS = (1.0, 0.5, 0.1)
"""Shares of worst outcomes of which tables show the true risk."""


class LinearProblem(DecisionProblem):
    """min over w in a polytope of s c.w + w'Qw; subclasses write the data, the polytope and the oracle.

    Attributes:
        sense: s, 1 or -1.
        polytope: what can be decided.
        quadratic: Q `[n, n]`, the same in every case, or None.
        risk: share of worst outcomes that planners of this problem should mind, in (0, 1]; costs do not depend on it.
        integral: whether all parts of a decision are whole; the polytope is then its relaxation.
    """

    sense: ClassVar[float] = 1.0
    polytope: Polytope
    quadratic: Floats | None = None
    risk: float = 1.0
    integral: bool = False

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f `[...]` of plans and outcomes `[..., n]`, broadcast; arrays or tensors."""
        linear = self.sense * (plans * outcomes).sum(-1)
        return linear if self.quadratic is None else linear + self.quadratic_cost(plans)

    def quadratic_cost(self, plans: Any) -> Any:
        """w'Qw `[...]` of plans `[..., n]`."""
        if self.quadratic is None:
            return 0.0 * plans.sum(-1)
        if type(plans).__module__.startswith("torch"):
            return ((plans @ plans.new_tensor(self.quadratic)) * plans).sum(-1)
        # not a matrix product, whose last bits depend on how many rows there are
        return (np.einsum("...i,ij->...j", plans, self.quadratic) * plans).sum(-1)

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

        Those of recorded cases are made when they are asked for, and remembered.

        Raises:
            ValueError: the law is not known.
        """
        alpha = check_alpha(alpha)
        if not self.knows_truth:
            raise ValueError(f"the true law of {type(self).__name__} is not known")
        return self._remembered("plan", self._true_plans, cases, alpha)

    def _true_plans(self, cases: Cases, alpha: float) -> Floats:
        """See `true_plans`; nothing is remembered."""
        raise NotImplementedError(f"{type(self).__name__} must write _true_plans()")

    def true_regret(self, plans: Floats, cases: Cases, alpha: float) -> Floats:
        """R_alpha `[E]` of decisions `[E, n]`.

        Raises:
            ValueError: the law is not known.
        """
        return self.true_risk(plans, cases, alpha) - self._remembered("risk", self._least_risk, cases, alpha)

    def _least_risk(self, cases: Cases, alpha: float) -> Floats:
        return self.true_risk(self.true_plans(cases, alpha), cases, alpha)

    def _remembered(self, what: str, make: Callable[[Cases, float], Floats], cases: Cases, alpha: float) -> Floats:
        """make(cases, alpha) `[E, ...]`, for recorded cases made once for all problems with this key."""
        if cases.number is None or not len(cases):
            return make(cases, alpha)
        memory = _memory_of(type(self).__module__, type(self).__qualname__, self.key)
        names = [f"{what} at {alpha!r} of {mark}" for mark in _marks(cases)]
        new = [i for i, name in enumerate(names) if name not in memory]
        if new:
            memory.update(zip((names[i] for i in new), make(cases.rows(new), alpha), strict=True))
        return np.stack([memory[name] for name in names])

    def true_metrics(self, plans: Floats, cases: Cases) -> dict[str, Floats]:
        """True mean, CVaR and regret `[E]` of decisions, and regret at the problem's risk; empty without a law."""
        if not self.knows_truth:
            return {}
        risk = {alpha: self.true_risk(plans, cases, alpha) for alpha in {*RISKS, self.risk}}
        least = {alpha: self._remembered("risk", self._least_risk, cases, alpha) for alpha in risk}
        named = {f"true_cvar_{alpha:g}" if alpha < 1.0 else "true_mean": risk[alpha] for alpha in RISKS}
        for alpha in RISKS:
            named[f"true_regret_{alpha:g}" if alpha < 1.0 else "true_regret"] = risk[alpha] - least[alpha]
        return named | {"risk_regret": risk[self.risk] - least[self.risk]}


@lru_cache(maxsize=16)
def _memory_of(module: str, name: str, key: Hashable) -> dict[str, Any]:
    """What has been made for the recorded cases of a problem, by name: best decisions and their risk."""
    del module, name, key
    return {}


def _marks(cases: Cases) -> list[str]:
    """What tells each case from others: all that is known before it, and its hidden state."""
    known = [np.ascontiguousarray(v) for v in (*cases.context.values(), *cases.hidden.values())]
    return [hashlib.blake2b(b"".join(v[i].tobytes() for v in known)).hexdigest() for i in range(len(cases))]
