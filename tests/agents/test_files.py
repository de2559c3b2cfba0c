"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

import stormgym  # noqa: F401
from stormgym.agents.files import csv_for_people, try_writing, write_atomically, write_folder


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


def test_write_atomically__writes_through_what_is_no_plain_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "through")
    reader.join(timeout=10)
    assert got == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_atomically("/dev/null", "gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_write_atomically__tells_that_a_pipe_has_no_reader_and_waits_for_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Timer(0.3, lambda: got.append(pipe.read_text()))
    reader.start()
    with pytest.warns(UserWarning, match="pipe is a pipe that nobody reads yet; the output waits for a reader"):
        write_atomically(pipe, "late")
    reader.join(timeout=10)
    assert got == ["late"]


@pytest.mark.parametrize("name", ["a" * 250 + ".json", "町" * 80 + ".json"])  # 255 and 245 bytes
def test_write_atomically__takes_every_name_that_the_system_takes(name: str, tmp_path: Path) -> None:
    try_writing(tmp_path / name)
    assert write_atomically(tmp_path / name, "text").read_text() == "text"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_write_atomically__follows_links_to_files_and_to_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    for name in ("real", "absent"):
        link = tmp_path / f"link-{name}"
        link.symlink_to(name)
        write_atomically(link, "new")
        assert link.is_symlink()
        assert (tmp_path / name).read_text() == "new"
        assert not (tmp_path / name).is_symlink()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_write__keeps_the_umask_and_the_mode_of_a_file_that_is_there(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        file = write_atomically(tmp_path / "new", "text")
        folder = write_folder(tmp_path / "folder", lambda folder: None)
        assert file.stat().st_mode & 0o777 == mode
        assert folder.stat().st_mode & 0o777 == 0o777 & ~umask
        file.chmod(0o640)
        write_atomically(file, "again")
        assert file.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_write_atomically__on_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    file = write_atomically(tmp_path / "table.json", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for write in (lambda: write_atomically(file, "new"), lambda: try_writing(file)):
        with pytest.raises(OSError, match="No space left"):
            write()
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]


def test_try_writing__touches_neither_the_file_nor_a_pipe(tmp_path: Path) -> None:
    file = write_atomically(tmp_path / "deep" / "table.json", "old")
    stamp = file.stat().st_mtime_ns
    try_writing(file)
    assert (file.read_text(), file.stat().st_mtime_ns) == ("old", stamp)
    os.mkfifo(tmp_path / "pipe")
    try_writing(tmp_path / "pipe")  # would wait for a reader if it were opened
    try_writing(Path("/dev/null"))
    assert [p.name for p in file.parent.iterdir()] == ["table.json"]


def test_csv_for_people__runs_nothing_in_a_spreadsheet_and_leaves_numbers() -> None:
    text = csv_for_people([["region", "hours"], ["=1+1", -2.5], ["@sum", "-2.5"], ["+49", "-2.5h"], ["-", "a,b"]])
    assert text.splitlines() == ["region,hours", "'=1+1,-2.5", "'@sum,-2.5", "+49,'-2.5h", '\'-,"a,b"']
