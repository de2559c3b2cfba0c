"""Run folders `runs/<env id>/<agent>/<seed>-<time>/`: making and opening them, and loading their trained policy."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stormgym.agents.files import write_atomically
from stormgym.agents.registry import agent_spec, plain_id
from stormgym.agents.versions import run_versions

SETTINGS, VERSIONS, BEST, CHECKPOINTS, MODEL = (
    "settings.json",
    "versions.json",
    "best",
    "checkpoints",
    "model.zip",
)


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A request for a run; None takes the learner's default."""

    env_id: str
    agent: str | None = None
    """Registry name of the learner; None: the one that fits the environment."""
    seed: int = 0
    timesteps: int | None = None
    """Budget: environment steps of the whole run."""
    num_envs: int | None = None
    """Environments that collect side by side."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    learner: dict[str, Any] = field(default_factory=dict)
    """The agent's own settings; those left out are its defaults."""
    eval_freq: int | None = None
    """Steps between evaluations; None: a twentieth of the run."""
    eval_episodes: int = 256
    """Fixed scenarios of each evaluation."""
    checkpoint_freq: int | None = None
    """Steps between checkpoints; None: a tenth of the run."""
    device: str = "cpu"
    torch_threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunSettings(RunRequest):
    """All that decides a run, nothing left out; kept as settings.json."""

    # field() without a default: an annotation alone would inherit the None of a request
    agent: str = field()
    timesteps: int = field()
    num_envs: int = field()
    eval_freq: int = field()
    checkpoint_freq: int = field()


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
    parent = Path(runs_dir) / plain_id(settings.env_id).replace("/", "_") / settings.agent
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
    write_atomically(folder / VERSIONS, json.dumps(run_versions(), indent=1) + "\n")
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
            training, but for the number of regions where the learner's network takes any (`Learner.fits`).
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
            if space != getattr(model, kind) and not learner.fits(model, env):
                raise ValueError(
                    f"run {str(run.folder)!r} was trained with "
                    f"{run.settings.env_kwargs or 'default arguments'} and fits {kind} "
                    f"{_short(getattr(model, kind))}; this environment has {_short(space)}. "
                    f"Use an environment of the same {learner.must_match}, or train on this one"
                )
    return learner.policy(model)


def _write_settings(run: Run) -> None:
    write_atomically(run.folder / SETTINGS, json.dumps(asdict(run.settings), indent=1) + "\n")


def _last_checkpoint(folder: Path) -> Path | None:
    found = [p for p in (folder / CHECKPOINTS).glob("[0-9]*") if (p / MODEL).is_file()]
    return max(found, key=lambda p: int(p.name), default=None)


def _short(space: Any) -> str:
    inner = getattr(space, "spaces", None)
    if isinstance(inner, dict):
        return "{" + ", ".join(f"{key}: {value.shape}" for key, value in inner.items()) + "}"
    return str(space)
