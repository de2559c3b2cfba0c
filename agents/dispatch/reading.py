"""How STA-SAC reads generator dispatch: an allocation is chosen county by county, numbers of generators are choices."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.attention.parts import Parts
from stormgym.agents.attention.reading import Reading, TokenLayout
from stormgym.agents.dispatch.tokens import (
    N_GROUPS,
    asked_of,
    fits,
    n_counties_of,
    n_days_of,
    prepare,
    read,
    recall,
    sizes_of,
    tokens_of,
)
from stormgym.envs.arrays import Ints, Observation
from stormgym.envs.dispatch.core import STATE
from stormgym.envs.dispatch.process import fit_to_stock

_DAYS_LEFT = STATE.index("days_left")


def _n_parts(observation: Observation) -> int:
    return int(observation["stock"].shape[1])


def _ask(observation: Observation, chosen: Ints) -> Observation:
    """The mask is over levels 0..N - 1 and a choice more, which is never open: a level is always chosen."""
    known = read({**observation, "chosen": chosen})
    _, _, most = asked_of(known)
    mask = np.arange(int(known.most.max()) + 2) <= most[:, None]
    return {**observation, "chosen": chosen, "action_mask": mask.astype(np.int8)}


def _join(observation: Observation, choices: Ints) -> Ints:
    action = np.zeros_like(choices)
    np.put_along_axis(action, read(observation).order, choices, axis=1)
    return action


def _split(observation: Observation, action: NDArray[Any]) -> Ints:
    """Allocations of more generators than there are, are taken as the environment takes them (`fit_to_stock`)."""
    known = read(observation)
    whole = np.minimum(np.asarray(action, dtype=np.int64), known.most)
    total = known.state["generators"].astype(np.int64)
    fitted = np.stack([fit_to_stock(row, int(most)) for row, most in zip(whole, total, strict=True)])
    return np.take_along_axis(fitted, known.order, axis=1)


def _remaining(observation: Observation) -> Ints:
    return np.rint(np.asarray(observation["state"])[:, _DAYS_LEFT]).astype(np.int64)


def _layout(space: spaces.Dict, action_space: spaces.MultiDiscrete) -> TokenLayout:
    return TokenLayout.of(
        sizes_of(space, int(action_space.nvec.max())),
        tokens_of,
        episode_steps=n_days_of(space),
        n_parts=n_counties_of(space),
    )


READING = Reading(
    fits=fits,
    layout=_layout,
    policy="stormgym.agents.sta_sac.token_policy:TokenPolicy",
    needs="Dict of counties and forecasts with whole allocations as actions (GeneratorDispatch-v0)",
    tokens=tokens_of,
    sizes=sizes_of,
    n_groups=lambda space: N_GROUPS,
    parts=Parts(n_parts=_n_parts, prepare=prepare, ask=_ask, join=_join, split=_split),
    recall=recall,
    remaining=_remaining,
)
