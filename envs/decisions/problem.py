"""`DecisionProblem`: what is known before a decision, what then comes, what the decision costs, what can be decided.

A problem is what happens, whoever decides: data or a generator, the cost of a decision when an outcome comes, the set
of decisions that can be carried out, the best one in hindsight, and the true law of outcomes where it is known. It
knows no forecaster and no solver under uncertainty; those are in `stormgym.agents.decisions`.

`cost` is written once for arrays and tensors (`namespace`), so that learners differentiate the very function that the
environment charges. Nothing here imports torch.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from gymnasium import spaces

from stormgym.envs.arrays import Bools, Floats, Ints

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PAST: tuple[Split, ...] = ("train", "validation")
"""Cases that any planner may learn from."""
REPAIRED = 1e-5
"""How far, as a share of its range, a part of a decision may be moved before it counts as repaired: float32 rounds."""


def namespace(array: Any) -> Any:
    """NumPy for arrays, torch for tensors: functions that both have under one name (`exp`, `where`, `linalg.solve`).

    Torch is not imported: who has a tensor has done so.
    """
    return sys.modules["torch"] if type(array).__module__.startswith("torch") else np


@dataclass(frozen=True, eq=False)
class Cases:
    """E decisions to take: what is known before each, and what came."""

    context: Mapping[str, Floats]
    """Name -> `[E, ...]`, what is known before."""
    outcomes: Floats
    """`[E, ...]` what came."""
    hidden: Mapping[str, Floats] = field(default_factory=dict)
    """Name -> `[E, ...]`, the state of the true law where a problem knows it (`DecisionProblem.true_outcomes`)."""
    number: Ints | None = None
    """`[E]` place of each among the cases of its split; None where they were drawn afresh."""

    def __len__(self) -> int:
        """E."""
        return len(self.outcomes)

    def rows(self, index: Any) -> Self:
        """The cases of these indices (an array, a slice)."""
        return type(self)(
            {name: values[index] for name, values in self.context.items()},
            self.outcomes[index],
            {name: values[index] for name, values in self.hidden.items()},
            None if self.number is None else self.number[index],
        )


class DecisionProblem:
    """One decision under uncertainty, to be minimised; subclasses write the methods that say so.

    Attributes:
        n: size of a decision.
        context_shapes: name -> shape of each array that is known before; the observation has one entry each.
        low, high: `[n]` bounds of decisions; `project` keeps them.
        usual: centre and spread `[2, n]` of decisions that were good in the past, by which learners scale theirs.
        cost_unit: what a cost is counted in, for tables ("" where it is points or money without a currency).
        knows_truth: whether `true_outcomes` gives the true law.
        key: equal for two problems exactly when everything in them is equal; forecasters are kept under it.
    """

    n: int
    context_shapes: Mapping[str, tuple[int, ...]]
    low: Floats
    high: Floats
    cost_unit: ClassVar[str] = ""
    knows_truth: ClassVar[bool] = False
    key: Hashable
    _open: tuple[Split, ...] = SPLITS

    def __eq__(self, other: object) -> bool:
        """Whether both are the same problem, by `key`, and show the same splits."""
        if not isinstance(other, DecisionProblem):
            return NotImplemented
        return type(self) is type(other) and (self.key, self._open) == (other.key, other._open)

    def __hash__(self) -> int:
        """Of the key."""
        return hash((type(self), self.key, self._open))

    @property
    def usual(self) -> Floats:
        """Centre and spread of the best decisions in hindsight on the training cases; computed once."""
        memory = self._memory()
        if "usual" not in memory:
            best = self.best(self.cases("train").outcomes)
            memory["usual"] = np.stack([best.mean(axis=0), np.maximum(best.std(axis=0), 1e-9)])
        return memory["usual"]

    def cases(self, split: Split) -> Cases:
        """All cases of a split: recorded ones, or for a synthetic family a fixed sample (its `test` too).

        Raises:
            ValueError: another word, or a split that is closed (`for_planners`).
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        if split not in self._open:
            raise ValueError(f"cases of split {split!r} are not for planners; learn from {' and '.join(self._open)}")
        return self._cases(split)

    def _cases(self, split: Split) -> Cases:
        raise NotImplementedError(f"{type(self).__name__} must write _cases()")

    def draw(self, rngs: list[np.random.Generator], split: Split) -> Cases:
        """One case a generator: a recorded one at random. Synthetic families draw fresh ones for `test`."""
        cases = self._cases(split)
        number = np.array([rng.integers(len(cases)) for rng in rngs], dtype=np.int64)
        drawn = cases.rows(number)
        return Cases(drawn.context, drawn.outcomes, drawn.hidden, number)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """Cost `[...]` of decisions `[..., n]` when outcomes `[..., *]` come, broadcast; arrays or tensors.

        Constants that are arrays become what the decisions are by `namespace(plans).asarray(...)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must write cost()")

    def project(self, plans: Floats) -> Floats:
        """Decisions `[B, n]` that can be carried out, nearest to those wanted; those that can are left as they are."""
        return np.clip(plans, self.low, self.high)

    @property
    def action_space(self) -> spaces.Space[Any]:
        """What agents choose from: decisions themselves, unless a problem asks for something else."""
        return spaces.Box(self.low.astype(np.float32), self.high.astype(np.float32), dtype=np.float32)

    def plans_of(self, actions: Any) -> tuple[Floats, Bools]:
        """Decisions `[B, n]` that actions stand for, repaired where they must be, and which were `[B]`."""
        plans = self.project(actions)
        moved = np.abs(plans - actions) / np.maximum(self.high - self.low, 1e-300)
        return plans, np.asarray((moved > REPAIRED).any(axis=1))

    def actions_of(self, plans: Floats) -> Any:
        """Actions `[B, *]` of the action space that stand for decisions `[B, n]`, or for the nearest that can be."""
        return plans

    def true_metrics(self, plans: Floats, cases: Cases) -> dict[str, Floats]:
        """Figures `[E]` of decisions `[E, n]` that the true law gives, by name; names are the same in all splits."""
        del plans, cases
        return {}

    def best(self, outcomes: Floats) -> Floats:
        """The best decisions in hindsight `[B, n]`, of known outcomes `[B, *]` (the clairvoyant)."""
        raise NotImplementedError(f"{type(self).__name__} must write best()")

    def true_outcomes(self, cases: Cases, n_samples: int, rng: np.random.Generator) -> Floats:
        """Samples `[S, E, *]` of what could have come, from the true law given context and hidden state.

        Raises:
            ValueError: the law is not known.
        """
        del cases, n_samples, rng
        raise ValueError(f"the true law of {type(self).__name__} is not known")

    def best_costs(self, split: Split) -> Floats:
        """Cost `[E]` of the best decisions in hindsight for all cases of a split; computed once."""
        memory = self._memory()
        if split not in memory:
            outcomes = self._cases(split).outcomes
            memory[split] = np.asarray(self.cost(self.best(outcomes), outcomes), dtype=np.float64)
        return memory[split]

    def _memory(self) -> dict[str, Floats]:
        """What is computed once, for all copies of this problem."""
        memory: dict[str, Floats] = self.__dict__.setdefault("_computed_once", {})
        return memory

    def for_planners(self) -> Self:
        """The same problem without its test cases: what the environment announces."""
        self._memory()  # shared from now on
        twin = copy.copy(self)
        twin._open = PAST
        return twin

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """Draw one case (E = 1) and a decision on matplotlib axes; the outcome where a decision `[n]` was taken.

        The usual picture has one bar a part of the decision; problems whose outcome is no vector of n write their own.
        """
        at = np.arange(self.n)
        if plan is not None:
            axes.bar(at, plan, color="#0072B2", label="decision")
            if case.outcomes.shape[1:] == (self.n,):
                axes.plot(at, case.outcomes[0], "o", color="#D55E00", label="outcome")
            axes.legend(loc="upper left")
        axes.set_xlabel("part of the decision")
