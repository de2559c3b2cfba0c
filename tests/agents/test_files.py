"""Files and folders that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

import stormgym  # noqa: F401
from stormgym.agents.files import write_atomically, write_folder


def test_write_folder__is_whole_or_absent(tmp_path: Path) -> None:
    def good(folder: Path) -> None:
        (folder / "a").write_text("new")

    def bad(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise RuntimeError("disk full")

    target = tmp_path / "best"
    write_folder(target, good)
    with pytest.raises(RuntimeError, match="disk full"):
        write_folder(target, bad)
    assert (target / "a").read_text() == "new"
    write_folder(target, good)
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_write_atomically__makes_the_folder_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "table.json"
    assert write_atomically(file, "é 1") == file
    write_atomically(str(file), "é 2")
    assert file.read_text(encoding="utf-8") == "é 2"
    assert [p.name for p in file.parent.iterdir()] == ["table.json"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_write_atomically__over_a_folder_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
