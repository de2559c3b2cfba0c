"""The protocol that every agent keeps, and the registry of names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Observation = dict[str, NDArray[Any]]


@runtime_checkable
class Policy(Protocol):
    """Anything that acts: Stable-Baselines3's `predict`, nothing more."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Return actions `[B]` (or a scalar array for one unbatched observation) and the next state."""
        ...


class BasePolicy:
    """A policy of ours: batched inside, single or batched outside.

    Subclasses write `act`. `privileged` is True for those that look at what no crew can know (true durations).
    """

    name: str = "policy"
    privileged: bool = False

    @classmethod
    def for_env(cls, env: Any, **kwargs: Any) -> BasePolicy:
        """Bind the policy to an environment (Env, VectorEnv or a wrapper of one); by default nothing is kept of it."""
        del env
        return cls(**kwargs)

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Return actions `[B]` and the next state for observations with a leading batch axis B."""
        raise NotImplementedError(f"{type(self).__name__} must write act()")

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Stable-Baselines3's `predict`: takes one observation or a batch.

        `episode_start` `[B]` marks the rows whose episode begins with this observation; None means all of them when
        `state` is None, and none of them otherwise.
        """
        single = np.ndim(observation["action_mask"]) == 1
        batch = {k: np.asarray(v)[None] for k, v in observation.items()} if single else observation
        n = batch["action_mask"].shape[0]
        if episode_start is None:
            start = np.full(n, state is None)
        else:
            start = np.atleast_1d(np.asarray(episode_start, dtype=bool))
            if state is None:
                start = np.ones(n, dtype=bool)
        action, state = self.act(batch, state, start, deterministic)
        return (action[0] if single else action), state


@dataclass(frozen=True)
class AgentSpec:
    """One name of the registry: where it lives, whether it learns, and what it may see."""

    name: str
    entry_point: str
    summary: str
    trainable: bool = False
    privileged: bool = False
    usual: bool = True
    """Whether it plays where no agent is named."""
    envs: tuple[str, ...] = ("Restoration-v0",)

    def load(self) -> Any:
        """Import and return the class (or function) behind the name."""
        module, _, attribute = self.entry_point.partition(":")
        return getattr(import_module(module), attribute)


_RESTORATION = "stormgym.agents.restoration"
_RULES = f"{_RESTORATION}.rules"
_PLANS = f"{_RESTORATION}.planners"
_DISPATCH = "stormgym.agents.dispatch.planners"
_DFL = "stormgym.agents.dispatch.forecasters"
_HARDENING = "stormgym.agents.undergrounding.planners"
_KNAPSACK = "stormgym.agents.undergrounding.forecasters"
_DISPATCH_ENVS = ("GeneratorDispatch-v0",)
_HARDENING_ENVS = ("Undergrounding-v0",)
_MASKED = ("Restoration-v0", *_HARDENING_ENVS)
_ALL = ("Restoration-v0", *_DISPATCH_ENVS, *_HARDENING_ENVS)
_LEARNERS = "stormgym.agents.training.learners"

_SPECS = (
    AgentSpec("random", f"{_RULES}:RandomPolicy", "an open region at random", envs=_MASKED),
    AgentSpec("request-volume", f"{_RULES}:RequestVolumePolicy", "most repair requests first (status quo)"),
    AgentSpec("nearest", f"{_RULES}:NearestPolicy", "nearest open region first"),
    AgentSpec("shortest-repair", f"{_RULES}:ShortestRepairPolicy", "shortest expected repair first"),
    AgentSpec("tsp", f"{_PLANS}:TSPPolicy", "open-path TSP with service times (PyVRP)"),
    AgentSpec("repairman", f"{_PLANS}:RepairmanPolicy", "travelling repairman on the forecast (local search)"),
    AgentSpec("equity-planner", f"{_PLANS}:EquityPlanner", "travelling repairman within the gap limit"),
    AgentSpec(
        "equity-replanner",
        f"{_RESTORATION}.replanning:EquityReplanner",
        "equity planner that plans again as repairs tell of the storm's shock",
        usual=False,
    ),
    AgentSpec("rollout", f"{_RESTORATION}.rollout:RolloutPolicy", "rollout of gap-aware greedy rules on the forecast"),
    AgentSpec("clairvoyant", f"{_PLANS}:ClairvoyantPolicy", "knows the true durations", privileged=True),
    AgentSpec(
        "clairvoyant-fair",
        f"{_PLANS}:ClairvoyantFairPolicy",
        "knows the true durations, within the limit",
        privileged=True,
    ),
    AgentSpec(
        "sta-sac",
        "stormgym.agents.sta_sac.learner:sta_sac",
        "spatial-temporal attention SAC-Lagrangian (EPOPR)",
        trainable=True,
    ),
    AgentSpec(
        "sta-sac-paper",
        "stormgym.agents.sta_sac.learner:sta_sac_paper",
        "STA-SAC in the plain form of its paper",
        trainable=True,
    ),
    AgentSpec("ppo", f"{_LEARNERS}:ppo", "SB3 PPO on reward - lambda * cost", trainable=True, envs=_ALL),
    AgentSpec("dqn", f"{_LEARNERS}:dqn", "SB3 DQN on reward - lambda * cost", trainable=True),
    AgentSpec(
        "maskable-ppo",
        f"{_LEARNERS}:maskable_ppo",
        "sb3-contrib MaskablePPO on reward - lambda * cost",
        trainable=True,
        envs=_ALL,
    ),
    AgentSpec(
        "maskable-dqn", f"{_LEARNERS}:maskable_dqn", "masked double DQN on reward - lambda * cost", trainable=True
    ),
    AgentSpec("hrl-dpdp", f"{_LEARNERS}:hrl_dpdp", "a group, then a region of it; by MaskablePPO", trainable=True),
    AgentSpec(
        "attention-pg",
        "stormgym.agents.attention_pg.learner:attention_pg",
        "attention model, REINFORCE with a shared baseline, Lagrangian",
        trainable=True,
    ),
    AgentSpec("do-nothing", f"{_DISPATCH}:DoNothing", "no generator moves", envs=_DISPATCH_ENVS),
    AgentSpec("online-greedy", f"{_DISPATCH}:OnlineGreedy", "follows yesterday's outages", envs=_DISPATCH_ENVS),
    AgentSpec("static-dispatch", f"{_DISPATCH}:StaticDispatch", "plan for the mean wave", envs=_DISPATCH_ENVS),
    AgentSpec(
        "sample-average-dispatch",
        f"{_DISPATCH}:SampleAverageDispatch",
        "plan of least mean cost over simulated storms",
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "replanning-dispatch",
        f"{_DISPATCH}:ReplanningDispatch",
        "plans again each day for storms like this one so far",
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "two-stage-dispatch",
        f"{_DFL}:TwoStageDispatch",
        "plan for the wave forecast from the storm's weather",
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "gdf-dispatch",
        f"{_DFL}:GDFDispatch",
        "the same, its forecaster tuned on the cost of plans (GDF)",
        usual=False,
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "spo-dispatch",
        f"{_DFL}:SPODispatch",
        "the same, tuned on a bound of the regret (SPO+)",
        usual=False,
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "sampled-dispatch",
        f"{_DFL}:SampledDispatch",
        "plan of least mean cost over samples of the forecast",
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "adaptive-dispatch",
        f"{_DFL}:AdaptiveDispatch",
        "plans again each day for samples like the storm so far",
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "fair-adaptive-dispatch",
        f"{_DFL}:FairAdaptiveDispatch",
        "the same, and counties of groups that fell behind weigh more",
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "oracle-dispatch",
        f"{_DISPATCH}:OracleDispatch",
        "plan for the true wave",
        privileged=True,
        envs=_DISPATCH_ENVS,
    ),
    AgentSpec(
        "sta-ppo",
        f"{_LEARNERS}:sta_ppo",
        "STA-SAC's attention network, by MaskablePPO on reward - lambda * cost",
        trainable=True,
        envs=_HARDENING_ENVS,
    ),
    AgentSpec("bury-nothing", f"{_HARDENING}:BuryNothing", "no line is buried", envs=_HARDENING_ENVS),
    AgentSpec(
        "loss-per-cost", f"{_HARDENING}:LossPerCost", "largest expected loss for the money", envs=_HARDENING_ENVS
    ),
    AgentSpec(
        "one-stage-mean", f"{_HARDENING}:OneStageMean", "least expected loss without crews", envs=_HARDENING_ENVS
    ),
    AgentSpec("one-stage-worst", f"{_HARDENING}:OneStageWorst", "least worst loss without crews", envs=_HARDENING_ENVS),
    AgentSpec("two-stage-mean", f"{_HARDENING}:TwoStageMean", "least loss in the forecast storm", envs=_HARDENING_ENVS),
    AgentSpec(
        "two-stage-worst",
        f"{_HARDENING}:TwoStageWorst",
        "least worst loss, crews sent before the storm",
        envs=_HARDENING_ENVS,
    ),
    AgentSpec("tri-level", f"{_HARDENING}:TriLevel", "least worst loss, crews answer the storm", envs=_HARDENING_ENVS),
    AgentSpec(
        "sampled-hardening",
        f"{_HARDENING}:SampledHardening",
        "least mean loss over storms of this weather",
        envs=_HARDENING_ENVS,
    ),
    AgentSpec(
        "fair-hardening",
        f"{_HARDENING}:FairHardening",
        "the same with a price on the gap that keeps the limit",
        envs=_HARDENING_ENVS,
    ),
    AgentSpec(
        "two-stage-knapsack",
        f"{_KNAPSACK}:TwoStageKnapsack",
        "knapsack of a network's forecast, without crews",
        usual=False,
        envs=_HARDENING_ENVS,
    ),
    AgentSpec(
        "gdf-knapsack",
        f"{_KNAPSACK}:GDFKnapsack",
        "the same, its network tuned on the cost of plans (GDF)",
        usual=False,
        envs=_HARDENING_ENVS,
    ),
    AgentSpec(
        "spo-knapsack",
        f"{_KNAPSACK}:SPOKnapsack",
        "the same, tuned on a bound of the regret (SPO+)",
        usual=False,
        envs=_HARDENING_ENVS,
    ),
    AgentSpec(
        "oracle-hardening",
        f"{_HARDENING}:OracleHardening",
        "plan for the true storm",
        privileged=True,
        envs=_HARDENING_ENVS,
    ),
)

AGENTS: dict[str, AgentSpec] = {spec.name: spec for spec in _SPECS}
"""Every agent by name."""

DEFAULT_AGENT: dict[str, str] = {
    "Restoration-v0": "sta-sac",
    "GeneratorDispatch-v0": "ppo",
    "Undergrounding-v0": "maskable-ppo",
}
"""The agent that `train.py` takes for an environment id when none is named."""


def agent_spec(name: str) -> AgentSpec:
    """Return the registry's entry; raise `KeyError` with the known names."""
    try:
        return AGENTS[name]
    except KeyError:
        raise KeyError(f"unknown agent {name!r}; known agents: {', '.join(AGENTS)}") from None


ONLY_TRAINED = "{!r}: only a trained STA-SAC or attention-pg looks ahead (AGENT:NAME@K or RUN_FOLDER@K)"


def split_lookahead(name: str) -> tuple[str, int]:
    """Take `AGENT@K`, a trained agent that looks ahead with K orders, apart; K is 0 for a plain name.

    An `@` within a folder's name, with a separator behind it, is part of the path.

    Raises `ValueError` for a K that is no whole number above 0, and for a K without an agent.
    """
    agent, at, orders = name.rpartition("@")
    if not at or "/" in orders or os.sep in orders:
        return name, 0
    if not agent:
        raise ValueError(f"{name!r} names no agent before @; write AGENT:NAME@K or RUN_FOLDER@K")
    if not (orders.isascii() and orders.isdigit() and int(orders) > 0):
        raise ValueError(
            f"{name!r}: after @ comes the number of orders that the agent draws when it looks ahead, as in "
            f"{agent or 'AGENT'}@32; got {orders!r}"
        )
    return agent, int(orders)


def make_policy(name: str, env: Any, **kwargs: Any) -> Policy:
    """Make a policy by name, bound to `env`: a rule, a planner, or a pretrained agent (`AGENT:NAME`).

    `AGENT:NAME@K` looks ahead with K orders (see `stormgym.agents.restoration.network.lookahead`); further arguments go
    to it.

    Raises `KeyError` for an unknown name and `ValueError` for a learner, which must be trained first.
    """
    plain, n_orders = split_lookahead(name)
    if ":" in plain:
        from stormgym.agents.pretrained import load_pretrained

        if n_orders:
            from stormgym.agents.restoration.network.lookahead import look_ahead

            return look_ahead(load_pretrained(plain, env), env, n_orders=n_orders, **kwargs)
        return load_pretrained(name, env, **kwargs)
    if n_orders and plain in AGENTS:
        raise ValueError(ONLY_TRAINED.format(name))
    spec = agent_spec(name)
    if spec.trainable:
        raise ValueError(
            f"agent {name!r} learns: train it first (python train.py --agent {name}) and pass its run folder"
        )
    factory: Callable[..., Policy] = spec.load().for_env
    return factory(env, **kwargs)
