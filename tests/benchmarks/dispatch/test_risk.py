"""The benchmark of plans for the bad storms: what it measures, keeps, prints and draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.dispatch.risk import command as door
from benchmarks.dispatch.risk.cells import (
    DAY_BY_DAY,
    KINDS,
    OPEN_LOOP,
    RISKS,
    TUNED,
    ConditionalCell,
    StormCell,
    figures,
    measure_conditional,
    measure_storms,
)
from benchmarks.dispatch.risk.tables import Conditional, Storms, conditional_table, storms_table, tuned_table
from benchmarks.kit.cells import Cells

SMALL = door.SMALL


def test_benchmark__is_made_of_kept_cells_and_measured_once(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = docs / "results" / "tables" / "dispatch-risk.md"
    options = ["--small", "--seeds", "1", "--blocks", "1", "--parts", "law", "storms"]
    options += ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert door.main([*options, "--docs", str(docs)]) == 0
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("*-B-*.json")}
    assert len(kept) == 2
    assert (docs / "img" / "dispatch_risk.png").stat().st_size > 10_000
    before = capsys.readouterr().out
    assert door.main(options) == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("*-B-*.json")} == kept
    assert capsys.readouterr().out == before
    text = page.read_text()
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text
    assert "## Storms of known law" in text
    assert "## Day by day" not in text  # a part that was not asked for
    content = [json.loads(file.read_text())["result"] for file in kept]
    assert {frozenset(c.get("plans", c.get("cost"))) for c in content} == {
        frozenset((*RISKS, "mean wave")),
        frozenset(OPEN_LOOP),
    }


def test_law__plans_trade_the_mean_for_the_tail_on_the_samples_that_they_are_made_for() -> None:
    found = measure_conditional(ConditionalCell(block=0, n_storms=3, n_plan=40, n_judge=300))["plans"]
    cvars = {name: np.mean(own["cvar_0.1"]) for name, own in found.items()}
    means = {name: np.mean(own["mean"]) for name, own in found.items()}
    assert cvars["half"] < cvars["mean"] < cvars["mean wave"]
    assert means["mean"] < means["half"] < means["CVaR 0.1"]
    assert all((np.asarray(own["cvar_0.02"]) >= np.asarray(own["mean"])).all() for own in found.values())


def test_figures__are_means_and_tails_over_samples() -> None:
    found = figures(np.arange(100.0)[:, None] * np.array([1.0, 2.0]))
    assert found == {
        "mean": [49.5, 99.0],
        "cvar_0.5": [74.5, 149.0],
        "cvar_0.1": [94.5, 189.0],
        "cvar_0.02": [98.5, 197.0],
    }


@pytest.mark.slow
def test_storms__cells_give_the_same_and_tuned_ones_name_their_epochs() -> None:
    cell = StormCell(seed=1, agents=("half", "half, more CRPS", "half, gen-dfl (QP)"), **SMALL)  # type: ignore[arg-type]
    first, second = measure_storms(cell), measure_storms(cell)
    assert first == second
    assert set(first["best_epoch"]) == {"half, more CRPS", "half, gen-dfl (QP)"}
    assert all(len(cost) == cell.n_test for cost in first["cost"].values())
    days = measure_storms(StormCell(seed=1, agents=DAY_BY_DAY, **(SMALL | {"n_truth": 0})))  # type: ignore[arg-type]
    assert days["risk"] == {}
    with pytest.raises(ValueError, match="no agent 'nobody'"):
        measure_storms(StormCell(seed=1, agents=("nobody",), **SMALL))  # type: ignore[arg-type]


def test_tables__say_what_a_plan_takes_off_the_tail_and_at_which_price() -> None:
    mean = np.concatenate([np.linspace(1_000, 3_000, 360), np.linspace(8_000, 9_000, 40)])
    half = np.where(mean > 5_000, 0.97 * mean, 1.02 * mean)
    results = {StormCell(seed=s): Storms({"mean": list(mean), "half": list(half)}) for s in range(2)}
    lines = storms_table(results).splitlines()
    assert lines[2].startswith("| mean over samples |")
    assert "| -3.0 % at " in lines[3]
    plans = {"mean": {n: [100.0, 110.0] for n in ("mean", "cvar_0.5", "cvar_0.1", "cvar_0.02")}}
    plans["half"] = {n: [99.0, 108.0] for n in plans["mean"]}
    cells = {ConditionalCell(block=0, plans=("mean", "half")): Conditional(plans)}  # type: ignore[arg-type]
    assert "| half mean, half CVaR 0.1 | -2 ± 6 |" in conditional_table(cells)


def test_tuned__is_told_against_its_start_and_against_the_control() -> None:
    def one(shift: float) -> Storms:
        risk = {agent: {"mean": [100.0 + i], "cvar_0.1": [200.0 + i * shift]} for i, agent in enumerate(TUNED)}
        return Storms({agent: [100.0] for agent in TUNED}, risk, dict.fromkeys(KINDS, 3))  # type: ignore[arg-type]

    cells = {StormCell(seed=s, agents=TUNED): one(1.0) for s in range(3)}
    lines = tuned_table(cells).splitlines()
    assert lines[2] == "| all covariates | CRPS, as fitted |  | 150.0 |  |  |  |"
    assert lines[3].startswith("|  | as many epochs more of CRPS alone | 3, 3, 3 | 151.0 | +1.0 ± 0.0 |  |")
    assert lines[4].startswith("|  | Gen-DFL, smoothed plan | 3, 3, 3 | 152.0 | +2.0 ± 0.0 | +1.0 ± 0.0 |")
    assert lines[6].startswith("|  | floor: true law, all covariates |  | 154.0 | +4.0 ± 0.0 |  |")
