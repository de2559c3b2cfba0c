"""What tests of pretrained agents share."""

import shutil
from pathlib import Path

import pytest

from stormgym.agents.pretrained import known_pretrained
from stormgym.agents.pretrained.cards import FOLDER


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the files of the first agent of the package."""
    card = next(iter(known_pretrained().values()))
    for suffix in ("json", "npz"):
        shutil.copy(FOLDER / f"{card.stem}.{suffix}", tmp_path)
    return tmp_path
