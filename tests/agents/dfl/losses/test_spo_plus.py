"""SPO+: a convex bound of the regret, with the gradient of the paper."""

from __future__ import annotations

import torch

from stormgym.agents.dfl.losses import relaxed_plan, spo_plus
from stormgym.agents.dispatch.decision import DispatchProblem, simulated_events
from stormgym.envs.dispatch.profiles import resolve_profile

PROFILE = resolve_profile("A")
PROBLEM = DispatchProblem(PROFILE)


def test_spo_plus__bounds_the_regret_and_has_the_gradient_of_the_paper() -> None:
    events = simulated_events(PROFILE, 6, 4)
    true = PROBLEM.prices(torch.as_tensor(events.outcomes))
    best = relaxed_plan(PROBLEM, true)
    other = PROBLEM.prices(torch.as_tensor(simulated_events(PROFILE, 6, 5).outcomes)).requires_grad_()
    loss = spo_plus(PROBLEM, other, true, best)
    played = relaxed_plan(PROBLEM, other.detach())
    assert (loss >= ((played - best) * true).sum(-1) - 1e-3).all()
    (gradient,) = torch.autograd.grad(loss.sum(), other)
    tilted = relaxed_plan(PROBLEM, (2 * other - true).detach())
    torch.testing.assert_close(gradient, 2 * (best - tilted))
    torch.testing.assert_close(spo_plus(PROBLEM, true, true, best), torch.zeros(6).double(), atol=1e-2, rtol=0.0)
    middle = 0.5 * (other.detach() + true)
    assert (spo_plus(PROBLEM, middle, true, best) <= 0.5 * loss + 1e-2).all()  # convex
