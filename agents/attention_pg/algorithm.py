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
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from stormgym.agents.attention.multiplier import LagrangeMultiplier, cost_limit_of
from stormgym.agents.attention.networks import EpisodeNet
from stormgym.agents.attention_pg import old_files
from stormgym.agents.attention_pg.collection import EpisodeCollector, Episodes
from stormgym.agents.attention_pg.policy import AttentionPolicy
from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.restoration.network.features import make_inputs, scales_of
from stormgym.agents.restoration.network.scenarios import Rows
from stormgym.agents.restoration.network.shared_storms import SharedStorms
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
        env: constrained environments with the observation of Restoration-v0, at least 2 (or an id); every info carries
            `cost`.
        settings: all that can be chosen, with its defaults.
        cost_limit: limit d (h); None asks the environment.
        policy_kwargs: of the policy, beside what the settings say.
        stats_window_size, tensorboard_log, verbose, seed, device: as in Stable-Baselines3.

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
        settings: AttentionPGSettings = AttentionPGSettings(),  # noqa: B008  # frozen
        *,
        cost_limit: float | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        settings.check()
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,
            settings.learning_rate,
            n_steps=1,  # a collection is one episode of every environment, whatever its length
            gamma=1.0,
            gae_lambda=1.0,
            ent_coef=settings.ent_coef,
            vf_coef=0.0,
            max_grad_norm=settings.max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={**settings.network, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
            supported_action_spaces=(spaces.Discrete,),
            _init_setup_model=False,
        )
        self.settings = settings
        self.cost_limit = cost_limit
        self._n_updates = 0
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        """Make all that a file holds as tensors or not at all; called by `__init__`, and by `load` on what it read."""
        if old_files.is_old(self.__dict__):
            old_files.convert(self.__dict__)
        settings = self.settings
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.rows = Rows.of(self.n_envs, settings.n_rollouts, settings.greedy_share)
        self.storms = SharedStorms(self.rows.n_rollouts, settings.n_epochs, settings.batch_size, settings.clip_range)
        if self.cost_limit is None:
            self.cost_limit = cost_limit_of(self.env)
        self.multiplier = LagrangeMultiplier(
            self.cost_limit * settings.limit_margin,
            initial=settings.multiplier_init if settings.constrained else 0.0,
            learning_rate=settings.multiplier_lr,
            method=settings.multiplier_method,
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
        left, lr_last = self._current_progress_remaining, self.settings.lr_last
        rate = self.lr_schedule(left) * (lr_last + (1.0 - lr_last) * left)
        for group in self.policy.optimizer.param_groups:
            group["lr"] = rate
        advantage = self._advantages(batch)
        episodes = np.arange(self.rows.exploring.size).reshape(-1, self.rows.n_rollouts)  # [S, M] as collected
        logs: list[dict[str, float]] = []
        for index in map(torch.from_numpy, self.storms.minibatches(episodes)):
            part = index.to(self.device)
            logs.append(self._update(batch.take(part), advantage[part]))
            self._n_updates += 1
        mean_cost = float(np.mean(self._greedy_costs))
        if self.settings.constrained:
            self.multiplier.update(mean_cost)
        self.logger.record("rollout/greedy_cost", mean_cost)
        for key in logs[0]:
            self.logger.record(f"train/{key}", float(np.mean([log[key] for log in logs])))
        self.logger.record("train/lambda", self._price())
        self.logger.record("train/learning_rate", rate)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _price(self) -> float:
        """Lambda per hour of cost; exactly 0 without a constraint."""
        return self.multiplier.per_unit if self.settings.constrained else 0.0

    def _advantages(self, batch: Episodes) -> Tensor:
        """Advantages `[S * M, T]`, divided by their root mean square over the collection."""
        scales = scales_of(batch.regions)
        gain = batch.rewards / scales.total_hours - self._price() * batch.costs  # both are 0 after an episode's end
        advantage = self.storms.advantages(gain, batch.regions, batch.is_open, scales) * batch.valid
        return advantage / advantage.square().mean().sqrt().clamp_min(1e-6)

    def _update(self, batch: Episodes, advantage: Tensor) -> dict[str, float]:
        """One step of Adam on whole episodes."""
        policy = self.policy
        inputs, _ = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, policy.n_groups)
        log_pi = policy.log_probs(inputs, batch.action_mask)  # [M, T, N]
        taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)  # [M, T]
        ratio = (taken - batch.log_probs).exp()
        valid = batch.valid.to(taken.dtype)
        total = valid.sum()
        policy_loss = -(self.storms.objective(ratio, advantage) * valid).sum() / total
        entropy = (-(log_pi.exp() * log_pi).sum(-1) * valid).sum() / total
        loss = policy_loss - self.ent_coef * entropy
        policy.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), self.max_grad_norm)
        policy.optimizer.step()
        outside = ((ratio - 1.0).abs() > self.settings.clip_range) & batch.valid
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

    def environment_facts(self) -> dict[str, Any]:
        """What it asked its environments."""
        return {"cost_limit": self.cost_limit}

    def set_environment_facts(self, facts: dict[str, Any]) -> None:
        """Take the answers in the place of environments, before `_setup_model`."""
        self.cost_limit = float(facts["cost_limit"])

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "multiplier", "_batch", "rows", "storms"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer", "multiplier", "multiplier.optimizer"], []
