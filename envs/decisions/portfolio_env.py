"""Portfolio-v0: shares of a budget before returns are known, as a single and a native vector environment."""

from __future__ import annotations

from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.portfolio import PortfolioProblem
from stormgym.envs.decisions.problem import Split
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


class PortfolioCore(DecisionCore):
    """B portfolios; arguments as on `PortfolioEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        n_assets: int = 50,
        sigma: float = 20.0,
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
        problem = PortfolioProblem(
            n_assets,
            sigma=sigma,
            n_features=n_features,
            degree=degree,
            n_train=n_train,
            n_validation=n_validation,
            n_test=n_test,
            instance=instance,
            risk=risk,
        )
        super().__init__(batch, problem, split, render_mode)


class PortfolioEnv(HasProblem, SingleEnv):
    """Shares of a budget in assets whose returns are not known yet (Gen-DFL section 6.1).

    ## Description
    Features tell the mean return of each asset, by a polynomial that the agent does not know; factors that all assets
    share and noise of their own move the returns around it. What an investor pays for variance is part of the cost.
    The true law is known (`stormgym.envs.decisions.portfolio`), with a closed form of every decision's risk. At the
    default noise plans on few samples chase noise: 200 samples of the truth give a regret of about 6 % in the mean.

    ## Action space
    `Box(0, 1, [n_assets])`: the share of each asset. Shares that add up to more than 1 are repaired: the nearest ones
    (Euclidean) that do not are carried out, and `metrics["repaired"]` is 1. What is not held stays idle.

    ## Observation space
    A `Dict`. The covariance of the returns is announced instead (`env.unwrapped.problem.quadratic`).

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `features` | `[n_features]` float32 | | x, standard normal |
    | `action_mask` | `[n_assets]` int8 | | all 1 |

    ## Rewards
    Minus the cost -c.w + w'Qw, c the returns and w the shares.

    ## Costs
    None, `info["cost"]` is 0: there are no groups to be fair to.

    ## Episode end
    Terminated after one step. `metrics` holds `cost`, `optimum` (the best shares in hindsight), `regret`, `repaired`;
    of the true law `true_mean`, `true_cvar_0.5`, `true_cvar_0.1` of the cost and `true_regret`, `true_regret_0.5`,
    `true_regret_0.1` against the shares of least mean and CVaR; `risk_regret`, the same at `risk`.

    ## Arguments
    Args:
        n_assets: assets.
        sigma: scale of the noise, above 0.
        n_features: numbers that are known.
        degree: of the polynomial from features to mean returns.
        n_train, n_validation, n_test: recorded cases of each split, from streams of their own.
        instance: number of the synthetic market.
        risk: share of worst outcomes, in (0, 1], that planners should mind (`env.unwrapped.problem.risk`); rewards do
            not depend on it.
        split: `"train"`, `"validation"` or `"test"`: which recorded case is drawn.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = PortfolioCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class PortfolioVectorEnv(HasProblem, BatchedVectorEnv):
    """B portfolios; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `PortfolioEnv`.
    """

    core_class = PortfolioCore
    metadata = dict(PortfolioEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
