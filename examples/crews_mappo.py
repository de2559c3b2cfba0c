"""Crews that learn together: MAPPO on crew_dispatch_v0 with TorchRL, which reads PettingZoo.

    python examples/crews_mappo.py --city synthetic:14:1 --n-crews 3 --timesteps 20000

All crews share one policy that scores every job from what the crew sees; a central critic sees what all see
(MAPPO; Yu et al., "The Surprising Effectiveness of PPO in Cooperative Multi-Agent Games", NeurIPS 2022). Crews that are
not pending have only "wait" open, so their log-probability is 0 and they learn nothing from that round. Both networks
treat jobs and crews alike, whatever their number. With the command above, seeds 0, 1, 2, crews reach a mean outage of
4.27, 4.28 and 4.23 h on storms that training never saw, where list-rho has 4.38 h and random choices 5.81 h.
Needs `pip install "stormgym[agents,torchrl]"`.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium import spaces
from pettingzoo.utils import BaseParallelWrapper
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.collectors import Collector
from torchrl.envs import PettingZooWrapper
from torchrl.modules import MaskedCategorical, ProbabilisticActor
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from stormgym.agents.lineup import make_policy
from stormgym.envs.crews.teams import CrewDispatchParallel


@dataclass
class Args:
    """MAPPO on crew_dispatch_v0."""

    city: str = "synthetic:14:1"
    """City of the storms."""
    n_crews: int = 3
    """Crews, each an agent."""
    seed: int = 0
    timesteps: int = 20_000
    """Rounds in all."""
    batch: int = 1_000
    """Rounds between updates."""
    epochs: int = 8
    """Passes over a batch."""
    minibatches: int = 8
    """Parts of a batch, each of one gradient step."""
    learning_rate: float = 1e-3
    """Of Adam, falling to 0 over the run."""
    gamma: float = 1.0
    """Discount: the return is minus the mean outage, whose sum has no discount."""
    gae_lambda: float = 0.95
    clip: float = 0.2
    """Range of the probability ratio."""
    entropy: float = 0.003
    """Weight of the entropy."""
    gap_price: float = 0.0
    """Hours of mean outage that an hour of gap between income groups is worth."""
    eval_episodes: int = 200
    """Storms of the evaluation at the end, of records that training never saw."""
    save: Path | None = None
    """Where the policy's weights go."""


# -------------------------------------------------------------------------------------------------- what is seen

JOB_SCALES = {
    "x_km": 0.1, "y_km": 0.1, "group": 0.5, "known": 1.0, "open": 1.0, "sent": 1.0, "repaired": 1.0, "dark": 1.0,
    "age_h": 0.1, "lower_h": 0.1, "upper_h": 0.1, "point_h": 0.1, "need": 1.0, "upstream_open": 1.0,
    "distance_km": 0.1, "travel_h": 1.0,
}  # fmt: skip
"""Columns of jobs that are read, times these; `weight` and `below_dark` come times the number of jobs."""
KNOWN = list(JOB_SCALES).index("known")
CREW_SCALES = {
    "crew_asked": 1.0, "crew_x_km": 0.1, "crew_y_km": 0.1, "crew_busy": 1.0, "crew_waiting": 1.0, "crew_assessor": 1.0,
    "crew_way_left_h": 1.0, "crew_on_site_h": 0.1, "crew_point_left_h": 0.1, "crew_duty_left_h": 0.1,
    "crew_rest_left_h": 0.1, "crew_skill_0": 1.0, "crew_skill_1": 1.0,
}  # fmt: skip
"""Columns of crews; the first marks the crew that looks."""
N_STORM = 5
"""Columns of the storm that are read: hour, hours of arrivals left, limit, gap, jobs known."""


class TeamTensors(BaseParallelWrapper[str, Any, int]):
    """The game with jobs `[N, F]`, crews `[K, F']` and storm `[5]` in place of columns, and two numbers in infos.

    Args:
        env: the game in rounds.
        gap_price: taken off the reward for each hour of cost.
        unit: hours of return that the reward is divided by.
    """

    def __init__(self, env: CrewDispatchParallel, gap_price: float, unit: float) -> None:
        super().__init__(env)
        self.gap_price, self.unit = gap_price, unit
        self._return = 0.0
        n, k = env.n_jobs, env.n_crews
        shapes = {"jobs": (n, len(JOB_SCALES) + 2), "crews": (k, len(CREW_SCALES)), "storm": (N_STORM,)}
        parts: dict[str, spaces.Space[Any]] = {
            name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()
        }
        mask = spaces.MultiBinary(n + 1)
        self._space = spaces.Dict({"observation": spaces.Dict(parts), "action_mask": mask})

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same for every crew."""
        del agent
        return self._space

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Draw a storm."""
        seen, infos = self.env.reset(seed=seed, options=options)
        self._return = 0.0
        return self._seen(seen), self._told(infos)

    def step(self, actions: dict[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        """Play a round."""
        seen, rewards, terminated, truncated, infos = self.env.step(actions)
        self._return += next(iter(rewards.values()))
        paid = {agent: (rewards[agent] - self.gap_price * infos[agent]["cost"]) / self.unit for agent in rewards}
        return self._seen(seen), paid, terminated, truncated, self._told(infos)

    def _seen(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {
            agent: {"observation": tensors(own["observation"]), "action_mask": own["action_mask"]}
            for agent, own in seen.items()
        }

    def _told(self, infos: dict[str, Any]) -> dict[str, Any]:
        return {
            agent: {"episode_cost": info["episode_cost"], "episode_return": self._return}
            for agent, info in infos.items()
        }


def tensors(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a crew sees as jobs `[N, F]`, crews `[K, F']` and storm `[5]`."""
    n = columns["weight"].size
    jobs = [columns[name] * scale for name, scale in JOB_SCALES.items()]
    jobs += [columns["weight"] * n, columns["below_dark"] * n]  # shares of the storm
    crews = [columns[name] * scale for name, scale in CREW_SCALES.items()]
    storm = columns["storm"][:N_STORM] * np.array([0.1, 0.1, 0.1, 0.1, 1.0 / n], dtype=np.float32)
    parts = {"jobs": np.stack(jobs, axis=-1), "crews": np.stack(crews, axis=-1), "storm": storm}
    return {name: part.astype(np.float32) for name, part in parts.items()}


# -------------------------------------------------------------------------------------------------- networks


class Encoder(nn.Module):
    """Each job, with the crew that looks and the storm beside it, and a summary of all jobs and crews."""

    def __init__(self, width: int) -> None:
        super().__init__()
        n_job, n_crew = len(JOB_SCALES) + 2, len(CREW_SCALES)
        self.jobs = nn.Sequential(
            nn.Linear(n_job + n_crew + N_STORM, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.crews = nn.Sequential(nn.Linear(n_crew, width), nn.Tanh())
        self.summary = nn.Sequential(nn.Linear(2 * width + n_crew + N_STORM, width), nn.Tanh())

    def forward(self, jobs: Tensor, crews: Tensor, storm: Tensor) -> tuple[Tensor, Tensor]:
        """Jobs `[..., N, W]` and summary `[..., W]`."""
        own = (crews * crews[..., :1]).sum(dim=-2)  # [..., F'] the crew that looks
        around = torch.cat([own, storm], dim=-1)
        each = self.jobs(torch.cat([jobs, around[..., None, :].expand(*jobs.shape[:-1], -1)], dim=-1))
        known = jobs[..., KNOWN : KNOWN + 1]  # slots that are not known yet count for nothing
        mean = (each * known).sum(dim=-2) / known.sum(dim=-2).clamp(min=1.0)
        return each, self.summary(torch.cat([mean, self.crews(crews).mean(dim=-2), around], dim=-1))


class Actor(nn.Module):
    """Scores of jobs and of waiting `[..., N + 1]`, the same weights for every crew."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.encode = Encoder(width)
        hidden, last = nn.Linear(2 * width, width), nn.Linear(width, 1)
        self.score = nn.Sequential(hidden, nn.Tanh(), last)
        self.wait = nn.Linear(width, 1)
        nn.init.normal_(last.weight, std=0.01)  # first choices are close to uniform
        nn.init.constant_(self.wait.bias, -2.0)  # waiting is seldom best

    def forward(self, jobs: Tensor, crews: Tensor, storm: Tensor) -> Tensor:
        """Scores; masks are laid over them by the distribution."""
        each, summary = self.encode(jobs, crews, storm)
        pairs = torch.cat([each, summary[..., None, :].expand_as(each)], dim=-1)
        return torch.cat([self.score(pairs).squeeze(-1), self.wait(summary)], dim=-1)


class CentralCritic(nn.Module):
    """The value of the storm from what all K crews see, `[..., K, 1]`: the same for all, who share the reward."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.encode = Encoder(width)
        self.value = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, jobs: Tensor, crews: Tensor, storm: Tensor) -> Tensor:
        """Inputs `[..., K, ...]`."""
        _, summary = self.encode(jobs, crews, storm)  # [..., K, W]
        value = self.value(summary.mean(dim=-2))
        return value[..., None, :].expand(*summary.shape[:-1], 1)


SEEN = [("crew", "observation", "observation", part) for part in ("jobs", "crews", "storm")]
VALUE, ACTION, LOG_PROB = ("crew", "state_value"), ("crew", "action"), ("crew", "action_log_prob")


def make_policy_module(actor: Actor, env: PettingZooWrapper) -> ProbabilisticActor:
    """The policy as TorchRL takes it: it draws each crew's choice from those that are open."""
    return ProbabilisticActor(
        TensorDictModule(actor, in_keys=SEEN, out_keys=[("crew", "logits")]),
        spec=env.full_action_spec_unbatched,
        in_keys={"logits": ("crew", "logits"), "mask": ("crew", "action_mask")},
        out_keys=[ACTION],
        distribution_class=MaskedCategorical,
        return_log_prob=True,
        log_prob_key=LOG_PROB,
    )


# -------------------------------------------------------------------------------------------------- the run


def make_game(args: Args, split: str) -> CrewDispatchParallel:
    """The game. `split` says which half of the repair records storms are drawn from."""
    return CrewDispatchParallel(city=args.city, n_crews=args.n_crews, split=split)


def train(args: Args) -> Actor:
    """Learn, and print what storms of each update brought and cost."""
    torch.manual_seed(args.seed)
    game = make_game(args, "train")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PettingZoo in TorchRL is tested using version")
        env = PettingZooWrapper(TeamTensors(game, args.gap_price, game.return_unit), seed=args.seed)
    actor, critic = Actor(), TensorDictModule(CentralCritic(), in_keys=SEEN, out_keys=[VALUE])
    policy = make_policy_module(actor, env)
    loss = ClipPPOLoss(policy, critic, clip_epsilon=args.clip, entropy_coeff=args.entropy)
    keys = {"reward": ("crew", "reward"), "done": ("crew", "done"), "terminated": ("crew", "terminated")}
    loss.set_keys(action=ACTION, value=VALUE, sample_log_prob=LOG_PROB, **keys)
    gae = GAE(gamma=args.gamma, lmbda=args.gae_lambda, value_network=critic, average_gae=True)
    gae.set_keys(value=VALUE, **keys)
    optimiser = torch.optim.Adam(loss.parameters(), lr=args.learning_rate, eps=1e-5)
    collector = Collector(
        env,
        policy,
        frames_per_batch=args.batch,
        total_frames=args.timesteps,
        auto_register_policy_transforms=False,  # for policies that remember, which this one does not
    )
    started = time.monotonic()
    for i, data in enumerate(collector):
        optimiser.param_groups[0]["lr"] = args.learning_rate * (1.0 - i * args.batch / args.timesteps)
        update(data, loss, gae, optimiser, args)
        ended = data["next", "done"].squeeze(-1)
        told = data["next", "crew", "info"][ended][:, 0]  # of the first crew: all are told the same
        print(
            f"{(i + 1) * args.batch:>8,} rounds {time.monotonic() - started:6.0f} s  "
            f"outage {-float(told['episode_return'].mean()):6.2f} h  gap {float(told['episode_cost'].mean()):5.2f} h",
            flush=True,
        )
    collector.shutdown()
    return actor


def update(data: TensorDictBase, loss: ClipPPOLoss, gae: GAE, optimiser: torch.optim.Optimizer, args: Args) -> None:
    """PPO's clipped steps on a batch of rounds `[T]`."""
    with torch.no_grad():
        gae(data)
    for _ in range(args.epochs):
        for rows in torch.randperm(len(data)).chunk(args.minibatches):
            losses = loss(data[rows])
            total = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
            optimiser.step()


def evaluate(actor: Actor, args: Args) -> dict[str, dict[str, float]]:
    """Mean outage and gap (h) of the crews, who take their best choices, and of rules on the same storms."""
    game = make_game(args, "test")
    first = 1_000_000
    found = {"mappo": [play_team(actor, game, first + i) for i in range(args.eval_episodes)]}
    env = gym.make("stormgym:CrewDispatch-v0", city=args.city, n_crews=args.n_crews, split="test")
    for name in ("random", "nearest", "list-rho"):
        found[name] = [play_rule(make_policy(name, env), env, first + i) for i in range(args.eval_episodes)]
    figures = ("mean_outage_h", "gap_h")
    return {name: {f: float(np.mean([m[f] for m in storms])) for f in figures} for name, storms in found.items()}


def play_team(actor: Actor, game: CrewDispatchParallel, seed: int) -> dict[str, float]:
    """Metrics of a storm in which every crew takes its best choice."""
    seen, infos = game.reset(seed=seed)
    while game.agents:
        parts = [tensors(own["observation"]) for own in seen.values()]
        stacked = [torch.as_tensor(np.stack([part[name] for part in parts])) for *_, name in SEEN]
        closed = torch.as_tensor(np.stack([own["action_mask"] for own in seen.values()])) == 0
        with torch.no_grad():
            best = actor(*stacked).masked_fill(closed, -torch.inf).argmax(dim=-1).tolist()
        seen, _, _, _, infos = game.step(dict(zip(game.agents, best, strict=True)))
    metrics: dict[str, float] = infos["crew_0"]["metrics"]
    return metrics


def play_rule(policy: Any, env: gym.Env[Any, Any], seed: int) -> dict[str, float]:
    """Metrics of a storm in which one rule dispatches all crews."""
    obs, info = env.reset(seed=seed)
    over = False
    while not over:
        obs, _, over, _, info = env.step(policy.predict(obs)[0])
    metrics: dict[str, float] = info["metrics"]
    return metrics


def main(args: Args) -> dict[str, dict[str, float]]:
    """Train, score on storms that training never saw, and keep the weights."""
    actor = train(args)
    score = evaluate(actor, args)
    for name, figures in score.items():
        print(f"{name:>10}  " + "  ".join(f"{figure} {value:.2f}" for figure, value in figures.items()))
    if args.save is not None:
        torch.save(actor.state_dict(), args.save)  # weights alone: torch.load(..., weights_only=True)
    return score


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Args, description=__doc__))
