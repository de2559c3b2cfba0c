"""Constrained PPO in one file: mend a city's power quickly while the gap between income groups keeps to its limit.

    python examples/constrained_ppo.py --timesteps 200000

Reads from top to bottom and needs torch and tyro beside stormgym: masks in the policy, a value of rewards and one of
costs, and a Lagrange multiplier that rises while the mean cost of episodes is above the limit (PPO-Lagrangian; Ray et
al., "Benchmarking Safe Exploration in Deep Reinforcement Learning", 2019). The network scores every region with the
same weights, so the number of regions is free. Copy it and change it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn

from stormgym.envs.wrappers import VectorEpisodeCost, vector_costs


@dataclass
class Args:
    """Constrained PPO on Restoration-v0."""

    city: str = "default"
    """City of the episodes."""
    seed: int = 0
    timesteps: int = 200_000
    """Environment steps in all."""
    num_envs: int = 64
    """Environments side by side, in one process."""
    num_steps: int = 64
    """Steps of each environment between updates."""
    epochs: int = 6
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
    multiplier_lr: float = 0.03
    """Step of the multiplier, per hour of mean cost above the limit, each update."""
    limit_margin: float = 0.95
    """Share of the limit that training aims at."""
    eval_episodes: int = 256
    """Storms of the evaluation at the end, which training never saw."""
    save: Path | None = None
    """Where the network's weights go."""


# -------------------------------------------------------------------------------------------------- what is seen

PER_REGION = ("x_km", "y_km", "lower_h", "upper_h", "point_h", "distance_km", "group", "open", "realised_h")
"""Parts of the observation with a number for each region."""


def tensors(obs: dict[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Regions `[B, N, 9]`, crew `[B, K]` and mask `[B, N]` of an observation; hours and km in tens."""
    regions = torch.as_tensor(np.stack([obs[key] for key in PER_REGION], axis=-1)) / 10.0
    return regions, torch.as_tensor(obs["crew"]) / 10.0, torch.as_tensor(obs["action_mask"]) == 1


class Agent(nn.Module):
    """Scores of regions, and the values of reward and cost, from each region, the mean over regions and the crew."""

    def __init__(self, n_crew: int, width: int = 64) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(len(PER_REGION) + n_crew, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh(), nn.Linear(width, 1))
        self.values = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))
        nn.init.normal_(self.score[-1].weight, std=0.01)

    def forward(self, regions: Tensor, crew: Tensor, mask: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
        """The policy over regions, masked ones left out, and values `[B, 2]` of reward and cost to come."""
        n = regions.shape[1]
        each = self.encode(torch.cat([regions, crew[:, None].expand(-1, n, -1)], dim=-1))
        mean = each.mean(dim=1)
        scores = self.score(torch.cat([each, mean[:, None].expand_as(each)], dim=-1)).squeeze(-1)
        return torch.distributions.Categorical(logits=scores.masked_fill(~mask, -1e9)), self.values(mean)


# -------------------------------------------------------------------------------------------------- what is learnt from


@dataclass
class Rollout:
    """T steps of B environments; every array has `[T, B]` in front."""

    regions: Tensor
    crew: Tensor
    mask: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor  # [T, B, 2]
    paid: Tensor  # [T, B, 2] reward and cost
    ended: Tensor  # [T, B] whether the step ended an episode
    last_values: Tensor  # [B, 2] of what comes after the last step


def advantages(rollout: Rollout, gamma: float, lam: float) -> Tensor:
    """Generalised advantages `[T, B, 2]` of reward and cost (Schulman et al., 2016).

    No value is carried over an end: the environment settles all that an episode leaves open, cut off or not.
    """
    result = torch.zeros_like(rollout.paid)
    ahead, following = torch.zeros_like(rollout.last_values), rollout.last_values
    for t in reversed(range(len(rollout.paid))):
        goes_on = (~rollout.ended[t])[:, None]
        delta = rollout.paid[t] + gamma * following * goes_on - rollout.values[t]
        ahead = delta + gamma * lam * ahead * goes_on
        result[t], following = ahead, rollout.values[t]
    return result


def update(agent: Agent, optimiser: torch.optim.Adam, rollout: Rollout, multiplier: float, args: Args) -> None:
    """PPO's clipped steps on (reward advantage - multiplier x cost advantage) / (1 + multiplier)."""
    both = advantages(rollout, args.gamma, args.gae_lambda)
    returns = (both + rollout.values).flatten(0, 1)
    gain = ((both[..., 0] - multiplier * both[..., 1]) / (1.0 + multiplier)).flatten()
    parts = [getattr(rollout, name).flatten(0, 1) for name in ("regions", "crew", "mask", "actions", "log_probs")]
    for _ in range(args.epochs):
        for batch in torch.randperm(len(gain)).chunk(args.minibatches):
            regions, crew, mask, actions, old = (part[batch] for part in parts)
            policy, values = agent(regions, crew, mask)
            weight = (gain[batch] - gain[batch].mean()) / (gain[batch].std() + 1e-8)
            ratio = (policy.log_prob(actions) - old).exp()
            loss = -torch.min(ratio * weight, ratio.clamp(1 - args.clip, 1 + args.clip) * weight).mean()
            loss = loss + 0.5 * nn.functional.smooth_l1_loss(values, returns[batch])
            loss = loss - args.entropy * policy.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimiser.step()


# -------------------------------------------------------------------------------------------------- the run


def make_envs(args: Args, num_envs: int, split: str) -> VectorEpisodeCost:
    """B environments in one process. `split` says which half of the repair records episodes are drawn from."""
    envs = gym.make_vec(
        "stormgym:Restoration-v0",
        num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,  # an ended environment shows the next episode at once
        city=args.city,
        split=split,
    )
    return VectorEpisodeCost(envs)


def train(args: Args) -> Agent:
    """Learn, and print what episodes of the last update brought and cost."""
    torch.manual_seed(args.seed)
    envs = make_envs(args, args.num_envs, "train")
    obs, infos = envs.reset(seed=args.seed)
    limit = float(infos["cost_limit"][0]) * args.limit_margin
    agent = Agent(obs["crew"].shape[-1])
    optimiser = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    multiplier, started = 0.0, time.monotonic()
    n_updates = max(args.timesteps // (args.num_envs * args.num_steps), 1)
    for i in range(n_updates):
        optimiser.param_groups[0]["lr"] = args.learning_rate * (1.0 - i / n_updates)
        steps, returns, costs = [], [], []
        for _ in range(args.num_steps):
            seen = tensors(obs)
            with torch.no_grad():
                policy, values = agent(*seen)
                actions = policy.sample()
            obs, reward, terminated, truncated, infos = envs.step(actions.numpy())
            # the trap of SAME_STEP: infos["cost"] of an ended environment belongs to its next episode
            paid = torch.as_tensor(np.stack([reward, vector_costs(infos, args.num_envs)], axis=-1), dtype=torch.float32)
            ended = torch.as_tensor(terminated | truncated)
            steps.append((*seen, actions, policy.log_prob(actions), values, paid, ended))
            returns += infos["episode_return"][infos["_episode_return"]].tolist()
            costs += infos["episode_cost"][infos["_episode_cost"]].tolist()
        with torch.no_grad():
            last_values = agent(*tensors(obs))[1]
        update(agent, optimiser, Rollout(*map(torch.stack, zip(*steps, strict=True)), last_values), multiplier, args)
        if costs:
            multiplier = max(0.0, multiplier + args.multiplier_lr * (float(np.mean(costs)) - limit))
            print(
                f"{(i + 1) * args.num_envs * args.num_steps:>9,} steps {time.monotonic() - started:6.0f} s  "
                f"outage {-np.mean(returns):6.2f} h  gap {np.mean(costs):5.2f} h  multiplier {multiplier:.3f}",
                flush=True,
            )
    envs.close()
    return agent


def evaluate(agent: Agent, args: Args) -> dict[str, float]:
    """Mean outage, mean gap and limit (h) over storms of the other half of the records; the best choice is taken."""
    envs = make_envs(args, args.eval_episodes, "test")
    obs, infos = envs.reset(seed=1_000_000 + args.seed)
    limit = float(infos["cost_limit"][0])
    outage, gap = np.full((2, args.eval_episodes), np.nan)
    while np.isnan(outage).any():
        with torch.no_grad():
            choice = agent(*tensors(obs))[0].logits.argmax(dim=-1).numpy()
        obs, *_, infos = envs.step(choice)
        first = infos["_episode_cost"] & np.isnan(outage)
        outage[first], gap[first] = -infos["episode_return"][first], infos["episode_cost"][first]
    envs.close()
    return {"mean_outage_h": float(outage.mean()), "gap_h": float(gap.mean()), "limit_h": limit}


def main(args: Args) -> dict[str, float]:
    """Train, score on storms that training never saw, and keep the weights."""
    agent = train(args)
    score = evaluate(agent, args)
    print(", ".join(f"{name} {value:.2f}" for name, value in score.items()))
    if args.save is not None:
        torch.save(agent.state_dict(), args.save)  # weights alone: torch.load(..., weights_only=True)
    return score


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Args, description=__doc__))
