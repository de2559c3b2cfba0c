"""`stormgym data check --kind log` and `stormgym data city`: from an outage export to a city's folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from stormgym.__main__ import main
from stormgym.agents.data_options import in_options
from stormgym.envs.data import City
from stormgym.envs.data.checking import ASKED_OF_A_RULE, Finding, FolderReport, check_folder
from stormgym.envs.data.kinds import outage_log

TOWNS = """town,lat,lon,income,customers_served
BECKET,42.3,-73.1,50000,1000
LEE,42.31,-73.25,60000,2000
LENOX,42.36,-73.28,70000,3000
OTIS,42.2,-73.1,65000,800
"""
NAMES = {"region_column": "town", "time_column": "reported", "end_column": "restored"}
OPTIONS = ["--region-column", "town", "--time-column", "reported", "--end-column", "restored", "--tz", "UTC"]
MAKE = ["data", "city", "export.csv", "--regions", "towns.csv", "--out", "west", *OPTIONS, "--income-column", "income"]
N = 60


def rows() -> list[str]:
    """Lines of an export without a fault; lines 3 and 4 are the first two outages of the town of Lee."""
    towns = ["BECKET", "LEE", "LEE", "LENOX", "OTIS"]
    made = [
        f"{i},2021-07-{1 + i // 20:02d} {i % 20:02d}:10,2021-07-{1 + i // 20:02d} {2 + i % 20:02d}:{10 + i % 50:02d},"
        f"{towns[i % 5]},{i}"
        for i in range(N)
    ]
    return ["id,reported,restored,town,customers_out", *made]


def spoilt(lines: list[str], *cells: tuple[int, int, str]) -> list[str]:
    """Lines with other texts at (line, position)."""
    out = list(lines)
    for line, position, text in cells:
        row = out[line - 1].split(",")
        row[position] = text
        out[line - 1] = ",".join(row)
    return out


def write(folder: Path, lines: list[str]) -> Path:
    file = folder / "export.csv"
    file.write_text("\n".join(lines) + "\n")
    (folder / "towns.csv").write_text(TOWNS)
    return file


def check(file: Path, **arguments: object) -> FolderReport:
    return check_folder(file, outage_log(**({"tz": "UTC"} | NAMES | arguments)))


def errors(report: FolderReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == "error"]


def test_check__a_good_export_is_fit_for_use(tmp_path: Path) -> None:
    report = check(write(tmp_path, rows()))
    assert (report.findings, report.usable, report.complete) == ((), True, True)
    assert report.content == "60 outages, 4 regions, 2021-07-01 to 2021-07-03, median 2.33 h"


def test_check__all_faults_and_doubts_of_an_export_are_told_at_once(tmp_path: Path) -> None:
    lines = spoilt(
        rows(),
        (5, 1, "07/02/2021 11:29"),
        (7, 2, "2021-07-01 01:00"),
        (9, 2, "2021-07-01 07:10"),
        (11, 3, ""),
        (12, 3, "becket"),
        (15, 2, "2021-12-30 10:00"),
        (16, 1, "2021-07-01"),
        *((line, 1, "n/a") for line in range(20, 40)),
    )
    report = check(write(tmp_path, [*lines, lines[-1], f"{lines[-1]},x"]))
    found = errors(report)
    assert [(f.line, f.column, f.more_lines) for f in found] == [
        (63, None, ()),
        (5, "reported", ()),
        (20, "reported", ()),
        (21, "reported", ()),
        (22, "reported", tuple(range(23, 40))),
        (7, "restored", ()),
        (9, "restored", ()),
        (11, "town", ()),
    ]
    doubts = " ".join(f.message for f in report.findings if f.level == "warning")
    for words in ("more than 60 days", "dates without a time", "differ only in case", "same as an earlier one"):
        assert doubts.count(words) == 1
    assert report.complete
    assert not report.usable


def test_check__a_fault_of_every_row_is_one_of_the_column(tmp_path: Path) -> None:
    lines = [row.replace("2021-07-", "07/") for row in rows()]
    report = check(write(tmp_path, spoilt(lines, (8, 3, ""))))
    assert [(f.line, f.column, len(f.more_lines)) for f in errors(report)] == [
        (2, "reported", N - 1),
        (2, "restored", N - 1),
    ]
    assert not report.complete
    report = check(write(tmp_path, spoilt(rows(), (8, 3, ""))), tz=None)
    assert "a time needs a zone" in errors(report)[1].message
    assert [f.line for f in errors(report)] == [8, 2, 2]


def test_check__of_an_export_in_no_order_of_time_tells_lines_in_their_order(tmp_path: Path) -> None:
    lines = spoilt(rows(), *((line, 3, "") for line in range(2, 30, 3)))
    report = check(write(tmp_path, [lines[0], *reversed(lines[1:])]))
    assert [f.line for f in errors(report)] == [34, 37, 40]
    assert errors(report)[-1].more_lines == tuple(range(43, 62, 3))


def test_check__of_a_long_export_that_is_wrong_throughout_is_quick(tmp_path: Path) -> None:
    cells = [(line, 2, ("x", "", "2020-01-01 00:00")[line % 3]) for line in range(2, N + 2, 2)]
    lines = spoilt(rows(), *cells)
    file = write(tmp_path, [lines[0], *lines[1:] * 60])
    start = time.perf_counter()
    report = check(file)
    assert len(errors(report)) == 3 * ASKED_OF_A_RULE
    assert sum(1 + len(f.more_lines) for f in errors(report)) == 60 * N // 2
    assert time.perf_counter() - start < 20


def test_check__a_missing_column_is_told_with_the_option_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, rows())
    found = tmp_path / "found.json"
    assert main(["data", "check", str(file), "--kind", "log", "--json", str(found)]) == 1
    message = json.loads(found.read_text())["findings"][0]["message"]
    assert "column 'region' is missing, and so is 'start_time', and so is 'duration_h'" in message
    assert "Name it by --region-column, --time-column, --duration-column, --end-column" in message
    assert "cannot be used as log (1 error; more" in " ".join(capsys.readouterr().out.split())


def test_command__check_of_an_export_with_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, spoilt(rows(), (9, 2, "2021-07-01 07:10")))
    words = ["data", "check", str(file), "--kind", "log", *OPTIONS]
    assert main(words) == 1
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "export.csv:9 restored" in said
    assert "got 0 h, with its end at '2021-07-01 07:10'. Correct it, remove the row, or pass --drop-zero." in said
    assert str(tmp_path) not in said.split("┘")[0]
    assert main([*words, "--drop-zero", "--feature-columns", "id,customers_out", "--time-features", "hour"]) == 0
    assert "1 of 60 outages last exactly 0 h and are left out" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "export.csv", "--region-column", "town"], "--region-column is for an outage export: add --kind log"),
        (["check", "export.csv"], "is a file, which may be of any kind. Say which with --kind: log (an outage export"),
        (["check", "export.csv", "--kind", "log", *OPTIONS[:-1], "Nowhere"], "tz must be an IANA zone name"),
        (["city", "nowhere.csv", "--regions", "towns.csv", "--out", "west"], "nowhere.csv: no such file"),
        (["city", "export.csv", "--regions", "nowhere.csv", "--out", "west"], "nowhere.csv: no such file"),
        (
            ["city", "export.csv", "--regions", "towns.csv", "--out", "west", "--depot", "3"],
            "--depot must be two numbers",
        ),
        (
            ["city", "export.csv", "--regions", "towns.csv", "--out", "west", *OPTIONS, "--busiest", "9"],
            "n must be from 1 to 4, the number of regions with records; got 9",
        ),
    ],
)
def test_command__wrong_use_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    write(tmp_path, rows())
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not Path("west").exists()


def test_city__is_made_of_an_export_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, rows())
    monkeypatch.chdir(tmp_path)
    words = ["data", "city", "export.csv", "--regions", "towns.csv", "--out", "west", *OPTIONS]
    words += ["--income-column", "income", "--customers-column", "customers_served", "--time-features", "hour"]
    words += ["--features", "x_km,depot_km,hour", "--depot=42.3,-73.2", "--since", "2021-07-02", "--busiest", "3"]
    assert main([*words, "--speed-kmh", "30"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    city = City.load("west")
    assert (city.name, city.region_ids, city.speed_kmh) == ("west", ("BECKET", "LEE", "LENOX"), 30.0)
    assert city.log.feature_names == ("x_km", "depot_km", "hour")
    assert city.origin is not None
    np.testing.assert_allclose(city.depot_km, [0.8, -2.6], atol=0.1)
    assert city.customers is not None
    for part in (
        "outages 32 of 60 rows",
        "left out: began before since 20",
        "left out: not in the 3 busiest regions 8",
        "regions 3 (groups: low 1, middle 1, high 1)",
        "2021-07-02 to 2021-07-03",
        "median duration 2.48 h",
        "customers 6,000",
        "columns not read id, customers_out",
        "--feature-columns customers_out makes it a feature",
        "Next: stormgym evaluate --city west --episodes 32",
    ):
        assert part in said
    assert main(["data", "check", "west"]) == 0


def test_city__faults_of_both_files_are_listed_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, spoilt(rows(), (9, 2, ""), (11, 2, "soon")))
    monkeypatch.chdir(tmp_path)
    Path("towns.csv").write_text(TOWNS.replace("-73.25", "73.25").replace("70000", "unknown"))
    words = ["data", "city", "export.csv", "--regions", "towns.csv", "--out", "west", *OPTIONS]
    assert main([*words, "--income-column", "income", "--json", "found.json"]) == 1
    found = json.loads(Path("found.json").read_text())["findings"]
    places = [(Path(f["file"]).name, f["line"], f["column"]) for f in found if f["level"] == "error"]
    assert places == [
        ("export.csv", 9, "restored"),
        ("export.csv", 11, "restored"),
        ("towns.csv", 3, "lon"),
        ("towns.csv", 4, "income"),
    ]
    assert "export.csv: cannot be used as a city's log (4 errors" in " ".join(capsys.readouterr().out.split())
    assert not Path("west").exists()


def test_city__regions_without_a_row_are_left_out_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, rows())
    monkeypatch.chdir(tmp_path)
    Path("towns.csv").write_text(TOWNS.replace("OTIS", "Otis").replace("town,", "name,"))
    words = [*MAKE, "--table-region-column", "name"]
    assert main(words) == 1
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "the first is 'OTIS' (did you mean 'Otis'?). Add the row, or leave the region out by --drop-unknown." in said
    assert main([*words, "--drop-unknown"]) == 0
    assert "left out: in regions without a row in towns.csv 12" in " ".join(capsys.readouterr().out.split())
    Path("towns.csv").write_text(TOWNS.replace("town,", "name,").lower())
    assert main([*words, "--drop-unknown", "--overwrite"]) == 1
    assert "no region has a row in towns.csv, the first is 'BECKET'" in " ".join(capsys.readouterr().out.split())


def test_city__what_stands_in_the_folder_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, rows())
    monkeypatch.chdir(tmp_path)
    words = MAKE
    assert main(words) == 0
    before = City.load("west").fingerprint()
    assert main([*words, "--detour", "2"]) == 2
    assert "--out west: it has regions.csv. Name another folder, or add --overwrite" in " ".join(
        capsys.readouterr().err.split()
    )
    assert City.load("west").fingerprint() == before
    assert main([*words, "--detour", "2", "--overwrite"]) == 0
    assert City.load("west").detour == 2.0
    shutil.copy("towns.csv", "west/regions.csv")
    words[4] = "west/regions.csv"
    assert main([*words, "--overwrite"]) == 2
    assert "regions.csv in it is read, and would be lost" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Pass tz, e.g. tz='UTC'.", "Pass tz, e.g. --tz 'UTC'."),
        ("or pass drop_zero=True.", "or pass --drop-zero."),
        ("a time must match time_format='%d'", "a time must match --time-format '%d'"),
        ("column 'time_column', my_tz=3", "column 'time_column', my_tz=3"),
        ("by region_column, end_column.", "by --region-column, --end-column."),
    ],
)
def test_cures__name_options(message: str, words: str) -> None:
    assert in_options(message) == words
