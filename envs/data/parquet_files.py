"""Parquet files as pandas frames, or a `DataError` that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stormgym.envs.data.tables import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_parquet_frame(path: Path) -> pd.DataFrame:
    """The file as a frame; pandas and pyarrow must be there.

    Raises:
        DataError: the file is missing, cut off, damaged, or no Parquet.
    """
    import pandas as pd

    if not path.is_file():
        raise DataError(f"{path}: no such file. Give the path of an existing file.")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # a damaged file makes Arrow and pandas raise nearly anything: ArrowInvalid, KeyError...
        raise DataError(f"{path}: not a whole Parquet file ({str(error)[:200]!r}). Write it again.") from error
