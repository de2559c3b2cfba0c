"""Settings of learners: frozen, by keyword, each with a line of help and a default that a run can begin with."""

from __future__ import annotations

import ast
import inspect
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from stormgym.agents.domain import load_entry
from stormgym.agents.registry import AGENTS

SETTINGS = sorted({spec.settings for spec in AGENTS.values() if spec.settings is not None})


def helped(kind: type[Any]) -> set[str]:
    """Fields that a class or one of its bases explains in the line behind them."""
    found = set()
    for base in kind.__mro__[:-1]:
        (tree,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(tree, ast.ClassDef)
        for field, following in zip(tree.body, tree.body[1:], strict=False):
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                assert isinstance(field.target, ast.Name)
                found.add(field.target.id)
    return found


@pytest.mark.parametrize("entry", SETTINGS)
def test_settings__have_a_line_of_help_each(entry: str) -> None:
    kind = load_entry(entry)
    assert {f.name for f in fields(kind)} <= helped(kind)
    assert kind.__doc__


@pytest.mark.parametrize("entry", SETTINGS)
def test_settings__are_frozen_and_named(entry: str) -> None:
    settings = load_entry(entry)()
    assert settings == load_entry(entry)()
    with pytest.raises(FrozenInstanceError):
        settings.width = 1
    with pytest.raises(TypeError):
        load_entry(entry)(1)
    with pytest.raises(TypeError, match="unheard_of"):
        load_entry(entry)(unheard_of=1)
