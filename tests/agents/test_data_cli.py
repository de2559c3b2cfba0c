"""`stormgym data check`: every fault of a folder at once, by the package's own readers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stormgym.__main__ import main
from stormgym.envs.crews.example import write_example
from stormgym.envs.data import City
from stormgym.envs.data.checking import ASKED_OF_A_RULE, FolderReport, check_folder
from stormgym.envs.data.tables import read_table
from stormgym.envs.folders import kind_of, known_kinds

FEEDS = Path(__file__).parents[1] / "envs" / "data" / "feeds" / "fixtures"
COUNTIES = """fips_code,customers,income_usd,lat,lon
1001,4000,30000,30.0,-88.0
1003,9000,60000,31.0,-87.0
1005,2500,45000,30.5,-85.0
1007,2500,47000,30.6,-85.0
"""
OUTAGES = "fips_code,county,state,customers_out,run_start_time\n" + "".join(
    f"{code},somewhere,Alabama,{100 * (6 - abs(hour - 5)) + code % 10},2021-08-28 {hour:02d}:00:00\n"
    for hour in range(12)
    for code in (1001, 1003, 1005, 1007)
)
PROFILE = {
    "period_hours": 2,
    "windows": [{"name": "early", "start": "2021-08-28T02:00", "end": "2021-08-28T10:00"}],
    "generators": 12,
    "customers_per_generator": 500,
    "transport_cost": 300.0,
    "interruption_cost": 6.0,
    "operating_cost": 60.0,
    "rate": 4.0,
    "latest_onset": 2,
    "interval_min": 60,
}


def check(folder: Path) -> FolderReport:
    return check_folder(folder, kind_of(folder))


def set_cell(file: Path, line: int, column: str, text: str) -> None:
    """Write a text into one cell of a CSV file."""
    lines = file.read_text().splitlines()
    cells = lines[line - 1].split(",")
    cells[lines[0].split(",").index(column)] = text
    lines[line - 1] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")


def set_keys(file: Path, **values: object) -> None:
    """Set keys of a JSON file; None takes one away."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def places(report: FolderReport) -> set[tuple[str, int | None, str | None]]:
    return {(Path(f.file).name, f.line, f.column) for f in report.findings if f.level == "error" and not f.follows}


@pytest.fixture
def city(tmp_path: Path) -> Path:
    folder = tmp_path / "city"
    write_example(folder)
    return folder


@pytest.fixture
def storms(tmp_path: Path) -> Path:
    (tmp_path / "counties.csv").write_text(COUNTIES)
    (tmp_path / "outages.csv").write_text(OUTAGES)
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    return tmp_path


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    names = ["Ash", "Birch", "Cedar", "Elm", "Fir", "Gum"]
    incomes = [30_000, 42_000, 55_000, 61_000, 75_000, 90_000]
    rows = [f"{name},{500 + 100 * i},{incomes[i]},{200 + i},{i},{i * i}" for i, name in enumerate(names)]
    (tmp_path / "regions.csv").write_text("region,customers,income_usd,protect_cost,x,y\n" + "\n".join(rows) + "\n")
    hours = [f"S{e:02d},{name},{rng.gamma(2.0, 2.0):.2f}" for e in range(24) for name in names]
    (tmp_path / "storms.csv").write_text("storm,region,hours\n" + "\n".join(hours) + "\n")
    (tmp_path / "profile.json").write_text(json.dumps({"budget": 800, "n_crews": 1}))
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("city", "55 regions in 3 groups, "),
        ("storms", "4 counties, 1 recorded storms"),
        ("lines", "6 regions, 24 storms"),
    ],
)
def test_check__a_good_folder_is_fit_for_use(kind: str, content: str, request: pytest.FixtureRequest) -> None:
    report = check(request.getfixturevalue(kind))
    assert (report.findings, report.usable, report.complete) == ((), True, True)
    assert report.content.startswith(content)


def test_check__every_fault_of_a_city_is_told_at_once(city: Path) -> None:
    set_cell(city / "regions.csv", 4, "x_km", "abc")
    set_cell(city / "regions.csv", 7, "customers", "-1")
    for line, text in ((5, "-2.5"), (10, "zero"), (13, "")):
        set_cell(city / "log.csv", line, "repair_h", text)
    set_cell(city / "log.csv", 17, "region", "Atlantis")
    lines = (city / "log.csv").read_text().splitlines()
    (city / "log.csv").write_text("\n".join([*lines[:20], lines[20] + ",7", *lines[21:]]) + "\n")
    set_keys(city / "city.json", speed_kmh=-3, tmezone="x")
    crews = json.loads((city / "crews.json").read_text())["crews"]
    crews[0]["on_h"] = -1
    crews[0]["off_h"] = "much"
    crews[1]["skils"] = [1]
    del crews[1]["skills"]
    crews[2]["depot"] = {"lat": 30.4, "lon": -84.3}
    set_keys(city / "crews.json", crews=crews)
    set_cell(city / "jobs.csv", 3, "region", "999")
    report = check(city)
    assert places(report) == {
        ("regions.csv", 4, "x_km"),
        ("regions.csv", 7, "customers"),
        *(("log.csv", line, "repair_h") for line in (5, 10, 13)),
        ("log.csv", 17, "region"),
        ("log.csv", 21, None),
        ("city.json", None, "speed_kmh"),
        ("city.json", None, "tmezone"),
        ("crews.json", None, "crews.0.on_h"),
        ("crews.json", None, "crews.0.off_h"),
        ("crews.json", None, "crews.1.skils"),
        ("crews.json", None, "crews.1.skills"),
        ("crews.json", None, "crews.2.depot"),
        ("jobs.csv", 3, "region"),
    }
    assert len(report.findings) == 15
    assert report.complete
    assert not report.usable
    assert all(f.message.startswith(str(city)) and f.message.endswith(".") for f in report.findings)


def test_check__names_each_place_of_a_double_id_and_no_false_one(city: Path) -> None:
    table = read_table(city / "jobs.csv")
    row = next(r for r, job in enumerate(table.columns["job"]) if r and job not in table.columns["parent"])
    set_cell(city / "jobs.csv", row + 2, "job", table.columns["job"][0])
    assert places(check(city)) == {("jobs.csv", row + 2, "job")}


def test_check__one_wrong_text_in_many_rows_is_told_together(tmp_path: Path) -> None:
    City.synthetic(seed=3, n_regions=6).save(tmp_path)
    n = len((tmp_path / "log.csv").read_text().splitlines())
    for line in range(2, n, 2):
        set_cell(tmp_path / "log.csv", line, "repair_h", "unknown")
    report = check(tmp_path)
    assert len(report.findings) == ASKED_OF_A_RULE
    assert report.findings[-1].more_lines == tuple(range(8, n, 2))


def test_check__a_file_that_is_not_there_leaves_the_others_read(city: Path) -> None:
    (city / "regions.csv").unlink()
    set_cell(city / "log.csv", 3, "region", '"open')
    set_keys(city / "city.json", N=None)
    (city / "crews.json").write_text("{")
    report = check(city)
    assert not report.complete
    told = "\n".join(f.message for f in report.findings)
    assert "no regions.csv" in told
    assert "crews.json, line 1, column 2: not JSON" in told
    assert "log.csv, line 3" in told


def test_check__a_missing_column_ends_a_file_and_not_the_check(city: Path) -> None:
    file = city / "log.csv"
    file.write_text(file.read_text().replace("repair_h", "hours", 1))
    lines = (city / "jobs.csv").read_text().splitlines()
    (city / "jobs.csv").write_text("\n".join([*lines, "too,short"]) + "\n")
    report = check(city)
    assert "column 'repair_h' is missing" in report.findings[0].message
    assert ("jobs.csv", len(lines) + 1, None) in places(report)
    assert not report.complete


def test_check__every_fault_of_recorded_storms(storms: Path) -> None:
    set_cell(storms / "counties.csv", 2, "customers", "none")
    set_cell(storms / "counties.csv", 3, "lat", "95")
    set_keys(storms / "profile.json", rate=None, generators=-1, colour="red")
    report = check(storms)
    assert places(report) == {
        ("counties.csv", 2, "customers"),
        ("counties.csv", 3, "lat"),
        ("profile.json", None, "rate"),
        ("profile.json", None, "generators"),
        ("profile.json", None, "colour"),
    }


def test_check__every_fault_of_lines_to_bury(lines: Path) -> None:
    set_cell(lines / "regions.csv", 3, "protect_cost", "0")
    set_cell(lines / "storms.csv", 9, "hours", "-1")
    set_cell(lines / "storms.csv", 12, "region", "Oak")
    set_keys(lines / "profile.json", budget="much", n_crews=None)
    report = check(lines)
    assert places(report) == {
        ("regions.csv", 3, "protect_cost"),
        ("storms.csv", 9, "hours"),
        ("storms.csv", 12, "region"),
        ("profile.json", None, "budget"),
        ("profile.json", None, "n_crews"),
    }


def test_check__warnings_leave_a_folder_usable(storms: Path) -> None:
    set_keys(storms / "profile.json", latest_onset=None)
    report = check(storms)
    assert report.usable
    assert [f.level for f in report.findings] == ["warning"]
    assert "'latest_onset' is missing" in report.findings[0].message


def test_check__a_feed_tells_its_flags(tmp_path: Path) -> None:
    file = Path(shutil.copy(FEEDS / "ukpn_live_faults.csv", tmp_path))
    report = check_folder(file, known_kinds()["ukpn"])
    assert report.usable
    assert "outages in 1 file" in report.content
    assert all(f.level == "warning" and "rows are flagged" in f.message for f in report.findings)
    file.write_text("a,b\n1,2\n")
    assert not check_folder(file, known_kinds()["ukpn"]).usable


def test_check__changes_no_file(city: Path) -> None:
    set_cell(city / "log.csv", 5, "repair_h", "-1")
    before = {file.name: file.read_bytes() for file in city.iterdir()}
    check(city)
    assert {file.name: file.read_bytes() for file in city.iterdir()} == before


def test_command__exit_codes_table_and_json(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(city)]) == 0
    assert "fit for use as city (55 regions" in capsys.readouterr().out
    set_cell(city / "log.csv", 5, "repair_h", "-2.5")
    file = tmp_path / "findings.json"
    assert main(["data", "check", str(city), "--json", str(file)]) == 1
    said = capsys.readouterr().out
    assert "log.csv:5 repair_h" in said
    assert "cannot be used as city (1 error)" in said
    found = json.loads(file.read_text())
    assert (found["usable"], found["complete"], found["kind"]) == (False, True, "city")
    assert found["findings"][0]["line"] == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "/no/such"], "no such file or folder"),
        (["check", ".", "--kind", "citty"], "--kind must be one of city, undergrounding, dispatch, log, nged"),
        (["check", str(FEEDS)], "has no file that tells its kind. Say which with --kind: city (regions.csv"),
        ([], "usage: stormgym data check FOLDER"),
    ],
)
def test_command__wrong_use_is_a_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *words]) == 2
    assert sentence in capsys.readouterr().err
