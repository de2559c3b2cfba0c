"""HiGHS by its own interface: the same answers as SciPy's `linprog`, which holds another version of it."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from stormgym.agents.dispatch import highs
from stormgym.agents.dispatch.flow import solve_dispatch


def transport(seed):
    """A small balanced flow: five sources and seven targets, with capacities."""
    rng = np.random.default_rng(seed)
    supply = rng.integers(3, 9, 5)
    need = rng.multinomial(supply.sum(), np.full(7, 1 / 7))
    rows = np.vstack([np.kron(np.eye(5), np.ones(7)), np.kron(np.ones(5), np.eye(7))])
    upper = np.where(rng.random(35) < 0.5, np.inf, 6.0)
    return rng.integers(1, 5, 35).astype(float), sparse.csc_array(rows), np.concatenate([supply, need]) * 1.0, upper


@pytest.mark.parametrize("seed", range(5))
def test_least_cost__is_linprogs_answer(seed):
    cost, matrix, right, upper = transport(seed)
    answer = linprog(cost, A_eq=matrix, b_eq=right, bounds=np.stack([np.zeros(35), upper], axis=1), method="highs")
    x, value = highs.least_cost(cost, matrix, right, upper)
    assert value == pytest.approx(answer.fun, rel=1e-12)
    np.testing.assert_allclose(matrix @ x, right, atol=1e-9)
    assert ((x >= -1e-9) & (x <= upper + 1e-9)).all()
    np.testing.assert_allclose(x, np.round(x), atol=1e-9)  # a vertex of a flow is whole


def test_least_cost__of_a_problem_without_a_plan():
    cost, matrix, right, upper = transport(0)
    with pytest.raises(RuntimeError, match="infeasible"):
        highs.least_cost(cost, matrix, right, np.zeros_like(upper))


def test_flow__capacities_that_are_too_small_are_told():
    cost = np.full((4, 4), 10.0)
    with pytest.raises(RuntimeError, match="no dispatch plan"):
        solve_dispatch(
            np.zeros((2, 3)),
            generators=4,
            customers_per_generator=100.0,
            transport_cost=cost,
            interruption_cost=1.0,
            operating_cost=1.0,
            stock0=[0, 2, 0],
            arc_capacity=np.zeros((4, 4)),
        )
