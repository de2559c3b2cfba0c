"""What tests of readers share: random edits of a file, as hands, exports and downloads make them."""

import gzip
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.hostile.edits import is_json, rows_of, written

HOSTILE = (
    *("", " ", "nan", "inf", "-inf", "-1", "0", "1e300", "1e-300", "1e400", "1_000", "0x10", "1,5", "True", "\u0663"),
    *("9" * 400, str(2**63), str(10**30), "x", "[/]", "=1+1", "\x00", "\ufeff", "\u202e", "\U0001f4a1", "a" * 3_000),
    *("0001-01-01 00:00:00", "9999-12-31 23:59:59", "9999-12-31T23:59:59-14:00", "1900-01-01", "2024-02-30 00:00:00"),
    *("2023-08-30 00:00:00+99:99", "now", "{}", "[1]", "null", '"', "2262-04-11 23:47:16", "31/12/2023 24:00"),
)


def _of_cells(data: bytes, rng: np.random.Generator) -> bytes:
    """A cell replaced, a row doubled or taken away, a column doubled, taken away or renamed, two cells exchanged."""
    rows, separator = rows_of(data)
    kind = rng.integers(8)
    row = int(rng.integers(1, max(len(rows), 2))) if len(rows) > 1 else 0
    column = int(rng.integers(len(rows[0])))
    other = int(rng.integers(len(rows[0])))
    if kind <= 2:
        rows[row][column] = HOSTILE[rng.integers(len(HOSTILE))]
    elif kind == 3:
        rows.append(list(rows[row]))
    elif kind == 4:
        del rows[row]
    elif kind == 5:
        rows = [[cell for i, cell in enumerate(cells) if i != column] for cells in rows]
    elif kind == 6:
        rows = [[*cells, cells[column]] for cells in rows]
    else:
        rows[row][column], rows[row][other] = rows[row][other], rows[row][column]
    return written(rows, separator)


def _of_text(data: bytes, rng: np.random.Generator) -> bytes:
    """A word or number of any text (JSON as well) replaced by a hostile one."""
    text = data.decode("utf-8")
    at = int(rng.integers(len(text)))
    end = at
    while end < len(text) and text[end] not in '",;:{}[]\n ':
        end += 1
    return (text[:at] + HOSTILE[rng.integers(len(HOSTILE))] + text[end:]).encode("utf-8")


def _of_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, noise, another encoding, other separators, a gzip file under another name, nothing at all."""
    kind = rng.integers(10)
    at = int(rng.integers(len(data)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.bytes(3) + data[at + 3 :]
    if kind == 2:
        return data.decode("utf-8").encode(("utf-16", "utf-16-le", "utf-16-be", "utf-32")[rng.integers(4)])
    if kind == 3:
        return data[:at] + "é".encode("latin-1") + data[at:]
    if kind == 4:
        return data.replace(b",", (b";", b"\t", b"|", b"")[rng.integers(4)])
    if kind == 5:
        return b"\xef\xbb\xbf" * int(rng.integers(1, 3)) + data
    if kind == 6:
        return gzip.compress(data, mtime=0)
    if kind == 7:
        return (b"", b"\n\n\n", b"\x00" * 50, b"PAR1")[rng.integers(4)]
    if kind == 8:
        return data.replace(b"\n", b"\r" if rng.integers(2) else b"\n\n")
    return data + data[: at + 1]


@pytest.fixture
def random_edit() -> Callable[[bytes, np.random.Generator], bytes]:
    """A function that edits the bytes of a table or of JSON (UTF-8) at random, by a generator."""

    def edit(data: bytes, rng: np.random.Generator) -> bytes:
        kinds = (_of_text, _of_bytes) if is_json(data) else (_of_cells, _of_cells, _of_text, _of_bytes)
        return kinds[rng.integers(len(kinds))](data, rng)

    return edit
