"""Frozen dataclasses from JSON: every field is there, of the type that the class says, and nothing else is."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from stormgym.agents.storage.container import UnreadableFile

R = TypeVar("R")


def record_of(kind: type[R], values: Any, file: Path, what: str) -> R:
    """Make a dataclass of what a file says.

    Args:
        kind: a dataclass whose fields are numbers, words, None, tuples or dicts.
        values: from JSON; a field that is left out takes what it stood for before files had it (`kind.BEFORE`), else
            its default.
        file, what: for the message.

    Raises:
        UnreadableFile: an unknown field, one that is missing, or a value of another type.
    """
    wrong = f"{file} cannot be read as {what}"
    if not isinstance(values, Mapping):
        raise UnreadableFile(f"{wrong}: it holds no object {{...}}")
    values = {**getattr(kind, "BEFORE", {}), **values}
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UnreadableFile(f"{wrong}: it has no field {name[:80]!r}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise UnreadableFile(f"{wrong}: the field {name!r} is missing")
    read: dict[str, Any] = {}
    for name, value in values.items():
        try:
            read[name] = _as(hints[name], value)
        except TypeError:
            shown = getattr(hints[name], "__name__", str(hints[name]))
            raise UnreadableFile(f"{wrong}: {name} must be {shown}; got {str(value)[:80]!r}") from None
    return kind(**read)


def _as(hint: Any, value: Any) -> Any:
    """The value, if it is of the type; JSON's lists become tuples, and whole numbers floats, where these are wanted."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for option in arguments:
            try:
                return _as(option, value)
            except TypeError:
                continue
        raise TypeError
    if hint is Any or (hint is types.NoneType and value is None):
        return value
    if origin is Literal and value in arguments and type(value) in {type(a) for a in arguments}:
        return value
    if origin is tuple and isinstance(value, list):
        each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(each) != len(value):
            raise TypeError
        return tuple(_as(part, item) for part, item in zip(each, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise TypeError
