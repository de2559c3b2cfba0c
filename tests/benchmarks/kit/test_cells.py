"""Cells: keys that stay, results that are kept whole or not at all, found again, stamped and collected."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.dispatch.forecasts.cells import ForecastCell as DispatchCell
from benchmarks.kit.cells import Cell, Cells, key_of
from benchmarks.undergrounding.forecasts.cells import ForecastCell
from benchmarks.undergrounding.plans.cells import PlanCell

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Square(Cell):
    """The square of a number."""

    number: int
    place: str = "here:there"

    @property
    def title(self) -> str:
        return f"{self.place}-{self.number}"


def square(cell: Square) -> dict[str, Any]:
    return {"square": cell.number**2, "pair": (1.5, float("nan"))}


def cells_in(folder: Path) -> Cells:
    return Cells("square", folder / "results", folder / "cells")


# keys


def test_key__names_what_a_reader_looks_for_and_changes_with_every_field_and_the_format() -> None:
    class Renewed(Square):
        FORMAT: ClassVar[int] = 2

    cell = Square(number=3)
    assert cell.key.startswith("here-there-3-")
    assert cell.key == Square(number=3).key
    keys = {cell.key, replace(cell, number=4).key, replace(cell, place="there").key, Renewed(number=3).key}
    assert len(keys) == 4


def test_key__of_published_cells_is_what_it_was(published: Path) -> None:
    assert DispatchCell(seed=0, transport_cost=400.0, agents=("online lag 1", "two-stage", "gdf", "sampled")).key == (
        "B-0-027f42c581"
    )
    assert ForecastCell(
        seed=0, profile="synthetic:10:2", little_noise=True, costed=True, withheld="temperature_c"
    ).key == ("synthetic-10-2-0-0e0bf50eed")
    assert key_of("bury-nothing", told("bury-nothing")) == "bury-nothing-4141f1ad9d"
    keys = Cells("undergrounding/plans", published, None).all_keys()
    assert {PlanCell(seed=seed, profile=name).key for seed in range(10) for name in ("appendix-g", "ten")} < {*keys}


def told(agent: str) -> dict[str, Any]:
    return {"env": {"profile": "ten", "storm": "adversarial"}, "agent": agent, "held_out": [1000, 4242]}


# kept and found


def test_result__is_measured_once_and_read_back_as_json_gives_it(tmp_path: Path) -> None:
    cells, measured = cells_in(tmp_path), []

    def measure(cell: Square) -> dict[str, Any]:
        measured.append(cell)
        return square(cell)

    first = cells.result(Square(number=3), measure)
    assert first == {"square": 9, "pair": [1.5, None]}
    assert cells_in(tmp_path).result(Square(number=3), measure) == first
    assert len(measured) == 1
    assert cells.find("nothing") is None
    with pytest.raises(ValueError, match="cells of square are read only here"):
        Cells("square", tmp_path, None).keep("a", {}, {})
    with pytest.raises(ValueError, match=r"results holds no cell 'nothing' of square; run the benchmark first"):
        cells.need("nothing")


def test_stamp__names_versions_and_commit(tmp_path: Path) -> None:
    cells = cells_in(tmp_path)
    kept = cells.keep("a", {"x": 1}, {"y": 2})
    assert kept.made is not None
    assert {"python", "numpy", "torch", "stormgym", "commit"} <= {*kept.made}
    assert cells.keep("b", {}, {}, {"commit": "of the run"}).made == {"commit": "of the run"}
    assert kept.cell == {"x": 1}


def test_order__of_a_result_is_kept_since_tables_are_made_in_it(tmp_path: Path) -> None:
    cells = cells_in(tmp_path)
    cells.keep("a", {}, {"z": 1, "a": {"two": 2, "one": 1}})
    cells.collect()
    found = Cells("square", tmp_path / "results", None).need("a").result
    assert [*found] == ["z", "a"]
    assert [*found["a"]] == ["two", "one"]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from benchmarks.kit.cells import Cells
folder = Path(sys.argv[2])
cells = Cells("square", folder / "results", folder / "cells")
for number in range(3):
    key = str(number)
    if cells.find(key) is None:
        (folder / f"began-{key}").write_text("")
        if len(sys.argv) > 3 and number == 2:
            time.sleep(600)
        cells.keep(key, {"number": number}, {"square": number**2})
cells.collect()
"""


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_killed__loses_the_cell_under_way_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(ROOT), str(tmp_path)]
    first = subprocess.Popen([*command, "slowly"])
    end = time.monotonic() + 60
    while not (tmp_path / "began-2").is_file():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    assert cells_in(tmp_path).all_keys() == ["0", "1"]
    stamps = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "cells" / "square").iterdir()}
    assert not (tmp_path / "results").exists()
    (tmp_path / "cells" / "square" / "2.json.tmp").write_text('{"cell": {"num')  # half a file, as a kill might leave it
    subprocess.run(command, check=True)
    assert cells_in(tmp_path).all_keys() == ["0", "1", "2"]
    assert {name: (tmp_path / "cells" / "square" / name).stat().st_mtime_ns for name in stamps} == stamps
    assert Cells("square", tmp_path / "results", None).need("2").result == {"square": 4}


# collected


def test_collect__gives_one_file_a_city_with_one_line_a_cell_and_the_same_cells_back(tmp_path: Path) -> None:
    cells = cells_in(tmp_path)
    for key in ("b", "a", "rome/x/1", "rome/x/0", "oslo/y"):
        cells.keep(key, {"key": key}, {"values": [1, 2.5, None]})
    changed = cells.collect()
    assert sorted(file.name for file in changed) == ["square-oslo.json", "square-rome.json", "square.json"]
    lines = (tmp_path / "results" / "square-rome.json").read_text().splitlines()
    assert [line[:12] for line in lines] == ["{", '"rome/x/0": ', '"rome/x/1": ', "}"]
    collected = Cells("square", tmp_path / "results", None)
    assert collected.all_keys() == cells.all_keys() == ["a", "b", "oslo/y", "rome/x/0", "rome/x/1"]
    assert all(collected.find(key) == cells.find(key) for key in cells.all_keys())
    before = {file: file.read_bytes() for file in changed}
    assert cells.collect() == []
    assert {file: file.read_bytes() for file in changed} == before


def test_collect__takes_what_was_asked_for_and_leaves_what_is_there(tmp_path: Path) -> None:
    first = Cells("square", tmp_path / "results", tmp_path / "one")
    first.keep("a", {}, {"n": 1})
    first.collect()
    second = Cells("square", tmp_path / "results", tmp_path / "two")
    second.keep("b", {}, {"n": 2})
    second.keep("trial", {}, {"n": 3})
    second.collect(["b", "of nobody"])
    assert Cells("square", tmp_path / "results", None).all_keys() == ["a", "b"]


def test_collect__keeps_what_another_process_collected_meanwhile(tmp_path: Path) -> None:
    first, second = (Cells("square", tmp_path / "results", tmp_path / name) for name in ("one", "two"))
    assert first.find("b") is None  # it has read the file, which is not there yet
    second.keep("b", {}, {"n": 2})
    second.collect()
    first.keep("a", {}, {"n": 1})
    first.collect()
    assert Cells("square", tmp_path / "results", None).all_keys() == ["a", "b"]


def test_page__that_is_the_same_is_no_new_one(tmp_path: Path) -> None:
    cells = cells_in(tmp_path)
    assert cells.page() is None
    cells.keep_page({"seeds": (1, 2)})
    before = (tmp_path / "results" / "square.json").read_bytes()
    cells.keep_page({"seeds": (1, 2)})
    assert (tmp_path / "results" / "square.json").read_bytes() == before
    cells.keep_page({"seeds": (1,)})
    assert cells_in(tmp_path).page() == {"seeds": [1]}


def test_local_cell__wins_over_the_collected_one_of_its_key(tmp_path: Path) -> None:
    cells = cells_in(tmp_path)
    cells.keep("a", {}, {"n": 1})
    cells.collect()
    cells.keep("a", {}, {"n": 2})
    assert cells_in(tmp_path).need("a").result == {"n": 2}
    (file,) = cells.collect()
    assert json.loads(file.read_text())["a"]["result"] == {"n": 2}


def test_names__of_published_benchmarks_are_no_beginnings_of_one_another(published: Path) -> None:
    from benchmarks.pages import BENCHMARKS

    names = [module.BENCHMARK for module in BENCHMARKS]
    assert not any(a != b and f"{b}-".startswith(f"{a}-") for a in names for b in names)
    files = {file.relative_to(published).with_suffix("").as_posix() for file in published.rglob("*.json")}
    assert all(any(f == name or f.startswith(f"{name}-") for name in names) for f in files)
    assert len(files) < 2 * len(names)  # one a benchmark, more only where a city has its own
