"""ShortestPath-v0: through a grid before its costs are known, as a single and a native vector environment."""

from __future__ import annotations

from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.problem import Split
from stormgym.envs.decisions.shortest_path import Actions, ShortestPathProblem
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


class ShortestPathCore(DecisionCore):
    """B paths; arguments as on `ShortestPathEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        grid: int = 5,
        noise: float = 0.5,
        actions: Actions = "flow",
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
        problem = ShortestPathProblem(
            grid,
            noise=noise,
            actions=actions,
            n_features=n_features,
            degree=degree,
            n_train=n_train,
            n_validation=n_validation,
            n_test=n_test,
            instance=instance,
            risk=risk,
        )
        super().__init__(batch, problem, split, render_mode)


class ShortestPathEnv(HasProblem, SingleEnv):
    """A way through a grid from its first to its last node before the costs of its arcs are known (Gen-DFL 6.1).

    ## Description
    Arcs lead right or down. Features tell the mean cost of each arc, by a polynomial that the agent does not know; the
    cost is that mean times a number uniform on (0.5, 1.5). The true law is known
    (`stormgym.envs.decisions.shortest_path`): under risk it pays to split the flow over several paths.

    ## Action space
    `Box(0, 1, [2 g (g - 1)])`, g nodes a side: the flow on each arc, to the right row by row, then down row by row.
    What is no unit flow is repaired: the nearest one (Euclidean) is carried out, and `metrics["repaired"]` is 1. With
    `actions="moves"` `MultiDiscrete([2] * 2 (g - 1))`: each step right (0) or down (1); a move off the grid becomes the
    other one and counts as repaired.

    ## Observation space
    A `Dict`.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `features` | `[n_features]` float32 | | x, standard normal |
    | `action_mask` | `[2 g (g - 1)]` int8, of moves `[4 (g - 1)]` | | all 1 |

    ## Rewards
    Minus the cost c.w.

    ## Costs
    None, `info["cost"]` is 0: there are no groups to be fair to.

    ## Episode end
    Terminated after one step. `metrics` holds `cost`, `optimum` (the best path in hindsight), `regret`, `repaired`; of
    the true law `true_mean`, `true_cvar_0.5`, `true_cvar_0.1` of the cost and `true_regret`, `true_regret_0.5`,
    `true_regret_0.1` against the flows of least mean and CVaR (with moves the single paths, on grids of up to 7 x 7
    nodes), on 2,000 draws that all decisions of an instance meet (the mean is exact); `risk_regret`, the same at
    `risk`.

    ## Arguments
    Args:
        grid: nodes a side.
        noise: of the costs, as a share of their mean.
        actions: `"flow"` or `"moves"`.
        n_features: numbers that are known.
        degree: of the polynomial from features to mean costs.
        n_train, n_validation, n_test: recorded cases of each split, from streams of their own.
        instance: number of the synthetic instance.
        risk: share of worst outcomes, in (0, 1], that planners should mind (`env.unwrapped.problem.risk`); rewards do
            not depend on it.
        split: `"train"`, `"validation"` or `"test"`: which recorded case is drawn.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = ShortestPathCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class ShortestPathVectorEnv(HasProblem, BatchedVectorEnv):
    """B grids; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `ShortestPathEnv`.
    """

    core_class = ShortestPathCore
    metadata = dict(ShortestPathEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
