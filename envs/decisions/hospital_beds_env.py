"""HospitalBeds-v0: hospital beds for the week to come, as a single and a native vector environment."""

from __future__ import annotations

from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.env import HasProblem
from stormgym.envs.decisions.hospital_beds import HospitalBedsProblem
from stormgym.envs.decisions.problem import Split
from stormgym.envs.doors import BatchedVectorEnv, SingleEnv


class HospitalBedsCore(DecisionCore):
    """B weeks of hospital beds; arguments as on `HospitalBedsEnv`."""

    def __init__(
        self,
        batch: int,
        *,
        c_b: float = 10.0,
        c_h: float = 1.0,
        q_b: float = 2.0,
        q_h: float = 0.5,
        instance: int = 0,
        split: Split = "test",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(batch, HospitalBedsProblem(c_b, c_h, q_b, q_h, instance), split, render_mode)


class HospitalBedsEnv(HasProblem, SingleEnv):
    """How many hospital beds to prepare for each day of the coming week of an epidemic (SO-EBM section 4.2).

    ## Description
    An epidemic runs in a region; the agent sees its last 21 days and prepares beds for the next seven. How fast people
    infect each other is random: they keep apart when hospitals fill, so waves follow each other, and a level that
    nobody sees wanders, in turbulent times faster than in calm ones. Too few beds cost more than too many. The week is
    drawn at `reset`, so every policy meets the same. An episode is one decision. The paper publishes neither data nor
    prices; epidemics and defaults are ours (`stormgym.envs.decisions.epidemic`).

    ## Action space
    `Box(0, 2000, (7,), float32)`: beds per 100,000 people on each day. What lies outside is clipped and counted as
    repaired.

    ## Observation space
    A `Dict`.

    | key | shape | unit | meaning |
    | --- | --- | --- | --- |
    | `history` | `[21, 4]` float32 | log(1 + people per 100,000) | exposed, infectious, in hospital and dead on the last 21 days, today last |
    | `state` | `[6]` float32 | people per 100,000 | today's susceptible, exposed, infectious, recovered, in hospital, dead |
    | `action_mask` | `[7]` int8 | | all 1 |

    ## Rewards
    Minus the cost of the week, sum over days of c_b [y - a]+ + c_h [a - y]+ + q_b ([y - a]+)^2 + q_h ([a - y]+)^2 with
    a beds prepared and y beds needed (eq. 8; b and h mean the same for both powers).

    ## Costs
    None: there are no groups to be fair to, and `info["cost"]` is 0.

    ## Episode end
    Terminated after the one decision; never truncated. The last `info` holds `metrics`: `cost`, `optimum` (0: the beds
    needed), `regret`, and `repaired`, 1 where the action had to be changed.

    ## Arguments
    Args:
        c_b, q_b: price of a patient without a bed, and of the square of their number; one of them above 0.
        c_h, q_h: the same of beds held empty; one of them above 0.
        instance: number of the recorded regions, from which `split="train"` and `"validation"` draw.
        split: `"test"`: a fresh region at each reset; `"train"`, `"validation"`: a week of a recorded region.
        render_mode: `"ansi"` or `"rgb_array"`.
    """  # noqa: E501 - a table's rows

    core_class = HospitalBedsCore
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium declares it


class HospitalBedsVectorEnv(HasProblem, BatchedVectorEnv):
    """B environments of hospital beds; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `HospitalBedsEnv`.
    """

    core_class = HospitalBedsCore
    metadata = dict(HospitalBedsEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
