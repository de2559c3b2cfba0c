"""Random edits of tables of customers out: read, warned of or refused by a sentence, and never another error."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stormgym.envs.data.outage_record import read_eaglei

Edit = Callable[[bytes, np.random.Generator], bytes]
HEAD = "fips_code,county,state,customers_out,run_start_time,total_customers,observed\n"
TABLE = HEAD + "".join(
    f"{code},{name},Alabama,{10 * i + code % 7},2023-08-30 0{i // 4}:{15 * (i % 4):02d}:00,{code},{i % 2}\n"
    for i in range(6)
    for code, name in ((1001, "Autauga"), (1003, "Baldwin"))
)
CUSTOMERS = "County_FIPS,Customers\n1001,900\n1003,4000\nGrand Total,4900\n"
N_EDITS = 60


@pytest.mark.parametrize("seed", range(3))
def test_read_eaglei__an_edited_table_is_read_or_named(tmp_path: Path, random_edit: Edit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole, file, table = TABLE.encode(), tmp_path / "counts.csv", tmp_path / "MCC.csv"
    table.write_text(CUSTOMERS)
    n_read = 0
    for i in range(N_EDITS):
        data = random_edit(whole, rng)
        file.write_bytes(random_edit(data, rng) if i % 4 == 0 and _is_text(data) else data)
        n_read += _read_or_named(file, file, table)
    assert 0.1 < n_read / N_EDITS < 0.8  # edits are neither all harmless nor all deadly


def test_read_eaglei__an_edited_table_of_customers_is_read_or_named(tmp_path: Path, random_edit: Edit) -> None:
    rng = np.random.default_rng(9)
    file, table = tmp_path / "counts.csv", tmp_path / "MCC.csv"
    file.write_text(TABLE.replace(",total_customers", ",total"))
    n_read = 0
    for _ in range(N_EDITS):
        table.write_bytes(random_edit(CUSTOMERS.encode(), rng))
        n_read += _read_or_named(table, file, table)
    assert 0.1 < n_read / N_EDITS < 0.9


def test_read_eaglei__edited_parquet_is_read_or_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    file, table = tmp_path / "counts.parquet", tmp_path / "MCC.csv"
    table.write_text(CUSTOMERS)
    pd.read_csv(io.StringIO(TABLE)).to_parquet(file)
    whole = file.read_bytes()
    for _ in range(N_EDITS):
        at = int(rng.integers(len(whole)))
        file.write_bytes(whole[:at] if rng.integers(4) == 0 else whole[:at] + rng.bytes(2) + whole[at + 2 :])
        _read_or_named(file, file, table)


def _is_text(data: bytes) -> bool:
    try:
        return len(data.decode("utf-8").strip()) > 0 and b"\n" in data.strip()
    except UnicodeDecodeError:
        return False


def _read_or_named(edited: Path, file: Path, table: Path) -> bool:
    """Whether the file is read to a record in which every number can be; else the error names the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # but named ones
        warnings.simplefilter("ignore", UserWarning)
        try:
            record = read_eaglei(file, customers=table)
        except ValueError as error:  # DataError is one; anything else fails the test
            refused = str(error)
        else:
            refused = ""
    if refused:
        assert edited.name in refused or file.name in refused
        assert len(refused) > 30
        return False
    known = record.out[np.isfinite(record.out)]
    served = record.customers[~np.isnan(record.customers)]
    assert ((known >= 0) & (known <= 1e9)).all()
    assert ((served >= 0) & (served <= 1e9)).all()
    assert all(len(code) == 5 and code.isdigit() for code in record.county)
    return True
