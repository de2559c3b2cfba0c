"""The differentiable quadratic program beside cvxpylayers with Clarabel: forward and backward, side by side in one run.

    python -m benchmarks.dispatch.qp_speed

Dispatch flows of one warehouse with random outages, one batch a call. Ours with the structure of the flow, ours with
its matrix written out, and the peer take turns, round by round; times are the median over rounds, of wall time on one
thread. The peer is left out where it is not installed (`pip install -e ".[dev]"`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from stormgym.agents.dfl.qp_layer import Constraints, DenseConstraints, FlowConstraints, qp_layer

SIZES = ((3, 15, 10), (10, 20, 10))
"""K, T and J."""
Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Time of one forward and one backward pass."""

    batch: int = 32
    """B, programs in a call."""
    rounds: int = 5
    """Turns of each case, after one that is not counted; a case that takes above 10 s gets one."""
    rho: float = 1.0
    """Curvature of every trip and segment."""
    seed: int = 0
    """Decides the outages."""
    peer: bool = True
    """Also time cvxpylayers with Clarabel."""


def problem(k: int, t: int, j: int, settings: Settings) -> tuple[Tensor, Tensor, FlowConstraints]:
    """Prices `[B, n]`, curvature `[n]` and constraints: N_g = 100 customers, Q = 10, trips at 100, tau 2, gamma 8."""
    rng = torch.Generator().manual_seed(settings.seed)
    outages = 1200.0 * torch.rand(settings.batch, t, k, 1, generator=rng, dtype=torch.float64)
    price = 8.0 - 2.0 * (outages - 100.0 * torch.arange(j)).clamp(0.0, 100.0)
    price[..., -1] = 8.0
    widths = torch.ones(t, k, j, dtype=torch.float64)
    widths[..., -1] = 10.0
    constraints = FlowConstraints(t, k, j, total=10.0, widths=widths)
    curvature = constraints.pack(torch.full_like(widths, settings.rho), out=settings.rho, back=settings.rho)
    return constraints.pack(price, out=100.0, back=100.0, last_back=100.0), curvature, constraints


def ours(r: Tensor, constraints: Constraints) -> Layer:
    """`qp_layer` with these constraints."""
    return lambda p: qp_layer(p, r, constraints)


def cvxpylayers(r: Tensor, constraints: DenseConstraints) -> Layer | None:
    """The peer, or None where it is not installed."""
    try:
        import cvxpy as cp
        from cvxpylayers.torch import CvxpyLayer
        from scipy import sparse
    except ImportError:
        return None
    bounded, u = constraints.u.isfinite().numpy(), constraints.u.numpy()
    x, price = cp.Variable(len(r)), cp.Parameter(len(r))
    goal = cp.Minimize(price @ x + 0.5 * cp.sum_squares(cp.multiply(np.sqrt(r.numpy()), x)))
    rules: list[Any] = [sparse.csr_array(constraints.a.numpy()) @ x == constraints.b.numpy(), x >= 0]
    layer = CvxpyLayer(cp.Problem(goal, [*rules, x[bounded] <= u[bounded]]), parameters=[price], variables=[x])
    return lambda p: layer(p, solver_args={"solve_method": "Clarabel"})[0]


def once(layer: Layer, p: Tensor, g: Tensor) -> tuple[float, float, Tensor]:
    """Seconds forward and backward, and the solutions."""
    leaf = p.clone().requires_grad_()
    began = time.perf_counter()
    x = layer(leaf)
    solved = time.perf_counter()
    x.backward(g)
    return solved - began, time.perf_counter() - solved, x.detach()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    if settings.batch < 1 or settings.rounds < 1:
        print(f"dispatch.qp_speed: --batch and --rounds must be at least 1; got {settings}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    table = Table(
        "K, T, J", "layer", "forward, ms", "backward, ms", "both, times the flow's", "farthest from the flow's x"
    )
    for size in SIZES:
        p, r, flow = problem(*size, settings)
        rows = flow.times(torch.eye(p.shape[1], dtype=torch.float64)).mT.contiguous()
        dense = DenseConstraints(rows, flow.b, flow.u)
        cases = {"ours, flow": ours(r, flow), "ours, dense": ours(r, dense)}
        peer = cvxpylayers(r, dense) if settings.peer else None
        if peer is not None:
            cases["cvxpylayers, Clarabel"] = peer
        g = torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        spent: dict[str, list[tuple[float, float]]] = {}
        solutions = {}
        for turn in range(settings.rounds + 1):
            for name, layer in cases.items():
                if turn > 1 and sum(spent[name][0]) > 10.0:
                    continue
                forward, backward, solutions[name] = once(layer, p, g)
                if turn > 0:
                    spent.setdefault(name, []).append((forward, backward))
        times = {name: [1e3 * median(part) for part in zip(*values, strict=True)] for name, values in spent.items()}
        for name, (forward, backward) in times.items():
            ratio = (forward + backward) / sum(times["ours, flow"])
            off = float((solutions[name] - solutions["ours, flow"]).abs().max())
            cells = (f"{forward:.1f}", f"{backward:.1f}", f"{ratio:.1f}", f"{off:.1e}")
            table.add_row(", ".join(map(str, size)), name, *cells)
    Console(emoji=False).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
