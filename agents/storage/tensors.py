"""Networks, optimisers and single tensors of a Stable-Baselines3 model as named arrays, and back.

What there is, the model says itself (`_get_torch_save_params`, as for its own zip files). An array is named by the
object it belongs to: `policy/actor.net.0.weight`, `policy.optimizer/3.exp_avg` (of the optimiser's parameter 3),
`policy.optimizer/lr`, `log_ent_coef`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr

from stormgym.agents.storage.container import Stored, UnreadableFile, check_arrays

MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "momentum_buffer")
"""What optimisers keep of a parameter, in its shape; beside it they count its steps."""

OF_PARAMETERS = "state"
"""Where an optimiser's `state_dict()` has what it keeps of each parameter."""

Parts = Mapping[str, Any]
"""Modules, optimisers and tensors by name."""


def parts_of(model: BaseAlgorithm) -> dict[str, Any]:
    """The parts of a model that hold what it has learnt."""
    modules, tensors = model._get_torch_save_params()
    return {name: recursive_getattr(model, name) for name in (*modules, *tensors)}


def arrays_of(parts: Parts) -> dict[str, NDArray[Any]]:
    """All parts as arrays."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            state = part.state_dict()
            for index, kept in state[OF_PARAMETERS].items():
                arrays |= {f"{name}/{index}.{key}": _array(value) for key, value in kept.items() if value is not None}
            arrays[f"{name}/lr"] = np.array([float(group["lr"]) for group in state["param_groups"]])
        elif isinstance(part, torch.nn.Module):
            arrays |= {f"{name}/{key}": _array(value) for key, value in part.state_dict().items()}
        else:
            arrays[name] = _array(part)
    return arrays


def check_parts(file: Path, found: Mapping[str, Stored], parts: Parts) -> None:
    """Raise `UnreadableFile` unless the arrays of a file are those of these parts, which may have no memory ("meta").

    An optimiser that has not stepped yet has no moments, so those of any parameter may be missing.
    """
    wanted: dict[str, Stored] = {}
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            wanted |= _moments(file, name, part, found)
        elif isinstance(part, torch.nn.Module):
            wanted |= {f"{name}/{key}": _stored(value) for key, value in part.state_dict().items()}
        else:
            wanted[name] = _stored(part)
    check_arrays(file, found, wanted)


def lay_in(file: Path, arrays: Mapping[str, NDArray[Any]], parts: Parts) -> None:
    """Give the parts the values of arrays that `check_parts` has seen.

    Raises:
        UnreadableFile: a number of a network is not finite.
    """
    for name, part in parts.items():
        if isinstance(part, torch.optim.Optimizer):
            _lay_in_optimizer(part, _behind(f"{name}/", arrays))
        elif isinstance(part, torch.nn.Module):
            part.load_state_dict({key: _tensor(value) for key, value in _behind(f"{name}/", arrays).items()})
            if not all(bool(torch.isfinite(value).all()) for value in part.parameters()):
                raise UnreadableFile(f"{file} holds weights that are not finite, in {name}: nothing can act with them")
        else:
            part.data = _tensor(arrays[name]).to(part.device)


def _moments(file: Path, name: str, optimizer: torch.optim.Optimizer, found: Mapping[str, Stored]) -> dict[str, Stored]:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    wanted = {f"{name}/lr": Stored("float64", (len(optimizer.param_groups),))}
    pattern = re.compile(rf"{re.escape(name)}/(\d{{1,9}})\.(step|{'|'.join(MOMENTS)})")
    for key in found:
        match = pattern.fullmatch(key)
        if match is not None and int(match[1]) < len(parameters):
            parameter = _stored(parameters[int(match[1])])
            wanted[key] = Stored("float32", ()) if match[2] == "step" else parameter
    indices = {key.rpartition(".")[0] for key in wanted if not key.endswith("/lr")}
    kinds = {key.rpartition(".")[2] for key in wanted if not key.endswith("/lr")}
    for missing in sorted(f"{index}.{kind}" for index in indices for kind in kinds):
        if missing not in found:
            raise UnreadableFile(f"{file} does not fit: {missing!r} of an optimiser is missing in it")
    return wanted


def _lay_in_optimizer(optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    state = optimizer.state_dict()
    state[OF_PARAMETERS] = {}
    for key, value in arrays.items():
        index, _, kind = key.rpartition(".")
        if kind != "lr":
            state[OF_PARAMETERS].setdefault(int(index), {})[kind] = _tensor(value)
    for group, rate in zip(state["param_groups"], arrays["lr"].tolist(), strict=True):
        if not math.isfinite(rate):
            raise ValueError(f"a step size of {rate}")
        group["lr"] = rate
    optimizer.load_state_dict(state)


def _stored(tensor: torch.Tensor) -> Stored:
    """A tensor, on any device, as a file holds it."""
    return Stored(str(torch.empty(0, dtype=tensor.dtype, device="cpu").numpy().dtype), tuple(tensor.shape))


def _behind(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, dtype=np.float32)


def _tensor(value: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(value))  # a copy of its own, which may be written
