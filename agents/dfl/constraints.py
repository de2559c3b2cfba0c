"""Constraints of the quadratic programs of `qp_layer`: A x = b, 0 <= x <= u, with a factorisation of A D^-1 A'.

An interior-point method needs nothing else of A. `DenseConstraints` takes any matrix; `FlowConstraints` is the dispatch
of one warehouse over days and counties (GDF eq. 8-14, corrected as in `agents.dispatch.flow`): it never forms one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from stormgym.envs.core import is_number, is_whole

Solve = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Right-hand sides r `[B, m]` to the solutions y of (A D^-1 A' + shift) y = r, `[B, m]`, and D^-1 A' y `[B, n]`.

The second is what r asks of x. Near a solution it is a small difference of large y, and structure gives it without.
"""


class Constraints(Protocol):
    """A x = b and 0 <= x <= u over n variables and m rows, for a batch of B; every tensor is float64."""

    @property
    def b(self) -> Tensor:
        """`[m]`, or `[B, m]`."""

    @property
    def u(self) -> Tensor:
        """`[n]`, or `[B, n]`: at least 0, and inf where there is no bound."""

    def times(self, x: Tensor) -> Tensor:
        """A x `[B, m]` of x `[B, n]`."""

    def transposed(self, y: Tensor) -> Tensor:
        """A' y `[B, n]` of y `[B, m]`."""

    def factor(self, d_inverse: Tensor, shift: Tensor | float = 0.0) -> Solve:
        """Solver of (A D^-1 A' + shift) y = r, for D^-1 `[B, n]` and a shift `[B, 1]` of at least 0."""


class DenseConstraints:
    """Any matrix A of full row rank or not: batched Cholesky of A D^-1 A', O(B m^2 (m + n)).

    Args:
        a: `[m, n]`.
        b: `[m]` or `[B, m]`.
        u: `[n]` or `[B, n]`, at least 0; inf for no bound.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
    """

    def __init__(self, a: ArrayLike | Tensor, b: ArrayLike | Tensor, u: ArrayLike | Tensor) -> None:
        self.a = float64_of("a", a)
        self.b = float64_of("b", b)
        self.u = float64_of("u", u)
        if self.a.ndim != 2 or self.a.numel() == 0 or not bool(self.a.isfinite().all()):
            raise ValueError(f"a must be a finite matrix [m, n], not empty; got shape {tuple(self.a.shape)}")
        _check_rows("b", self.b, self.a.shape[0])
        _check_rows("u", self.u, self.a.shape[1])
        _check_bounds(self.b, self.u)

    def times(self, x: Tensor) -> Tensor:
        """See `Constraints`."""
        return x @ self.a.mT

    def transposed(self, y: Tensor) -> Tensor:
        """See `Constraints`."""
        return y @ self.a

    def factor(self, d_inverse: Tensor, shift: Tensor | float = 0.0) -> Solve:
        """See `Constraints`."""
        normal = (self.a * d_inverse.unsqueeze(-2)) @ self.a.mT  # [B, m, m]
        normal.diagonal(dim1=-2, dim2=-1).add_(shift)
        of_rows = _cholesky(normal)

        def solve(r: Tensor) -> tuple[Tensor, Tensor]:
            y = of_rows(r)
            return y, (y @ self.a) * d_inverse

        return solve


class FlowBlocks(NamedTuple):
    """The variables of a dispatch flow: generators, over any leading axes."""

    out: Tensor
    """`[..., T, K]` sent from the warehouse to county k at the start of day t."""
    back: Tensor
    """`[..., T, K]` sent home at the start of day t; what day T leaves goes home after it."""
    segments: Tensor
    """`[..., T, K, J]` parts of the stock of county k, of falling use."""
    home: Tensor
    """`[..., T]` kept in the warehouse."""


class FlowConstraints:
    """Dispatch flow of one warehouse: where its Q generators are on each of T days.

    With stock q[t, k] = sum_j segments[t, k, j] of county k on day t, the rows are

    - q[t, k] - q[t-1, k] - out[t, k] + back[t, k] = 0, with q[0] = `stock0` (K T rows);
    - sum_k q[t, k] + home[t] = Q (T rows).

    What is out on day T goes home on day T + 1. These trips equal q[T] and are no variables: add their price to the
    segments of the last day (`pack` does it). In x, blocks follow each other as `[B, K, T]` out, `[B, K, T]` back,
    `[B, J, K, T]` segments, `[B, T]` home, and rows as `[B, K, T]`, `[B, T]`: use `pack` and `unpack`.

    `factor` takes O(B K T^2) for the counties, each of them a ladder network, and one T x T Cholesky; it adds only
    positive numbers, so it stays accurate while D spans 1e-12 to 1e12.

    Args:
        n_days: T.
        n_counties: K.
        n_segments: J.
        total: Q, above 0.
        widths: `[T, K, J]` or `[B, T, K, J]` most generators in each segment, at least 0; default 1.
        stock0: `[K]` or `[B, K]` generators in counties before day 1, part of the total; default 0.
        trip_bound: most generators on each trip; default no bound.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
    """

    def __init__(
        self,
        n_days: int,
        n_counties: int,
        n_segments: int,
        *,
        total: float,
        widths: ArrayLike | Tensor | None = None,
        stock0: ArrayLike | Tensor | None = None,
        trip_bound: float = math.inf,
    ) -> None:
        for name, value in (("n_days", n_days), ("n_counties", n_counties), ("n_segments", n_segments)):
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be at least 1; got {value!r}")
        if not is_number(total) or not 0 < total < math.inf:
            raise ValueError(f"total must be above 0 and finite; got {total!r}")
        if not is_number(trip_bound) or not trip_bound > 0:
            raise ValueError(f"trip_bound must be above 0, inf for none; got {trip_bound!r}")
        self.n_days, self.n_counties, self.n_segments = t, k, j = n_days, n_counties, n_segments
        self.total = float(total)
        width = torch.ones(t, k, j, dtype=torch.float64) if widths is None else float64_of("widths", widths)
        start = torch.zeros(k, dtype=torch.float64) if stock0 is None else float64_of("stock0", stock0)
        if width.ndim not in (3, 4) or width.shape[-3:] != (t, k, j):
            raise ValueError(f"widths must be [T, K, J] = {(t, k, j)} or [B, T, K, J]; got shape {tuple(width.shape)}")
        _check_rows("stock0", start, k)
        if not bool(((start >= 0) & start.isfinite()).all()) or bool((start.sum(-1) > total * (1 + 1e-12)).any()):
            raise ValueError(f"stock0 must be at least 0 and add up to at most total {total:g}; got {start.tolist()}")
        self._ends = (k * t, 2 * k * t, 2 * k * t + j * k * t)  # of out, back and segments in x
        batch = width.shape[:-3]
        trips = torch.full((*batch, t, k), float(trip_bound), dtype=torch.float64)
        self.u = self._join(trips, trips, width, torch.full((*batch, t), math.inf, dtype=torch.float64))
        first = torch.zeros(*start.shape, t, dtype=torch.float64)  # [..., K, T]
        first[..., 0] = start
        self.b = torch.cat([first.flatten(-2), first.new_full((*start.shape[:-1], t), self.total)], dim=-1)
        _check_bounds(self.b, self.u)

    def pack(
        self,
        segments: Tensor,
        *,
        out: Tensor | float = 0.0,
        back: Tensor | float = 0.0,
        home: Tensor | float = 0.0,
        last_back: Tensor | float = 0.0,
    ) -> Tensor:
        """Blocks to a vector `[..., n]` in the order of x; differentiable.

        Args:
            segments: `[..., T, K, J]`.
            out, back: `[..., T, K]`, `[K]` or a number.
            home: `[..., T]` or a number.
            last_back: `[..., K]` or a number: for prices, that of a trip home after day T, added to the segments of
                day T. For r and for x leave it 0.

        Raises:
            ValueError: segments of another shape.
        """
        t, k, j = self.n_days, self.n_counties, self.n_segments
        if segments.shape[-3:] != (t, k, j):
            raise ValueError(f"segments must be [..., T, K, J] = {(t, k, j)}; got shape {tuple(segments.shape)}")
        batch = segments.shape[:-3]
        last = torch.as_tensor(last_back, dtype=segments.dtype)
        if bool(last.any()):
            day = torch.zeros(t, 1, 1, dtype=segments.dtype)
            day[-1] = 1.0
            segments = segments + day * last.unsqueeze(-1).unsqueeze(-3) if last.ndim else segments + day * last
        away, returned = (torch.as_tensor(v, dtype=segments.dtype).expand(*batch, t, k) for v in (out, back))
        return self._join(away, returned, segments, torch.as_tensor(home, dtype=segments.dtype).expand(*batch, t))

    def unpack(self, x: Tensor) -> FlowBlocks:
        """Blocks of a vector `[..., n]`, as views."""
        t, k, j = self.n_days, self.n_counties, self.n_segments
        out, back, segments, home = self._split(x)
        lead = x.shape[:-1]
        return FlowBlocks(
            out.reshape(*lead, k, t).transpose(-1, -2),
            back.reshape(*lead, k, t).transpose(-1, -2),
            segments.reshape(*lead, j, k, t).transpose(-1, -3),
            home,
        )

    def times(self, x: Tensor) -> Tensor:
        """See `Constraints`."""
        t, k, j = self.n_days, self.n_counties, self.n_segments
        out, back, segments, home = self._split(x)
        stock = segments.view(-1, j, k * t).sum(1)  # [B, K T]
        result = x.new_empty(x.shape[0], k * t + t)
        balance = result[:, : k * t]
        torch.sub(stock, out, out=balance)
        balance += back
        stock = stock.view(-1, k, t)
        balance.view(-1, k, t)[..., 1:] -= stock[..., :-1]
        torch.add(stock.sum(1), home, out=result[:, k * t :])
        return result

    def transposed(self, y: Tensor) -> Tensor:
        """See `Constraints`."""
        t, k, j = self.n_days, self.n_counties, self.n_segments
        county, total = y[:, : k * t], y[:, k * t :]
        result = y.new_empty(y.shape[0], self.u.shape[-1])
        out, back, segments, home = self._split(result)
        torch.neg(county, out=out)
        back.copy_(county)
        stock = county.reshape(-1, k, t) + total.unsqueeze(1)
        stock[..., :-1] -= county.view(-1, k, t)[..., 1:]
        segments.view(-1, j, k * t).copy_(stock.view(-1, 1, k * t).expand(-1, j, -1))
        home.copy_(total)
        return result

    def factor(self, d_inverse: Tensor, shift: Tensor | float = 0.0) -> Solve:
        """See `Constraints`.

        With a = sum_j of D^-1 of the segments, e = that of out + back (+ shift), and L q = q[t] - q[t-1], a county's
        block is L diag(a) L' + diag(e): the conductances of a ladder, with e[t] from node t to the ground and a[t]
        between nodes t and t + 1 (the last one to the ground). Its inverse W follows from the conductances to the left
        and right of each node (sums and series connections, no difference). Eliminating the counties leaves T rows for
        the totals, S = diag(home) + sum_k C_k, where C = diag(a) - diag(a) L' W L diag(a). With H = W L diag(a), county
        rows r and total rows nu, a county's y is W r - H nu and the change of its stock is H' r + C nu.
        """
        t, k, j = self.n_days, self.n_counties, self.n_segments
        n_batch = d_inverse.shape[0]
        out, back, segments, home = self._split(d_inverse)
        between = segments.view(-1, j, k * t).sum(1).view(-1, t)  # a [B K, T]
        ground = (out + back).add_(shift).view(-1, t)  # e [B K, T]
        left, through_left, through_right = _ladder(between, ground)
        of_county, of_total = between.new_empty(2, n_batch * k, 2 * t, t)  # (W, H') and (-H, C)
        upper = between.new_zeros(n_batch * k, t, t)  # W without what is below its diagonal
        peak = (left + through_right).reciprocal_()
        upper.diagonal(dim1=-2, dim2=-1).copy_(peak)
        falls = (between / (between + left)).unsqueeze(-1)
        for day in range(t - 2, -1, -1):  # W[t, i] = W[t+1, i] a[t] / (a[t] + left[t]), i > t
            torch.mul(upper[:, day + 1, day + 1 :], falls[:, day], out=upper[:, day, day + 1 :])
        torch.add(upper, upper.mT, out=of_county[:, :t])
        of_county[:, :t].diagonal(dim1=-2, dim2=-1).copy_(peak)
        # H' below its diagonal is that of W, and above it a[t] (W[i, t] - W[i, t+1]) from the left
        shifted = torch.zeros_like(upper)
        torch.mul(upper[:, 1:], through_left.unsqueeze(-1), out=shifted[:, :-1])
        weighted = upper.mul_(through_right.unsqueeze(-2))
        torch.sub(weighted.mT, shifted, out=of_county[:, t:])
        torch.sub(shifted.mT, weighted, out=of_total[:, :t])
        shifted *= through_right.unsqueeze(-2)  # C above its diagonal
        diagonal = left.mul_(through_right).mul_(peak)
        torch.add(shifted, shifted.mT, out=of_total[:, t:])
        of_total[:, t:].diagonal(dim1=-2, dim2=-1).copy_(diagonal)
        schur = of_total[:, t:].view(n_batch, k, t, t).sum(1)
        schur.diagonal(dim1=-2, dim2=-1).add_(home).add_(shift)
        of_rows = _cholesky(schur)
        of_total = of_total.view(n_batch, 2 * k * t, t)
        trips = d_inverse[:, : 2 * k * t].view(-1, 2, k, t)
        share = segments.view(-1, j, k * t) / between.clamp_min(torch.finfo(between.dtype).tiny).view(-1, 1, k * t)

        def solve(r: Tensor) -> tuple[Tensor, Tensor]:
            own = torch.bmm(of_county, r[:, : k * t].reshape(-1, t, 1)).view(-1, k, 2, t)
            right = r[:, k * t :] - own[:, :, 1].sum(1)
            total = of_rows(right).unsqueeze(-1)  # [B, T, 1]
            own += torch.bmm(of_total, total).view(-1, k, 2, t)
            county, stock = own[:, :, 0], own[:, :, 1].reshape(-1, 1, k * t)
            total = total.squeeze(-1)
            y = torch.cat([county.flatten(1), total], dim=-1)
            moves = torch.empty_like(d_inverse)
            of_out, of_back, of_segments, of_home = self._split(moves)
            torch.mul(trips[:, 0], county, out=of_out.view(-1, k, t)).neg_()
            torch.mul(trips[:, 1], county, out=of_back.view(-1, k, t))
            torch.mul(share, stock, out=of_segments.view(-1, j, k * t))
            torch.mul(home, total, out=of_home)
            return y, moves

        return solve

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Out, back, segments and home as they lie in x, each `[..., its size]`."""
        a, b, c = self._ends
        return x[..., :a], x[..., a:b], x[..., b:c], x[..., c:]

    def _join(self, out: Tensor, back: Tensor, segments: Tensor, home: Tensor) -> Tensor:
        parts = [out.transpose(-1, -2).flatten(-2), back.transpose(-1, -2).flatten(-2)]
        return torch.cat([*parts, segments.transpose(-1, -3).flatten(-3), home], dim=-1)


def _ladder(between: Tensor, ground: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Conductances to the ground from the nodes of ladder networks `[N, T]`.

    Returns:
        `[N, T]` at node t and to its left, `[N, T-1]` the same through a[t], from node t + 1, and `[N, T]` what is
        to the right of node t, through a[t].
    """
    n, t = between.shape
    links = torch.stack([between[:, :-1], between[:, :-1].flip(-1)]).permute(2, 0, 1).contiguous()  # [T-1, 2, N]
    grounds = torch.stack([ground, ground.flip(-1)]).permute(2, 0, 1).contiguous()  # [T, 2, N]
    grounds[0, 1] += between[:, -1]
    through = between.new_empty(t - 1, 2, n)
    sees = grounds.unbind(0)
    for step, (link, past) in enumerate(zip(links.unbind(0), through.unbind(0), strict=True)):
        torch.mul(link, sees[step], out=past)
        past /= link + sees[step]
        sees[step + 1].add_(past)
    to_right = torch.cat([through[:, 1].flip(0), between[None, :, -1]])
    return grounds[:, 0].mT.contiguous(), through[:, 0].mT.contiguous(), to_right.mT.contiguous()


def _cholesky(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """Solver of matrix y = r for symmetric `[B, m, m]` (overwritten), positive semidefinite but for rounding.

    The diagonal is scaled to 1 and regularised, and refinement undoes what that changes.
    """
    scale = matrix.diagonal(dim1=-2, dim2=-1).clamp_min(torch.finfo(matrix.dtype).tiny).rsqrt()
    matrix *= scale.unsqueeze(-1)
    matrix *= scale.unsqueeze(-2)
    regular = matrix.clone()
    regular.diagonal(dim1=-2, dim2=-1).add_(1e-13)
    lower, _ = torch.linalg.cholesky_ex(regular)

    def solve(r: Tensor) -> Tensor:
        right = (r * scale).unsqueeze(-1)
        y = torch.cholesky_solve(right, lower)
        y += torch.cholesky_solve(torch.baddbmm(right, matrix, y, alpha=-1.0), lower)
        return y.squeeze(-1) * scale

    return solve


def float64_of(name: str, value: ArrayLike | Tensor) -> Tensor:
    """Numbers as a float64 tensor without gradient.

    Raises:
        ValueError: texts, rows of different lengths, numbers too large for a float.
    """
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{name} must be numbers; got {str(value)[:80]} ({error})") from error


def _check_rows(name: str, value: Tensor, size: int) -> None:
    if value.ndim not in (1, 2) or value.shape[-1] != size:
        raise ValueError(f"{name} must be [{size}] or [B, {size}]; got shape {tuple(value.shape)}")


def _check_bounds(b: Tensor, u: Tensor) -> None:
    if not bool(b.isfinite().all()):
        raise ValueError(f"b must be finite; got {b[~b.isfinite()][0].item()}")
    if not bool((u >= 0).all()):
        raise ValueError(f"u must be at least 0, and inf for no bound; got {u[~(u >= 0)][0].item()}")
