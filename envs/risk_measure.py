"""What a limit on the cost of episodes bounds: their mean, their CVaR, or the share of them that is within it.

Each is a statistic rho of the cost C of an episode, over episodes, with rho(C) <= d. At a level l in (0, 1):

    mean     E[C]
    cvar     CVaR_l(C) = min over t of t + E[(C - t)+] / (1 - l): the mean of the worst share 1 - l of episodes
    chance   the l-quantile of C, which is at most d where P(C <= d) >= l: a share l of episodes is within the limit

Learners need it as the mean of something that each episode has. With x = C / d the limit holds where E[g(x)] <= 1:

    mean     g(x) = x
    cvar     g(x) = t + (x - t)+ / (1 - l), t the l-quantile of x; at any other t the mean is above the CVaR, so that a
             limit which holds at some t holds
    chance   g(x) = 1{x > 1} / (1 - l)

What a cost has grown to after each step of an episode gives a cost for every step, the growth of g, whose sum is g(x)
of the whole episode; rewards and the dynamics stay as they are (Chow et al. 2018 carry what has accumulated as a part
of the state; observations here have it).

Sources: Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk"; Chow, Ghavamzadeh, Janson and
Pavone (2018), "Risk-constrained reinforcement learning with percentile risk criteria", JMLR 18(167).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Floats

KINDS = ("mean", "cvar", "chance")
OF_ALL = KINDS[0]
"""The kind that has no level."""
USUAL_LEVEL = 0.9


@dataclass(frozen=True)
class RiskMeasure:
    """A statistic of the costs of episodes; `RiskMeasure.of` checks its arguments."""

    kind: str = OF_ALL
    """`mean`, `cvar` or `chance`."""
    level: float | None = None
    """l in (0, 1); None for the mean, which has none."""

    @classmethod
    def of(cls, kind: Any = OF_ALL, level: Any = None) -> RiskMeasure:
        """The measure of a `cost_limit_kind` and a `cost_limit_level`; None is the usual level, 0.9.

        Raises:
            TypeError: a level that is no number.
            ValueError: an unknown kind, a level outside (0, 1), or one for the mean.
        """
        if kind not in KINDS:
            raise ValueError(f"cost_limit_kind must be one of {', '.join(KINDS)}; got {kind!r}")
        if kind == OF_ALL:
            if level is not None:
                raise ValueError(
                    f"cost_limit_level is for the kinds cvar and chance, and the mean has none; got {level!r}. Leave "
                    "it out, or add cost_limit_kind"
                )
            return cls()
        if level is None:
            return cls(kind, USUAL_LEVEL)
        if isinstance(level, bool) or not isinstance(level, (Real, np.generic)):
            raise TypeError(f"cost_limit_level must be a number in (0, 1); got {level!r}")
        share = float(level)
        if not 0.0 < share < 1.0:
            hint = f". Did you mean {share / 100:g}?" if 1.0 < share < 100.0 else ""
            raise ValueError(f"cost_limit_level must be in (0, 1), as 0.9; got {level!r}{hint}")
        return cls(kind, share)

    @property
    def is_mean(self) -> bool:
        """Whether it is the mean."""
        return self.level is None

    @property
    def tail(self) -> float:
        """1 - l: the worst share of episodes, whose mean is the CVaR, or which may be over the limit; 1 for a mean."""
        return 1.0 if self.level is None else round(1.0 - self.level, 12)  # 1 - 0.9 is not quite 0.1

    @property
    def name(self) -> str:
        """In words, behind "limit on the": `mean`, `CVaR 0.1`, `0.9 quantile`."""
        if self.is_mean:
            return self.kind
        return f"CVaR {self.tail:g}" if self.kind == "cvar" else f"{self.level:g} quantile"

    def statistic(self, costs: ArrayLike) -> Floats:
        """rho `[...]` of equally likely costs `[..., K]`, in their unit; the limit holds where it is at most d.

        Raises:
            ValueError: no costs.
        """
        values = np.asarray(costs, dtype=np.float64)
        if self.is_mean:
            return np.asarray(values.mean(axis=-1))
        from stormgym.envs.risk import cvar, value_at_risk  # loads SciPy's sparse matrices, which no mean needs

        if self.kind == "cvar":
            return np.asarray(cvar(values, self.tail))
        return value_at_risk(values, self.tail)

    def threshold(self, x: ArrayLike) -> Floats:
        """The t `[...]` at which the mean of `g` over costs `[..., K]` is their CVaR: the l-quantile; 0 where g has
        none."""
        values = np.asarray(x, dtype=np.float64)
        if self.kind != "cvar":
            return np.zeros(values.shape[:-1])
        return RiskMeasure("chance", self.level).statistic(values)

    def g(self, x: Any, threshold: Any = 0.0, *, width: float = 0.0) -> Any:
        """g of costs in limits, any shape, arrays or tensors; its mean over episodes is at most 1 where a limit holds.

        Args:
            x: costs as shares of the limit.
            threshold: t, for the CVaR.
            width: half-width of a ramp around the limit in place of the step of `chance`, so that coming nearer to it
                counts too; the mean is then not exactly the share over the limit.
        """
        if self.kind == "cvar":
            return threshold + (x - threshold).clip(min=0.0) / self.tail
        if self.kind == "chance":
            over = ((x - 1.0) / (2.0 * width) + 0.5).clip(0.0, 1.0) if width else (x > 1.0) * 1.0
            return over / self.tail
        return x


MEAN = RiskMeasure()
"""The mean, which limits bound unless they say otherwise."""
