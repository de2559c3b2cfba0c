"""Linear decision problems whose true law is drawn from: risk and best decisions by common random numbers.

What is random in an outcome is a few numbers that do not depend on the case; the case says what they mean. So all cases
and all decisions are judged on the same `N_EVALUATION` draws of an instance, and the best decision for the law is the
plan of least CVaR on `N_PLANNING` others. With alpha = 1 both come from the exact mean. For alpha < 1 the regret of a
good decision may so be a hair below zero: the plan that it is measured against knows other draws. Where parts are whole
it is that of the relaxation, unless a problem knows better (a mixed program of 1,000 draws takes seconds to minutes): a
lower bound on what whole parts can reach, so that their regret for alpha < 1 is an upper one.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.linear import LinearProblem
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.risk import check_alpha, cvar
from stormgym.envs.risk_batch import cvar_plans

N_EVALUATION, N_PLANNING = 2_000, 1_000
"""Draws on which decisions are judged, and others on which the best ones are planned."""
BLOCK = 16
"""Cases whose draws are in memory at a time."""
_EVALUATION, _PLANNING = 8_101, 8_102
"""Streams of an instance from which these draws come."""


class SampledLaw(LinearProblem):
    """A linear problem of which subclasses write the mean outcome and what random numbers make of it.

    Attributes:
        instance: seed of the common draws.
    """

    instance: int

    def law_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """Random numbers `[*shape, r]` behind outcomes, of the same law in all cases."""
        raise NotImplementedError(f"{type(self).__name__} must write law_noise()")

    def outcomes_of(self, cases: Cases, noise: Floats) -> Floats:
        """Outcomes `[S, E, n]` of E cases and random numbers `[S, E, r]`, or `[S, 1, r]` where all have the same."""
        raise NotImplementedError(f"{type(self).__name__} must write outcomes_of()")

    def true_outcomes(self, cases: Cases, n_samples: int, rng: np.random.Generator) -> Floats:
        """Samples `[S, E, n]` of the true law."""
        if not self.knows_truth:
            return super().true_outcomes(cases, n_samples, rng)
        return self.outcomes_of(cases, self.law_noise((n_samples, len(cases)), rng))

    def true_risk(self, plans: Floats, cases: Cases, alpha: float) -> Floats:
        """CVaR_alpha of the true cost `[E]` of decisions `[E, n]`, on the common draws; exact for alpha = 1."""
        if not self.knows_truth:
            return super().true_risk(plans, cases, alpha)
        if check_alpha(alpha) == 1.0:
            return np.asarray(self.cost(plans, self.true_mean(cases)), dtype=np.float64)
        noise = self.law_noise((N_EVALUATION, 1), np.random.default_rng([self.instance, _EVALUATION]))
        return np.asarray(cvar(self._sampled_costs(plans, cases, noise).T, alpha), dtype=np.float64)

    def _sampled_costs(self, plans: Floats, cases: Cases, noise: Floats) -> Floats:
        """Costs `[S, E]` of decisions `[E, n]` for random numbers `[S, 1, r]`."""
        costs = np.empty((len(noise), len(cases)))
        for start in range(0, len(cases), BLOCK):
            rows = slice(start, start + BLOCK)
            costs[:, rows] = self.cost(plans[rows], self.outcomes_of(cases.rows(rows), noise))
        return costs

    def _true_plans(self, cases: Cases, alpha: float) -> Floats:
        if alpha == 1.0:
            return self.oracle(self.sense * self.true_mean(cases))
        noise, plans = self._planning_noise(), np.empty((len(cases), self.n))
        for start in range(0, len(cases), BLOCK):
            rows = slice(start, start + BLOCK)
            prices = self.sense * self.outcomes_of(cases.rows(rows), noise)  # [S, E, n]
            plans[rows] = cvar_plans(prices, self.polytope, alpha=alpha, quadratic=self.quadratic).plan
        return plans

    def _planning_noise(self) -> Floats:
        """Random numbers `[S, 1, r]` on which the best decisions are planned."""
        return self.law_noise((N_PLANNING, 1), np.random.default_rng([self.instance, _PLANNING]))
