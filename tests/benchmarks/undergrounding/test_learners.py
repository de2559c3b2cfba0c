"""The benchmark of learners on Undergrounding-v0: measured once, kept, and a table that says what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.undergrounding import learners


@pytest.mark.slow
def test_table__is_made_of_kept_seeds_and_trained_once(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = docs / "results" / "tables" / "undergrounding-learners.md"
    options = ["--profile", "synthetic:5:1", "--timesteps", "1024", "--seeds", "2", "--episodes", "8", "--jobs", "0"]
    options += ["--tasks", "worst storm", "--agents", "maskable-ppo", "--runs-dir", str(tmp_path / "runs")]
    options += ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert learners.main([*options, "--docs", str(docs)]) == 0
    files = [file for file in (tmp_path / "cells").rglob("*.json") if file.stem != "page"]
    kept = {file: file.stat().st_mtime_ns for file in files}
    assert len(kept) == 4 + 2
    scores = {file.name: json.loads(file.read_text()) for file in kept}
    planner = next(s for name, s in scores.items() if name.startswith("tri-level"))["result"]["episodes"]["saidi_h"]
    for content in scores.values():
        mine = content["result"]["episodes"]["saidi_h"]
        assert all(a >= b * (1 - 1e-5) - 1e-5 for a, b in zip(mine, planner, strict=True))  # it is exact
    text = page.read_text()
    assert "| worst storm | tri-level |" in text
    assert "| worst storm | maskable-ppo |" in text
    first = capsys.readouterr().out
    assert learners.main(options) == 0
    assert capsys.readouterr().out == first
    assert {file: file.stat().st_mtime_ns for file in files} == kept
    page.unlink()
    learners.write_pages(Cells(learners.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


@pytest.mark.slow
def test_sta_sac__is_trained_once_and_plays_alone_and_looking_ahead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile", "synthetic:5:1", "--timesteps", "512", "--seeds", "1", "--episodes", "6", "--jobs", "0"]
    options += ["--tasks", "worst storm", "--agents", "sta-sac", "--runs-dir", str(tmp_path / "runs")]
    options += ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert learners.main(options) == 0
    out = capsys.readouterr().out
    assert "| worst storm | sta-sac |" in out
    assert f"| worst storm | sta-sac@{learners.LOOKS} |" in out
    assert len(list((tmp_path / "runs").iterdir())) == 1
    losses = {
        (cell := json.loads(file.read_text()))["cell"].get("looks", 0): cell["result"]["episodes"]["saidi_h"]
        for file in (tmp_path / "cells").rglob("sta-sac*.json")
    }
    assert sum(losses[learners.LOOKS]) <= sum(losses[0]) + 1e-6  # here the best of its draws is the least loss
    jobs = learners.jobs_of(learners.Settings())
    assert len({way.key for job in jobs for way in job.ways}) == sum(len(job.ways) for job in jobs)


def test_names__that_are_unknown_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert learners.main(["--tasks", "none"]) == 2
    assert "error: unknown 'none'; tasks: worst storm" in " ".join(capsys.readouterr().out.split())
