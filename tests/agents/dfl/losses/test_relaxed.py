"""The cost of a smoothed plan, with the right gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stormgym.agents.dfl.losses import relaxed_cost
from stormgym.agents.dispatch.decision import DispatchProblem, simulated_events
from stormgym.envs.dispatch.profiles import resolve_profile

PROFILE = resolve_profile("A")
PROBLEM = DispatchProblem(PROFILE)


def test_relaxed_cost__gradient_agrees_with_finite_differences() -> None:
    events = simulated_events(PROFILE, 2, 3)
    true = PROBLEM.prices(torch.as_tensor(events.outcomes))
    wave = torch.as_tensor(events.outcomes[::-1].copy(), dtype=torch.float64).requires_grad_()

    def cost(at: Tensor) -> Tensor:
        return relaxed_cost(PROBLEM, PROBLEM.prices(at, 0.5), true, 200.0).sum()

    (gradient,) = torch.autograd.grad(cost(wave), wave)
    places = gradient.abs().flatten().argsort(descending=True)[:4]
    for place in places.tolist():
        step = torch.zeros(wave.numel(), dtype=torch.float64)
        step[place] = 0.01
        with torch.no_grad():
            change = cost(wave + step.view_as(wave)) - cost(wave - step.view_as(wave))
        assert gradient.flatten()[place].item() == pytest.approx(change.item() / 0.02, rel=2e-2)
