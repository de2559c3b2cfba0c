"""Workers as a command line asks for them: bounds that no machine goes beyond."""

from __future__ import annotations

import pytest

from stormgym.agents import cluster
from stormgym.agents.cluster import MOST_WORKERS, Workers, parse_workers, processors


@pytest.mark.parametrize("text", ["10001", "ray:10001", "9" * 5_000, f"ray:{'9' * 5_000}"])
def test_workers__beyond_all_machines_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--workers must be at most 10,000; got ") as told:
        parse_workers(text, "--workers")
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("text", ["0", "-1", "-" + "9" * 5_000])
def test_workers__fewer_than_there_must_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--jobs must be at least 1; got "):
        parse_workers(text)


def test_workers__of_this_machine_are_some_a_processor_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "processors", lambda: 2)
    assert parse_workers(32) == Workers(32)
    with pytest.warns(UserWarning, match="--jobs 500 is more than 16 for each processor .* it takes 32"):
        assert parse_workers(500) == Workers(32)
    assert parse_workers("ray:500") == Workers(500, on_ray=True)  # whose machines are others
    assert parse_workers(f"ray:{MOST_WORKERS}").n == MOST_WORKERS


def test_processors__are_at_least_one() -> None:
    assert processors() >= 1
