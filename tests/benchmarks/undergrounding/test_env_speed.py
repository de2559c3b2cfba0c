"""The benchmark of steps a second: it prints and writes a ratio of each pair."""

from pathlib import Path

from benchmarks.undergrounding import env_speed


def test_speed__prints_a_ratio_of_each_pair(tmp_path: Path) -> None:
    page = tmp_path / "environments" / "undergrounding.md"
    page.parent.mkdir()
    page.write_text("<!-- undergrounding_speed:begin -->\n<!-- undergrounding_speed:end -->\n")
    options = [
        "--profile",
        "synthetic:5:1",
        "--batch",
        "4",
        "--large-batch",
        "6",
        "--made",
        "ten",
        "--seconds",
        "0.05",
        "--rounds",
        "1",
        "--docs",
        str(tmp_path),
    ]
    assert env_speed.main(options) == 0
    assert len([line for line in page.read_text().splitlines() if line.startswith("|")]) == (2 + 11) + (2 + 1)
