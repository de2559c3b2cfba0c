"""One sentence for a package that only an extra brings."""

from __future__ import annotations

import sys

import pytest

from stormgym.predictors.extras import MissingExtraError, is_installed, require


def test_require__of_what_is_there_says_nothing_and_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    require("a sound", "wave", "sounds")
    assert "wave" not in sys.modules


def test_require__of_what_is_missing_names_all_of_it_and_the_command() -> None:
    sentence = 'a sound needs no_such_a, no_such.b, which the extra "sounds" brings: pip install "stormgym[sounds]"'
    with pytest.raises(MissingExtraError) as raised:
        require("a sound", ("no_such_a", "numpy", "no_such.b"), "sounds")
    assert str(raised.value) == sentence
    assert raised.value.name == "no_such_a"
    assert isinstance(raised.value, ImportError)


def test_is_installed__knows_what_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed("numpy")
    monkeypatch.setitem(sys.modules, "wave", None)
    assert not is_installed("wave")
