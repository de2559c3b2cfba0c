"""The benchmark of Gen-DFL: cells tell settings apart, a small form runs whole, tables have every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.decisions.generative import bench, cells, command, tables
from benchmarks.decisions.generative.bench import FAMILIES, DataSet
from benchmarks.decisions.generative.cells import ChosenCell, PointCell, SweepCell, TunedCell, tunings
from benchmarks.decisions.generative.others import RecordedCell
from stormgym.predictors.flows import ConditionalFlow
from stormgym.predictors.gaussian import DiagonalGaussian
from stormgym.predictors.resampling import ForestWeights


def test_cells__are_told_apart_by_all_that_decides_them() -> None:
    made = [
        PointCell(family="path", seed=0),
        PointCell(family="path", seed=1),
        PointCell(family="knapsack", seed=0),
        TunedCell(family="path", seed=0, generator="flow", risk=1.0),
        TunedCell(family="path", seed=0, generator="flow", risk=0.1),
        ChosenCell(family="path", seed=0, generator="flow", risk=0.1),
        TunedCell(family="path", seed=0, generator="gaussian", risk=0.1),
        TunedCell(family="path", seed=0, generator="flow", risk=0.1, kinds=("likelihood alone",)),
        SweepCell(family="path", seed=0, arguments=(("degree", 2),)),
        SweepCell(family="path", seed=0, arguments=(("degree", 8),)),
        RecordedCell(seed=0, data="a"),
        RecordedCell(seed=0, data="b"),
    ]
    assert len({cell.key for cell in made}) == len(made)


@pytest.mark.parametrize("risk", [0.1, 0.5, 1.0])
def test_tunings__differ_in_the_loss_alone_and_have_their_control(risk: float) -> None:
    found = tunings(risk)
    assert next(iter(found)) == tables.CONTROL
    assert {settings.risk for settings, _ in found.values()} == {risk}
    assert {settings.n_epochs for settings, _ in found.values()} == {cells.N_EPOCHS}
    assert {settings.learning_rate for settings, _ in found.values()} == {3e-4}
    assert ("SPO+ of the tail" in found) == (risk < 1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_data_set__the_floor_is_near_zero_and_no_plan_is_far_below_it(family: str) -> None:
    """Spec: on 200 true samples path is at most 0.5 / 0.2 / 0.2 %, knapsack 2 / 0.7 / 0.4 at risks 0.1, 0.5 and 1."""
    data = DataSet(family, 3, {}, 12)
    samples = data.true_samples(data.test, data.family.n_samples, 0)
    found = data.regrets(lambda risk: data.task.decision.decide(samples, risk))
    assert all(value > -0.3 for value in found.values())
    most = {
        "path": (0.6, 0.25, 0.25),
        "knapsack": (2.6, 1.0, 0.6),
        "portfolio": (4.5, 2.5, 3.0),
        "energy": (1.0, 0.3, 0.2),
    }
    assert all(value <= bound for value, bound in zip(found.values(), most[family], strict=True))
    exact = data.regrets(lambda risk: data.problem.true_plans(data.test, risk))
    assert all(abs(value) < 1e-9 for value in exact.values())


@pytest.mark.slow
def test_command__measures_a_small_form_once_and_writes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "N_CONTEXTS", 4)
    short: dict[str, Any] = {"hidden": (8,), "max_epochs": 1}
    quick: dict[str, Any] = {
        "flow": lambda seed: ConditionalFlow(random_state=seed, **short),
        "gaussian": lambda seed: DiagonalGaussian(random_state=seed, **short),
        "forest": lambda seed: ForestWeights(n_trees=3, random_state=seed),
    }
    monkeypatch.setattr("stormgym.agents.decisions.linear.GENERATORS", {**cells.GENERATORS, **quick})
    docs = tmp_path / "docs"
    (docs / "results").mkdir(parents=True)
    (docs / "results" / "README.md").write_text("<!-- generative:begin -->\n<!-- generative:end -->\n")
    words = ["--small", "--seeds", "1", "--families", "path", "--kinds", "points", "laws", "tuned"]
    words += ["--cells", str(tmp_path / "cells"), "--results", str(tmp_path / "results"), "--docs", str(docs)]
    assert command.main(words) == 0
    page = (docs / "results" / "tables" / "decisions-generative.md").read_text()
    assert all(
        name in page for name in ("ball (DRO)", "likelihood alone", "contrastive, q = the truth", "forest weights")
    )
    assert "| 1 |" in (docs / "results" / "README.md").read_text()
    monkeypatch.setattr(PointCell, "measure", None)  # would raise: what is kept is not measured again
    assert command.main(words) == 0
    with pytest.raises(SystemExit, match="unknown family 'tsp'"):
        command.main(["--families", "tsp"])
