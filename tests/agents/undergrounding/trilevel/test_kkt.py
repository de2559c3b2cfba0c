"""The form by optimality conditions: it agrees with the others, and the printed conditions do not."""

from collections.abc import Callable
from typing import Any

import pytest

from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel, worst_case


@pytest.mark.slow
def test_random__kkt_agrees(draw: Callable[..., Any]) -> None:
    for seed in range(24):
        data, limits = draw(2 + seed % 4, 200 + seed, equal=seed % 2 == 0)
        exact = solve_trilevel(*data, **limits).value
        assert solve_trilevel(*data, **limits, method="kkt").value == pytest.approx(exact, rel=1e-6, abs=1e-7), seed


def test_fault__stationarity_with_the_wrong_budget_excludes_the_crews_best_answer() -> None:
    # Eq. 22 as printed, B - sum rho - gamma = 0 with gamma >= 0, lets no more than B regions have crews.
    worst = worst_case([0, 0, 0], [1.0, 1.0, 1.0], 1.0, 0.0, 1.0, 0.0, 3.0, crew_budget=2.0)
    assert worst.crews.sum() == pytest.approx(2.0)  # C - sum c rho - gamma = 0 holds, and with B = 1 eq. 22 does not


def test_fault__one_complementary_pair_is_not_enough() -> None:
    # n = 1, h = T = T_0 = 1, no budgets: V = 1. Eq. 32-33 keep the first pair alone; u = 0 then satisfies eq. 16-24.
    h, t, u, lam, mu, rho, gamma, above = 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
    assert lam + mu - h * u >= 0  # eq. 16
    assert h * (1 - rho) - above == 0  # stationarity in u: the multiplier of u <= T carries the gain
    assert 0 - rho - gamma == 0  # in lam
    assert rho * (lam + mu - h * u) == 0  # eq. 24, the pair that is kept
    assert above * (t - u) != 0  # eq. 28, one of those that are left out
    assert h * u - lam * 0 - mu == 0.0  # so the printed program returns 0
    assert solve_trilevel([h], 1.0, 1.0, 0.0, t, 0.0, 1.0, budget=0.0, crew_budget=0.0, method="kkt").value == 1.0
