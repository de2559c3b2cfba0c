"""How STA-SAC collects episodes: a teacher first, then storms that several environments share."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.policy import Policy
from stormgym.agents.restoration.network.features import CREW, scales_of
from stormgym.agents.restoration.network.scenarios import Rows
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.envs.restoration.layout import regions_of


class TaughtCollection(OffPolicyAlgorithm):
    """The collecting half of `STASAC`: who acts in which environment, and what is kept of it.

    The teacher plays first. Then some environments act greedily, on storms of their own, and feed the dual step; the
    others draw their actions, several of them on the same storm where `rows` says so. The learning half sets the
    attributes below and reads `replay_buffer` and `_dual_costs`.
    """

    policy: STASACPolicy
    replay_buffer: EpisodeReplayBuffer
    teacher: Policy | None
    teacher_steps: int
    teacher_until: int | None
    actor_gradient: str
    n_rollouts: int
    greedy_share: float
    rows: Rows | None
    _whole_episodes: bool
    _begun: bool
    _cooled: bool
    _running_cost: NDArray[np.float64]
    _dual_costs: list[tuple[float, float, float]]

    def _begin_collection(self) -> None:
        """Set what the collection keeps from step to step; called when the model is set up."""
        self.rows = self._rows_of_env()
        if self.rows is not None:
            self.learning_starts = 0  # there is no critic to be fed before the actor moves
        self._rollout_state: Any = None
        self._behaviour = np.ones(self.n_envs)
        self._teaching = False  # whether it is the teacher's time
        self._taught = np.zeros(self.n_envs, dtype=bool)  # rows whose last step the teacher took
        self._begins = np.zeros(self.n_envs, dtype=bool)  # rows in which it was the first one
        self._handover = np.zeros(self.n_envs)  # open regions at which it takes a row over
        if self._running_cost.shape != (self.n_envs,):  # kept by load() when the number of environments is the same
            self._running_cost = np.zeros(self.n_envs)

    def _cool(self) -> None:
        """Make the actor that imitated surer of itself; the learning half says how."""
        raise NotImplementedError(f"{type(self).__name__} must write _cool()")

    def _rows_of_env(self) -> Rows | None:
        """Which environments share a storm; None where the critics are asked instead of the other rollouts."""
        if self.actor_gradient != "returns" or self.n_rollouts < 2 or not self._whole_episodes or self.env is None:
            return None
        try:
            cities = self.env.get_attr("city")
        except AttributeError:
            cities = [None] * self.n_envs
        sizes = [len(list(rows)) for _, rows in groupby(cities, key=id)]
        return Rows.of(sizes, self.n_rollouts, self.greedy_share) if min(sizes) > 1 else None

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> Any:
        """As Stable-Baselines3; where environments share storms, all begin together once the teacher has left."""
        if self.num_timesteps >= (self.teacher_until or 0):
            if self.teacher is not None and not self._cooled:
                self._cool()
            if self.rows is not None and not self._begun:
                self._begun = True  # kept in checkpoints, which are made when a rollout starts
                env.unwrapped._seeds = self.rows.seeds()  # what env.seed() sets, with seeds of our own
                self._last_obs = env.reset()  # type: ignore[assignment]
                self._last_episode_starts = np.ones(self.n_envs, dtype=bool)
                self._rollout_state = None
                self._running_cost[:] = 0.0
                self.replay_buffer.begin_round()
        result = super().collect_rollouts(env, *args, **kwargs)
        self._begun = False
        return result

    def _greedy_rows(self) -> NDArray[np.bool_]:
        """Environments that act greedily: those that share no storm, else the last `greedy_share`, never all."""
        if self.rows is not None:
            return self.rows.greedy
        n = min(round(self.greedy_share * self.n_envs), self.n_envs - 1)
        return np.arange(self.n_envs) >= self.n_envs - n

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        obs: Any = self._last_obs
        rows = np.arange(n_envs)
        start = np.ones(n_envs, dtype=bool) if self._last_episode_starts is None else self._last_episode_starts
        self._teaching = self.teacher is not None and self.num_timesteps < (self.teacher_until or 0)
        if self._teaching:
            self._hand_over(obs["action_mask"].sum(axis=1), start)
        else:
            self._taught = np.zeros(n_envs, dtype=bool)
            if self.num_timesteps < learning_starts:
                mask = obs["action_mask"].astype(np.float64)
                self._behaviour = 1.0 / mask.sum(axis=1)
                action = (np.random.random(mask.shape) * mask).argmax(axis=1)
                return action, action
        own, steady, plan = self._rollout_state or (None, None, None)
        action = np.zeros(n_envs, dtype=np.int64)
        self._behaviour = np.ones(n_envs)
        if not self._taught.all():
            greedy = self._greedy_rows()
            probs, own = self.policy.step_probs(obs, own, start, average=False)
            action = self.policy.choose(probs, deterministic=False)
            if greedy.any():
                part = {key: values[greedy] for key, values in obs.items()}
                calm, steady = self.policy.step_probs(part, steady, start[greedy])
                action[greedy] = self.policy.choose(calm, deterministic=True)
            self._behaviour = probs.cpu().numpy()[rows, action].astype(np.float64)
            self._behaviour[greedy] = 1.0
        if self._taught.any():
            assert self.teacher is not None
            taught, plan = self.teacher.predict(obs, plan, self._begins, deterministic=True)
            action = np.where(self._taught, taught, action)
            self._behaviour[self._taught] = 1.0
        self._rollout_state = own, steady, plan
        return action, action

    def _hand_over(self, n_open: NDArray[Any], start: NDArray[np.bool_]) -> None:
        """Say which rows the teacher plays now, and which of them it begins to play.

        In the first third of its time it plays whole episodes. Later, in two episodes of three the learner goes first
        and hands over after a random share of the regions, so that the teacher shows the way back from where the
        learner gets to (as in DAgger, Ross et al. 2011).
        """
        if start.any():
            late = self.num_timesteps >= (self.teacher_until or 0) / 3 and np.random.random() < 2 / 3
            share = np.random.random() if late else 0.0
            self._handover[start] = n_open[start] - np.floor(share * n_open[start])
        taught = n_open <= self._handover
        self._begins = taught & (start | ~self._taught)
        self._taught = taught

    def _store_transition(
        self,
        replay_buffer: Any,
        buffer_action: NDArray[Any],
        new_obs: Any,
        reward: NDArray[Any],
        dones: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        for info, probability, taught in zip(infos, self._behaviour, self._taught, strict=True):
            info["behaviour"] = probability
            info["taught"] = bool(taught)
        replay_buffer.add(self._last_obs, new_obs, buffer_action, reward, dones, infos)
        self._running_cost += [info["cost"] for info in infos]
        if dones.any():
            greedy = self._greedy_rows()
            counted = dones.astype(bool) & (greedy if greedy.any() else True)
            if self.num_timesteps > self.learning_starts and not self._teaching:
                last: Any = self._last_obs
                regions = torch.as_tensor(regions_of({key: value[counted] for key, value in last.items()}))
                scale = scales_of(regions).total_hours[:, 0].tolist()
                limit = last["crew"][counted, CREW["cost_limit_h"]].tolist()
                self._dual_costs += list(zip(self._running_cost[counted].tolist(), limit, scale, strict=True))
            self._running_cost[dones.astype(bool)] = 0.0
        self._last_obs = new_obs
        self._last_episode_starts = dones.astype(bool)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        observed = self._last_obs
        result = super()._setup_learn(*args, **kwargs)
        self._begun = self._begun and self._last_obs is observed  # else the environments were reset
        self._rollout_state = None
        if self.teacher_until is None:
            assert isinstance(self.action_space, spaces.Discrete)
            round_steps = self.n_envs * int(self.action_space.n)
            steps = min(self.teacher_steps, self._total_timesteps // 2) if self.teacher is not None else 0
            self.teacher_until = -(-steps // round_steps) * round_steps
        return result
