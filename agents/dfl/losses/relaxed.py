"""Decision-focused losses: the cost of the decision that a forecast leads to, one number an event, `[B]`."""

from __future__ import annotations

import torch
from torch import Tensor

from stormgym.agents.dfl.problem import Problem
from stormgym.agents.dfl.qp_layer import qp_layer, solve_qp

NEARLY_LINEAR, TOLERANCE = 1e-2, 1e-6
"""Curvature and tolerance with which linear problems are solved by `solve_qp`: vertices to about 1e-5."""


def relaxed_plan(problem: Problem, prices: Tensor) -> Tensor:
    """The best relaxed plan `[B, n]` at given prices, without gradient."""
    with torch.no_grad():
        return solve_qp(prices, problem.curvature(NEARLY_LINEAR), problem.constraints, tolerance=TOLERANCE).x


def relaxed_cost(problem: Problem, predicted: Tensor, true: Tensor, rho: float) -> Tensor:
    """True cost of the plan of predicted prices, smoothed by a quadratic (GDF eq. 15-23).

    The plan moves with the prices, and its gradient comes from the optimality conditions with active bounds held
    (`qp_layer`). Without the quadratic the plan of a linear problem would jump, with a gradient of zero in between.

    Args:
        problem: polytope.
        predicted: `[B, n]` prices that the plan is made for.
        true: `[B, n]` prices that are paid.
        rho: curvature, in money; the larger, the smoother, and the farther from the plan that is decided on.
    """
    plan = qp_layer(predicted, problem.curvature(rho), problem.constraints)
    return (plan * true).sum(dim=-1)


def spo_plus(problem: Problem, predicted: Tensor, true: Tensor, true_plan: Tensor) -> Tensor:
    """SPO+ loss, convex in predicted prices and an upper bound of the regret (Elmachtoub and Grigas 2022, eq. 9).

    2 predicted . x*(true) - true . x*(true) - min over x of (2 predicted - true) . x: one linear problem a step, and
    2 (x*(true) - x*(2 predicted - true)) is a subgradient.

    Args:
        problem: polytope.
        predicted, true: `[B, n]` prices.
        true_plan: `[B, n]`, the best plan for the true prices (`relaxed_plan`).
    """
    tilted = 2.0 * predicted - true
    plan = relaxed_plan(problem, tilted)  # constant: the derivative of the minimum is the plan that attains it
    return 2.0 * (predicted * true_plan).sum(-1) - (true * true_plan).sum(-1) - (tilted * plan).sum(-1)
