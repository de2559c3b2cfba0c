"""Risk in decision-focused learning: CVaR of costs, and plans of least CVaR over samples of a forecast.

The functions are those of `stormgym.envs.risk` and `stormgym.envs.risk_batch`, which environments use for what is true
of a decision.
"""

from stormgym.envs.risk import (
    CVaRPlan,
    Polytope,
    check_alpha,
    check_mean_weight,
    cvar,
    cvar_plan,
    mean_cvar,
    tail_weights,
    value_at_risk,
)
from stormgym.envs.risk_batch import CVaRPlans, cvar_plans

__all__ = [
    "CVaRPlan",
    "CVaRPlans",
    "Polytope",
    "check_alpha",
    "check_mean_weight",
    "cvar",
    "cvar_plan",
    "cvar_plans",
    "mean_cvar",
    "tail_weights",
    "value_at_risk",
]
