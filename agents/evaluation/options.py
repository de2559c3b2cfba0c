"""Options of an environment on a command line: what is left out keeps the environment's own default."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Annotated, Any

import gymnasium as gym
import tyro

from stormgym.envs.making import spec_of


def shown_as(metavar: str) -> Any:
    """How the help shows an option that may be left out: a word for its value, and no default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True, kw_only=True)
class EnvOptions:
    """Arguments of the environment; those left out keep its defaults."""

    city: Annotated[str | None, shown_as("CITY")] = None
    """City: "default", "synthetic:N:SEED", or a folder with regions.csv, log.csv and city.json. Training also takes
    "synthetic:LOW-HIGH:SEED:COUNT", COUNT cities of LOW to HIGH regions."""
    predictor: Annotated[str | None, shown_as("NAME")] = None
    """Source of the forecast interval: ecqr, cqr, cp, point or none."""
    confidence_level: Annotated[float | None, shown_as("SHARE")] = None
    """Nominal coverage of the interval, in (0, 1)."""
    cost_limit: Annotated[str | None, shown_as("NUMBER|LOW-HIGH")] = None
    """Limit on the mean cost of an episode (Restoration-v0: gap in hours); a range such as 4-20 draws one for each."""
    shock: Annotated[str | None, shown_as("NAME")] = None
    """Factor shared by all durations or by those of a group: none, common or group."""
    max_travel_km: Annotated[float | None, shown_as("KM")] = None
    """Regions farther than this (road km) are closed while a nearer one is open."""
    income_effect: Annotated[float | None, shown_as("NUMBER")] = None
    """Link from income to repair hours in the generator (1 as calibrated, 0 none); synthetic cities only."""
    profile: Annotated[str | None, shown_as("NAME")] = None
    """Counties, storms and costs. GeneratorDispatch-v0: A, B, ten, synthetic:K:SEED, or a folder with counties.csv,
    profile.json and outages*.csv. Undergrounding-v0: ten, appendix-g, synthetic:K:SEED, or a folder with
    regions.csv, storms.csv and profile.json."""
    split: Annotated[str | None, shown_as("NAME")] = None
    """Records that are drawn: all, or one half of each region's, train or test (train.py takes train, and scores on
    test)."""
    option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, shown_as("KEY=VALUE")] = ()
    """Any further argument of the environment as KEY=VALUE, e.g. shock_log_sd=0.5; may be repeated."""

    def env_kwargs(self) -> dict[str, Any]:
        """Return the arguments that were given.

        Raises:
            ValueError: an `option` is not KEY=VALUE, or names an argument twice; a limit that is neither a number nor a
                range.
        """
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "option"}
        kwargs = {name: value for name, value in named.items() if value is not None}
        if "cost_limit" in kwargs:
            kwargs["cost_limit"] = limit_of(kwargs["cost_limit"])
        for item in self.option:
            key, equals, text = item.partition("=")
            if not equals or not key.isidentifier():
                raise ValueError(f"--option takes KEY=VALUE, e.g. shock_log_sd=0.5; got {item!r}")
            if key in kwargs:
                raise ValueError(f"argument {key!r} is given twice; keep one")
            kwargs[key] = _value(text)
        return kwargs


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


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def known_ids() -> tuple[str, ...]:
    """Ids of the environments that this suite registers."""
    import stormgym  # noqa: F401  (registers the ids)

    return tuple(sorted(i for i, s in gym.registry.items() if str(s.entry_point).startswith("stormgym.")))


def check_env_id(env_id: str) -> str:
    """Return the plain id of a registered environment (`stormgym:Restoration-v0` loses its prefix).

    Raises:
        KeyError: no such environment; the message lists those of this suite.
    """
    try:
        return spec_of(env_id).id
    except (gym.error.Error, ImportError):
        import pettingzoo

        text = f"unknown environment {env_id!r}; known environments: {', '.join(known_ids())}"
        if env_id.removeprefix("stormgym:") in pettingzoo.aec_registry:
            text = f"{env_id!r} is a game: make it with pettingzoo.make; environments: {', '.join(known_ids())}"
        raise KeyError(text) from None


def takes(env_id: str, argument: str) -> bool:
    """Whether an environment has an argument of this name."""
    parameters = _parameters(env_id)
    return parameters is not None and argument in parameters


def held_out(env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the environment that scores what was trained on these: records that training never drew."""
    return {**env_kwargs, **({"split": "test"} if env_kwargs.get("split") == "train" else {})}


def _parameters(env_id: str) -> Mapping[str, inspect.Parameter] | None:
    """Arguments of an environment; None where it takes any."""
    entry = spec_of(env_id).entry_point
    if isinstance(entry, str):
        module, _, name = entry.partition(":")
        entry = getattr(import_module(module), name)
    parameters = inspect.signature(entry).parameters if callable(entry) else {}
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else parameters


def check_env_kwargs(env_id: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError`, naming the arguments there are, when the environment does not take one of them."""
    parameters = _parameters(env_id)
    if parameters is None:
        return
    unknown = [k for k in kwargs if k not in parameters]
    if unknown:
        known: Sequence[str] = [k for k in parameters if k not in ("self", "render_mode")]
        raise ValueError(f"{env_id} takes no argument {unknown[0]!r}; it takes {', '.join(known)}")
