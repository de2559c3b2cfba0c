"""How a method with attention reads an environment: its tokens, and what a buffer keeps of them; said by a domain.

A domain hands out one `Reading` (`Domain.tokens`). Shapes: B states, N choices, K actors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.attention.parts import Parts
from stormgym.envs.arrays import Bools, Floats, Ints, Observation

Recall = Callable[[Observation, Any, Bools], tuple[Observation, Any]]
"""(observation, memory, episode_start) -> the observation with what is remembered in it, and the next one's memory.

A memory is a dict of arrays with axis B; None, and rows whose episode begins, remember nothing."""

Shapes = Mapping[str, tuple[tuple[int, ...], Any]]
"""Name of an array -> shape of one entry, and dtype."""


COMMON: Shapes = {
    "actions": ((), np.int64),
    "rewards": ((), np.float32),
    "costs": ((), np.float32),
    "behaviour": ((), np.float32),
    "taught": ((), np.bool_),
}
"""What is kept of every step, whatever is observed."""


@dataclass(frozen=True)
class Layout:
    """What is kept of an environment's observations. Subclasses say how it is read and handed out.

    Args:
        n_actions: N, of the action space.
        steps: kept of every step, beside `COMMON`.
        first: kept of an episode's first observation.
        batch: the tuple that M episodes are handed out as, with a field for each array.
        cut: steps and first observations whose choices are cut to the largest number of a batch.
        episode_steps: about how many steps an episode of the environment has; None: as many as there are actions.
        n_parts: parts of an action, each of which is kept as a step of its own.
    """

    n_actions: int
    steps: Shapes
    first: Shapes
    batch: type[Any]
    cut: tuple[str, ...] = ()
    episode_steps: int | None = None
    n_parts: int = 1

    @property
    def usual_steps(self) -> int:
        """Steps of the environment in a usual episode."""
        return self.n_actions if self.episode_steps is None else self.episode_steps

    def read_step(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The arrays of `steps`, each with axis B."""
        raise NotImplementedError(f"{type(self).__name__} must write read_step()")

    def read_first(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The arrays of `first`, each with axis B."""
        raise NotImplementedError(f"{type(self).__name__} must write read_first()")

    def size(self, first: Mapping[str, NDArray[Any]]) -> int:
        """Choices that one episode really has, padding aside."""
        del first
        return self.n_actions

    def place(self, first: Mapping[str, NDArray[Any]]) -> int:
        """A number for where one episode takes place, such as its city; the same for all where that is one."""
        del first
        return 0


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a network over tokens reads of B states: things to choose among, who serves them, what is common; float32.

    No feature has a unit.
    """

    choices: NDArray[np.float32]
    """`[B, N, F]`; 0 for those that are not open."""
    is_open: Bools
    """`[B, N]`"""
    actors: NDArray[np.float32]
    """`[B, K, F']`, the first column 1 for the actor that is asked."""
    common: NDArray[np.float32]
    """`[B, C]`"""
    limit: Floats
    """`[B]` cost limits."""
    unit: Floats
    """`[B]` unit of the return."""


class TokenSizes(NamedTuple):
    """Sizes of the tokens of one observation space."""

    n_choices: int
    """N; the action N chooses none of them."""
    n_actors: int
    """K"""
    choice: int
    """F"""
    actor: int
    """F'"""
    common: int
    """C"""


@dataclass(frozen=True)
class Reading:
    """A domain's own part of STA-SAC."""

    fits: Callable[[spaces.Space[Any]], bool]
    """Whether an observation space is the domain's."""
    layout: Callable[..., Layout]
    """What the buffer keeps, from the observation space; where actions have parts, from the action space too."""
    policy: str
    """"module:Class" of the networks, a `STASACPolicy`."""
    needs: str
    """What an observation must have, in words of an error."""
    tokens: Callable[[Observation], Tokens] | None = None
    """The tokens of a batched observation, for networks that read tokens anew at every step."""
    sizes: Callable[[Any], TokenSizes] | None = None
    """Their sizes, from the observation space."""
    n_groups: Callable[[Any], int] | None = None
    """Number of groups, from the observation space."""
    round_share: float = 1.0
    """Steps of each environment between updates, in steps of a usual episode: about an episode."""
    parts: Parts | None = None
    """How an action of several parts is chosen part by part; None: an action is one choice."""
    practice: str | None = None
    """"module:Class" that plays storms in simulation, for the actor to learn from beside real ones; None: none does."""
    recall: Recall | None = None
    """What networks must know of earlier observations of an episode, where one does not tell all."""
    remaining: Callable[[Observation], Ints] | None = None
    """`[B]` what is left of an episode: a number that falls to the end. None: the open choices."""

    def layout_of(self, space: spaces.Space[Any], action_space: spaces.Space[Any]) -> Layout:
        """What the buffer keeps, from both spaces.

        Raises:
            ValueError: actions of another kind than is read: parts, or one choice.
        """
        self.check_actions(action_space)
        return self.layout(space) if self.parts is None else self.layout(space, action_space)

    def check_actions(self, action_space: spaces.Space[Any]) -> None:
        """Raise `ValueError` unless actions are of the kind that is read: parts, or one choice."""
        kind = spaces.Discrete if self.parts is None else spaces.MultiDiscrete
        if not isinstance(action_space, kind):
            raise ValueError(
                f"STA-SAC takes {kind.__name__} actions with such observations; got {action_space}. "
                f"It needs a {self.needs}"
            )

    def left(self, observation: Observation) -> Ints:
        """`[B]` what is left of each episode."""
        if self.remaining is not None:
            return self.remaining(observation)
        n_open: Ints = observation["action_mask"].sum(axis=1)
        return n_open


class TokenEpisodes(NamedTuple):
    """M whole episodes, padded to T steps; `valid` is False on the padding."""

    choices: torch.Tensor  # [M, T, N, F] float16
    is_open: torch.Tensor  # [M, T, N] bool
    actors: torch.Tensor  # [M, T, K, F'] float16
    common: torch.Tensor  # [M, T, C] float32
    limit: torch.Tensor  # [M, T] float32
    unit: torch.Tensor  # [M, T] float32
    action_mask: torch.Tensor  # [M, T, N + 1] bool
    actions: torch.Tensor  # [M, T] int64
    rewards: torch.Tensor  # [M, T] float32
    costs: torch.Tensor  # [M, T] float32
    behaviour: torch.Tensor  # [M, T] float32, probability of the action when it was chosen
    taught: torch.Tensor  # [M, T] bool, whether a teacher took the step
    valid: torch.Tensor  # [M, T] bool


@dataclass(frozen=True)
class TokenLayout(Layout):
    """The tokens of every step; nothing is shared between the steps of an episode."""

    tokens: Callable[[Observation], Tokens] | None = None

    @classmethod
    def of(
        cls,
        sizes: TokenSizes,
        tokens: Callable[[Observation], Tokens],
        *,
        episode_steps: int | None = None,
        n_parts: int = 1,
    ) -> TokenLayout:
        """For tokens of these sizes; further arguments as on `Layout`."""
        n, k = sizes.n_choices, sizes.n_actors
        return cls(
            n_actions=n + 1,
            steps={
                "choices": ((n, sizes.choice), np.float16),
                "is_open": ((n,), np.bool_),
                "actors": ((k, sizes.actor), np.float16),
                "common": ((sizes.common,), np.float32),
                "limit": ((), np.float32),
                "unit": ((), np.float32),
                "action_mask": ((n + 1,), np.bool_),
            },
            first={},
            batch=TokenEpisodes,
            episode_steps=episode_steps,
            n_parts=n_parts,
            tokens=tokens,
        )

    def read_step(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Its tokens."""
        assert self.tokens is not None
        tokens = self.tokens(dict(observation))
        names = ("choices", "is_open", "actors", "common", "limit", "unit")
        read = {**{name: getattr(tokens, name) for name in names}, "action_mask": observation["action_mask"]}
        for name in ("choices", "is_open", "action_mask"):  # of parts that have fewer choices than another
            lacking = self.steps[name][0][0] - read[name].shape[1]
            if lacking > 0:
                width = [(0, 0), (0, lacking), *[(0, 0)] * (read[name].ndim - 2)]
                read[name] = np.pad(read[name], width)
        return read

    def read_first(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Nothing."""
        del observation
        return {}
