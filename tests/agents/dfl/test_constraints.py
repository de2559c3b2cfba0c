"""Constraints of the quadratic program: the flow's rows, its factor, and messages."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stormgym.agents.dfl.constraints import FlowConstraints

B = 4


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(constraints: FlowConstraints) -> Tensor:
    """A, column by column."""
    return constraints.times(torch.eye(constraints.u.shape[-1], dtype=torch.float64)).mT


def test_flow__rows_are_balances_and_totals() -> None:
    constraints = FlowConstraints(3, 2, 2, total=4.0, stock0=[1.0, 0.0])
    segments = rand(1, 3, 2, 2)
    stock = segments.sum(-1)
    change = torch.diff(stock, dim=1, prepend=torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    x = constraints.pack(
        segments, out=change.clamp_min(0.0), back=change.neg().clamp_min(0.0), home=4.0 - stock.sum(-1)
    )
    torch.testing.assert_close(constraints.times(x)[0], constraints.b)
    blocks = constraints.unpack(x)
    torch.testing.assert_close(blocks.segments, segments)
    torch.testing.assert_close(blocks.out - blocks.back, change)
    torch.testing.assert_close(blocks.home, 4.0 - stock.sum(-1))


@pytest.mark.parametrize(("t", "k", "j"), [(5, 3, 4), (1, 2, 3), (4, 1, 1)])
def test_flow__factor_is_that_of_its_matrix(t: int, k: int, j: int) -> None:
    constraints = FlowConstraints(t, k, j, total=3.0)
    a = matrix(constraints)
    n, m = a.shape[1], a.shape[0]
    y, d = rand(B, m, seed=1) - 0.5, rand(B, n, seed=2)
    torch.testing.assert_close(constraints.transposed(y), y @ a)
    found, moves = constraints.factor(d)(y)
    torch.testing.assert_close(found, torch.linalg.solve((a * d.unsqueeze(1)) @ a.mT, y))
    torch.testing.assert_close(moves, d * (found @ a))


def test_flow__factor_keeps_rows_where_weights_span_24_orders() -> None:
    constraints = FlowConstraints(12, 4, 5, total=3.0)
    d = 10.0 ** (24.0 * rand(B, constraints.u.shape[-1], seed=3) - 12.0)
    r = rand(B, constraints.b.shape[-1], seed=4) - 0.5
    _, moves = constraints.factor(d)(r)
    torch.testing.assert_close(constraints.times(moves), r, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_days": 0}, "n_days must be at least 1; got 0"),
        ({"total": 0.0}, "total must be above 0 and finite; got 0.0"),
        ({"trip_bound": -1.0}, "trip_bound must be above 0, inf for none; got -1.0"),
        (
            {"widths": torch.ones(3, 2)},
            r"widths must be \[T, K, J\] = \(3, 2, 2\) or \[B, T, K, J\]; got shape \(3, 2\)",
        ),
        ({"widths": -torch.ones(3, 2, 2)}, "u must be at least 0, and inf for no bound; got -1.0"),
        ({"stock0": [1.0]}, r"stock0 must be \[2\] or \[B, 2\]; got shape \(1,\)"),
        ({"stock0": [3.0, 2.0]}, r"stock0 must be at least 0 and add up to at most total 4; got \[3.0, 2.0\]"),
    ],
)
def test_errors__of_the_flow(changes: dict[str, Any], message: str) -> None:
    data: dict[str, Any] = {"n_days": 3, "n_counties": 2, "n_segments": 2, "total": 4.0} | changes
    with pytest.raises(ValueError, match=message):
        FlowConstraints(data.pop("n_days"), data.pop("n_counties"), data.pop("n_segments"), **data)


def test_errors__of_blocks_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"segments must be \[..., T, K, J\] = \(3, 2, 2\); got shape \(3, 2, 5\)"):
        FlowConstraints(3, 2, 2, total=4.0).pack(torch.zeros(3, 2, 5))
