"""The Lagrange multiplier of a constrained learner: used as a price in the actor's loss, moved by the dual step.

A constrained problem, max E[return] s.t. E[C] <= d, is learnt as max E[return] - lambda E[C / d] while lambda rises as
long as the mean cost of finished episodes exceeds d and falls as long as it does not. Costs and limits are in any unit,
as long as it is the same; lambda multiplies C / d and has none.

A limit on the tail, on the CVaR of C or on the share of episodes beyond d, is a limit on a mean as well, that of
g(C / d) with g of `stormgym.envs.risk_measure`: g takes the place of C / d everywhere. The threshold in the CVaR's g is
the quantile of the costs of recent finished episodes. Source: Chow et al. (2018), who move it by its gradient instead.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from stormgym.envs.risk_measure import MEAN, RiskMeasure

Method = Literal["softplus", "projected"]
N_RECENT = 128
"""Finished episodes whose quantile is the threshold of the CVaR; where episodes differ in their limits, this for each
of some ranges of them."""


class LagrangeMultiplier(nn.Module):
    """One multiplier lambda >= 0 of E[C] <= d, on costs scaled by their limit (lambda multiplies C / d).

    `"softplus"` keeps lambda = softplus(x) and moves x with its own Adam; `"projected"` is EPOPR eq. 19 with its sign
    put right: lambda <- max(0, lambda + eta (C / d - 1)). The multiplier must rise when the cost exceeds the limit.

    Args:
        limit: d > 0, in the unit of the costs.
        initial: first value of lambda.
        learning_rate: Adam's step, or eta.
        method: `"softplus"` or `"projected"`.
        maximum: cap of lambda.
        measure: what of the costs of episodes the limit bounds.
    """

    recent: Tensor
    """`[R]` costs of the last finished episodes, as shares of what lambda aims at; kept for the CVaR alone."""
    n_seen: Tensor
    """How many there were, of all."""

    def __init__(
        self,
        limit: float,
        *,
        initial: float = 1.0,
        learning_rate: float = 0.02,
        method: Method = "softplus",
        maximum: float = 100.0,
        measure: RiskMeasure = MEAN,
    ) -> None:
        super().__init__()
        if not 0 < limit < math.inf:
            raise ValueError(f"limit must be a positive number; got {limit!r}")
        if not 0 <= initial <= maximum:
            raise ValueError(f"initial must be in [0, {maximum}]; got {initial!r}")
        if method not in ("softplus", "projected"):
            raise ValueError(f"method must be 'softplus' or 'projected'; got {method!r}")
        self.limit = float(limit)
        self.method = method
        self.learning_rate = learning_rate
        self.maximum = maximum
        self.measure = measure
        if measure.kind == "cvar":
            self.register_buffer("recent", torch.zeros(N_RECENT, dtype=torch.float64))
            self.register_buffer("n_seen", torch.zeros((), dtype=torch.int64))
        start = max(initial, 1e-4)
        # softplus has an inverse, x = log(e^lambda - 1), written so that it is exact for small and large lambda
        raw = start + math.log(-math.expm1(-start)) if method == "softplus" else initial
        self.raw = nn.Parameter(torch.tensor(raw, dtype=torch.float64))
        self.optimizer = torch.optim.Adam([self.raw], lr=learning_rate)

    def _lambda(self) -> Tensor:
        value = nn.functional.softplus(self.raw) if self.method == "softplus" else self.raw
        return value.clamp(0.0, self.maximum)

    @property
    def value(self) -> float:
        """Lambda, the factor of cost / limit."""
        return float(self._lambda().detach())

    @property
    def per_unit(self) -> float:
        """Lambda / d, the factor of a cost in its own unit."""
        return self.value / self.limit

    @property
    def threshold(self) -> float:
        """Where the CVaR's tail begins, as a share of what lambda aims at; that itself before any episode finished."""
        return float(self._threshold())

    def _threshold(self) -> Tensor:
        if self.measure.kind != "cvar":
            return torch.zeros(())
        shares = self.recent[: min(int(self.n_seen), len(self.recent))]
        return _quantile(shares, torch.ones_like(shares), self.measure)

    def _threshold_of(self, limits: Tensor, scale: Tensor) -> Tensor:
        """The threshold of episodes with these limits and units of return, any shape."""
        del scale
        return self._threshold().to(limits)

    def burden(self, shares: Tensor, limits: Tensor, scale: Tensor, width: float = 0.0) -> Tensor:
        """g of costs, which lambda multiplies, and whose mean it holds at 1.

        Args:
            shares: costs as shares of what lambda aims at, any shape.
            limits, scale: of these episodes, as for `of`.
            width: as of `RiskMeasure.g`.
        """
        threshold = self._threshold_of(limits, scale) if self.measure.kind == "cvar" else 0.0
        burdens: Tensor = self.measure.g(shares, threshold, width=width)
        return burdens

    def _burdens(self, shares: Tensor, limits: Tensor, scale: Tensor) -> Tensor:
        """g of E finished episodes `[E]`, which are remembered for the threshold."""
        if self.measure.kind == "cvar":
            self._remember("recent", shares)
            self.n_seen += len(shares)
        return self.burden(shares, limits, scale)

    def _remember(self, name: str, values: Tensor) -> None:
        """Put values of E finished episodes `[E]` before those of earlier ones, the last first."""
        kept: Tensor = getattr(self, name)
        kept.copy_(torch.cat([values.flip(0).to(kept), kept])[: len(kept)])

    def of(self, limits: Tensor, scale: Tensor) -> Tensor:
        """Lambda of episodes with these limits and units of return, any shape, on any device: here one for all."""
        del scale
        return self._lambda().detach().to(limits).expand_as(limits)

    def update_each(self, costs: Tensor, limits: Tensor, scale: Tensor) -> float:
        """One dual step on E finished episodes with costs, limits and units of return `[E]`; return the new lambda."""
        if self.measure.is_mean:
            return self.update(float(costs.mean()))
        return self.update(float(self._burdens(costs / self.limit, limits, scale).mean()) * self.limit)

    def update(self, mean_cost: float) -> float:
        """One dual step on the mean cost of finished episodes, or of the limit times g; return the new lambda.

        Raises:
            ValueError: the cost is missing (None) or NaN.
        """
        if mean_cost is None or not math.isfinite(mean_cost):
            raise ValueError(f"the dual step needs the mean cost of finished episodes; got {mean_cost!r}")
        excess = mean_cost / self.limit - 1.0
        if self.method == "projected":
            with torch.no_grad():
                self.raw.add_(self.learning_rate * excess).clamp_(0.0, self.maximum)
            return self.value
        self.optimizer.zero_grad()
        # lambda ascends the Lagrangian; the gradient goes to the raw value through softplus
        loss = -nn.functional.softplus(self.raw) * excess
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.raw.clamp_(-10.0, self.maximum)
        return self.value


class LimitMultiplier(LagrangeMultiplier):
    """A multiplier for each limit, where every episode has its own: lambda is a function of how tight the limit is.

    Tightness is limit / scale, the scale an episode's unit of return (so that problems of different sizes are alike).
    lambda = softplus(x), x linear in log(tightness) between K knots; a finished episode moves the two knots beside it,
    as far as it is near them. A limit beyond the outer knots takes theirs. The threshold of a CVaR is such a function
    too: at each knot the quantile of recent episodes, weighted by how near they are.

    Args:
        low, high: tightness at the first and the last knot.
        n_knots: K.
        margin: lambda aims at this share of each limit.
        initial, learning_rate, measure: as in `LagrangeMultiplier`.
    """

    knots: Tensor
    recent_tightness: Tensor
    """`[R]` of the episodes of `recent`."""

    def __init__(
        self,
        low: float,
        high: float,
        *,
        n_knots: int = 6,
        margin: float = 1.0,
        initial: float = 1.0,
        learning_rate: float = 0.02,
        measure: RiskMeasure = MEAN,
    ) -> None:
        super().__init__(margin, initial=initial, learning_rate=learning_rate, measure=measure)
        if not 0 < low < high:
            raise ValueError(f"need 0 < low < high; got {low!r} and {high!r}")
        if n_knots < 2:
            raise ValueError(f"n_knots must be at least 2; got {n_knots!r}")
        knots = torch.linspace(math.log(low), math.log(high), n_knots, dtype=torch.float64)
        self.register_buffer("knots", knots)
        if measure.kind == "cvar":
            self.register_buffer("recent", torch.zeros(n_knots * N_RECENT, dtype=torch.float64))
            self.register_buffer("recent_tightness", torch.ones(n_knots * N_RECENT, dtype=torch.float64))
        self.raw = nn.Parameter(self.raw.detach().repeat(n_knots))
        self.optimizer = torch.optim.Adam([self.raw], lr=learning_rate)

    def _weights(self, tightness: Tensor) -> Tensor:
        """Hat functions `[..., K]`: 1 at their knot, falling linearly to 0 at its neighbours; they sum to 1."""
        x = tightness.to(torch.float64).log().clamp(self.knots[0], self.knots[-1])
        gap = self.knots[1] - self.knots[0]
        return (1.0 - (x.unsqueeze(-1) - self.knots).abs() / gap).clamp_min(0.0)

    def _thresholds(self) -> Tensor:
        """The threshold at each knot `[K]`."""
        n = min(int(self.n_seen), len(self.recent))
        weights = self._weights(self.recent_tightness[:n])  # [n, K]
        return torch.stack([_quantile(self.recent[:n], weight, self.measure) for weight in weights.T])

    def _threshold(self) -> Tensor:
        return self._thresholds().mean() if self.measure.kind == "cvar" else torch.zeros(())

    def _threshold_of(self, limits: Tensor, scale: Tensor) -> Tensor:
        tightness = (limits / scale).to(self.raw.device)
        return (self._weights(tightness) * self._thresholds()).sum(-1).to(limits)

    @property
    def value(self) -> float:
        """Mean lambda over the knots."""
        return float(self._lambda().detach().mean())

    def of(self, limits: Tensor, scale: Tensor) -> Tensor:
        """Lambda of each episode, from its limit and its unit of return."""
        x = (self._weights((limits / scale).to(self.raw.device)) * self.raw.detach()).sum(-1)
        return nn.functional.softplus(x).clamp_max(self.maximum).to(limits)

    def update_each(self, costs: Tensor, limits: Tensor, scale: Tensor) -> float:
        """One dual step: each knot follows the mean excess of the episodes near it; return the mean lambda."""
        if not bool(torch.isfinite(costs).all()):
            raise ValueError(f"the dual step needs the costs of finished episodes; got {costs!r}")
        weights = self._weights(limits / scale)  # [E, K]
        shares = costs.to(torch.float64) / (limits.to(torch.float64) * self.limit)
        if self.measure.kind == "cvar":
            self._remember("recent_tightness", limits / scale)
        excess = (shares if self.measure.is_mean else self._burdens(shares, limits, scale)) - 1.0
        mean = (weights * excess[:, None]).sum(0) / weights.sum(0).clamp_min(1e-9)  # [K]
        seen = weights.sum(0) > 0  # a knot that no episode was near has nothing to follow
        self.optimizer.zero_grad()
        loss = -(nn.functional.softplus(self.raw) * torch.where(seen, mean, torch.zeros_like(mean))).sum()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.raw.clamp_(-10.0, self.maximum)
        return self.value


def _quantile(shares: Tensor, weights: Tensor, measure: RiskMeasure) -> Tensor:
    """The quantile of costs `[n]` with weights `[n]` at the level of a CVaR; 1 where none weighs anything."""
    total = weights.sum()
    if not float(total) > 0:
        return torch.ones((), dtype=shares.dtype, device=shares.device)
    ordered, index = shares.sort()
    reached = weights[index].cumsum(0) / total >= 1.0 - measure.tail - 1e-9
    return ordered[int(reached.to(torch.int8).argmax())]


def limits_cost(env: VecEnv) -> bool:
    """Whether the environments limit the cost of an episode; where they do not, nothing is constrained."""
    return bool(env.has_attr("cost_limit"))


def cost_limit_of(env: VecEnv | None) -> float:
    """Cost limit of the environments, in the unit of their costs.

    Raises:
        ValueError: they have none, or there are none.
    """
    if env is None:
        raise ValueError("cost_limit is None and there is no environment to ask; pass cost_limit (hours)")
    try:
        return float(env.get_attr("cost_limit")[0])
    except AttributeError:
        raise ValueError("the environment has no cost_limit; pass cost_limit (in the unit of info['cost'])") from None


def measure_of(env: VecEnv | None) -> RiskMeasure:
    """What of the costs of episodes the limit of the environments bounds; the mean where they do not say.

    Raises:
        ValueError: they differ, and there is one multiplier for all.
    """
    if env is None or not env.has_attr("risk_measure"):
        return MEAN
    found = [measure for measure in env.get_attr("risk_measure") if measure is not None]
    others = [measure for measure in found if measure != found[0]]
    if others:
        raise ValueError(f"environments must limit the same; got the {found[0].name} and the {others[0].name}")
    return found[0] if found else MEAN


def tightness_of(env: VecEnv | None) -> tuple[float, float] | None:
    """Smallest and largest tightness (limit / unit of return) of the environments: outer knots of a `LimitMultiplier`.

    None where one multiplier will do, because all episodes have the same limit and the same unit.

    Args:
        env: the environments; those whose episodes draw a limit of their own have a pair `cost_limit_range`. Their
            `return_unit` has the unit of their limit.
    """
    if env is None or not (env.has_attr("cost_limit_range") and env.has_attr("return_unit")):
        return None
    limits, ranges, units = (env.get_attr(name) for name in ("cost_limit", "cost_limit_range", "return_unit"))
    if all(pair is None for pair in ranges) and len(set(zip(limits, units, strict=True))) == 1:
        return None
    low, high = math.inf, 0.0
    for pair, limit, unit in zip(ranges, limits, units, strict=True):
        first, last = pair or (limit, limit)
        low, high = min(low, first / unit), max(high, last / unit)
    return low, max(high, 1.01 * low)  # knots need some room between them
