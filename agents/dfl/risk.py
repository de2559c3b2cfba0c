"""Risk in decision-focused learning: CVaR of costs, and plans of least CVaR over samples of a forecast.

The functions are those of `stormgym.envs.risk`, which environments use for what is true of a decision.
"""

from stormgym.envs.risk import (
    CVaRPlan,
    Polytope,
    check_alpha,
    cvar,
    cvar_plan,
    mean_cvar,
    tail_weights,
    value_at_risk,
)

__all__ = [
    "CVaRPlan",
    "Polytope",
    "check_alpha",
    "cvar",
    "cvar_plan",
    "mean_cvar",
    "tail_weights",
    "value_at_risk",
]
