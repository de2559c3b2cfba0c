"""Files of arrays with a JSON head: what goes in comes out, and nothing else goes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.storage.container import (
    Stored,
    UnreadableFile,
    check_arrays,
    n_bytes,
    open_file,
    read_json,
    write_file,
)


def test_file__gives_back_what_was_written(tmp_path: Path) -> None:
    head: dict[str, Any] = {
        "numbers": [1, 2.5, -(2**127), 0.1 + 0.2, float("inf"), None, True],
        "deep": {"a": {"array": np.arange(6.0).reshape(2, 3).T, "none": np.zeros((0, 4), dtype=np.int64)}},
        "tensor": (torch.ones(2, dtype=torch.float64), np.float32(0.25)),
    }
    arrays = {"weights/0": np.ones((2, 1), dtype=np.float32), "flag": np.array(True)}
    file = write_file(tmp_path / "a.safetensors", "thing", head, arrays)
    contents = open_file(file, "thing")
    assert contents.tree("numbers") == head["numbers"]
    deep = contents.tree("deep")
    np.testing.assert_array_equal(deep["a"]["array"], head["deep"]["a"]["array"])
    assert deep["a"]["none"].shape == (0, 4)
    tensor, number = contents.tree("tensor")
    assert tensor.dtype == np.float64
    assert number == 0.25
    assert contents.arrays["weights/0"] == Stored("float32", (2, 1))
    assert list(contents.read("weights/")) == ["0"]
    assert contents.read("flag")[""].shape == ()
    assert n_bytes({"a": Stored("float64", (2, 3)), "b": Stored("bool", ())}) == 49


def test_file__of_the_same_contents_has_the_same_bytes(tmp_path: Path) -> None:
    one, two = (
        write_file(tmp_path / name, "thing", {"x": np.arange(3), "y": 1}, {"w": np.ones(2)}) for name in ("one", "two")
    )
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": {3}}, b"bytes"], ids=["object", "key", "set", "bytes"])
def test_file__takes_nothing_but_data(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"head.* of a file must be numbers, words, arrays, lists or dicts; got"):
        write_file(tmp_path / "a", "thing", {"head": value})


def test_file__of_objects_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="w of a file must be an array of numbers; got object"):
        write_file(tmp_path / "a", "thing", {}, {"w": np.array([object()])})


def test_file__of_another_kind_or_place_is_named(tmp_path: Path) -> None:
    file = write_file(tmp_path / "a", "thing", {})
    with pytest.raises(UnreadableFile, match="a is a thing where a model was expected"):
        open_file(file, "model")
    with pytest.raises(UnreadableFile, match=r"has .* bytes, and at most 10 are read"):
        open_file(file, "thing", largest=10)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "b", "thing")


def test_arrays__that_do_not_fit_are_named() -> None:
    has = {"a": Stored("float32", (2,))}
    check_arrays(Path("f"), has, dict(has))
    with pytest.raises(UnreadableFile, match=r"f does not fit: 'a' is float32 \[2\] in it, float64 \[2\] was expected"):
        check_arrays(Path("f"), has, {"a": Stored("float64", (2,))})
    with pytest.raises(UnreadableFile, match=r"'b' is missing in it, bool \[\] was expected"):
        check_arrays(Path("f"), has, {**has, "b": Stored("bool", ())})
    with pytest.raises(UnreadableFile, match=r"'a' is float32 \[2\] in it, nothing was expected"):
        check_arrays(Path("f"), has, {})


@pytest.mark.parametrize("text", ["", "[1]", "{", "NaN", "[" * 100_000, "\udce4"], ids=lambda text: text[:4])
def test_json__that_is_no_object_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UnreadableFile, match=r"a\.json cannot be read as the settings"):
        read_json(file, "the settings")
