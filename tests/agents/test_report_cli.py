"""`stormgym report`: tables and page of an evaluation from its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stormgym.__main__ import main

WORDS = ["--env", "Restoration-v0", "--city", "synthetic:6:1", "--episodes", "8", "--agents", "nearest,request-volume"]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("evaluation") / "evaluation.json"
    page = file.with_suffix(".html")
    assert main(["evaluate", *WORDS, "--json", str(file), "--html", str(page)]) == 0
    return file


def test_report__shows_the_tables_and_writes_the_page_of_the_evaluation(
    evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "again.html"
    assert main(["report", str(evaluation), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "Restoration-v0: 8 common scenarios (seed 0)" in said
    assert "nearest" in said
    again, first = (file.read_text() for file in (page, evaluation.with_suffix(".html")))
    tables = [text.split("<table")[1:] for text in (again, first)]
    assert len(tables[0]) >= 3
    cells = [[table.split("</table>")[0] for table in found] for found in tables]
    assert cells[0] == cells[1]
    assert again.count("<figure>") >= 1


def test_report__replays_the_storms_that_the_evaluation_kept(evaluation: Path, tmp_path: Path) -> None:
    storms = json.loads(evaluation.read_text())["storms"]["storms"]
    assert len(storms) == 5
    page = tmp_path / "again.html"
    assert main(["report", str(evaluation), "--html", str(page)]) == 0
    told = []
    for file in (page, evaluation.with_suffix(".html")):
        block = file.read_text().split('id="data">')[1].split("</script>")[0]
        told.append(json.loads(block)["replay"])
    assert told[0] == told[1]
    assert [storm["seed"] for storm in told[0]["storms"]] == [storm["seed"] for storm in storms]


def test_replays__are_kept_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "kept.json"
    assert main(["evaluate", *WORDS, "--json", str(file)]) == 0
    assert "storms" not in json.loads(file.read_text())
    assert main(["evaluate", *WORDS, "--json", str(file), "--replays", "2"]) == 0
    assert len(json.loads(file.read_text())["storms"]["storms"]) == 2
    capsys.readouterr()
    assert main(["evaluate", *WORDS, "--json", str(file), "--replays", "101"]) == 2
    assert "--replays must be from 0 to 100; got 101" in capsys.readouterr().err


def test_report__is_sorted_as_asked(evaluation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = []
    for key in ("given", "name"):
        assert main(["report", str(evaluation), "--sort", key]) == 0
        orders.append([line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1] in "nr" and line])
    assert orders[0][:2] == ["nearest", "request-volume"]
    assert main(["report", str(evaluation), "--sort", "colour"]) == 2
    assert "colour" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such file; evaluate --json FILE writes one"),
        ("{", "not JSON"),
        ("[]", "not the JSON of an evaluation, which has env, episodes"),
        ('{"env": "Restoration-v0"}', "not the JSON of an evaluation"),
        ('{"env": 1, "env": 2}', "stands twice"),
    ],
)
def test_report__refuses_what_is_no_evaluation(
    content: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.json"
    if content is not None:
        file.write_text(content)
    assert main(["report", str(file)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"agents": {"nearest": {}}}, "figures of the evaluation are missing or spoilt"),
        ({"agents": {"nearest": 3}}, "figures of the evaluation are missing or spoilt"),
        ({"storms": {"scene": {}}}, "figures of the evaluation are missing or spoilt"),
        ({"env": "Elsewhere-v0"}, "Elsewhere-v0"),
    ],
)
def test_report__of_a_spoilt_evaluation_is_a_sentence(
    evaluation: Path, change: dict[str, object], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "spoilt.json"
    file.write_text(json.dumps(json.loads(evaluation.read_text()) | change))
    assert main(["report", str(file), "--html", str(tmp_path / "page.html")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
