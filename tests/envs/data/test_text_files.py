"""Text files: read within bounds, refused by a sentence, written whole or not at all."""

from __future__ import annotations

import gzip
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stormgym.envs.data import DataError, text_files
from stormgym.envs.data.text_files import read_utf8, write_whole

TEXT = "region,x\nä,1\n"
MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", TEXT.encode("latin-1"), r"not UTF-8 text \(byte 9\)\. Save the file as UTF-8"),
        ("a.csv", TEXT.encode("utf-16"), r"UTF-16 text\. Save the file as UTF-8"),
        ("a.csv", TEXT.encode("utf-16-be"), r"line 1: a NUL byte, which no text has \(is it UTF-16"),
        ("a.csv", b"a,b\n1,\0\n", r"line 2: a NUL byte"),
        ("a.csv", gzip.compress(TEXT.encode(), mtime=0), r"a gzip file, whose name must end in \.gz\. Rename"),
        (
            "a.csv.gz",
            gzip.compress(TEXT.encode() * 99, mtime=0)[:-9],
            r"not a whole gzip file \(.*\)\. Compress it again",
        ),
        ("a.csv.gz", gzip.compress(TEXT.encode(), mtime=0)[:12] + b"xxxxxxxxxxxx", r"not a whole gzip file"),
        ("a.csv.gz", TEXT.encode(), r"not a whole gzip file"),
        (
            "a.csv",
            b"PK\x03\x04..[Content_Types].xml..xl/workbook.xml",
            r"an Excel workbook, .*save the sheet as 'CSV UTF-8",
        ),
        ("a.csv", bytes.fromhex("d0cf11e0a1b11ae1") + b"Workbook", r"an Excel workbook, whatever its name says"),
        ("a.csv", b"PK\x03\x04log.csv", r"a ZIP archive, where text is needed\. Unpack it"),
        ("a.csv", b"x" * 5001, r"at most 5,000 bytes and has more\. Leave out"),
        ("a.csv.gz", gzip.compress(b"\n" * 10**6, mtime=0), r"at most 5,000 bytes, unpacked, and has more"),
    ],
)
def test_read__what_is_no_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, message: str
) -> None:
    monkeypatch.setattr(text_files, "MAX_FILE_BYTES", 5000)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{re.escape(str(tmp_path / name))}.*{message}"):
        read_utf8(tmp_path / name)


def test_read__a_mark_is_passed_over_and_a_second_one_with_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    file = tmp_path / "a.csv"
    for n in (0, 1):
        file.write_bytes(MARK * n + TEXT.encode())
        assert read_utf8(file).decode() == TEXT
    assert not recwarn
    file.write_bytes(MARK * 2 + TEXT.encode())
    with pytest.warns(UserWarning, match=r"a\.csv: 2 byte-order marks at the beginning, where one is usual"):
        assert read_utf8(file).decode() == TEXT


def test_read__a_folder_nothing_or_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, message in (
        (tmp_path, "a folder, where a file is meant"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "a\0b", "no such file"),
        (tmp_path / ("x" * 5000), "no such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_utf8(path)
    file = tmp_path / "secret.csv"
    file.write_text(TEXT)

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(DataError, match=r"secret\.csv: cannot be read \(Permission denied\)\. Check its permissions"):
        read_utf8(file)


def full_disk(stream: Any) -> None:
    raise OSError(28, "No space left on device")


def unwilling(old: Callable[..., Any]) -> Callable[..., Any]:
    def replace(source: Any, target: Any) -> None:
        if str(target).endswith("b.csv"):
            raise OSError(5, "Input/output error")
        old(source, target)

    return replace


def test_write__a_full_disk_leaves_every_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {tmp_path / "a.csv": "old a", tmp_path / "b.csv": "old b"}
    write_whole(files)
    monkeypatch.setattr(text_files.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_whole(dict.fromkeys(files, "new"))
    monkeypatch.undo()
    monkeypatch.setattr(text_files.os, "replace", unwilling(os.replace))
    with pytest.raises(OSError, match="Input/output"):
        write_whole({tmp_path / "b.csv": "new"})
    with pytest.raises(UnicodeEncodeError):
        write_whole({tmp_path / "a.csv": "new", tmp_path / "b.csv": "half \ud800"})
    assert {file: file.read_text() for file in tmp_path.iterdir()} == files  # and no other file is left


def test_write__follows_links_keeps_permissions_and_the_mask(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    before = os.umask(0o077)
    try:
        write_whole({link: "new\n", tmp_path / "made.csv": "made"})
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert target.read_text() == "new\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "made.csv").stat().st_mode) == 0o600


def test_write__a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv: no plain file, which is to be written there\. Remove it"):
        write_whole({tmp_path / "b.csv": "new", tmp_path / "a.csv": "new"})
    assert not (tmp_path / "b.csv").exists()
