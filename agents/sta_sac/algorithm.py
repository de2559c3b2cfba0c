"""STA-SAC: discrete soft actor-critic with a Lagrange multiplier, from whole episodes (EPOPR section 3.3.3)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, TrainFreq
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from stormgym.agents.attention.multiplier import (
    LagrangeMultiplier,
    LimitMultiplier,
    cost_limit_of,
    limits_cost,
    measure_of,
    tightness_of,
)
from stormgym.agents.attention.networks import EpisodeNet, PaperNet
from stormgym.agents.domain import load_entry
from stormgym.agents.policy import Policy
from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.shared_storms import SharedStorms
from stormgym.agents.sta_sac import old_files
from stormgym.agents.sta_sac.actor_step import ActorStep, Stage
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.collecting import Collector, check_free, rows_of
from stormgym.agents.sta_sac.critic_update import CriticUpdate
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.practice_update import PracticeUpdate
from stormgym.agents.sta_sac.reading import reading_of
from stormgym.agents.sta_sac.rewards import Rewards
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.storm_update import StormUpdate
from stormgym.agents.sta_sac.teacher import Teacher, has_shock, teacher_of
from stormgym.envs.risk_measure import MEAN, RiskMeasure

ALPHA_LR = 5e-3
"""Step size of the entropy's weight."""
SLOWER = 0.4
"""Share of lambda's step size that is left where the actor practises: it follows the price so much faster then that the
price, which costs of a few episodes move, would swing."""


class STASAC(OffPolicyAlgorithm):
    """Spatial-temporal attention soft actor-critic under an expected-cost limit, a Stable-Baselines3 algorithm.

    A training goes through up to three phases. While the teacher's time lasts, it plays, the actor imitates it, and the
    critics (if any will be asked) learn from its episodes. Then either groups of environments meet the same storm, and
    the actor learns from returns beside the mean of their storm (`StormUpdate`, the default, without critics); or
    critics and actor learn from replayed episodes as in SAC (`CriticUpdate`, EPOPR eq. 17-18). After each collection
    the multiplier moves on the costs of finished episodes.

    Departures from the paper, each a setting: the minimum over reward critics and the mean (or maximum) over cost
    critics where eq. 18 takes the minimum of pairs; critics' targets along whole episodes with Retrace weights
    min(1, pi / behaviour), so that what happens at the end of an episode reaches its beginning in few updates; returns
    beside those of the same storm in place of critics; the dual step on episodes that were played greedily, because
    exploring episodes overstate the cost of the policy that will be used. Slips in print put right: the squared error
    that eq. 17 leaves out, and the sign of eq. 19. `STASACPaperSettings` is the paper's form.

    Args:
        policy: `"STASACPolicy"` or a class.
        env: environment (or id) whose observations some domain reads; every info carries `cost`. Where it has no
            `cost_limit`, nothing is constrained, and costs are 0.
        settings: all that can be chosen, with its defaults.
        teacher: a policy of your own that plays first, in place of the one that `settings.teacher` names. It is not
            saved: hand it to `load` as `own_teacher`, if its time is not over.
        cost_limit: limit d (h); None asks the environment. Where episodes have limits of their own (a `cost_limit`
            pair, or many cities), the multiplier is a function of how tight an episode's limit is (`LimitMultiplier`).
        cost_limit_kind, cost_limit_level: what of the costs of episodes the limit bounds, as of `RiskMeasure.of`; None
            asks the environment. The teacher plays for the environment's.
        policy_kwargs: of the policy, beside what the settings say.
        replay_buffer_class, replay_buffer_kwargs: another buffer of episodes.
        stats_window_size, tensorboard_log, verbose, seed, device: as in Stable-Baselines3.

    Raises:
        ValueError: a setting out of range, a teacher that cannot be had, another observation; while it learns, a cost
            where there is no limit.
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
        settings: STASACSettings = STASACSettings(),  # noqa: B008  # frozen
        *,
        teacher: Policy | None = None,
        cost_limit: float | None = None,
        cost_limit_kind: str | None = None,
        cost_limit_level: float | None = None,
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
        settings.check()
        taught = teacher is not None or settings.teacher != "none"
        super().__init__(
            policy,
            env,
            settings.learning_rate,
            buffer_size=settings.buffer_size,
            learning_starts=0 if taught else settings.learning_starts,  # nobody acts at random beside a teacher
            batch_size=settings.batch_size,
            tau=settings.tau,
            gamma=1.0,
            train_freq=settings.train_freq or 1,
            gradient_steps=settings.gradient_steps,
            replay_buffer_class=replay_buffer_class or EpisodeReplayBuffer,
            replay_buffer_kwargs={
                "demonstration_size": settings.teacher_steps if taught else 0,
                **(replay_buffer_kwargs or {}),
            },
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
            sde_support=False,
            supported_action_spaces=(spaces.Discrete, spaces.MultiDiscrete),
            support_multi_env=True,
        )
        # a teacher of one's own is not saved, and no file may say that another one taught
        self.settings = settings if teacher is None else replace(settings, teacher="none")
        self.own_teacher = teacher
        self.shock = has_shock(self.env)
        self.policy_kwargs = {**settings.network, "update": self.shock, **self.policy_kwargs}
        self.cost_limit = cost_limit
        self.is_limited = cost_limit is not None or self.env is None or limits_cost(self.env)
        self.measure = None if cost_limit_kind is None else RiskMeasure.of(cost_limit_kind, cost_limit_level)
        if self.measure is None and cost_limit_level is not None:
            raise ValueError(f"cost_limit_level goes with a cost_limit_kind; got {cost_limit_level!r} alone")
        self.tightness: tuple[float, float] | None = None  # limits in units of return, where episodes differ
        self.checkpoint_state: dict[str, dict[str, Any]] | None = None  # of teacher and collector; written by save()
        if _init_setup_model:
            self._setup_model()

    # ---------------------------------------------------------------- setting up

    def _setup_model(self) -> None:
        """Make all that a file holds as tensors or not at all; called by `__init__`, and by `load` on what it read."""
        if old_files.is_old(self.__dict__):
            old_files.convert(self.__dict__)
        settings = self.settings
        reading = reading_of(self.observation_space)
        if self.policy_class is STASACPolicy:  # not a class of the user's own
            self.policy_class = load_entry(reading.policy)
        usual_steps = reading.layout_of(self.observation_space, self.action_space).usual_steps
        self.round_steps = round(reading.round_share * usual_steps)
        if settings.train_freq is None:
            self.train_freq = self.round_steps
        if not self.is_limited:
            settings = self.settings = replace(settings, constrained=False)
        elif self.cost_limit is None:
            self.cost_limit = cost_limit_of(self.env)
            self.tightness = tightness_of(self.env)
        if self.measure is None:
            self.measure = measure_of(self.env)
        self.teacher = Teacher(settings, self.n_envs)
        if self.checkpoint_state is not None:
            self.teacher.load_state_dict(self.checkpoint_state["teacher"])
        super()._setup_model()
        practice = self._practice()
        self.chosen = settings.chosen(practice is not None)
        self.teacher.policy = self._teaching_policy()
        rate = settings.multiplier_lr * (1.0 if practice is None else SLOWER)
        self.multiplier = self._make_multiplier(self.cost_limit, self.measure, rate)
        self.log_alpha = torch.tensor(math.log(settings.alpha_init), device=self.device, requires_grad=True)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=ALPHA_LR)
        rows = rows_of(self.env, self.n_envs, settings)
        if rows is not None:
            self.learning_starts = 0  # there is no critic to be fed before the actor moves
        self.collector = Collector(
            self.policy, self.teacher, rows, n_envs=self.n_envs, greedy_share=settings.greedy_share
        )
        self._make_updates(practice)
        if self.checkpoint_state is not None:
            self.collector.load_state_dict(self.checkpoint_state["collector"])

    def _teaching_policy(self) -> Policy | None:
        """The policy that teaches, bound to the environments; None without any, and after its time."""
        if self.env is None or (self.teacher.until is not None and self.teacher.has_left(self.num_timesteps)):
            return None
        if self.own_teacher is not None:
            return self.own_teacher
        return teacher_of(self.settings.teacher, self.env, self.chosen.teacher_margin)

    def _make_multiplier(self, limit: float | None, measure: RiskMeasure, rate: float) -> LagrangeMultiplier:
        settings = self.settings
        initial = settings.multiplier_init if settings.constrained else 0.0
        if self.tightness is None:
            return LagrangeMultiplier(
                (1.0 if limit is None else limit) * self.chosen.limit_margin,
                initial=initial,
                learning_rate=rate,
                method=settings.multiplier_method,
                measure=measure,
            )
        return LimitMultiplier(
            *self.tightness,
            margin=self.chosen.limit_margin,
            initial=initial,
            learning_rate=rate,
            measure=measure,
        )

    def _make_updates(self, practice: Any) -> None:
        """The updates, over the same rewards and the same actor's step; `practice` plays storms in simulation."""
        settings, rows = self.settings, self.collector.rows
        rewards = Rewards(self.policy, self.multiplier, settings, self.chosen.limit_margin, self.shock)
        actor = ActorStep(self.policy, self.log_alpha, self.alpha_optimizer, settings)
        self.critic_update = CriticUpdate(self.policy, rewards, actor, settings)
        self.storm_update = StormUpdate(
            self.policy,
            rewards,
            actor,
            SharedStorms(
                n_rollouts=settings.n_rollouts if rows is None else rows.n_rollouts,
                n_epochs=settings.n_epochs,
                batch_size=settings.actor_batch_size,
                clip_range=settings.clip_range,
            ),
            control_variate=settings.control_variate,
            own_limits=self.tightness is not None,
        )
        self.practice_update = (
            None
            if practice is None
            else PracticeUpdate(self.policy, rewards, actor, practice, settings, own_limits=self.tightness is not None)
        )

    def _may_practise(self) -> bool:
        """Whether environments of this kind can be practised; what they are in particular decides whether these are."""
        settings = self.settings
        asked = settings.practice != 0 and settings.shares_storms
        return asked and reading_of(self.observation_space).practice is not None

    def _practice(self) -> Any:
        """Who plays storms in simulation; None where nobody shall, and with a warning where nobody can."""
        if self.settings.practice == 0 or self.env is None:
            return None
        entry, found = reading_of(self.observation_space).practice, None
        shared = rows_of(self.env, self.n_envs, self.settings) is not None
        if entry is not None and shared and self.measure is not None and self.measure.is_mean:
            found = load_entry(entry).of(
                self.env, self.policy.n_groups, self.settings.practice_orders, self.settings.practice_spread
            )
        if found is None and self.settings.practice is not None:
            warnings.warn(
                f"practice={self.settings.practice} is left out: it needs Restoration-v0 with environments that "
                "share storms (n_rollouts), no shock, and a limit on the mean. Set practice=0, or train there",
                UserWarning,
                stacklevel=2,
            )
        return found

    # ---------------------------------------------------------------- learning

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Do the updates, then one dual step.

        They are `gradient_steps` updates of `batch_size` episodes each, or, where environments share storms,
        `n_epochs` passes over what was just collected.
        """
        if self.replay_buffer.size() == 0:
            return
        self.policy.set_training_mode(True)
        self.collector.forget_encodings()
        rate = self._set_learning_rates()
        logs = list(self._updates(gradient_steps, batch_size))
        self._dual_step()
        for key in logs[0] if logs else ():
            self.logger.record(f"train/{key}", float(np.mean([log[key] for log in logs])))
        self.logger.record("train/lambda", self.multiplier.per_unit)
        self.logger.record("train/learning_rate", rate)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _updates(self, gradient_steps: int, batch_size: int) -> Iterator[dict[str, float]]:
        """Do the updates one by one; numbers to be logged of each."""
        storms = self._storms()
        if storms is not None:
            for index in self.storm_update.storms.minibatches(storms):
                stage = self._stage()
                batch = self.replay_buffer.episodes(index)
                yield self.storm_update(batch, self._demonstrations(stage), stage)
                self._n_updates += 1
            self._practise()
            return
        for _ in range(gradient_steps):
            stage = self._stage()
            batch = self.replay_buffer.sample(batch_size)
            demonstrations = self._demonstrations(stage)
            if self.collector.rows is not None and stage.teaching:  # the critics will not be asked
                assert demonstrations is not None
                yield self.storm_update.imitate(batch, demonstrations, stage)
            else:
                yield self.critic_update(batch, demonstrations, stage)
            self._n_updates += 1

    def _practise(self) -> None:
        """Learn from simulated storms, those of the replay buffer and of the teacher's time as forecast then."""
        if self.practice_update is None:
            return
        logs = []
        for _ in range(self.chosen.practice):
            storms = self.replay_buffer.any_episodes(self.settings.practice_storms)
            logs.append(self.practice_update(storms, self._stage()))
            self._n_updates += 1
        for key in logs[0]:
            self.logger.record(f"practice/{key}", float(np.mean([log[key] for log in logs])))

    def _storms(self) -> NDArray[np.int64] | None:
        """Episodes `[S, M]` of the storms just collected; None where none were shared."""
        rows, collected = self.collector.rows, self.replay_buffer.round
        if rows is None or collected is None:
            return None
        episodes = collected[rows.exploring].reshape(-1, rows.n_rollouts)
        return episodes[(episodes >= 0).all(axis=1)]  # an out-of-steps episode may still be under way

    def _stage(self) -> Stage:
        first, last = self.settings.target_entropy
        left = self._current_progress_remaining
        return Stage(
            teaching=self.teacher.plays,
            entropy_share=last + (first - last) * left,
            imitation_weight=self.teacher.imitation_weight(left, self._total_timesteps),
            n_updates=self._n_updates,
            own_left=self.teacher.own_left(left, self._total_timesteps),
        )

    def _demonstrations(self, stage: Stage) -> EpisodeBatch | None:
        """The teacher's episodes that an update imitates; None where none does."""
        if stage.teaching or (stage.imitation_weight > 0 and self.replay_buffer.n_demonstrations):
            return self.teacher.demonstrations(self.replay_buffer)
        return None

    def _set_learning_rates(self) -> float:
        """Set the optimisers' step sizes for this point of the training; return the critics'."""
        settings, left = self.settings, self._current_progress_remaining
        rate = self.lr_schedule(left) * (settings.lr_last + (1.0 - settings.lr_last) * left)
        for group in self.policy.critic_optimizer.param_groups:
            group["lr"] = rate
        for group in self.policy.actor_optimizer.param_groups:
            group["lr"] = rate * self.policy.actor_lr_factor
        return rate

    def _dual_step(self) -> None:
        """Move the multiplier on the episodes that finished since the last step, if any."""
        if not self.collector.finished:
            return
        costs, limits, scale = torch.tensor(self.collector.finished, dtype=torch.float64).T
        if self.settings.constrained:
            self.multiplier.update_each(costs, limits, scale)
        self.logger.record("rollout/greedy_cost", float(costs.mean()))
        self.logger.record("rollout/greedy_cost_in_limits", float((costs / limits).mean()))
        if not self.multiplier.measure.is_mean:
            self._log_tail(costs, limits, scale)
        self.collector.finished = []

    def _log_tail(self, costs: Tensor, limits: Tensor, scale: Tensor) -> None:
        """Log what the dual step compares with 1, of finished episodes `[E]`, and the threshold of a CVaR."""
        margin = self.chosen.limit_margin
        burden = self.multiplier.burden(costs / (limits * margin), limits, scale)
        self.logger.record("rollout/greedy_burden", float(burden.mean()))
        if self.multiplier.measure.kind == "cvar":
            self.logger.record("train/threshold_in_limits", self.multiplier.threshold * margin)

    # ---------------------------------------------------------------- collecting: Stable-Baselines3's hooks

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        observed = self._last_obs
        result = super()._setup_learn(*args, **kwargs)
        if self._last_obs is not observed:  # the environments were reset
            self.collector.storms_begun = False
        self.collector.forget_encodings()
        self.teacher.schedule(self._total_timesteps, self.n_envs * self.round_steps)
        return result

    def collect_rollouts(self, env: VecEnv, callback: Any, train_freq: TrainFreq, *args: Any, **kwargs: Any) -> Any:
        """As Stable-Baselines3; where environments share storms, all begin together once the teacher has left.

        Then the round is as long as the longest storm at least.
        """
        if self.teacher.has_left(self.num_timesteps):
            self.teacher.cool(self.policy, self.replay_buffer, self._stage().entropy_share)
            if self.collector.rows is not None:
                train_freq = train_freq._replace(frequency=self.collector.round_of(train_freq.frequency))
            if self.collector.rows is not None and not self.collector.storms_begun:
                self._last_obs = self.collector.begin_storms(env, self.replay_buffer)
                self._last_episode_starts = np.ones(self.n_envs, dtype=bool)
        result = super().collect_rollouts(env, callback, train_freq, *args, **kwargs)
        self.collector.storms_begun = False
        return result

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        observation: Any = self._last_obs
        start = np.ones(n_envs, dtype=bool) if self._last_episode_starts is None else self._last_episode_starts
        at_random = self.num_timesteps < learning_starts
        action = self.collector.act(observation, start, step=self.num_timesteps, at_random=at_random)
        return action, action

    def _store_transition(
        self,
        replay_buffer: Any,
        buffer_action: NDArray[Any],
        new_obs: Any,
        reward: NDArray[Any],
        dones: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        last: Any = self._last_obs
        done = dones.astype(bool)
        if not self.is_limited:
            check_free(infos)
        counted = self.is_limited and self.num_timesteps > self.learning_starts
        self.collector.keep(replay_buffer, last, new_obs, buffer_action, reward, done, infos, counted=counted)
        self._last_obs = new_obs
        self._last_episode_starts = done

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

    def environment_facts(self) -> dict[str, Any]:
        """What it asked its environments."""
        measure = None if self.measure is None else [self.measure.kind, self.measure.level]
        return {"cost_limit": self.cost_limit, "tightness": self.tightness, "shock": self.shock, "measure": measure}

    def set_environment_facts(self, facts: dict[str, Any]) -> None:
        """Take the answers in the place of environments, before `_setup_model`."""
        limit = facts["cost_limit"]
        self.is_limited, self.cost_limit = limit is not None, None if limit is None else float(limit)
        self.shock = bool(facts["shock"])
        kind, level = facts.get("measure") or (MEAN.kind, None)  # files of before have none
        self.measure = RiskMeasure.of(kind, level)
        pair = facts["tightness"]
        self.tightness = None if pair is None else (float(pair[0]), float(pair[1]))
        self.policy_kwargs["update"] = self.shock

    def state_dict(self) -> dict[str, Any]:
        """What else a resumed training needs, beside networks, optimisers and counters: of teacher and collector."""
        return {"teacher": self.teacher.state_dict(), "collector": self.collector.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; raises `ValueError` for what is not one."""
        until, cooled, begun = state["teacher"]["until"], state["teacher"]["cooled"], state["collector"]["storms_begun"]
        if not (until is None or type(until) is int) or type(cooled) is not bool or type(begun) is not bool:
            raise ValueError(f"a teacher until step {until!r} (cooled: {cooled!r}, storms begun: {begun!r})")
        self.teacher.load_state_dict(state["teacher"])
        self.collector.load_state_dict(state["collector"])
        if self.teacher.has_left(self.num_timesteps):
            self.teacher.policy = None

    def drop_unfinished(self) -> None:
        """Forget the costs of episodes under way (their environments begin new ones)."""
        self.collector.drop_unfinished()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Stable-Baselines3."""
        self.checkpoint_state = self.state_dict()
        super().save(*args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        made_anew = [
            "multiplier",
            "own_teacher",
            "teacher",
            "collector",
            "critic_update",
            "storm_update",
            "practice_update",
            "chosen",
        ]
        return [*super()._excluded_save_params(), *made_anew]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state = [
            "policy",
            "policy.actor_optimizer",
            "policy.critic_optimizer",
            "policy.forecast_optimizer",
            "alpha_optimizer",
            *(["policy.practice_optimizer"] if self._may_practise() else []),
        ]
        return [*state, "multiplier", "multiplier.optimizer"], ["log_alpha"]
