"""Portfolio: shares of a budget before returns are known (Gen-DFL section 6.1, B.1).

    f(c, w) = -c.w + w'Qw,   w >= 0, sum w <= 1;   c = m(x) + L f + .01 sigma e,   Q = LL' + (.01 sigma)^2 I

with f `[4]` and e `[n]` standard normal and m(x) = (.05 Bx / sqrt p + .1^(1/degree))^degree. The paper prints .1 for
the constant; its code has the root. Costs are normal with mean -m.w + w'Qw and variance w'Qw, so the true risk has a
closed form. The paper's code asks for sum w = 1; here money may stay idle.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.arguments import check_number, check_whole
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.security_game import to_capped_simplex
from stormgym.envs.decisions.synthetic_costs import SyntheticCosts
from stormgym.envs.risk import Polytope, check_alpha

N_FACTORS = 4
STILL = 1e-14
"""Largest move of a share at which the search for the best ones ends."""
MOST_STEPS = 5_000
WORTH_SHOWING = 1e-3
"""Least share that a picture marks."""


class PortfolioProblem(SyntheticCosts):
    """Shares `[n]` of n assets; returns and their covariance as in the module. Q is in `quadratic`, not in the context.

    At sigma = 20 the spread of a return is about .29 around means of about .1: plans on few samples chase noise.

    Args:
        n_assets: n.
        sigma: scale of the noise, above 0.
        **kwargs: of `SyntheticCosts`, without `noise`.
    """

    sense = -1.0
    stream = 8_001

    def __init__(self, n_assets: int = 50, *, sigma: float = 20.0, **kwargs: Any) -> None:
        super().__init__(check_whole("n_assets", n_assets, 1), noise=check_number("sigma", sigma, above=0), **kwargs)
        half = 0.0025 * self.noise
        self.loadings: Floats = self._made_by.uniform(-half, half, (self.n, N_FACTORS))  # L [n, 4]
        self.own_sd = 0.01 * self.noise  # of each asset, beside the factors
        self.quadratic: Floats = self.loadings @ self.loadings.T + self.own_sd**2 * np.eye(self.n)
        self.polytope = Polytope(lower=np.zeros(self.n), A_ub=np.ones((1, self.n)), b_ub=np.ones(1))

    def mean_of(self, features: Floats) -> Floats:
        """m(x) `[E, n]`."""
        mean: Floats = (0.05 * self.mixed(features) + 0.1 ** (1.0 / self.degree)) ** self.degree
        return mean

    def law_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """f and e `[*shape, 4 + n]`."""
        return rng.standard_normal((*shape, N_FACTORS + self.n))

    def outcomes_of(self, cases: Cases, noise: Floats) -> Floats:
        """Returns `[S, E, n]`."""
        shared = np.einsum("...f,nf->...n", noise[..., :N_FACTORS], self.loadings)
        return self.true_mean(cases) + shared + self.own_sd * noise[..., N_FACTORS:]

    @cached_property
    def _curvature(self) -> tuple[float, float]:
        """Least and largest curvature of w'Qw."""
        values = 2.0 * np.linalg.eigvalsh(self.quadratic)
        return float(values[0]), float(values[-1])

    def oracle(self, prices: Floats) -> Floats:
        """Shares `[B, n]` of least prices.w + w'Qw, by accelerated projected gradients (Nesterov) at once.

        The steps' momentum is that of strongly convex costs, so that the distance to the optimum shrinks by the same
        factor each time; at the default sigma some 60 of them leave nothing to move.
        """
        least, most = self._curvature
        momentum = (most**0.5 - least**0.5) / (most**0.5 + least**0.5)
        shares = to_capped_simplex(-prices / most, 1.0)
        ahead = shares
        for _ in range(MOST_STEPS):
            new = to_capped_simplex(ahead - (prices + 2.0 * ahead @ self.quadratic) / most, 1.0)
            moved = float(np.abs(new - shares).max(initial=0.0))
            ahead, shares = new + momentum * (new - shares), new
            if moved < STILL:
                break
        return shares

    def project(self, plans: Floats) -> Floats:
        """The nearest shares `[B, n]`; those that can be had stay as they are."""
        return to_capped_simplex(plans, 1.0)

    def true_risk(self, plans: Floats, cases: Cases, alpha: float) -> Floats:
        """CVaR_alpha `[E]` of normal costs: -m.w + w'Qw + kappa sqrt(w'Qw), kappa = phi(z_alpha) / alpha."""
        variance = self.quadratic_cost(plans)
        mean = variance - (plans * self.true_mean(cases)).sum(axis=-1)
        return np.asarray(mean + tail_factor(alpha) * np.sqrt(variance), dtype=np.float64)

    def _true_plans(self, cases: Cases, alpha: float) -> Floats:
        means = self.true_mean(cases)
        if alpha == 1.0:
            return self.oracle(-means)
        return np.stack([_safest(mean, self.quadratic, tail_factor(alpha)) for mean in means])

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """Returns of the assets (before they come their spread), the shares held, and what would have been best."""
        asset = np.arange(self.n)
        axes.set_xlabel("asset")
        if plan is None:
            axes.bar(asset, np.sqrt(np.diag(np.asarray(self.quadratic))), color="#cccccc")
            axes.set_ylabel("standard deviation of the return")
            return
        returns = case.outcomes[0]
        axes.bar(asset, returns, color="#cccccc", label="return that came")
        best = self.best(case.outcomes)[0] > WORTH_SHOWING
        axes.plot(asset[best], returns[best], "v", color="#D55E00", label="held in hindsight")
        axes.set_ylabel("return")
        twin = axes.twinx()
        twin.bar(asset, plan, 0.4, color="#0072B2", label="share held")
        # both axes have their zero at the same height
        low, high = axes.get_ylim()
        top = 1.4 * max(float(plan.max()), WORTH_SHOWING)
        axes.set_ylim(low, 1.4 * high)
        twin.set_ylim(top * low / (1.4 * high), top)
        twin.set_ylabel("share of the budget", color="#0072B2")
        twin.spines["top"].set_visible(False)
        for each, side in ((axes, "upper left"), (twin, "upper right")):
            each.legend(loc=side, frameon=False)


def tail_factor(alpha: float) -> float:
    """kappa: how many standard deviations CVaR_alpha of a normal cost lies above its mean; 0 at alpha = 1."""
    alpha = check_alpha(alpha)
    density = np.exp(-0.5 * float(ndtri(alpha)) ** 2) / np.sqrt(2.0 * np.pi)
    return 0.0 if alpha == 1.0 else float(density / alpha)


def _safest(mean: Floats, quadratic: Floats, kappa: float) -> Floats:
    """Shares `[n]` of least -mean.w + w'Qw + kappa sqrt(w'Qw): a cone program in w and t = sqrt(w'Qw)."""
    import clarabel
    from scipy import sparse

    n = len(mean)
    root = np.linalg.cholesky(quadratic).T  # |root w|^2 = w'Qw
    blocks: Any = [
        [sparse.csr_matrix(np.ones((1, n))), None],
        [-sparse.eye(n), None],
        [None, sparse.csr_matrix([[-1.0]])],
        [sparse.csr_matrix(-root), None],
    ]
    rows: Any = sparse.bmat(blocks).tocsc()
    right = np.concatenate([[1.0], np.zeros(2 * n + 1)])
    hessian: Any = sparse.block_diag([sparse.triu(2.0 * quadratic), sparse.csr_matrix((1, 1))]).tocsc()
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    cones = [clarabel.NonnegativeConeT(1 + n), clarabel.SecondOrderConeT(1 + n)]
    answer = clarabel.DefaultSolver(hessian, np.append(-mean, kappa), rows, right, cones, settings).solve()
    if str(answer.status) not in ("Solved", "AlmostSolved"):
        raise RuntimeError(f"no plan was found: Clarabel ends with {answer.status}")
    return to_capped_simplex(np.array(answer.x)[:n], 1.0)
