"""Reading CSV and JSON files so that every complaint names file, line, value and cure."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.errors import DataError as DataError
from stormgym.envs.data.errors import Place
from stormgym.envs.data.names import NAME_RULE, meant, name_fault, shown
from stormgym.envs.data.number_marks import as_written_here, marks_thousands
from stormgym.envs.data.sizes import MAX_COLUMNS, MAX_LINES
from stormgym.envs.data.substitutes import now, with_values
from stormgym.envs.data.text_files import read_utf8, write_whole

BLANKS = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Cells (in lower case) that count as blank."""


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

    def fail(
        self, row: int, column: str, rule: str, cure: str, *, also: Iterable[int] = (), got: str | None = None
    ) -> NoReturn:
        """Raise a `DataError` about one cell.

        Args:
            row: of the cell.
            column: its name.
            rule: what it breaks.
            cure: what the message advises.
            also: later rows that break the same rule; the message leaves them out.
            got: what the cell says, in words; None shows it.
        """
        raise DataError(
            f"{self.source}, line {self.lines[row]}, column '{column}': {rule}; "
            f"got {shown(self.columns[column][row]) if got is None else got}. {cure}",
            place=Place(self.source, self.lines[row], column),
            rule=rule,
            more_lines=tuple(self.lines[r] for r in also),
        )

    def require(self, *names: str, cure: str = "") -> None:
        """Raise a `DataError` when columns are missing; it names all of them."""
        missing = [name for name in dict.fromkeys(names) if name not in self.columns]
        if missing:
            hint = meant(missing[0], self.columns)
            first = f"column '{missing[0]}' is missing"
            more = "".join(f", and so is '{name}'" for name in missing[1:])
            raise DataError(
                f"{self.source}: {first}{more}; the file has {shown(list(self.columns), 500)}. "
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
        blank = [row for row, cell in enumerate(self.columns[column]) if not cell]
        if blank:
            self.fail(blank[0], column, "a cell must not be blank", "Fill it or remove the row.", also=blank[1:])
        return self.columns[column]

    def is_numeric(self, column: str, *, throughout: bool = False) -> bool:
        """Whether a column holds at least one number; with `throughout`, nothing but numbers and blanks."""
        cells = [cell for cell in self.columns[column] if cell.lower() not in BLANKS]
        test = all if throughout else any
        return bool(cells) and test(_number(cell) is not None for cell in cells)

    def first(self, column: str, holds: Callable[[str], bool]) -> int | None:
        """The first row whose cell of a column holds to a rule; None where none does."""
        return next((row for row, cell in enumerate(self.columns[column]) if holds(cell)), None)

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
        wrong = []
        for row, cell in enumerate(self.columns[column]):
            value = _number(cell)
            if value is None and blank is not None and cell.lower() in BLANKS:
                out[row] = blank
                continue
            if value is None or not math.isfinite(value) or not valid(value):
                wrong.append(row)
                continue
            out[row] = value
        if wrong:
            written = as_written_here(self.columns[column][wrong[0]])
            self.fail(wrong[0], column, rule, f"{written} {cure}" if written else cure, also=wrong[1:])
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
                same = (r for r in range(row + 1, len(self)) if self.columns[column][r] == cell)
                self.fail(row, column, what, f"{meant(cell, names)}{cure}", also=same)
            out[row] = position[cell]
        return out

    def parents(self, column: str, ids: Sequence[str], what: str) -> Ints:
        """Return the position in `ids` of what each row hangs on, int64 `[R]`; -1 where the cell is blank.

        Args:
            column: its name.
            ids: one a row.
            what: a row is, for the messages.

        Raises:
            DataError: a cell is not among `ids`, or rows hang on each other in a circle.
        """
        position = {name: i for i, name in enumerate(ids)}
        out = np.full(len(self), -1, dtype=np.int64)
        for row, cell in enumerate(self.columns[column]):
            if not cell:
                continue
            if cell not in position:
                rule = f"a parent must be the id of another {what}"
                self.fail(row, column, rule, f"{meant(cell, ids)}Leave it blank for none.")
            out[row] = position[cell]
        circle = first_in_circle(out)
        if circle is not None:
            cure = "Leave the cell blank where a line begins."
            self.fail(circle, column, f"no {what} may hang on itself, over others or directly", cure)
        return out

    def unique_ids(self, column: str, what: str = "region") -> tuple[str, ...]:
        """Return the ids of a column, R of them.

        Raises:
            DataError: an id is blank, is no name, or stands twice.
        """
        seen: dict[str, int] = {}
        for row, name in enumerate(self.text(column)):
            fault = name_fault(name)
            if fault is not None:
                self.fail(row, column, f"{NAME_RULE}, and {fault}", "Rename it.")
            if name in seen:
                rule = f"each {what} needs an id of its own, but line {self.lines[seen[name]]} has it too"
                self.fail(row, column, rule, "Rename one or remove the double row.")
            seen[name] = row
        return tuple(seen)


def first_in_circle(parent: Ints) -> int | None:
    """An index that hangs on itself, over others or directly; None where `parent` `[N]` (-1 for none) is a forest."""
    state = np.zeros(parent.size, dtype=np.int64)  # 0 not seen, 1 on the way up, 2 leads to a head
    for start in range(parent.size):
        way = []
        at = start
        while at >= 0 and state[at] == 0:
            state[at] = 1
            way.append(at)
            at = int(parent[at])
        if at >= 0 and state[at] == 1:
            return at
        state[way] = 2
    return None


def _number(cell: str) -> float | None:
    """The number of a cell: ASCII digits without marks between them, else None."""
    if cell.lower() in BLANKS or "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def is_text(cell: str) -> bool:
    """Whether a cell is neither a number nor blank."""
    return cell.lower() not in BLANKS and _number(cell) is None


def is_odd_number(cell: str) -> bool:
    """Whether a cell is no number here but one elsewhere: with marks between thousands, or other digits than 0 to 9."""
    if not is_text(cell):
        return False
    if marks_thousands(cell):
        return True
    try:
        return not cell.isascii() and math.isfinite(float(cell))
    except ValueError:
        return False


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float holds; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV file (`.csv` or `.csv.gz`, UTF-8, comma-separated, names in the first line).

    Blank lines are skipped; line numbers stay those of the file.

    Raises:
        DataError: the file is missing, empty, too large (`stormgym.envs.data.sizes`), not UTF-8 or not
            comma-separated, has two columns of one name, or a row of the wrong length.

    Warns:
        UserWarning: the file begins with several byte-order marks.
    """
    substitutes = now()
    if substitutes is None:
        return _read_table(Path(path), frozenset())
    name = str(Path(path))
    if name not in substitutes.tables:
        substitutes.tables[name] = _read_table(Path(path), substitutes.skipped.get(name, frozenset()))
    return _with_cells(substitutes.tables[name], substitutes.cells.get(name, {}), substitutes.skipped.get(name, ()))


def _with_cells(table: Table, cells: dict[tuple[int, str], str], skipped: Collection[int]) -> Table:
    """A table with other texts in some cells, by (line, column), and without some lines."""
    columns = {name: list(texts) for name, texts in table.columns.items()} if cells else table.columns
    row = {line: r for r, line in enumerate(table.lines)} if cells else {}
    for (line, column), text in cells.items():
        if line in row:
            columns[column][row[line]] = text
    changed = Table(table.source, columns, table.lines)
    return changed.take(r for r, line in enumerate(table.lines) if line not in skipped) if skipped else changed


def _read_table(path: Path, skipped: Collection[int]) -> Table:
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(read_utf8(path)), encoding="utf-8", newline=""))
    lines_of = _lines_of(path, reader)
    _, cells = next(lines_of, (1, []))
    header = [name.strip() for name in cells]
    if not any(header):
        raise DataError(f"{path}: the file is empty. Its first line must name the columns.")
    _check_header(path, header)
    rows: list[list[str]] = []
    lines: list[int] = []
    odd: list[tuple[int, list[str]]] = []
    try:
        for start, cells in lines_of:
            if start in skipped or not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                odd.append((start, cells))
                continue
            rows.append([cell.strip() for cell in cells])
            lines.append(start)
    except DataError:
        if not odd:  # else what comes first in the file is told first
            raise
    if odd:
        _fail_for_cells(path, len(header), odd)
    if not rows:
        raise DataError(f"{path}: no rows below the column names. Give at least one.")
    columns = {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}
    return Table(str(path), columns, lines)


def _fail_for_cells(path: Path, n: int, odd: Sequence[tuple[int, list[str]]]) -> NoReturn:
    """Raise for rows, each as its line and its cells, that have others than `n` cells."""
    start, cells = odd[0]
    pairs = pairwise(cells) if len(cells) > n else iter(())
    split = next((f"{a},{b}" for a, b in pairs if a.strip().isdecimal() and b.isdecimal()), None)
    hint = "" if split is None else f", and write numbers with a point (is {split!r} one number?)"
    raise DataError(
        f"{path}, line {start}: a row must have {n} cells as line 1 has; got {len(cells)}. "
        f"Put quotes around a cell that holds a comma{hint}.",
        place=Place(str(path), start),
        rule="cells of a row",
        more_lines=tuple(line for line, _ in odd[1:]),
    )


def _lines_of(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The line on which each row of a file begins, and its cells."""
    last = 0
    try:
        for cells in reader:
            start, last = last + 1, reader.line_num
            if last > MAX_LINES:
                raise DataError(
                    f"{path}: a table must have at most {MAX_LINES:,} lines, blank ones among them. Cut it."
                )
            yield start, cells
    except csv.Error as error:
        if "field larger" in str(error):
            rule = f"a cell must have at most {csv.field_size_limit():,} characters (is a quote not closed?)"
            raise DataError(f"{path}, line {last + 1}: {rule}. Correct it.") from error
        raise DataError(f"{path}, line {last + 1}: no row of a table ({error}). Correct it.") from error


def _check_header(path: Path, header: list[str]) -> None:
    line = ",".join(header)
    for mark, what in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if line.count(mark) >= len(header):
            raise DataError(
                f"{path}, line 1: cells must be separated by commas, and these are by {what}; got {shown(line)}. "
                "Export it so, and numbers with a decimal point (in a spreadsheet: 'CSV UTF-8', English numbers)."
            )
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{path}, line 1: a table must have at most {MAX_COLUMNS:,} columns; got {len(header):,}.")
    double = next((name for name, n in Counter(header).items() if n > 1), None)
    if double is not None:
        raise DataError(f"{path}, line 1: column {shown(double)} stands twice. Rename one.")


def write_table(path: Path, columns: dict[str, Sequence[Any]]) -> None:
    """Write a CSV file whole or not at all; floats keep every digit, so that reading gives the same to the bit."""
    write_whole({path: table_text(columns)})


def table_text(columns: dict[str, Sequence[Any]]) -> str:
    """What `write_table` writes."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return file.getvalue()


def _cells(values: Sequence[Any]) -> list[Any]:
    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return [_cell(c) for c in cells]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return int(value) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value


def keys_once(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON as a dict, for `json.loads(..., object_pairs_hook=partial(keys_once, where))`.

    Raises:
        DataError: a key stands twice in it.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        double = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise DataError(f"{where}: key {shown(double)} stands twice in one object. Remove one.")
    return found


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file is missing, too large, is not JSON, holds no object, or a key twice in one object.
    """
    content = _read_json(Path(path))
    substitutes = now()
    if substitutes is None:
        return content
    substitutes.objects[str(Path(path))] = copy.deepcopy(content)
    return with_values(str(Path(path)), content, substitutes)


def _read_json(path: Path) -> dict[str, Any]:
    text = read_utf8(path).decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=partial(keys_once, str(path)))
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}). Correct the file."
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}: objects and lists nested hundreds deep. Write them flat.") from error
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DataError(f"{path}: half of a character, \\u{ord(half):04x}, in a text. Correct or remove it.") from error
    except DataError:
        raise
    except ValueError as error:  # of a number of more digits than Python takes
        raise DataError(f"{path}: a number of thousands of digits. Correct it.") from error
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
        with np.errstate(invalid="ignore"):  # of what no integer holds; the comparison below finds it
            out = np.array(array, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
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
    if out.dtype.kind == "i" and array.dtype.kind in "fu" and not np.array_equal(out, array):
        raise DataError(f"{name} must hold whole numbers; got {array[out != array][0]}.")
    out.setflags(write=False)
    return out
