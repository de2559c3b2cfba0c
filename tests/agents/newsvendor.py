"""A decision problem small enough to know all about, from outside the package: how much of three goods to order.

Demand depends on the weather, the goods are counted in units that differ by five orders of magnitude, and what is left
over or lacking costs money. The best order for a known law of demand is a quantile, so learners can be held to it.
Importing this module registers the environment and its domain.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from stormgym.agents.binding import truth_of
from stormgym.agents.domain import AgentSpec, Column, Domain, Headline
from stormgym.agents.general import PPO, SAC
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import register_domain
from stormgym.envs.arrays import Bools, Floats, Observation
from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.problem import Cases, DecisionProblem, Split, namespace
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv

ENV_ID = "Newsvendor-v0"
UNIT = np.array([1.0, 1_000.0, 0.01])
"""What one usual amount of each good is, as it is counted."""
PRICE, OVER, UNDER = 1.0, 1.0, 6.0
"""Of a usual amount: to buy, to be left with, to lack."""
SD = 0.2
N_CASES = {"train": 600, "validation": 200, "test": 200}


class Newsvendor(DecisionProblem):
    """Orders `[3]` before demand `[3]` is known.

    Args:
        fresh: draw new cases for the test rather than recorded ones.
    """

    n = 3
    context_shapes = {"weather": (2,), "calendar": (2, 2)}  # noqa: RUF012 - as the class declares it
    low, high = np.zeros(3), 10.0 * UNIT
    cost_unit = "USD"
    knows_truth = True

    def __init__(self, fresh: bool = False) -> None:
        self.fresh = fresh
        self.key = ("newsvendor", fresh)
        self._kept = {
            split: self._made(size, np.random.default_rng(i)) for i, (split, size) in enumerate(N_CASES.items())
        }

    def _made(self, n_cases: int, rng: np.random.Generator) -> Cases:
        weather = rng.normal([15.0, 1_013.0], [8.0, 6.0], (n_cases, 2))
        calendar = np.stack([rng.uniform(0, 1, (n_cases, 2)), np.ones((n_cases, 2))], axis=1)
        context = {"weather": weather, "calendar": calendar}
        mean = self.mean_of(context)
        return Cases(context, mean + UNIT * SD * rng.normal(size=mean.shape), {"mean": mean})

    @staticmethod
    def mean_of(context: Any) -> Floats:
        """Mean demand `[E, 3]`."""
        warm, high = (context["weather"][:, 0] - 15.0) / 8.0, (context["weather"][:, 1] - 1_013.0) / 6.0
        late = context["calendar"][:, 0, 0]
        return UNIT * np.clip(3.0 + np.stack([0.5 * warm, 0.4 * high - 0.3 * warm, late], axis=1), 1.0, 6.0)

    def _cases(self, split: Split) -> Cases:
        return self._kept[split]

    def draw(self, rngs: list[np.random.Generator], split: Split) -> Cases:
        """Recorded cases, or fresh ones."""
        if not (self.fresh and split == "test"):
            return super().draw(rngs, split)
        each = [self._made(1, rng) for rng in rngs]
        return Cases(
            {name: np.concatenate([c.context[name] for c in each]) for name in self.context_shapes},
            np.concatenate([c.outcomes for c in each]),
            {"mean": np.concatenate([c.hidden["mean"] for c in each])},
        )

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """Money for what is bought, left over and lacking."""
        over, unit = plans - outcomes, namespace(plans).asarray(UNIT)
        return ((PRICE * plans + OVER * over.clip(0) + UNDER * (-over).clip(0)) / unit).sum(-1)

    def best(self, outcomes: Floats) -> Floats:
        """Order what is wanted."""
        return self.project(outcomes)

    def best_known(self, context: Any) -> Floats:
        """The best order `[E, 3]` where the law of demand is known: a quantile."""
        return self.project(self.mean_of(context) + UNIT * SD * norm.ppf((UNDER - PRICE) / (UNDER + OVER)))

    def true_outcomes(self, cases: Cases, n_samples: int, rng: np.random.Generator) -> Floats:
        """Normal around the mean."""
        return cases.hidden["mean"] + UNIT * SD * rng.normal(size=(n_samples, len(cases), self.n))


class NewsvendorCore(DecisionCore):
    """B newsvendors; arguments as on `NewsvendorEnv`."""

    def __init__(
        self, batch: int, *, fresh: bool = False, split: Split = "test", render_mode: str | None = None
    ) -> None:
        super().__init__(batch, Newsvendor(fresh), split, render_mode)


class NewsvendorEnv(HasProblem, SingleEnv):
    """Order three goods before demand is known.

    Args:
        fresh: whether each test case is new.
        split: which cases are drawn: `train`, `validation` or `test`.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = NewsvendorCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class NewsvendorVectorEnv(HasProblem, BatchedVectorEnv):
    """B environments in one process."""

    core_class = NewsvendorCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class UsualOrder(BasePolicy):
    """Idea: always what was best on average. Cost: none. Source: none needed."""

    name = "usual-order"

    def act(
        self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool
    ) -> tuple[NDArray[Any], Any]:
        """The mean of past demand."""
        return np.tile((3.0 * UNIT).astype(np.float32), (len(observation["action_mask"]), 1)), state


class QuantileOrder(BasePolicy):
    """Idea: the best order where the law of demand is known. Cost: none. Source: Arrow, Harris and Marschak (1951)."""

    name = "quantile-order"

    def act(
        self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool
    ) -> tuple[NDArray[Any], Any]:
        """A quantile of demand."""
        return Newsvendor().best_known(observation).astype(np.float32), state


class PerfectOrder(BasePolicy):
    """Idea: knows demand. Cost: none. Source: none needed."""

    name = "perfect-order"
    privileged = True

    def __init__(self, env: Any) -> None:
        self.env = env

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> PerfectOrder:
        """Bind to the environment whose truth it reads."""
        return cls(env, **kwargs)

    def act(
        self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool
    ) -> tuple[NDArray[Any], Any]:
        """Exactly what will be wanted."""
        (truth,) = truth_of(self.env, self)
        return truth.problem.best(truth.cases.outcomes), state


DOMAIN = Domain(
    env_id=ENV_ID,
    agents=(
        AgentSpec("usual-order", f"{__name__}:UsualOrder", "what was wanted on average"),
        AgentSpec("quantile-order", f"{__name__}:QuantileOrder", "the quantile of the true law"),
        AgentSpec("perfect-order", f"{__name__}:PerfectOrder", "knows demand", privileged=True),
        PPO,
        SAC,
    ),
    headline=Headline(
        objective=Column("cost", "cost", "USD", 3, interval=True),
        others=(Column("regret", "regret", "USD", 3, interval=True),),
        further=(Column("optimum", "optimum", "USD", 3), Column("repaired", "repaired", percent=True)),
    ),
    default_learner="sac",
    extractor="stormgym.agents.decisions.network:CaseFeatures",
    options=("split", "fresh"),
    chosen_on={"split": "validation"},
    small={"fresh": True},
)


def register() -> None:
    """Register environment and domain; calling it twice changes nothing."""
    if ENV_ID not in gym.registry:
        gym.register(
            ENV_ID, entry_point=f"{__name__}:NewsvendorEnv", vector_entry_point=f"{__name__}:NewsvendorVectorEnv"
        )
    register_domain(DOMAIN)


register()
