"""What knowing is worth: the settings, who plays them, and that the page comes from what is kept."""

import pytest

from benchmarks.crews import knowing as door
from benchmarks.kit.cells import Cells

SMALL = ("--city", "synthetic:6:1", "--agents", "list-rho", "--episodes", "4")


def kept_in(folder):
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_page__has_every_setting_on_the_same_storms_and_a_picture(tmp_path, docs, monkeypatch):
    page = docs / "results" / "tables" / "crews-knowing.md"
    words = [*SMALL, "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main(words) == 0
    text = page.read_text()
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    assert [line[0] for line in lines[2:]] == list(door.SETTINGS)
    known = lines[2]
    assert known[2] == ""
    for line in lines[3:]:
        difference = float(line[1].split()[0]) - float(known[1].split()[0])
        assert float(line[2].split()[0]) == pytest.approx(difference, abs=0.011)
    picture = docs / "img" / door.PICTURE
    assert picture.stat().st_size > 5000

    monkeypatch.setattr(door, "evaluate", None)  # nothing is played again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--episodes", "1"), "--episodes must be at least 2"), (("--agents", "nobody"), "unknown agent 'nobody'")],
)
def test_wrong_words__end_with_code_2(words, message, tmp_path, capsys):
    assert door.main([*SMALL, *words, *kept_in(tmp_path)]) == 2
    assert message in capsys.readouterr().err
