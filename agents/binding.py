"""Access of policies to the environment that they are bound to: the announced facts, and for privileged ones the truth.

`env.announced`, a frozen record of the domain, holds what any planner may know beside the observation. `env.truth`
holds what nobody can know ahead, such as true repair times; it is for policies with `privileged = True`. Reading it is
counted, and an evaluation compares `truth_reads` before and after.
"""

from __future__ import annotations

from typing import Any

ANY_ID = "an environment of stormgym"
MOST_LAYERS = 20
"""Most nested wrappers that `base_envs` unwraps."""


class PrivilegeError(ValueError):
    """A policy without `privileged = True` reads the truth."""


def base_envs(env: Any, attribute: str = "announced", kind: type = object, env_id: str = ANY_ID) -> list[Any]:
    """Return the environments behind `env`: one (single or batched), or those that a vector environment loops over.

    Unwraps Gymnasium's and Stable-Baselines3's wrappers.

    Args:
        env: Env, VectorEnv or VecEnv, wrapped or not.
        attribute, kind: the environments wanted are those with this attribute, an instance of this class.
        env_id: name of the environment wanted, for the message.

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
    made = "stormgym:ID" if env_id == ANY_ID else f"stormgym:{env_id}"
    raise TypeError(
        f"this agent needs {env_id}, whose environment has a `{attribute}`, in this process; got {env!r}. "
        f'Make it with gym.make("{made}") or gym.make_vec; it cannot read other processes.'
    )


def announced_of(env: Any) -> list[Any]:
    """The announced records of the environments behind `env`, in the order of an observation's rows.

    Raises:
        TypeError: no environment that announces anything, or one that runs in other processes.
    """
    return [record for _, record in _found(env, "announced", object, ANY_ID)]


def truth_of(env: Any, policy: Any) -> list[Any]:
    """The truth of each of the environments behind `env`, in the order of rows; for privileged policies only.

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
