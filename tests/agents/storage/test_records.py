"""Dataclasses from JSON: every field of its type, and no other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from stormgym.agents.registry import AGENTS
from stormgym.agents.storage.container import UnreadableFile
from stormgym.agents.storage.records import record_of

FILE = Path("some.json")


@dataclass(frozen=True)
class Record:
    """One of each kind."""

    name: str
    n: int
    share: float = 0.5
    pair: tuple[float, float] | None = None
    many: tuple[int, ...] = ()
    word: Literal["a", "b"] = "a"
    flag: bool = False
    rest: dict[str, Any] = field(default_factory=dict)


def test_record__takes_its_types_and_its_defaults() -> None:
    told = {"name": "x", "n": 3, "share": 1, "pair": [1, 2.5], "many": [1, 2], "word": "b", "rest": {"k": [1]}}
    found = record_of(Record, told, FILE, "a record")
    assert found == Record("x", 3, 1.0, (1.0, 2.5), (1, 2), "b", False, {"k": [1]})
    assert type(found.share) is float
    assert record_of(Record, {"name": "x", "n": 3}, FILE, "a record") == Record("x", 3)


@pytest.mark.parametrize("spec", [spec for spec in AGENTS.values() if spec.trainable], ids=lambda spec: spec.name)
def test_record__of_every_learners_settings_comes_back(spec: Any) -> None:
    settings = spec.load().settings()
    assert record_of(type(settings), json.loads(json.dumps(asdict(settings))), FILE, "settings") == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": "3"}, "n must be int; got '3'"),
        ({"n": True}, "n must be int; got 'True'"),
        ({"n": 3.0}, "n must be int"),
        ({"name": None}, "name must be str"),
        ({"share": "half"}, "share must be float"),
        ({"share": True}, "share must be float"),
        ({"pair": [1.0]}, "pair must be"),
        ({"pair": [1.0, "2"]}, "pair must be"),
        ({"many": [1, 2.5]}, "many must be"),
        ({"word": "c"}, "word must be"),
        ({"flag": 1}, "flag must be bool"),
        ({"rest": []}, "rest must be dict"),
        ({"evil": 1}, "it has no field 'evil'"),
    ],
    ids=str,
)
def test_record__of_something_else_names_file_and_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnreadableFile, match=r"some\.json cannot be read as a record: .*" + message):
        record_of(Record, {"name": "x", "n": 3, **change}, FILE, "a record")


def test_record__that_is_none_or_lacks_a_field_says_so() -> None:
    with pytest.raises(UnreadableFile, match="the field 'n' is missing"):
        record_of(Record, {"name": "x"}, FILE, "a record")
    with pytest.raises(UnreadableFile, match="it holds no object"):
        record_of(Record, [1], FILE, "a record")
