"""A decision of one's own in forty lines: both forms, every method that needs no derivatives, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from stormgym.agents.decisions.own import own_decision
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import AGENTS, DOMAINS, register_domain

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "examples" / "fuel_order.py"


@pytest.fixture(scope="module", autouse=True)
def example() -> Iterator[Any]:
    """The example as a module, registered; what it registers is taken back at the end."""
    domains, agents = dict(DOMAINS), dict(AGENTS)
    sys.path.insert(0, str(FILE.parent))
    import fuel_order

    yield fuel_order
    sys.path.remove(str(FILE.parent))
    sys.modules.pop("fuel_order")
    for registry, before in ((DOMAINS, domains), (AGENTS, agents)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]  # each its own kind
    del gym.registry["FuelOrder-v0"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecasters of these tests are kept apart."""
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path / "cache"))


def test_file__is_forty_lines_of_code() -> None:
    lines = FILE.read_text(encoding="utf-8").split('"""', 2)[2].splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines) <= 48  # docstrings included


@pytest.mark.filterwarnings("ignore:.*Box action space.*symmetric")
def test_environment__single_and_vector_give_the_same_cases_and_costs(example: Any) -> None:
    check_env(gym.make("FuelOrder-v0").unwrapped)
    many = gym.make_vec("FuelOrder-v0", 3, vectorization_mode="vector_entry_point", tanker=50.0)
    seen, _ = many.reset(seed=5)
    plans = np.array([[10.0, 20.0, 5.0, 0.0], [40.0, 40.0, 40.0, 40.0], [0.0, 0.0, 0.0, 0.0]])
    _, rewards, _, _, infos = many.step(plans)
    for i in range(3):
        one = gym.make("FuelOrder-v0", tanker=50.0)
        obs, _ = one.reset(seed=5 + i)
        np.testing.assert_array_equal(obs["people"], seen["people"][i])
        _, reward, terminated, _, info = one.step(plans[i])
        assert terminated
        assert reward == rewards[i]
        assert info["metrics"]["repaired"] == float(i == 1)  # 160 do not fit a tanker of 50
    assert infos["metrics"]["cost"].shape == (3,)


def test_methods__plan_better_than_always_the_same_and_hindsight_is_cheapest(example: Any) -> None:
    del example
    env = gym.make_vec("FuelOrder-v0", 100, vectorization_mode="vector_entry_point")
    cost = {}
    for name in ("usual", "two-stage", "policy-net", "clairvoyant"):
        obs, _ = env.reset(seed=0)
        plans, _ = make_policy(name, env).predict(obs)
        cost[name] = -float(env.step(plans)[1].mean())
    assert cost["clairvoyant"] < 0.2 * cost["two-stage"]  # what the tanker cannot bring, nobody can
    assert cost["two-stage"] < 0.9 * cost["usual"]
    assert cost["policy-net"] < 0.9 * cost["usual"]


def test_register__again_changes_nothing_and_another_environments_id_is_an_error(example: Any) -> None:
    again = own_decision("FuelOrder-v0", example.FuelOrder, options=("tanker", "instance"))
    assert again == DOMAINS["FuelOrder-v0"]
    register_domain(again)
    with pytest.raises(ValueError, match=r"CartPole-v1 is registered already"):
        own_decision("CartPole-v1", example.FuelOrder)


@pytest.mark.slow
def test_evaluate__knows_it_from_its_module_alone(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FILE.parent), *sys.path]), "OMP_NUM_THREADS": "1"}
    words = ["--env", "fuel_order:FuelOrder-v0", "--option", "tanker=200", "--episodes", "20", "--json"]
    agents = ["--agents", "usual,policy-net,clairvoyant"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), *words, str(tmp_path / "t.json"), *agents],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "there is no equity to measure" in done.stdout
    summary = json.loads((tmp_path / "t.json").read_text())
    assert summary["agents"]["clairvoyant"]["regret"] == pytest.approx(0.0, abs=1e-9)
    assert summary["agents"]["policy-net"]["cost"] < summary["agents"]["usual"]["cost"]
