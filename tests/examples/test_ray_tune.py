"""The search with Ray Tune, at a small size: trials report, and those that fall behind are ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

FILE = Path(__file__).resolve().parents[2] / "examples" / "ray_tune.py"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    # one trial after the other, so that which of them are ended early is the same each time
    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def example() -> Any:
    spec = spec_from_file_location("ray_tune_example", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_search__ends_trials_early_and_names_the_best(
    example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.random.seed(1)  # the generator that Tune draws settings from
    words = ["--trials", "3", "--timesteps", "2048", "--city", "synthetic:6:1", "--runs-dir", str(tmp_path)]
    results = example.main(words)
    assert len(results) == 3
    assert not results.errors
    steps = [result.metrics["step"] for result in results]
    assert max(steps) >= 2048  # somebody trains to the end
    assert min(steps) < 2048  # and not everybody
    best = results.get_best_result(scope="all")
    assert best.metrics["value"] <= best.metrics["return"]
    assert "best of 3" in capsys.readouterr().out
    runs = [json.loads(file.read_text()) for file in tmp_path.glob("Restoration-v0/maskable-ppo/*/settings.json")]
    assert len(runs) == 3
    assert {run["timesteps"] for run in runs} == {2048}
