"""The benchmark of three-level plans: it runs, resumes, draws, and notices methods that differ."""

from pathlib import Path

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.undergrounding import trilevel_speed


def test_benchmark__runs_resumes_and_draws(tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    line = ["--sizes", "3", "4", "--instances", "1", *kept, "--docs", str(docs)]
    assert trilevel_speed.main(line) == 0
    first = {file.name: file.read_text() for file in tmp_path.rglob("n*.json")}
    assert len(first) == 2 * len(trilevel_speed.METHODS)
    assert {name[:5] for name in first} == {"n0003", "n0004"}
    assert (docs / "img" / "trilevel_speed.png").stat().st_size > 10_000
    page = docs / "results" / "tables" / "undergrounding-trilevel-speed.md"
    text = page.read_text()
    assert "| 4 | KKT, big-M |" in text
    capsys.readouterr()
    assert trilevel_speed.main(line) == 0
    assert "instance 0" not in capsys.readouterr().out  # all of it was there
    assert {file.name: file.read_text() for file in tmp_path.rglob("n*.json")} == first
    page.unlink()
    trilevel_speed.write_pages(Cells(trilevel_speed.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text
    assert trilevel_speed.main(["--methods", "simplex"]) == 2
    assert "--methods must be of compact" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="n = 3, instance 0: methods differ"):
        trilevel_speed.check(
            {3: [{"seed": 0, "method": m, "value": v, "solved": True} for m, v in (("compact", 1.0), ("kkt", 2.0))]}
        )
