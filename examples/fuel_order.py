"""A decision of your own in forty lines: how much diesel to bring to four shelters before a storm.

    PYTHONPATH=examples python evaluate.py --env fuel_order:FuelOrder-v0 --episodes 200
    PYTHONPATH=examples python train.py --env fuel_order:FuelOrder-v0 --agent sac --timesteps 2000

A shelter burns diesel as long as it has no power; the wind forecast tells how long that may be. Too little costs five
times as much as too much, and the tanker holds 300. What each part is: docs/decisions.md.
"""

from typing import Any

import numpy as np

from stormgym.agents.decisions.own import own_decision
from stormgym.agents.registry import register_domain
from stormgym.envs.decisions.problem import Cases, DecisionProblem


class FuelOrder(DecisionProblem):
    """Diesel (10 l) for four shelters.

    Args:
        tanker: the most that can be brought.
        instance: seed of the recorded storms.
    """

    n = 4
    context_shapes = {"wind_ms": (1,), "people": (4,)}  # noqa: RUF012 - as the class declares it
    SIZES = {"train": 400, "validation": 200, "test": 400}  # noqa: RUF012 - as above

    def __init__(self, tanker: float = 300.0, instance: int = 0) -> None:
        self.low, self.high, self.tanker = np.zeros(4), np.full(4, tanker), tanker
        self.key = ("fuel order", tanker, instance)
        self.storms = {s: self._storms(n, instance, i) for i, (s, n) in enumerate(self.SIZES.items())}

    def _storms(self, n: int, *seed: int) -> Cases:
        rng = np.random.default_rng(seed)
        wind, people = rng.uniform(15.0, 45.0, (n, 1)), rng.integers(40, 160, (n, 4)).astype(float)
        hours = rng.gamma(3.0, wind / 12.0, (n, 4))
        return Cases({"wind_ms": wind, "people": people}, 0.04 * hours * people)

    def _cases(self, split: Any) -> Cases:
        return self.storms[split]

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """Five for each unit that is missing, one for each that comes back; arrays or tensors `[..., 4]`."""
        return (5.0 * (outcomes - plans).clip(0.0) + (plans - outcomes).clip(0.0)).sum(-1)

    def project(self, plans: Any) -> Any:
        """What the tanker holds, shared in proportion."""
        inside = np.clip(plans, self.low, self.high)
        return inside * np.minimum(1.0, self.tanker / np.maximum(inside.sum(-1, keepdims=True), 1e-9))

    def best(self, outcomes: Any) -> Any:
        """What will be burnt; where that is more than the tanker holds, any share of it costs the same."""
        return self.project(outcomes)


register_domain(own_decision("FuelOrder-v0", FuelOrder, options=("tanker", "instance")))
