"""Networks over regions to bury, with STA-SAC's attention or without, and the learner that uses attention."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from stormgym.agents.attention.networks import N_BALANCE, N_UPDATE, N_WAY, EpisodeNet, Inputs
from stormgym.agents.learners.sb3 import MaskablePPOLearner
from stormgym.agents.learners.settings import STAPPOSettings
from stormgym.envs.storms import AMPLITUDE, MEAN_WEATHER
from stormgym.envs.undergrounding.core import OF_REGIONS, STATE

N_GROUPS = 3
_AT = {name: i for i, name in enumerate(STATE)}
_N_TOKEN = 11 + N_GROUPS
_N_MOVING = 4
N_REGION = _N_TOKEN + _N_MOVING
N_OVERALL = 7 + 2 * N_GROUPS


def is_undergrounding(space: spaces.Space[object]) -> bool:
    """Whether an observation space is that of Undergrounding-v0."""
    return isinstance(space, spaces.Dict) and {*OF_REGIONS, "state", "action_mask"} <= set(space.spaces)


class SeasonInputs(NamedTuple):
    """Inputs without units for K regions and the stop, which is one more token."""

    tokens: Tensor  # [B, K + 1, 14] of each region, the same throughout an episode
    moving: Tensor  # [B, K + 1, 4] of each region, changes as lines are buried and money is spent
    overall: Tensor  # [B, 13] of all regions together
    is_open: Tensor  # [B, K + 1] bool, what can be chosen: affordable regions, and always the stop


def season_inputs(observations: dict[str, Tensor]) -> SeasonInputs:
    """Shares and ratios instead of customers, hours and money, so that one network fits any K, budget and population.

    Of each region: its share of what is expected to be lost, of its bounds, of customers; the forecast's place in its
    bounds; cost beside the budget; loss for the money; weather; group. What changes: buried or not, affordable or not,
    cost beside what is left, loss still exposed. Of all: money left, crews, how tight the total is, what is exposed,
    the limit, and how the groups stand.

    Args:
        observations: of Undergrounding-v0, with a leading axis B; regional entries are `[B, K]`, `state` `[B, 8]`,
            `action_mask` `[B, K + 1]`.
    """
    o = observations
    # The forecast is hours without power for each customer; times customers it is what a plan can avert.
    mean = o["population"] * o["mean"]  # [B, K] customer-hours
    total = mean.sum(1, keepdim=True).clamp_min(1e-6)  # [B, 1] all there is to be lost: the unit of what follows
    share = mean / total
    group = torch.nn.functional.one_hot(o["group"].long().clamp(0, N_GROUPS - 1), N_GROUPS).to(mean.dtype)
    tokens = _region_tokens(o, share, total, group)
    affordable = o["action_mask"][:, :-1].to(mean.dtype)  # [B, K]; the last choice is to stop
    bare = 1.0 - o["protected"]  # [B, K] 1 where lines are above ground, which a storm can hit
    moving = torch.stack(
        [
            o["protected"],
            affordable,
            (o["protect_cost"] / _of_state(o, "budget_left").clamp_min(1e-6)).clamp_max(5.0),
            3.0 * share * bare,
        ],
        dim=-1,
    )
    stop = torch.zeros_like(tokens[:, :1])  # one more token, so that stopping is scored like any region
    stop[..., 7] = 1.0
    return SeasonInputs(
        tokens=torch.cat([tokens, stop], dim=1),
        moving=torch.cat([moving, torch.zeros_like(moving[:, :1])], dim=1),
        overall=_overall(o, mean * bare, total, o["mean"] * bare, group),
        is_open=torch.cat([affordable > 0, torch.ones_like(affordable[:, :1]) > 0], dim=1),
    )


def _of_state(o: dict[str, Tensor], name: str) -> Tensor:
    """One number of the season's `state`, `[B, 1]`."""
    return o["state"][:, _AT[name], None]


def _region_tokens(o: dict[str, Tensor], share: Tensor, total: Tensor, group: Tensor) -> Tensor:
    """What does not change in an episode, of each region: `[B, K, 14]`.

    Args:
        o: observations.
        share: `[B, K]` of the expected loss.
        total: `[B, 1]` expected loss in customer-hours.
        group: `[B, K, G]` one-hot.
    """
    people, budget = o["population"], _of_state(o, "budget")
    low, high = (people * o[name] for name in ("lower", "upper"))  # [B, K] customer-hours
    worth = share / o["protect_cost"].clamp_min(1e-6) * budget  # loss averted for the whole budget
    weather = torch.stack(
        [
            (o[name] - centre) / width
            for name, centre, width in zip(
                ("temperature_c", "wind_ms", "humidity"), MEAN_WEATHER, AMPLITUDE, strict=True
            )
        ],
        dim=-1,
    )
    columns = [  # factors bring each to about 1; caps hold where a bound or a price is next to nothing
        3.0 * share,
        3.0 * low / total,
        2.0 * (high / total).clamp_max(10.0),
        3.0 * people / people.sum(1, keepdim=True),
        o["mean"] / o["upper"].clamp_min(1e-6),  # near 1: little uncertainty, near 0: it may be far worse
        o["protect_cost"] / budget.clamp_min(1e-6),
        worth.clamp_max(10.0),
        torch.zeros_like(share),  # 1 in the token of the stop
    ]
    return torch.cat([torch.stack(columns, dim=-1), weather, group], dim=-1)


def _overall(o: dict[str, Tensor], loss: Tensor, total: Tensor, exposed_h: Tensor, group: Tensor) -> Tensor:
    """Of all regions together: `[B, 13]`.

    Args:
        o: observations.
        loss: `[B, K]` expected customer-hours where lines are above ground, 0 elsewhere.
        total: `[B, 1]` expected customer-hours if nothing is buried.
        exposed_h: `[B, K]` expected hours of a customer where lines are above ground, 0 elsewhere.
        group: `[B, K, G]` one-hot.
    """
    # How the groups stand, as the cost counts it: mean hours of each group's regions, were the storm as forecast now.
    size = group.sum(1).clamp_min(1.0)
    of_group = torch.einsum("bkg,bk->bg", group, exposed_h) / size  # [B, G] h of a region of each group
    limit = _of_state(o, "cost_limit").clamp_min(1e-6)
    largest = loss.topk(2, dim=1).values / total  # [B, 2] whether one region stands out
    return torch.cat(
        [
            _of_state(o, "budget_left") / _of_state(o, "budget").clamp_min(1e-6),
            _of_state(o, "n_crews") / loss.shape[1],
            # 1: all regions may be at their worst together; small: a storm that is bad here is mild elsewhere
            (_of_state(o, "total_upper") / o["upper"].sum(1, keepdim=True).clamp_min(1e-6)).clamp_max(5.0),
            loss.sum(1, keepdim=True) / total,
            o["mean"].mean(1, keepdim=True) / limit,
            largest,
            of_group / limit,
            of_group / of_group.mean(1, keepdim=True).clamp_min(1e-6) - 1.0,  # ahead (-) of or behind (+) the others
        ],
        dim=-1,
    )


class SeasonExtractor(BaseFeaturesExtractor):
    """Encode each region and the stop: `[B, (K + 1) * D + D]`, the encodings, then a summary.

    Args:
        observation_space: of Undergrounding-v0.
        width: D.
        attention: STA-SAC's network, a transformer over regions and an attention over those still open; else each
            encoding depends on the region itself and the mean over open ones.
    """

    encodes_choices: ClassVar[bool] = True
    """The features are one encoding of `width` a choice, then a summary (see `agents.attention.heads`)."""

    def __init__(self, observation_space: spaces.Dict, width: int = 64, attention: bool = False) -> None:
        choices = observation_space["action_mask"].shape
        assert choices is not None
        super().__init__(observation_space, features_dim=(choices[0] + 1) * width)
        self.width = width
        self.attention = attention
        if attention:
            self.net = EpisodeNet(_N_TOKEN, N_OVERALL, width, width, n_layers=2, n_heads=4, step_width=width)
        else:
            self.embed = nn.Sequential(nn.Linear(_N_TOKEN + _N_MOVING, width), nn.ReLU(), nn.Linear(width, width))
            self.own, self.shared = nn.Linear(width, width), nn.Linear(width, width)
        self.summary = nn.Sequential(nn.Linear(width + N_OVERALL, width), nn.ReLU())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Observations -> `[B, (K + 1) * D + D]`."""
        x = season_inputs(observations)
        if self.attention:
            # one state is an "episode" of one step to the network; the columns of another environment stay 0
            unused = x.moving.new_zeros(*x.moving.shape[:2], N_WAY + N_BALANCE + N_UPDATE - _N_MOVING)
            h = torch.relu(
                self.net(
                    Inputs(
                        tokens=x.tokens,
                        is_open=x.is_open[:, None],
                        travel=x.moving.new_zeros(x.moving.shape[:2])[:, None],
                        moving=torch.cat([x.moving, unused], dim=-1)[:, None],
                        crew=x.overall[:, None],
                    )
                )[:, 0]
            )  # [B, K + 1, D]
            return torch.cat([h.flatten(1), self._summary(h, x)], dim=1)
        h = self.embed(torch.cat([x.tokens, x.moving], dim=-1))
        summary = self._summary(h, x)
        h = torch.relu(self.own(h) + self.shared(summary)[:, None])
        return torch.cat([h.flatten(1), summary], dim=1)

    def _summary(self, h: Tensor, x: SeasonInputs) -> Tensor:
        weight = x.is_open.to(h.dtype).unsqueeze(-1)
        pooled = (h * weight).sum(1) / weight.sum(1).clamp_min(1.0)
        result: Tensor = self.summary(torch.cat([pooled, x.overall], dim=-1))
        return result


class STAPPOLearner(MaskablePPOLearner):
    """MaskablePPO with STA-SAC's network over regions to bury."""

    extractor_arguments = MappingProxyType({"attention": True})

    def check(self, venv: VecEnv) -> None:
        """It needs regions to bury."""
        if not is_undergrounding(venv.observation_space):
            raise ValueError(
                f"{self.name} chooses regions to bury: it needs the observation of Undergrounding-v0. For "
                "Restoration-v0 take sta-sac, for other environments ppo"
            )


sta_ppo = STAPPOLearner("sta-ppo", MaskablePPO, STAPPOSettings, default_timesteps=200_000, default_num_envs=64)
