"""GeneratorDispatch-v0: the single environment."""

from __future__ import annotations

from stormgym.envs.dispatch.core import DispatchCore
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.doors import CoreFacts, SingleEnv


class HasProfile(CoreFacts):
    """What the single and the vector environment both show beside the facts of every environment."""

    core: DispatchCore

    @property
    def profile(self) -> StormProfile:
        """Counties, storms and costs of the episodes."""
        return self.core.profile


class GeneratorDispatchEnv(HasProfile, SingleEnv):
    """Mobile generators are where the outage wave of a storm will be (GDF, section IV).

    ## Description
    A storm goes over K counties. Outages rise and fall as an SIR wave whose speed depends on the weather of the storm,
    and on chance. Q generators wait in a warehouse; each serves N_g customers of the county where it is. Once a day the
    agent says how many each county shall have; they are shipped at the start of the day and serve it. After day T
    everything goes home. The wave is drawn at `reset`, so every policy meets the same storm; on day t the agent has
    seen the outages of day t - 1 and never those of day t.

    ## Action space
    `action="units"`: `MultiDiscrete`, generators in each county today, from 0 to what all of its customers could use.
    `action="box"`: the same as a `Box`, rounded with halves up. Targets of more than Q in all are scaled down: each
    county gets floor(target * Q / sum), and what is left goes to the largest remainders, of equal ones to the lower
    index. `metrics["scaled_days"]` counts such days. Every choice is open, so `action_mask` is all ones.

    `action="blocks"`: `Discrete(K + 1)`, for learners of one choice such as DQN. A day begins with all generators at
    hand; each step puts a block of ceil(Q / blocks) of them into a county, until the agent chooses K, none is left, or
    no county can use more. Then the day is played; the steps before cost and bring nothing. Counties that can use no
    more are masked; choosing one ends the day's choices like K does.

    ## Observation space
    A `Dict` of K counties and T days.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `stock` | `[K]` float32 | | generators there (those of yesterday) |
    | `out` | `[K]` float32 | customers | out on the day before |
    | `population` | `[K]` float32 | customers | of the county |
    | `group` | `[K]` float32 | | income tercile, 0 = low |
    | `unserved` | `[K]` float32 | periods | without power and generator so far, per customer |
    | `temperature_c`, `wind_ms`, `humidity`, `onset` | `[K]` float32 | | the storm's weather and first period |
    | `forecast`, `lower`, `upper` | `[T K]` float32 | customers | out today and later, day by day; 0 behind the end |
    | `total_lower`, `total_upper` | `[T]` float32 | customers | interval of all counties together |
    | `state` | `[10]` float32 | | `stormgym.envs.dispatch.core.STATE`: day, days left, generators at home, costs, gap |
    | `planned` | `[K]` float32 | | with blocks: generators for today so far |
    | `action_mask` | `[sum of choices]` int8 | | all ones; with blocks `[K + 1]`, 1 = open |

    ## Rewards
    Minus the day's cost: transport, both ways, operation of generators in counties and interruption of customers
    unserved. The sum is minus g(x, S) of GDF eq. 8, with everything home on day T + 1. `reward="terminal"` pays all at
    the end.

    ## Costs
    `info["cost"]`; its sum over the episode is the largest Wasserstein-1 distance between income groups of counties'
    periods unserved per customer. `cost="dense"` gives the change of the gap so far (it can be negative);
    `cost="terminal"` the total at the last step. The limit is half of the mean gap of doing nothing.

    ## Episode end
    Terminated after day T; never truncated. The last `info` holds `metrics`.

    ## Arguments
    Args:
        profile: counties, storms and costs: `"A"`, `"B"` (three cities), `"ten"`, `"synthetic:K:SEED"`, or the path of
            a folder of recorded storms (`stormgym.envs.dispatch.folder`).
        generators, transport_cost, interruption_cost, operating_cost, cost_limit: in place of the profile's own.
        action: `"units"`, `"box"` or `"blocks"`.
        blocks: parts of the generators that `action="blocks"` places one by one, at most one for each generator.
        forecast: `"typical"` (mean and 5 to 95 % of 200 simulated storms), `"none"` (zeros), or the .npz file of an
            `OutageODE`, which forecasts each storm from its covariates, with conformal intervals.
        storms: `"drawn"`, those of the profile, or `"simulated"`: also where the profile has recorded ones, so that a
            learner can train without them.
        reward, cost: `"dense"` or `"terminal"`; same totals.
        render_mode: `"ansi"` or `"rgb_array"`.
    """

    core_class = DispatchCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012 - as Gymnasium declares it
