"""Losses that compare plans of a pool by what samples say of them: contrastive (NCE, MAP) and ranking.

With f^_s the forecast's cost of plan s (its CVaR over samples; of a point forecast the cost itself), w* the plan that
ought to be best and w_s those of the pool,

    nce       mean over s of f^(w*) - f^(w_s)                                        (Mulamba et al. 2021)
    map       max over s of the same, at least 0
    pairwise  mean over s of [f^(best of the pool for what came) - f^(w_s)]_+        (Mandi et al. 2022)
    listwise  cross-entropy of softmax(-f / tau) and softmax(-f^ / tau)

w* is the best plan in hindsight. Gen-DFL takes the plan under a proxy of the law in its place (`target_plans`) and the
CVaR of samples for f^; its printed loss has the opposite sign, which makes w* the worst. Such a loss asks the forecast
to agree with the proxy: it teaches nothing that the proxy does not know.

The pool holds the target plans of the training events, and grows by the plans of forecasts in a tenth of the batches;
of more than 256 the oldest go (PyEPO keeps all).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast, OracleDecision
from stormgym.agents.dfl.losses.contract import LossValue
from stormgym.agents.dfl.risk import check_alpha, cvar

Kind = Literal["nce", "map", "pairwise", "listwise"]
MOST_PLANS = 256
SOLVED_SHARE = 0.1
"""Share of batches whose forecasts are solved for the pool."""
TEMPERATURE = 0.1
"""tau, in mean costs of the best plans."""


class PoolLoss:
    """One of the four; the pool belongs to the loss, so it is made anew for each training.

    Args:
        kind: which.
        risk: share alpha of worst samples whose mean is f^.
        target_plans: `[E, n]` w* of the training events; None takes the best plans in hindsight.

    Raises:
        ValueError: another kind, or a risk out of (0, 1].
    """

    pool: Tensor

    def __init__(self, kind: Kind, risk: float = 1.0, target_plans: Tensor | None = None) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}; got {kind!r}")
        self.kind, self.risk, self.target_plans = kind, check_alpha(risk, "risk"), target_plans

    def targets(self, decision: OracleDecision, outcomes: Tensor) -> tuple[Tensor, ...]:
        """Prices `[E, n]` of what came, and the plans `[E, n]` that ought to be best; they begin the pool."""
        true = decision.prices(outcomes)
        plans = decision.oracle(true) if self.target_plans is None else self.target_plans
        if plans.shape != true.shape:
            raise ValueError(f"target_plans must be {list(true.shape)}, one a training event; got {list(plans.shape)}")
        self.pool = torch.zeros((0, plans.shape[-1]), dtype=plans.dtype)
        self._add(plans)
        self._scale = float(self._costs(decision, true[None], plans).abs().mean().clamp_min(1e-9))
        return true, plans

    def scale(self, targets: tuple[Tensor, ...]) -> float:
        """Mean absolute cost of the target plans."""
        del targets
        return self._scale

    def __call__(
        self,
        decision: OracleDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The loss `[B]` of samples `[S, B, n]`."""
        del outcomes
        true, plans = targets
        prices = decision.prices(forecast)  # [S, B, n]
        if float(torch.rand((), generator=noise)) < SOLVED_SHARE:
            self._add(self._solved(decision, prices.detach()))
        ours = self._pooled(decision, prices)  # [B, P]
        if self.kind in ("nce", "map"):
            gain = self._costs(decision, prices, plans)[:, None] - ours
            return LossValue(gain.mean(-1) if self.kind == "nce" else gain.max(-1).values.clamp_min(0.0))
        real = self._pooled(decision, true[None])
        if self.kind == "pairwise":
            best = ours.gather(-1, real.argmin(-1, keepdim=True))
            return LossValue((best - ours).clamp_min(0.0).mean(-1))
        tau = TEMPERATURE * self._scale
        return LossValue(-(torch.softmax(-real / tau, -1) * torch.log_softmax(-ours / tau, -1)).sum(-1))

    def _solved(self, decision: OracleDecision, prices: Tensor) -> Tensor:
        return decision.oracle(prices.mean(0)) if self.risk == 1.0 else decision.tail(prices, self.risk).plan

    def _costs(self, decision: OracleDecision, prices: Tensor, plans: Tensor) -> Tensor:
        """f^ `[B]` of a plan an event `[B, n]` for prices `[S, B, n]`."""
        found: Any = cvar((prices * plans).sum(-1).transpose(0, -1), self.risk)
        return found + decision.quadratic_cost(plans)

    def _pooled(self, decision: OracleDecision, prices: Tensor) -> Tensor:
        """f^ `[B, P]` of all plans of the pool for prices `[S, B, n]`."""
        found: Any = cvar((prices @ self.pool.T).movedim(0, -1), self.risk)
        return found + decision.quadratic_cost(self.pool)

    def _add(self, plans: Tensor) -> None:
        """Plans at the end, each once; of too many the oldest go."""
        every = torch.cat([self.pool, plans])
        _, same = torch.unique((every * 1e6).round(), dim=0, return_inverse=True)
        last = torch.zeros(int(same.max()) + 1, dtype=torch.int64)
        last = last.scatter_reduce(0, same, torch.arange(len(every)), "amax")
        self.pool = every[last.sort().values][-MOST_PLANS:]
