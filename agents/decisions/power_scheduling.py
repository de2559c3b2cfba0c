"""Power scheduling: exact plans for normal loads by a batched interior point, their derivative, and the forecaster.

With a normal load of mean mu and spread sigma, u = (a - mu) / sigma and prices g_u, g_o, an hour costs on average

    E(a) = (g_u + g_o) [sigma phi(u) + (a - mu) Phi(u)] - g_u (a - mu) + ((a - mu)^2 + sigma^2) / 2
    E'(a) = (g_u + g_o) Phi(u) - g_u + (a - mu),      E''(a) = (g_u + g_o) phi(u) / sigma + 1 >= 1

Source: SO-EBM section 4.1; Donti, Amos and Kolter (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import ndtr
from torch import Tensor

from stormgym.agents.decisions.normal_model import NormalModel
from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.decisions.tail_plan import Misses, fixed_samples, tail_plans
from stormgym.agents.dfl.decision import Forecast, Gaussian
from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.risk import check_alpha
from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem, best_schedules, hourly_optimum
from stormgym.predictors.gaussian import GaussianNet

N_HALVINGS = 60
MAX_ITERATIONS = 400
TOLERANCE = 1e-11
"""Of the optimality conditions, relative to the prices."""
N_PUBLISHED_STEPS = 450
"""Steps after which the published form of the fit stops, at the latest; more would mend its spread."""
N_CVX_SAMPLES = 20
"""Samples in the objective of the cvxpylayers form (SO-EBM's DFL-CVX)."""


def plan_schedule(
    mu: ArrayLike, sigma: ArrayLike, *, gamma_under: float = 50.0, gamma_over: float = 0.5, ramp: float = 0.4
) -> Floats:
    """Plans `[B, 24]` of least expected cost for normal loads, within the ramp; exact.

    Args:
        mu, sigma: `[B, 24]` mean and spread of the load; spreads above 0.
        gamma_under, gamma_over: price of a unit of load that is not met, and of a unit too much.
        ramp: largest change from hour to hour.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, a spread that is not above 0, or a price or a
            ramp below 0.
    """
    mean, sd = np.asarray(mu, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    if mean.ndim != 2 or mean.shape != sd.shape or mean.shape[1] < 2:
        raise ValueError(f"mu and sigma must be [B, 24]; got shapes {mean.shape} and {sd.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd > 0).all()):
        raise ValueError("mu and sigma must be finite, and sigma above 0 everywhere")
    for name, price in (("gamma_under", gamma_under), ("gamma_over", gamma_over)):
        if not 0 <= price < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite; got {price!r}")
    if not ramp >= 0:
        raise ValueError(f"ramp must be at least 0; got {ramp!r}")
    return _solve(mean, sd, _Prices(gamma_under, gamma_over, ramp))[0]


class _Prices(NamedTuple):
    gamma_under: float
    gamma_over: float
    ramp: float


def _slope(a: Floats, mean: Floats, sd: Floats, prices: _Prices) -> Floats:
    """E' `[B, 24]`."""
    total = prices.gamma_under + prices.gamma_over
    slope: Floats = total * ndtr((a - mean) / sd) - prices.gamma_under + (a - mean)
    return slope


def _curvature(a: Floats, mean: Floats, sd: Floats, prices: _Prices) -> Floats:
    """E'' `[B, 24]`."""
    u = (a - mean) / sd
    density = np.exp(-0.5 * u**2) / math.sqrt(2.0 * math.pi)
    curvature: Floats = (prices.gamma_under + prices.gamma_over) * density / sd + 1.0
    return curvature


def free_plan(mean: Floats, sd: Floats, prices: _Prices) -> Floats:
    """Plans `[B, 24]` without the ramp: roots of E' by bisection.

    E'(mu + g_u) >= 0 and E'(mu - g_o) <= 0, since Phi is between 0 and 1: both bracket the root, however small sigma.
    """
    low, high = mean - prices.gamma_over, mean + prices.gamma_under
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        above = _slope(middle, mean, sd, prices) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray(0.5 * (low + high))


def _solve(mean: Floats, sd: Floats, prices: _Prices) -> tuple[Floats, Bools]:
    """Plans `[B, 24]`, and which changes from hour to hour `[B, 23]` sit at the ramp."""
    plans = free_plan(mean, sd, prices)
    active = np.zeros((len(plans), plans.shape[1] - 1), dtype=bool)
    if prices.ramp == 0:
        return _level(mean, sd, prices), np.ones_like(active)
    steep = np.flatnonzero(np.abs(np.diff(plans, axis=1)).max(axis=1) > prices.ramp)
    if steep.size:
        plans[steep], active[steep] = _interior_point(plans[steep], mean[steep], sd[steep], prices)
    return plans, active


def _level(mean: Floats, sd: Floats, prices: _Prices) -> Floats:
    """The best plans `[B, 24]` of one level for the whole day."""
    low, high = mean.min(1, keepdims=True) - prices.gamma_over, mean.max(1, keepdims=True) + prices.gamma_under
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        above = _slope(middle, mean, sd, prices).sum(axis=1, keepdims=True) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.tile(0.5 * (low + high), mean.shape[1])


def _interior_point(free: Floats, mean: Floats, sd: Floats, prices: _Prices) -> tuple[Floats, Bools]:
    """Primal-dual interior point for days whose free plan breaks the ramp.

    With the changes D a from hour to hour, slacks s = r - (D a, -D a) and prices z of both, it drives
    E'(a) + D'(z+ - z-) = 0 and z s = t to t = 0. The start is strictly inside, and steps keep s and z above 0. E' has a
    kink as wide as sigma: a full Newton step across it makes the residual grow, so steps are halved until it does not.
    The system is tridiagonal, E'' on the diagonal and z / s between neighbours. Days leave when they are done.
    """
    scale = max(prices.gamma_under + prices.gamma_over, 1.0)  # the square's own slope is left where prices are 0
    steepest = np.abs(np.diff(free, axis=1)).max(axis=1, keepdims=True)
    middle = free.mean(axis=1, keepdims=True)
    a = middle + (free - middle) * (0.9 * prices.ramp / steepest)  # the free plan, flattened until it is inside
    s = _slacks(a, prices.ramp)  # [2, B, n - 1]
    z = np.full_like(s, 0.1 * scale)
    best, best_merit = a.copy(), np.full(len(a), np.inf)
    active = np.zeros(s.shape[1:], dtype=bool)
    at = np.arange(len(a))  # which day a row of the state is
    for _ in range(MAX_ITERATIONS):
        dual = _slope(a, mean, sd, prices) + _back(z[0] - z[1])
        products = s * z
        merit = np.maximum(np.abs(dual).max(axis=1), products.max(axis=(0, 2))) / scale
        better = merit < best_merit[at]
        best[at[better]], best_merit[at[better]] = a[better], merit[better]
        active[at[better]] = np.any(z > s, axis=0)[better]
        going = merit >= TOLERANCE
        if not going.any():
            break
        if not going.all():
            at, a, mean, sd, dual = at[going], a[going], mean[going], sd[going], dual[going]
            s, z, products = s[:, going], z[:, going], products[:, going]
        target = 0.1 * products.mean(axis=(0, 2))[:, None]
        push = (target - products) / s
        weight = (z / s).sum(axis=0)  # [B, n - 1]
        da = _tridiagonal(_curvature(a, mean, sd, prices), weight, -dual - _back(push[0] - push[1]))
        change = np.diff(da, axis=1)
        ds = np.stack([-change, change])
        dz = push - z * ds / s
        with np.errstate(divide="ignore"):
            room = np.minimum(np.where(ds < 0, -s / ds, np.inf), np.where(dz < 0, -z / dz, np.inf)).min(axis=(0, 2))
        length = np.minimum(1.0, 0.99 * room)[:, None]
        size = np.linalg.norm(dual, axis=1) + _norm(products - target)
        for _ in range(25):
            tried_a, tried_s, tried_z = a + length * da, s + length * ds, z + length * dz
            slope = _slope(tried_a, mean, sd, prices) + _back(tried_z[0] - tried_z[1])
            after = np.linalg.norm(slope, axis=1) + _norm(tried_s * tried_z - target)
            grows = after > (1.0 - 1e-4 * length[:, 0]) * size + 1e-13 * scale
            if not grows.any():
                break
            length[grows] *= 0.5
        a, s, z = a + length * da, s + length * ds, z + length * dz
    return best, active


def _slacks(a: Floats, ramp: float) -> Floats:
    """What changes up and down leave of the ramp `[2, B, n - 1]`."""
    change = np.diff(a, axis=1)
    return np.stack([ramp - change, ramp + change])


def _back(prices: Floats) -> Floats:
    """D' of prices `[B, n - 1]`, `[B, n]`."""
    result = np.zeros((len(prices), prices.shape[1] + 1))
    result[:, 1:] = prices
    result[:, :-1] -= prices
    return result


def _norm(values: Floats) -> Floats:
    """Euclidean norm over both slacks `[2, B, n - 1]` of a day, `[B]`."""
    norm: Floats = np.sqrt((values**2).sum(axis=(0, 2)))
    return norm


def _tridiagonal(diagonal: Floats, between: Floats, right: Floats) -> Floats:
    """Solve (diag(diagonal) + D' diag(between) D) x = right for B days at a time, all `[B, *]`.

    Elimination from the first hour on adds only positive numbers, so it is accurate however far `between` spreads: with
    e_h what is left of hour h's own weight, e_{h+1} = diagonal_{h+1} + e_h w_h / (e_h + w_h), a series connection.
    """
    n = diagonal.shape[1]
    own, load = diagonal.copy(), right.copy()
    share = np.empty_like(between)
    for h in range(n - 1):
        share[:, h] = between[:, h] / (own[:, h] + between[:, h])
        own[:, h + 1] += own[:, h] * share[:, h]
        load[:, h + 1] += load[:, h] * share[:, h]
    x = np.empty_like(right)
    x[:, -1] = load[:, -1] / own[:, -1]
    for h in range(n - 2, -1, -1):
        x[:, h] = load[:, h] / (own[:, h] + between[:, h]) + share[:, h] * x[:, h + 1]
    return x


class _Plan(torch.autograd.Function):
    """The plan, differentiable in mean and spread with the active ramps held.

    With K = [[H, A'], [A, 0]] of the active rows A and (l, .) = K^-1 (g, 0) for an incoming gradient g, the gradient in
    mu is l H and in sigma l (g_u + g_o) phi(u) u / sigma: minus l times the derivatives of E'.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, sd: Tensor, prices: _Prices) -> Tensor:
        """Exact plans."""
        numbers = mean.detach().numpy(), sd.detach().numpy()
        plans, active = _solve(*numbers, prices)
        ctx.numbers, ctx.plans, ctx.active, ctx.prices = numbers, plans, active, prices
        return torch.as_tensor(plans)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients in mean and spread."""
        mean, sd = ctx.numbers
        curvature = _curvature(ctx.plans, mean, sd, ctx.prices)
        n_days, n = mean.shape
        difference = np.diff(np.eye(n), axis=0) * ctx.active[..., None]  # [B, n - 1, n] rows that are active
        matrix = np.zeros((n_days, 2 * n - 1, 2 * n - 1))
        matrix[:, np.arange(n), np.arange(n)] = curvature
        matrix[:, n:, :n], matrix[:, :n, n:] = difference, np.swapaxes(difference, 1, 2)
        at = np.arange(n, 2 * n - 1)
        matrix[:, at, at] = ~ctx.active  # an inactive row says that its price is 0
        right = np.concatenate([g.numpy(), np.zeros((n_days, n - 1))], axis=1)
        lam = np.linalg.solve(matrix, right[..., None])[:, :n, 0]
        u = (ctx.plans - mean) / sd
        of_sd = (curvature - 1.0) * u  # (g_u + g_o) phi(u) u / sigma
        return torch.as_tensor(lam * curvature), torch.as_tensor(lam * of_sd), None


class PowerScheduling:
    """The decision: exact for normal loads and for samples.

    Args:
        problem: prices and the ramp.
    """

    separable = True

    def __init__(self, problem: PowerSchedulingProblem) -> None:
        self.problem = problem
        self._prices = _Prices(problem.gamma_under, problem.gamma_over, problem.ramp)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f `[...]` of plans and loads `[..., 24]`."""
        return self.problem.cost(plans, outcomes)

    def decide(self, forecast: Forecast, risk: float = 1.0) -> Floats:
        """Plans `[B, 24]` for a `Gaussian` or for samples `[S, B, 24]`, both exact.

        Where risk is below 1, 100 samples stand for a `Gaussian`, the same noise for every day, and a conic program a
        day finds the plan of least CVaR over them, exact (`tail_plans`; 0.1 s).

        Raises:
            TypeError, ValueError: a risk that is no number in (0, 1].
        """
        if check_alpha(risk, "risk") < 1.0:
            return self._tail_plans(fixed_samples(forecast), risk)
        if isinstance(forecast, Gaussian):
            return _solve(np.asarray(forecast.mean), np.asarray(forecast.sd), self._prices)[0]
        return best_schedules(np.asarray(forecast), *self._prices)

    def _tail_plans(self, samples: Floats, risk: float) -> Floats:
        """Plans `[B, 24]` of least CVaR over samples `[S, B, 24]`; the plan is within bounds, too."""
        problem, (under, over, ramp) = self.problem, self._prices
        misses = Misses(under, over, 0.5, 0.5, problem.low, problem.high, ramp)
        starts = problem.project(best_schedules(samples, under, over, ramp))
        return problem.project(tail_plans(samples, starts, misses, risk))

    def plan(self, forecast: Gaussian) -> Tensor:
        """The same for a `Gaussian` of tensors, differentiable by the optimality conditions."""
        plans: Tensor = _Plan.apply(forecast.mean, forecast.sd, self._prices)
        return plans

    def energy(self, forecast: Forecast, plans: Tensor) -> Tensor:
        """Expected cost `[..., B]`: closed form for a `Gaussian`, else the mean over samples."""
        return self.coordinate_energy(forecast, plans).sum(-1)

    def coordinate_energy(self, forecast: Forecast, plans: Tensor) -> Tensor:
        """Expected cost of each hour `[..., B, 24]`."""
        under, over, _ = self._prices
        if isinstance(forecast, Gaussian):
            mean, sd = forecast
            off = plans - mean
            u = off / sd
            density = torch.exp(-0.5 * u.square()) / math.sqrt(2.0 * math.pi)
            below = torch.special.ndtr(u)
            return (under + over) * (sd * density + off * below) - under * off + 0.5 * (off.square() + sd.square())
        each: Tensor = self.problem.hourly_cost(plans.unsqueeze(-3), forecast)  # [..., S, B, 24]
        return each.mean(dim=-3)

    def coordinate_mode(self, forecast: Forecast) -> Floats:
        """The plan without the ramp `[B, 24]`."""
        if isinstance(forecast, Gaussian):
            return free_plan(forecast.mean.numpy(), forecast.sd.numpy(), self._prices)
        return hourly_optimum(np.asarray(forecast), *self._prices[:2])

    def project(self, plans: Tensor) -> Tensor:
        """The nearest plans `[B, 24]` within bounds and ramp."""
        return torch.as_tensor(self.problem.project(plans.detach().numpy()))


class CvxScheduling(PowerScheduling):
    """The same decision with its derivative by cvxpylayers over 20 samples of the load (SO-EBM's DFL-CVX).

    It needs the package cvxpylayers; it is there to be compared with, and some hundred times slower.
    """

    def __init__(self, problem: PowerSchedulingProblem) -> None:
        super().__init__(problem)
        try:
            import cvxpy as cp
            from cvxpylayers.torch import CvxpyLayer
        except ImportError as error:
            raise ImportError("dfl-cvx needs cvxpylayers and clarabel: pip install 'stormgym[dev]'") from error
        n, s = problem.n, N_CVX_SAMPLES
        plan, loads = cp.Variable(n), cp.Parameter((s, n))
        short = loads - cp.reshape(plan, (1, n), order="C")
        objective = cp.sum(problem.gamma_under * cp.pos(short) + problem.gamma_over * cp.pos(-short)) / s
        objective = objective + cp.sum_squares(short) / (2 * s)
        program = cp.Problem(cp.Minimize(objective), [cp.abs(cp.diff(plan)) <= problem.ramp])
        self._layer = CvxpyLayer(program, parameters=[loads], variables=[plan])
        self._noise = torch.Generator().manual_seed(0)

    def plan(self, forecast: Gaussian) -> Tensor:
        """Plans `[B, 24]` for 20 samples of the forecast, differentiable through the conic program."""
        samples = forecast.sample(N_CVX_SAMPLES, self._noise).transpose(0, 1)  # [B, S, 24]
        (plans,) = self._layer(samples, solver_args={"solve_method": "Clarabel"})
        return torch.as_tensor(plans)


def features(context: Mapping[str, Floats]) -> Floats:
    """The 149 inputs of the network: loads, temperatures and their powers, calendar (SO-EBM 4.1; "150" in print)."""
    before, now = context["temperature_yesterday"], context["temperature"]
    parts = (context["load_yesterday"], before, before**2, now, now**2, now**3, context["calendar"])
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts], axis=1)


class LoadModel(NormalModel):
    """Normal loads by hour: `GaussianNet` on the features of a day.

    Args:
        seed: of weights and dropout.
        as_published: raw outputs and a fit that is stopped early, as in the published code. Its spread is half as wide
            again as what then happens; that is what fine-tuning on decisions repairs.
    """

    def __init__(self, seed: int = 0, *, as_published: bool = False) -> None:
        published: dict[str, Any] = {"standardise_outcomes": False, "max_steps": N_PUBLISHED_STEPS}
        net = GaussianNet(random_state=seed, **(published if as_published else {}))
        super().__init__(net, lambda cases: features(cases.context))


class PowerSchedulingTask:
    """What the methods need of the problem: decision, forecaster, policy network, factors to validate.

    Args:
        problem: what happens.
        as_published: see `LoadModel`.
    """

    calibrations = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
    tuning: Mapping[str, FineTuning] = MappingProxyType({})

    def __init__(self, problem: PowerSchedulingProblem, *, as_published: bool = False) -> None:
        self.problem, self.as_published = problem, as_published
        self.key = ("as published", as_published)
        self.decision = PowerScheduling(problem)

    def cvx_decision(self) -> CvxScheduling:
        """The decision whose derivative is that of cvxpylayers."""
        return CvxScheduling(self.problem)

    def new_model(self, seed: int) -> LoadModel:
        """An unfitted forecaster."""
        return LoadModel(seed, as_published=self.as_published)

    def new_policy_net(self, seed: int) -> PolicyNet:
        """An unfitted network from features to plans."""
        return PolicyNet(self.problem, lambda cases: features(cases.context), seed=seed)
