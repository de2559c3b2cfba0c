"""Files of customers out (csv, csv.gz, parquet) as checked rows: counties, counts, times in UTC, or a `DataError`."""

from __future__ import annotations

import csv
import gzip
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from datetime import date
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stormgym.envs.data.parquet_files import read_parquet_frame
from stormgym.envs.data.tables import DataError
from stormgym.envs.data.times import YEARS, parse_moment, zone
from stormgym.predictors.extras import is_installed, require

if TYPE_CHECKING:
    import pandas as pd

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
COUNTS = ("customers_out", "sum")
"""Names of the column of counts."""
MOST_CUSTOMERS = 1e9
"""Of one county, and out in it; a larger number is an error of the file."""
MOST_INTERVAL_MIN = 7 * 24 * 60
MOST_HEADER = 100_000
"""Characters of the first line: a longer one names no columns."""
_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M")
_NOW = ("now", "today")
"""What pandas takes for the time of reading."""
_CHUNK = 2_000_000


def check_interval(interval_min: Any) -> int:
    """Minutes between times as a whole number; raise `ValueError` unless it is one from 1 to `MOST_INTERVAL_MIN`."""
    number = isinstance(interval_min, Real) and not isinstance(interval_min, bool)
    if not number or not 1 <= interval_min <= MOST_INTERVAL_MIN or interval_min != int(interval_min):
        raise ValueError(
            f"interval_min must be a whole number of minutes from 1 to {MOST_INTERVAL_MIN}; got {interval_min!r}. "
            "EAGLE-I's are 15"
        )
    return int(interval_min)


def moment_utc(value: Any, name: str) -> np.datetime64 | None:
    """A limit of time as UTC: ISO 8601 (UTC without an offset), a date, a time of Python, NumPy or pandas, or None.

    Raises:
        ValueError: anything else.
    """
    if value is None:
        return None
    value = value.astype("M8[s]") if isinstance(value, np.datetime64) else value
    text = str(value) if isinstance(value, date | np.datetime64) else value
    return np.datetime64(parse_moment(text, "UTC", name), "s")


def read_rows(
    files: Files,
    county_column: str,
    time_column: str,
    tz: str,
    *,
    states: Sequence[str] = (),
    counties: Sequence[str] = (),
    since: Any = None,
    until: Any = None,
) -> tuple[pd.DataFrame, str]:
    """Rows of the files with the count in `customers_out` and times in UTC without a zone, and what to call them.

    Args:
        files, states, counties, since, until: as of `read_eaglei`.
        county_column, time_column, tz: as of `read_outage_counts`.

    Raises:
        DataError: a missing file or column, one that cannot be read, or a cell that breaks a rule.
        ValueError: an argument that does not fit.

    Warns:
        UserWarning: a file has no rows.
    """
    require("a record of customers out", "pandas", "parquet")
    import pandas as pd

    for name, names in (("states", states), ("counties", counties)):
        if isinstance(names, str):
            raise ValueError(f"{name} must be a list of them; got the text {names!r}. Write [{names!r}]")
    if len({county_column, time_column, *COUNTS}) < 2 + len(COUNTS):
        raise ValueError(
            f"county_column and time_column must be two columns beside {' or '.join(COUNTS)}; got {county_column!r} "
            f"and {time_column!r}"
        )
    zone(tz)
    first, last = moment_utc(since, "since"), moment_utc(until, "until")
    paths = [Path(f) for f in ([files] if isinstance(files, str | os.PathLike) else files)]
    if not paths:
        raise ValueError("files must name at least one file; got none")
    wanted = {str(code).zfill(5) for code in counties}
    needed = (county_column, time_column, *(("state",) if states else ()))
    parts = []
    for path in paths:
        n_rows = 0
        for piece in _pieces(path, needed):
            n_rows += len(piece)
            if states:
                piece = piece[piece["state"].isin(list(states))]
            if wanted:
                piece = piece[fips_of(piece[county_column]).isin(wanted)]
            parts.append(_checked(piece, county_column, time_column, tz, path, first, last))
        if not n_rows:
            warnings.warn(f"{path} has no rows. Is the file complete?", stacklevel=3)
    source = paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    frame = pd.concat(parts, ignore_index=True)
    if frame.empty:
        raise DataError(
            f"{source}: no row is left. Check states, counties and times: names of states, FIPS codes of counties, UTC."
        )
    return frame, source


def _checked(
    piece: pd.DataFrame,
    county_column: str,
    time_column: str,
    tz: str,
    path: Path,
    since: np.datetime64 | None,
    until: np.datetime64 | None,
) -> pd.DataFrame:
    """The columns that matter, of rows from `since` to before `until`."""
    count = next(name for name in COUNTS if name in piece)
    piece = piece.assign(**{time_column: _times(piece[time_column], tz, str(path))})
    if since is not None:
        piece = piece[piece[time_column] >= since]
    if until is not None:
        piece = piece[piece[time_column] < until]
    blank = piece[county_column].isna()
    if blank.any():
        raise DataError(f"{path}, row {_row(blank)}, column '{county_column}': blank. Fill it or remove the row.")
    columns = {"customers_out": numbers(piece[count], path, "a count of customers")}
    if "total_customers" in piece:
        columns["total_customers"] = numbers(piece["total_customers"], path, "total_customers")
    if "observed" in piece:
        columns["observed"] = _seen(piece["observed"], path)
    return piece[[county_column, time_column]].assign(**columns)


def numbers(cells: Any, path: Path, what: str, most: float = MOST_CUSTOMERS) -> Any:
    """A column of numbers from 0 to `most`, NaN where blank.

    Raises:
        DataError: another cell.
    """
    import pandas as pd

    try:
        found = pd.to_numeric(cells, errors="coerce")
        truth = cells.map(lambda v: isinstance(v, bool | np.bool_)) if cells.dtype in (object, bool) else found != found
        bad = (found.isna() & cells.notna()) | (found < 0) | (found > most) | (truth & cells.notna())
    except (TypeError, ValueError, OverflowError):  # lists and the like, in Parquet
        bad = cells.notna()
        found = pd.Series(np.nan, index=cells.index)
    if bad.any():
        raise DataError(
            f"{path}: {what} must be a number of at least 0 or blank, and at most {most:,.0f}; got "
            f"'{str(cells[bad].iloc[0])[:80]}' in row {_row(bad)}. Correct the cell."
        )
    return found


def _seen(cells: Any, path: Path) -> Any:
    """A column that says whether a count was observed: 0 or 1, false or true; NaN where blank."""
    if cells.dtype in (object, bool):
        cells = cells.map({True: 1.0, False: 0.0}).where(cells.isin([True, False]), cells)
    return numbers(cells, path, "observed", most=1.0)


def _row(bad: Any) -> int:
    """Line of the first row of a mask in a file whose line 1 names the columns and which has no blank lines."""
    return int(bad.index[bad.to_numpy()][0]) + 2


def _pieces(path: Path, needed: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The file piece by piece, each with the columns that are needed."""
    if path.suffix == ".parquet":
        if not is_installed("pyarrow"):
            raise DataError(f'{path}: parquet needs pyarrow; pip install "stormgym[parquet]", or export CSV.')
        yield _with_columns(read_parquet_frame(path), needed, path)
        return
    for piece in csv_pieces(path, "fips_code"):
        yield _with_columns(piece, needed, path)


def csv_pieces(path: Path, code_column: str) -> Iterator[pd.DataFrame]:
    """A CSV file piece by piece; cells of `code_column` are texts.

    Raises:
        DataError: the file is missing, empty, cut off, no UTF-8, no table, or has a column twice.
    """
    import pandas as pd

    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    _check_head(path)
    try:
        with pd.read_csv(
            path, dtype={code_column: str}, encoding="utf-8-sig", chunksize=_CHUNK, index_col=False
        ) as reader:
            while True:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the first line
                    warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # every cell is checked
                    piece = next(reader, None)
                if piece is None:
                    return
                yield piece
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}). Save the file as UTF-8.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}). Download or compress it again.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, OverflowError, ValueError) as error:
        raise DataError(
            f"{path}: not a table of text in which every row has as many cells as the first line ({str(error)[:200]}). "
            "Look for a quote that is never closed and for cells with commas, and download a cut file again."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Check the path and who may read it.") from error


def _check_head(path: Path) -> None:
    """Raise `DataError` unless the first line of a CSV file names columns, each once."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            head = file.readline(MOST_HEADER)
            while head in (b"\n", b"\r\n") and file.tell() < MOST_HEADER:
                head = file.readline(MOST_HEADER)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}). Download or compress it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}). Check the path and who may read it.") from error
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: UTF-16 text. Save the file as UTF-8.")
    if head.startswith((b"PAR1", b"\x1f\x8b", b"PK\x03\x04")) or b"\x00" in head:
        raise DataError(f"{path}: not a table of text. Name it as what it is (.parquet, .csv.gz), or export CSV.")
    head = next((part for part in head.split(b"\r") if part.strip()), b"")  # lines may end so
    try:
        line = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save the file as UTF-8.") from error
    if not line.strip():
        raise DataError(f"{path}: the file is empty. Its first line must name the columns.")
    if len(head) >= MOST_HEADER:
        raise DataError(f"{path}: the first line has {MOST_HEADER} characters or more. Is it a table of text?")
    names = [name.strip() for name in next(csv.reader([line]))]
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise DataError(f"{path}, line 1: cells must be separated by commas; got {names[0][:80]!r}. Export it so.")
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"{path}, line 1: column {name!r} stands twice. Rename one.")


def _with_columns(piece: pd.DataFrame, needed: Sequence[str], path: Path) -> pd.DataFrame:
    """The piece with stripped names, among them all that are needed and one of `COUNTS`."""
    piece.columns = [str(name).strip() for name in piece.columns]
    for name in needed:
        if name not in piece:
            raise DataError(f"{path}: column '{name}' is missing; the file has {list(piece.columns)[:40]}.")
    if not any(name in piece for name in COUNTS):
        raise DataError(f"{path}: a column {' or '.join(COUNTS)} is missing; it has {list(piece.columns)[:40]}.")
    for name in (*needed, *COUNTS, "total_customers", "observed"):
        if list(piece.columns).count(name) > 1:
            raise DataError(f"{path}: column {name!r} stands twice. Rename one.")
    return piece


def fips_of(codes: Any) -> Any:
    """Five digits, whatever the file made of them."""
    return codes.astype(str).str.strip().str.removesuffix(".0").str.zfill(5)


def check_fips(codes: Any, source: str) -> Any:
    """The codes; raise `DataError` where one has not five digits."""
    odd = ~codes.str.fullmatch("[0-9]{5}")
    if odd.any():
        raise DataError(
            f"{source}: a FIPS code must have five digits, of which leading zeros may be lost; got "
            f"{codes[odd].iloc[0][:80]!r}. Correct the cell."
        )
    return codes


def _times(texts: Any, tz: str, source: str) -> Any:
    """UTC times without a zone."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(texts):
        texts = _parsed(texts, source)
    elif texts.isna().any():
        raise DataError(f"{source}, row {_row(texts.isna())}: a time must not be blank. Fill it or remove the row.")
    years = texts.dt.year
    odd = (years < YEARS[0]) | (years > YEARS[1])
    if odd.any():
        raise DataError(
            f"{source}, row {_row(odd)}: a time must be of a year {YEARS[0]} to {YEARS[1]}; got {texts[odd].iloc[0]}. "
            "Correct the cell or remove the row."
        )
    if texts.dt.tz is not None:
        return texts.dt.tz_convert("UTC").dt.tz_localize(None)
    if tz != "UTC":
        local = texts.dt.tz_localize(zone(tz), ambiguous="NaT", nonexistent="shift_forward")
        if local.isna().any():
            raise DataError(
                f"{source}: {int(local.isna().sum())} times fall into the hour that the clock repeats in {tz} (first: "
                f"{texts[local.isna()].iloc[0]}). Write times in UTC."
            )
        texts = local.dt.tz_convert("UTC").dt.tz_localize(None)
    return texts


def _parsed(texts: Any, source: str) -> Any:
    """Times in the first format that fits all of them."""
    import pandas as pd

    try:
        with np.errstate(invalid="ignore"):  # pandas casts cells such as "inf"
            for form in _TIME_FORMATS:
                parsed = pd.to_datetime(texts, format=form, errors="coerce").mask(texts.isin(_NOW))
                if parsed.notna().all():
                    return parsed
            best = pd.to_datetime(texts, format=_TIME_FORMATS[0], errors="coerce").mask(texts.isin(_NOW))
    except (TypeError, ValueError, OverflowError):  # cells that are no texts, in Parquet
        best = pd.Series(pd.NaT, index=texts.index)
    first = texts[best.isna()].iloc[0]
    first = first.item() if isinstance(first, np.generic) else first
    raise DataError(f"{source}: times must all be of one of the formats {_TIME_FORMATS}; got {first!r:.80}.")
