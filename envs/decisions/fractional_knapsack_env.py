"""FractionalKnapsack-v0: what to take before gains are known, as a single and a native vector environment."""

from __future__ import annotations

from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.problem import Split
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


class FractionalKnapsackCore(DecisionCore):
    """B knapsacks; arguments as on `FractionalKnapsackEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        n_items: int = 50,
        capacity: float = 20.0,
        noise: float = 1.0,
        integral: bool = False,
        n_features: int = 5,
        degree: int = 4,
        n_train: int = 256,
        n_validation: int = 64,
        n_test: int = 500,
        instance: int = 0,
        risk: float = 1.0,
        split: Split = "test",
        render_mode: str | None = None,
    ) -> None:
        problem = FractionalKnapsackProblem(
            n_items,
            capacity=capacity,
            noise=noise,
            integral=integral,
            n_features=n_features,
            degree=degree,
            n_train=n_train,
            n_validation=n_validation,
            n_test=n_test,
            instance=instance,
            risk=risk,
        )
        super().__init__(batch, problem, split, render_mode)


class FractionalKnapsackEnv(HasProblem, SingleEnv):
    """Which items to take, and how much of each, before their gains are known (Gen-DFL section 6.1).

    ## Description
    Features tell the mean gain of each item, by a polynomial that the agent does not know; the gain is that mean times
    a number uniform on (0, 2). Weights and capacity are known. The true law is known
    (`stormgym.envs.decisions.fractional_knapsack`): under risk it pays to take many items a little.

    ## Action space
    `Box(0, 1, [n_items])`: how much of each item. A sack that is too heavy is repaired: the nearest one (Euclidean)
    that holds is carried out, and `metrics["repaired"]` is 1. With `integral=True` `MultiBinary(n_items)`: what is
    taken. Of too many items the light ones stay in, in their order where they are alike, while they fit.

    ## Observation space
    A `Dict`.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `features` | `[n_features]` float32 | | x, standard normal |
    | `weights` | `[n_items]` float32 | | whole, from 3 to 8; the same in all cases |
    | `capacity` | `[1]` float32 | | weight that the sack holds; the same in all cases |
    | `action_mask` | `[n_items]` int8, twice as many of whole items | | all 1 |

    ## Rewards
    Minus the cost -c.w: the gain of what was taken.

    ## Costs
    None, `info["cost"]` is 0: there are no groups to be fair to.

    ## Episode end
    Terminated after one step. `metrics` holds `cost`, `optimum` (the best sack in hindsight), `regret`, `repaired`; of
    the true law `true_mean`, `true_cvar_0.5`, `true_cvar_0.1` of the cost and `true_regret`, `true_regret_0.5`,
    `true_regret_0.1` against the sacks of least mean and CVaR, on 2,000 draws that all decisions of an instance meet
    (the mean is exact); `risk_regret`, the same at `risk`. Of whole items the mean regret is against the best whole
    sack, those under risk against the best that may be cut, which is an upper bound.

    ## Arguments
    Args:
        n_items: items.
        capacity: weight that the sack holds.
        noise: of the gains, as a share of their mean.
        integral: items are taken whole or not at all.
        n_features: numbers that are known.
        degree: of the polynomial from features to mean gains.
        n_train, n_validation, n_test: recorded cases of each split, from streams of their own.
        instance: number of the synthetic instance.
        risk: share of worst outcomes, in (0, 1], that planners should mind (`env.unwrapped.problem.risk`); rewards do
            not depend on it.
        split: `"train"`, `"validation"` or `"test"`: which recorded case is drawn.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = FractionalKnapsackCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class FractionalKnapsackVectorEnv(HasProblem, BatchedVectorEnv):
    """B knapsacks; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `FractionalKnapsackEnv`.
    """

    core_class = FractionalKnapsackCore
    metadata = dict(FractionalKnapsackEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
