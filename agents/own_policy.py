"""A policy of the user's own by where its code is: `FILE.py:NAME` or `MODULE:NAME`, as agents of a command line."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from stormgym.agents.policy import Policy

SUFFIX = ".py"


def names_code(item: str) -> bool:
    """Whether a name on a command line points into code: `FILE.py:NAME`, or `MODULE:NAME` of a module that is there."""
    where, colon, name = item.rpartition(":")
    if not (colon and name.isidentifier()):
        return False
    if where.endswith(SUFFIX):
        return True
    try:
        return all(part.isidentifier() for part in where.split(".")) and find_spec(where) is not None
    except (ImportError, ValueError):  # a parent that is not there, or is no package
        return False


def load_code(item: str) -> Any:
    """Import and return what `FILE.py:NAME` or `MODULE:NAME` names. It runs the file, as importing does.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its code fails, or nothing in it has that name.
    """
    where, _, name = item.rpartition(":")
    try:
        module = _of_file(Path(os.path.expanduser(where))) if where.endswith(SUFFIX) else import_module(where)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever code of others raises
        raise ValueError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        there = [key for key, value in vars(module).items() if _acts(value) and value.__module__ == module.__name__]
        raise ValueError(f"nothing in {where} is named {name!r}; policies there: {', '.join(there) or 'none'}")
    return getattr(module, name)


def own_policy(item: str, env: Any) -> Policy:
    """The policy that `FILE.py:NAME` or `MODULE:NAME` names, bound to `env`.

    NAME is a class with `for_env(env)`, a class without arguments, a function of the environment that returns a policy,
    or a policy. One that was trained says `learned = True`; others count as heuristics.

    Raises:
        ValueError: it has no `predict`.
    """
    found = load_code(item)
    if hasattr(found, "for_env"):
        policy = found.for_env(env)
    elif isinstance(found, type):
        policy = found()
    else:
        policy = found if hasattr(found, "predict") or not callable(found) else found(env)
    if not hasattr(policy, "predict"):
        raise ValueError(
            f"{item} gives {type(policy).__name__!r}, which has no predict(observation, state, episode_start, "
            "deterministic); see docs/your_own.md"
        )
    made: Policy = policy
    return made


def _of_file(file: Path) -> ModuleType:
    """The module of a file, imported once; its name is the file's, behind which other modules cannot be hidden."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {str(file)!r}; name one as FILE.py:NAME")
    name = f"{file.stem}_{crc32(os.fsencode(file.resolve())):08x}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _acts(value: Any) -> bool:
    return isinstance(value, type) and (hasattr(value, "predict") or hasattr(value, "for_env"))
