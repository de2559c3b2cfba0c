"""Old names of classes find what they are called now."""

from __future__ import annotations

from importlib import import_module

import pytest

from stormgym.agents.moved import RENAMED


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_renamed__old_name_warns_and_finds_the_new_one(old: str) -> None:
    module, _, name = old.partition(":")
    with pytest.warns(DeprecationWarning, match=RENAMED[old]):
        found = getattr(import_module(module), name)
    assert getattr(found, "__name__", RENAMED[old]) == RENAMED[old]


def test_unknown_name__in_a_module_that_forwards_to_itself_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(import_module("stormgym.agents.training.callbacks"), "nothing")  # noqa: B009
