"""What the core alone does, and what it says where an extra is missing: packages of all extras are blocked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = {"gymnasium", "pettingzoo", "numpy", "scipy", "scikit-learn", "quantile-forest", "clarabel"}
BLOCKED = (
    "torch",
    "stable_baselines3",
    "sb3_contrib",
    "tensorboard",
    "pandas",
    "matplotlib",
    "safetensors",
    "tqdm",
    "rich",
    "tyro",
    "pyvrp",
    "pyarrow",
    "ray",
    "torchrl",
    "tensordict",
    "tianshou",
    "minari",
    "skrl",
)
PRELUDE = f"""
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A fresh process that cannot import what the extras bring."""
    environment = {**os.environ, "STORMGYM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code], check=False, cwd=folder, text=True, capture_output=True, env=environment
    )


def project() -> dict[str, list[str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_core__is_these_packages_and_no_other() -> None:
    names = {dependency.split(">")[0] for dependency in project()["dependencies"]}
    assert names == CORE


def test_lock__holds_a_version_of_every_package_that_pyproject_names() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines if "==" in line}
    settings = project()
    named = [
        *settings["dependencies"],
        *(name for extra in settings["optional-dependencies"].values() for name in extra),
    ]
    found = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=! ]", name)[0]).lower() for name in named} - {"stormgym"}
    assert sorted(found - locked) == []


def test_core__plays_every_environment_without_any_extra(tmp_path: Path) -> None:
    script = str(ROOT / "benchmarks" / "installs" / "core_play.py")
    played = run(f"import runpy; runpy.run_path({script!r}, run_name='__main__')", tmp_path)
    assert played.returncode == 0, played.stderr
    for name in ("Restoration-v0", "ShortestPath-v0", "DefenderAttacker-v0", "a city folder"):
        assert f"{name}: " in played.stdout


MISSING = {
    "agents": (
        "import stormgym.agents",
        'stormgym.agents needs torch, stable_baselines3, sb3_contrib, rich, tyro, which the extra "agents" brings: ',
    ),
    "a room of agents": ("from stormgym.agents.lineup import make_policy", "stormgym.agents needs torch, "),
    "pictures": (
        "import gymnasium as gym; gym.make('stormgym:Restoration-v0', render_mode='rgb_array')",
        'render_mode="rgb_array" needs matplotlib, which the extra "render" brings: pip install "stormgym[render]"',
    ),
    "pictures of the game": (
        "from stormgym.envs.undergrounding.adversary import DefenderAttackerEnv as E; E(render_mode='rgb_array')",
        'render_mode="rgb_array" needs matplotlib, which the extra "render" brings: ',
    ),
    "records": (
        "from stormgym.envs.data import read_eaglei; read_eaglei('outages.parquet', states=['Georgia'])",
        'a record of customers out needs pandas, which the extra "parquet" brings: pip install "stormgym[parquet]"',
    ),
    "loads": (
        "import gymnasium as gym; gym.make('stormgym:PowerScheduling-v0', data='loads')",
        'a folder of loads needs pandas, which the extra "parquet" brings: ',
    ),
    "prices": (
        "import gymnasium as gym; gym.make('stormgym:EnergyScheduling-v0', data='prices')",
        'a folder of prices needs pandas, which the extra "parquet" brings: ',
    ),
    **{
        f"adapter of {library}": (
            f"import stormgym.envs.adapters.{library}",
            f'stormgym.envs.adapters.{library} needs {packages}, which the extra "{library}" brings: ',
        )
        for library, packages in {
            "rllib": "ray",
            "torchrl": "torch, torchrl",
            "tianshou": "torch, tianshou",
            "skrl": "torch, skrl",
            "minari": "minari",
        }.items()
    },
    "networks": (
        "from stormgym.predictors import ConditionalFlow",
        'stormgym.predictors.ConditionalFlow needs torch, which the extra "agents" brings: ',
    ),
    "waves": (
        "import gymnasium as gym; gym.make('stormgym:GeneratorDispatch-v0', forecast='ode.npz')",
        'a learnt forecaster of waves needs torch, which the extra "agents" brings: ',
    ),
}


@pytest.mark.parametrize("what", list(MISSING))
def test_missing_extra__is_one_sentence_with_the_command(tmp_path: Path, what: str) -> None:
    code, sentence = MISSING[what]
    asked = run(code, tmp_path)
    assert asked.returncode == 1
    last = asked.stderr.strip().splitlines()[-1]
    assert last.startswith(f"stormgym.predictors.extras.MissingExtraError: {sentence}"), asked.stderr
    assert last.count("pip install") == 1


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("script", [True, False])
def test_commands__without_their_extra_say_one_sentence(tmp_path: Path, command: str, script: bool) -> None:
    path = str(ROOT / f"{command}.py")
    as_script = f"import runpy; sys.argv = [{path!r}]; runpy.run_path({path!r}, run_name='__main__')"
    as_command = f"from stormgym.__main__ import main; sys.exit(main([{command!r}]))"
    asked = run(as_script if script else as_command, tmp_path)
    assert asked.returncode == 2
    (line,) = asked.stderr.strip().splitlines()
    assert line.startswith(f"{command}.py: " if script else f"stormgym {command}: ")
    assert line.endswith('which the extra "agents" brings: pip install "stormgym[agents]"')
