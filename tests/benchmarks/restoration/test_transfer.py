"""The benchmark of other limits and other cities: what it plays, keeps, prints and draws."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kit.cells import Cells
from benchmarks.restoration import transfer as door
from stormgym.agents.restoration.planners import EquityPlanner
from stormgym.agents.restoration.replanning import EquityReplanner


@pytest.fixture(autouse=True)
def _short_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planners play some episodes of five regions here, and how well is not asked."""
    for planner in (EquityPlanner, EquityReplanner):
        monkeypatch.setitem(planner.__init__.__kwdefaults__, "iterations", 20)


def run(tmp_path: Path, *options: str, cities: tuple[str, ...] = ("synthetic:5:1",)) -> int:
    place = () if "--cities" in options else ("--cities", *cities)
    limits = () if "--limits" in options else ("--limits", "3", "9")
    episodes = () if "--episodes" in options else ("--episodes", "3")
    kept = ("--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells"))
    return door.main([*place, *limits, *episodes, *kept, *options])


def cells_of(tmp_path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in (tmp_path / "cells").rglob("*.json")}


@pytest.mark.slow
def test_table__has_every_city_limit_and_agent_and_compares_on_the_same_storms(tmp_path: Path, docs: Path) -> None:
    page = docs / "results" / "tables" / "restoration-some-limits.md"
    options = ("--docs", str(docs), "--table", "some-limits", "--figure")
    assert (
        run(tmp_path, "--agents", "nearest", "equity-planner", *options, cities=("synthetic:5:1", "synthetic:6:2")) == 0
    )
    lines = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")][2:]
    assert len(lines) == 2 * 2 * 3  # cities, limits, planner and two agents
    assert [line[3] for line in lines] == ["equity-planner", "nearest", "equity-planner"] * 4
    assert [line[2] for line in lines if line[2]] == ["3", "9"] * 2
    assert [line[1] for line in lines if line[1]] == ["5", "5", "6", "6"]
    assert all(line[-1].startswith("+0.0 % [+0.0, +0.0]") for line in lines[2::3])  # the planner against itself
    text = page.read_text()
    assert "![Mean outage against mean gap at several limits](../../img/some_limits.png)" in text
    assert (docs / "img" / "some_limits.png").stat().st_size > 10_000
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)  # of what is collected
    assert page.read_text() == text


def test_play__reads_what_was_played_and_plays_anew_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, "--agents", "nearest") == 0
    kept = cells_of(tmp_path)
    assert len(kept) == 4
    facts = json.loads(next(iter(kept.values())))["result"]
    assert len(facts["outage_h"]) == len(facts["gap_h"]) == 3

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("played again")

    with monkeypatch.context() as patch:
        patch.setattr(door, "evaluate", refuse)
        assert run(tmp_path, "--agents", "nearest") == 0
        with pytest.raises(AssertionError, match="played again"):
            run(tmp_path, "--agents", "nearest", "--seed", "7")
    assert cells_of(tmp_path) == kept
    for file in kept:
        file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(door, "evaluate", refuse)
        assert run(tmp_path, "--agents", "nearest") == 0  # what is collected is found as well


def test_weights_of__tell_two_states_of_an_agent_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "find_model", lambda folder: Path(folder) / "best" / "model.zip")
    folder = tmp_path / "run" / "best"
    folder.mkdir(parents=True)
    model = folder / "model.zip"
    model.write_bytes(b"one")
    first = door.weights_of(f"mine={tmp_path / 'run'}")
    model.write_bytes(b"two")
    assert first
    assert door.weights_of(str(tmp_path / "run")) != first
    assert door.weights_of(f"{tmp_path / 'run'}@32") == door.weights_of(str(tmp_path / "run"))
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):  # a folder without a model has no score that could be kept
        door.weights_of(str(tmp_path))
    assert len(door.weights_of("sta-sac:default")) == 64
    assert door.weights_of("nearest") == ""


def test_table__of_shocks_pools_the_seeds_of_an_agent(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = docs / "results" / "tables" / "restoration-here.md"
    agents = ("--agents", "mine=sta-sac:default", "mine=sta-sac:generalist", "equity-replanner")
    where = ("--limits", "5", "--shocks", "0", "0.7", "--docs", str(docs), "--table", "here")
    assert run(tmp_path, *agents, *where) == 0
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in page.read_text().splitlines() if line[:1] == "|"]
    assert lines[0][2:5] == ["limit h", "shock", "agent"]
    assert [line[3] for line in lines[2::3]] == ["none", "0.7"]
    assert [line[4] for line in lines[3::3]] == ["mine (2 seeds)"] * 2
    kept = [json.loads(text) for file, text in cells_of(tmp_path).items() if file.stem != "here"]
    assert len(kept) == 8
    mine = np.mean([k["result"]["outage_h"] for k in kept if k["cell"]["agent"].startswith("mine")])
    shown = np.mean([float(line[5].split(" ")[0]) for line in lines[3::3]])
    assert shown == pytest.approx(mine, abs=0.01)
    assert run(tmp_path, "--agents", "mine=sta-sac:default", "mine=sta-sac:default") == 2
    assert run(tmp_path, "--agents", "sta-sac:default", "sta-sac:default") == 2
    assert capsys.readouterr().err.count("two agents are named") == 2
    assert run(tmp_path, *agents, "--shocks", "3") == 2
    assert "--shocks must be in [0, 2]" in capsys.readouterr().err


def test_rows__say_by_how_much_a_limit_is_exceeded() -> None:
    outage = np.array([[10.0, 12.0]])
    planner = door.Played("equity-planner", outage, np.array([[4.0, 4.0]]), 5.0)
    agent = door.Played("it", 1.1 * outage, np.array([[6.0, 6.0]]), 5.0)
    first, second = door.rows([door.Place("here", 6, planner, (agent,))])
    assert first[6] == "yes"
    assert second[6] == "no, +20 %"
    assert second[7] == "+10.0 % [+10.0, +10.0]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--agents", "sta-sac:nobody"), "nobody"),
        (("--agents", "nearest", "--cities", "atlantis"), "atlantis"),
        (("--agents", "nearest", "--limits", "-3"), "--limits must be positive"),
        (("--agents", "nearest", "--episodes", "1"), "--episodes must be at least 2"),
    ],
)
def test_door__tells_what_is_wrong(
    tmp_path: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *options) == 2
    assert message in capsys.readouterr().err


def test_key__is_that_of_the_published_cells(published: Path) -> None:
    city, settings = door.resolve_city("default"), door.Settings(agents=())
    collected = Cells(door.BENCHMARK, published, None).all_keys()
    for limit in (None, 4.0, 20.0):
        assert door.key_of("equity-planner", "default", city, door.storms_of(limit, 0.0), settings) in collected
    assert door.key_of("equity-replanner", "default", city, door.storms_of(None, 0.7), settings) in collected


def test_command__names_no_folder_of_this_machine(tmp_path: Path) -> None:
    for name in ("run", "our_city"):
        (tmp_path / name).mkdir()
    agents = (f"mine={tmp_path / 'run'}@32", "sta-sac:default")
    settings = door.Settings(agents=agents, cities=("default", str(tmp_path / "our_city")), shocks=(0.35, 0.0))
    assert door.command(settings) == (
        "python -m benchmarks.restoration.transfer --agents mine=RUN@32 sta-sac:default --cities default our_city "
        "--shocks 0.35 0"
    )
