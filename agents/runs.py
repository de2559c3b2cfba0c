"""Run folders: `runs/<env id>/<agent>/<seed>-<time>/`, and how a trained policy is read from one."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stormgym.agents.evaluation.summary import write_atomically
from stormgym.agents.policy import agent_spec

SETTINGS, VERSIONS, BEST, CHECKPOINTS, MODEL = (
    "settings.json",
    "versions.json",
    "best",
    "checkpoints",
    "model.zip",
)
PACKAGES = (
    "stormgym",
    "gymnasium",
    "numpy",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "scikit-learn",
    "quantile-forest",
)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """All that decides a run; kept as settings.json."""

    env_id: str
    agent: str
    seed: int
    timesteps: int
    """Budget: environment steps of the whole run."""
    num_envs: int
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    learner: dict[str, Any] = field(default_factory=dict)
    """The agent's own settings."""
    eval_freq: int
    """Steps between evaluations."""
    eval_episodes: int
    checkpoint_freq: int
    """Steps between checkpoints."""
    device: str = "cpu"
    torch_threads: int | None = None


@dataclass(frozen=True)
class Run:
    """A run folder and its settings."""

    folder: Path
    settings: RunSettings

    @property
    def best(self) -> Path:
        """Folder of the best model."""
        return self.folder / BEST

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, one folder each, named by its step."""
        return self.folder / CHECKPOINTS

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint."""
        return _last_checkpoint(self.folder)

    def extended(self, timesteps: int) -> Run:
        """The same run with another budget, which is written to the folder."""
        run = replace(self, settings=replace(self.settings, timesteps=timesteps))
        _write_settings(run)
        return run


def create_run(runs_dir: str | os.PathLike[str], settings: RunSettings) -> Run:
    """Make the folder of a new run, with its settings and the versions that run it."""
    parent = Path(runs_dir) / settings.env_id.replace("/", "_") / settings.agent
    parent.mkdir(parents=True, exist_ok=True)
    name = f"{settings.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):  # two runs in one second
        folder = parent / f"{name}{suffix}"
        try:
            folder.mkdir()
            break
        except FileExistsError:
            continue
    else:
        raise FileExistsError(f"no free folder name for {parent / name}")
    run = Run(folder, settings)
    _write_settings(run)
    write_atomically(folder / VERSIONS, json.dumps(versions(), indent=1) + "\n")
    return run


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Raises:
        FileNotFoundError: no such folder, or no settings.json in it.
        ValueError: settings.json cannot be read.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"run folder {str(path)!r} does not exist; name one that train.py wrote")
    file = path / SETTINGS
    if not file.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} holds no {SETTINGS}: not a run folder of train.py (runs/<env id>/<agent>/<run>)"
        )
    try:
        return Run(path, RunSettings(**json.loads(file.read_text(encoding="utf-8"))))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{file} cannot be read as the settings of a run: {error}") from error


def find_model(folder: str | os.PathLike[str]) -> Path:
    """Return the model of a run: the best one, else the last.

    Raises:
        FileNotFoundError: no such run, or no model in it yet.
    """
    run = open_run(folder)
    best = run.best / MODEL
    if best.is_file():
        return best
    last = run.last_checkpoint()
    if last is not None:
        return last / MODEL
    raise FileNotFoundError(
        f"run {str(run.folder)!r} holds no model: its training ended before the first checkpoint. "
        f"Train again with python train.py --env {run.settings.env_id} --agent {run.settings.agent}"
    )


def load_policy(folder: str | os.PathLike[str], env: Any = None, *, device: str = "cpu") -> Any:
    """Return the trained policy of a run: an object with `predict` that observes masks.

    Args:
        folder: a run folder.
        env: the environment (Env, VectorEnv or VecEnv) that it will act in; its spaces must be those of the
            training, but for the number of regions where the learner's network takes any (`Learner.any_regions`).
        device: torch device.

    Raises:
        FileNotFoundError: no such run, or no model in it.
        ValueError: the environment's spaces differ from those of the training.
    """
    run = open_run(folder)
    file = find_model(folder)
    learner = agent_spec(run.settings.agent).load()
    model = learner.load(file, device=device)
    if env is not None:
        for kind in ("observation_space", "action_space"):
            space = getattr(env, f"single_{kind}", None) or getattr(env, kind)
            if not (space == getattr(model, kind) or (learner.any_regions and _same_but_regions(model, env))):
                raise ValueError(
                    f"run {str(run.folder)!r} was trained with "
                    f"{run.settings.env_kwargs or 'default arguments'} and fits {kind} "
                    f"{_short(getattr(model, kind))}; this environment has {_short(space)}. "
                    f"Use a city with the same number of {'groups' if learner.any_regions else 'regions and groups'}, "
                    "or train on this one"
                )
    return learner.policy(model)


def write_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Make a folder whole or not at all: `fill` writes into a temporary one, which then takes the name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent))
            os.replace(target, old / target.name)
            os.replace(temporary, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def versions() -> dict[str, str | None]:
    """Versions of what runs, the platform, and the commit of the source tree where there is one."""
    result: dict[str, str | None] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            result[package] = None
    result["commit"] = _commit()
    return result


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}{' with changes' if changed else ''}"


def _write_settings(run: Run) -> None:
    write_atomically(run.folder / SETTINGS, json.dumps(asdict(run.settings), indent=1) + "\n")


def _last_checkpoint(folder: Path) -> Path | None:
    found = [p for p in (folder / CHECKPOINTS).glob("[0-9]*") if (p / MODEL).is_file()]
    return max(found, key=lambda p: int(p.name), default=None)


def _same_but_regions(model: Any, env: Any) -> bool:
    """Whether observations differ in the number of regions only: a network over regions takes any number of them."""
    space, known = getattr(env, "single_observation_space", None) or env.observation_space, model.observation_space
    if not isinstance(getattr(space, "spaces", None), dict) or not isinstance(getattr(known, "spaces", None), dict):
        return False
    return set(space.spaces) == set(known.spaces) and space["crew"] == known["crew"]


def _short(space: Any) -> str:
    inner = getattr(space, "spaces", None)
    if isinstance(inner, dict):
        return "{" + ", ".join(f"{key}: {value.shape}" for key, value in inner.items()) + "}"
    return str(space)
