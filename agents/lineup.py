"""Agents from their names on a command line: NAME, AGENT:NAME, RUN, FILE, FILE.py:CLASS, LABEL=..., @K to look ahead.

`make_policy` binds one name to an environment; `resolve_agents` turns what a command line lists into entrants.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stormgym.agents.domain import load_entry
from stormgym.agents.own_policy import SUFFIX, load_code, names_code, own_policy
from stormgym.agents.past_price import PAST
from stormgym.agents.policy import Entrant, Policy
from stormgym.agents.pretrained import known_pretrained, load_card, load_pretrained
from stormgym.agents.registry import AGENTS, agent_spec, domain_of, has_domain, known_agents
from stormgym.agents.runs import load_policy, open_run
from stormgym.envs.spelling import unknown

MOST_LABEL = 200
"""Characters of a label, so that tables and figures have room for numbers beside it."""


@dataclass(frozen=True)
class Look:
    """How far a trained agent looks ahead before it acts."""

    orders: int = 0
    """K, orders or plans that it draws, or rounds of search, as its domain has it; 0: it acts alone."""
    moves: int = 0
    """Moves of a local search from the best of them; 0: none."""
    price: str = ""
    """`past`: the limit is on the mean over episodes, at one price that is found on past ones; else it is on each."""

    def __bool__(self) -> bool:
        """Whether it looks ahead at all."""
        return self.orders > 0

    @property
    def text(self) -> str:
        """What stands behind the agent's name: "@K", "@K:MOVES", "@K:MOVES:past" or nothing."""
        behind = [str(part) for part in (self.orders, self.moves, self.price) if part]
        return f"@{':'.join(behind)}" if self else ""

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `look_ahead`."""
        given = {"search_iterations": self.moves, "price": self.price}
        return {"n_orders": self.orders, **{name: value for name, value in given.items() if value}}

    @property
    def sentence(self) -> str:
        """As lists tell it."""
        if not self:
            return ""
        moves = f" and {self.moves} moves of a local search" if self.moves else ""
        price = ", at a price found on past episodes" if self.price else ""
        return f", looks ahead with {self.orders} draws{moves}{price}"


def split_lookahead(name: str) -> tuple[str, Look]:
    """Take apart `AGENT@K`, `AGENT@K:MOVES` or `AGENT@K:MOVES:past`, a trained agent that looks ahead.

    The look of a plain name is none. An `@` within a folder's name, with a separator behind it, is part of the path.

    Raises `ValueError` for a K or MOVES that is no whole number above 0, for another third part than `past`, and for a
    K without an agent.
    """
    agent, at, look = name.rpartition("@")
    if not at or "/" in look or os.sep in look:
        return name, Look()
    if not agent:
        raise ValueError(f"{name!r} names no agent before @; write AGENT:NAME@K or RUN_FOLDER@K")
    numbers, price = look.split(":"), ""
    if len(numbers) == 3 and numbers[-1] == PAST:
        price = numbers.pop()
    if len(numbers) > 2 or not all(_is_count(part) for part in numbers):
        raise ValueError(
            f"{name!r}: after @ comes the number of orders that the agent draws when it looks ahead, as in "
            f"{agent}@32, perhaps with moves of a local search, as in {agent}@32:100, and with a price found on past "
            f"episodes, as in {agent}@32:100:{PAST}; got {look!r}"
        )
    orders, *moves = map(int, numbers)
    return agent, Look(orders, moves[0] if moves else 0, price)


def _is_count(text: str) -> bool:
    """Whether text is a whole number above 0; of more than nine digits none is."""
    return text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0


def _cannot_look_ahead(name: str) -> ValueError:
    able = [spec.name for spec in AGENTS.values() if spec.look_ahead is not None]
    return ValueError(
        f"{name!r} cannot look ahead: only a trained agent of {', '.join(able)} does (AGENT:NAME@K or RUN_FOLDER@K)"
    )


def look_ahead(policy: Policy, env: Any, agent: str, look: Look, **kwargs: Any) -> Policy:
    """Make a trained agent look ahead in `env`; further arguments go to what its learner names for it.

    Args:
        policy: trained, pretrained or of a run.
        env: the environment that it will play.
        agent: registry name of its learner.
        look: how far.

    Raises:
        ValueError: agents of this learner cannot look ahead.
    """
    spec = agent_spec(agent)
    if spec.look_ahead is None:
        raise _cannot_look_ahead(str(getattr(policy, "name", agent)))
    ahead: Policy = load_entry(spec.look_ahead)(policy, env, **{**look.arguments, **kwargs})
    return ahead


def make_policy(name: str, env: Any, **kwargs: Any) -> Policy:
    """Make a policy by name, bound to `env`: a rule, a planner, or a pretrained agent (`AGENT:NAME`).

    `AGENT:NAME@K` looks ahead with K orders, `@K:MOVES` with a local search too, `@K:MOVES:past` at a price found on
    past episodes; further arguments go to it.

    Raises `KeyError` for an unknown name and `ValueError` for a learner, which must be trained first.
    """
    plain, look = split_lookahead(name)
    if ":" in plain:
        if look:
            return look_ahead(load_pretrained(plain, env), env, plain.partition(":")[0], look, **kwargs)
        return load_pretrained(name, env, **kwargs)
    if look and plain in AGENTS:
        raise _cannot_look_ahead(name)
    spec = agent_spec(name)
    if spec.trainable:
        raise ValueError(
            f"agent {name!r} learns: train it first (python train.py --agent {name}) and pass its run folder"
        )
    factory: Callable[..., Policy] = spec.load().for_env
    return factory(env, **kwargs)


def resolve_agents(items: Sequence[str] | str | None, env_id: str, *, trust_pickle: bool = False) -> dict[str, Entrant]:
    """Turn names and run folders into entrants, in the order given.

    Args:
        items: a sequence or a comma-separated string; an item is a registry name, a pretrained agent (`AGENT:NAME`),
            a run folder, a file that the environment takes for an agent (`Domain.agent_files`), a policy of your own
            (`FILE.py:CLASS` or `MODULE:CLASS`), or one of the last four as `LABEL=ITEM`. `@K` behind a pretrained
            agent or a run folder makes it look ahead with K orders, `@K:MOVES` with a local search too,
            `@K:MOVES:past` at a price found on past episodes. None or an empty string takes every agent of `env_id`
            that needs no training.
        env_id: a registered environment id.
        trust_pickle: open models of runs that an earlier version wrote (see `load_policy`).

    Returns:
        Name -> entrant; a pretrained agent is named by its label, else `AGENT:NAME`; a run folder by its label, else
        by its last two folders (`agent/run`).

    Raises:
        KeyError: a name that is neither an agent of this environment, nor a pretrained one, nor a folder; the
            message lists the known names.
        FileNotFoundError: a path that does not exist.
        ValueError: an agent that must be trained first, a file that is no agent, or two items of one name.
    """
    if isinstance(items, str):
        whole = _exists(items)  # a folder's name may hold a comma
        items = [items] if whole else [item.strip() for item in items.split(",") if item.strip()]
    if not items and not has_domain(env_id):
        raise ValueError(
            f"{env_id} has no domain, so no agents of its own; name run folders, or register one "
            "(stormgym.agents.registry.register_domain)"
        )
    if not items:
        items = tuple(name for name in known_agents(env_id, trainable=False) if AGENTS[name].usual)
    entrants: dict[str, Entrant] = {}
    for item in items:
        name, entrant = _resolve(item, env_id, trust_pickle)
        if name in entrants:
            raise ValueError(f"two agents are named {name!r}; give a run folder a label of its own: LABEL=RUN_DIR")
        entrants[name] = entrant
    return entrants


def _resolve(item: str, env_id: str, trust_pickle: bool) -> tuple[str, Entrant]:
    label, path = _split_label(item)
    if not (label or item).isprintable():
        raise ValueError(f"agent {item!r} has a character that cannot be printed; give it another label: LABEL=RUN_DIR")
    if len(label) > MOST_LABEL:
        raise ValueError(
            f"a label must have at most {MOST_LABEL} characters; got {len(label):,}. Shorten {label[:40]!r}..."
        )
    if not label and item in AGENTS:
        return item, _from_registry(item, env_id)
    plain, look = (path, Look()) if _exists(path) else split_lookahead(path)
    if plain.partition(":")[0] in AGENTS and ":" in plain:
        return label or path, _looking(_from_pretrained(plain, env_id), plain.partition(":")[0], look)
    folder = Path(os.path.expanduser(plain))  # which leaves a user who is not known as it is
    maker = domain_of(env_id).agent_files.get(folder.suffix)
    if maker is not None and os.path.isfile(folder):
        if look:
            raise _cannot_look_ahead(item)
        return label or folder.stem, _from_file(folder, maker)
    if os.path.isdir(folder):
        return label or _run_name(folder) + look.text, _from_run(folder, look, trust_pickle)
    if names_code(path):
        return label or path.rpartition(":")[2], _from_code(path)
    if look and plain in AGENTS:
        raise _cannot_look_ahead(item)
    if label and plain in AGENTS:
        raise ValueError(
            f"{plain!r} is known by its own name and takes no label; write {plain} instead of {item[:200]!r}"
        )
    if os.path.isfile(folder):
        raise _no_agent(folder, env_id)
    if label or _looks_like_path(item):
        raise FileNotFoundError(
            f"run folder {str(folder)!r} does not exist. Name a folder that train.py wrote "
            f"(runs/{env_id}/AGENT/RUN), or one of the agents {', '.join(known_agents(env_id))}."
        )
    known = (*known_agents(env_id), *known_pretrained(env_id))
    rest = f"known agents of {env_id}: {', '.join(known)}; or name a run folder, or FILE.py:CLASS"
    raise KeyError(unknown(f"unknown agent {item!r}", item, known, rest))


def _no_agent(file: Path, env_id: str) -> ValueError:
    """The error of a file that is there, and that the environment does not take for an agent."""
    kinds = ", ".join(sorted(domain_of(env_id).agent_files))
    takes = f"takes files of {kinds} for agents" if kinds else "takes no files for agents"
    if file.suffix == SUFFIX:
        cure = f"name the class in it: {file}:CLASS"
    else:
        cure = (
            "name a run folder; a model of Stable-Baselines3 is brought by a class of three lines, FILE.py:CLASS "
            "(docs/your_own.md#a-model-of-stable-baselines3)"
        )
    return ValueError(f"{str(file)!r} is a file, and {env_id} {takes}; {cure}")


def _split_label(item: str) -> tuple[str, str]:
    """`LABEL=ITEM` taken apart, "" for no label; folders of runs, such as `lr=0.1/RUN`, may have a `=` of their own."""
    if _exists(item):
        return "", item
    for place in (i for i, character in enumerate(item) if character == "="):
        path = item[place + 1 :]
        if _exists(path) or _exists(path.rpartition("@")[0]):
            return item[:place], path
    label, _, path = item.rpartition("=")
    return label, path


def _exists(path: str) -> bool:
    """Whether something has this name; no for a name that is no path at all."""
    return bool(path) and os.path.exists(os.path.expanduser(path))  # Path raises for some


def run_entrant(folder: Path, *, trust_pickle: bool = False) -> Entrant:
    """The agent of a run folder, whatever characters the folder's name has."""
    return _from_run(folder, Look(), trust_pickle)


def _looks_like_path(item: str) -> bool:
    return any(sep in item for sep in (os.sep, os.altsep, "~") if sep) or item.startswith(".")


def _run_name(folder: Path) -> str:
    parts = folder.resolve().parts[-2:]
    return "/".join(parts)


def _from_registry(name: str, env_id: str) -> Entrant:
    spec = agent_spec(name)
    if not has_domain(env_id):
        raise KeyError(f"agent {name!r} does not fit {env_id}, which has no agents of its own; name run folders")
    if domain_of(env_id).agent(name) is None:
        raise KeyError(f"agent {name!r} does not fit {env_id}; known agents: {', '.join(known_agents(env_id))}")
    if spec.trainable:
        ready = [full for full, card in known_pretrained(env_id).items() if card.agent == name]
        raise ValueError(
            f"agent {name!r} learns: train it first (python train.py --env {env_id} --agent {name}) "
            f"and name its run folder{', or take ' + ' or '.join(ready) if ready else ''}"
        )

    spec.load()  # an entry point that leads nowhere is told now, not after the others have played

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
    return Entrant(
        lambda env: load_pretrained(full_name, env),
        learned=True,
        summary=f"pretrained, {card.summary}",
        trained_on=card.trained_on.instance,
    )


def _looking(entrant: Entrant, agent: str, look: Look) -> Entrant:
    """The same agent, looking ahead; an empty look leaves it as it is. `agent` is its learner's name."""
    if not look:
        return entrant

    def make(env: Any) -> Policy:
        return look_ahead(entrant.make(env), env, agent, look)

    return replace(entrant, make=make, summary=f"{entrant.summary}{look.sentence}")


def _from_file(file: Path, maker: str) -> Entrant:
    def make(env: Any) -> Policy:
        policy: Policy = load_entry(maker)(file, env)
        return policy

    return Entrant(make, learned=True, summary=f"plans on the forecaster {file}")


def _from_code(item: str) -> Entrant:
    code = load_code(item)  # code that cannot be had is told now
    described = (code.__doc__ or "").strip()

    def make(env: Any) -> Policy:
        return own_policy(item, env)

    learned = getattr(code, "learned", False) is True
    return Entrant(make, learned=learned, summary=f"{item}: {described.splitlines()[0]}" if described else item)


def _from_run(folder: Path, look: Look, trust_pickle: bool) -> Entrant:
    def make(env: Any) -> Policy:
        policy: Policy = load_policy(folder, env, trust_pickle=trust_pickle)
        return look_ahead(policy, env, open_run(folder).settings.agent, look) if look else policy

    return Entrant(make, learned=True, summary=f"trained, {folder}{look.sentence}", run=folder, ahead=look.text)
