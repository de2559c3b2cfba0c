"""The columns of a `JobTable`: names, kinds, types, and what stands for unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats
from stormgym.envs.data.tables import DataError

Text = NDArray[np.object_]
Moments = NDArray[np.datetime64]

TEXTS = ("job_id", "region", "cause", "status", "feeder", "parent", "crew", "zone", "source", "unread")
TIMES = (
    "arrival",
    "restored",
    "sent_at",
    "on_site_at",
    "assessed_at",
    "repair_start",
    "first_seen_at",
    "ert",
    "ert_seen_at",
)
NUMBERS = ("latitude", "longitude", "customers", "vulnerable_customers", "restored_within_h")
NEEDED = ("job_id", "arrival")
"""Columns that `JobTable.of` must be given, beside a region or coordinates."""
COLUMNS = (
    "job_id",
    "region",
    "latitude",
    "longitude",
    "arrival",
    "restored",
    "restored_within_h",
    "sent_at",
    "on_site_at",
    "assessed_at",
    "repair_start",
    "customers",
    "vulnerable_customers",
    "cause",
    "status",
    "feeder",
    "parent",
    "crew",
    "first_seen_at",
    "ert",
    "ert_seen_at",
    "planned",
    "flags",
    "zone",
    "source",
    "line",
    "unread",
)
"""All of them, in their order."""


def hours_between(first: Moments, then: Moments) -> Floats:
    """Hours from one time to another, NaN where one is unknown."""
    seconds = (then - first).astype("timedelta64[s]")
    return np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64) / 3600.0)


def kind_of(name: str) -> str:
    """Whether a column holds `text`, `time`, `number` or `whole` numbers."""
    kinds = {**dict.fromkeys(TEXTS, "text"), **dict.fromkeys(TIMES, "time"), **dict.fromkeys(NUMBERS, "number")}
    return kinds.get(name, "whole")


def unknown(name: str) -> Any:
    """The value of a column where nothing is known."""
    blank = {"text": "", "time": np.datetime64("NaT", "s"), "number": np.nan}
    return -1 if name == "planned" else blank.get(kind_of(name), 0)


def column_of(name: str, values: Any, n: int) -> NDArray[Any]:
    """A column as an array of its type, `[n]`; a single value is repeated."""
    kind = kind_of(name)
    types: dict[str, Any] = {"text": object, "time": "datetime64[s]", "number": np.float64, "whole": np.int64}
    array = np.asarray(values, dtype=object if kind == "text" else None)
    wanted = {"time": "M", "number": "fiu", "whole": "iu"}.get(kind)
    if array.size and wanted is not None and array.dtype.kind not in wanted:
        raise DataError(f"JobTable.{name} must hold {kind}s ({types[kind]}); got {array.dtype}.")
    array = array.astype(np.int8 if name == "planned" else types[kind])
    if array.ndim == 0:
        array = np.full(n, array[()], dtype=array.dtype)
    if array.shape != (n,):
        raise DataError(f"JobTable.{name} must have one entry a row, {n}; got shape {list(array.shape)}.")
    if kind == "text" and not all(isinstance(value, str) for value in array.tolist()):
        odd = next(value for value in array.tolist() if not isinstance(value, str))
        raise DataError(f"JobTable.{name} must hold texts; got {odd!r}. Write '' for what is unknown.")
    if kind == "text":
        _check_characters(name, array.tolist())
    return array


def _check_characters(name: str, texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"JobTable.{name} must hold whole characters; got {error.object[error.start]!r}. Remove it from the text."
        ) from error
