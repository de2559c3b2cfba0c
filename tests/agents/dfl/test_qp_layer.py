"""The differentiable quadratic program: other solvers beside it, its derivative, its structure and its errors."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from stormgym.agents.dfl.qp_layer import DenseConstraints, FlowConstraints, qp_layer, solve_qp
from stormgym.agents.dispatch.flow import solve_dispatch

B = 4


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_problem(seed: int, m: int = 5, n: int = 14, batch: int = B) -> tuple[Tensor, DenseConstraints]:
    """A feasible program with a least value: x0 is feasible, and p = A'y0 + z0 with z0 > 0."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, n)) * (rng.random((m, n)) < 0.6)
    u = rng.uniform(0.5, 3.0, (batch, n))
    u[:, ::3] = np.inf
    x0 = rng.random((batch, n)) * np.minimum(u, 2.0)
    p = 3.0 * rng.normal(size=(batch, m)) @ a + rng.uniform(0.05, 1.0, (batch, n))
    return torch.as_tensor(p), DenseConstraints(a, x0 @ a.T, u)


def flow_problem(seed: int, t: int = 5, k: int = 3, j: int = 4, batch: int = B) -> tuple[Tensor, FlowConstraints, Any]:
    """Prices and constraints of a small dispatch, and its outages `[B, T, K]`: N_g = 100, Q = 5, trips at 60."""
    outages = 400.0 * rand(batch, t, k, seed=seed)
    widths = torch.ones(t, k, j, dtype=torch.float64)
    widths[..., -1] = 5.0
    price = 8.0 - 2.0 * (outages.unsqueeze(-1) - 100.0 * torch.arange(j)).clamp(0.0, 100.0)
    price[..., -1] = 8.0
    constraints = FlowConstraints(t, k, j, total=5.0, widths=widths)
    return constraints.pack(price, out=60.0, back=60.0, last_back=60.0), constraints, outages


def curvature(constraints: FlowConstraints, rho: float, home: float = 0.0) -> Tensor:
    sizes = (constraints.n_days, constraints.n_counties, constraints.n_segments)
    return constraints.pack(torch.full(sizes, rho, dtype=torch.float64), out=rho, back=rho, home=home)


def matrix(constraints: FlowConstraints) -> Tensor:
    """A, column by column."""
    return constraints.times(torch.eye(constraints.u.shape[-1], dtype=torch.float64)).mT


def slope(p: Tensor, r: Tensor, constraints: Any, g: Tensor, along: Tensor, h: float = 1e-6) -> Tensor:
    """Central difference of g'x along a direction, `[B]`."""
    ahead, behind = (solve_qp(p + sign * h * along, r, constraints, tolerance=1e-12).x for sign in (1, -1))
    return ((ahead - behind) * g).sum(-1) / (2 * h)


@pytest.mark.parametrize("rho", [0.1, 1.0, 30.0])
def test_solve__is_clarabels_optimum(rho: float) -> None:
    clarabel = pytest.importorskip("clarabel")
    from scipy import sparse

    p, constraints = dense_problem(1)
    m, n = constraints.a.shape
    found = solve_qp(p, torch.full((n,), rho), constraints, tolerance=1e-10)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    for i in range(B):
        bounded = constraints.u[i].isfinite().numpy()
        eye = np.eye(n)
        rows = sparse.csc_matrix(np.vstack([constraints.a.numpy(), -eye, eye[bounded]]))
        right = np.concatenate([constraints.b[i].numpy(), np.zeros(n), constraints.u[i].numpy()[bounded]])
        cones = [clarabel.ZeroConeT(m), clarabel.NonnegativeConeT(n + int(bounded.sum()))]
        peer = clarabel.DefaultSolver(sparse.csc_matrix(rho * eye), p[i].numpy(), rows, right, cones, settings).solve()
        np.testing.assert_allclose(found.x[i], peer.x, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_solve__meets_the_optimality_conditions(seed: int) -> None:
    p, constraints = dense_problem(seed)
    r = rand(p.shape[1], seed=seed)
    found = solve_qp(p, r, constraints)
    u = constraints.u
    assert found.converged.all()
    assert (found.x >= 0).all()
    assert (found.x <= u * (1 + 1e-12)).all()
    assert (found.z >= 0).all()
    assert (found.w >= 0).all()
    assert (found.w[u.isinf()] == 0).all()
    torch.testing.assert_close(constraints.times(found.x), constraints.b, atol=1e-7, rtol=0)
    rest = p + r * found.x - constraints.transposed(found.y) - found.z + found.w
    torch.testing.assert_close(rest, torch.zeros_like(rest), atol=1e-6, rtol=0)
    assert float((found.x * found.z).max()) < 1e-6
    assert float((torch.where(u.isinf(), 0.0, u - found.x) * found.w).max()) < 1e-6


@pytest.mark.parametrize("rho", [0.0, 1e-7])
def test_solve__without_curvature_has_the_linear_programs_value(rho: float) -> None:
    p, constraints = dense_problem(3)
    found = solve_qp(p, torch.full((p.shape[1],), rho), constraints)
    for i in range(B):
        bounds = [(0, None if math.isinf(u) else u) for u in constraints.u[i].tolist()]
        peer = linprog(p[i].numpy(), A_eq=constraints.a.numpy(), b_eq=constraints.b[i].numpy(), bounds=bounds)
        assert float(p[i] @ found.x[i]) == pytest.approx(peer.fun, rel=1e-5, abs=1e-5)


def test_solve__rows_that_repeat_do_no_harm() -> None:
    p, constraints = dense_problem(4)
    twice = DenseConstraints(
        torch.cat([constraints.a, constraints.a[:2]]),
        torch.cat([constraints.b, constraints.b[:, :2]], 1),
        constraints.u,
    )
    r = torch.ones(p.shape[1])
    torch.testing.assert_close(solve_qp(p, r, twice).x, solve_qp(p, r, constraints).x, atol=1e-5, rtol=0)


def test_solve__a_variable_with_bound_0_stays_0() -> None:
    p, constraints = dense_problem(5)
    u, x0 = constraints.u.clone(), rand(*p.shape) * 0.5
    u[1, 4] = u[2, :3] = 0.0
    x0[u == 0] = 0.0
    r = torch.ones(p.shape[1])
    leaf = p.clone().requires_grad_()
    x = qp_layer(leaf, r, DenseConstraints(constraints.a, x0 @ constraints.a.mT, u))
    assert (x[u == 0] == 0).all()
    (gradient,) = torch.autograd.grad((x * rand(*p.shape)).sum(), leaf)
    assert (gradient[u == 0] == 0).all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", ["dense", "flow"])
def test_solve__an_element_does_not_depend_on_its_batch(kind: str) -> None:
    p, constraints = dense_problem(6, batch=9) if kind == "dense" else flow_problem(6, batch=9)[:2]
    r = torch.full((p.shape[1],), 0.5)
    together = solve_qp(p, r, constraints)
    assert len(set(together.iterations.tolist())) > 1, "elements should stop at different times"
    for i in range(len(p)):
        if kind == "dense":
            assert isinstance(constraints, DenseConstraints)
            own: Any = DenseConstraints(constraints.a, constraints.b[i], constraints.u[i])
        else:
            own = constraints
        alone = solve_qp(p[i : i + 1], r, own)
        torch.testing.assert_close(alone.x[0], together.x[i], atol=1e-9, rtol=0)
        assert int(alone.iterations[0]) == int(together.iterations[i])


def test_solve__says_which_elements_have_no_feasible_point() -> None:
    constraints = DenseConstraints([[1.0, 1.0]], torch.tensor([[1.0], [3.0], [1.5]]), [1.0, 1.0])
    p, r = torch.zeros(3, 2), torch.ones(2)
    found = solve_qp(p, r, constraints, strict=False)
    assert found.converged.tolist() == [True, False, True]
    assert float(found.primal_residual[1]) > 0.1
    torch.testing.assert_close(found.x[[0, 2]].float(), torch.tensor([[0.5, 0.5], [0.75, 0.75]]))
    with pytest.raises(RuntimeError, match=r"1 of 3 .* did not converge .* \[1\]; element 1 has primal residual"):
        qp_layer(p, r, constraints)


def test_solve__says_when_there_is_no_least_value() -> None:
    constraints = DenseConstraints([[1.0, -1.0]], [0.0], [math.inf, math.inf])
    with pytest.raises(RuntimeError, match="objective without a least value"):
        solve_qp(torch.tensor([[-1.0, -1.0]]), torch.zeros(2), constraints)


@pytest.mark.parametrize("rho", [1e-3, 0.1, 5.0])
@pytest.mark.parametrize("kind", ["dense", "flow"])
def test_gradient__is_the_finite_difference(kind: str, rho: float) -> None:
    if kind == "dense":
        p, constraints = dense_problem(7)
        r = torch.full((p.shape[1],), rho, dtype=torch.float64)
    else:
        p, constraints, _ = flow_problem(7)
        p = p + min(rho, 1.0) * rand(*p.shape, seed=8)  # no kink, and segments that share a price share a county
        r = curvature(constraints, rho)  # 0 for what is kept in the warehouse
    g, along = rand(*p.shape, seed=9) - 0.5, rand(*p.shape, seed=10) - 0.5
    leaf = p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((qp_layer(leaf, r, constraints, tolerance=1e-12) * g).sum(), leaf)
    expected = slope(p, r, constraints, g, along, h=1e-5 * min(rho, 1.0))
    scale = float(gradient.norm(dim=-1).max())
    torch.testing.assert_close((gradient * along).sum(-1), expected, atol=2e-4 * max(scale, 1.0), rtol=1e-3)


def test_solve__goes_on_where_an_optimum_is_degenerate() -> None:
    """Prices stay small, although all variables of some rows sit at bounds."""
    p, constraints, _ = flow_problem(7, batch=30)
    for rho, tolerance in ((0.0, 1e-8), (1e-3, 1e-12)):
        found = solve_qp(p, curvature(constraints, rho), constraints, tolerance=tolerance)
        assert found.converged.all()
        assert int(found.iterations.max()) < 30


def test_gradient__is_that_of_the_active_set() -> None:
    """On a simplex the gradient is (mean of g - g) / r over what lies between its bounds, and 0 elsewhere."""
    p = torch.tensor([[0.0, 0.3, 5.0, -9.0, 0.2]], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([[1.0, 2.0, 3.0, 4.0, 6.0]], dtype=torch.float64)
    x = qp_layer(p, torch.full((5,), 2.0), DenseConstraints(torch.ones(1, 5), [2.0], torch.ones(5)), tolerance=1e-10)
    torch.testing.assert_close(x.detach()[0, 2:4], torch.tensor([0.0, 1.0], dtype=torch.float64))
    (gradient,) = torch.autograd.grad((x * g).sum(), p)
    expected = -torch.tensor([[-2.0, -1.0, 0.0, 0.0, 3.0]], dtype=torch.float64) / 2.0
    torch.testing.assert_close(gradient, expected, atol=1e-7, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the peer copies tensors by an old interface of NumPy
def test_gradient__is_cvxpylayers() -> None:
    cp = pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    layers = pytest.importorskip("cvxpylayers.torch")
    p, constraints, _ = flow_problem(11, t=3, k=2, j=3)
    p = p + rand(*p.shape, seed=12)
    n = p.shape[1]
    r = curvature(constraints, 50.0)
    x, price = cp.Variable(n), cp.Parameter(n)
    bounded = constraints.u.isfinite().numpy()
    rules = [
        matrix(constraints).numpy() @ x == constraints.b.numpy(),
        x >= 0,
        x[bounded] <= constraints.u.numpy()[bounded],
    ]
    goal = cp.Minimize(price @ x + 0.5 * cp.sum_squares(cp.multiply(np.sqrt(r.numpy()), x)))
    peer = layers.CvxpyLayer(cp.Problem(goal, rules), parameters=[price], variables=[x])
    g = rand(*p.shape, seed=13)
    ours, theirs = (p.clone().requires_grad_() for _ in range(2))
    found = qp_layer(ours, r, constraints, tolerance=1e-10)
    sharp = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
    (other,) = peer(theirs, solver_args={"solve_method": "Clarabel", "mode": "dense", **sharp})
    torch.testing.assert_close(found, other, atol=3e-4, rtol=0)
    (found * g).sum().backward()
    (other * g).sum().backward()
    assert ours.grad is not None
    assert float(ours.grad.abs().max()) > 5e-3
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)


def test_gradient__comes_in_the_dtype_of_the_prices() -> None:
    p, constraints = dense_problem(14)
    leaf = p.float().requires_grad_()
    x = qp_layer(leaf, torch.ones(p.shape[1]), constraints)
    x.sum().backward()
    assert leaf.grad is not None
    assert x.dtype == leaf.grad.dtype == torch.float32


def test_flow__is_the_dense_program() -> None:
    p, constraints, _ = flow_problem(15)
    r = curvature(constraints, 1.0)
    dense = DenseConstraints(matrix(constraints), constraints.b, constraints.u)
    torch.testing.assert_close(solve_qp(p, r, constraints).x, solve_qp(p, r, dense).x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rho", [0.0, 1e-6])
def test_flow__without_curvature_costs_what_the_plan_costs(rho: float) -> None:
    p, constraints, outages = flow_problem(16, t=6, k=3, j=6)
    found = solve_qp(p, curvature(constraints, rho), constraints)
    for i in range(B):
        plan = solve_dispatch(
            outages[i].numpy(),
            generators=5,
            customers_per_generator=100.0,
            transport_cost=60.0,
            interruption_cost=2.0,
            operating_cost=8.0,
        )
        value = float(p[i] @ found.x[i]) + 2.0 * float(outages[i].sum())
        assert value == pytest.approx(plan.cost, rel=1e-5)


def test_flow__widths_may_differ_in_a_batch_and_be_0() -> None:
    p = flow_problem(17)[0]
    widths = torch.floor(3.0 * rand(B, 5, 3, 4, seed=18))
    widths[0, 2] = 0.0  # nothing may be anywhere on day 3
    own = FlowConstraints(5, 3, 4, total=5.0, widths=widths, trip_bound=2.0)
    found = own.unpack(solve_qp(p, curvature(own, 1e-3), own).x)
    assert (found.segments <= widths + 1e-9).all()
    assert (found.segments[0, 2] == 0).all()
    assert float(found.home[0, 2]) == pytest.approx(5.0)
    assert float(found.out.max()) <= 2.0 + 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p": torch.zeros(2, 3)}, r"p must be \[B, n\] with n = 2 and B at least 1; got shape \(2, 3\)"),
        ({"p": torch.tensor([[0.0, math.nan]])}, r"p must be finite; got nan at \[0, 1\]"),
        ({"r": torch.ones(3)}, r"r must be \[n\] = \[2\], one for the whole batch; got shape \(3,\)"),
        ({"r": torch.tensor([1.0, -2.0])}, "at least 0, or the program is not convex; got -2.0"),
        ({"b": torch.zeros(3, 1)}, "b of the constraints is for 3 elements and p for 1: make both equal"),
        ({"b": [1.0, 2.0]}, r"b must be \[1\] or \[B, 1\]; got shape \(2,\)"),
        ({"b": [math.inf]}, "b must be finite; got inf"),
        ({"u": [1.0, -1.0]}, "u must be at least 0, and inf for no bound; got -1.0"),
        ({"u": [math.nan, 1.0]}, "u must be at least 0, and inf for no bound; got nan"),
        ({"a": [1.0, 1.0]}, r"a must be a finite matrix \[m, n\], not empty; got shape \(2,\)"),
        ({"tolerance": 0.0}, r"tolerance must be in \(0, 1\); got 0.0"),
        ({"max_iterations": 0}, "max_iterations must be at least 1; got 0"),
    ],
)
def test_errors__name_value_rule_and_cure(changes: dict[str, Any], message: str) -> None:
    data: dict[str, Any] = {"p": torch.zeros(1, 2), "r": torch.ones(2), "a": [[1.0, 1.0]], "b": [1.0], "u": [1.0, 1.0]}
    data |= changes
    with pytest.raises(ValueError, match=message):
        qp_layer(
            data["p"],
            data["r"],
            DenseConstraints(data["a"], data["b"], data["u"]),
            tolerance=data.get("tolerance", 1e-8),
            max_iterations=data.get("max_iterations", 60),
        )


def test_solve__says_which_row_no_x_meets_and_which_variable_falls_without_end() -> None:
    constraints = DenseConstraints([[1.0, 0.0], [1.0, 1.0]], torch.tensor([[0.5, 1.0], [0.5, 5.0]]), [1.0, 1.0])
    with pytest.raises(RuntimeError, match=r"Row 1 needs b = 5 and gets .*; any x gives 0 to 2\. Change b or u"):
        solve_qp(torch.ones(2, 2), torch.ones(2), constraints)
    flow = FlowConstraints(2, 2, 1, total=3, widths=np.zeros((2, 2, 1)), stock0=[3, 0], trip_bound=0.5)
    n = flow.u.shape[-1]
    with pytest.raises(RuntimeError, match=r"Row \d needs b = 3 and gets 0\.5 from the nearest x"):
        solve_qp(torch.ones(1, n), torch.ones(n), flow)
    free = DenseConstraints([[1.0, -1.0]], [0.0], [math.inf, math.inf])
    with pytest.raises(RuntimeError, match=r"Variable 1 has no bound u, p = -2 and r = 0: give it a bound or r > 0"):
        solve_qp(torch.tensor([[-1.0, -2.0]]), torch.zeros(2), free)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": "x"}, "r must be numbers; got x"),
        ({"r": [1.0, 10**400]}, "r must be numbers"),
        ({"max_iterations": 2.5}, "max_iterations must be at least 1; got 2.5"),
        ({"max_iterations": True}, "max_iterations must be at least 1; got True"),
        ({"tolerance": "x"}, r"tolerance must be in \(0, 1\); got 'x'"),
        ({"p": torch.tensor([[math.inf, 1.0]])}, r"p must be finite; got inf at \[0, 0\]"),
    ],
)
def test_solve__arguments_of_a_wrong_kind_are_named(change: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"p": torch.ones(1, 2), "r": [1.0, 1.0]}
    with pytest.raises(ValueError, match=message):
        solve_qp(**{**usual, **change}, constraints=DenseConstraints([[1.0, 1.0]], [1.0], [1.0, 1.0]))
    for bad in ("x", [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match="a must be numbers; got"):
            DenseConstraints(bad, [1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"n_days must be at least 1; got 2\.5"):
        FlowConstraints(2.5, 2, 2, total=3)  # type: ignore[arg-type]
