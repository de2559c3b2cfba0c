"""The cache on disk: where it is, whole files or none, and never a reason to fail."""

from __future__ import annotations

import multiprocessing
import pickle
import re
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs import cache
from stormgym.envs.cache import Costly, cache_folder, check_numbers, load_arrays, recall_arrays, store_arrays

ARRAYS: dict[str, Any] = {
    "doubles": np.random.default_rng(0).normal(size=(3, 2)),
    "floats": np.array([np.nan, np.inf, -0.0], dtype=np.float32),
    "network.0.weight": np.arange(6).reshape(2, 3),
    "number": np.array(0.7),
    "empty": np.zeros((0, 4)),
    "text": np.array(["a", "city"]),
    "flags": np.array([True, False]),
}


def test_folder__is_that_of_the_variable_else_of_the_users_cache_else_of_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STORMGYM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / "home" / ".cache" / "stormgym"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "stormgym"
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert not any(tmp_path.iterdir())  # asking makes nothing


def test_arrays__come_back_to_the_bit_with_names_shapes_and_kinds(tmp_path: Path) -> None:
    file = tmp_path / "made" / "on the way" / "arrays.npz"
    store_arrays(file, ARRAYS)
    found = load_arrays(file)
    assert found is not None
    assert found.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert np.signbit(found["floats"][2])


def test_arrays__of_a_second_store_replace_those_of_the_first_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    store_arrays(file, ARRAYS)
    store_arrays(file, {"other": np.ones(2)})
    found = load_arrays(file)
    assert found is not None
    assert list(found) == ["other"]
    assert list(tmp_path.iterdir()) == [file]


def test_load__of_no_file_is_none_without_a_word(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert load_arrays(tmp_path / "none.npz") is None
    assert load_arrays(tmp_path) is None
    assert not recwarn


class Harm:
    """What a pickle could run."""

    def __reduce__(self) -> Any:
        return (print, ("harm",))


def single(file: Path) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.ones(3))


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def test_load__no_byte_that_is_another_raises_an_error_or_gives_other_numbers(tmp_path: Path) -> None:
    file = tmp_path / "arrays.npz"
    arrays = {"first": np.random.default_rng(0).normal(size=(9, 2)), "second": np.arange(5)}
    store_arrays(file, arrays)
    whole = file.read_bytes()
    n_read = 0
    for at in range(len(whole)):
        content = bytearray(whole)
        content[at] ^= 255
        file.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_arrays(file)
        for name, values in (found or {}).items():
            n_read += 1
            if name in arrays:  # a byte of a name gives another name
                np.testing.assert_array_equal(values, arrays[name])
    assert n_read < 0.7 * len(whole)  # times and the like can be anything


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(cut_off, id="cut off"),
        pytest.param(lambda file: file.write_bytes(b""), id="empty"),
        pytest.param(lambda file: file.write_text("not a table of arrays"), id="text"),
        pytest.param(lambda file: file.write_bytes(pickle.dumps(Harm())), id="a pickle"),
        pytest.param(lambda file: np.savez(file, thing=np.array([Harm()])), id="an array of objects"),
        pytest.param(single, id="a single array"),
    ],
)
def test_load__of_a_damaged_file_warns_naming_it_and_returns_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Any
) -> None:
    file = tmp_path / "arrays.npz"
    store_arrays(file, ARRAYS)
    harm(file)
    with pytest.warns(UserWarning, match=f"the cache file {re.escape(str(file))} cannot be read .* made again"):
        assert load_arrays(file) is None
    assert "harm" not in capsys.readouterr().out


def test_store__in_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(UserWarning, match=r"arrays.npz could not be kept in .* again each time. Let STORMGYM"):
        store_arrays(tmp_path / "file" / "cache" / "arrays.npz", ARRAYS)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_store__that_fails_halfway_leaves_the_file_of_before_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "arrays.npz"
    store_arrays(file, {"kept": np.ones(3)})

    def full(stream: Any, **arrays: Any) -> None:
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(cache.np, "savez_compressed", full)
    with pytest.warns(UserWarning, match=r"could not be kept in .* \(no space left on device\)"):
        store_arrays(file, ARRAYS)
    found = load_arrays(file)
    assert found is not None
    np.testing.assert_array_equal(found["kept"], np.ones(3))
    assert list(tmp_path.iterdir()) == [file]


def test_store__of_objects_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved when allow_pickle=False"):
        store_arrays(tmp_path / "arrays.npz", {"thing": np.array([Harm()])})
    assert not any(tmp_path.iterdir())


def costly(made: list[str], key: str = "key", names: tuple[str, ...] = ("doubles",)) -> Costly:
    def make() -> dict[str, Any]:
        made.append(key)
        return ARRAYS

    return Costly("thing", key, names, make)


def test_recall__makes_once_and_keeps_one_file_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "cache"))
    made: list[str] = []
    for key in ("a", "b", "a"):
        np.testing.assert_array_equal(recall_arrays(costly(made, key))["doubles"], ARRAYS["doubles"])
    assert made == ["a", "b"]
    files = sorted(file.name for file in cache_folder().iterdir())  # and no lock is left
    assert files == sorted(costly(made, key).file.name for key in "ab")


def test_recall__keys_on_versions_of_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    made: list[str] = []
    recall_arrays(costly(made))
    monkeypatch.setattr(cache, "version", lambda name: "0.0")
    recall_arrays(costly(made))
    assert len(made) == 2


def test_recall__a_file_that_lacks_a_part_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    made: list[str] = []
    store_arrays(costly(made).file, {"other": np.ones(2)})
    with pytest.warns(UserWarning, match="it lacks doubles"):
        assert "doubles" in recall_arrays(costly(made))
    assert len(made) == 1


def test_recall__without_a_folder_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "file"))
    made: list[str] = []
    with pytest.warns(UserWarning, match="could not be kept"):
        assert "doubles" in recall_arrays(costly(made))
    assert made == ["key"]


def test_recall__of_a_user_without_a_home_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("STORMGYM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(UserWarning, match="could not be kept in .*; it is made again each time"):
        assert "doubles" in recall_arrays(costly([]))


def slow_and_counted(folder: Path) -> Costly:
    def make() -> dict[str, Any]:
        time.sleep(1.0)
        (folder / f"made-{time.time_ns()}").touch()
        return {"doubles": np.ones(3)}

    return Costly("thing", "slow", ("doubles",), make)


def recall_in_process(folder: Path) -> None:
    assert recall_arrays(slow_and_counted(folder))["doubles"].sum() == 3.0


def test_recall__of_four_processes_at_once_makes_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl", reason="without file locks each process makes its own")
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "cache"))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=recall_in_process, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(list(tmp_path.glob("made-*"))) == 1


def test_recall__a_lock_that_is_never_freed_costs_a_wait_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="without file locks nothing waits")
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "LONGEST_WAIT_S", 0.2)
    made: list[str] = []
    with costly(made).file.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "doubles" in recall_arrays(costly(made))
    assert made == ["key"]


def positive(arrays: Any) -> None:
    check_numbers(arrays, {"doubles": (3, None)})
    if (arrays["doubles"] < 0).any():
        raise ValueError("doubles must be positive")


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"other": np.ones(2)}, "it lacks doubles"),
        ({"doubles": np.ones((2, 2))}, r"doubles must have shape \[3, any\]; got \[2, 2\]"),
        ({"doubles": np.ones(3)}, r"doubles must have shape \[3, any\]; got \[3\]"),
        ({"doubles": np.full((3, 1), np.nan)}, "doubles must be finite; got nan"),
        ({"doubles": np.full((3, 1), -np.inf)}, "doubles must be finite; got -inf"),
        ({"doubles": np.full((3, 1), "a")}, "doubles must hold numbers; got <U1"),
        ({"doubles": np.full((3, 1), -1.0)}, "doubles must be positive"),
    ],
)
def test_recall__arrays_that_cannot_be_those_are_named_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any], reason: str
) -> None:
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    made: list[str] = []
    checked = costly(made)._replace(check=positive, make=lambda: made.append("key") or {"doubles": np.ones((3, 2))})
    store_arrays(checked.file, stored)
    with pytest.warns(
        UserWarning, match=f"cache file {re.escape(str(checked.file))} is not taken .{reason}.; it is made"
    ):
        assert recall_arrays(checked)["doubles"].shape == (3, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recall_arrays(checked)["doubles"].shape == (3, 2)  # the file is whole again
    assert made == ["key"]


def test_check_numbers__lets_infinity_stand_where_it_may() -> None:
    arrays = {"wide": np.array([1.0, np.inf])}
    check_numbers(arrays, {"wide": (2,)}, infinite=["wide"])
    with pytest.raises(ValueError, match="wide must be finite; got nan"):
        check_numbers({"wide": np.array([np.nan])}, {"wide": (1,)}, infinite=["wide"])
