"""From seeds on disk to the numbers of the table: intervals over seeds, comparisons on common storms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.restoration.table.rows import GROUPS, Row
from benchmarks.restoration.table.scores import Score
from stormgym.agents.evaluation.bootstrap import iqm_estimate, probability_of_improvement, relative_difference
from stormgym.agents.statistics import Estimate, mean_estimate

OUTAGE, GAP = "mean_outage_h", "gap_h"
EPOPR_MARGINS = (0.0360, 0.1419)
"""By what shares EPOPR's Table 1 has outage and inequity below its best baseline."""


@dataclass(frozen=True)
class Line:
    """One row in one city, in numbers."""

    row: Row
    n_seeds: int
    outage_h: Estimate
    """Mean over seeds with Student's t interval over seeds; of one seed, over storms."""
    outage_iqm_h: Estimate
    gap_h: Estimate
    gap_iqm_h: Estimate
    n_holding: int
    """Seeds whose mean gap on the held-out storms is within the limit."""
    violation_rate: float
    versus_planner: Estimate | None
    """Outage relative to the equity planner's on the same storms, less one."""
    gap_versus_planner: Estimate | None
    improvement: Estimate | None
    """Probability that a seed's mean outage is shorter than that of a seed of STA-SAC."""
    decision_ms: float
    """Wall time of a decision alone, of the seed that was disturbed least by what else the machine did."""
    training_min: float | None
    """Minutes a seed: of the processor, where every seed's are known and none trained on a GPU, else by the clock."""
    by_clock: bool = False
    on_gpu: bool = False
    """Whether a seed trained on a GPU."""

    @property
    def holds(self) -> str:
        """How many seeds hold the limit, or whether an agent without seeds does, in words."""
        count = (
            f"{self.n_holding} of {self.n_seeds}" if self.row.kind == "learner" else "yes" if self.n_holding else "no"
        )
        return count + ("" if self.row.constrained else ", no aim")


@dataclass(frozen=True)
class Margin:
    """One learner against the best baseline of EPOPR's Table 1, on the same storms."""

    label: str
    baseline: str
    outage: Estimate
    gap: Estimate


@dataclass(frozen=True)
class CityTable:
    """All rows of one city."""

    city: str
    limit_h: float
    episodes: int
    eval_seed: int
    lines: tuple[Line, ...]
    margins: tuple[Margin, ...]
    commits: tuple[str, ...]
    scores: Mapping[str, tuple[Score, ...]]
    """Label -> seeds, for the figure."""


@dataclass(frozen=True)
class AcrossLine:
    """One row over all cities; outage relative to the equity planner's of the same city."""

    label: str
    relative_iqm: Estimate
    improvement: Estimate | None


def city_table(city: str, found: Sequence[tuple[Row, Sequence[Score]]], *, seed: int = 0) -> CityTable:
    """Put the numbers of one city together.

    Args:
        city: its name.
        found: rows with their seeds; rows without any are left out.
        seed: of the bootstraps.

    Raises:
        ValueError: no row has a seed, or the rows' cost limits differ.
    """
    ordered = [(row, tuple(scores)) for group in GROUPS for row, scores in found if row.group == group and scores]
    if not ordered:
        raise ValueError(f"no scores of {city} yet; run without --table-only first")
    first = ordered[0][1][0].facts
    limits = {score.facts["cost_limit_h"] for _, scores in ordered for score in scores}
    if len(limits) > 1:
        raise ValueError(f"rows of one city must have one limit; {city} has {sorted(limits)}")
    planner = _with_role(ordered, "planner")
    sta_sac = _with_role(ordered, "sta-sac")
    lines = tuple(_line(row, scores, planner, sta_sac, seed) for row, scores in ordered)
    commits = {str(s.facts["versions"].get("commit") or "unknown") for _, scores in ordered for s in scores}
    return CityTable(
        city=city,
        limit_h=limits.pop(),
        episodes=first["held_out"]["episodes"],
        eval_seed=first["held_out"]["seed"],
        lines=lines,
        margins=_margins(ordered, seed),
        commits=tuple(sorted(commits)),
        scores={row.label: scores for row, scores in ordered},
    )


def across_cities(tables: Sequence[CityTable], *, seed: int = 0) -> tuple[AcrossLine, ...]:
    """Rows that every city has, over all of them: strata of the bootstrap are the cities.

    Cities without the equity planner are left out; fewer than two cities give no rows.
    """
    planners = {t.city: next((x for x in t.lines if x.row.role == "planner"), None) for t in tables}
    tables = [t for t in tables if planners[t.city] is not None]
    if len(tables) < 2:
        return ()
    relative: dict[str, list[NDArray[np.float64]]] = {}
    references: list[str] = []
    for line in tables[0].lines:
        if all(line.row.label in t.scores for t in tables):
            relative[line.row.label] = [
                _means(t.scores[line.row.label], OUTAGE) / planner.outage_h.value
                for t in tables
                if (planner := planners[t.city]) is not None
            ]
            references += [line.row.label] if line.row.role == "sta-sac" else []
    found = []
    for label, strata in relative.items():
        improvement = None
        if references and label != references[0]:
            turned = [-s for s in strata], [-s for s in relative[references[0]]]
            improvement = probability_of_improvement(*turned, seed=seed)
        found.append(AcrossLine(label, iqm_estimate(strata, seed=seed), improvement))
    return tuple(found)


def as_json(tables: Sequence[CityTable], across: Sequence[AcrossLine]) -> dict[str, Any]:
    """Every number of the tables, and each seed's means."""
    cities = {}
    for table in tables:
        rows = {}
        for line in table.lines:
            numbers = {k: v for k, v in asdict(line).items() if k not in ("row", "by_clock")}
            rows[line.row.label] = {
                **line.row.settings(),
                "group": line.row.group,
                "constrained": line.row.constrained,
                "privileged": line.row.privileged,
                **numbers,
                "seeds": {str(s.seed): {k: s.facts[k] for k in (OUTAGE, GAP)} for s in table.scores[line.row.label]},
            }
        cities[table.city] = {
            "cost_limit_h": table.limit_h,
            "episodes": table.episodes,
            "eval_seed": table.eval_seed,
            "commits": list(table.commits),
            "rows": rows,
            "margins": [asdict(margin) for margin in table.margins],
        }
    return {"cities": cities, "across_cities": [asdict(line) for line in across]}


def _with_role(found: Sequence[tuple[Row, tuple[Score, ...]]], role: str) -> tuple[Score, ...] | None:
    return next((scores for row, scores in found if row.role == role), None)


def _means(scores: Sequence[Score], key: str) -> NDArray[np.float64]:
    return np.array([score.facts[key] for score in scores])


def _episodes(scores: Sequence[Score], key: str) -> NDArray[np.float64]:
    return np.stack([score.episodes[key] for score in scores])


def _relative(a: Sequence[Score], b: Sequence[Score] | None, key: str, seed: int) -> Estimate | None:
    """Relative difference where both met the same storms, else None."""
    if b is None or a is b or len({score.scenarios for score in (*a, *b)}) > 1:
        return None
    return relative_difference(_episodes(a, key), _episodes(b, key), seed=seed)


def _over_seeds(scores: Sequence[Score], key: str) -> Estimate:
    if len(scores) > 1:
        return mean_estimate(_means(scores, key))
    facts = scores[0].facts
    low, high = (float("nan") if end is None else end for end in facts[f"{key}_ci"])
    return Estimate(facts[key], low, high, 1)


def _line(
    row: Row,
    scores: tuple[Score, ...],
    planner: tuple[Score, ...] | None,
    sta_sac: tuple[Score, ...] | None,
    seed: int,
) -> Line:
    times = [s.facts.get("training") or {} for s in scores]
    cpu = [t.get("cpu_s") for t in times]
    clock = [t.get("wall_s") for t in times]
    on_gpu = any(t.get("device", "cpu") != "cpu" for t in times)
    known = cpu if None not in cpu and not on_gpu else clock if None not in clock else None
    improvement = None
    if sta_sac is not None and scores is not sta_sac:
        improvement = probability_of_improvement([-_means(scores, OUTAGE)], [-_means(sta_sac, OUTAGE)], seed=seed)
    return Line(
        row=row,
        n_seeds=len(scores),
        outage_h=_over_seeds(scores, OUTAGE),
        outage_iqm_h=iqm_estimate([_means(scores, OUTAGE)], seed=seed),
        gap_h=_over_seeds(scores, GAP),
        gap_iqm_h=iqm_estimate([_means(scores, GAP)], seed=seed),
        n_holding=int(sum(s.facts[GAP] <= s.facts["cost_limit_h"] for s in scores)),
        violation_rate=float(_means(scores, "violation_rate").mean()),
        versus_planner=_relative(scores, planner, OUTAGE, seed),
        gap_versus_planner=_relative(scores, planner, GAP, seed),
        improvement=improvement,
        decision_ms=float(_means(scores, "decision_ms").min()),
        training_min=None if known is None else float(np.mean(np.array(known, dtype=float))) / 60.0,
        by_clock=known is not None and known is clock,
        on_gpu=on_gpu,
    )


def _margins(found: Sequence[tuple[Row, tuple[Score, ...]]], seed: int) -> tuple[Margin, ...]:
    """STA-SAC and EPOPR as printed against the baseline of Table 1 with the shortest outage."""
    baselines = [(row, scores) for row, scores in found if row.group == "Table 1 baselines"]
    if not baselines:
        return ()
    best, reference = min(baselines, key=lambda pair: float(_means(pair[1], OUTAGE).mean()))
    margins = []
    for row, scores in found:
        if row.group == "learners" and (row.role == "sta-sac" or row.agent == "sta-sac-paper"):
            outage, gap = _relative(scores, reference, OUTAGE, seed), _relative(scores, reference, GAP, seed)
            if outage is not None and gap is not None:
                margins.append(Margin(row.label, best.label, outage, gap))
    return tuple(margins)
