"""Logs of a run's metrics: `progress.csv` and TensorBoard, both continued when a run is resumed."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.logger import (
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
    filter_excluded_keys,
)
from torch.utils.tensorboard import SummaryWriter

from stormgym.agents.files import write_atomically
from stormgym.agents.storage.container import check_file, cured_by, readable

LARGEST = 256 * 2**20
"""Bytes that a log may have which is continued."""
STEP = "time/total_timesteps"
"""Column that says when a row was written; always the first."""


class CsvLog(KVWriter):
    """One row a dump in `progress.csv`; new metrics become new columns.

    An existing file is continued: rows later than `from_step` (written after the checkpoint from which a run
    resumes) are dropped, and so is a last line that was cut off while it was written, with a warning.

    Args:
        file: the log.
        from_step: None begins it anew.
        check: called before each row; raises where the run's folder is no longer there (`RunLock.check`).

    Raises:
        UnreadableFile: the existing file is not such a log.
    """

    def __init__(self, file: Path, from_step: int | None = None, check: Callable[[], None] = lambda: None) -> None:
        self.file = file
        self.check = check
        self.columns: list[str] = [STEP]
        self.rows: list[dict[str, str]] = []
        if from_step is not None and os.path.lexists(file):
            with cured_by("Move the file elsewhere, and the run goes on with a new log"):
                self._read(from_step)
        self._rewrite()

    def _read(self, from_step: int) -> None:
        check_file(self.file, LARGEST)
        with readable(self.file, "the log of a run"):
            with self.file.open(newline="", encoding="utf-8") as lines:
                text = lines.read()
            whole = text[: text.rfind("\n") + 1]
            reader = csv.DictReader(io.StringIO(whole, newline=""))
            self.columns = list(reader.fieldnames or ())
            if self.columns[:1] != [STEP]:
                raise ValueError(f"its first column is not {STEP}")
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} has another number of columns than the header")
                if int(row[STEP]) <= from_step:
                    self.rows.append(row)
        if whole != text:
            warnings.warn(
                f"{self.file}: its last line was cut off while it was written, and is left out",
                UserWarning,
                stacklevel=2,
            )

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add a row."""
        self.check()
        values = filter_excluded_keys(key_values, key_excluded, "csv")
        row = {key: _text(value) for key, value in values.items() if np.isscalar(value)}
        row[STEP] = str(step)
        self.rows.append(row)
        new = sorted(row.keys() - set(self.columns))
        if new:
            self.columns += new
            self._rewrite()
        else:
            with self.file.open("a", newline="", encoding="utf-8") as lines:
                csv.DictWriter(lines, self.columns, restval="").writerow(row)

    def _rewrite(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.file, text.getvalue())

    def close(self) -> None:
        """Nothing stays open."""


class TensorBoardLog(TensorBoardOutputFormat):
    """TensorBoard events; on resuming, TensorBoard hides what was written after `from_step`."""

    def __init__(self, folder: Path, from_step: int | None = None) -> None:
        purge = None if from_step is None else from_step + 1
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=purge)
        self._is_closed = False


def make_logger(folder: Path, from_step: int | None = None, check: Callable[[], None] = lambda: None) -> Logger:
    """The logger of a run; `from_step` is the step from which it resumes, None for a new run."""
    return Logger(str(folder), [CsvLog(folder / "progress.csv", from_step, check), TensorBoardLog(folder, from_step)])


def _text(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float | np.floating) else str(value)
