"""The columns of a `JobTable` as CSV, as a pandas frame and as Parquet, and back."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Ints
from stormgym.envs.data.feeds.columns import COLUMNS, NEEDED, column_of, kind_of
from stormgym.envs.data.feeds.faults import fault_words, faults_of
from stormgym.envs.data.feeds.files import read_cells
from stormgym.envs.data.feeds.sheet import Area, Sheet
from stormgym.envs.data.parquet_files import read_parquet_frame
from stormgym.envs.data.tables import DataError
from stormgym.predictors.extras import require

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, NDArray[Any]]
"""Those of a `JobTable`, by name."""
_PIECE = 50_000
_WORLD = Area(-90.0, 90.0, -180.0, 180.0)


def write_csv(jobs: Columns, path: str | os.PathLike[str]) -> None:
    """Write every column as text: times as ISO 8601 with Z, numbers with all their digits, flags by name."""
    file = Path(path)
    opened: Any = gzip.GzipFile(file, "wb", mtime=0) if file.suffix == ".gz" else file.open("wb")
    with opened as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for first in range(0, len(jobs["job_id"]), _PIECE):
            rows = slice(first, first + _PIECE)
            writer.writerows(zip(*(_written(name, jobs[name][rows]) for name in COLUMNS), strict=True))


def _written(name: str, values: NDArray[Any]) -> list[str]:
    if name == "flags":
        return [fault_words(flags) for flags in values.tolist()]
    if kind_of(name) == "time":
        return ["" if text == "NaT" else f"{text}Z" for text in np.datetime_as_string(values).tolist()]
    if kind_of(name) == "number":
        return ["" if np.isnan(v) else repr(v) for v in values.tolist()]
    return [str(v) for v in values.tolist()]


def read_csv(path: str | os.PathLike[str], tz: str | None) -> dict[str, Any]:
    """Columns of a CSV file in the table's own form; cells that cannot be read are flagged.

    Raises:
        DataError: a column is missing or unknown, a flag has no such name, or the file is no table.
    """
    table = read_cells(path, {name: (name,) for name in COLUMNS}, needed=NEEDED, strip=False, strict=True)
    sheet = Sheet(table, tz=tz)
    found: dict[str, Any] = {}
    if {"latitude", "longitude"} <= set(table.columns):
        found["latitude"], found["longitude"] = sheet.places("latitude", "longitude", _WORLD)
    for name in table.columns:
        if name not in found:
            found[name] = _read_column(sheet, name)
    new = np.array(sheet.unread(), dtype=object)
    old = found.get("unread", np.full(len(table), "", dtype=object))
    found["unread"] = np.array(["; ".join(filter(None, pair)) for pair in zip(old, new, strict=True)], dtype=object)
    found["flags"] = found.get("flags", 0) | sheet.flags
    return {"source": table.source, "line": np.array(table.lines, dtype=np.int64), "zone": tz or ""} | found


def _read_column(sheet: Sheet, name: str) -> NDArray[Any]:
    kind = kind_of(name)
    if kind == "text":
        return sheet.texts(name)
    if kind == "time":
        return sheet.times(name)
    if kind == "number":
        return sheet.counts(name) if name.endswith("customers") else sheet.numbers(name)
    if name == "flags":
        return _bits(sheet.table.source, sheet.cells(name))
    rule = "a cell must be a whole number"
    return sheet.table.numbers(name, rule=rule, valid=_is_whole, blank=-1.0).astype(np.int64)


def _is_whole(value: float) -> bool:
    return value.is_integer() and abs(value) < 2.0**53


def _bits(source: str, cells: Iterable[str]) -> Ints:
    found = []
    for row, words in enumerate(cells):
        try:
            found.append(faults_of(words))
        except KeyError as error:
            raise DataError(
                f"{source}, row {row + 1}, column 'flags': {str(error).lower()} is no fault's name; got {words!r}. "
                "Leave the column out: flags are found again."
            ) from error
    return np.array(found, dtype=np.int64)


def frame_of(jobs: Columns) -> pd.DataFrame:
    """The table as a pandas frame: times with the zone UTC, flags by name."""
    require("a frame of jobs", "pandas", "parquet")
    import pandas as pd

    frame = pd.DataFrame({name: jobs[name] for name in COLUMNS})
    for name in COLUMNS:
        if kind_of(name) == "time":
            frame[name] = frame[name].dt.tz_localize("UTC")
    frame["flags"] = [fault_words(flags) for flags in jobs["flags"].tolist()]
    return frame


def write_parquet(jobs: Columns, path: str | os.PathLike[str]) -> None:
    """Write `frame_of`."""
    require("Parquet", ["pandas", "pyarrow"], "parquet")
    frame_of(jobs).to_parquet(path, index=False)


def read_parquet(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Columns of a Parquet file that `write_parquet` wrote.

    Raises:
        DataError: the file is missing, is no Parquet, or has columns of other names or types.
    """
    require("Parquet", ["pandas", "pyarrow"], "parquet")
    import pandas as pd

    file = Path(path)
    frame = read_parquet_frame(file)
    odd = sorted(set(map(str, frame.columns)) ^ set(COLUMNS))
    if odd:
        raise DataError(f"{file}: the columns must be those of a JobTable; {odd[0]!r} is missing or unknown.")
    found: dict[str, Any] = {}
    for name in COLUMNS:
        column = frame[name]
        if kind_of(name) == "time":
            if not isinstance(column.dtype, pd.DatetimeTZDtype):
                raise DataError(f"{file}, column {name!r}: must hold times with a zone; got {column.dtype}.")
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        found[name] = column.to_numpy()
    flags = frame["flags"].tolist()
    if not all(isinstance(words, str) for words in flags):
        raise DataError(
            f"{file}, column 'flags': must hold names of faults; got {frame['flags'].dtype}. Write it again."
        )
    try:
        columns = {name: column_of(name, values, len(frame)) for name, values in found.items() if name != "flags"}
    except (TypeError, ValueError, OverflowError) as error:  # DataError is one
        raise DataError(f"{file}: {str(error)[:300]}") from error
    return columns | {"flags": _bits(str(file), flags)}
