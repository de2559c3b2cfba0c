"""STA-SAC's policy class: actor, two reward and two cost critics, their targets, and Stable-Baselines3's `predict`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from stormgym.agents.attention.masking import choose, masked_log_softmax
from stormgym.agents.attention.networks import SHAPES, Inputs
from stormgym.agents.attention.parts import Parts
from stormgym.agents.attention.reading import Recall
from stormgym.agents.restoration.network import acting
from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.features import (
    CREW,
    N_STATIC,
    Scales,
    check_observation_space,
    group_one_hot,
    make_inputs,
    n_crew_features,
    scales_of,
    split_groups,
)
from stormgym.agents.restoration.network.scenarios import expected_to_go
from stormgym.agents.sta_sac.control_variate import Forecast, without_luck
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.envs.equity import pair_matrix
from stormgym.envs.restoration.layout import COLUMN, n_groups_of, regions_of

N_CRITICS = 4
"""Two reward critics, then two cost critics: the order of the last axis of every Q tensor."""


_DEFAULT = STASACSettings()


class Critics(nn.Module):
    """Two reward and two cost critics: `[B, T, N, 4]`, reward in units of `Scales.total_hours`, cost in limits.

    Each is a known part plus a learnt residual, so that little is left to learn. Known for the reward: the regions
    still dark wait for the travel and the forecast repair of the choice, then for the repairs that follow at a mean
    pace. Known for the cost: the gap of each pair of groups grows by |F_a - F_b| (F: share of a group's regions that
    have power) times that wait, and the difference that the choice leaves behind goes on for a while (`fade`). The
    residuals are scaled down as fewer regions are open; at the last one the known parts are exact but for the error of
    its forecast.

    `shared=True` (default) puts the four heads on one trunk; False gives each critic its own encoder, as the paper
    does. `known=False` leaves the known part out, as the paper does: everything is learnt.
    """

    pairs: Tensor  # [G, P] shares @ pairs = differences

    def __init__(self, n_groups: int, shape: str, shared: bool, known: bool = True, **size: Any) -> None:
        super().__init__()
        net = SHAPES[shape]
        n_features, n_crew = N_STATIC + n_groups, n_crew_features(n_groups)
        outputs = [N_CRITICS] if shared else [1] * N_CRITICS
        self.nets = nn.ModuleList([net(n_features, n_crew, n_out, **size) for n_out in outputs])
        self.n_groups = n_groups
        self.known = known
        self.pace = nn.Parameter(torch.tensor(0.35))  # travel between repairs, in mean repairs
        self.fade = nn.Parameter(torch.tensor(0.3))  # how long a difference lasts, as a share of the time that remains
        self.register_buffer("pairs", torch.as_tensor(pair_matrix(n_groups), dtype=torch.float32), persistent=False)

    def forward(self, inputs: Inputs, regions: Tensor, crew: Tensor, scales: Scales) -> Tensor:
        """Q values of every region at every step; `crew` `[B, T, K]` as observed."""
        rest = torch.cat([net(inputs) for net in self.nets], dim=-1)  # [B, T, N, 4]
        if not self.known:
            return rest
        n = scales.n_regions[:, None]  # [B, 1, 1]
        n_open = inputs.is_open.sum(dim=-1, keepdim=True).to(rest.dtype)  # [B, T, 1]
        point = (regions[..., COLUMN["point_h"]] / scales.hours)[:, None]  # [B, 1, N] in mean repairs
        after = (n_open - 1).clamp_min(0.0)
        others = ((point * inputs.is_open).sum(-1, keepdim=True) - point) / after.clamp_min(1.0)
        wait = inputs.travel + point
        later = (others + self.pace) * after * n_open / 2  # sum of 1..after, times the pace
        reward = -(wait * n_open + later) / n * (20.0 / n)
        share = (n_open / n).unsqueeze(-1)
        cost = self._known_cost(regions, crew, scales, wait, (others + self.pace) * after)
        return torch.cat(
            [reward.unsqueeze(-1) + 2.0 * share * rest[..., :2], cost.unsqueeze(-1) + share.sqrt() * rest[..., 2:]],
            dim=-1,
        )

    def _known_cost(self, regions: Tensor, crew: Tensor, scales: Scales, wait: Tensor, left: Tensor) -> Tensor:
        """Growth of the gap, in limits, if differences of group shares fade evenly: `[B, T, N]`."""
        shares, pair_gaps = split_groups(crew, self.n_groups)
        group = group_one_hot(regions, self.n_groups)  # [B, N, G]
        step = (group / group.sum(1, keepdim=True)) @ self.pairs  # [B, N, P] what restoring a region changes
        before = shares @ self.pairs  # [B, T, P]
        hours = scales.hours[:, None, :, None]
        grown = pair_gaps[:, :, None] + before.abs()[:, :, None] * wait.unsqueeze(-1) * hours  # [B, T, N, P]
        lasting = (before[:, :, None] + step[:, None]).abs() * (self.fade * left).unsqueeze(-1) * hours
        limit = crew[..., CREW["cost_limit_h"], None]
        return ((grown + lasting).amax(-1) - crew[..., CREW["gap_h"], None]) / limit


class STASACPolicy(BasePolicy):
    """Actor and critics over regions as tokens (EPOPR section 3.3.2).

    Networks of other domains are subclasses, which write the methods that read observations: `read_space`,
    `make_actor`, `make_critic`, `make_forecast`, `episode_scores`, `step_probs`, and those from `scales` to `facts_of`.
    Where actions have several parts (`parts`), each part is a step of its own in all that networks see and learn.

    What acts is `actor_average`, a running average of the actor's weights: it is steadier than the actor that learns,
    which explores.

    Args:
        observation_space: of Restoration-v0 (region columns, `crew`, `action_mask`).
        action_space: `Discrete(N)`, or `MultiDiscrete` where the domain says how its parts are chosen.
        lr_schedule: learning rate as a function of the progress that remains.
        width, n_layers, n_heads: size of the encoder.
        step_width: width of what is computed for every region at every step.
        balance: show the networks what restoring each region does to the balance between groups (`"episode"` only).
        update: show them forecasts corrected by the repairs seen, which say something where durations share a factor.
        shape: `"episode"` or `"paper"` (see `networks`).
        share_critics: four heads on one trunk, or an encoder for each critic.
        known_part: critics learn a rest on top of what can be written down, or everything.
        actor_lr_factor: the actor's learning rate as a multiple of the critics'.
    """

    parts: Parts | None = None
    """How an action of several parts is chosen; set by `read_space`."""
    recalls: Recall | None = None
    """What is remembered of earlier observations of an episode; set by `read_space`."""

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Discrete | spaces.MultiDiscrete,
        lr_schedule: Schedule,
        width: int = _DEFAULT.width,
        n_layers: int = _DEFAULT.n_layers,
        n_heads: int = _DEFAULT.n_heads,
        step_width: int = _DEFAULT.step_width,
        balance: bool = _DEFAULT.balance,
        update: bool = False,
        shape: str = _DEFAULT.shape,
        share_critics: bool = _DEFAULT.share_critics,
        known_part: bool = _DEFAULT.known_part,
        actor_lr_factor: float = _DEFAULT.actor_lr_factor,
        use_sde: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space, squash_output=False)
        if use_sde:
            raise ValueError("use_sde is for continuous actions; STA-SAC chooses regions")
        if shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}; got {shape!r}")
        self.read_space(observation_space)
        self._settings: dict[str, Any] = {
            "width": width,
            "n_layers": n_layers,
            "n_heads": n_heads,
            "step_width": step_width,
            "balance": balance,
            "update": update,
            "shape": shape,
            "share_critics": share_critics,
            "known_part": known_part,
            "actor_lr_factor": actor_lr_factor,
        }
        self.actor = self.make_actor()
        self.actor_average = self.make_actor()
        self.actor_average.load_state_dict(self.actor.state_dict())
        self.actor_average.requires_grad_(False)
        self.critic = self.make_critic()
        self.forecast = self.make_forecast()
        self.critic_target = self.make_critic()
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.critic_target.requires_grad_(False)
        rate = lr_schedule(1.0)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=rate * actor_lr_factor)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=rate)
        self.forecast_optimizer = torch.optim.Adam(self.forecast.parameters(), lr=rate)
        self.practice_optimizer = torch.optim.Adam(self.actor.parameters(), lr=_DEFAULT.practice_lr)
        self.actor_lr_factor = actor_lr_factor

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = {"observation_space": self.observation_space, "action_space": self.action_space}
        return {**data, "lr_schedule": lambda _: 3e-4, **self._settings}

    # ---------------------------------------------------------------- networks, and what they read

    def read_space(self, space: spaces.Dict) -> None:
        """Take from the observation space what the networks' sizes depend on."""
        check_observation_space(space)
        crew_shape = space["crew"].shape
        assert crew_shape is not None
        self.n_groups = n_groups_of(crew_shape[0])

    @property
    def sizes(self) -> dict[str, Any]:
        """Sizes of every network."""
        return {key: self._settings[key] for key in ("width", "n_layers", "n_heads", "step_width", "balance", "update")}

    def make_actor(self) -> Any:
        """A network that scores choices."""
        net = SHAPES[self._settings["shape"]]
        return net(N_STATIC + self.n_groups, n_crew_features(self.n_groups), 1, **self.sizes)

    def make_critic(self) -> nn.Module:
        """Four critics."""
        known = self._settings["share_critics"], self._settings["known_part"]
        return Critics(self.n_groups, self._settings["shape"], *known, **self.sizes)

    def make_forecast(self) -> Any:
        """A module: what is expected of repairs, or of returns."""
        return Forecast()

    def values(self, inputs: Inputs, batch: EpisodeBatch, scales: Scales, *, target: bool = False) -> Tensor:
        """Values `[M, T, N, 4]` of the critics, or of their targets."""
        critic = self.critic_target if target else self.critic
        values: Tensor = critic(inputs, batch.regions, batch.crew, scales)
        return values

    def scales(self, batch: EpisodeBatch) -> Scales:
        """Scales of M episodes; `total_hours` `[M, 1]` is their unit of return."""
        return scales_of(batch.regions)

    def limits(self, batch: EpisodeBatch) -> Tensor:
        """Cost limits `[M, T]`."""
        return batch.crew[..., CREW["cost_limit_h"]]

    def expected_to_go(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """A guess of the return to go `[M, T]` in units of return, that depends on no choice to come."""
        return expected_to_go(batch.regions, batch.is_open, scales) / scales.total_hours

    def fit_expectation(self, batch: EpisodeBatch, gain: Tensor) -> None:
        """Learn that guess from `gain` `[M, T]`; here it is written down."""

    def fit_forecast(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """One step towards what repairs take; by how much (h) each took longer than expected, `[M, T]`."""
        late: Tensor = self.forecast.surprise(batch, scales)
        self.forecast_optimizer.zero_grad()
        ((late / scales.hours).square().sum() / batch.valid.sum()).backward()
        self.forecast_optimizer.step()
        return late.detach()

    def without_luck(self, batch: EpisodeBatch, scales: Scales, shock: bool) -> tuple[Tensor, Tensor]:
        """Rewards and costs `[M, T]` (h) without the luck of repairs; also fits what repairs should take."""
        late = self.fit_forecast(batch, scales)
        if shock:
            late = self.forecast.surprise(batch, scales, self.n_groups).detach()
        return without_luck(batch, late, scales, self.n_groups)

    def facts_of(self, observation: dict[str, NDArray[Any]]) -> tuple[list[float], list[float]]:
        """Cost limits and units of return of B episodes, from any of their observations."""
        scales = scales_of(torch.as_tensor(regions_of(observation)))
        return observation["crew"][:, CREW["cost_limit_h"]].tolist(), scales.total_hours[:, 0].tolist()

    def episode_scores(self, batch: EpisodeBatch) -> tuple[Any, Any, Tensor]:
        """Inputs and scales of M whole episodes, and the learning actor's scores `[M, T, N]` of their regions."""
        inputs, scales = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, self.n_groups)
        return inputs, scales, self.actor(inputs).squeeze(-1)

    def episode_log_probs(self, batch: EpisodeBatch) -> tuple[Any, Any, Tensor]:
        """As `episode_scores`, with log probabilities `[M, T, N]` in place of scores."""
        inputs, scales, scores = self.episode_scores(batch)
        return inputs, scales, masked_log_softmax(scores, batch.action_mask)

    def step_probs(
        self, observation: dict[str, NDArray[Any]], state: Any, start: NDArray[np.bool_], average: bool = True
    ) -> tuple[Tensor, Any]:
        """Probabilities `[B, N]` for a batch of observations, and the encodings to keep as `state`.

        `average` asks the averaged actor, else the one that learns.
        """
        actor = self.actor_average if average else self.actor
        return acting.step_probs(actor, observation, state, start, self.n_groups, self.device)

    def recall(
        self, observation: dict[str, NDArray[Any]], memory: Any, start: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray[Any]], Any]:
        """The observation with what is remembered in it, and the memory for the next one; None where nothing is."""
        return (observation, None) if self.recalls is None else self.recalls(observation, memory, start)

    def left(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
        """`[B]` what is left of each episode, a number that falls to the end."""
        n_open: NDArray[np.int64] = observation["action_mask"].sum(axis=1)
        return n_open

    def decide(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any,
        start: NDArray[np.bool_],
        *,
        deterministic: bool,
        average: bool = True,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], Any]:
        """Actions for a batch of observations, what their choices' probabilities were, and the encodings to keep.

        Args:
            observation: of B states.
            state, start: encodings kept, and `[B]` rows whose episode begins.
            deterministic: take the likeliest choices, else draw.
            average: ask the averaged actor, else the one that learns.

        Returns:
            Actions `[B]` with probabilities `[B]`; where actions have K parts, both are `[B, K]`.
        """
        kept = state

        def one(asked: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            nonlocal kept
            probs, kept = self.step_probs(asked, kept, start, average)
            choice = self.choose(probs, deterministic)
            return choice, probs.cpu().numpy()[np.arange(len(start)), choice].astype(np.float64)

        if self.parts is None:
            action, probability = one(observation)
            return action, probability, kept
        choices, probability = self.parts.choose(observation, one)
        return self.parts.join(observation, choices), probability, kept

    def choose(self, probs: Tensor, deterministic: bool) -> NDArray[np.int64]:
        """Most probable or drawn regions `[B]` (NumPy's global generator, seeded by Stable-Baselines3)."""
        return choose(probs, deterministic)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions for one observation or a batch.

        `state` holds what an episode's steps share, which only saves time, or what is remembered of them (`recalls`).
        """
        if self.training:  # it goes through all modules, which takes a tenth of a decision
            self.set_training_mode(False)
        single = np.ndim(observation["action_mask"]) == 1
        batch = {k: np.asarray(v)[None] for k, v in observation.items()} if single else observation
        start = np.atleast_1d(np.asarray(False if episode_start is None else episode_start, dtype=bool))
        start = np.broadcast_to(start, len(batch["action_mask"]))
        batch, memory = self.recall(batch, state, start)
        action, _, state = self.decide(batch, state, start, deterministic=deterministic)
        return (action[0] if single else action), (state if memory is None else memory)

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        arrays = {k: v.cpu().numpy() for k, v in observation.items()}
        start = np.ones(len(arrays["action_mask"]), dtype=bool)
        return torch.as_tensor(self.decide(arrays, None, start, deterministic=deterministic)[0])

    def forward(self, observation: Any, deterministic: bool = False) -> Tensor:
        """As `_predict`."""
        return self._predict(observation, deterministic)
