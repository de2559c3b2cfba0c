"""What environments of decision problems share, and how a problem of your own becomes one.

Those that come with the suite are in the modules named `*_env`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from stormgym.envs.decisions.core import RENDER_MODES, DecisionCore
from stormgym.envs.decisions.problem import DecisionProblem
from stormgym.envs.doors import BatchedVectorEnv, CoreFacts, SingleEnv


class HasProblem(CoreFacts):
    """What the single and the vector environment both show beside the facts of every environment."""

    core: DecisionCore

    @property
    def problem(self) -> DecisionProblem:
        """The problem as planners may know it."""
        return self.core.announced.problem


def environments_of(
    problem_class: Callable[..., DecisionProblem], name: str = "Decision"
) -> tuple[type[SingleEnv], type[BatchedVectorEnv]]:
    """The single and the native vector environment of a problem of your own.

    Their arguments are those of the problem, `split` and `render_mode`; their docstring is the problem's.

    Args:
        problem_class: makes the problem from keyword arguments that JSON can hold.
        name: of the classes.
    """
    own = [p.replace(kind=p.KEYWORD_ONLY) for p in inspect.signature(problem_class).parameters.values()]
    further = [
        inspect.Parameter("split", inspect.Parameter.KEYWORD_ONLY, default="test"),
        inspect.Parameter("render_mode", inspect.Parameter.KEYWORD_ONLY, default=None),
    ]
    batch = inspect.Parameter("batch", inspect.Parameter.POSITIONAL_OR_KEYWORD)

    class Core(DecisionCore):
        __signature__ = inspect.Signature([batch, *own, *further])

        def __init__(self, batch: int, *, split: Any = "test", render_mode: str | None = None, **kwargs: Any) -> None:
            super().__init__(batch, problem_class(**kwargs), split, render_mode)

    modes = {"render_modes": list(RENDER_MODES), "render_fps": 1}
    doc = inspect.getdoc(problem_class)
    members = {"core_class": Core, "metadata": modes, "__doc__": doc, "__module__": problem_class.__module__}
    members["problem_class"] = staticmethod(problem_class)
    single = type(f"{name}Env", (HasProblem, SingleEnv), dict(members))
    vector = type(f"{name}VectorEnv", (HasProblem, BatchedVectorEnv), dict(members))
    return single, vector
