"""Text files read within a bound and written whole or not at all."""

from __future__ import annotations

import codecs
import gzip
import os
import warnings
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from stormgym.envs.data.errors import DataError
from stormgym.envs.data.sizes import MAX_FILE_BYTES
from stormgym.envs.whole_files import write_beside

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")


def read_utf8(path: Path) -> bytes:
    """The bytes of a UTF-8 file (`.gz`: unpacked) without a byte-order mark.

    Raises:
        DataError: there is no such file, it cannot be read, is too large, no whole gzip file, or no UTF-8 text.

    Warns:
        UserWarning: the file begins with several byte-order marks.
    """
    data = _read_bytes(path)
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(f"{path}: UTF-16 text. Save the file as UTF-8.")
    if data[:2] == _GZIP:
        raise DataError(f"{path}: a gzip file, whose name must end in .gz. Rename or unpack it.")
    if data.startswith(_OLD_OFFICE) or (data.startswith(_ZIP) and b"xl/" in data):
        raise DataError(
            f"{path}: an Excel workbook, whatever its name says, where text is needed. Open it in a spreadsheet and "
            "save the sheet as 'CSV UTF-8 (comma delimited)'."
        )
    if data.startswith(_ZIP):
        raise DataError(f"{path}: a ZIP archive, where text is needed. Unpack it.")
    n_marks = 0
    while data.startswith(codecs.BOM_UTF8, n_marks * len(codecs.BOM_UTF8)):
        n_marks += 1
    if n_marks > 1:
        warnings.warn(
            f"{path}: {n_marks} byte-order marks at the beginning, where one is usual; all are passed over.",
            stacklevel=3,
        )
    data = data[n_marks * len(codecs.BOM_UTF8) :]
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise DataError(
            f"{path}, line {line}: a NUL byte, which no text has (is it UTF-16, or cut off?). Save the file as UTF-8."
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save the file as UTF-8.") from error
    return data


def _read_bytes(path: Path) -> bytes:
    if os.path.isdir(path):
        raise DataError(f"{path}: a folder, where a file is meant. Give the path of a file.")
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    try:
        with open(path, "rb") as raw:
            if path.suffix != ".gz":
                data = raw.read(MAX_FILE_BYTES + 1)
            else:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    data = unpacked.read(MAX_FILE_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}). Compress it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
    if len(data) > MAX_FILE_BYTES:
        unpacked_too = ", unpacked," if path.suffix == ".gz" else ""
        raise DataError(
            f"{path}: a file must have at most {MAX_FILE_BYTES:,} bytes{unpacked_too} and has more. Leave out rows or "
            "columns that are not needed."
        )
    return data


def write_whole(files: Mapping[Path, str]) -> None:
    """Write UTF-8 files, each whole or not at all; where one cannot be written to its end, none is.

    All are written beside their places, and then take their names. Links are followed; a file keeps its permissions.

    Raises:
        DataError: a folder or device has the name of a file.
        OSError: a file cannot be written; all are as they were.
    """
    written: dict[Path, Path] = {}
    try:
        for file, text in files.items():
            target = Path(os.path.realpath(file))
            if target.exists() and not target.is_file():
                raise DataError(f"{file}: no plain file, which is to be written there. Remove it or save elsewhere.")
            data = text.encode("utf-8")
            written[write_beside(target, partial(_write, data))] = target
        for temporary, target in written.items():
            os.replace(temporary, target)
    finally:
        for temporary in written:
            temporary.unlink(missing_ok=True)  # what an error leaves


def _write(data: bytes, stream: BinaryIO) -> None:
    stream.write(data)
