"""What a policy may read of the environment that it is bound to: all of it what is announced, some of it the truth.

An environment announces what any planner may know beside the observation (`env.announced`, a frozen record of its
domain). What nobody can know ahead (`env.truth`) is for policies that say `privileged = True`, and reading it is
counted: an evaluation compares `truth_reads` before and after.
"""

from __future__ import annotations

from typing import Any

ANY_ID = "an environment of stormgym"
MOST_LAYERS = 20
"""Wrappers that are looked through, at most."""


class PrivilegeError(ValueError):
    """A policy reads the truth and does not say so."""


def base_envs(env: Any, attribute: str = "announced", kind: type = object, env_id: str = ANY_ID) -> list[Any]:
    """Return the environments behind `env`: one (single or batched), or those that a vector environment loops over.

    Sees through Gymnasium's and Stable-Baselines3's wrappers.

    Args:
        env: any of them.
        attribute, kind: what tells them: they have this attribute, of this class.
        env_id: what they are called, for the message.

    Raises:
        TypeError: `env` is another environment, or runs in other processes.
    """
    return [base for base, _ in _found(env, attribute, kind, env_id)]


def _found(env: Any, attribute: str, kind: type, env_id: str) -> list[tuple[Any, Any]]:
    """The environments behind `env`, and the attribute of each."""
    layer = env
    for _ in range(MOST_LAYERS):
        if layer is None:
            break
        layer = getattr(layer, "unwrapped", layer)
        value = getattr(layer, attribute, None)
        if value is not None and isinstance(value, kind):
            return [(layer, value)]
        if getattr(layer, "envs", None):
            return [pair for inner in layer.envs for pair in _found(inner, attribute, kind, env_id)]
        layer = getattr(layer, "env", None) or getattr(layer, "venv", None)
    raise TypeError(
        f"this agent needs {env_id}, whose environment has a `{attribute}`, in this process; got {env!r}. "
        f'Make it with gym.make("stormgym:{env_id}") or gym.make_vec; it cannot read other processes.'
    )


def announced_of(env: Any) -> list[Any]:
    """What is announced now by each of the environments behind `env`; rows of an observation follow one another so.

    Raises:
        TypeError: no environment that announces anything, or one that runs in other processes.
    """
    return [record for _, record in _found(env, "announced", object, ANY_ID)]


def truth_of(env: Any, policy: Any) -> list[Any]:
    """The truth of each of the environments behind `env`, for a policy that may read it.

    Raises:
        PrivilegeError: the policy does not say `privileged = True`.
        TypeError: no environment that has a truth, or one that runs in other processes.
    """
    if getattr(policy, "privileged", False) is not True:
        name = getattr(policy, "name", type(policy).__name__)
        raise PrivilegeError(
            f"policy {name!r} reads the truth of {env!r}, which only policies with `privileged = True` may. "
            "Say so on its class, so that tables mark it; or plan on what is announced, with announced_of(env)"
        )
    return [base.truth for base in base_envs(env, "truth_reads", int)]


def truth_reads(env: Any) -> int:
    """How often the truth of the environments behind `env` has been read; 0 for those that keep no count."""
    try:
        return sum(count for _, count in _found(env, "truth_reads", int, ANY_ID))
    except TypeError:
        return 0
