"""One price on an episode's cost for all episodes, found on past ones so that their mean cost meets the limit.

By Lagrangian duality a limit on the *mean* cost over episodes is best met by one price in all of them: the cost is
then small where that is cheap, and larger where it is dear. A limit in each episode costs more for the same mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.policy import Policy
from stormgym.envs.arrays import Floats
from stormgym.envs.cache import Costly, check_numbers, recall_arrays
from stormgym.envs.making import episode_seeds, make_batch

PAST = "past"
"""In place of a price: one that is found on past episodes."""
N_EPISODES = 96
"""Past episodes on which a price is tried."""
SEED = 2**31 - 1 - 19
"""Of the seeds of past episodes, far from those that people give."""
NOT_OF_THE_EPISODE = frozenset({"render_mode", "autoreset_mode", "num_envs", "vectorization_mode", "vector_kwargs"})
"""Arguments of environments that change no episode."""
MOST_TRIES = 8
CLOSE = 0.02
"""A mean cost is met when it is within this share below the aim."""
MOST_PRICE = 20.0
"""Units of return for a unit of cost: a higher price changes nothing any more."""
FALL = 0.4
"""The cost falls about as the price to this power: where the next price is tried."""

Maker = Callable[[Any, float], Policy]
"""Makes a policy from an environment and a price."""


def past_arguments(base: Any) -> dict[str, Any]:
    """Arguments with which episodes of the past are made: those of training, where records are split in halves.

    Raises:
        ValueError: the environment was not made by its id.
    """
    spec = getattr(base, "spec", None)
    if spec is None:
        raise ValueError("this environment was not made by its id, so no past storms can be had; give the price")
    kwargs = {**spec.kwargs, "split": "all" if spec.kwargs.get("split", "all") == "all" else "train"}
    return {name: value for name, value in kwargs.items() if name not in NOT_OF_THE_EPISODE}


def kept_price(cost_at: Callable[[float], float], aim: float, told: Sequence[Any], first: float = 0.1) -> float:
    """The price of `find_price`, from the cache where it has been found before.

    Args:
        cost_at: mean cost of past episodes at a price.
        aim: mean cost that the price shall meet.
        told: all that decides `cost_at`, of what JSON can hold; a city stands for its data.
        first: the price that is tried first.
    """
    key = key_of_past("price 2", aim, first, *told)

    def make() -> dict[str, Floats]:
        return {"price": np.array([find_price(cost_at, aim, first)])}

    return float(recall_arrays(Costly("price", key, ("price",), make, _check_price))["price"][0])


def key_of_past(*told: Any) -> str:
    """All that decides what is found on past episodes, as the key of a cache."""
    return json.dumps(told, sort_keys=True, default=_told)


def _told(value: Any) -> str:
    """What stands for an argument that JSON cannot hold, such as a city."""
    return str(value.fingerprint()) if hasattr(value, "fingerprint") else str(value)


def _check_price(stored: Mapping[str, NDArray[Any]]) -> None:
    """Raise `ValueError` for what `find_price` cannot have found."""
    check_numbers(stored, {"price": (1,)})
    if not 0 <= stored["price"][0] <= MOST_PRICE:
        raise ValueError(f"price must be from 0 to {MOST_PRICE:g}; got {stored['price'][0]}")


def find_price(cost_at: Callable[[float], float], aim: float, first: float = 0.1) -> float:
    """Try prices until the mean cost is within `CLOSE` below the aim.

    The least price that was tried and keeps the aim, where none comes so close; `MOST_PRICE` where none keeps it.
    """
    price, kept, broken = 0.0, np.inf, 0.0
    for _ in range(MOST_TRIES):
        cost = cost_at(price)
        if cost <= aim:
            kept = min(kept, price)
            if price == 0.0 or cost >= (1.0 - CLOSE) * aim:
                break
        elif price >= MOST_PRICE:
            break
        else:
            broken = max(broken, price)
        ratio = (cost / ((1.0 - 0.5 * CLOSE) * aim)) ** (1.0 / FALL)
        guess = first if price == 0.0 else price * float(np.clip(ratio, 0.2, 5.0))
        if not broken < guess < kept:
            guess = 0.5 * (broken + kept) if np.isfinite(kept) else 5.0 * broken
        price = min(guess, MOST_PRICE)
    return min(kept, MOST_PRICE)


def past_episodes(env_id: str, env_kwargs: Mapping[str, Any], n_episodes: int = N_EPISODES) -> tuple[Any, list[int]]:
    """A batch of environments, and the seeds of past episodes for it."""
    return make_batch(env_id, n_episodes, dict(env_kwargs)), list(episode_seeds(SEED, n_episodes))


def mean_cost(env_id: str, env_kwargs: Mapping[str, Any], maker: Maker, price: float) -> float:
    """Mean cost of past episodes that a policy plays at a price."""
    env, seeds = past_episodes(env_id, env_kwargs)
    try:
        policy = maker(env, price)
        observation, _ = env.reset(seed=seeds)
        state, cost = None, np.zeros(len(seeds))
        over, start = np.zeros(len(seeds), dtype=bool), np.ones(len(seeds), dtype=bool)
        while not over.all():
            action, state = policy.predict(observation, state, start)
            observation, _, terminated, truncated, info = env.step(action)
            start = terminated | truncated
            cost = np.where(over, cost, cost + np.asarray(info["cost"]))
            over |= start
        return float(cost.mean())
    finally:
        env.close()
