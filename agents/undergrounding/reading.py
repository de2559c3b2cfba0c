"""How STA-SAC reads undergrounding: regions that can be paid are the choices, and one choice more stops.

All regions, buried or not, are the actors' tokens beside the planner's own, which is asked: what cannot be chosen any
more still decides where crews go. Features are those of `season_inputs`, without units, and two for each of
three storms that say what a knapsack would do, so that one network takes any number of regions. Shapes: B seasons, K
regions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from stormgym.agents.attention.reading import Reading, TokenLayout, Tokens, TokenSizes
from stormgym.agents.undergrounding.network import N_GROUPS, N_OVERALL, N_REGION, is_undergrounding, season_inputs
from stormgym.envs.arrays import Bools, Floats, Observation
from stormgym.envs.undergrounding.core import STATE
from stormgym.envs.undergrounding.process import BUDGET_ROUNDING

_WAVES = ("mean", "lower", "upper")
"""Storms for which a knapsack is told."""
N_CHOICE = N_REGION + 2 * len(_WAVES)
LEAST_UNIT = 0.2
"""The unit of return is the forecast loss, and at least this share of the limit."""
_AT = {name: i for i, name in enumerate(STATE)}


def n_regions_of(space: spaces.Space[Any]) -> int:
    """K of an observation space."""
    assert isinstance(space, spaces.Dict)
    shape = space["mean"].shape
    assert shape is not None
    return shape[0]


def sizes_of(space: spaces.Space[Any]) -> TokenSizes:
    """Sizes of the tokens."""
    k = n_regions_of(space)
    return TokenSizes(n_choices=k, n_actors=k + 1, choice=N_CHOICE, actor=N_CHOICE + 1, common=N_OVERALL)


def tokens_of(observation: Observation) -> Tokens:
    """The tokens of a batched observation."""
    x = season_inputs({name: torch.as_tensor(np.asarray(values)).float() for name, values in observation.items()})
    known = torch.cat([x.tokens, x.moving], dim=-1)[:, :-1].numpy()  # the last one is the stop's
    regions = np.concatenate([known, _greedy(observation)], axis=-1).astype(np.float32)
    is_open = np.asarray(observation["action_mask"])[:, :-1] > 0
    b, k, f = regions.shape
    actors = np.zeros((b, k + 1, f + 1), dtype=np.float32)
    actors[:, 0, 0] = 1.0  # the planner, who is asked at every step
    actors[:, 1:, 1:] = regions
    people = np.asarray(observation["population"], dtype=np.float64)
    expected_h = (people * observation["mean"]).sum(axis=1) / people.sum(axis=1)
    limit = np.maximum(np.asarray(observation["state"], dtype=np.float64)[:, _AT["cost_limit"]], 1e-9)
    return Tokens(
        choices=regions * is_open[..., None],
        is_open=is_open,
        actors=actors,
        common=x.overall.numpy().astype(np.float32),
        limit=limit,
        unit=np.maximum(expected_h, LEAST_UNIT * limit),
    )


def _greedy(observation: Observation) -> Floats:
    """What is best bought with what is left, by loss for the money, in three storms `[B, K, 6]`: if so, and its worth.

    The largest losses, which crews take away for nothing, are worth nothing.
    """
    state = np.asarray(observation["state"], dtype=np.float64)
    people = np.asarray(observation["population"], dtype=np.float64)
    cost = np.asarray(observation["protect_cost"], dtype=np.float64)
    open_ = np.asarray(observation["action_mask"])[:, :-1] > 0
    bare = np.asarray(observation["protected"]) < 0.5
    left = state[:, _AT["budget_left"]] + BUDGET_ROUNDING * state[:, _AT["budget"]]
    n_crews = np.rint(state[:, _AT["n_crews"]])
    columns = []
    for name in _WAVES:
        loss = people * np.asarray(observation[name], dtype=np.float64) * bare
        rank = np.argsort(np.argsort(-loss, axis=1, kind="stable"), axis=1, kind="stable")
        worth = np.where(rank < n_crews[:, None], 0.0, loss) / cost
        most = np.max(worth, axis=1, keepdims=True)
        columns += [_bought(worth, cost, open_, left), worth / np.maximum(most, 1e-300)]
    return np.stack(columns, axis=-1)


def _bought(worth: Floats, cost: Floats, open_: Bools, left: Floats) -> Floats:
    """Regions `[B, K]` that a greedy knapsack takes: the most worth first, nothing that is worth nothing."""
    order = np.argsort(-worth, axis=1, kind="stable")
    rows, money = np.arange(len(worth)), left.copy()
    taken = np.zeros(worth.shape)
    for at in order.T:  # K steps of B rows
        pays = open_[rows, at] & (worth[rows, at] > 0) & (cost[rows, at] <= money)
        money -= np.where(pays, cost[rows, at], 0.0)
        taken[rows, at] = pays
    return taken


def teacher_for(announced: Any) -> str:
    """The agent that plans best: the exact plan where the worst storm comes, else the plan over samples of the weather
    that keeps the limit."""
    return "tri-level" if announced.adversarial else "fair-hardening"


def _layout(space: Any) -> TokenLayout:
    return TokenLayout.of(sizes_of(space), tokens_of)


READING = Reading(
    fits=is_undergrounding,
    layout=_layout,
    policy="stormgym.agents.sta_sac.token_policy:TokenPolicy",
    needs="Dict with columns of regions whose lines can be buried (Undergrounding-v0)",
    tokens=tokens_of,
    sizes=sizes_of,
    n_groups=lambda space: N_GROUPS,
)
