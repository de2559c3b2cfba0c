"""Attention model by policy gradient: rollouts on one scenario are each other's baseline, under a cost limit."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from stormgym.agents.attention.multiplier import LagrangeMultiplier, Method, cost_limit_of
from stormgym.agents.attention.networks import EpisodeNet
from stormgym.agents.attention_pg.collection import EpisodeCollector, Episodes
from stormgym.agents.attention_pg.policy import AttentionPolicy
from stormgym.agents.restoration.network.features import make_inputs, scales_of
from stormgym.agents.restoration.network.scenarios import Rows, advantages, expected_to_go
from stormgym.envs.wrappers import cost_of


class AttentionPG(OnPolicyAlgorithm):
    """REINFORCE with a shared baseline over an attention model, under an expected-cost limit.

    Idea: all B environments begin together. M of them play the same scenario (the same durations), so what is left
    when their mean return is taken off is due to choices, not to luck; no critic is needed. The return is reward -
    lambda * dense cost. Episodes are encoded once, and an update recomputes them whole. With more than one update a
    collection the policy's ratio is clipped as in PPO; `n_epochs=1` with all episodes in one batch is plain
    REINFORCE. Some environments act greedily on scenarios of their own, and only their costs move lambda: exploring
    episodes overstate the cost of the policy that will be used.
    Cost: one pass through the network a step of all environments, `n_epochs` passes a collection.
    Source: Kool, van Hoof and Welling (2019), Kwon et al. (2020, POMO); its many starts from one instance are many
    rollouts here, since the depot is the start of all.

    Args:
        policy: `"AttentionPolicy"` or a class.
        env: constrained environments, at least 2 (or an id); every info carries `cost`.
        learning_rate: of Adam.
        lr_last: share of the learning rate that is left at the end of the training; it falls linearly.
        n_rollouts: M, environments on the same scenario.
        n_epochs: passes over a collection.
        batch_size: episodes an update, rounded to whole scenarios.
        clip_range: clipping of the policy's ratio.
        ent_coef: weight of the entropy bonus.
        cost_limit: limit d (h); None asks the environment.
        limit_margin: the multiplier aims at `limit_margin * d`, so that a finite evaluation holds d.
        multiplier_init, multiplier_lr, multiplier_method: the Lagrange multiplier (see `LagrangeMultiplier`).
        greedy_share: share of the environments that act greedily and feed the dual step; without any, all episodes
            feed it.
        constrained: False leaves the cost out: the multiplier stays at zero.
        max_grad_norm: gradient clipping.
        policy_kwargs: size of the network (see `AttentionPolicy`).

    Raises:
        ValueError: a setting out of range, fewer than 2 environments, or no cost limit.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"AttentionPolicy": AttentionPolicy}
    observes_masks: ClassVar[bool] = True
    """`predict` reads the mask in the observation and takes no closed choice."""
    policy: AttentionPolicy  # type: ignore[assignment]  # it has no values, as OnPolicyAlgorithm expects of its own

    def __init__(
        self,
        policy: str | type[AttentionPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        lr_last: float = 0.1,
        n_rollouts: int = 8,
        n_epochs: int = 4,
        batch_size: int = 8,
        clip_range: float = 0.2,
        ent_coef: float = 0.0,
        cost_limit: float | None = None,
        limit_margin: float = 0.95,
        multiplier_init: float = 0.2,
        multiplier_lr: float = 0.05,
        multiplier_method: Method = "softplus",
        greedy_share: float = 0.25,
        constrained: bool = True,
        max_grad_norm: float = 1.0,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if n_rollouts < 2:
            raise ValueError(f"n_rollouts must be at least 2, so that there is a baseline; got {n_rollouts!r}")
        if n_epochs < 1 or batch_size < 1:
            raise ValueError(f"n_epochs and batch_size must be at least 1; got {n_epochs!r} and {batch_size!r}")
        if not 0 <= greedy_share < 1:
            raise ValueError(f"greedy_share must be in [0, 1); got {greedy_share!r}")
        if not 0 < limit_margin <= 1:
            raise ValueError(f"limit_margin must be in (0, 1]; got {limit_margin!r}")
        if not clip_range > 0:
            raise ValueError(f"clip_range must be above 0; got {clip_range!r}")
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,
            learning_rate,
            n_steps=1,  # a collection is one episode of every environment, whatever its length
            gamma=1.0,
            gae_lambda=1.0,
            ent_coef=ent_coef,
            vf_coef=0.0,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            supported_action_spaces=(spaces.Discrete,),
            _init_setup_model=False,
        )
        self.lr_last = lr_last
        self.n_rollouts = n_rollouts
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.clip_range = clip_range
        self.cost_limit = cost_limit
        self.limit_margin = limit_margin
        self.multiplier_init = multiplier_init
        self.multiplier_lr = multiplier_lr
        self.multiplier_method = multiplier_method
        self.greedy_share = greedy_share
        self.constrained = constrained
        self._n_updates = 0
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.rows = Rows.of(self.n_envs, self.n_rollouts, self.greedy_share)
        if self.cost_limit is None:
            self.cost_limit = cost_limit_of(self.env)
        self.multiplier = LagrangeMultiplier(
            self.cost_limit * self.limit_margin,
            initial=self.multiplier_init if self.constrained else 0.0,
            learning_rate=self.multiplier_lr,
            method=self.multiplier_method,
        )
        policy_class: Any = self.policy_class
        self.policy = policy_class(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)
        self.policy = self.policy.to(self.device)
        self.rollout_buffer: Any = None  # `_batch` takes its place
        self._batch: Episodes | None = None
        self._greedy_costs: list[float] = []

    # ---------------------------------------------------------------- collecting

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Play one episode in every environment, those of a scenario on the same durations.

        Returns False when a callback asked to stop.
        """
        del rollout_buffer, n_rollout_steps
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        env.unwrapped._seeds = self.rows.seeds()  # what env.seed() sets, with seeds of our own
        observation: Any = env.reset()
        collector = EpisodeCollector()
        state = None
        running = np.ones(env.num_envs, dtype=bool)
        total_cost = np.zeros(env.num_envs)
        every = np.arange(env.num_envs)
        greedy = self.rows.greedy
        while running.any():
            log_probs, state = self.policy.step_log_probs(observation, state, ~running)
            actions = self.policy.choose(log_probs, greedy)
            new_observation, rewards, dones, infos = env.step(actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            cost = np.array([cost_of(info) for info in infos])
            collector.add(observation, actions, log_probs.cpu().numpy()[every, actions], rewards, cost, running)
            total_cost += np.where(running, cost, 0.0)
            running = running & ~dones
            observation = new_observation
        self._last_obs, self._last_episode_starts = observation, np.ones(env.num_envs, dtype=bool)
        self._batch = collector.batch(self.rows.exploring.size, self.device)
        self._greedy_costs = total_cost[greedy if greedy.any() else every].tolist()
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    # ---------------------------------------------------------------- learning

    def train(self) -> None:
        """Do the updates on the last collection, then one dual step."""
        batch = self._batch
        assert batch is not None
        self._batch = None
        self.policy.set_training_mode(True)
        decay = self.lr_last + (1.0 - self.lr_last) * self._current_progress_remaining
        rate = self.lr_schedule(self._current_progress_remaining) * decay
        for group in self.policy.optimizer.param_groups:
            group["lr"] = rate
        advantage = self._advantages(batch)
        m = self.rows.n_rollouts
        per_batch = max(self.batch_size // m, 1)  # scenarios
        logs: list[dict[str, float]] = []
        for _ in range(self.n_epochs):
            order = np.random.permutation(self.rows.n_scenarios)
            for i in range(0, order.size, per_batch):
                index = torch.from_numpy((order[i : i + per_batch, None] * m + np.arange(m)).ravel()).to(self.device)
                logs.append(self._update(batch.take(index), advantage[index]))
                self._n_updates += 1
        mean_cost = float(np.mean(self._greedy_costs))
        if self.constrained:
            self.multiplier.update(mean_cost)
        self.logger.record("rollout/greedy_cost", mean_cost)
        for key in logs[0]:
            self.logger.record(f"train/{key}", float(np.mean([log[key] for log in logs])))
        self.logger.record("train/lambda", self._price())
        self.logger.record("train/learning_rate", rate)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _price(self) -> float:
        """Lambda per hour of cost; exactly 0 without a constraint."""
        return self.multiplier.per_unit if self.constrained else 0.0

    def _advantages(self, batch: Episodes) -> Tensor:
        """Advantages `[S * M, T]` in their standard deviation over the collection."""
        scales = scales_of(batch.regions)
        gain = batch.rewards / scales.total_hours - self._price() * batch.costs
        expected = expected_to_go(batch.regions, batch.is_open, scales) / scales.total_hours
        advantage = advantages(gain, self.rows.n_rollouts, expected) * batch.valid
        return advantage / advantage.square().mean().sqrt().clamp_min(1e-6)

    def _update(self, batch: Episodes, advantage: Tensor) -> dict[str, float]:
        """One step of Adam on whole episodes."""
        policy = self.policy
        inputs, _ = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, policy.n_groups)
        log_pi = policy.log_probs(inputs, batch.action_mask)  # [M, T, N]
        taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)  # [M, T]
        ratio = (taken - batch.log_probs).exp()
        clipped = ratio.clamp(1.0 - self.clip_range, 1.0 + self.clip_range)
        valid = batch.valid.to(taken.dtype)
        total = valid.sum()
        policy_loss = -(torch.minimum(ratio * advantage, clipped * advantage) * valid).sum() / total
        entropy = (-(log_pi.exp() * log_pi).sum(-1) * valid).sum() / total
        loss = policy_loss - self.ent_coef * entropy
        policy.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), self.max_grad_norm)
        policy.optimizer.step()
        outside = ((ratio - 1.0).abs() > self.clip_range) & batch.valid
        return {
            "policy_gradient_loss": policy_loss.item(),
            "entropy": entropy.item(),
            "clip_fraction": (outside.sum() / total).item(),
        }

    # ---------------------------------------------------------------- Stable-Baselines3's services

    @property
    def acting_network(self) -> tuple[EpisodeNet, int]:
        """The network whose scores decide, and G, the number of groups that it was trained with."""
        return self.policy.actor, self.policy.n_groups

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "AttentionPG",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> AttentionPG:
        """Train; as in Stable-Baselines3 (`log_interval` counts collections)."""
        super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)
        return self

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "multiplier", "_batch", "rows"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer", "multiplier", "multiplier.optimizer"], []
