"""The teacher: a policy that plays the first steps in place of chance, and that the actor imitates meanwhile."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.domain import load_entry
from stormgym.agents.mixed import policy_for
from stormgym.agents.of_domain import domain_behind
from stormgym.agents.policy import Policy
from stormgym.agents.registry import AGENTS, DOMAINS, agent_spec
from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.losses import cooling_factor
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings

OWN_START = 2 / 3
"""Share of the teacher's later episodes that the learner begins."""
WHOLE_EPISODES = 1 / 3
"""Share of the teacher's time in which it plays every episode from its beginning."""


def has_shock(venv: VecEnv | None) -> bool:
    """Whether repair durations of a storm share a factor, so that those seen so far tell about those to come."""
    if venv is None or not venv.has_attr("announced"):
        return False
    return any(getattr(announced, "shock", "none") != "none" for announced in venv.get_attr("announced"))


def teacher_of(name: str, venv: VecEnv, margin: float = 0.0) -> Policy | None:
    """The policy of that name, bound to the environments; None for `"none"`.

    Where durations share a shock, the equity planner is the one that plans again.

    Args:
        name: a policy of the registry that needs no training, or `"usual"` for the one that the environments' domain
            names.
        venv: the environments.
        margin: share of the cost limit that a planner with a limit leaves free; others have none.

    Raises:
        ValueError: an unknown name, a learner, or a policy that looks at the true durations.
    """
    if name == "none":
        return None
    arguments: dict[str, Any] = {}
    if name in ("usual", "equity-planner"):
        name, arguments = usual_teacher(venv)
    if name == "equity-planner" and has_shock(venv):
        name = "equity-replanner"
    fitting = [n for n, spec in AGENTS.items() if not spec.trainable and not spec.privileged]
    if name not in fitting:
        raise ValueError(f"teacher must be none or one of {', '.join(fitting)}; got {name!r}")
    keeps_limit = "margin" in inspect.signature(agent_spec(name).load().__init__).parameters
    return policy_for(name, venv, **({"margin": margin} if keeps_limit else {}), **arguments)


def usual_teacher(venv: VecEnv) -> tuple[str, dict[str, Any]]:
    """The agent that the domain of the environments names for it, and its arguments.

    Raises:
        ValueError: it names none.
    """
    able = [domain for domain in DOMAINS.values() if domain.teacher is not None]
    domain = domain_behind(venv, able)
    if domain.teacher is None:
        raise ValueError("the domain of these environments names no teacher; take teacher none, or name a planner")
    name = domain.teacher
    if ":" in name:
        name = load_entry(name)(venv.get_attr("announced")[0])
    return name, dict(domain.teacher_arguments)


class Teacher:
    """Who plays first: what it plays, for how long, in which rows, and how much the actor imitates it.

    Its time is the first `until` steps of the training. In the first third of it, it plays whole episodes. Later, in
    two episodes of three the learner goes first and hands over after a random share of the regions, so that the teacher
    shows the way back from where the learner gets to (as in DAgger, Ross et al. 2011). Its episodes are kept in the
    replay buffer as demonstrations.

    Args:
        settings: `teacher_steps`, `imitation` and `imitation_batch` are read.
        n_envs: B.

    Attributes:
        policy: what it plays; None for nobody, whose time is 0 steps. Set it before learning begins.
        until: steps that it does play; None until the length of the training is known.
        plays: whether the last step was in its time.
        rows: `[B]` bool, environments whose last step it took.
    """

    def __init__(self, settings: STASACSettings, n_envs: int) -> None:
        self.policy: Policy | None = None
        self.settings = settings
        self.until: int | None = None
        self.plays = False
        self.rows = np.zeros(n_envs, dtype=bool)
        self._begins = np.zeros(n_envs, dtype=bool)  # rows in which the last step was its first one of the episode
        self._handover = np.zeros(n_envs)  # open regions at which it takes a row over
        self._plan: Any = None  # its own state, which spares it to plan anew
        self._cooled = False

    # ---------------------------------------------------------------- its time

    def schedule(self, total_timesteps: int, round_steps: int) -> None:
        """Fix how long it plays, once: at most half of the training, in whole rounds of `round_steps`."""
        if self.until is None:
            steps = min(self.settings.teacher_steps, total_timesteps // 2) if self.policy is not None else 0
            self.until = -(-steps // round_steps) * round_steps

    def has_left(self, step: int) -> bool:
        """Whether its time is over at this step of the training."""
        return step >= (self.until or 0)

    @property
    def follows(self) -> bool:
        """Whether it must see every step of an episode, also those that the learner takes (`Policy.follows_episodes`).

        Others plan on from wherever they take over.
        """
        return bool(getattr(self.policy, "follows_episodes", False))

    # ---------------------------------------------------------------- playing

    def take_rows(self, step: int, n_open: NDArray[Any], start: NDArray[np.bool_]) -> None:
        """Say in which rows it acts now: `rows`, empty after its time.

        Args:
            step: of the training.
            n_open: `[B]` open regions, or what else is left of an episode and falls to its end.
            start: `[B]` bool, rows whose episode begins here.
        """
        self.plays = self.policy is not None and not self.has_left(step)
        if not self.plays:
            self.rows = np.zeros_like(self.rows)
            return
        if start.any():
            late = step >= (self.until or 0) * WHOLE_EPISODES and np.random.random() < OWN_START
            share = np.random.random() if late else 0.0
            self._handover[start] = n_open[start] - np.floor(share * n_open[start])
        rows = (n_open <= self._handover) | (self.rows & ~start)
        self._begins = start if self.follows else rows & (start | ~self.rows)
        self.rows = rows

    def act(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Its choice in every row `[B]`; those of `rows` count."""
        assert self.policy is not None
        action, self._plan = self.policy.predict(observation, self._plan, self._begins, deterministic=True)
        return action

    def forget_plan(self) -> None:
        """Plan anew at the next step, unless what it plans on is what it saw of the episodes under way."""
        if not self.follows:
            self._plan = None

    # ---------------------------------------------------------------- being imitated

    def imitation_weight(self, progress_remaining: float, total_timesteps: int) -> float:
        """Weight of the imitation loss: moves linearly from its last step to the end of the training.

        Args:
            progress_remaining: 1 at the start of the training, 0 at its end.
            total_timesteps: of the training.
        """
        first, last = self.settings.imitation
        return last + (first - last) * self.own_left(progress_remaining, total_timesteps)

    def own_left(self, progress_remaining: float, total_timesteps: int) -> float:
        """Share that is left of what the learner has of the training for itself: 1 until the teacher leaves."""
        own = 1.0 - (self.until or 0) / max(total_timesteps, 1)
        return min(1.0, progress_remaining / max(own, 1e-9))

    def demonstrations(self, buffer: EpisodeReplayBuffer) -> EpisodeBatch:
        """Some of its episodes, for one update."""
        return buffer.demonstrations(self.settings.imitation_batch)

    @torch.no_grad()
    def cool(self, policy: STASACPolicy, buffer: EpisodeReplayBuffer, entropy_share: float) -> None:
        """When it leaves, once: make the actor as sure of its choices as the target entropy asks, never less sure.

        A teacher's choices cannot all be foreseen. So an actor that imitates it is unsure, and drawing from it plays
        far worse than its most probable choices do. Its scores are multiplied by one factor (an inverse temperature),
        which changes none of these.

        Args:
            policy: both of its actors are changed.
            buffer: holds demonstrations; without any nothing changes.
            entropy_share: target entropy as a share of log(open regions).
        """
        if self._cooled:
            return
        self._cooled = True
        if not buffer.n_demonstrations:
            return
        batch = buffer.demonstrations(8 * self.settings.imitation_batch)
        factor = cooling_factor(policy.episode_scores(batch)[2], batch, entropy_share)
        if factor > 1.0:
            for actor in (policy.actor, policy.actor_average):
                for parameter in actor.out.parameters():  # the last layer is linear: its weights scale the scores
                    parameter.mul_(factor)

    # ---------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; the policy, which is bound to environments, is made anew."""
        return {"until": self.until, "cooled": self._cooled}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.until, self._cooled = state["until"], state["cooled"]
