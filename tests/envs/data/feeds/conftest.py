"""What tests of feeds share: small files in each feed's own form, written for these tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data.feeds import JobTable
from stormgym.envs.data.feeds.columns import COLUMNS
from stormgym.envs.data.feeds.faults import fault_words


@pytest.fixture
def fixtures() -> Path:
    """Folder of the files."""
    return Path(__file__).parent / "fixtures"


@pytest.fixture
def flags_of() -> Callable[[JobTable], list[set[str]]]:
    """Names of the faults of each row."""
    return lambda jobs: [set(fault_words(flags).split("|")) - {""} for flags in jobs.flags.tolist()]


@pytest.fixture
def assert_same() -> Callable[[JobTable, JobTable], None]:
    """Whether two tables are equal, to the bit."""

    def check(a: JobTable, b: JobTable) -> None:
        for name in COLUMNS:
            ours, theirs = getattr(a, name), getattr(b, name)
            assert ours.dtype == theirs.dtype, name
            np.testing.assert_array_equal(ours, theirs, err_msg=name)

    return check
