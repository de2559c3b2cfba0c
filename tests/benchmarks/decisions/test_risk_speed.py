"""Times of plans of least CVaR: the small form, the block it writes, and that all ways mean the same problem."""

from pathlib import Path

import pytest

from benchmarks.decisions import risk_speed
from benchmarks.decisions.risk_speed import ALPHA, TASKS, by_cvxpy, instance_of
from stormgym.agents.dfl.risk import cvar_plan


def test_main__writes_a_line_a_task_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_speed, "TASKS", ("knapsack", "path"))
    page = tmp_path / "results" / "decisions.md"
    page.parent.mkdir()
    page.write_text("before\n\n<!-- risk-speed:begin -->\n<!-- risk-speed:end -->\n\nafter\n")
    assert risk_speed.main(["--small", "--repeats", "1", "--alone", "1", "--docs", str(tmp_path)]) == 0
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    rows = [line for line in text.splitlines() if line.startswith("| ") and " x |" in line]
    assert len(rows) == 2 * 2 + 1
    assert all(float(row.split("|")[-2]) < 1e-6 for row in rows)


@pytest.mark.parametrize("task", TASKS)
def test_by_cvxpy__both_forms_are_the_same_problem(task: str) -> None:
    pytest.importorskip("cvxpy", reason="needs the dev extra")
    one = instance_of(task, 16, 1)
    least = cvar_plan(one.samples[:, 0], one.polytope, alpha=ALPHA, quadratic=one.quadratic).value
    for an_expression_a_sample in (False, True):
        assert by_cvxpy(one, 0, an_expression_a_sample) == pytest.approx(least, rel=1e-5, abs=1e-6)
