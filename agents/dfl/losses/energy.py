"""Losses of an energy-based decision model (SO-EBM eq. 1-6): q(a | x) = exp(-E(x, a) / T) / Z(x), E the expected cost.

    l_MLE = E(x, a*) / T + log Z(x)                              a* the best plan in hindsight (eq. 3, put right)
    l_KL  = E over a ~ p(a | y) of E(x, a) / T + log Z(x),       p(a | y) ~ exp(-f(y, a) / T) (eq. 4)

A third loss is the suite's own, for what the two do not aim at: the expected cost of decisions drawn from the model,

    l_q = E over a ~ q(a | x) of f(y, a)

It is the cost of the plan as T falls to 0, and needs no derivative of a plan.

T is a temperature in units of cost. The constraint is left out of Z, as in the paper; a* and the plan keep it. The
normaliser is computed in one of four ways:

- `exact`: where the energy is a sum over coordinates, each factor of Z is one integral, by Gauss-Legendre quadrature on
  both sides of its mode. No sampling, any number of coordinates. A decision whose energy has another structure may
  bring its own `log_normaliser` (a chain over days, say). Neither the paper nor its code has this.
- `snis`: self-normalised importance sampling from a mixture of normals around a* (the paper's 3.3). In 24 dimensions
  two of 128 samples carry all the weight; the effective sample size is always reported.
- `snis-coordinate`: the same, one sampler a coordinate, where the energy is a sum.
- `langevin`: negatives by Langevin steps from a* (contrastive divergence).

What l_MLE aims at is not the best decision where costs are not symmetric: it is fitted to hindsight optima and asks for
the average marginal cost of deciding y while the forecast's centre comes, arguments exchanged (docs/decisions.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Decision, Forecast, SeparableDecision
from stormgym.agents.dfl.losses.contract import LossValue

Normaliser = Literal["exact", "snis", "snis-coordinate", "langevin"]
DEPTH = 36.0
"""How far above its least value, in temperatures, an energy is integrated: what is beyond weighs e^-36."""
N_NODES = 24
"""Quadrature nodes on each side of a mode."""
N_DOUBLINGS, N_HALVINGS = 40, 8
"""Steps that find how far from its mode an energy reaches `DEPTH`; an end is found to a 256th."""
LANGEVIN_STEPS = 32


@dataclass(frozen=True)
class EnergyLoss:
    """l_MLE + lambda l_KL (SO-EBM eq. 5), or the expected cost l_q.

    Attributes:
        temperature: T, in units of cost.
        mle_weight: weight of l_MLE; 0 leaves the KL term alone.
        kl_weight: lambda.
        cost_weight: weight of l_q / T; exact normaliser only.
        normaliser: how log Z is had.
        n_proposals: M samples a case (`snis`), or negatives a case (`langevin`).
        proposal_sd: spreads of the mixture's components, as shares of the usual spread of decisions (`snis`); the
            least of them is the step of `langevin`.

    Raises:
        ValueError: a setting out of range.
    """

    temperature: float = 1.0
    mle_weight: float = 1.0
    kl_weight: float = 0.01
    cost_weight: float = 0.0
    normaliser: Normaliser = "exact"
    n_proposals: int = 128
    proposal_sd: tuple[float, ...] = (0.3, 0.15, 0.06)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0 and finite, in units of cost; got {self.temperature!r}")
        if self.normaliser not in get_args(Normaliser):
            raise ValueError(f"normaliser must be one of {', '.join(get_args(Normaliser))}; got {self.normaliser!r}")
        weights = (self.mle_weight, self.kl_weight, self.cost_weight)
        if min(weights) < 0 or not any(weights):
            raise ValueError(f"mle_weight, kl_weight and cost_weight must be at least 0 and not all 0; got {weights}")
        if self.cost_weight and self.normaliser != "exact":
            raise ValueError(f"cost_weight needs normaliser exact; got {self.normaliser!r}")
        if self.n_proposals < 1 or not self.proposal_sd or min(self.proposal_sd) <= 0:
            raise ValueError(
                f"n_proposals must be at least 1 and every proposal_sd above 0; got {self.n_proposals}, "
                f"{self.proposal_sd}"
            )

    def targets(self, decision: Decision, outcomes: Tensor) -> tuple[Tensor, ...]:
        """Best plans in hindsight a* `[E, n]`, the constraint included."""
        return (torch.as_tensor(np.asarray(decision.decide(outcomes.numpy()[None]))),)

    def scale(self, targets: tuple[Tensor, ...]) -> float:
        """1."""
        del targets
        return 1.0

    def __call__(
        self,
        decision: Decision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The loss `[B]`."""
        (best,) = targets
        if self.normaliser == "exact":
            return self._exact(decision, forecast, outcomes, best)
        spread = usual_spread(decision, best)
        if self.normaliser == "langevin":
            return self._langevin(decision, forecast, outcomes, best, spread, noise)
        return self._sampled(decision, forecast, outcomes, best, spread, noise)

    def _mixed(self, mle: Tensor, kl: Tensor | None) -> Tensor:
        total = self.mle_weight * mle
        return total if kl is None else total + self.kl_weight * kl

    def _exact(self, decision: Decision, forecast: Forecast, outcomes: Tensor, best: Tensor) -> LossValue:
        if self.cost_weight:
            drawn = self.cost_weight * drawn_cost(decision, forecast, outcomes, self.temperature) / self.temperature
            if not (self.mle_weight or self.kl_weight):
                return LossValue(drawn)
            rest = replace(self, cost_weight=0.0)._exact(decision, forecast, outcomes, best)
            return LossValue(drawn + rest.value)
        log_z = log_normaliser(decision, forecast, self.temperature)
        mle = decision.energy(forecast, best) / self.temperature + log_z
        if not self.kl_weight:
            return LossValue(self._mixed(mle, None))
        kl = posterior_energy(decision, forecast, outcomes, self.temperature) / self.temperature + log_z
        return LossValue(self._mixed(mle, kl))

    def _sampled(
        self, decision: Decision, forecast: Forecast, outcomes: Tensor, best: Tensor, spread: Tensor, noise: Any
    ) -> LossValue:
        plans, log_pi = mixture(best, spread, self.proposal_sd, self.n_proposals, noise)  # [M, B, n], [M, B, n]
        at_best = decision.energy(forecast, best) / self.temperature
        if self.normaliser == "snis-coordinate":
            separable = _separable(decision)
            energy = separable.coordinate_energy(forecast, plans) / self.temperature  # [M, B, n]
            known = separable.coordinate_energy(outcomes[None], plans) / self.temperature
        else:
            log_pi = joint_density(plans, best, spread, self.proposal_sd)  # [M, B]
            energy = decision.energy(forecast, plans) / self.temperature  # [M, B]
            known = decision.cost(plans, outcomes) / self.temperature
        log_z, weights = importance(energy, log_pi)
        ess = 1.0 / weights.detach().square().sum(0)
        kl: Tensor | None = None
        if self.kl_weight:
            oracle = torch.softmax(-known.detach() - log_pi, dim=0)
            kl = (oracle * energy).sum(0) + log_z
        if self.normaliser == "snis-coordinate":
            log_z, kl = log_z.sum(-1), None if kl is None else kl.sum(-1)
            ess = ess.mean(-1)
        return LossValue(self._mixed(at_best + log_z, kl), ess)

    def _langevin(
        self, decision: Decision, forecast: Forecast, outcomes: Tensor, best: Tensor, spread: Tensor, noise: Any
    ) -> LossValue:
        def model(plans: Tensor) -> Tensor:
            return decision.energy(detached(forecast), plans)

        def known(plans: Tensor) -> Tensor:
            return cast(Tensor, decision.cost(plans, outcomes))

        n, step = min(self.n_proposals, 16), min(self.proposal_sd) * spread
        negatives = langevin(model, best, n, step, self.temperature, noise)
        pushed = decision.energy(forecast, negatives).mean(0) / self.temperature
        mle = decision.energy(forecast, best) / self.temperature - pushed
        if not self.kl_weight:
            return LossValue(self._mixed(mle, None))
        drawn = langevin(known, best, n, step, self.temperature, noise)
        kl = decision.energy(forecast, drawn).mean(0) / self.temperature - pushed
        return LossValue(self._mixed(mle, kl))


def detached(forecast: Forecast) -> Forecast:
    """A forecast without gradient."""
    return type(forecast)(*(p.detach() for p in forecast)) if isinstance(forecast, tuple) else forecast.detach()


def usual_spread(decision: Decision, best: Tensor) -> Tensor:
    """Usual spread of each part of a decision `[n]`, as its problem knows it, else that of the batch."""
    usual = getattr(getattr(decision, "problem", None), "usual", None)
    if usual is not None:
        return torch.as_tensor(usual[1], dtype=best.dtype)
    return best.std(0).clamp_min(1e-9) if len(best) > 1 else torch.ones_like(best[0])


def _separable(decision: Decision) -> SeparableDecision:
    if not decision.separable:
        raise ValueError(
            f"the energy of {type(decision).__name__} is no sum over coordinates, so its normaliser is not exact; take "
            "normaliser snis or langevin"
        )
    return cast(SeparableDecision, decision)


# ------------------------------------------------------------------------------------------------ exact normaliser


def log_normaliser(decision: Decision, forecast: Forecast, temperature: float, n_nodes: int = N_NODES) -> Tensor:
    """log Z `[B]`, exact up to quadrature, with its gradient -E_q[dE] / T.

    Args:
        decision: with its own `log_normaliser(forecast, temperature)`, or separable.
        forecast: of B cases.
        temperature: T.
        n_nodes: of the quadrature, on each side of a mode.

    Raises:
        ValueError: the energy has no structure that makes Z exact.
    """
    own = getattr(decision, "log_normaliser", None)
    if own is not None:
        return cast(Tensor, own(forecast, temperature))
    separable = _separable(decision)
    nodes, log_weights = quadrature(separable, forecast, temperature, n_nodes)
    energy = separable.coordinate_energy(forecast, nodes)  # [2 G, B, n]
    return torch.logsumexp(log_weights - energy / temperature, dim=0).sum(-1)


def posterior_energy(
    decision: Decision, forecast: Forecast, outcomes: Tensor, temperature: float, n_nodes: int = N_NODES
) -> Tensor:
    """Mean energy `[B]` over a ~ p(a | y), y the outcome, by the same quadrature."""
    own = getattr(decision, "posterior_energy", None)
    if own is not None:
        return cast(Tensor, own(forecast, outcomes, temperature))
    separable = _separable(decision)
    known = outcomes[None]  # one sample: its energy is f(y, a)
    nodes, log_weights = quadrature(separable, known, temperature, n_nodes)
    with torch.no_grad():
        weights = torch.softmax(log_weights - separable.coordinate_energy(known, nodes) / temperature, dim=0)
    return (weights * separable.coordinate_energy(forecast, nodes)).sum(dim=(0, -1))


def drawn_cost(
    decision: Decision, forecast: Forecast, outcomes: Tensor, temperature: float, n_nodes: int = N_NODES
) -> Tensor:
    """Expected cost `[B]` of decisions drawn from q(a | x) when the outcomes come, by the same quadrature.

    The cost has its kink at its own mode, the outcome, which is a further end of the pieces that are integrated.
    """
    separable = _separable(decision)
    known = outcomes[None]  # one sample: its energy is f(y, a)
    with torch.no_grad():
        kink = torch.as_tensor(separable.coordinate_mode(known))
    nodes, log_weights = quadrature(separable, forecast, temperature, n_nodes, kink)
    weights = torch.softmax(log_weights - separable.coordinate_energy(forecast, nodes) / temperature, dim=0)
    with torch.no_grad():
        cost = separable.coordinate_energy(known, nodes)
    return (weights * cost).sum(dim=(0, -1))


def quadrature(
    decision: SeparableDecision, forecast: Forecast, temperature: float, n_nodes: int, kink: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Nodes `[P G, B, n]` around the mode of every coordinate's energy, and the logarithms of their weights.

    Each side reaches to where the energy is `DEPTH` temperatures above the mode's: costs of deciding too little and too
    much differ a hundredfold, and so do the sides.

    Args:
        decision, forecast: of B cases.
        temperature: T.
        n_nodes: G of a piece.
        kink: `[B, n]` where what is integrated has another kink: one more piece, P = 3 instead of 2.
    """
    with torch.no_grad():
        fixed = detached(forecast)
        mode = torch.as_tensor(decision.coordinate_mode(fixed))  # [B, n]
        level = decision.coordinate_energy(fixed, mode) + DEPTH * temperature
        ends = [mode + side * _reach(decision, fixed, mode, side, level) for side in (-1.0, 1.0)]
        root, weight = (torch.as_tensor(part).reshape(-1, *[1] * mode.ndim) for part in _legendre(n_nodes))
        other = mode if kink is None else torch.minimum(torch.maximum(kink, ends[0]), ends[1])
        inner = torch.minimum(mode, other), torch.maximum(mode, other)
        nodes, log_weights = [], []
        for start, end in zip(inner, ends, strict=True):  # outwards
            # squares of the roots crowd at the mode: with large T the energy reaches far, and its kink is narrow
            nodes.append(start + (end - start) * root**2)
            log_weights.append((end - start).abs().log() + (2.0 * weight * root).log())
        if kink is not None:
            between = inner[1] - inner[0]
            nodes.append(inner[0] + between * root)
            log_weights.append(between.log() + weight.log())  # -inf, no weight, where both are one
    return torch.cat(nodes), torch.cat(log_weights)


def _reach(decision: SeparableDecision, forecast: Forecast, mode: Tensor, side: float, level: Tensor) -> Tensor:
    """How far `[B, n]` to one side of the mode the energy reaches a level."""
    low, high = torch.zeros_like(mode), torch.full_like(mode, 1e-6)
    for _ in range(N_DOUBLINGS):
        short = decision.coordinate_energy(forecast, mode + side * high) < level
        if not bool(short.any()):
            break
        low = torch.where(short, high, low)
        high = torch.where(short, 4.0 * high, high)
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        short = decision.coordinate_energy(forecast, mode + side * middle) < level
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return high


@lru_cache(maxsize=8)
def _legendre(n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on (0, 1)."""
    root, weight = np.polynomial.legendre.leggauss(n_nodes)
    return 0.5 * (root + 1.0), 0.5 * weight


# ---------------------------------------------------------------------------------------------------------- samples


def mixture(
    best: Tensor, spread: Tensor, proposal_sd: tuple[float, ...], n_proposals: int, noise: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Samples `[M, B, n]` of the mixture of normals around a*, and the log density of each coordinate `[M, B, n]`.

    One component is drawn a sample and case, for all its coordinates (SO-EBM 3.3).
    """
    which = torch.randint(len(proposal_sd), (n_proposals, len(best), 1), generator=noise)
    sd = torch.as_tensor(proposal_sd, dtype=best.dtype)[which] * spread
    plans = best + sd * torch.randn((n_proposals, *best.shape), generator=noise, dtype=best.dtype)
    every = torch.as_tensor(proposal_sd, dtype=best.dtype).reshape(-1, 1, 1, 1) * spread
    log_pi = _normal_log_density(plans - best, every)  # [K, M, B, n]
    return plans, torch.logsumexp(log_pi, dim=0) - math.log(len(proposal_sd))


def joint_density(plans: Tensor, best: Tensor, spread: Tensor, proposal_sd: tuple[float, ...]) -> Tensor:
    """Log density `[M, B]` of whole samples `[M, B, n]` under the mixture."""
    every = torch.as_tensor(proposal_sd, dtype=best.dtype).reshape(-1, 1, 1, 1) * spread
    log_pi = _normal_log_density(plans - best, every).sum(-1)  # [K, M, B]
    return torch.logsumexp(log_pi, dim=0) - math.log(len(proposal_sd))


def _normal_log_density(distance: Tensor, sd: Tensor) -> Tensor:
    return -0.5 * (distance / sd).square() - sd.log() - 0.5 * math.log(2.0 * math.pi)


def importance(energy: Tensor, log_pi: Tensor) -> tuple[Tensor, Tensor]:
    """log Z from M weighted samples, and their weights, which add up to one.

    The derivative of log Z is minus the self-normalised mean of the derivative of the energy.

    Args:
        energy: `[M, ...]` E / T of each sample.
        log_pi: `[M, ...]` log density of the proposal.
    """
    log_w = -energy - log_pi
    return torch.logsumexp(log_w, dim=0) - math.log(len(log_w)), torch.softmax(log_w, dim=0)


def langevin(
    energy: Any, start: Tensor, n_chains: int, step: Tensor, temperature: float, noise: torch.Generator
) -> Tensor:
    """Samples `[M, B, n]` after 32 Langevin steps from a*, without gradient: a <- a - h E'(a) / T + sqrt(2 h) xi.

    Args:
        energy: plans `[M, B, n]` -> `[M, B]`.
        start: `[B, n]`.
        n_chains: M.
        step: `[n]` spread of one step's noise, sqrt(2 h).
        temperature: T.
        noise: of the steps.
    """
    plans = start.expand(n_chains, *start.shape).clone()
    for _ in range(LANGEVIN_STEPS):
        with torch.enable_grad():
            at = plans.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(at).sum(), at)
        xi = torch.randn(plans.shape, generator=noise, dtype=plans.dtype)
        # a drift longer than the usual noise, where costs are steep, would overshoot: it is held to four of its spreads
        drift = (0.5 * step.square() * slope / temperature).clamp(-4.0 * step, 4.0 * step)
        plans = plans - drift + step * xi
    return plans.detach()
