"""Files of feeds as tables of text: CSV in the encodings and separators that publishers use, JSON lists of records."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from stormgym.envs.data.tables import DataError, Table, keys_once

Columns = Mapping[str, Sequence[str]]
"""Column names by what a reader calls them: all names under which a column has been seen."""


@dataclass(frozen=True, eq=False)
class Cells(Table):
    """A table of text whose columns have a reader's names.

    Attributes:
        names: what the file calls them.
    """

    names: Mapping[str, str] = field(default_factory=dict)


SEPARATORS = (",", ";", "\t")
MOST_JSON_BYTES = 512 * 2**20
"""A larger JSON file is refused: it has to be held in memory whole."""
MOST_BLANK = 2_000_000
"""Blank lines of a CSV file, one after the other; spreadsheets write up to a million below a table."""
MOST_HEADER = 100_000
"""Characters of the first line: a longer one names no columns."""
_TOO_BLANK = "too many blank lines one after the other. Is it a table of text? Remove them."
_BOM = "\ufeff"


def read_cells(
    path: str | os.PathLike[str],
    columns: Columns,
    *,
    needed: Collection[str] = (),
    encodings: Sequence[str] = ("utf-8",),
    keep: Callable[[Mapping[str, str]], bool] | None = None,
    strip: bool = True,
    strict: bool = False,
) -> Cells:
    """Read a CSV file (`.csv`, or compressed `.csv.gz`) as text, row by row.

    Names of columns are compared without regard to case, spaces, `_` and byte-order marks. The separator is the one of
    `SEPARATORS` that cuts the first line into most cells. Columns that nobody asked for are left out.

    Args:
        path: the file.
        columns: names of columns by what they are called here.
        needed: those that must be there.
        encodings: tried in this order; only Latin-1 takes every file.
        keep: whether a row is wanted, from its cells by the names here.
        strip: take white space off cells.
        strict: columns that are not asked for are an error.

    Raises:
        DataError: the file is missing, empty, cut off, in another encoding, lacks a column or has one twice, or a row
            has not as many cells as the first line.
    """
    file = Path(path)
    for encoding in encodings:
        try:
            return _read(file, columns, needed, encoding, keep, strip, strict)
        except UnicodeDecodeError as error:
            failed = error
    raise DataError(
        f"{file}: not {' or '.join(encodings)} text ({failed.reason} at byte {failed.start} of a piece). "
        "Save the file as UTF-8, or pass encoding."
    )


def _read(
    file: Path,
    columns: Columns,
    needed: Collection[str],
    encoding: str,
    keep: Callable[[Mapping[str, str]], bool] | None,
    strip: bool,
    strict: bool,
) -> Cells:
    with _opened(file) as raw:
        if raw.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DataError(f"{file}: UTF-16 text. Save the file as UTF-8.")
        stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
        first, before = _first_line(file, stream)
        separator = max(SEPARATORS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))))
        header = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
        place = _places(str(file), header, columns, needed, strict)
        reader = csv.reader(stream, delimiter=separator)
        rows, lines = _rows(file, reader, before, len(header), place, keep, strip)
    cells = zip(*rows, strict=True) if rows else ((),) * len(place)
    own = {name: list(column) for name, column in zip(place, cells, strict=True)}
    return Cells(str(file), own, lines, {name: header[i] for name, i in place.items()})


def _first_line(file: Path, stream: Any) -> tuple[str, int]:
    """The first line that is not blank, without byte-order marks, and its number."""
    number = 1
    line = stream.readline(MOST_HEADER)
    while line and not line.strip(_BOM + "\r\n \t"):
        if number > MOST_BLANK:
            raise DataError(f"{file}: {_TOO_BLANK}")
        number, line = number + 1, stream.readline(MOST_HEADER)
    if not line:
        raise DataError(f"{file}: the file is empty. Its first line must name the columns.")
    if len(line) >= MOST_HEADER:
        raise DataError(f"{file}: the first line has {MOST_HEADER} characters or more. Is it a table of text?")
    return line.lstrip(_BOM), number


def _rows(
    file: Path,
    reader: Any,
    before: int,
    width: int,
    place: Mapping[str, int],
    keep: Callable[[Mapping[str, str]], bool] | None,
    strip: bool,
) -> tuple[list[tuple[str, ...]], list[int]]:
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    at = list(place.values())
    last = before
    n_blank = 0
    for cells in _checked(file, reader):
        line, last = last + 1, before + reader.line_num
        if not any(cell.strip() for cell in cells):
            n_blank += 1  # one after the other
            if n_blank > MOST_BLANK:
                raise DataError(f"{file}, line {line}: {_TOO_BLANK}")
            continue
        n_blank = 0
        if len(cells) != width:
            raise DataError(
                f"{file}, line {line}: a row must have {width} cells as line 1 has; got {len(cells)}. "
                "Put quotes around a cell that holds the separator, and download a file that was cut off again."
            )
        row = tuple(cells[i].strip() if strip else cells[i] for i in at)
        if keep is None or keep(dict(zip(place, row, strict=True))):
            rows.append(row)
            lines.append(line)
    return rows, lines


def _checked(file: Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num + 1}: not a table of text ({error}). Look for a quote that is never closed."
        ) from error


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """The bytes of a file, decompressed if its name ends in `.gz`."""
    if not file.is_file():
        raise DataError(f"{file}: no such file. Give the path of an existing file.")
    try:
        with file.open("rb") as bare:
            raw: Any = gzip.GzipFile(fileobj=bare) if file.suffix == ".gz" else bare
            yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{file}: not a whole gzip file ({error}). Download or compress it again.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error}). Check the path and who may read it.") from error


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _places(
    source: str, header: Sequence[str], columns: Columns, needed: Collection[str], strict: bool
) -> dict[str, int]:
    """Where each wanted column stands."""
    place: dict[str, int] = {}
    wanted = {_key(name): ours for ours, names in columns.items() for name in names}
    for i, name in enumerate(header):
        ours = wanted.get(_key(name))
        if ours is None:
            if strict:
                Table(source, {known: [] for known in columns}, []).require(
                    name, cure="Rename the column or leave it out."
                )
            continue
        if ours in place:
            raise DataError(
                f"{source}: the columns {header[place[ours]]!r} and {name!r} both hold {ours!r}. Leave one out."
            )
        place[ours] = i
    for ours in needed:
        if ours not in place:
            names = " or ".join(repr(name) for name in columns[ours])
            raise DataError(
                f"{source}: column {names} is missing; the file has {list(header)[:40]}. "
                "Is it a file of this feed? Add the column, or rename the one that holds it."
            )
    return place


def read_json_records(
    path: str | os.PathLike[str], columns: Columns, *, needed: Collection[str] = (), lists: Sequence[str] = ()
) -> Cells:
    """Read a JSON file that holds a list of records, as a table of text.

    A record lacks a key, or holds null: the cell is blank. A list of texts and numbers becomes one text with `;`; what
    is nested deeper becomes its JSON. Where a record is `{"fields": {...}}` its fields are read.

    Args:
        path: `.json` or `.json.gz`, UTF-8.
        columns: names of keys by what they are called here.
        needed: those that at least one record must have.
        lists: keys under which the list may stand in an object.

    Raises:
        DataError: the file is missing, cut off, not JSON, nested too deep, has a key twice in one object, or holds no
            list of records.

    Warns:
        UserWarning: the object says that there are more records than the file holds.
    """
    file = Path(path)
    value = _json(file)
    if isinstance(value, dict):
        names = [key for key in value if _key(key) in {_key(name) for name in lists}]
        if len(names) != 1:
            raise DataError(
                f"{file}: the list of records must stand alone or under one key of {list(lists)}; "
                f"got an object with the keys {list(value)[:20]}. Is it a file of this feed?"
            )
        _warn_of_a_part(file, value, value[names[0]])
        value = value[names[0]]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise DataError(f"{file}: the file must hold a list of JSON objects. Is it a file of this feed?")
    records = [r["fields"] if isinstance(r.get("fields"), dict) else r for r in value]
    header = list(dict.fromkeys(key for record in records for key in record))
    place = _places(str(file), header, columns, needed if records else (), False)
    cells = {ours: [_cell(record.get(header[i])) for record in records] for ours, i in place.items()}
    theirs = {ours: header[i] for ours, i in place.items()}
    return Cells(str(file), cells, list(range(1, len(records) + 1)), theirs)


def _json(file: Path) -> Any:
    with _opened(file) as raw:
        data = raw.read(MOST_JSON_BYTES + 1)
    if len(data) > MOST_JSON_BYTES:
        raise DataError(f"{file}: a JSON file must be below {MOST_JSON_BYTES // 2**20} MiB. Export CSV.")

    def no_number(word: str) -> Any:
        raise DataError(f"{file}: {word} is no number in JSON. Write null for what is unknown.")

    try:
        text = data.decode("utf-8").lstrip(_BOM)
        return json.loads(text, object_pairs_hook=partial(keys_once, str(file)), parse_constant=no_number)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text (byte {error.start}). Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        rule = "the file is empty" if not data.strip() else f"not JSON ({error.msg})"
        raise DataError(f"{file}, line {error.lineno}, column {error.colno}: {rule}. Download it again.") from error
    except RecursionError as error:
        raise DataError(f"{file}: objects are nested too deep. Is it a file of this feed?") from error
    except DataError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{file}: not JSON that can be read ({error}). Correct the file.") from error


def object_in(cell: str) -> dict[str, Any] | None:
    """The JSON object that a cell holds, if it holds one and no key twice; else None."""
    if not cell.startswith("{"):
        return None

    try:
        found = json.loads(cell, object_pairs_hook=partial(keys_once, "a cell"))
    except (ValueError, RecursionError):
        return None  # a text that only begins like an object
    return found if isinstance(found, dict) else None


def _warn_of_a_part(file: Path, value: Mapping[str, Any], records: Any) -> None:
    total = next((v for k, v in value.items() if _key(k) in ("totalcount", "nhits")), None)
    if isinstance(total, int) and isinstance(records, list) and total > len(records):
        warnings.warn(
            f"{file} holds {len(records)} of {total} records: it is one page of several. Download the export of all.",
            stacklevel=4,
        )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in value):
        return ";".join(_cell(v) for v in value)
    return json.dumps(value, ensure_ascii=False)
