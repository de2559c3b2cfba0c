"""What every environment of the suite is made of: a core that plays B episodes, and the facts that hold whoever plays.

A core has no signatures of Gymnasium. `stormgym.envs.doors` makes a single environment (B = 1) and a native vector
environment of it; a new environment is a subclass of `Core` and two short classes that name it.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.risk_measure import MEAN, RiskMeasure
from stormgym.predictors.extras import require

Timing = Literal["dense", "terminal"]
"""When rewards or costs are paid: with each step, or all with the last one."""


class Step(NamedTuple):
    """What one step of B episodes gives."""

    reward: Floats  # [B]
    cost: Floats  # [B] of the step
    terminated: Bools  # [B]
    truncated: Bools  # [B]
    any_ended: bool


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of regions between which equity is measured."""

    ids: Ints
    """`[N]` group of each region, 0..G-1."""
    names: tuple[str, ...]
    """G names."""


class Core:
    """B episodes of an environment; subclasses write the methods, and what of the facts below is not the default.

    Attributes:
        observation_space, action_space: of one environment.
        batch: B.
        cost_limit: limit on the expected cost of an episode, in the unit of the costs; None where there is none.
        cost_limit_range: (low, high) from which each episode draws its own limit; None where all have the same.
        risk_measure: the statistic of the costs of episodes that the limit bounds: the mean, or one of their tail.
        settles_when_truncated: whether the last step of a truncated episode charges all that was left to come, so that
            nothing remains to be bootstrapped.
        instance_name: of the city or profile that is played, as reports head it; empty where there is neither.
        groups: groups of regions by which reports are broken down; None where there are none.
        process: the state of the episodes; None where a core keeps it otherwise.
        truth_reads: how often `truth`, or `process` from outside, has been read.
    """

    observation_space: spaces.Dict
    action_space: Any
    batch: int
    cost_limit: float | None = None
    cost_limit_range: tuple[float, float] | None = None
    risk_measure: RiskMeasure = MEAN
    settles_when_truncated: bool = False
    instance_name: str = ""
    groups: Groups | None = None
    process: Any = None
    truth_reads: int = 0

    @cached_property
    def return_unit(self) -> float:
        """What one natural unit of an episode's return is, by which learners scale rewards; it may take simulations."""
        return 1.0

    @property
    def usual_action(self) -> Floats | None:
        """Centre and spread `[2, n]` of good actions of n numbers, by which learners scale theirs; None: not known."""
        return None

    def times_h(self, rows: Any = slice(None)) -> Floats | None:
        """Hours until each region had power, `[len(rows), N]`, of rows that have ended; None where it is not known."""
        del rows
        return None

    @property
    def announced(self) -> Any:
        """What any planner may know now: a frozen record; None where nothing is announced but the observation."""
        return None

    @property
    def truth(self) -> Any:
        """What only policies with `privileged = True` may read: a frozen record; None where nothing is hidden."""
        return None

    def parse_options(self, options: Mapping[str, Any]) -> Any:
        """Options of a reset, those without a value left out, as `reset` takes them.

        Raises:
            ValueError: one that does not fit.
        """
        del options

    def reset(self, rngs: list[np.random.Generator], rows: Ints | None = None, options: Any = None) -> None:
        """Draw new episodes.

        Args:
            rngs: one generator a row; all that is random in an episode is drawn here.
            rows: those that begin; None for all.
            options: from `parse_options`.
        """
        raise NotImplementedError(f"{type(self).__name__} must write reset()")

    def side_generators(self, rngs: list[np.random.Generator], rows: Ints | None = None) -> list[np.random.Generator]:
        """Further generators that a reset with these would draw from, one a row, which outlive episodes; [] for none.

        Args:
            rngs, rows: as for `reset`.
        """
        del rngs, rows
        return []

    def step(self, actions: NDArray[Any], live: Bools | None = None) -> Step:
        """Advance all episodes by one action each.

        Args:
            actions: as `validate_actions` returns them.
            live: `[B]` False for rows that are about to be reset, whose step does not count; None: all count.
        """
        raise NotImplementedError(f"{type(self).__name__} must write step()")

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Ints:
        """Actions of all rows, in range; those of `waiting` rows `[B]`, whose episodes are over, do not count.

        Raises:
            TypeError: another shape or kind of number.
            ValueError: one is out of range.
        """
        raise NotImplementedError(f"{type(self).__name__} must write validate_actions()")

    def observe(self, row: int | None = None) -> Observation:
        """Fresh copies of what agents see: with a leading axis B, or of one row without it."""
        raise NotImplementedError(f"{type(self).__name__} must write observe()")

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """What every info holds beside the cost, by name `[B, ...]`, as fresh copies."""
        raise NotImplementedError(f"{type(self).__name__} must write extra_info()")

    def metrics(self, rows: Any) -> dict[str, Floats]:
        """Figures of finished episodes, name to `[len(rows)]`."""
        raise NotImplementedError(f"{type(self).__name__} must write metrics()")

    def action_masks(self) -> Bools:
        """Which choices are open now, `[B, A]`."""
        raise NotImplementedError(f"{type(self).__name__} must write action_masks()")

    def render_row(self, row: int, mode: str) -> Any:
        """One row as text (`"ansi"`) or as a frame (`"rgb_array"`)."""
        raise NotImplementedError(f"{type(self).__name__} must write render_row()")


class Payment:
    """Pays rewards and costs of B episodes with each step ("dense") or all with the last one ("terminal").

    The sums over an episode are the same.

    Args:
        batch: B.
        reward, cost: when each is paid.

    Raises:
        ValueError: another word.
    """

    def __init__(self, batch: int, reward: Timing, cost: Timing) -> None:
        check_choice("reward", reward, ("dense", "terminal"))
        check_choice("cost", cost, ("dense", "terminal"))
        self.reward_dense, self.cost_dense = reward == "dense", cost == "dense"
        self._reward_so_far = np.zeros(batch)

    @property
    def any_dense(self) -> bool:
        """Whether a step must know what it is worth before the episode ends."""
        return self.reward_dense or self.cost_dense

    def begin(self, rows: Ints | None) -> None:
        """Episodes of `rows` (all when None) begin."""
        self._reward_so_far[slice(None) if rows is None else rows] = 0.0

    def pay(self, step: Step, total_cost: Floats, total_reward: Floats | None = None) -> Step:
        """A dense step as it is paid.

        Args:
            step: with reward and cost of this step alone.
            total_cost: `[B]` cost of the episodes so far, this step included.
            total_reward: `[B]` their reward so far; None: the sum of the steps.
        """
        if self.reward_dense and self.cost_dense:
            return step
        ended = step.terminated | step.truncated
        if not self.reward_dense:
            if total_reward is None:
                self._reward_so_far += step.reward
                total_reward = self._reward_so_far
            step = step._replace(reward=np.where(ended, total_reward, 0.0))
        if not self.cost_dense:
            step = step._replace(cost=np.where(ended, total_cost, 0.0))
        return step


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless an argument is one of a few names."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def check_render_mode(render_mode: str | None, modes: tuple[str, ...]) -> None:
    """Raise unless a mode is known and its packages are installed; None renders nothing.

    Raises:
        ValueError: an unknown mode.
        MissingExtraError: pictures, without Matplotlib.
    """
    if render_mode is None:
        return
    check_choice("render_mode", render_mode, modes)
    if render_mode == "rgb_array":
        require('render_mode="rgb_array"', "matplotlib", "render")


def numbers_of(name: str, values: Any) -> Floats:
    """A fresh array of what a caller gave as numbers.

    Raises:
        ValueError: texts, rows of different lengths, numbers too large for a float; the message begins with `name`.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of numbers; got {str(values)[:80]} ({error})") from error


def is_number(value: Any) -> bool:
    """Whether a value is one real number that a float can hold (or an array without axes); truths and texts are not."""
    if value is None or isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value):
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of Python, NumPy or torch; truths are not."""
    if isinstance(value, bool | np.bool_):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def whole_choices(actions: Any, batch: int, n_choices: int, waiting: Bools | None, rule: str) -> Ints:
    """Actions `[B]` of environments of one choice as integers in 0..n_choices - 1; `waiting` rows `[B]` get 0.

    Args:
        actions: what was given.
        batch: B.
        n_choices: how many there are.
        waiting: rows whose episodes are over; None: none.
        rule: what an action must be, which begins the error for one out of range.

    Raises:
        TypeError: not B integers.
        ValueError: one is out of range.
    """
    chosen = np.asarray(actions)
    if chosen.shape != (batch,) or chosen.dtype.kind not in "iu":
        raise TypeError(
            f"actions must be {batch} integers, shape ({batch},); got shape {chosen.shape}, dtype {chosen.dtype}"
        )
    chosen = chosen.astype(np.int64, copy=False)
    if waiting is not None:
        chosen = np.where(waiting, 0, chosen)
    outside = chosen.view(np.uint64) >= n_choices  # as unsigned numbers, negative ones are huge
    if np.count_nonzero(outside):
        row = int(outside.argmax())
        raise ValueError(f"{rule}; got {chosen[row]}{in_environment(row, batch)}")
    return chosen


def in_environment(row: int, batch: int) -> str:
    """Which environment of a batch an error is about, with a space before; nothing of one alone."""
    return f" in environment {row}" if batch > 1 else ""
