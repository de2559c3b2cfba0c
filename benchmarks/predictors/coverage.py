"""Coverage of CP, NCP, CQR and ECQR, over all records and per group, on random splits of a city's repair log.

Each split deals the records of every group at random into training, calibration and test records, fits the
four methods and scores the test records. Splits are independent draws given the log, and each draws its own
calibration set, so the spread between splits carries the randomness of calibration, of training and of the
test records. The band of the difference between two groups' coverage is therefore Student's t over the
splits, widened by Bonferroni to hold for all pairs of groups at once. What it bounds is the mean difference
over all splits of this log. For ECQR that mean is the same for every log, because within a group calibration
and test records are exchangeable given the log: each group is covered in k / (n + 1) of cases, k = ceil((n +
1) c).

    python -m benchmarks.predictors.coverage --docs docs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from scipy import stats
from tqdm import tqdm

from benchmarks.kit.pages import replace_block
from benchmarks.kit.settings import command_line
from benchmarks.kit.tables import markdown as table_of
from stormgym.envs.data import City, resolve_city
from stormgym.predictors import (
    CQR,
    ECQR,
    NormalizedConformal,
    SplitConformal,
    coverage_report,
    cross_fit,
    default_forest,
)
from stormgym.predictors.coverage import binomial_interval

METHODS: Mapping[str, Any] = {"CP": SplitConformal, "NCP": NormalizedConformal, "CQR": CQR, "ECQR": ECQR}


@dataclass(frozen=True)
class Settings:
    """Coverage of the four conformal methods on random splits of a repair log."""

    city: str = "default"
    """A name ("default", "synthetic:N:SEED") or a folder with regions.csv, log.csv and city.json."""
    splits: int = 20
    """Number of random splits, at least 2."""
    confidence_level: float = 0.9
    """Coverage aimed at, in (0, 1)."""
    calibration_share: float = 0.25
    """Share of the records that calibrate."""
    test_share: float = 0.25
    """Share of the records that test; the rest trains."""
    trees: int = 100
    """Trees of the quantile forest."""
    seed: int = 0
    """Seed of the splits and forests."""
    markdown: Path | None = None
    """Write the tables to this Markdown file."""
    docs: Path | None = None
    """Folder of the docs: the tables go to the block coverage of its predictors.md."""
    json: Path | None = None
    """Write every number to this JSON file."""
    quiet: bool = False
    """No progress bar and no table in the terminal."""


@dataclass(frozen=True)
class GroupResult:
    """One group (or all records) under one method, over all splits."""

    group: str
    n_tests: int
    coverage: float
    binomial_95: tuple[float, float]
    split_95: tuple[float, float]
    mean_width: float
    interval_score: float


@dataclass(frozen=True)
class PairResult:
    """Coverage of one group minus that of another, with a band that holds for all pairs at once."""

    first: str
    second: str
    difference: float
    band_95: tuple[float, float]


@dataclass(frozen=True)
class MethodResult:
    """One method over all splits."""

    method: str
    overall: GroupResult
    groups: tuple[GroupResult, ...]
    pairs: tuple[PairResult, ...]

    @property
    def gap(self) -> float:
        """Coverage of the best covered group minus that of the worst, over all splits."""
        shares = [group.coverage for group in self.groups]
        return max(shares) - min(shares)

    @property
    def closes_gap(self) -> bool:
        """True when the simultaneous 95 % band of every difference between groups holds zero."""
        return all(pair.band_95[0] <= 0.0 <= pair.band_95[1] for pair in self.pairs)


def deal(
    groups: NDArray[np.int64], calibration_share: float, test_share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the part of each record `[M]`, dealt within groups: 0 training, 1 calibration, 2 test."""
    part = np.zeros(len(groups), dtype=np.int64)
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group))
        n_calibration = round(calibration_share * len(members))
        n_test = round(test_share * len(members))
        part[members[:n_calibration]] = 1
        part[members[n_calibration : n_calibration + n_test]] = 2
    return part


def mean_interval(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return Student's t interval of the mean of independent values, one a split."""
    n = len(values)
    half = stats.t.ppf(0.5 + level / 2.0, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - half), float(values.mean() + half)


def measure(city: City, settings: Settings) -> tuple[MethodResult, ...]:
    """Run every method on every split of the city's log."""
    if settings.splits < 2:
        raise ValueError(f"splits must be at least 2, since the band is over splits; got {settings.splits}.")
    if not (settings.calibration_share > 0 and settings.test_share > 0):
        raise ValueError("calibration_share and test_share must be positive.")
    if settings.calibration_share + settings.test_share >= 1:
        total = settings.calibration_share + settings.test_share
        raise ValueError(f"calibration_share + test_share must leave records to train on; got {total:g}.")
    log = city.log
    X, y, groups = log.features, log.repair_h, city.group[log.region]
    reports: dict[str, list[Any]] = {name: [] for name in METHODS}
    seeds = np.random.SeedSequence(settings.seed).spawn(settings.splits)
    for seed in tqdm(seeds, desc="splits", unit="split", disable=settings.quiet):
        rng = np.random.default_rng(seed)
        part = deal(groups, settings.calibration_share, settings.test_share, rng)
        train, calibration, test = (part == 0), (part == 1), (part == 2)
        state = int(rng.integers(2**31 - 1))
        for name, method in METHODS.items():
            model = method(
                default_forest(n_estimators=settings.trees),
                confidence_level=settings.confidence_level,
                random_state=state,
                lower_bound=0.0,
            )
            model.fit(X[train], y[train])
            model.conformalize(X[calibration], y[calibration], groups[calibration])
            ends = model.predict_interval(X[test], groups[test])
            reports[name].append(
                coverage_report(y[test], ends, groups[test], settings.confidence_level, group_names=city.group_names)
            )
    return tuple(_pool(name, found) for name, found in reports.items())


def _pool(name: str, reports: list[Any]) -> MethodResult:
    """Join the reports of all splits, which test equally many records of a group: means are pooled shares."""

    def result(rows: list[Any]) -> GroupResult:
        n, hits = sum(row.n for row in rows), sum(row.n_covered for row in rows)
        share = np.array([row.coverage for row in rows])
        return GroupResult(
            group=rows[0].group,
            n_tests=n,
            coverage=hits / n,
            binomial_95=binomial_interval(hits, n),
            split_95=mean_interval(share, 0.95),
            mean_width=float(np.mean([row.mean_width for row in rows])),
            interval_score=float(np.mean([row.interval_score for row in rows])),
        )

    n_groups = len(reports[0].groups)
    shares = np.array([[row.coverage for row in report.groups] for report in reports])  # [splits, G]
    names = [row.group for row in reports[0].groups]
    pairs = list(combinations(range(n_groups), 2))
    level = 1.0 - 0.05 / max(1, len(pairs))  # Bonferroni over the pairs
    return MethodResult(
        method=name,
        overall=result([report.overall for report in reports]),
        groups=tuple(result([report.groups[g] for report in reports]) for g in range(n_groups)),
        pairs=tuple(
            PairResult(
                names[a],
                names[b],
                float((shares[:, a] - shares[:, b]).mean()),
                mean_interval(shares[:, a] - shares[:, b], level),
            )
            for a, b in pairs
        ),
    )


def _points(interval: tuple[float, float], sign: str = "") -> str:
    join = " to " if sign else "-"
    return f"{100 * interval[0]:{sign}.1f}{join}{100 * interval[1]:{sign}.1f}"


def table_rows(
    results: tuple[MethodResult, ...],
) -> tuple[list[str], list[list[str]], list[str], list[list[str]]]:
    """Return header and rows of the table per group, then of the table of differences between groups."""
    head = [
        "method",
        "group",
        "coverage %",
        "binomial 95 %",
        "splits 95 %",
        "width h",
        "score h",
    ]
    rows = [
        [
            result.method,
            row.group,
            f"{100 * row.coverage:.1f}",
            _points(row.binomial_95),
            _points(row.split_95),
            f"{row.mean_width:.2f}",
            f"{row.interval_score:.2f}",
        ]
        for result in results
        for row in (result.overall, *result.groups)
    ]
    pair_names = [f"{pair.first} - {pair.second}" for pair in results[0].pairs]
    head_2 = ["method", "gap", *pair_names, "holds 0"]
    rows_2 = [
        [
            result.method,
            f"{100 * result.gap:.1f}",
            *[f"{100 * pair.difference:+.1f} ({_points(pair.band_95, '+')})" for pair in result.pairs],
            "yes" if result.closes_gap else "no",
        ]
        for result in results
    ]
    return head, rows, head_2, rows_2


def cross_fit_line(city: City, settings: Settings) -> str:
    """Return one sentence on the out-of-fold forecasts that the restoration environments use."""
    log = city.log
    y, groups = log.repair_h, city.group[log.region]
    found = cross_fit(log.features, y, groups, confidence_level=settings.confidence_level)
    error = y - found.point_h
    report = coverage_report(y, found.interval_h, groups, settings.confidence_level, group_names=city.group_names)
    covered = ", ".join(f"{row.group} {100 * row.coverage:.1f} %" for row in report.groups)
    bias = ", ".join(f"{row.group} {error[groups == g].mean():+.2f} h" for g, row in enumerate(report.groups))
    return (
        f"`cross_fit` with ECQR on the same log: point forecast R2 {1 - (error**2).mean() / y.var():.3f}, "
        f"root mean squared error {np.sqrt((error**2).mean()):.2f} h, mean error {bias}; coverage {covered}."
    )


def to_markdown(results: tuple[MethodResult, ...], settings: Settings, n_records: int, cross_fit: str) -> str:
    """Return both tables and the sentence on `cross_fit` as Markdown, under the command that makes them."""
    head, rows, head_2, rows_2 = table_rows(results)
    calibration, test = settings.calibration_share, settings.test_share
    return (
        f"Made by `{command(settings)}`: {n_records} records, {settings.splits} random splits within each "
        f"group ({1 - calibration - test:.0%} training, {calibration:.0%} calibration, {test:.0%} test), "
        f"{settings.confidence_level:.0%} aimed at, quantile forest of {settings.trees} trees, no group "
        f"among the features.\n\n{table_of(head, rows)}\n\n"
        "Difference in coverage between groups, in points (gap: best minus worst), with a 95 % band over the "
        f"splits that holds for all pairs at once:\n\n{table_of(head_2, rows_2)}\n\n{cross_fit}"
    )


def command(settings: Settings) -> str:
    """Return the command line of these settings, without those at their default."""
    plain = asdict(Settings())
    chosen = {k: v for k, v in asdict(settings).items() if k not in ("quiet", "json") and v != plain[k]}
    return command_line("predictors.coverage", chosen)


def show(results: tuple[MethodResult, ...]) -> None:
    """Print both tables."""
    head, rows, head_2, rows_2 = table_rows(results)
    console = Console(emoji=False)
    for header, body, title in (
        (head, rows, "coverage"),
        (head_2, rows_2, "difference between groups, points"),
    ):
        table = Table(title=title, box=SIMPLE)
        for name in header:
            table.add_column(name, justify="left" if name in ("method", "group") else "right")
        for cells in body:
            table.add_row(*cells)
        console.print(table)


def main(settings: Settings) -> tuple[MethodResult, ...]:
    """Measure, then print and write what the settings ask for."""
    city = resolve_city(settings.city)
    results = measure(city, settings)
    sentence = cross_fit_line(city, settings)
    text = to_markdown(results, settings, len(city.log), sentence)
    if not settings.quiet:
        show(results)
        Console(emoji=False).print(sentence)
    if settings.docs is not None:
        replace_block(settings.docs / "predictors.md", "coverage", text)
    if settings.markdown is not None:
        settings.markdown.write_text(text + "\n", encoding="utf-8")
    if settings.json is not None:
        found = {
            result.method: asdict(result) | {"gap": result.gap, "closes_gap": result.closes_gap} for result in results
        }
        payload = {"settings": asdict(settings), "n_records": len(city.log), "methods": found}
        settings.json.write_text(json.dumps(payload, indent=2, default=str) + "\n", encoding="utf-8")
    return results


if __name__ == "__main__":
    try:
        main(tyro.cli(Settings, description=__doc__))
    except ValueError as error:
        sys.exit(f"error: {error}")
