"""Broken and hostile files: an error that names the file and the cure, or a flag; no silence, no bare traceback."""

import csv
import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data.feeds import (
    Fault,
    JobTable,
    files,
    read_aneel_interruptions,
    read_aneel_jobs,
    read_nged,
    read_pge,
    read_ssen,
    read_ukpn,
)
from stormgym.envs.data.feeds.files import object_in
from stormgym.envs.data.tables import DataError

Reader = Callable[[Path], JobTable]
CSV: dict[str, Reader] = {
    "nged_power_outage_ext.csv": partial(read_nged, tz="UTC"),
    "ukpn_live_faults.csv": read_ukpn,
    "aneel_ocorrencias_2023.csv": partial(read_aneel_jobs, tz="UTC"),
    "aneel_interrupcoes_2023.csv": partial(read_aneel_interruptions, tz="UTC"),
    "pge_outages.csv": read_pge,
}
JSON: dict[str, Reader] = {"ssen_power_track.json": read_ssen, "ukpn_live_faults.json": read_ukpn}
each_csv = pytest.mark.parametrize("name", list(CSV))
each_json = pytest.mark.parametrize("name", list(JSON))


def refused(read: Reader, file: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read(file)
    assert str(file) in str(error.value)


@each_csv
def test_csv__marks_line_ends_and_compression_change_nothing(
    name: str, fixtures: Path, tmp_path: Path, assert_same: Callable[..., None]
) -> None:
    data = (fixtures / name).read_bytes()
    file = tmp_path / name
    file.write_bytes(data)
    plain = CSV[name](file)
    bom = b"\xef\xbb\xbf"
    for other in (bom + data, bom + bom + data, data.replace(b"\n", b"\r\n"), data + b"\n \n"):
        file.write_bytes(other)
        assert_same(CSV[name](file), plain)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(data))
    assert_same(JobTable.of(parents_inside=False, **{**vars(CSV[name](packed)), "source": str(file)}), plain)


@each_csv
def test_csv__broken_files_are_errors(name: str, fixtures: Path, tmp_path: Path) -> None:
    read, data = CSV[name], (fixtures / name).read_bytes()
    file, packed = tmp_path / name, tmp_path / f"{name}.gz"
    refused(read, file, "no such file")
    for empty in (b"", b"\xef\xbb\xbf", b"\n\n"):
        file.write_bytes(empty)
        refused(read, file, "the file is empty")
    for broken in (gzip.compress(data)[:-20], b"\x1f\x8b" + data, data, b""):
        packed.write_bytes(broken)
        refused(read, packed, r"not a whole gzip file \(.*\)\. Download or compress it again|the file is empty")
    file.write_bytes(data + b"one cell\n")
    refused(read, file, r"line \d+: a row must have \d+ cells as line 1 has; got 1")
    file.write_bytes(data.decode().encode("utf-16"))
    refused(read, file, "UTF-16 text. Save the file as UTF-8")
    file.write_bytes(b"id,name\n1,2\n")
    refused(read, file, r"column .* is missing; the file has \['id', 'name'\]")
    file.write_bytes(b"x" * 200_000)
    refused(read, file, "the first line has 100000 characters")
    first, _, rest = data.partition(b"\n")
    file.write_bytes(first + b"\n" + b'"' + b"y" * 200_000)
    refused(read, file, "line 2: not a table of text .* Look for a quote that is never closed")
    file.write_bytes(rest)
    refused(read, file, r"column .* is missing")
    with pytest.raises(DataError, match=r"cannot be read|no such file"):
        read(tmp_path)


@each_csv
def test_csv__a_column_twice_is_an_error(name: str, fixtures: Path, tmp_path: Path) -> None:
    file = tmp_path / name
    lines = (fixtures / name).read_text(encoding="utf-8").splitlines()
    separator = ";" if ";" in lines[0] else ","
    used = {"pge": "id", "nged": "Region", "ukpn": "powercuttype"}.get(name.split("_")[0], "NumOcorrencia")
    used = "DatFimInterrupcao" if "interrupcoes" in name else used
    file.write_text("\n".join([lines[0] + separator + used.upper(), *(f"{x}{separator}1" for x in lines[1:])]), "utf-8")
    refused(CSV[name], file, f"the columns '{used}' and '{used.upper()}' both hold")


@each_csv
def test_csv__the_header_alone_is_a_table_without_rows(name: str, fixtures: Path, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text((fixtures / name).read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    jobs = CSV[name](file)
    assert (len(jobs), jobs.faults()) == (0, {})


HOSTILE = [
    "[/]",
    "[bold red]x",
    "=cmd()|'/C calc'!A0",
    "@SUM(1)",
    "\x00",
    "\x1b[2J",
    "\u0663",
    "\uff11\uff12",
    "1e308",
    "1e309",
    "-1",
]
HOSTILE += [
    "nan",
    "inf",
    "9999-12-31T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "2024-02-30T00:00Z",
    "1_000",
    "0x10",
    "\u202e",
]
HOSTILE += [
    "99999999999999999999",
    "2024-01-01T00:00:00+99:99",
    "2024-13-01 00:00",
    "\ufeff",
    "a" * 5000,
    "\u2028",
    "{",
    "[]",
]


@each_csv
@pytest.mark.parametrize("cell", HOSTILE)
def test_csv__no_cell_is_silently_mended(name: str, cell: str, fixtures: Path, tmp_path: Path) -> None:
    """Each cell of a row in turn: what the table then holds is what the cell says, or unknown and flagged."""
    lines = (fixtures / name).read_text(encoding="utf-8").splitlines()
    separator = ";" if ";" in lines[0] else ","
    header = lines[0].split(separator)
    good = CSV[name](fixtures / name).take([0])
    cells = next(csv.reader([lines[1]], delimiter=separator))
    file = tmp_path / "hostile.csv"
    rows = [[*cells[:i], cell, *cells[i + 1 :]] for i in range(len(header))]
    quoted = [separator.join('"' + c.replace('"', '""') + '"' for c in row) for row in rows]
    file.write_text("\n".join([lines[0], *quoted]), encoding="utf-8")
    jobs = CSV[name](file)
    ignored = int(Fault.DOUBLE_ID | Fault.DOUBLE_ROW)
    for row in range(len(jobs)):
        changed = [
            c for c in vars(jobs) if c not in ("line", "source", "flags", "unread") and differs(jobs, row, good, c)
        ]
        lost = [c for c in changed if is_unknown(getattr(jobs, c)[row])]
        flagged = (int(jobs.flags[row]) & ~ignored) != (int(good.flags[0]) & ~ignored) or jobs.unread[row]
        blank = cell.strip().lower() in ("", "nan")
        assert not lost or flagged or blank, (header[row], cell, lost)
        assert np.isnan(jobs.customers[row]) or jobs.customers[row] <= 1e7


def differs(jobs: JobTable, row: int, good: JobTable, column: str) -> bool:
    a, b = getattr(jobs, column)[row], getattr(good, column)[0]
    return not (a == b or (is_unknown(a) and is_unknown(b)))


def is_unknown(value: object) -> bool:
    return value != value or value == "" or (isinstance(value, np.int8) and value == -1)


@each_json
def test_json__broken_files_are_errors(name: str, fixtures: Path, tmp_path: Path) -> None:
    read, text = JSON[name], (fixtures / name).read_text(encoding="utf-8")
    file = tmp_path / name
    refused(read, file, "no such file")
    for broken, message in (
        ("", "line 1, column 1: the file is empty"),
        (text[:-20], "not JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ('{"faults":' * 50_000, "nested too deep|not JSON"),
        ('[{"reference": "a", "reference": "b"}]', "key 'reference' stands twice in one object"),
        ('[{"reference": NaN}]', "NaN is no number in JSON"),
        ('[{"reference": -Infinity}]', "-Infinity is no number in JSON"),
        (f'[{{"customerCount": {"9" * 5000}}}]', "not JSON that can be read"),
        ("3", "must hold a list of JSON objects"),
        ("[1, 2]", "must hold a list of JSON objects"),
        ('{"a": []}', r"under one key of .*; got an object with the keys \['a'\]"),
        ('{"results": {}, "faults": 1}', "must hold a list|under one key"),
        ('[{"x": 1}]', "column .* is missing"),
    ):
        file.write_text(broken, encoding="utf-8")
        refused(read, file, message)
    file.write_bytes(text.encode("utf-16"))
    refused(read, file, "not UTF-8 text")
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(text.encode())[:-15])
    refused(read, packed, "not a whole gzip file")


@pytest.mark.filterwarnings("ignore:.*one page of several")
@each_json
def test_json__marks_lists_and_bare_lists(name: str, fixtures: Path, tmp_path: Path) -> None:
    text = (fixtures / name).read_text(encoding="utf-8")
    records = next(v for v in json.loads(text).values() if isinstance(v, list))
    plain = JSON[name](fixtures / name)
    file = tmp_path / name
    for other in (
        "\ufeff\ufeff" + text,
        json.dumps(records),
        json.dumps({"records": [{"fields": r} for r in records]}),
    ):
        if name.startswith("ssen") and '"fields"' in other:
            continue
        file.write_text(other, encoding="utf-8")
        np.testing.assert_array_equal(JSON[name](file).flags, plain.flags)
    file.write_text("[]")
    assert len(JSON[name](file)) == 0


@pytest.mark.filterwarnings("ignore:.*one page of several")
@each_json
@pytest.mark.parametrize(
    "value", [{"a": {"b": [1]}}, [], [[1]], True, 1e308, -1, 2.5, "\ud800", "[/]", "\u0663", 10**25]
)
def test_json__no_value_is_silently_mended(name: str, value: object, fixtures: Path, tmp_path: Path) -> None:
    whole = json.loads((fixtures / name).read_text(encoding="utf-8"))
    key = next(k for k, v in whole.items() if isinstance(v, list))
    record = whole[key][0]
    good = JSON[name](fixtures / name).take([0])
    file = tmp_path / name
    for field in record:
        whole[key] = [{**record, field: value}]
        file.write_text(json.dumps(whole), encoding="utf-8")
        jobs = JSON[name](file)
        held = [c for c in vars(jobs) if c not in ("line", "source", "flags", "unread") and differs(jobs, 0, good, c)]
        lost = [c for c in held if is_unknown(getattr(jobs, c)[0])]
        assert not lost or jobs.flags[0] != good.flags[0] or value == [], (field, value, lost)
        assert np.isnan(jobs.customers[0]) or jobs.customers[0] <= 1e7


@pytest.mark.parametrize("seen", ["9999-12-31T00:00-14:00", np.datetime64("9999-12-31"), "yesterday", 5, True])
def test_seen__a_time_that_cannot_be_is_named(fixtures: Path, seen: object) -> None:
    with pytest.raises(ValueError, match=r"seen must be (an ISO 8601 date or time|of a year 1900 to 2200)"):
        read_ssen(fixtures / "ssen_power_track.json", seen=seen)
    assert len(read_ssen(fixtures / "ssen_power_track.json", seen=np.datetime64("2024-12", "M")))


def test_object_in__a_cell_that_is_no_object_is_none() -> None:
    assert object_in('{"lat": 1, "lon": null}') == {"lat": 1, "lon": None}
    for cell in ('{"lat": 1, "lat": 2}', "{", "[1]", "", '{"a":' * 50_000, '{"a": ' + "9" * 5_000 + "}", "{1: 2}"):
        assert object_in(cell) is None


@each_csv
def test_csv__blank_lines_without_end_are_refused(
    name: str, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.MOST_BLANK == 2_000_000  # a spreadsheet has a million rows
    monkeypatch.setattr(files, "MOST_BLANK", 100)
    data = (fixtures / name).read_bytes()
    file = tmp_path / name
    plain = CSV[name](fixtures / name)
    for blank in (data + b"\n" * 100, b"\n" * 100 + data, data.replace(b"\n", b"\n" * 99)):
        file.write_bytes(blank)
        assert len(CSV[name](file)) == len(plain)
    for blank in (data + b"\n" * 102, b"\n" * 102 + data):
        file.write_bytes(blank)
        refused(CSV[name], file, r"too many blank lines one after the other\. Is it a table of text")
