"""The one place where inequity is computed: Wasserstein gaps between groups, group means, Gini. Batched, NumPy only.

Groups are given as ids `[N]` of the regions, 0..G-1. Where groups are compared, each of the P = G (G - 1) / 2 pairs (a,
b) with a < b has a place on a pair axis, everywhere in the order of `group_pairs`: (0, 1), (0, 2), ..., (1, 2), ...
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Bools, Floats, Ints

MAX_GROUPS = 300
"""Groups that may be compared: pairs of groups grow with the square."""
FINE = 2.0**38
"""Parts of an hour in which running gaps are computed: 4e-12 h."""


def group_pairs(n_groups: int) -> tuple[tuple[int, int], ...]:
    """Return the P = G(G-1)/2 pairs (a, b), a < b, in the order that every pair axis of the suite uses.

    Raises:
        ValueError: more than `MAX_GROUPS` groups.
    """
    if n_groups > MAX_GROUPS:
        raise ValueError(f"n_groups must be at most {MAX_GROUPS}; got {n_groups:,}. Make fewer groups")
    return tuple(combinations(range(n_groups), 2))


def pair_matrix(n_groups: int) -> Floats:
    """Return the matrix `[G, P]` that turns group shares into differences: `shares @ pair_matrix` is F_a - F_b."""
    pairs = group_pairs(n_groups)
    matrix = np.zeros((n_groups, len(pairs)))
    for column, (a, b) in enumerate(pairs):
        matrix[a, column], matrix[b, column] = 1.0, -1.0
    return matrix


def check_groups(group: ArrayLike, n_groups: int | None = None) -> tuple[Ints, int]:
    """Return group ids `[N]` as int64 and their number G.

    Raises:
        ValueError: ids are not integers 0..G-1, or a group is empty.
    """
    ids = np.asarray(group)
    numbers = ids.ndim == 1 and ids.size > 0 and ids.dtype.kind in "biuf"
    if not numbers or not (np.isfinite(ids) & (np.rint(ids) == ids)).all():
        raise ValueError(f"group must be a non-empty vector of integers 0..G-1; got {group!r}")
    n = int(ids.max()) + 1 if n_groups is None else n_groups
    fits = n <= ids.size and ids.min() >= 0 and ids.max() < ids.size  # else too many groups for arrays by group
    counts = np.bincount(ids.astype(np.int64), minlength=n) if fits else np.zeros(0, dtype=np.int64)
    if counts.size != n or (counts == 0).any():
        raise ValueError(
            f"group ids must be 0..{n - 1} and each group needs a member; got ids {np.unique(ids).tolist()}. "
            "Number the groups without holes."
        )
    return ids.astype(np.int64), n


def _weights(ids: Ints, n_groups: int) -> Floats:
    """Return `[N, G]`: 1 / (size of the group) where the region belongs to it, else 0."""
    return np.eye(n_groups)[ids] / np.bincount(ids, minlength=n_groups)


def pairwise_w1(times: ArrayLike, group: ArrayLike, n_groups: int | None = None) -> Floats:
    """Wasserstein-1 distance between the groups' distributions of `times`, for every pair of groups.

    Exact for unequal group sizes and ties: W1 = sum |F_a - F_b| * diff(sorted times).

    Args:
        times: `[..., N]`, any unit (hours here).
        group: `[N]` integers 0..G-1.
        n_groups: G; None takes it from `group`.

    Returns:
        `[..., P]` in the unit of `times`, pairs ordered as `group_pairs`.

    Raises:
        ValueError: on bad group ids, a wrong length or a NaN in `times`.
    """
    t = np.asarray(times, dtype=np.float64)
    ids, n = check_groups(group, n_groups)
    if t.shape[-1:] != ids.shape:
        raise ValueError(f"times must end in N = {ids.size} regions; got shape {t.shape}")
    if np.isnan(t).any():
        raise ValueError("times must not hold NaN; give every region a time")
    # In one dimension W1 is the area between the two distribution functions. Both are steps that change only at the
    # times of regions, so the area is a sum over the N - 1 intervals between neighbouring times; ties have length 0.
    order = np.argsort(t, axis=-1, kind="stable")
    ordered = np.sort(t, axis=-1)
    steps = ordered[..., 1:] - ordered[..., :-1]  # [..., N-1] lengths of the intervals
    # F_g on each interval: the share of group g restored by its beginning. Every region adds 1 / (size of its group) to
    # its own group; the last region ends the last interval and is left out.
    shares = np.cumsum(_weights(ids, n).T.take(order[..., :-1], axis=1), axis=-1)  # [G, ..., N-1]
    result = np.empty((*t.shape[:-1], len(group_pairs(n))))
    for p, (a, b) in enumerate(group_pairs(n)):
        result[..., p] = np.vecdot(np.abs(shares[a] - shares[b]), steps)
    return result


def gap(times: ArrayLike, group: ArrayLike, n_groups: int | None = None) -> Floats:
    """Largest Wasserstein-1 distance over all pairs of groups, `[...]` (EPOPR eq. 14); 0 for a single group."""
    pairs = pairwise_w1(times, group, n_groups)
    return pairs.max(axis=-1) if pairs.shape[-1] else np.zeros(pairs.shape[:-1])


def running_pair_gaps(age: Floats, there: Bools, group: Ints, n_groups: int) -> Floats:
    """Wasserstein-1 distance between groups of those that are there, for every pair of groups, in B rows at once.

    Exact to 4e-12 for unequal group sizes and ties; a pair with an empty group counts 0. One integer sort a row: an age
    and its group are packed in one number, and what is not there sorts to the front, where all shares are 0.

    Args:
        age: `[B, N]` at least 0, below some 8 million divided by the number of groups (hours here).
        there: `[B, N]` whether it counts.
        group: `[B, N]` integers 0..G-1; that of what is not there is not read.
        n_groups: G.

    Returns:
        `[B, P]` in the unit of `age`, pairs ordered as `group_pairs`.
    """
    n, pairs = age.shape[1], group_pairs(n_groups)
    bits = int(n_groups).bit_length()  # codes 0..G; G is for what is not there
    scaled = np.rint(np.where(there, age, 0.0) * FINE).astype(np.int64)
    keys = (scaled << bits) | np.where(there, group, n_groups)
    keys.sort(axis=1)
    code = keys & ((1 << bits) - 1)
    steps = np.diff(keys >> bits, axis=1) * (1.0 / FINE)  # [B, N-1]
    width = 63 // max(n_groups, 1)
    if n < 1 << width:  # the counts of all groups fit into one number
        amount = np.array([1 << (g * width) for g in range(n_groups)] + [0], dtype=np.int64)
        packed = np.cumsum(amount[code], axis=1)
        counts = [(packed >> (g * width)) & ((1 << width) - 1) for g in range(n_groups)]
    else:
        counts = [np.cumsum(code == g, axis=1) for g in range(n_groups)]
    sizes = [count[:, -1:] for count in counts]
    shares = [count[:, :-1] / np.maximum(size, 1) for count, size in zip(counts, sizes, strict=True)]
    result = np.empty((len(age), len(pairs)))
    for p, (a, b) in enumerate(pairs):
        both = (sizes[a][:, 0] > 0) & (sizes[b][:, 0] > 0)
        result[:, p] = np.where(both, np.vecdot(np.abs(shares[a] - shares[b]), steps), 0.0)
    return result


def running_gap(age: Floats, there: Bools, group: Ints, n_groups: int) -> Floats:
    """Largest of `running_pair_gaps`, `[B]`; 0 for a single group."""
    return running_pair_gaps(age, there, group, n_groups).max(axis=1, initial=0.0)


def group_means(times: ArrayLike, group: ArrayLike, n_groups: int | None = None) -> Floats:
    """Mean of `times` `[..., N]` over each group's regions, `[..., G]`."""
    ids, n = check_groups(group, n_groups)
    return np.asarray(times, dtype=np.float64) @ _weights(ids, n)


def gini(values: ArrayLike, axis: int = -1) -> Floats:
    """Gini coefficient of non-negative `values` along `axis`: 0 when all are equal, (n-1)/n when one has everything.

    Raises:
        ValueError: a value is negative or NaN.
    """
    x = np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1)
    if not (x >= 0).all():
        raise ValueError("gini needs values >= 0 without NaN")
    n = x.shape[-1]
    total = x.sum(axis=-1)
    weighted = np.sort(x, axis=-1) @ (2.0 * np.arange(1, n + 1) - n - 1)
    return np.divide(weighted, n * total, out=np.zeros_like(total), where=total > 0)
