"""JSON Schemas of the files that users write and read: `crews.json`, `city.json`, and the JSON of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stormgym.envs.data.tables import read_json

FOLDER = Path(__file__).parent


def schema_names() -> tuple[str, ...]:
    """Names of the schemas that there are."""
    return tuple(sorted(file.name.removesuffix(".schema.json") for file in FOLDER.glob("*.schema.json")))


def read_schema(name: str) -> dict[str, Any]:
    """A schema (draft 2020-12), for editors and validators.

    Args:
        name: one of `schema_names()`.

    Raises:
        ValueError: there is no such schema.
    """
    if name not in schema_names():
        raise ValueError(f"schema must be one of {', '.join(schema_names())}; got {name!r}")
    return read_json(FOLDER / f"{name}.schema.json")
