"""Run folders `runs/<env id>/<agent>/<seed>-<time>/`: making and opening them, and loading their trained policy."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stormgym.agents.files import write_atomically
from stormgym.agents.registry import agent_spec, plain_id
from stormgym.agents.storage.container import UnreadableFile, cured_by, read_json, readable
from stormgym.agents.storage.records import record_of
from stormgym.agents.versions import run_versions

SETTINGS, VERSIONS, BEST, CHECKPOINTS, MODEL = (
    "settings.json",
    "versions.json",
    "best",
    "checkpoints",
    "model.safetensors",
)
PICKLED_MODEL = "model.zip"
"""Model of a run of before, in the format of Stable-Baselines3: it holds pickles."""


FREE = ("seed", "device", "torch_threads")
"""Settings that may differ between runs that count as the same."""


class UntrustedPickle(ValueError):
    """A file of an earlier version that can run any code when it is opened, and was not said to be trusted."""


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


def comparable(settings: RunSettings) -> dict[str, object]:
    """All that decides a run but its seed and where it is computed, as JSON gives it back."""
    facts = {name: value for name, value in asdict(settings).items() if name not in FREE}
    plain: dict[str, object] = json.loads(json.dumps(facts))
    return plain


@dataclass(frozen=True)
class Run:
    """A run folder and its settings."""

    folder: Path
    settings: RunSettings

    @property
    def env_id(self) -> str:
        """Registered id of its environments; a module that settings name before it is never imported."""
        return plain_id(self.settings.env_id)

    @property
    def best(self) -> Path:
        """Folder of the best model."""
        return self.folder / BEST

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, one folder each, named by its step."""
        return self.folder / CHECKPOINTS

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint; a folder beside them that is none gets a warning."""
        for stray in sorted({*self.checkpoints.glob("[!.]*")} - {*checkpoint_folders(self.folder)}):
            warnings.warn(
                f"{stray} is ignored: a checkpoint is a folder named by its step; move what is none elsewhere",
                UserWarning,
                stacklevel=2,
            )
        complete = [p for p in checkpoint_folders(self.folder) if model_in(p) is not None]
        return complete[-1] if complete else None

    def extended(self, timesteps: int) -> Run:
        """The same run with another budget; `write_settings` keeps it."""
        return replace(self, settings=replace(self.settings, timesteps=timesteps))

    def write_settings(self) -> None:
        """Write settings.json."""
        write_atomically(self.folder / SETTINGS, json.dumps(asdict(self.settings), indent=1) + "\n")


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
    try:
        run.write_settings()
        write_atomically(folder / VERSIONS, json.dumps(run_versions(), indent=1) + "\n")
    except BaseException:  # Ctrl-C as well: no half folder stays
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return run


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Read a run folder. Its settings are data: nothing that they name is imported.

    Raises:
        FileNotFoundError: no such folder, or no settings.json in it.
        UnreadableFile: settings.json cannot be read, or a part of the folder is a link.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"run folder {str(path)!r} does not exist; name one that train.py wrote")
    file = path / SETTINGS
    if not file.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} holds no {SETTINGS}: not a run folder of train.py (runs/<env id>/<agent>/<run>)"
        )
    for part in (path / BEST, path / CHECKPOINTS):
        if part.is_symlink():
            raise UnreadableFile(f"{part} is a link, and a run folder holds folders of its own; copy what it leads to")
    what = "the settings of a run"
    with cured_by("Restore it from a copy, or train again"):
        return Run(path, record_of(RunSettings, read_json(file, what), file, what))


def find_model(folder: str | os.PathLike[str]) -> Path:
    """Return the file of a run's model: the best one, else the last.

    Raises:
        FileNotFoundError: no such run, or no model in it yet.
    """
    run = open_run(folder)
    best = model_in(run.best)
    if best is not None:
        return best
    last = run.last_checkpoint()
    if last is not None:
        return model_in(last) or last / MODEL
    raise FileNotFoundError(
        f"run {str(run.folder)!r} holds no model: its training ended before the first checkpoint. "
        f"Train again with python train.py --env {run.settings.env_id} --agent {run.settings.agent}"
    )


def load_policy(
    folder: str | os.PathLike[str], env: Any = None, *, device: str = "cpu", trust_pickle: bool = False
) -> Any:
    """Return the trained policy of a run: an object with `predict` that observes masks.

    Args:
        folder: a run folder.
        env: the environment (Env, VectorEnv or VecEnv) that it will act in; its spaces must be those of the
            training, but for the number of regions where the learner's network takes any (`Learner.fits`).
        device: torch device.
        trust_pickle: open a model of an earlier version, whose file can run any code: only where you trust who made it.

    Raises:
        FileNotFoundError: no such run, or no model in it.
        UnreadableFile: a file of it is not what a run's should be.
        UntrustedPickle: the run is of an earlier version, and `trust_pickle` is left out.
        ValueError: the environment's spaces differ from those of the training.
    """
    run = open_run(folder)
    learner = learner_of(run)
    model = load_model(run, device=device, trust_pickle=trust_pickle)
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


def load_model(run: Run, *, device: str = "cpu", trust_pickle: bool = False) -> Any:
    """Return the model of a run that acts, the best or else the last one; errors as of `load_policy`."""
    file, learner = find_model(run.folder), learner_of(run)
    from stormgym.agents.devices import check_device  # here, since these load torch
    from stormgym.agents.model_files import read_to_act

    check_device(device, "device")
    other = "the last checkpoint acts in its place" if file.parent == run.best else "an older checkpoint acts, if any"
    with cured_by(f"Delete the folder {file.parent}, and {other}"):
        if file.name == MODEL:
            return read_to_act(learner, file, device=device, env_id=run.env_id)
        check_trusted(file, trust_pickle)
        with readable(file, "a model of an earlier version", (Exception,)):  # what a pickle raises, nobody knows
            return learner.load_pickled(file, device=device)


def learner_of(run: Run) -> Any:
    """The learner of a run (`stormgym.agents.learners.base.Learner`), by its name in the registry.

    Raises:
        UnreadableFile: settings.json names an unknown agent, or one that does not learn.
    """
    file, name = run.folder / SETTINGS, run.settings.agent
    try:
        spec = agent_spec(name)
    except KeyError as error:
        raise UnreadableFile(f"{file} names an agent that is not there: {error.args[0]}") from None
    if not spec.trainable:
        raise UnreadableFile(
            f"{file} names the agent {name!r}, which needs no training, so there is no run of it; name that agent "
            "itself, or restore the file from a copy"
        )
    return spec.load()


def checkpoint_folders(folder: Path) -> list[Path]:
    """Checkpoints of a run folder, the oldest first: folders named by their step, and no links."""
    found = [p for p in (folder / CHECKPOINTS).glob("*") if _is_step(p.name) and p.is_dir()]
    return sorted((p for p in found if not p.is_symlink()), key=lambda p: int(p.name))


def _is_step(name: str) -> bool:
    return name.isdecimal() and name.isascii() and (name == "0" or not name.startswith("0"))


def check_trusted(file: Path, trust_pickle: bool) -> None:
    """Raise `UntrustedPickle` for a file of an earlier version, or warn where it is said to be trusted."""
    why = "an earlier version of stormgym wrote it as pickles, which can run any code when they are opened"
    if not trust_pickle:
        raise UntrustedPickle(f"{file} is not opened: {why}; if you trust who made it, add --trust-pickle")
    warnings.warn(f"{file} is opened because of --trust-pickle: {why}", UserWarning, stacklevel=2)


def model_in(folder: Path) -> Path | None:
    """The file of a model in a folder, one without pickles if there is any."""
    return next((folder / name for name in (MODEL, PICKLED_MODEL) if os.path.lexists(folder / name)), None)


def _short(space: Any) -> str:
    inner = getattr(space, "spaces", None)
    if isinstance(inner, dict):
        return "{" + ", ".join(f"{key}: {value.shape}" for key, value in inner.items()) + "}"
    return str(space)
