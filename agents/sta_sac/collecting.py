"""How STA-SAC collects episodes: a teacher first, then storms that several environments share."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.restoration.network.acting import Memory
from stormgym.agents.restoration.network.features import CREW, scales_of
from stormgym.agents.restoration.network.scenarios import Rows
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.teacher import Teacher
from stormgym.envs.arrays import Observation
from stormgym.envs.restoration.layout import regions_of


class Finished(NamedTuple):
    """A finished episode as the dual step counts it."""

    cost: float
    limit: float
    scale: float
    """Its unit of return (h)."""


def rows_of(env: VecEnv | None, n_envs: int, settings: STASACSettings) -> Rows | None:
    """Which environments share a storm; None where the critics are asked instead of the other rollouts.

    Only environments of one city can meet the same storm: those with the very same `city`, side by side.
    """
    if env is None or not settings.shares_storms:
        return None
    cities = env.get_attr("city") if env.has_attr("city") else [None] * n_envs
    sizes = [len(list(rows)) for _, rows in groupby(cities, key=id)]
    return Rows.of(sizes, settings.n_rollouts, settings.greedy_share) if min(sizes) > 1 else None


class Collector:
    """Who acts in which environment, and what is kept of it.

    The teacher plays first. Then some environments act greedily, on storms of their own, and only their episodes feed
    the dual step: exploring episodes overstate the cost of the policy that will be used. The others draw their actions,
    several of them on the same storm where `rows` says so.

    Args:
        policy: the learner's networks: `actor` explores, `actor_average` acts greedily.
        teacher: plays first.
        rows: which environments share a storm; None for none.
        n_envs: B.
        greedy_share: share of the environments that act greedily, where no storm is shared; never all.

    Attributes:
        finished: episodes since the last dual step that count for it.
    """

    def __init__(
        self, policy: STASACPolicy, teacher: Teacher, rows: Rows | None, *, n_envs: int, greedy_share: float
    ) -> None:
        self.policy = policy
        self.teacher = teacher
        self.rows = rows
        n_greedy = min(round(greedy_share * n_envs), n_envs - 1)
        self.greedy: NDArray[np.bool_] = np.arange(n_envs) >= n_envs - n_greedy if rows is None else rows.greedy
        self.finished: list[Finished] = []
        self.storms_begun = False  # whether rows that share storms have begun together
        self._cost = np.zeros(n_envs)  # of the episodes under way
        self._probability = np.ones(n_envs)  # of each row's last action when it was chosen
        self._exploring: Memory | None = None  # encodings that the steps of an episode share, of the actor
        self._acting: Memory | None = None  # and of the averaged one, for greedy rows

    # ---------------------------------------------------------------- acting

    def act(
        self, observation: Observation, start: NDArray[np.bool_], *, step: int, at_random: bool
    ) -> NDArray[np.int64]:
        """Regions `[B]`: the teacher's in its rows, the likeliest in greedy rows, drawn ones in the others.

        Args:
            observation: of B environments.
            start: `[B]` bool, rows whose episode begins here.
            step: of the training.
            at_random: open regions at random, unless it is the teacher's time.
        """
        teacher = self.teacher
        teacher.take_rows(step, observation["action_mask"].sum(axis=1), start)
        if at_random and not teacher.plays:
            return self._act_at_random(observation["action_mask"].astype(np.float64))
        action = np.zeros(len(start), dtype=np.int64)
        self._probability = np.ones(len(start))
        if not teacher.rows.all():
            action = self._act_by_network(observation, start)
        if teacher.rows.any():
            action = np.where(teacher.rows, teacher.act(observation), action)
            self._probability[teacher.rows] = 1.0
        return action

    def _act_at_random(self, mask: NDArray[np.float64]) -> NDArray[np.int64]:
        self._probability = 1.0 / mask.sum(axis=1)
        return (np.random.random(mask.shape) * mask).argmax(axis=1)

    def _act_by_network(self, observation: Observation, start: NDArray[np.bool_]) -> NDArray[np.int64]:
        policy, greedy = self.policy, self.greedy
        probs, self._exploring = policy.step_probs(observation, self._exploring, start, average=False)
        action = policy.choose(probs, deterministic=False)  # drawn in greedy rows too: draws do not depend on them
        if greedy.any():
            part = {key: values[greedy] for key, values in observation.items()}
            likeliest, self._acting = policy.step_probs(part, self._acting, start[greedy])
            action[greedy] = policy.choose(likeliest, deterministic=True)
        self._probability = probs.cpu().numpy()[np.arange(len(start)), action].astype(np.float64)
        self._probability[greedy] = 1.0
        return action

    # ---------------------------------------------------------------- keeping

    def keep(
        self,
        buffer: EpisodeReplayBuffer,
        observation: Observation,
        following: Observation,
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[np.bool_],
        infos: list[dict[str, Any]],
        *,
        counted: bool,
    ) -> None:
        """Keep the step that `act` chose, and the episodes that end with it.

        Args:
            buffer: where it goes.
            observation, action, reward, done, infos: the step, with B rows.
            following: the observation after it.
            counted: whether episodes that end here count for the dual step, unless it is the teacher's time.
        """
        for info, probability, taught in zip(infos, self._probability, self.teacher.rows, strict=True):
            info["behaviour"] = probability
            info["taught"] = bool(taught)
        buffer.add(observation, following, action, reward, done, infos)
        self._cost += [info["cost"] for info in infos]
        if done.any():
            if counted and not self.teacher.plays:
                self._count(observation, done & (self.greedy if self.greedy.any() else True))
            self._cost[done] = 0.0

    def _count(self, observation: Observation, rows: NDArray[np.bool_]) -> None:
        """Note the episodes that end in these rows `[B]` for the dual step; their last observations tell the limits."""
        regions = torch.as_tensor(regions_of({key: value[rows] for key, value in observation.items()}))
        scales = scales_of(regions).total_hours[:, 0].tolist()
        limits = observation["crew"][rows, CREW["cost_limit_h"]].tolist()
        self.finished += map(Finished, self._cost[rows].tolist(), limits, scales)

    # ---------------------------------------------------------------- beginning anew

    def begin_storms(self, env: VecEnv, buffer: EpisodeReplayBuffer) -> Any:
        """Reset all environments, rows of a storm to the same one; return the observations."""
        assert self.rows is not None
        self.storms_begun = True
        env.unwrapped._seeds = self.rows.seeds()  # what env.seed() sets, with seeds of our own
        observation = env.reset()
        self.forget_encodings()
        self._cost[:] = 0.0
        buffer.begin_round()
        return observation

    def forget_encodings(self) -> None:
        """Encode and plan anew at the next step: weights or episodes have changed."""
        self._exploring = self._acting = None
        self.teacher.forget_plan()

    def drop_unfinished(self) -> None:
        """Forget the costs of episodes under way (their environments begin new ones)."""
        self._cost[:] = 0.0

    # ---------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, which is made when a rollout starts."""
        return {"storms_begun": self.storms_begun, "cost": self._cost, "finished": [tuple(e) for e in self.finished]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; costs of episodes under way are lost when the number of environments differs."""
        self.storms_begun = state["storms_begun"]
        self.finished = [Finished(*episode) for episode in state["finished"]]
        if np.shape(state["cost"]) == self._cost.shape:
            self._cost = np.array(state["cost"])
