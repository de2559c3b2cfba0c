"""Errors of a command line: which are the user's, what they say, and files that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from stormgym.agents.usage import WRONG_USE, UsageError, check_writable, usage_errors


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
