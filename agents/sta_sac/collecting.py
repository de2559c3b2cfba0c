"""How STA-SAC collects episodes: a teacher first, then storms that several environments share."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention.parts import Parts
from stormgym.agents.restoration.network.acting import Memory
from stormgym.agents.restoration.network.scenarios import Rows
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.teacher import Teacher
from stormgym.envs.arrays import Observation

LENGTHENED = 1.25
"""A round becomes longer than the steps in which storms did not end, by this factor."""


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


def check_free(infos: list[dict[str, Any]]) -> None:
    """Put a cost of 0 into infos of environments without a limit, where they have none.

    Raises:
        ValueError: one has a cost, which a limit should bound.
    """
    for row, info in enumerate(infos):
        if info.setdefault("cost", 0.0) != 0.0:
            raise ValueError(
                f"info of environment {row} has cost {info['cost']!r}, and the environment has no cost_limit; pass "
                "cost_limit (in the unit of info['cost'])"
            )


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
        longest: steps of the longest episode so far. Storms that are shared must end within a round: the steps of one
            that does not are lost with its reset.
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
        self.longest = 0
        self._steps = np.zeros(n_envs, dtype=np.int64)  # of the episodes under way, as their costs are
        self._cost = np.zeros(n_envs)
        self._probability = np.ones((n_envs, 1))  # of each row's last choices when they were made, one a part
        self._seen: Observation = {}  # the last observation, and what the policy remembers beside it
        self._memory: Any = None
        self._exploring: Memory | None = None  # encodings that the steps of an episode share, of the actor
        self._acting: Memory | None = None  # and of the averaged one, for greedy rows

    # ---------------------------------------------------------------- acting

    def act(
        self, observation: Observation, start: NDArray[np.bool_], *, step: int, at_random: bool
    ) -> NDArray[np.int64]:
        """Actions `[B]`: the teacher's in its rows, the likeliest in greedy rows, drawn ones in the others.

        Args:
            observation: of B environments.
            start: `[B]` bool, rows whose episode begins here.
            step: of the training.
            at_random: open choices at random, unless it is the teacher's time.
        """
        teacher = self.teacher
        self._seen, self._memory = self.policy.recall(observation, self._memory, start)
        teacher.take_rows(step, self.policy.left(observation), start)
        if at_random and not teacher.plays:
            return self._act_at_random(self._seen)
        if teacher.rows.all():
            self._probability = np.ones((len(start), self._n_parts(observation)))
            action = teacher.act(observation)
        else:
            action = self._act_by_network(self._seen, start)
            if teacher.rows.any() or (teacher.plays and teacher.follows):
                taught = teacher.rows
                action[taught] = teacher.act(observation)[taught]
        self._probability[teacher.rows] = 1.0
        return action

    def _n_parts(self, observation: Observation) -> int:
        return 1 if self.policy.parts is None else self.policy.parts.n_parts(observation)

    def _act_at_random(self, observation: Observation) -> NDArray[np.int64]:
        def one(asked: Observation) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            mask = asked["action_mask"].astype(np.float64)
            return (np.random.random(mask.shape) * mask).argmax(axis=1), 1.0 / mask.sum(axis=1)

        parts = self.policy.parts
        if parts is None:
            action, probability = one(observation)
            self._probability = probability[:, None]
            return action
        choices, self._probability = parts.choose(observation, one)
        return parts.join(observation, choices)

    def _act_by_network(self, observation: Observation, start: NDArray[np.bool_]) -> NDArray[np.int64]:
        policy, greedy = self.policy, self.greedy
        # drawn in greedy rows too: draws do not depend on them
        action, probability, self._exploring = policy.decide(
            observation, self._exploring, start, deterministic=False, average=False
        )
        if greedy.any():
            part = {key: values[greedy] for key, values in observation.items()}
            action[greedy], _, self._acting = policy.decide(part, self._acting, start[greedy], deterministic=True)
        self._probability = probability.reshape(len(start), -1)
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
            observation, action, reward, done, infos: the step, with B rows; the observation is that of `act`.
            following: the observation after it.
            counted: whether episodes that end here count for the dual step, unless it is the teacher's time.
        """
        seen = observation if self.policy.recalls is None else self._seen
        if self.policy.parts is None:
            for info, probability, taught in zip(infos, self._probability[:, 0], self.teacher.rows, strict=True):
                info["behaviour"] = probability
                info["taught"] = bool(taught)
            buffer.add(seen, following, action, reward, done, infos)
        else:
            self._keep_parts(self.policy.parts, buffer, seen, action, reward, done, infos)
        self._cost += [info["cost"] for info in infos]
        self._steps += 1
        if done.any():
            self.longest = max(self.longest, int(self._steps[done].max()))
            self._steps[done] = 0
            if counted and not self.teacher.plays:
                self._count(observation, done & (self.greedy if self.greedy.any() else True))
            self._cost[done] = 0.0

    def _keep_parts(
        self,
        parts: Parts,
        buffer: EpisodeReplayBuffer,
        observation: Observation,
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep each part of an action as a step: what the action brought comes with its last part."""
        observation = parts.prepare(observation)
        choices = parts.split(observation, action)
        cost = buffer.costs_of(infos)
        last = choices.shape[1] - 1
        for part in range(last + 1):
            buffer.add_step(
                parts.ask(observation, choices[:, :part]),
                choices[:, part],
                reward if part == last else np.zeros_like(reward),
                cost if part == last else np.zeros_like(cost),
                self._probability[:, part],
                done if part == last else np.zeros_like(done),
                self.teacher.rows,
            )

    def _count(self, observation: Observation, rows: NDArray[np.bool_]) -> None:
        """Note the episodes that end in these rows `[B]` for the dual step; their last observations tell the limits."""
        limits, units = self.policy.facts_of({key: value[rows] for key, value in observation.items()})
        self.finished += map(Finished, self._cost[rows].tolist(), limits, units)

    # ---------------------------------------------------------------- beginning anew

    def begin_storms(self, env: VecEnv, buffer: EpisodeReplayBuffer) -> Any:
        """Reset all environments, rows of a storm to the same one; return the observations."""
        assert self.rows is not None
        self.storms_begun = True
        self._steps[:] = 0
        env.unwrapped._seeds = self.rows.seeds()  # what env.seed() sets, with seeds of our own
        observation = env.reset()
        self.forget_encodings()
        self._cost[:] = 0.0
        buffer.begin_round()
        return observation

    def round_of(self, steps: int) -> int:
        """Steps in which the storms that begin now can end: `steps`, or more where some did not end in as many."""
        if self.storms_begun or not self._steps.size or self._steps.max() < steps:
            return max(steps, self.longest)
        self.longest = max(self.longest, int(np.ceil(LENGTHENED * self._steps.max())))
        return self.longest

    def forget_encodings(self) -> None:
        """Encode and plan anew at the next step: weights or episodes have changed."""
        self._exploring = self._acting = None
        self.teacher.forget_plan()

    def drop_unfinished(self) -> None:
        """Forget the costs of episodes under way (their environments begin new ones)."""
        self._cost[:] = 0.0
        self._steps[:] = 0

    # ---------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, which is made when a rollout starts."""
        return {
            "storms_begun": self.storms_begun,
            "cost": self._cost,
            "steps": self._steps,
            "longest": self.longest,
            "finished": [tuple(e) for e in self.finished],
            "memory": self._memory,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; costs of episodes under way are lost when the number of environments differs."""
        self.storms_begun = state["storms_begun"]
        self.finished = [Finished(*episode) for episode in state["finished"]]
        self.longest = int(state.get("longest", 0))  # files of before have none
        if np.shape(state["cost"]) == self._cost.shape:
            self._memory = state.get("memory")
            self._cost = np.array(state["cost"])
            self._steps = np.array(state.get("steps", self._steps))
