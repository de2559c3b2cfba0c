"""Errors of a command line: which are the user's, what they say, and files that cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from stormgym.agents.usage import WRONG_USE, UsageError, check_outputs, check_writable, usage_errors, words_of


@pytest.mark.parametrize("kind", WRONG_USE)
def test_usage_errors__of_wrong_use_become_one_kind_with_the_same_words(kind: type[Exception]) -> None:
    with pytest.raises(UsageError) as found, usage_errors():
        raise kind("unknown agent 'nearst'")
    assert str(found.value) == "unknown agent 'nearst'"  # a KeyError alone would put it in quotes
    assert isinstance(found.value.__cause__, kind)


def test_usage_errors__a_key_error_without_words_is_one_too() -> None:
    with pytest.raises(UsageError), usage_errors():
        raise KeyError


def test_usage_errors__of_other_kinds_pass() -> None:
    with pytest.raises(RuntimeError, match="a mistake of ours"), usage_errors():
        raise RuntimeError("a mistake of ours")
    with pytest.raises(TypeError), usage_errors((ValueError,)):
        raise TypeError
    with usage_errors():
        pass


def test_check_writable__makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_writable(None)
    file = tmp_path / "new" / "deep" / "table.json"
    check_writable(file)
    assert list(file.parent.iterdir()) == []
    file.write_text("kept")
    check_writable(file)
    assert file.read_text() == "kept"


def test_check_writable__a_folder_or_a_place_without_leave_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder; name a file in it"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file" / "below" / "table.json")


def test_check_outputs__of_two_options_that_name_one_file_makes_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    other = tmp_path / "new" / ".." / "x.json"
    with pytest.raises(ValueError, match=r"--json and --html both name .*; give each a file of its own"):
        check_outputs({"--json": file, "--csv": None, "--html": other})
    assert list(tmp_path.iterdir()) == []
    check_outputs({"--json": Path(os.devnull), "--html": Path(os.devnull)})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/below.json", r"--json .*file/below\.json cannot be written \(File exists\); name another file"),
        ("a" * 300, r"--json .*aaa cannot be written \(File name too long\); give it a shorter name"),
        ("loop", r"--json .*loop cannot be written \(Too many levels of symbolic links\); name another file"),
        ("nowhere", r"--json .*nowhere cannot be written \(No such file or directory\); name another file"),
    ],
)
def test_check_outputs__says_which_option_why_and_what_helps(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("absent/file")
    with pytest.raises(ValueError, match=said):
        check_outputs({"--json": tmp_path / name})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "loop", "nowhere"]


def test_check_outputs__of_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        ValueError, match=r"--csv .*x cannot be written \(No space left on device\); make room, or name"
    ):
        check_outputs({"--csv": tmp_path / "x"})
    assert list(tmp_path.iterdir()) == []


def test_words_of__are_the_whole_message() -> None:
    assert words_of(KeyError("unknown agent 'x'")) == "unknown agent 'x'"
    assert "can't encode character" in words_of(UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal not in range(128)"))
