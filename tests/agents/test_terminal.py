"""Consoles: their width, and names as they are."""

import io
from pathlib import Path

from stormgym.agents.terminal import WIDTH, make_console


def test_console__is_wide_enough_when_piped(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        assert make_console(file=out).width == WIDTH


def test_console__shows_names_as_they_are() -> None:
    text = io.StringIO()
    make_console(file=text).print("synthetic:100:9003")
    assert text.getvalue() == "synthetic:100:9003\n"
