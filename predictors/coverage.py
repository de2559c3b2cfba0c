"""How well intervals cover, group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from stormgym.predictors.arrays import Bools, Floats
from stormgym.predictors.checks import check_confidence_level, check_groups, check_target
from stormgym.predictors.extras import require

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


@dataclass(frozen=True)
class GroupCoverage:
    """Coverage of one group's intervals; widths and scores in the unit of `y`.

    Attributes:
        group: label of the group, or "all".
        n: number of records.
        n_covered: how many of their intervals hold the truth (ends included).
        coverage: `n_covered / n`.
        coverage_low, coverage_high: exact (Clopper-Pearson) 95 % interval of the coverage.
        mean_width: mean of upper minus lower end.
        interval_score: mean interval score (see `interval_score`), lower is better.
    """

    group: str
    n: int
    n_covered: int
    coverage: float
    coverage_low: float
    coverage_high: float
    mean_width: float
    interval_score: float


@dataclass(frozen=True)
class CoverageReport:
    """Coverage of intervals, over all records and per group.

    Attributes:
        confidence_level: the coverage aimed at.
        overall: all records together.
        groups: one entry a group, in the order of the sorted labels.
    """

    confidence_level: float
    overall: GroupCoverage
    groups: tuple[GroupCoverage, ...]

    @property
    def gap(self) -> float:
        """Coverage of the best covered group minus that of the worst; 0 with a single group."""
        shares = [group.coverage for group in self.groups]
        return max(shares) - min(shares)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one row a group, then the row "all"; indexed by group."""
        require("CoverageReport.to_frame", "pandas", "parquet")
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in (*self.groups, self.overall)]).set_index("group")

    def to_table(self) -> Table:
        """Return a rich table, for `rich.print`."""
        require("CoverageReport.to_table", "rich", "agents")
        from rich.table import Table

        table = Table(title=f"coverage at {self.confidence_level:.0%}, gap between groups {100 * self.gap:.1f} points")
        for name in ("group", "records", "coverage %", "95 % interval", "mean width", "interval score"):
            table.add_column(name, justify="left" if name == "group" else "right")
        for row in (*self.groups, self.overall):
            table.add_row(
                row.group,
                str(row.n),
                f"{100 * row.coverage:.1f}",
                f"{100 * row.coverage_low:.1f} to {100 * row.coverage_high:.1f}",
                f"{row.mean_width:.2f}",
                f"{row.interval_score:.2f}",
            )
        return table


def interval_score(y: ArrayLike, interval: ArrayLike, confidence_level: float) -> Floats:
    """Return the interval score of each record `[M]`: width, plus 2 / (1 - c) times the distance by which y
    is missed.

    Proper for the central interval: it is least, in expectation, for the true (1 - c) / 2 and (1 + c) / 2
    quantiles (Gneiting and Raftery 2007, eq. 43).

    >>> interval_score([1.0, 3.0], [[0.0, 2.0], [0.0, 2.0]], 0.9).round(6)
    array([ 2., 22.])
    """
    level = check_confidence_level(confidence_level)
    truth, ends = _truth_and_ends(y, interval)
    missed = np.maximum(ends[:, 0] - truth, 0.0) + np.maximum(truth - ends[:, 1], 0.0)
    return ends[:, 1] - ends[:, 0] + 2.0 / (1.0 - level) * missed


def binomial_interval(n_covered: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) two-sided interval of a share, `n_covered` of `n` at least one.

    >>> low, high = binomial_interval(9, 10)
    >>> round(low, 4), round(high, 4)
    (0.555, 0.9975)
    """
    from scipy.stats import binomtest

    ci = binomtest(int(n_covered), int(n)).proportion_ci(confidence_level=level, method="exact")
    return float(ci.low), float(ci.high)


def coverage_report(
    y: ArrayLike,
    interval: ArrayLike,
    groups: ArrayLike | None = None,
    confidence_level: float = 0.9,
    *,
    group_names: Mapping[Any, str] | Sequence[str] | None = None,
) -> CoverageReport:
    """Report how often intervals hold the truth, over all records and per group.

    Args:
        y: truth `[M]`.
        interval: lower and upper ends `[M, 2]`; ends may be infinite.
        groups: group label of each record `[M]`; None for a single group "all".
        confidence_level: the coverage aimed at, in (0, 1).
        group_names: label to name (or names by integer label); None writes the label itself.

    Returns:
        A `CoverageReport`.

    Raises:
        ValueError: wrong shapes, NaN, no record, or a lower end above its upper end.

    >>> report = coverage_report([1, 2, 3, 9], [[0, 2], [1, 3], [4, 5], [8, 9]], ["a", "a", "b", "b"])
    >>> [(row.group, row.coverage, row.mean_width) for row in report.groups], report.gap
    ([('a', 1.0, 2.0), ('b', 0.5, 1.0)], 0.5)
    """
    level = check_confidence_level(confidence_level)
    truth, ends = _truth_and_ends(y, interval)
    labels = np.zeros(len(truth), dtype=np.int64) if groups is None else check_groups(groups, len(truth))
    covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    width = ends[:, 1] - ends[:, 0]
    score = interval_score(truth, ends, level)

    def row(name: str, mask: Bools) -> GroupCoverage:
        n, hits = int(mask.sum()), int(covered[mask].sum())
        low, high = binomial_interval(hits, n)
        return GroupCoverage(name, n, hits, hits / n, low, high, float(width[mask].mean()), float(score[mask].mean()))

    everyone = np.ones(len(truth), dtype=bool)
    named = ["all"] if groups is None else [_name(label, group_names) for label in np.unique(labels).tolist()]
    masks = [labels == label for label in np.unique(labels)]
    return CoverageReport(
        confidence_level=level,
        overall=row("all", everyone),
        groups=tuple(row(name, mask) for name, mask in zip(named, masks, strict=True)),
    )


def _name(label: Any, names: Mapping[Any, str] | Sequence[str] | None) -> str:
    if names is None:
        return str(label)
    try:
        return str(names[label])
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"group_names must name every group; {label!r} has no name. Known names: {names}.") from None


def _truth_and_ends(y: ArrayLike, interval: ArrayLike) -> tuple[Floats, Floats]:
    ends = np.asarray(interval, dtype=np.float64)
    if ends.ndim != 2 or ends.shape[1] != 2:
        raise ValueError(f"interval must hold lower and upper ends [M, 2]; got shape {ends.shape}.")
    if len(ends) == 0:
        raise ValueError("interval must have at least one row; got none.")
    truth = np.asarray(y, dtype=np.float64)
    if truth.ndim == 1 and len(truth) != len(ends):
        raise ValueError(f"y and interval must have the same length; got {len(truth)} and {len(ends)}.")
    truth = check_target(truth, len(ends))
    if np.isnan(ends).any():
        row = int(np.isnan(ends).any(axis=1).argmax())
        raise ValueError(f"interval must not hold NaN; row {row} is {ends[row].tolist()}.")
    crossed = ends[:, 0] > ends[:, 1]
    if crossed.any():
        row = int(crossed.argmax())
        raise ValueError(
            f"interval's lower end must not exceed its upper end; row {row} is {ends[row].tolist()}. "
            "Columns are lower, upper."
        )
    return truth, ends
