"""Files of models: what a learner has learnt as arrays, and all that a model is made of as JSON.

A model is made afresh by its learner, from settings, spaces and what the learner had asked the environments, and then
takes the arrays. Which class that is, the registry says by the learner's name and never the file. Before anything of
the size that a file asks for is made, the same is made without memory (torch's device "meta") and compared with the
shapes of the arrays in the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.overrides import TorchFunctionMode

from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.domain import load_entry
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.lagrangian import VecLagrangianReward, multiplier_state
from stormgym.agents.learners.remembered import RememberedEnvs, arguments_of
from stormgym.agents.registry import domain_of, plain_id
from stormgym.agents.storage import spaces
from stormgym.agents.storage.container import Contents, UnreadableFile, open_file, readable, write_file
from stormgym.agents.storage.records import record_of
from stormgym.agents.storage.tensors import arrays_of, check_parts, lay_in, parts_of

KIND = "model"
COUNTERS: dict[type[Any], tuple[str, ...]] = {
    BaseAlgorithm: (
        "num_timesteps",
        "_total_timesteps",
        "_episode_num",
        "_n_updates",
        "_current_progress_remaining",
    ),
    DQN: ("_n_calls", "exploration_rate"),
}
"""Numbers that change while an algorithm learns, beside its arrays; what else does, its `state_dict()` gives."""
MOST_ENVS = 100_000
"""Environments side by side that a file may ask for."""


@dataclass(frozen=True, kw_only=True)
class ModelHead:
    """What a model's file says beside its arrays."""

    agent: str
    """Registry name of the learner."""
    env_id: str
    """Of the training, without a prefix."""
    settings: dict[str, Any]
    """The learner's."""
    n_envs: int
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    extractor: str | None
    """Features that the environment's domain named, to be compared with those that it names today."""
    attributes: dict[str, Any]
    """Of the environments, those in `Learner.remembers`."""
    extractor_arguments: dict[str, Any]
    asked: dict[str, Any]
    """What the algorithm itself asked the environments (`environment_facts()`)."""
    counters: dict[str, Any]
    multiplier: dict[str, Any] | None
    """Method and limit of the multiplier around the environments; None without one."""
    state: dict[str, Any]
    """What else continues (`state_dict()` of the algorithm)."""


def write_model(learner: Learner, model: BaseAlgorithm, file: Path, settings: Mapping[str, Any], env_id: str) -> Path:
    """Write a model with its optimisers: arrays and JSON, without pickles.

    Args:
        learner: what made it.
        model: with the environments that it learns on.
        file: where it goes (`.safetensors`).
        settings: of the class `learner.settings`, by name.
        env_id: of the environments.
    """
    venv = model.get_env()
    if venv is None:
        raise ValueError("a model without environments cannot be saved: they say what it was made of")
    extractor = domain_of(env_id).extractor
    multiplier = venv.multiplier if isinstance(venv, VecLagrangianReward) else None
    head = ModelHead(
        agent=learner.name,
        env_id=plain_id(env_id),
        settings=dict(settings),
        n_envs=model.n_envs,
        observation_space=spaces.to_json(model.observation_space),
        action_space=spaces.to_json(model.action_space),
        extractor=extractor,
        attributes={name: _plain(venv.get_attr(name)[0]) for name in learner.remembers if venv.has_attr(name)},
        extractor_arguments=arguments_of(None if extractor is None else load_entry(extractor), venv),
        asked=_called(model, "environment_facts"),
        counters={name: getattr(model, name) for name in _counters(model)},
        multiplier=None if multiplier is None else {"method": multiplier.method, "limit": multiplier.limit},
        state=_called(model, "state_dict"),
    )
    arrays = arrays_of({**parts_of(model), **_multiplier_parts(multiplier)})
    return write_file(file, KIND, {field.name: getattr(head, field.name) for field in fields(head)}, arrays)


def read_to_act(learner: Learner, file: Path, *, device: str = "cpu", env_id: str | None = None) -> BaseAlgorithm:
    """A model that acts, without environments.

    Raises:
        UnreadableFile: a file of anything but a model of this learner and (where it is given) of this environment.
    """
    contents = open_file(file, KIND)
    head = _head(contents, learner, env_id)
    settings = record_of(learner.settings, head.settings, file, f"a model of {learner.name}")
    check_size(learner, file, settings, env_id)
    with readable(file, "a model"), torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be replaced
        model: Any = _blank(learner, head, settings, device)
        multiplier = _multiplier(head)
        lay_in(file, contents.read(), {**parts_of(model), **_multiplier_parts(multiplier)})
        _count(model, head, file)
    if multiplier is not None:
        model.multiplier_state = multiplier_state(multiplier)
    model.policy.set_training_mode(False)
    acting: BaseAlgorithm = model
    return acting


def check_size(learner: Learner, file: Path, settings: Any, env_id: str | None = None) -> None:
    """Raise `UnreadableFile` unless a model of these settings has the arrays that the file holds; it takes none."""
    contents = open_file(file, KIND)
    head = _head(contents, learner, env_id)
    if record_of(learner.settings, head.settings, file, f"a model of {learner.name}") != settings:
        raise UnreadableFile(f"{file} does not fit: its model was trained with other settings than the run's")
    n_layers, arrays = getattr(settings, "n_layers", 0), _learnt(contents)
    if n_layers > len(arrays):
        raise UnreadableFile(f"{file} does not fit: it holds {len(arrays)} arrays for {n_layers} layers")
    with readable(file, "a model"), torch.random.fork_rng(devices=[]):
        with torch.device("meta"), _StaysMeta(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is only compared
            parts = {**parts_of(_blank(learner, head, settings, "meta")), **_multiplier_parts(_multiplier(head))}
        check_parts(file, arrays, parts)


def read_to_continue(learner: Learner, model: BaseAlgorithm, file: Path, env_id: str) -> None:
    """Give a model, just built on environments like those of the training, what a file holds, lambda included.

    Raises:
        UnreadableFile: as `read_to_act`; also where spaces, number of environments or the limit differ.
    """
    contents = open_file(file, KIND)
    head = _head(contents, learner, env_id)
    venv = model.get_env()
    multiplier = venv.multiplier if isinstance(venv, VecLagrangianReward) else None
    for name in ("observation_space", "action_space"):
        with readable(file, "a model"):
            same = spaces.from_json(getattr(head, name)) == getattr(model, name)
        if not same:
            raise UnreadableFile(
                f"{file} does not fit: its model has another {name} than the environments of the run's settings"
            )
    if head.n_envs != model.n_envs:
        raise UnreadableFile(f"{file} does not fit: its model learns on {head.n_envs} environments, not {model.n_envs}")
    belongs = None if multiplier is None else {"method": multiplier.method, "limit": multiplier.limit}
    if head.multiplier != belongs:
        raise UnreadableFile(f"{file} does not fit: its multiplier is {head.multiplier}, the run's is {belongs}")
    parts = {**parts_of(model), **_multiplier_parts(multiplier)}
    check_parts(file, _learnt(contents), parts)
    with readable(file, "a model"):
        lay_in(file, contents.read(), parts)
        _count(model, head, file)
        if hasattr(model, "load_state_dict"):
            model.load_state_dict(contents.tree("state"))
    if multiplier is not None:
        model.multiplier_state = multiplier_state(multiplier)  # type: ignore[attr-defined]


def _head(contents: Contents, learner: Learner, env_id: str | None) -> ModelHead:
    file = contents.file
    values = {key: value for key, value in contents.head.items() if key not in ("kind", "version")}
    head = record_of(ModelHead, values, file, "a model")
    if head.agent != learner.name:
        raise UnreadableFile(f"{file} holds a model of {head.agent[:80]!r}, and the run is of {learner.name!r}")
    if env_id is not None and head.env_id != plain_id(env_id):
        raise UnreadableFile(f"{file} holds a model for {head.env_id[:80]!r}, and the run is of {plain_id(env_id)!r}")
    today = domain_of(head.env_id).extractor
    if learner.takes_extractor and head.extractor != today:
        raise UnreadableFile(
            f"{file} holds a model on features {str(head.extractor)[:120]!r}, and {head.env_id[:80]} has {today!r}; "
            "an environment of another package must be registered first (--env module:Id)"
        )
    if not 1 <= head.n_envs <= MOST_ENVS:
        raise UnreadableFile(f"{file} asks for {head.n_envs} environments side by side; 1 to {MOST_ENVS:,} are made")
    return head


def _learnt(contents: Contents) -> dict[str, Any]:
    """The arrays of a file but those in its head."""
    return {name: stored for name, stored in contents.arrays.items() if not name.startswith("state/")}


def _blank(learner: Learner, head: ModelHead, settings: Any, device: str) -> BaseAlgorithm:
    """A model as the learner makes it, without environments and without room for what is collected."""
    venv = RememberedEnvs(
        spaces.from_json(head.observation_space),
        spaces.from_json(head.action_space),
        head.attributes,
        head.extractor_arguments,
    )
    extractor = domain_of(head.env_id).extractor  # which `_head` has compared with the file's
    policy, arguments = learner.arguments(venv, settings, None if extractor is None else load_entry(extractor))
    algorithm: Any = learner.algorithm
    model = algorithm(policy, None, device=device, verbose=0, _init_setup_model=False, **arguments)
    model.observation_space, model.action_space = venv.observation_space, venv.action_space
    model.n_envs = head.n_envs
    if head.asked:
        model.set_environment_facts(head.asked)
    model.replay_buffer = _NoRoom()  # one that is there is not made
    model.rollout_buffer_class = _NoRoom
    model._setup_model()
    model.replay_buffer = model.rollout_buffer = None
    made: BaseAlgorithm = model
    return made


class _StaysMeta(TorchFunctionMode):
    """Tensors without memory stay so where a network is moved to its device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.to:
            args = tuple("meta" if isinstance(value, str | torch.device) else value for value in args)
            kwargs = {key: "meta" if key == "device" else value for key, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


class _NoRoom:
    """In the place of a buffer, for a model that collects nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what a buffer takes."""


def _counters(model: BaseAlgorithm) -> list[str]:
    return [name for kind, names in COUNTERS.items() if isinstance(model, kind) for name in names]


def _count(model: BaseAlgorithm, head: ModelHead, file: Path) -> None:
    for name in _counters(model):
        value, kind = head.counters[name], type(getattr(model, name))
        if type(value) not in (int, float) or (kind is int and type(value) is not int) or not abs(value) < 2**53:
            raise UnreadableFile(f"{file} cannot be read as a model: {name} is {str(value)[:40]!r}")
        setattr(model, name, kind(value))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _called(model: BaseAlgorithm, method: str) -> dict[str, Any]:
    return dict(getattr(model, method)()) if hasattr(model, method) else {}


def _multiplier(head: ModelHead) -> LagrangeMultiplier | None:
    if head.multiplier is None:
        return None
    return LagrangeMultiplier(head.multiplier["limit"], method=head.multiplier["method"])


def _multiplier_parts(multiplier: LagrangeMultiplier | None) -> dict[str, Any]:
    """The multiplier around the environments; algorithms that have their own name it themselves."""
    return {} if multiplier is None else {"multiplier": multiplier, "multiplier.optimizer": multiplier.optimizer}
