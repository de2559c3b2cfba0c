"""Learners that see a dataset and nothing else: behaviour cloning, cloning what kept the limit, and weighted cloning.

All have the networks of Stable-Baselines3's learners with the domain's features, so what comes of them is a run folder
like any other, and `evaluate.py --agents bc=RUN` scores it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from minari import MinariDataset
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm

from stormgym.agents.learners.base import Learner
from stormgym.agents.model_files import write_model
from stormgym.agents.offline.datasets import DatasetSpec
from stormgym.agents.registry import agent_spec, domain_of
from stormgym.agents.runs import MODEL, Run, RunSettings, create_run
from stormgym.agents.training.play import make_training_env

METHODS = ("bc", "bc-safe", "awr")
"""`bc`: the actions of all episodes. `bc-safe`: of those whose cost is within their limit (BC-Safe; Liu et al.,
"Datasets and Benchmarks for Offline Safe Reinforcement Learning", 2023). `awr`: all, weighted by exp(advantage /
temperature), where the return is priced by a multiplier at which the weighted episodes keep the limit
(advantage-weighted regression; Peng et al., 2019, with a Lagrange multiplier)."""
LARGEST_WEIGHT = 20.0


@dataclass(frozen=True)
class OfflineSettings:
    """How a dataset is learnt from."""

    method: str = "bc"
    """One of `METHODS`."""
    steps: int = 3_000
    """Gradient steps."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    """Of Adam, falling to 0 over the steps."""
    temperature: float = 0.3
    """Of `awr`: standard deviations of the advantage."""
    seed: int = 0


@dataclass(frozen=True)
class Transitions:
    """All transitions of a dataset, n in number; episodes one behind the other."""

    observations: dict[str, NDArray[Any]]
    """Of each step, `[n, ...]`."""
    actions: NDArray[Any]
    """`[n, ...]`."""
    returns: NDArray[np.float64]
    """`[n]` reward from the step to the end of its episode."""
    costs: NDArray[np.float64]
    """`[n]` cost from the step to the end of its episode."""
    episode: NDArray[np.int64]
    """`[n]` which episode it is of, 0 to E - 1."""
    total_return: NDArray[np.float64]
    """`[E]` of whole episodes; the same for costs and limits, which are infinite where there are none."""
    total_cost: NDArray[np.float64]
    limit: NDArray[np.float64]

    @classmethod
    def of(cls, dataset: MinariDataset) -> Transitions:
        """Read a dataset that `make_dataset` wrote."""
        episodes = list(dataset.iterate_episodes())
        keys = episodes[0].observations.keys()
        infos = [episode.infos for episode in episodes]
        rewards = [np.asarray(episode.rewards, dtype=np.float64) for episode in episodes]
        costs = [np.asarray(info["cost"][1:], dtype=np.float64) for info in infos]
        return cls(
            observations={key: np.concatenate([e.observations[key][:-1] for e in episodes]) for key in keys},
            actions=np.concatenate([episode.actions for episode in episodes]),
            returns=np.concatenate([_to_go(values) for values in rewards]),
            costs=np.concatenate([_to_go(values) for values in costs]),
            episode=np.repeat(np.arange(len(episodes)), [len(values) for values in rewards]),
            total_return=np.array([values.sum() for values in rewards]),
            total_cost=np.array([values.sum() for values in costs]),
            limit=np.array([info["cost_limit"][-1] if "cost_limit" in info else np.inf for info in infos]),
        )

    def within_limit(self) -> NDArray[np.bool_]:
        """Transitions of episodes whose cost is within their limit, `[n]`; those of the cheapest tenth if few are.

        "Few" is less than a tenth of the episodes.
        """
        good = self.total_cost <= self.limit
        if good.mean() < 0.1:
            good = self.total_cost <= np.quantile(self.total_cost, 0.1)
        kept: NDArray[np.bool_] = good[self.episode]
        return kept


def _to_go(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cumsum(values[::-1])[::-1]


def price_of_cost(data: Transitions, temperature: float) -> float:
    """The least multiplier at which episodes, weighted by exp(priced return / temperature), keep the limit on average.

    0 where they do without; where none is enough, the one at which a unit of cost outweighs any return.
    """
    if not np.isfinite(data.limit).all():
        return 0.0
    scale = max(float(data.total_return.std()), 1e-9)

    def weighted_cost(price: float) -> float:
        priced = (data.total_return - price * data.total_cost) / (temperature * scale)
        weight = np.exp(priced - priced.max())
        return float(np.average(data.total_cost, weights=weight))

    limit = float(data.limit.mean())
    low, high = 0.0, 10.0 * scale / max(float(data.total_cost.std()), 1e-9)
    if weighted_cost(low) <= limit:
        return low
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if weighted_cost(middle) > limit else (low, middle)
    return high


def fit(
    dataset: MinariDataset,
    spec: DatasetSpec,
    settings: OfflineSettings,
    *,
    runs_dir: Path = Path("runs"),
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Run:
    """Learn a policy from a dataset and keep it as a run.

    Args:
        dataset: what is learnt from.
        spec: what decided it (`spec_of_dataset`).
        settings: method and sizes.
        runs_dir: where the run's folder is made.
        on_step: called with each step and its loss.

    Raises:
        ValueError: an unknown method or a size out of range.
    """
    if settings.method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {settings.method!r}")
    for name in ("steps", "batch_size", "learning_rate", "temperature"):
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name} must be above 0; got {getattr(settings, name)}")
    learner = learner_for(dataset.action_space)
    chosen = learner.settings()
    kwargs = dict(spec.env_kwargs or {})
    venv = make_training_env(spec.env_id, 1, kwargs)
    try:
        wrapped = learner.wrap(venv, chosen)
        model = learner.build(wrapped, chosen, seed=settings.seed, extractor=domain_of(spec.env_id).extractor)
        _learn(model, Transitions.of(dataset), settings, on_step)
        run = create_run(
            runs_dir,
            RunSettings(
                env_id=spec.env_id,
                agent=learner.name,
                seed=settings.seed,
                timesteps=int(dataset.total_steps),
                num_envs=1,
                env_kwargs=kwargs,
                learner=asdict(chosen),
                eval_freq=int(dataset.total_steps),
                checkpoint_freq=int(dataset.total_steps),
            ),
        )
        run.best.mkdir()
        write_model(learner, model, run.best / MODEL, asdict(chosen), spec.env_id)
    finally:
        venv.close()
    return run


def learner_for(space: spaces.Space[Any] | None) -> Learner:
    """The learner whose network fits the actions: masked choices, or numbers."""
    learner: Learner = agent_spec("ppo" if isinstance(space, spaces.Box) else "maskable-ppo").load()
    return learner


def _learn(
    model: BaseAlgorithm, data: Transitions, settings: OfflineSettings, on_step: Callable[[int, float], None]
) -> None:
    """Gradient steps on the weighted likelihood of the actions."""
    policy: Any = model.policy
    policy.set_training_mode(True)
    rng = np.random.default_rng(settings.seed)
    optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    rows = np.flatnonzero(data.within_limit()) if settings.method == "bc-safe" else np.arange(len(data.episode))
    price = price_of_cost(data, settings.temperature) if settings.method == "awr" else 0.0
    target = data.returns - price * data.costs
    mean, spread = float(target.mean()), max(float(target.std()), 1e-9)
    masked = isinstance(model, MaskablePPO)
    for step in range(settings.steps):
        optimiser.param_groups[0]["lr"] = settings.learning_rate * (1.0 - step / settings.steps)
        batch = rng.choice(rows, size=min(settings.batch_size, len(rows)), replace=False)
        seen, _ = policy.obs_to_tensor({key: values[batch] for key, values in data.observations.items()})
        actions = torch.as_tensor(data.actions[batch])
        masks = {"action_masks": data.observations["action_mask"][batch].astype(bool)} if masked else {}
        values, log_prob, _ = policy.evaluate_actions(seen, actions, **masks)
        loss = -log_prob.mean()
        if settings.method == "awr":
            wanted = torch.as_tensor((target[batch] - mean) / spread, dtype=torch.float32)
            advantage = wanted - values.ravel().detach()
            advantage = advantage / advantage.std().clamp(min=1e-6)
            weight = (advantage / settings.temperature).exp().clamp(max=LARGEST_WEIGHT)
            loss = -(weight / weight.mean() * log_prob).mean() + (values.ravel() - wanted).square().mean()
        if not math.isfinite(float(loss.detach())):
            raise FloatingPointError(
                f"the loss of step {step} is {float(loss)}: an action of the dataset has no probability (masked, or "
                "out of bounds); make the dataset anew"
            )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimiser.step()
        on_step(step + 1, float(loss))
