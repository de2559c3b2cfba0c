"""NetworkSecurity-v0: the core, the single environment and the native vector environment."""

from __future__ import annotations

from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.network_security import NetworkSecurityProblem
from stormgym.envs.decisions.problem import Split
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


class NetworkSecurityCore(DecisionCore):
    """B attackers on one graph, a cover against each.

    Args:
        batch: B.
        n_nodes, radius, noise, budget, instance: see `NetworkSecurityProblem`.
        split: which cases are drawn.
        render_mode: of `render_row`.
    """

    problem: NetworkSecurityProblem

    def __init__(
        self,
        batch: int,
        *,
        n_nodes: int = 50,
        radius: float = 0.2,
        noise: float = 0.7,
        budget: float = 3.0,
        instance: int = 0,
        split: Split = "test",
        render_mode: str | None = None,
    ) -> None:
        problem = NetworkSecurityProblem(n_nodes, radius, noise, budget, instance=instance)
        super().__init__(batch, problem, split, render_mode)


class NetworkSecurityEnv(HasProblem, SingleEnv):
    """Which edges of a network to watch before an attacker crosses it (SO-EBM 4.3), a decision of one step.

    ## Description
    An attacker starts at one of five sources and walks a graph of N nodes and E edges at random, drawn to attractive
    nodes and away from covered edges, until it reaches one of five targets or is caught on a covered edge. How much
    each node attracts differs from attacker to attacker; features of the nodes tell something of it. The defender
    covers edges under a budget; what an attacker gets on average is the cost, reckoned exactly and not by simulated
    walks. It is not convex in the cover. The attacker is drawn at `reset`, so every policy meets the same.

    ## Action space
    `Box(0, 1, (E,), float32)`: the probability with which each edge is watched, in both directions. The sum may be the
    budget at most; other covers are repaired to the nearest that keep it, and counted.

    ## Observation space
    A `Dict`.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `features` | `[N, 16]` float32 | | noisy features of the nodes, by a fixed unknown map from what attracts |
    | `action_mask` | `[E]` int8 | | all 1: every cover can be repaired |

    ## Rewards
    Minus the attacker's expected utility, p0' ((1 + 0.01) I - Q)^-1 R u (`stormgym.envs.decisions.security_game`).

    ## Costs
    None: `info["cost"]` is 0. There are no groups between which a decision could be unfair.

    ## Episode end
    Terminated after the one step; never truncated. The last `info` holds `metrics`: `cost`; `optimum`, that of the best
    cover that a descent from many starts finds in hindsight; `regret`, their difference (a hair below 0 where a policy
    found a better one); `repaired`.

    ## Arguments
    Args:
        n_nodes: N, at least 10.
        radius: largest distance of neighbours on the unit square.
        noise: deviation of the noise of features; at 0.2 a fitted forecast is nearly perfect, at 1.5 nearly useless.
        budget: sum of a cover, at most.
        instance: seed of the graph, of what features mean, and of the recorded cases.
        split: attackers to meet: `"test"`, fresh ones; `"train"` or `"validation"`, 70 and 30 recorded ones.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = NetworkSecurityCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class NetworkSecurityVectorEnv(HasProblem, BatchedVectorEnv):
    """B environments of network security; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `NetworkSecurityEnv`.
    """

    core_class = NetworkSecurityCore
    metadata = dict(NetworkSecurityEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
