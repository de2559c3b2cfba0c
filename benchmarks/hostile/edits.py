"""Classes of edits that make a good file hostile; each takes the bytes of a file and a generator."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Edit = Callable[[bytes, np.random.Generator], bytes]

NUMBERS = (
    *("nan", "inf", "-inf", "-1", "0", "1e308", "-1e308", "1e300", "1e-308", "1e400", "1_000", "0x10", "1,5", "1.5.2"),
    *("True", "\u0663\u0664", "\u00bd", "9" * 400, str(2**63), str(2**64), str(10**30), "", " ", "x", "-0", "1e9"),
)
TIMES = (
    *("0001-01-01 00:00:00", "9999-12-31 23:59:59", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    *("1900-01-01", "2024-02-30 00:00:00", "2023-08-30 00:00:00+99:99", "now", "2262-04-11 23:47:17", "24:00", "0"),
    *("31/12/2023 24:00", "2023-13-01T00:00Z", "1e9", "2016-12-31T23:59:60Z", "\u0662\u0660\u0662\u0663-01-01"),
)
NAMES = (
    *(
        "ward [north]",
        "[/]",
        "[bold]",
        "=1+1",
        "@sum(A1)",
        ":100:",
        "<script>alert(1)</script>",
        "a" * 100_000,
        "\u202e",
    ),
    *(
        "\x00",
        "\x1b[31m",
        "a\nb",
        "a,b",
        '"',
        "'",
        "nan",
        "None",
        "\U0001f4a1",
        "\ufeffid",
        "../../etc",
        " id ",
        "e\u0301",
    ),
)
VALUES = (*("null", "{}", "[]", "[[1]]", '"text"', "true", "-1", "0", "1e400", "NaN", "9" * 400, str(2**63)), "1e300")
DEEP = 100_000


def rows_of(data: bytes) -> tuple[list[list[str]], str]:
    """Rows of a table, and what separates its cells."""
    text = data.decode("utf-8")
    separator = ";" if ";" in text.split("\n", 1)[0] else ","
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator)), separator


def written(rows: list[list[str]], separator: str) -> bytes:
    """A table's bytes."""
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode("utf-8", errors="surrogatepass")


def is_json(data: bytes) -> bool:
    """Whether a good file is JSON; the others are tables."""
    return data.lstrip()[:1] in (b"{", b"[")


def _pick(values: tuple[str, ...], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]


def _replaced(values: tuple[str, ...], like: Callable[[str], bool]) -> Edit:
    """An edit of one cell, or of one value of JSON, that is of a kind."""

    def edit(data: bytes, rng: np.random.Generator) -> bytes:
        if is_json(data):
            return _in_json(data, rng, values, like)
        rows, separator = rows_of(data)
        cells = [(r, c) for r, row in enumerate(rows[1:], 1) for c, cell in enumerate(row) if like(cell)]
        if not cells:
            cells = [(r, c) for r, row in enumerate(rows) for c in range(len(row))]
        row, column = cells[int(rng.integers(len(cells)))]
        rows[row][column] = _pick(values, rng)
        return written(rows, separator)

    return edit


def _in_json(data: bytes, rng: np.random.Generator, values: tuple[str, ...], like: Callable[[str], bool]) -> bytes:
    """Replace a text or number of a kind; a number is written as it stands, everything else as text."""
    text = data.decode("utf-8")
    found = [m for m in re.finditer(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', text)]
    found = [m for m in found if like(m.group().strip('"'))] or found
    place = found[int(rng.integers(len(found)))]
    new = _pick(values, rng)
    bare = re.fullmatch(r"-?\d[\d.eE+-]*", new) is not None and not place.group().startswith('"')
    return (text[: place.start()] + (new if bare else json.dumps(new)) + text[place.end() :]).encode("utf-8")


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def is_time(cell: str) -> bool:
    """Whether a cell begins as a time does."""
    return re.match(r"\d{4}-\d{2}-\d{2}|\d{2}/\d{2}/\d{4}|\d{2}:\d{2}", cell) is not None


def is_name(cell: str) -> bool:
    """Whether a cell is neither blank, nor a number, nor a time."""
    return bool(cell) and not is_number(cell) and not is_time(cell)


def of_structure(data: bytes, rng: np.random.Generator) -> bytes:
    """Rows and columns (JSON: members) doubled, taken away, renamed, exchanged; of another length or separator."""
    if is_json(data):
        return _json_structure(data, rng)
    rows, separator = rows_of(data)
    row, column = int(rng.integers(1, max(len(rows), 2))) % len(rows), int(rng.integers(len(rows[0])))
    other, kind = int(rng.integers(len(rows[0]))), int(rng.integers(10))
    if kind == 0:
        rows.append(list(rows[row]))
    elif kind == 1:
        del rows[row]
    elif kind == 2:
        rows = [[cell for i, cell in enumerate(cells) if i != column] for cells in rows]
    elif kind == 3:
        rows = [[*cells, cells[min(column, len(cells) - 1)]] for cells in rows]
    elif kind == 4:
        rows[0][column] = rows[0][other].upper()
    elif kind == 5:
        rows[row][column], rows[row][other] = rows[row][other], rows[row][column]
    elif kind == 6:
        rows[row] = rows[row][:-1]
    elif kind == 7:
        rows[row].append("more")
    elif kind == 8:
        rows = rows[:1]
    else:
        separator = _pick((";", "\t", "|"), rng)
    return written(rows, separator)


def _json_structure(data: bytes, rng: np.random.Generator) -> bytes:
    text = data.decode("utf-8")
    kind = int(rng.integers(5))
    if kind == 0:
        deep = "[" * DEEP + "]" * DEEP
        return text.replace("{", '{"deep": ' + deep + ",", 1).encode() if "{" in text else deep.encode()
    if kind == 1:  # a key twice
        pair = re.search(r'"[^"]*"\s*:\s*("[^"]*"|[\d.]+|true|false|null)', text)
        return (text if pair is None else text[: pair.end()] + ", " + pair.group() + text[pair.end() :]).encode()
    content = json.loads(text)
    place = _places(content)[int(rng.integers(len(_places(content))))]
    holder, key = place
    if kind == 2:
        del holder[key]
    elif kind == 3 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    else:
        holder[key] = json.loads(_pick(VALUES, rng).replace("NaN", '"NaN"'))
    return json.dumps(content).encode()


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every member of a JSON value: what holds it, and its key or index."""
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    return [(content, k) for k in keys] + [
        place for k in keys if isinstance(content[k], (dict, list)) and content[k] for place in _places(content[k])
    ]


def of_encoding(data: bytes, rng: np.random.Generator) -> bytes:
    """Another encoding, byte-order marks, NUL bytes, line ends of another kind."""
    kind, at = int(rng.integers(8)), int(rng.integers(len(data)))
    if kind < 3:
        return data.decode("utf-8").encode(("utf-16", "utf-16-le", "utf-32")[kind])
    if kind == 3:
        return data[:at] + "\u00e9".encode("latin-1") + data[at:]
    if kind == 4:
        return b"\xef\xbb\xbf" * int(rng.integers(1, 4)) + data
    if kind == 5:
        return data[:at] + b"\x00" + data[at:]
    if kind == 6:
        return data.replace(b"\n", b"\r\n")
    return data[:at] + b"\xed\xa0\x80" + data[at:]  # half of a surrogate pair


def of_transfer(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, flipped bits, empty, blank, a gzip file under another name, joined to its own beginning."""
    kind, at = int(rng.integers(7)), int(rng.integers(len(data)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
    if kind == 2:
        return (b"", b"\n\n\n", b" ", b"\x00" * 64, b"PAR1", b"<!doctype html><p>404")[int(rng.integers(6))]
    if kind == 3:
        return gzip.compress(data, mtime=0)
    if kind == 4:
        return gzip.compress(data, mtime=0)[: at // 2]
    if kind == 5:
        return data + data[: at + 1]
    return data[:at] + rng.bytes(4) + data[at + 4 :]


CLASSES: Mapping[str, Edit] = {
    "numbers": _replaced(NUMBERS, is_number),
    "times": _replaced(TIMES, is_time),
    "names": _replaced(NAMES, is_name),
    "structure": of_structure,
    "encoding": of_encoding,
    "transfer": of_transfer,
}
"""What is done to a file, by class."""
