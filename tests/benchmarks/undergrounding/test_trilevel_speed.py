"""The benchmark of three-level plans: it runs, resumes, draws, and notices methods that differ."""

from pathlib import Path

import pytest
import trilevel_speed


def test_benchmark__runs_resumes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--sizes", "3", "4", "--instances", "1", "--results", str(tmp_path), "--figure", str(tmp_path / "f.png")]
    assert trilevel_speed.main(line) == 0
    first = {file.name: file.read_text() for file in tmp_path.glob("*.json")}
    assert sorted(first) == ["n0003.json", "n0004.json"]
    assert (tmp_path / "f.png").stat().st_size > 10_000
    capsys.readouterr()
    assert trilevel_speed.main(line) == 0
    assert "instance 0" not in capsys.readouterr().out  # all of it was there
    assert {file.name: file.read_text() for file in tmp_path.glob("*.json")} == first
    assert trilevel_speed.main(["--methods", "simplex"]) == 2
    assert "--methods must be of compact" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="n = 3, instance 0: methods differ"):
        trilevel_speed.check(
            {3: [{"seed": 0, "method": m, "value": v, "solved": True} for m, v in (("compact", 1.0), ("kkt", 2.0))]}
        )
