"""The package as it installs: what it lists, what it loads, what it registers."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

import gymnasium as gym
import pytest

import stormgym
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import AGENTS, DOMAINS, agent_spec
from stormgym.envs import register_envs

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("envs", "agents", "predictors")


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_packages__listed_are_those_in_the_folders() -> None:
    found = {"stormgym"}
    for floor in FLOORS:
        for file in (ROOT / floor).rglob("__init__.py"):
            found.add(".".join(("stormgym", *file.parent.relative_to(ROOT).parts)))
    assert set(settings()["tool"]["setuptools"]["packages"]) == found


def test_packages__every_folder_with_code_is_a_package() -> None:
    for floor in FLOORS:
        for file in (ROOT / floor).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), file.parent


def test_packages__are_typed() -> None:
    for folder in (ROOT / "src" / "stormgym", *(ROOT / floor for floor in FLOORS)):
        assert (folder / "py.typed").is_file()


def test_package_data__covers_every_file_beside_the_code() -> None:
    patterns = settings()["tool"]["setuptools"]["package-data"]
    for floor in FLOORS:
        for file in (f for f in (ROOT / floor).rglob("*") if f.is_file() and f.suffix != ".py"):
            if "__pycache__" in file.parts:
                continue
            package = ".".join(("stormgym", *file.parent.relative_to(ROOT).parts))
            fitting = [*patterns["*"], *patterns.get(package, ())]
            assert any(fnmatch(file.name, pattern) for pattern in fitting), f"a wheel would lack {file}"


def test_version__is_that_of_pyproject() -> None:
    assert stormgym.__version__ == settings()["project"]["version"]


def test_badges__of_the_readme_say_what_pyproject_does() -> None:
    facts = settings()
    text = (ROOT / "README.md").read_text()
    badge = r"^\[!\[(.*?)\]\(https://img\.shields\.io/badge/(.*?)-[0-9A-F]{6}\)\]\((.*?)\)$"
    badges = re.findall(badge, text, re.MULTILINE)
    tools = facts["tool"]
    assert tools["mypy"]["disallow_untyped_defs"]
    assert "--cov" in (ROOT / ".ci" / "run").read_text()
    told = {
        f"Python {facts['project']['requires-python'].removeprefix('>=')}+",
        f"licence: {facts['project']['license']}",
        f"branches that quick tests reach: {tools['coverage']['report']['fail_under']} % at least",
        "types: checked by mypy",
    }
    assert {words for words, _, _ in badges} == told
    for words, picture, link in badges:  # the picture says what its words do
        shown = unquote(picture).replace("-", " ").replace("≥ ", "")
        assert set(re.findall(r"[\d.]+|MIT|mypy", shown)) == set(re.findall(r"[\d.]+|MIT|mypy", words))
        assert (ROOT / link).is_file()


def test_import__loads_neither_torch_nor_pandas_nor_matplotlib() -> None:
    code = (
        "import sys, stormgym, gymnasium as gym; gym.spec('Restoration-v0');"
        "from stormgym.agents.pretrained import known_pretrained; assert known_pretrained();"
        "heavy = {'torch', 'pandas', 'matplotlib', 'sklearn', 'stable_baselines3'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


def test_register__twice_changes_nothing() -> None:
    before = gym.spec("Restoration-v0")
    register_envs()
    assert gym.spec("Restoration-v0") is before


@pytest.mark.parametrize("name", list(AGENTS))
def test_registry__every_name_leads_somewhere(name: str) -> None:
    target = AGENTS[name].load()
    assert hasattr(target, "build" if AGENTS[name].trainable else "for_env")


def test_registry__default_agents_are_known_learners() -> None:
    assert all(AGENTS[domain.default_learner or ""].trainable for domain in DOMAINS.values())


def test_registry__wrong_names_list_the_known_ones() -> None:
    with pytest.raises(
        KeyError, match=r"unknown agent 'nearst'; did you mean 'nearest'\? Known agents: random, request-volume"
    ):
        agent_spec("nearst")


def test_make_policy__learners_must_be_trained_first() -> None:
    with pytest.raises(ValueError, match="train it first"):
        make_policy("sta-sac", None)
