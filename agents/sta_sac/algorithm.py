"""STA-SAC: discrete soft actor-critic with a Lagrange multiplier, from whole episodes (EPOPR section 3.3.3)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import polyak_update
from torch import Tensor

from stormgym.agents.attention.multiplier import (
    LagrangeMultiplier,
    LimitMultiplier,
    Method,
    cost_limit_of,
    tightness_of,
)
from stormgym.agents.attention.networks import EpisodeNet, Inputs, PaperNet
from stormgym.agents.policy import Policy
from stormgym.agents.restoration.network.features import CREW, Scales, make_inputs, return_units_h, scales_of
from stormgym.agents.restoration.network.scenarios import advantages, expected_to_go
from stormgym.agents.sta_sac.buffer import EpisodeBatch, EpisodeReplayBuffer
from stormgym.agents.sta_sac.collecting import TaughtCollection
from stormgym.agents.sta_sac.control_variate import without_luck
from stormgym.agents.sta_sac.losses import (
    CostReduction,
    clipped_surrogate,
    cooling_factor,
    reduce_critics,
    retrace_targets,
)
from stormgym.agents.sta_sac.policy import STASACPolicy


class STASAC(TaughtCollection):
    """Spatial-temporal attention soft actor-critic under an expected-cost limit, a Stable-Baselines3 algorithm.

    Departures from the paper, each a switch: the squared error that eq. 17 leaves out; the minimum over reward
    critics and the mean (or maximum) over cost critics where eq. 18 takes the minimum of pairs; the sign of eq. 19
    put right; the dual step on the costs of finished episodes that were played greedily, because exploring episodes
    overstate the cost of the policy that will be used. By default the actor learns from returns beside those of other
    episodes that met the same storm, and critics are not asked (`actor_gradient`, `n_rollouts`). Where they are, their
    targets run along whole episodes with Retrace weights min(1, pi / behaviour), so that what happens at the end of an
    episode reaches its beginning in few updates; `retrace=0` gives the one-step targets of eq. 17.

    Args:
        policy: `"STASACPolicy"` or a class.
        env: constrained environment (or id); every info carries `cost`.
        learning_rate: of critics and actor (Adam).
        lr_last: share of the learning rate that is left at the end of the training; it falls linearly.
        buffer_size: steps kept.
        learning_starts: steps with random open regions before the first update; none where a teacher plays first.
        batch_size: episodes per update.
        tau: Polyak factor of the target critics.
        train_freq: steps of each environment between updates; None takes N, one whole episode.
        gradient_steps: updates of the critics, and of the imitation while the teacher plays, after each collection.
        retrace: lambda in [0, 1] of the Retrace targets.
        target_entropy: pair (first, last) of the policy's target entropy as a share of log(open regions); moves
            linearly over the training.
        alpha_init: first weight of the entropy, which then follows the target.
        entropy_in_critic: whether targets carry the entropy bonus.
        control_variate: take the luck of repair durations out of rewards and costs (see `control_variate`).
        shared_luck: repairs of a group share a factor in each storm (`shock`), which is no luck: it can be foreseen
            from the repairs that were seen. Else durations are taken as independent given their forecasts.
        cost_reduction: `"mean"` or `"max"` over the two cost critics.
        actor_tau: Polyak factor of the averaged actor, which acts; 1 takes the actor itself.
        actor_follows: critics that the actor's loss takes: `"target"`, which change slowly, or `"online"`.
        actor_gradient: `"critics"` lowers E_pi[alpha log pi - Q] as SAC does (eq. 18). `"returns"` (default) raises the
            probability of drawn actions whose return along the episode, without luck, is above a baseline, with its
            ratio clipped as in PPO: a critic that tells good from bad states well may still order a state's actions
            badly, and its gradient then spoils a good policy.
        n_rollouts: environments that play the same storm with `"returns"`: their mean return is the baseline, and no
            critic is trained. 1, or a city with a single environment, takes the critics' value of the state instead.
        n_epochs: passes over each collection with a shared baseline.
        actor_batch_size: episodes of such an update, rounded to whole storms.
        clip_range: clipping of the policy's ratio with `"returns"`.
        cost_limit: limit d (h); None asks the environment. Where episodes have limits of their own (a `cost_limit`
            pair, or many cities), the multiplier is a function of how tight an episode's limit is (`LimitMultiplier`).
        limit_margin: the multiplier aims at `limit_margin * d`, so that a finite evaluation holds d.
        multiplier_init, multiplier_lr, multiplier_method: the Lagrange multiplier (see `LagrangeMultiplier`).
        greedy_share: share of the environments that act greedily and feed the dual step; 0 uses all, exploring,
            episodes.
        constrained: False leaves the cost out: the multiplier stays at zero.
        teacher: policy that plays the first `teacher_steps` steps in place of chance: a warm start. The actor imitates
            its choices from the first one on, and keeps them in mind: see `imitation`.
        teacher_steps: steps that the teacher plays, at most half of the training, rounded up to whole episodes of all
            environments; they count as steps of training.
        imitation: pair (first, last) of the weight of the imitation loss (cross entropy on the teacher's choices) after
            the teacher's time; while it plays, the actor does nothing but imitate.
        imitation_batch: teacher's episodes per update.
        max_grad_norm: gradient clipping.
        policy_kwargs: size and shape of the networks (see `STASACPolicy`).
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"STASACPolicy": STASACPolicy}
    observes_masks: ClassVar[bool] = True
    """`predict` reads the mask in the observation and takes no closed choice."""
    policy: STASACPolicy
    replay_buffer: EpisodeReplayBuffer

    def __init__(
        self,
        policy: str | type[STASACPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        lr_last: float = 0.05,
        buffer_size: int = 7_040,
        learning_starts: int = 3_000,
        batch_size: int = 4,
        tau: float = 0.01,
        train_freq: int | None = None,
        gradient_steps: int = 64,
        retrace: float = 1.0,
        target_entropy: tuple[float, float] = (0.12, 0.03),
        alpha_init: float = 0.0001,
        entropy_in_critic: bool = False,
        control_variate: bool = True,
        shared_luck: bool = False,
        cost_reduction: CostReduction = "mean",
        actor_tau: float = 0.005,
        actor_follows: str = "target",
        actor_gradient: str = "returns",
        n_rollouts: int = 8,
        n_epochs: int = 2,
        actor_batch_size: int = 8,
        clip_range: float = 0.2,
        cost_limit: float | None = None,
        limit_margin: float = 0.88,
        multiplier_init: float = 0.15,
        multiplier_lr: float = 0.05,
        multiplier_method: Method = "softplus",
        greedy_share: float = 0.25,
        constrained: bool = True,
        teacher: Policy | None = None,
        teacher_steps: int = 120_000,
        imitation: tuple[float, float] = (0.0, 0.0),
        imitation_batch: int = 4,
        max_grad_norm: float = 5.0,
        policy_kwargs: dict[str, Any] | None = None,
        replay_buffer_class: type[EpisodeReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if not 0 <= retrace <= 1:
            raise ValueError(f"retrace must be in [0, 1]; got {retrace!r}")
        if cost_reduction not in ("mean", "max"):
            raise ValueError(f"cost_reduction must be 'mean' or 'max'; got {cost_reduction!r}")
        if actor_follows not in ("target", "online"):
            raise ValueError(f"actor_follows must be 'target' or 'online'; got {actor_follows!r}")
        if actor_gradient not in ("critics", "returns"):
            raise ValueError(f"actor_gradient must be 'critics' or 'returns'; got {actor_gradient!r}")
        if not clip_range > 0:
            raise ValueError(f"clip_range must be above 0; got {clip_range!r}")
        if min(n_rollouts, n_epochs, actor_batch_size) < 1:
            raise ValueError(
                "n_rollouts, n_epochs and actor_batch_size must be at least 1; "
                f"got {n_rollouts!r}, {n_epochs!r} and {actor_batch_size!r}"
            )
        if not 0 <= greedy_share < 1:
            raise ValueError(f"greedy_share must be in [0, 1); got {greedy_share!r}")
        if not 0 < limit_margin <= 1:
            raise ValueError(f"limit_margin must be in (0, 1]; got {limit_margin!r}")
        if not all(0 <= share < 1 for share in target_entropy):
            raise ValueError(f"target_entropy must be two shares in [0, 1); got {target_entropy!r}")
        if min(imitation) < 0 or teacher_steps < 0 or imitation_batch < 1:
            raise ValueError(
                "imitation and teacher_steps must be at least 0 and imitation_batch at least 1; "
                f"got {imitation!r}, {teacher_steps!r} and {imitation_batch!r}"
            )
        super().__init__(
            policy,
            env,
            learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=1.0,
            train_freq=train_freq or 1,
            gradient_steps=gradient_steps,
            replay_buffer_class=replay_buffer_class or EpisodeReplayBuffer,
            replay_buffer_kwargs={
                "demonstration_size": 0 if teacher is None else teacher_steps,
                **(replay_buffer_kwargs or {}),
            },
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
            sde_support=False,
            supported_action_spaces=(spaces.Discrete,),
            support_multi_env=True,
        )
        self._whole_episodes = train_freq is None
        self.lr_last = lr_last
        self.retrace = retrace
        self.target_entropy = target_entropy
        self.alpha_init = alpha_init
        self.entropy_in_critic = entropy_in_critic
        self.control_variate = control_variate
        self.shared_luck = shared_luck
        self.cost_reduction = cost_reduction
        self.actor_tau = actor_tau
        self.actor_follows = actor_follows
        self.actor_gradient = actor_gradient
        self.n_rollouts = n_rollouts
        self.n_epochs = n_epochs
        self.actor_batch_size = actor_batch_size
        self.clip_range = clip_range
        self.cost_limit = cost_limit
        self.limit_margin = limit_margin
        self.multiplier_init = multiplier_init
        self.multiplier_lr = multiplier_lr
        self.multiplier_method = multiplier_method
        self.greedy_share = greedy_share
        self.constrained = constrained
        self.teacher = teacher
        self.teacher_steps = teacher_steps
        self.teacher_until: int | None = None  # steps that the teacher does play; known when learning begins
        if teacher is not None:
            self.learning_starts = 0  # nobody acts at random
        self.imitation = imitation
        self.imitation_batch = imitation_batch
        self._begun = False  # whether rows that share storms have begun together
        self._cooled = False  # whether the actor that imitated was made as sure as the target entropy asks
        self.max_grad_norm = max_grad_norm
        self._running_cost = np.zeros(0)
        self._dual_costs: list[tuple[float, float, float]] = []  # cost, limit and scale (h) of finished episodes
        self.tightness: tuple[float, float] | None = None  # limits in units of return, where episodes differ
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self._whole_episodes:
            assert isinstance(self.action_space, spaces.Discrete)
            self.train_freq = int(self.action_space.n)
        if self.cost_limit is None:
            self.cost_limit = cost_limit_of(self.env)
            self.tightness = tightness_of(self.env, return_units_h(self.env))
        super()._setup_model()
        initial = self.multiplier_init if self.constrained else 0.0
        if self.tightness is None:
            self.multiplier = LagrangeMultiplier(
                self.cost_limit * self.limit_margin,
                initial=initial,
                learning_rate=self.multiplier_lr,
                method=self.multiplier_method,
            )
        else:
            self.multiplier = LimitMultiplier(
                *self.tightness, margin=self.limit_margin, initial=initial, learning_rate=self.multiplier_lr
            )
        self.log_alpha = torch.tensor(math.log(self.alpha_init), device=self.device, requires_grad=True)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=5e-3)
        self._begin_collection()

    # ---------------------------------------------------------------- learning

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Do the updates, then one dual step.

        They are `gradient_steps` updates of `batch_size` episodes each, or, where environments share storms,
        `n_epochs` passes over what was just collected.
        """
        if self.replay_buffer.size() == 0:
            return
        self.policy.set_training_mode(True)
        self._rollout_state = None
        decay = self.lr_last + (1.0 - self.lr_last) * self._current_progress_remaining
        rate = self.lr_schedule(self._current_progress_remaining) * decay
        for group in self.policy.critic_optimizer.param_groups:
            group["lr"] = rate
        for group in self.policy.actor_optimizer.param_groups:
            group["lr"] = rate * self.policy.actor_lr_factor
        logs: list[dict[str, float]] = []
        if self.rows is not None and self.replay_buffer.round is not None:
            for index in self._storms():
                logs.append(self._update_on_storms(self.replay_buffer.episodes(index)))
                self._n_updates += 1
        else:
            for _ in range(gradient_steps):
                logs.append(self._update(self.replay_buffer.sample(batch_size)))
                self._n_updates += 1
        if self._dual_costs:
            costs, limits, scale = torch.tensor(self._dual_costs, dtype=torch.float64).T
            if self.constrained:
                self.multiplier.update_each(costs, limits, scale)
            self.logger.record("rollout/greedy_cost", float(costs.mean()))
            self.logger.record("rollout/greedy_cost_in_limits", float((costs / limits).mean()))
            self._dual_costs = []
        for key in logs[0]:
            self.logger.record(f"train/{key}", float(np.mean([log[key] for log in logs])))
        self.logger.record("train/lambda", self.multiplier.per_unit)
        self.logger.record("train/learning_rate", rate)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _entropy_share(self) -> float:
        first, last = self.target_entropy
        return last + (first - last) * self._current_progress_remaining

    def _imitation_weight(self) -> float:
        """Weight of the imitation loss: moves linearly from the teacher's last step to the end of the training."""
        own = 1.0 - (self.teacher_until or 0) / max(self._total_timesteps, 1)
        left = min(1.0, self._current_progress_remaining / max(own, 1e-9))
        first, last = self.imitation
        return last + (first - last) * left

    def _storms(self) -> list[NDArray[np.int64]]:
        """Episodes of each update on the last collection: whole storms, in random order, `n_epochs` times."""
        assert self.rows is not None
        assert self.replay_buffer.round is not None
        episodes = self.replay_buffer.round[self.rows.exploring].reshape(-1, self.rows.n_rollouts)
        episodes = episodes[(episodes >= 0).all(axis=1)]  # an out-of-steps episode may still be under way
        each = max(self.actor_batch_size // self.rows.n_rollouts, 1)
        result = []
        for _ in range(self.n_epochs):
            order = np.random.permutation(len(episodes))
            result += [episodes[order[i : i + each]].ravel() for i in range(0, order.size, each)]
        return result

    def _update_on_storms(self, batch: EpisodeBatch) -> dict[str, float]:
        """One step of the actor on whole storms: returns above the mean of the rollouts that met the same storm."""
        assert self.rows is not None
        _, scales, log_pi = self._forward(batch)
        reward, cost = self._rewards(batch, scales)
        price = self._price(batch, scales)
        gain = (reward - price * cost) * batch.valid
        expected = expected_to_go(batch.regions, batch.is_open, scales) / scales.total_hours
        gain = advantages(gain, self.rows.n_rollouts, expected)
        if self.tightness is not None:  # else the episodes of tight limits, whose price is high, would drown the others
            gain = gain / (1.0 + price)
        surrogate = clipped_surrogate(batch, log_pi.exp(), gain, self.clip_range)
        return self._step_actor(batch, log_pi, surrogate)

    def _update(self, batch: EpisodeBatch) -> dict[str, float]:
        """One step of critics and actor; while the teacher plays the actor imitates."""
        policy = self.policy
        if self._teaching and self.rows is not None:  # the critics will not be asked
            if self.control_variate:
                self._rewards(batch, scales_of(batch.regions))
            return self._step_imitation()
        inputs, scales, log_pi = self._forward(batch)
        pi = log_pi.exp()
        entropy = -(pi * log_pi).sum(-1)  # [M, T]
        reward, cost = self._rewards(batch, scales)
        alpha = self.log_alpha.exp().detach()
        bonus = alpha * entropy.detach() if self.entropy_in_critic else torch.zeros_like(entropy)
        with torch.no_grad():
            slow = policy.critic_target(inputs, batch.regions, batch.crew, scales)  # [M, T, N, 4]
        targets = retrace_targets(
            batch, slow, pi.detach(), reward, cost, bonus, retrace=self.retrace, cost_reduction=self.cost_reduction
        )

        q = policy.critic(inputs, batch.regions, batch.crew, scales)  # [M, T, N, 4]
        taken = q.gather(2, batch.actions[..., None, None].expand(-1, -1, 1, 4)).squeeze(2)  # [M, T, 4]
        error = (taken - targets) * batch.valid.unsqueeze(-1)
        critic_loss = error.square().sum() / batch.valid.sum()  # eq. 17, with the square that print leaves out
        policy.critic_optimizer.zero_grad()
        critic_loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.critic.parameters(), self.max_grad_norm)
        policy.critic_optimizer.step()
        polyak_update(policy.critic.parameters(), policy.critic_target.parameters(), self.tau)
        logs = {"critic_loss": critic_loss.item()}
        if self._teaching:
            return logs | self._step_imitation()
        price = self._price(batch, scales).unsqueeze(-1)
        if self.actor_gradient == "returns":
            q_reward, q_cost = reduce_critics(slow, self.cost_reduction)
            value = (pi.detach() * (q_reward - price * q_cost)).sum(-1)
            gain = targets[..., 0] - price.squeeze(-1) * targets[..., 2] - value
            objective = clipped_surrogate(batch, pi, gain, self.clip_range)
        else:
            asked = slow if self.actor_follows == "target" else q.detach()
            q_reward, q_cost = reduce_critics(asked, self.cost_reduction)
            objective = (pi * (q_reward - price * q_cost)).sum(-1)  # eq. 18
        return logs | self._step_actor(batch, log_pi, objective)

    def _forward(self, batch: EpisodeBatch) -> tuple[Inputs, Scales, Tensor]:
        """The networks' inputs, their scales and the actor's log probabilities `[M, T, N]`."""
        inputs, scales = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, self.policy.n_groups)
        log_pi = self.policy.log_probs(self.policy.actor(inputs).squeeze(-1), batch.action_mask)
        return inputs, scales, log_pi

    def _rewards(self, batch: EpisodeBatch, scales: Scales) -> tuple[Tensor, Tensor]:
        """Rewards in units of return and costs in limits `[M, T]`, without luck; also fits what repairs should take."""
        reward, cost = batch.rewards, batch.costs
        if self.control_variate:
            policy = self.policy
            late = policy.forecast.surprise(batch, scales)
            policy.forecast_optimizer.zero_grad()
            ((late / scales.hours).square().sum() / batch.valid.sum()).backward()
            policy.forecast_optimizer.step()
            if self.shared_luck:
                late = policy.forecast.surprise(batch, scales, policy.n_groups)
            reward, cost = without_luck(batch, late.detach(), scales, policy.n_groups)
        return reward / scales.total_hours, cost / batch.crew[..., CREW["cost_limit_h"]]

    def _price(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """What a cost of one limit takes off the return, `[M, T]`."""
        limits = batch.crew[..., CREW["cost_limit_h"]]
        lam = self.multiplier.of(limits, scales.total_hours.expand_as(limits)) * float(self.constrained)
        return lam / self.limit_margin

    def _step_imitation(self) -> dict[str, float]:
        """One step of the actor towards the teacher."""
        loss = self._imitation_loss()
        self._descend(loss)
        return {"actor_loss": loss.item()}

    def _step_actor(self, batch: EpisodeBatch, log_pi: Tensor, objective: Tensor) -> dict[str, float]:
        """One step of the actor up the objective `[M, T]` with its entropy, and one of the entropy's weight."""
        total = batch.valid.sum()
        entropy = -(log_pi.exp() * log_pi).sum(-1)
        alpha = self.log_alpha.exp().detach()
        loss = -((objective + alpha * entropy) * batch.valid).sum() / total
        weight = self._imitation_weight()
        if weight > 0 and self.replay_buffer.n_demonstrations:
            loss = loss + weight * self._imitation_loss()
        self._descend(loss)
        n_open = batch.action_mask.sum(-1).to(log_pi.dtype)
        wanted = self._entropy_share() * n_open.clamp_min(1.0).log()
        surplus = ((entropy.detach() - wanted) * batch.valid).sum() / total
        alpha_loss = self.log_alpha * surplus
        self.alpha_optimizer.zero_grad()
        alpha_loss.backward()
        self.alpha_optimizer.step()
        with torch.no_grad():
            self.log_alpha.clamp_(math.log(1e-5), math.log(1.0))
        return {
            "actor_loss": loss.item(),
            "entropy": ((entropy.detach() * batch.valid).sum() / total).item(),
            "alpha": alpha.item(),
        }

    def _descend(self, loss: Tensor) -> None:
        """One step of Adam on the actor's loss; the averaged actor follows."""
        policy = self.policy
        policy.actor_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), self.max_grad_norm)
        policy.actor_optimizer.step()
        rate = max(self.actor_tau, 1.0 / (self._n_updates + 1))
        polyak_update(policy.actor.parameters(), policy.actor_average.parameters(), rate)

    @torch.no_grad()
    def _cool(self) -> None:
        """Make the actor that imitated as sure of its choices as the target entropy asks, never less sure.

        A teacher's choices cannot all be foreseen, so who imitates it draws at random where it is unsure and plays far
        worse than its most probable choices. Scores are multiplied by one factor, which changes no greedy choice.
        """
        self._cooled = True
        if not self.replay_buffer.n_demonstrations:
            return
        batch = self.replay_buffer.demonstrations(8 * self.imitation_batch)
        inputs, _, _ = self._forward(batch)
        factor = cooling_factor(self.policy.actor(inputs).squeeze(-1), batch, self._entropy_share())
        if factor > 1.0:
            for actor in (self.policy.actor, self.policy.actor_average):
                for parameter in actor.out.parameters():
                    parameter.mul_(factor)

    def _imitation_loss(self) -> Tensor:
        """Cross entropy of the actor on the choices in some of the teacher's episodes, a mean over steps."""
        batch = self.replay_buffer.demonstrations(self.imitation_batch)
        inputs, _ = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, self.policy.n_groups)
        log_pi = self.policy.log_probs(self.policy.actor(inputs).squeeze(-1), batch.action_mask)
        taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
        return -(taken * batch.taught).sum() / batch.taught.sum()

    # ---------------------------------------------------------------- Stable-Baselines3's services

    @property
    def acting_network(self) -> tuple[EpisodeNet | PaperNet, int]:
        """The network whose scores decide, and G, the number of groups that it was trained with."""
        return self.policy.actor_average, self.policy.n_groups

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """As the policy's `predict`."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 64,
        tb_log_name: str = "STASAC",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> STASAC:
        """Train; as in Stable-Baselines3 (`log_interval` counts episodes)."""
        super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)
        return self

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_rollout_state", "multiplier", "teacher", "rows"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state = [
            "policy",
            "policy.actor_optimizer",
            "policy.critic_optimizer",
            "policy.forecast_optimizer",
            "alpha_optimizer",
        ]
        return [*state, "multiplier", "multiplier.optimizer"], ["log_alpha"]
