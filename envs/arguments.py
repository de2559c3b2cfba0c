"""Arguments of environments as callers give them: one that nobody knows is answered with those that there are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym

from stormgym.envs.spelling import unknown


def id_of(env_class: type[Any]) -> str:
    """The id under which a class is registered with Gymnasium, alone or as a vector form; else its own name."""
    entries = (env_class, f"{env_class.__module__}:{env_class.__qualname__}")
    for env_id, spec in gym.registry.items():
        if spec.entry_point in entries or spec.vector_entry_point in entries:
            return env_id
    return env_class.__name__


def bound_arguments(
    env_class: type[Any],
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    further: Iterable[str] = (),
    name: str | None = None,
) -> dict[str, Any]:
    """The arguments by name.

    Args:
        env_class: whose they are.
        signature: what it takes.
        args, kwargs: what is given.
        further: arguments that are taken elsewhere, for the message.
        name: what callers know it by; None: its id.

    Raises:
        TypeError: one that it does not take, or another fault of the call.
    """
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        check_known(lambda: name or id_of(env_class), kwargs, (*signature.parameters, *further))
        raise TypeError(f"{name or id_of(env_class)}: {error}") from None


def check_known(name: Callable[[], str], given: Iterable[str], known: Sequence[str]) -> None:
    """Raise `TypeError` for the first argument that is not known; `name` says whose they are."""
    for argument in given:
        if argument not in known:
            said = f"{name()} takes no argument {argument!r}"
            raise TypeError(unknown(said, argument, known, f"it takes {', '.join(known)}"))


def checks_arguments(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let an `__init__` with arguments of its own refuse others as the environments over a core do.

    Args:
        name: what callers know the environment by.
    """

    def of(init: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(init).parameters.values())
        signature = inspect.Signature(own[1:])  # without self

        @functools.wraps(init)
        def checked(self: Any, *args: Any, **kwargs: Any) -> None:
            bound_arguments(type(self), signature, args, kwargs, name=name)
            init(self, *args, **kwargs)

        return checked

    return of
