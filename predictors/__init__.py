"""Everything that forecasts: conformal intervals, cross-fitted forecasts, outage waves, coverage reports.

Arrays in, arrays out; nothing here knows an environment. Names are imported on first use, so that importing the package
loads no scikit-learn and no torch. The papers that docstrings cite (EPOPR, GDF, tri-level) are named in
`stormgym.envs`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stormgym.predictors.block_conformal import BlockCQR
    from stormgym.predictors.conformal import CQR, ECQR, NormalizedConformal, SplitConformal
    from stormgym.predictors.coverage import CoverageReport, GroupCoverage, coverage_report
    from stormgym.predictors.cross_fit import CrossFit, cross_fit
    from stormgym.predictors.flows import ConditionalFlow
    from stormgym.predictors.gaussian import DiagonalGaussian
    from stormgym.predictors.heavy_tails import HeavyTailed
    from stormgym.predictors.outage_ode import OutageODE
    from stormgym.predictors.point import PointNet
    from stormgym.predictors.quantile_models import default_forest
    from stormgym.predictors.resampling import ForestWeights, ResidualBootstrap
    from stormgym.predictors.uncertainty import ConformalPolytope, SetCoverage, default_network
    from stormgym.predictors.uncertainty_set import UncertaintySet

_HOME = {
    "BlockCQR": "block_conformal",
    "SplitConformal": "conformal",
    "NormalizedConformal": "conformal",
    "CQR": "conformal",
    "ECQR": "conformal",
    "CoverageReport": "coverage",
    "GroupCoverage": "coverage",
    "coverage_report": "coverage",
    "CrossFit": "cross_fit",
    "cross_fit": "cross_fit",
    "ConditionalFlow": "flows",
    "DiagonalGaussian": "gaussian",
    "HeavyTailed": "heavy_tails",
    "PointNet": "point",
    "ForestWeights": "resampling",
    "ResidualBootstrap": "resampling",
    "default_forest": "quantile_models",
    "OutageODE": "outage_ode",
    "ConformalPolytope": "uncertainty",
    "SetCoverage": "uncertainty",
    "default_network": "uncertainty",
    "UncertaintySet": "uncertainty_set",
}

_NETWORKS = ("flows", "gaussian", "heavy_tails", "point", "resampling", "outage_ode")
"""Modules that need torch."""

__all__ = [
    "CQR",
    "ECQR",
    "BlockCQR",
    "ConditionalFlow",
    "ConformalPolytope",
    "CoverageReport",
    "CrossFit",
    "DiagonalGaussian",
    "ForestWeights",
    "GroupCoverage",
    "HeavyTailed",
    "NormalizedConformal",
    "OutageODE",
    "PointNet",
    "ResidualBootstrap",
    "SetCoverage",
    "SplitConformal",
    "UncertaintySet",
    "coverage_report",
    "cross_fit",
    "default_forest",
    "default_network",
]


def __getattr__(name: str) -> Any:
    """Import a public name, and those of its module, on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    if _HOME[name] in _NETWORKS:
        from stormgym.predictors.extras import require

        require(f"{__name__}.{name}", "torch", "agents")
    module = import_module(f"{__name__}.{_HOME[name]}")
    globals().update({other: getattr(module, other) for other, home in _HOME.items() if home == _HOME[name]})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


class _Package(ModuleType):
    """This package: importing its module `cross_fit` would put that where the function of its name belongs."""

    def __setattr__(self, name: str, value: Any) -> None:
        hides = name in _HOME and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if hides else value)


sys.modules[__name__].__class__ = _Package
