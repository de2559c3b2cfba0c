"""Folders that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

import stormgym  # noqa: F401
from stormgym.agents.files import write_folder


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
