"""The benchmark of planners' decisions: both forms of the search choose the same, and the ratio is written."""

from pathlib import Path

import pytest

from benchmarks.crews import plan_speed


def test_speed__both_forms_choose_the_same_and_are_written(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    page = tmp_path / "environments" / "crews.md"
    page.parent.mkdir()
    page.write_text("<!-- crews-plan-speed:begin -->\n<!-- crews-plan-speed:end -->\n")
    options = ["--decisions", "3", "--rounds", "1", "--planners", "rolling-fair", "--sizes", "alone"]
    assert plan_speed.main([*options, "--docs", str(tmp_path)]) == 0
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == 1
    assert float(rows[0].split("|")[4]) > 0


def test_speed__without_numba_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_speed.annealing, "compiled", lambda: None)
    with pytest.raises(RuntimeError, match="Numba is not installed"):
        plan_speed.main(["--sizes", "alone"])
