"""The results board: what may stand on it, what an entry holds, and what is done with scores that are there already."""

import json
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stormgym.agents.evaluation.board import protocol
from stormgym.agents.evaluation.board.entries import FIELDS, entries_of, read_board, submit
from stormgym.agents.evaluation.board.protocol import check_protocol
from stormgym.agents.evaluation.board.submission import command_without
from stormgym.agents.evaluation.cli import main
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents

ENV = "Restoration-v0"
HELD_OUT = {"split": "test", "city": "synthetic:8:1", "predictor": "none"}
SCHEMA = json.loads(resources.files("stormgym.agents.evaluation.board").joinpath("board.schema.json").read_text())


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    """Of two agents on a few storms."""
    entrants = resolve_agents("nearest,clairvoyant", ENV)
    summary = summarise(evaluate(ENV, entrants, episodes=12, seed=2026, env_kwargs=HELD_OUT, batch_size=12))
    return entries_of(summary, entrants, command="python evaluate.py", by="we", today=date(2026, 11, 30))


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_entry__holds_what_the_schema_says_and_what_was_scored(entries: list[dict[str, Any]]) -> None:
    jsonschema.validate({"entries": entries}, SCHEMA)
    properties = SCHEMA["properties"]["entries"]["items"]["properties"]
    assert list(properties) == list(FIELDS) == list(entries[0])
    nearest, clairvoyant = entries
    assert (nearest["agent"], nearest["privileged"], nearest["training"]) == ("nearest", False, None)
    assert clairvoyant["privileged"]
    assert nearest["arguments"] == HELD_OUT
    assert nearest["date"] == "2026-11-30"
    own = nearest["metrics"]
    assert nearest["limit_held"] == (own["gap_h"]["value"] <= nearest["limit"])
    assert own["mean_outage_h"]["value"] > clairvoyant["metrics"]["mean_outage_h"]["value"]
    assert all(metric["standard_error"] >= 0 for metric in own.values())
    assert {"mean_outage_h", "gap_h", "violation_rate"} <= own.keys()


def test_submit__adds_then_reproduces_and_refuses_other_scores(entries: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "deep" / "board.json"
    assert submit(entries, file) == ["nearest: added", "clairvoyant: added"]
    again = copied(entries)
    for entry in again:
        entry.update(by="they", date="2026-12-01")
    assert submit(again[:1], file) == ["nearest: reproduced"]
    board = read_board(file)
    jsonschema.validate({"entries": board}, SCHEMA)
    assert [entry["agent"] for entry in board] == ["clairvoyant", "nearest"]
    assert [one["by"] for one in board[1]["reproduced"]] == ["they"]

    before = file.read_text()
    again[1]["metrics"]["gap_h"]["value"] += 0.01
    with pytest.raises(ValueError, match=r"clairvoyant on Restoration-v0: gap_h is .* nothing written"):
        submit(again, file)
    assert file.read_text() == before


def test_submit__trainings_may_differ_by_their_standard_errors(entries: list[dict[str, Any]], tmp_path: Path) -> None:
    file, entry = tmp_path / "board.json", copied(entries[0])
    training = {"agent": "ppo", "timesteps": 9, "env_kwargs": {}, "learner": {}, "seeds": [0, 1, 2, 3, 4]}
    entry.update(agent="ppo", training=training)
    submit([entry], file)
    other = copied(entry)
    other["training"]["seeds"] = [5, 6, 7, 8, 9]
    other["metrics"]["gap_h"]["value"] += 3.0 * entry["metrics"]["gap_h"]["standard_error"]
    assert submit([other], file) == ["ppo: reproduced"]
    other["metrics"]["gap_h"]["value"] += 9.0 * entry["metrics"]["gap_h"]["standard_error"]
    with pytest.raises(ValueError, match="ppo on Restoration-v0: gap_h"):
        submit([other], file)
    other["training"]["timesteps"] = 10  # another training altogether
    assert submit([other], file) == ["ppo: added"]


@pytest.mark.parametrize("name", list(FIELDS))
def test_board__every_field_of_an_entry_is_checked(name: str, entries: list[dict[str, Any]], tmp_path: Path) -> None:
    file, entry = tmp_path / "board.json", copied(entries[0])
    entry[name] = [1.5]
    file.write_text(json.dumps({"entries": [entry]}))
    with pytest.raises(ValueError, match=rf"board.json, entry 1: {name} is not as board.schema.json says; got"):
        read_board(file)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"entries": [entry]}, SCHEMA)
    del entry[name]
    file.write_text(json.dumps({"entries": [entry]}))
    with pytest.raises(ValueError, match=f"fields missing or unknown: {name}"):
        read_board(file)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"entries": 1}', "[" * 100_000])
def test_board__what_is_none_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"board.json is no board: it"):
        read_board(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episodes": 500}, "over 1,000 scenarios of seed 2026; got 500 of seed 2026. Add --episodes 1000"),
        ({"seed": 3}, "got 1,000 of seed 3"),
        ({"env_kwargs": {}}, "got split=its default. Add --option split=test"),
        ({"env_kwargs": {"split": "all"}}, "got split=all"),
        ({"env_kwargs": {**HELD_OUT, "city": "."}}, "city is the file or folder '.'"),
    ],
)
def test_protocol__says_which_rule_is_not_kept(changes: dict[str, Any], message: str) -> None:
    good = {"env_id": ENV, "env_kwargs": HELD_OUT, "episodes": 1000, "seed": 2026, "entrants": {}}
    check_protocol(**good)  # type: ignore[arg-type]  # test data
    with pytest.raises(ValueError, match=message):
        check_protocol(**{**good, **changes})


def test_protocol__what_is_trained_needs_seeds_and_the_training_half(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings:
        def __init__(self, seed: int, split: str | None) -> None:
            self.seed, self.env_kwargs = seed, {} if split is None else {"split": split}

    def runs(*seeds: int, split: str | None = "train") -> dict[str, Any]:
        return {"a": [(f"a-{seed}", type("Run", (), {"settings": Settings(seed, split)})()) for seed in seeds]}

    def check(found: dict[str, Any]) -> None:
        monkeypatch.setattr(protocol, "trained", lambda entrants: found)
        check_protocol(ENV, HELD_OUT, 1000, 2026, {})

    check(runs(1, 2, 3, 4, 5))
    with pytest.raises(ValueError, match="5 different training seeds at least; got the seeds 1, 2 of a-1"):
        check(runs(1, 2))
    with pytest.raises(ValueError, match="got the seeds 1, 2, 3, 4, 5, 5 of a-1"):
        check(runs(1, 2, 3, 4, 5, 5))
    with pytest.raises(ValueError, match="a-1 was trained on split=its default"):
        check(runs(1, 2, 3, 4, 5, split=None))


def test_command__leaves_out_what_changes_no_score() -> None:
    words = ["--env", ENV, "--submit", "b.json", "--by=a b", "--json", "x", "--option", "split=test", "--sort", "name"]
    assert command_without("evaluate.py", words) == f"python evaluate.py --env {ENV} --option split=test"
    assert command_without("stormgym evaluate", ["--html=x"]) == "stormgym evaluate"


def test_command_line__writes_an_entry_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "EPISODES", 8)
    file = tmp_path / "board.json"
    words = ["--city", "synthetic:8:1", "--predictor", "none", "--option", "split=test", "--agents", "nearest"]
    words += ["--episodes", "8", "--seed", "2026", "--submit", str(file)]
    assert main(words) == 2
    assert "--submit FILE and --by NAME go together" in capsys.readouterr().err
    assert main([*words, "--by", "we"]) == 0
    assert "nearest: added" in " ".join(capsys.readouterr().out.split())
    (entry,) = read_board(file)
    assert entry["command"].endswith("--episodes 8 --seed 2026")
    assert "--by" not in entry["command"]
    assert main([*words, "--by", "they", "--seed", "1"]) == 2
    assert "of seed 1" in capsys.readouterr().err
