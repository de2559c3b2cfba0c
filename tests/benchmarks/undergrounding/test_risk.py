"""The benchmark of plans for the tail: measured once, kept, and figures that are those of the environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.kit.cells import Cells
from benchmarks.undergrounding import risk
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents

OPTIONS = ["--profiles", "synthetic:5:1", "--seasons", "5", "--chunk", "3", "--n-fresh", "50"]


@pytest.mark.slow
def test_benchmark__measures_once_and_its_page_is_made_of_what_is_kept(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*OPTIONS, "--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert risk.main([*options, "--docs", str(docs)]) == 0
    page = risk.PAGE.file(docs)
    text = page.read_text()
    assert "Profile `synthetic:5:1`, 5 held-out seasons" in text
    assert all(f"| {name} |" in text for name in risk.PLANNERS)
    assert (docs / "img" / risk.PICTURE).stat().st_size > 10_000
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("*.json")}
    assert len(files) == 2 + 1  # two chunks and the page
    first = capsys.readouterr().out
    assert risk.main(options) == 0
    assert capsys.readouterr().out == first
    assert {file: file.stat().st_mtime_ns for file in files} == files
    page.unlink()
    risk.write_pages(Cells(risk.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


def test_measure__figures_are_those_of_episodes_of_the_environment() -> None:
    names = ("loss-per-cost", "risk-hardening", "oracle-hardening")
    cell = risk.RiskCell(profile="synthetic:5:1", first=2, n_seasons=3, eval_seed=4_343, n_fresh=50, planners=names)
    found = risk.measure(cell)
    played = evaluate(
        risk.ENV_ID,
        resolve_agents(",".join(names), risk.ENV_ID),
        episodes=5,
        seed=4_343,
        env_kwargs={"profile": cell.profile},
    )
    for name in names:
        metrics = played.agents[name].metrics
        for mine, theirs in (("came", "saidi_h"), ("gap", "gap_h"), ("worst", "worst_saidi_h")):
            np.testing.assert_allclose(found[name][mine], metrics[theirs][2:], rtol=1e-5, atol=1e-6)
        assert all(tail >= mean for tail, mean in zip(found[name]["tail"], found[name]["mean"], strict=True))
    assert found["risk-hardening"] == risk.measure(cell)["risk-hardening"] | {"ms": found["risk-hardening"]["ms"]}


def test_seasons__are_a_number_a_profile() -> None:
    with pytest.raises(SystemExit, match="seasons must be a number a profile; got 1 of"):
        risk.cells_of(risk.Settings(profiles=("ten", "synthetic:5:1"), seasons=(3,)))
    cells = risk.cells_of(risk.Settings(profiles=("ten",), seasons=(45,), chunk=20))["ten"]
    assert [(cell.first, cell.n_seasons) for cell in cells] == [(0, 20), (20, 20), (40, 5)]
