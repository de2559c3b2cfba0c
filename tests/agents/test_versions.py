"""Versions of what runs: every package by name, and the commit of the source tree."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest

from stormgym.agents import versions
from stormgym.agents.versions import PACKAGES, package_versions, run_versions


def test_versions__are_of_python_and_of_every_package() -> None:
    found = package_versions()
    assert list(found) == ["python", *PACKAGES]
    assert found["python"] == platform.python_version()
    assert found["numpy"] == version("numpy")
    assert found["torch"] == version("torch")


def test_versions__of_a_package_that_is_not_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", absent)
    assert set(package_versions().values()) == {platform.python_version(), None}


def test_run__has_the_platform_and_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    where = platform.platform()  # asked for first: it may run a program of its own
    said = {"rev-parse": "abc\n", "status": ""}

    def git(words: tuple[str, ...], **_: Any) -> Any:
        return subprocess.CompletedProcess(words, 0, stdout=said[words[1]])

    monkeypatch.setattr(subprocess, "run", git)
    assert run_versions() == {**package_versions(), "platform": where, "commit": "abc"}
    said["status"] = " M train.py\n"
    assert run_versions()["commit"] == "abc with changes"


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")])
def test_run__outside_a_source_tree_has_no_commit(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.platform()  # asked for first: it may run a program of its own

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert run_versions()["commit"] is None
