"""Models are fitted once: recalled from memory, or from a file of arrays that other code does not take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.agents.dfl import recall
from stormgym.agents.dfl.recall import MOST_KEPT, fit_or_recall, forget
from stormgym.envs.cache import store_arrays


class Scale:
    """A model of one number."""

    def __init__(self, factor: float = np.nan) -> None:
        self.factor = np.array([factor])

    def state(self) -> Mapping[str, Any]:
        return {"factor": self.factor}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state["factor"].shape != (1,):
            raise ValueError(f"factor must be [1]; got shape {state['factor'].shape}")
        self.factor = np.array(state["factor"])


class Fits:
    """Makes models, and counts them."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> Scale:
        self.n += 1
        return Scale(2.5)


@pytest.fixture
def fits() -> Fits:
    return Fits()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a memory of our own."""
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(recall, "_kept", type(recall._kept)())
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*.npz"))


def test_memory__gives_the_same_model_and_leaves_no_file(fits: Fits, folder: Path) -> None:
    first = fit_or_recall(("a", 1), fits)
    assert fit_or_recall(("a", 1), fits) is first
    assert fit_or_recall(("a", 2), fits) is not first
    assert fits.n == 2
    assert not files(folder)
    forget()
    assert fit_or_recall(("a", 1), fits) is not first


def test_memory__lets_the_model_go_that_was_asked_for_longest_ago(fits: Fits) -> None:
    for i in range(MOST_KEPT):
        fit_or_recall(i, fits)
    fit_or_recall(0, fits)  # 1 is now the oldest
    fit_or_recall("one more", fits)
    assert fits.n == MOST_KEPT + 1
    fit_or_recall(0, fits)
    assert fits.n == MOST_KEPT + 1
    fit_or_recall(1, fits)
    assert fits.n == MOST_KEPT + 2
    assert len(recall._kept) == MOST_KEPT


def test_disk__another_process_recalls_what_was_fitted_to_the_bit(fits: Fits, folder: Path) -> None:
    first = fit_or_recall(("a", 1), fits, blank=Scale)
    assert len(files(folder)) == 1
    forget()
    again = fit_or_recall(("a", 1), fits, blank=Scale)
    assert fits.n == 1
    assert again is not first
    np.testing.assert_array_equal(again.factor, first.factor)
    fit_or_recall(("a", 2), fits, blank=Scale)
    assert fits.n == 2
    assert len(files(folder)) == 2


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut off": (damage, r"the cache file .* cannot be read"),
    "of another shape": (lambda file: store_arrays(file, {"factor": np.ones(2)}), r"factor must be \[1\]"),
    "without a name": (lambda file: store_arrays(file, {"other": np.ones(1)}), "cannot be restored .*factor"),
    "not finite": (lambda file: store_arrays(file, {"factor": np.array([np.nan])}), "factor is not finite"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_disk__a_damaged_file_is_named_and_made_again(fits: Fits, folder: Path, kind: str) -> None:
    fit_or_recall("a", fits, blank=Scale)
    (file,) = files(folder)
    harm, message = DAMAGES[kind]
    harm(file)
    forget()
    with pytest.warns(UserWarning, match=message) as caught:
        model = fit_or_recall("a", fits, blank=Scale)
    assert str(file) in str(caught[0].message)
    assert (fits.n, model.factor[0]) == (2, 2.5)
    forget()
    assert fit_or_recall("a", fits, blank=Scale).factor[0] == 2.5  # the file is whole again
    assert fits.n == 2


def test_disk__a_model_of_other_code_is_not_recalled(fits: Fits, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_or_recall("a", fits, blank=Scale)
    forget()
    monkeypatch.setattr(recall, "source_digest", lambda: "of other code")
    fit_or_recall("a", fits, blank=Scale)
    assert fits.n == 2
    assert len(files(folder)) == 2


def test_source_digest__tells_code_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = recall.source_digest()
    assert len(now) == 64
    monkeypatch.setattr(recall, "SOURCES", ("predictors",))
    assert recall.source_digest.__wrapped__() != now


def test_disk__a_folder_that_cannot_be_written_is_no_error(fits: Fits, folder: Path) -> None:
    (folder / "file").write_text("not a folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORMGYM_CACHE", str(folder / "file" / "cache"))
        assert fit_or_recall("a", fits, blank=Scale).factor[0] == 2.5
