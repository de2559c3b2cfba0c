"""What may be a name."""

import pytest

from stormgym.envs.data import DataError
from stormgym.envs.data.names import check_names, name_fault, printable, shown


@pytest.mark.parametrize(
    "name", ["a", "two words", "Ünï-1", "漢字", "O'Brien [north]", "=1+1", "nan", "0", "x" * 1000, "\u200bz"]
)
def test_names__that_people_give(name: str) -> None:
    assert name_fault(name) is None
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "it is blank"),
        (" \t", "it is blank"),
        ("x" * 1001, "it has 1,001 characters"),
        ("a ", "white space stands at its end"),
        ("\u00a0a", "white space stands at its beginning"),
        ("a\x1b[31m", r"the control character U\+001B"),
        ("a\nb", r"the control character U\+000A"),
        ("a\udcffb", r"half of a character \(lone surrogate\) U\+DCFF"),
    ],
)
def test_names__that_no_file_gives_back(name: str, fault: str) -> None:
    with pytest.raises(DataError, match=f"ids: a name must be 1 to 1,000 characters.*{fault}.*Rename it"):
        check_names(["good", name], "ids")


def test_printable__marks_what_no_terminal_shows() -> None:
    assert printable("a\x1bb\ud800") == "a?b?"


def test_shown__cuts_what_is_long() -> None:
    assert shown("short") == "'short'"
    assert shown([0] * 1000).endswith("... (3,000 characters)")
    assert len(shown([0] * 1000)) < 250
