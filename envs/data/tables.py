"""Reading CSV and JSON files so that every complaint names file, line, value and cure."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Floats, Ints

BLANKS = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Cells (in lower case) that count as blank."""


class DataError(ValueError):
    """Input data break a rule; the message names the place, the value, the rule and the cure."""


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file as text: R rows, each with the line it stands on in the file.

    Attributes:
        source: name of the file, for messages.
        columns: text of each column, R cells, stripped of white space.
        lines: line number of each row in the file (the header is line 1).
    """

    source: str
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def fail(self, row: int, column: str, rule: str, cure: str) -> NoReturn:
        """Raise a `DataError` about one cell."""
        raise DataError(
            f"{self.source}, line {self.lines[row]}, column '{column}': {rule}; "
            f"got {self.columns[column][row]!r}. {cure}"
        )

    def require(self, *names: str, cure: str = "") -> None:
        """Raise a `DataError` when a column is missing."""
        for name in names:
            if name not in self.columns:
                close = difflib.get_close_matches(name, self.columns, n=1)
                hint = f"Did you mean '{close[0]}'? " if close else ""
                raise DataError(
                    f"{self.source}: column '{name}' is missing; the file has {list(self.columns)}. "
                    f"{hint}{cure or 'Add the column, or rename the one that holds it.'}"
                )

    def take(self, rows: Iterable[int]) -> Table:
        """Return a table of the given rows, in that order."""
        rows = [int(r) for r in rows]
        columns = {name: [cells[r] for r in rows] for name, cells in self.columns.items()}
        return Table(self.source, columns, [self.lines[r] for r in rows])

    def text(self, column: str) -> list[str]:
        """Return the cells of a column that may not be blank."""
        self.require(column)
        for row, cell in enumerate(self.columns[column]):
            if not cell:
                self.fail(row, column, "a cell must not be blank", "Fill it or remove the row.")
        return self.columns[column]

    def is_numeric(self, column: str, *, throughout: bool = False) -> bool:
        """Whether a column holds at least one number; with `throughout`, nothing but numbers and blanks."""
        cells = [cell for cell in self.columns[column] if cell.lower() not in BLANKS]
        test = all if throughout else any
        return bool(cells) and test(_number(cell) is not None for cell in cells)

    def numbers(
        self,
        column: str,
        *,
        rule: str = "a cell must be a finite number",
        valid: Callable[[float], bool] = math.isfinite,
        blank: float | None = None,
        cure: str = "Correct the cell or remove the row.",
    ) -> Floats:
        """Return a column as float64 `[R]`.

        Args:
            column: its name.
            rule: the rule in words, for the message.
            valid: the rule as a function.
            blank: value of a blank cell; None makes a blank cell an error.
            cure: what the message advises.

        Raises:
            DataError: a cell is no number, blank, or breaks the rule.
        """
        self.require(column)
        out = np.empty(len(self))
        for row, cell in enumerate(self.columns[column]):
            value = _number(cell)
            if value is None and blank is not None and cell.lower() in BLANKS:
                out[row] = blank
                continue
            if value is None or not math.isfinite(value) or not valid(value):
                self.fail(row, column, rule, cure)
            out[row] = value
        return out

    def index(self, column: str, names: Sequence[str], *, what: str, cure: str) -> Ints:
        """Return the position of each cell of a column in `names`, int64 `[R]`.

        Raises:
            DataError: a cell is not among `names`.
        """
        position = {name: i for i, name in enumerate(names)}
        out = np.empty(len(self), dtype=np.int64)
        for row, cell in enumerate(self.text(column)):
            if cell not in position:
                close = difflib.get_close_matches(cell, names, n=1)
                self.fail(row, column, what, f"Did you mean {close[0]!r}? {cure}" if close else cure)
            out[row] = position[cell]
        return out

    def unique_ids(self, column: str) -> tuple[str, ...]:
        """Return the ids of a column, R of them.

        Raises:
            DataError: an id is blank or stands twice.
        """
        seen: dict[str, int] = {}
        for row, name in enumerate(self.text(column)):
            if name in seen:
                rule = f"each region needs an id of its own, but line {self.lines[seen[name]]} has it too"
                self.fail(row, column, rule, "Rename one or remove the double row.")
            seen[name] = row
        return tuple(seen)


def _number(cell: str) -> float | None:
    if cell.lower() in BLANKS:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save the file as UTF-8.") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}). Compress it again.") from error


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV file (`.csv` or `.csv.gz`, UTF-8, comma-separated, names in the first line).

    Blank lines are skipped; line numbers stay those of the file.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or not comma-separated, has two columns of one name,
            or a row of the wrong length.
    """
    path = Path(path)
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise DataError(f"{path}: the file is empty. Its first line must name the columns.")
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise DataError(f"{path}, line 1: cells must be separated by commas; got {header[0]!r}. Export it so.")
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path}, line 1: column {name!r} stands twice. Rename one.")
    rows: list[list[str]] = []
    lines: list[int] = []
    last = reader.line_num
    for cells in reader:
        start, last = last + 1, reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {start}: a row must have {len(header)} cells as line 1 has; got {len(cells)}. "
                "Put quotes around a cell that holds a comma."
            )
        rows.append([cell.strip() for cell in cells])
        lines.append(start)
    if not rows:
        raise DataError(f"{path}: no rows below the column names. Give at least one.")
    columns = {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}
    return Table(str(path), columns, lines)


def write_table(path: Path, columns: dict[str, Sequence[Any]]) -> None:
    """Write a CSV file; floats keep every digit, so that reading gives the same numbers to the bit."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))


def _cells(values: Sequence[Any]) -> list[Any]:
    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return [_cell(c) for c in cells]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return int(value) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file is missing, is not JSON, or holds no object.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}). Correct the file."
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: the file must hold a JSON object {{...}}; got {type(value).__name__}.")
    return value


def set_frozen(record: object, **values: Any) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def frozen_array(values: ArrayLike, dtype: Any, shape: tuple[int | None, ...], name: str) -> NDArray[Any]:
    """Return a read-only copy of an array with the given type and shape (None: any length).

    Raises:
        DataError: wrong type, shape, or a value that is not finite.
    """
    try:
        array = np.asarray(values)
        out = np.array(array, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be an array of {np.dtype(dtype)}; {error}.") from error
    fits = out.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, out.shape, strict=True))
    if not fits:
        want = ", ".join("any" if n is None else str(n) for n in shape)
        raise DataError(f"{name} must have shape [{want}]; got {list(out.shape)}.")
    if out.dtype.kind == "f":
        out += 0.0  # -0.0 becomes 0.0, as in a file
    if out.dtype.kind in "fM" and not np.isfinite(out).all():
        where = np.argwhere(~np.isfinite(out))[0].tolist()
        raise DataError(f"{name} must be finite; got {out[tuple(where)]} at {where}. Replace it by a number.")
    if out.dtype.kind == "i" and array.dtype.kind == "f" and not np.array_equal(out, array):
        raise DataError(f"{name} must hold whole numbers; got {array[out != array][0]}.")
    out.setflags(write=False)
    return out
