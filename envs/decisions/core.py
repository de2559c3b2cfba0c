"""The core of every decision problem: one step that repairs the decision, charges its cost and ends."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Floats, Ints, Observation, read_only
from stormgym.envs.core import Core, Step, check_choice, check_render_mode, in_environment
from stormgym.envs.decisions.knowledge import DecisionAnnounced, DecisionTruth
from stormgym.envs.decisions.problem import SPLITS, Cases, DecisionProblem, Split

RENDER_MODES = ("ansi", "rgb_array")
MOST = float(np.finfo(np.float32).max)


class DecisionCore(Core):
    """B cases of one problem, a decision each.

    Args:
        batch: B.
        problem: what happens.
        split: which cases are drawn.
        render_mode: of `render_row`.
    """

    cases: Cases
    settles_when_truncated = True
    """Episodes of one step are never truncated."""

    def __init__(
        self, batch: int, problem: DecisionProblem, split: Split = "test", render_mode: str | None = None
    ) -> None:
        check_choice("split", split, SPLITS)
        check_render_mode(render_mode, RENDER_MODES)
        self.batch, self.problem, self.split = batch, problem, split
        self.plans = np.zeros((batch, problem.n))  # [B, n] as carried out
        self.repaired = np.zeros(batch)  # [B] 1 where the decision had to be changed
        self.decided = np.zeros(batch, dtype=bool)  # [B] whether the step has been taken
        self.action_space = problem.action_space
        self.n_choices = _n_choices(self.action_space)
        parts: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-MOST, MOST, shape, dtype=np.float32) for name, shape in problem.context_shapes.items()
        }
        self.observation_space = spaces.Dict({"action_mask": spaces.MultiBinary(self.n_choices), **parts})
        self._announced = DecisionAnnounced(problem.for_planners())

    @cached_property
    def return_unit(self) -> float:
        """What always deciding as was best in the past on average costs, or gains."""
        cases = self.problem.cases("train")
        plan = self.problem.project(self.problem.usual[:1])
        return max(abs(float(np.mean(self.problem.cost(plan, cases.outcomes)))), 1e-9)

    @property
    def usual_action(self) -> Floats | None:
        """Centre and spread `[2, n]` of decisions that were good in the past; None where actions are choices."""
        return self.problem.usual if isinstance(self.action_space, spaces.Box) else None

    @property
    def announced(self) -> DecisionAnnounced:
        """The problem, without test cases."""
        return self._announced

    @property
    def truth(self) -> DecisionTruth:
        """The current cases with their outcomes."""
        c = self.cases
        whole = Cases(
            {name: read_only(values) for name, values in c.context.items()},
            read_only(c.outcomes),
            {name: read_only(values) for name, values in c.hidden.items()},
        )
        return DecisionTruth(self.problem, whole)

    def reset(self, rngs: list[np.random.Generator], rows: Ints | None = None, options: Any = None) -> None:
        """Draw a case for each of `rows` (all when None)."""
        del options
        drawn = self.problem.draw(rngs, self.split)
        if rows is None:
            self.cases = drawn
        else:
            for name, values in drawn.context.items():
                self.cases.context[name][rows] = values
            for name, values in drawn.hidden.items():
                self.cases.hidden[name][rows] = values
            self.cases.outcomes[rows] = drawn.outcomes
            if drawn.number is not None and self.cases.number is not None:
                self.cases.number[rows] = drawn.number
        self.decided[slice(None) if rows is None else rows] = False

    def step(self, actions: Floats, live: Bools | None = None) -> Step:
        """Carry out all decisions, each repaired into the feasible set, and charge them."""
        del live  # a step of a row that is about to be reset counts nowhere
        self.plans, repaired = self.problem.plans_of(actions)
        self.repaired = repaired.astype(np.float64)
        fresh = ~self.decided
        self.decided = np.ones(self.batch, dtype=bool)
        over = fresh.copy()
        return Step(
            -self._costs(slice(None)), np.zeros(self.batch), over, np.zeros(self.batch, dtype=bool), bool(over.any())
        )

    def _costs(self, rows: Any) -> Floats:
        return np.asarray(self.problem.cost(self.plans[rows], self.cases.outcomes[rows]), dtype=np.float64)

    def validate_actions(self, actions: Any, waiting: Bools | None) -> Any:
        """Actions `[B, *]`; decisions outside the bounds are repaired by `step`.

        Raises:
            TypeError: another shape or kind of number.
            ValueError: one is not finite, or no choice that there is.
        """
        wanted = np.asarray(actions)
        continuous = isinstance(self.action_space, spaces.Box)
        shape = (self.batch, *(self.action_space.shape or ()))
        # choices of 0 and 1 come as floats from Stable-Baselines3
        kinds = "iu" if isinstance(self.action_space, spaces.MultiDiscrete) else "iuf" if continuous else "biuf"
        if wanted.shape != shape or wanted.dtype.kind not in kinds:
            kind = "numbers" if continuous else "integers"
            raise TypeError(f"actions must be {kind} of shape {shape}; got shape {wanted.shape}, dtype {wanted.dtype}")
        plans = wanted.astype(np.float64)
        good = np.isfinite(plans)
        if not continuous:
            most = getattr(self.action_space, "nvec", 2) - 1
            good &= (plans >= 0) & (plans <= most) & (plans == np.floor(np.where(good, plans, 0.5)))
        bad = ~good.all(axis=1)
        if waiting is not None:
            plans[waiting] = 0.0
            bad &= ~waiting
        if bad.any():
            row = int(bad.argmax())
            rule = "finite numbers" if continuous else f"whole numbers from 0 to {int(np.max(most))}"
            raise ValueError(
                f"a decision must be {shape[1]} {rule}; got {wanted[row].tolist()}{in_environment(row, self.batch)}"
            )
        return plans if continuous else plans.astype(np.int64)

    def observe(self, row: int | None = None) -> Observation:
        """The context and an open mask."""
        rows = slice(None) if row is None else slice(row, row + 1)
        seen: Observation = {
            "action_mask": np.ones((self.batch, self.n_choices), dtype=np.int8)[rows],
            **{name: values[rows].astype(np.float32) for name, values in self.cases.context.items()},
        }
        return seen if row is None else {name: values[0] for name, values in seen.items()}

    def extra_info(self) -> dict[str, NDArray[Any]]:
        """The mask; there is no limit, as there are no groups to be fair to."""
        return {"action_mask": self.action_masks().astype(np.int8)}

    def action_masks(self) -> Bools:
        """All open: what cannot be carried out is repaired."""
        return np.ones((self.batch, self.n_choices), dtype=bool)

    def metrics(self, rows: Any) -> dict[str, Floats]:
        """Cost, that of the best decision in hindsight, their difference, whether the decision was repaired, and what
        the problem's true law says of it (`DecisionProblem.true_metrics`).
        """
        cost, optimum = self._costs(rows), self._optimum(rows)
        return {
            "cost": cost,
            "optimum": optimum,
            "regret": cost - optimum,
            "repaired": self.repaired[rows].copy(),
            **self.problem.true_metrics(self.plans[rows], self.cases.rows(rows)),
        }

    def _optimum(self, rows: Any) -> Floats:
        if self.cases.number is not None:
            return self.problem.best_costs(self.split)[self.cases.number[rows]]
        outcomes = self.cases.outcomes[rows]
        return np.asarray(self.problem.cost(self.problem.best(outcomes), outcomes), dtype=np.float64)

    def render_row(self, row: int, mode: str) -> Any:
        """Text or picture of one row."""
        from stormgym.envs.decisions.render import render

        plan = self.plans[row] if self.decided[row] else None
        return render(self.problem, self.cases.rows(slice(row, row + 1)), plan, mode)


def _n_choices(space: spaces.Space[Any]) -> int:
    """Length of the mask: a part of a continuous action each, a choice each of the others."""
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    n = int(np.prod(space.shape or ()))
    return 2 * n if isinstance(space, spaces.MultiBinary) else n
