"""The page of the results board is what its file gives, and the file keeps its schema and protocol."""

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from benchmarks import board
from stormgym.agents.evaluation.board.entries import read_board
from stormgym.agents.evaluation.board.protocol import EPISODES, PROTOCOL, SEED, TRAINING_SEEDS

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "results" / "board.json"


def test_board__keeps_its_schema_and_protocol() -> None:
    schema = json.loads(resources.files("stormgym.agents.evaluation.board").joinpath("board.schema.json").read_text())
    jsonschema.validate(json.loads(FILE.read_text()), schema)
    for entry in read_board(FILE):
        assert (entry["protocol"], entry["episodes"], entry["seed"]) == (PROTOCOL, EPISODES, SEED)
        assert entry["training"] is None or len(entry["training"]["seeds"]) >= TRAINING_SEEDS


def test_page__is_that_of_the_board(tmp_path: Path) -> None:
    page = tmp_path / "board.md"
    page.write_text((ROOT / "docs" / "board.md").read_text())
    assert board.main(["--board", str(FILE), "--docs", str(tmp_path)]) == 0
    assert page.read_text() == (ROOT / "docs" / "board.md").read_text(), "run python -m benchmarks.board"


def test_page__of_no_board_says_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no entries; evaluate.py --submit"):
        board.main(["--board", str(tmp_path / "none.json"), "--docs", str(tmp_path)])
