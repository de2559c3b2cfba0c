"""Options of environments on a command line: named by their domains, explained by their docstrings.

What is left out keeps the environment's own default.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any

import gymnasium as gym
import tyro

from stormgym.agents.registry import DOMAINS, domain_of, has_domain
from stormgym.envs.data.tables import keys_once
from stormgym.envs.making import spec_of
from stormgym.envs.spelling import unknown

MOST_DIGITS = 400
"""Of a whole number in an option; more are no number of anything, and Python reads 4,300 at most."""


def shown_as(metavar: str, text: str | None = None) -> Any:
    """How `--help` prints an optional option: a word for its value, and no default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="", help=text)


@dataclass(frozen=True, kw_only=True)
class EnvOptions:
    """Arguments of the environment; those left out keep its defaults."""

    option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, shown_as("KEY=VALUE")] = ()
    """Any further argument of the environment as KEY=VALUE, e.g. render_mode=ansi; may be repeated."""

    def env_kwargs(self) -> dict[str, Any]:
        """Return the arguments that the command line sets.

        Raises:
            ValueError: an `option` is not KEY=VALUE, or names an argument twice; a limit that is neither a number nor a
                range.
        """
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "option"}
        kwargs = {name: read_value(name, text) for name, text in named.items() if text is not None}
        for item in self.option:
            key, equals, text = item.partition("=")
            if not equals or not key.isidentifier():
                raise ValueError(f"--option takes KEY=VALUE, e.g. render_mode=ansi; got {item!r}")
            if key in kwargs:
                raise ValueError(f"argument {key!r} is given twice; keep one")
            kwargs[key] = _json_or_text(text)
        return kwargs


def options_of(env_ids: Sequence[str] | None = None) -> type[EnvOptions]:
    """The options class of some environments, a field for each argument that their domains name.

    Args:
        env_ids: ids whose options are there and explained; None takes those of every domain, so that one which an
            environment does not take is told so by `check_env_kwargs`, with the arguments that it takes.
    """
    names: dict[str, str] = {}
    for env_id in DOMAINS if env_ids is None else env_ids:
        for name in domain_of(env_id).options:
            names.setdefault(name, env_id)
    added: list[Any] = []
    for name, env_id in names.items():
        parameters = _parameters(env_id)
        if parameters is not None and name not in parameters:
            raise ValueError(f"Domain.options of {env_id} names {name!r}, which the environment does not take")
        word = "NUMBER|LOW-HIGH" if name == "cost_limit" else name.rpartition("_")[2].upper()
        text = argument_help(env_id).get(name, "See the environment's docstring.")
        added.append((name, Annotated[str | None, shown_as(word, text)], None))
    return extended(EnvOptions, added)


def extended(base: type[Any], added: Sequence[Any]) -> type[Any]:
    """A frozen dataclass like `base`, with fields `(name, type, default)` behind its own."""
    told = {"__module__": base.__module__, "__doc__": base.__doc__}
    return make_dataclass(base.__name__, added, bases=(base,), frozen=True, kw_only=True, namespace=told)


def read_value(name: str, text: str) -> Any:
    """Read an argument of an environment as a command line gives it.

    `cost_limit` is a number or a range; what the environments take as text (their default says so) stays text; anything
    else is JSON where it can be, such as a number.
    """
    if name == "cost_limit":
        return limit_of(text)
    for env_id in DOMAINS:
        if name in domain_of(env_id).options:
            parameter = (_parameters(env_id) or {}).get(name)
            if parameter is not None and isinstance(parameter.default, str):
                return text
    return _json_or_text(text)


def limit_of(text: str) -> float | tuple[float, float]:
    """Read a limit as a command line gives it: "8" is a number, "4-20" or "4,20" a range.

    Raises:
        ValueError: anything else.
    """
    number = r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*"
    pair = re.fullmatch(f"{number}[-,]{number}", text)
    try:
        return float(text) if pair is None else (float(pair[1]), float(pair[2]))
    except ValueError:
        raise ValueError(f"--cost-limit must be a number (8) or a range (4-20); got {text!r}") from None


def _json_or_text(text: str) -> Any:
    def whole(digits: str) -> int:
        if len(digits) > MOST_DIGITS:
            raise ValueError(f"a number of an option must have at most {MOST_DIGITS} digits; got {digits[:40]}...")
        return int(digits)

    try:
        return json.loads(text, object_pairs_hook=partial(keys_once, f"an option, {text[:200]!r}"), parse_int=whole)
    except json.JSONDecodeError:
        return text
    except RecursionError:
        raise ValueError(f"an option is nested too deep; got {text[:200]!r}...") from None


def known_ids() -> tuple[str, ...]:
    """Ids of the environments that this suite registers, and of those of other packages with a domain."""
    import stormgym  # noqa: F401  (registers the ids)

    ours = {i for i, s in gym.registry.items() if str(s.entry_point).startswith("stormgym.")}
    return tuple(sorted(ours | {*DOMAINS}))


def check_env_id(env_id: str) -> str:
    """Return the id of a registered environment; `stormgym:Restoration-v0` loses its prefix, others keep theirs.

    A prefix `module:` is imported first, and may register environment and domain. It stays in the id, so that a run can
    be resumed and scored in another process.

    Raises:
        KeyError: no such environment; the message lists those of this suite.
    """
    try:
        plain = spec_of(env_id).id
    except (gym.error.Error, ImportError) as error:
        import pettingzoo

        if isinstance(error, ImportError):
            raise KeyError(
                f"the module of {env_id!r} cannot be imported ({error}); is its folder on PYTHONPATH? Known "
                f"environments: {', '.join(known_ids())}"
            ) from None
        rest = f"known environments: {', '.join(known_ids())}"
        text = unknown(f"unknown environment {env_id!r}", env_id.removeprefix("stormgym:"), known_ids(), rest)
        if env_id.removeprefix("stormgym:") in pettingzoo.aec_registry:
            text = f"{env_id!r} is a game: make it with pettingzoo.make; environments: {', '.join(known_ids())}"
        raise KeyError(text) from None
    module = env_id.rpartition(":")[0]
    return plain if module in ("", "stormgym") else f"{module}:{plain}"


def takes(env_id: str, argument: str) -> bool:
    """Whether an environment has an argument of this name."""
    parameters = _parameters(env_id)
    return parameters is not None and argument in parameters


def held_out(env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the environment that scores what was trained on these: records that training never drew."""
    return {**env_kwargs, **({"split": "test"} if env_kwargs.get("split") == "train" else {})}


def argument_help(env_id: str) -> dict[str, str]:
    """What the docstring of an environment says of each argument, from its "Args:" section."""
    return dict(_argument_help(_entry(env_id)))


@cache
def _argument_help(entry: Any) -> dict[str, str]:
    lines = (inspect.getdoc(entry) or "").partition("Args:\n")[2].splitlines()
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if line.strip() == "" or not line.startswith(" "):
            break
        begin = re.match(r" {2,4}(\w+(?:, \w+)*): (.*)", line)
        if begin is not None:
            names = begin[1].split(", ")
        text = (line.strip() if begin is None else begin[2]).replace("`", "")
        for name in names:
            texts[name] = f"{texts[name]} {text}" if name in texts and begin is None else text
    return {name: f"{text[:1].upper()}{text[1:]}" for name, text in texts.items()}


def _entry(env_id: str) -> Any:
    entry: Any = spec_of(env_id).entry_point
    if isinstance(entry, str):
        module, _, name = entry.partition(":")
        entry = getattr(import_module(module), name)
    return entry


def _parameters(env_id: str) -> Mapping[str, inspect.Parameter] | None:
    """Arguments of an environment; None where it takes any."""
    entry = _entry(env_id)
    parameters = inspect.signature(entry).parameters if callable(entry) else {}
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else parameters


def check_env_kwargs(env_id: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError`, naming the known arguments, when the environment does not take one of them."""
    parameters = _parameters(env_id)
    if parameters is None:
        return
    wrong = [k for k in kwargs if k not in parameters]
    if wrong:
        known: Sequence[str] = [k for k in parameters if k not in ("self", "render_mode")]
        said = f"{env_id} takes no argument {wrong[0]!r}"
        raise ValueError(unknown(said, wrong[0], known, f"it takes {', '.join(known)}"))


def with_options(settings: type[Any], words: Sequence[str]) -> type[Any]:
    """A command line's dataclass with the options of environments in its field `environment`.

    Help shows those of the environment that is asked for. Otherwise every domain's are read, so that an option that
    this environment does not take gets an error which says what it takes.

    Args:
        settings: the dataclass.
        words: the command line.

    Raises:
        KeyError: help on an unknown environment.
    """
    asked = word_behind("--env", words) or next(f.default for f in fields(settings) if f.name == "env")
    if asks_for_help(words):
        env_id = check_env_id(str(asked))
        options = options_of([env_id] if has_domain(env_id) else [])
    else:
        with suppress(gym.error.Error, ImportError):
            spec_of(str(asked))  # the module of a prefix may bring a domain
        options = options_of()
    kind = tyro.conf.OmitArgPrefixes[options]  # type: ignore[valid-type]  # made at run time
    added = [("environment", kind, field(default_factory=options))]
    return extended(settings, added)


def word_behind(option: str, words: Sequence[str]) -> str | None:
    """The value of an option on a command line that is not read yet; None where it is left out."""
    for i, word in enumerate(words):
        if word == option:
            return words[i + 1] if i + 1 < len(words) else None
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return bool({"-h", "--help"} & {*words})
