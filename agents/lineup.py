"""From what a user names (registry names, pretrained agents, run folders) to agents that can be evaluated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stormgym.agents.evaluation.rollouts import Entrant
from stormgym.agents.policy import AGENTS, ONLY_TRAINED, Policy, agent_spec, make_policy, split_lookahead
from stormgym.agents.pretrained import known_pretrained, load_card, load_pretrained

DISPATCH = "GeneratorDispatch-v0"
"""The environment whose agents can be a forecaster's file."""


def known_agents(env_id: str, *, trainable: bool | None = None) -> tuple[str, ...]:
    """Names of the registry's agents that fit an environment id, all or only those that learn (or do not)."""
    return tuple(
        name
        for name, spec in AGENTS.items()
        if env_id in spec.envs and (trainable is None or spec.trainable == trainable)
    )


def resolve_agents(items: Sequence[str] | str | None, env_id: str) -> dict[str, Entrant]:
    """Turn names and run folders into entrants, in the order given.

    Args:
        items: a sequence or a comma-separated string; an item is a registry name, a pretrained agent (`AGENT:NAME`),
            a run folder, the .npz file of a wave forecaster (GeneratorDispatch-v0), or one of the last three as
            `LABEL=ITEM`. `@K` behind a pretrained agent or a run folder of STA-SAC makes it look ahead with K orders.
            None or an empty string takes every agent of `env_id` that needs no training.
        env_id: a registered environment id.

    Returns:
        Name -> entrant; a pretrained agent is named by its label, else `AGENT:NAME`; a run folder by its label, else
        by its last two folders (`agent/run`).

    Raises:
        KeyError: a name that is neither an agent of this environment, nor a pretrained one, nor a folder; the
            message lists the known names.
        FileNotFoundError: a path that does not exist.
        ValueError: an agent that must be trained first, or two items of one name.
    """
    if isinstance(items, str):
        items = [item.strip() for item in items.split(",") if item.strip()]
    if not items:
        items = tuple(name for name in known_agents(env_id, trainable=False) if AGENTS[name].usual)
    entrants: dict[str, Entrant] = {}
    for item in items:
        name, entrant = _resolve(item, env_id)
        if name in entrants:
            raise ValueError(f"two agents are named {name!r}; give a run folder a label of its own: LABEL=RUN_DIR")
        entrants[name] = entrant
    return entrants


def _resolve(item: str, env_id: str) -> tuple[str, Entrant]:
    label, _, path = item.rpartition("=")
    if not label and item in AGENTS:
        return item, _from_registry(item, env_id)
    plain, n_orders = (path, 0) if Path(path).expanduser().exists() else split_lookahead(path)
    if plain.partition(":")[0] in AGENTS and ":" in plain:
        return label or path, _looking(_from_pretrained(plain, env_id), n_orders)
    folder = Path(plain).expanduser()
    if folder.suffix == ".npz" and folder.is_file() and env_id == DISPATCH:
        if n_orders:
            raise ValueError(ONLY_TRAINED.format(item))
        return label or folder.stem, _from_forecaster(folder)
    if folder.is_dir():
        ahead = f"@{n_orders}" if n_orders else ""
        return label or _run_name(folder) + ahead, _looking(_from_run(folder), n_orders)
    if n_orders and plain in AGENTS:
        raise ValueError(ONLY_TRAINED.format(item))
    if label or _looks_like_path(item):
        raise FileNotFoundError(
            f"run folder {str(folder)!r} does not exist. Name a folder that train.py wrote "
            f"(runs/{env_id}/AGENT/RUN), or one of the agents {', '.join(known_agents(env_id))}."
        )
    known = ", ".join((*known_agents(env_id), *known_pretrained(env_id)))
    raise KeyError(f"unknown agent {item!r}; known agents of {env_id}: {known}; or name a run folder")


def _looks_like_path(item: str) -> bool:
    return any(sep in item for sep in (os.sep, os.altsep, "~") if sep) or item.startswith(".")


def _run_name(folder: Path) -> str:
    parts = folder.resolve().parts[-2:]
    return "/".join(parts)


def _from_registry(name: str, env_id: str) -> Entrant:
    spec = agent_spec(name)
    if env_id not in spec.envs:
        raise KeyError(f"agent {name!r} does not fit {env_id}; known agents: {', '.join(known_agents(env_id))}")
    if spec.trainable:
        ready = [full for full, card in known_pretrained(env_id).items() if card.agent == name]
        raise ValueError(
            f"agent {name!r} learns: train it first (python train.py --env {env_id} --agent {name}) "
            f"and name its run folder{', or take ' + ' or '.join(ready) if ready else ''}"
        )

    def make(env: Any) -> Policy:
        return make_policy(name, env)

    return Entrant(make, learned=False, privileged=spec.privileged, summary=spec.summary)


def _from_pretrained(full_name: str, env_id: str) -> Entrant:
    card = load_card(full_name)
    if env_id != card.trained_on.env_id:
        known = ", ".join(known_pretrained(env_id)) or "none"
        raise KeyError(
            f"pretrained agent {full_name!r} is for {card.trained_on.env_id}; "
            f"known pretrained agents of {env_id}: {known}"
        )
    return Entrant(lambda env: load_pretrained(full_name, env), learned=True, summary=f"pretrained, {card.summary}")


def _looking(entrant: Entrant, n_orders: int) -> Entrant:
    """The same agent, looking ahead with `n_orders` orders; 0 leaves it as it is."""
    if not n_orders:
        return entrant

    def make(env: Any) -> Policy:
        from stormgym.agents.restoration.network.lookahead import look_ahead

        return look_ahead(entrant.make(env), env, n_orders=n_orders)

    return replace(entrant, make=make, summary=f"{entrant.summary}, looks ahead with {n_orders} orders")


def _from_forecaster(file: Path) -> Entrant:
    from stormgym.agents.dispatch.forecasters import policy_of

    return Entrant(lambda env: policy_of(file, env), learned=True, summary=f"plans on the forecaster {file}")


def _from_run(folder: Path) -> Entrant:
    def make(env: Any) -> Policy:
        from stormgym.agents.runs import load_policy

        policy: Policy = load_policy(folder, env)
        return policy

    return Entrant(make, learned=True, summary=f"trained, {folder}")
