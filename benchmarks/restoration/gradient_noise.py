"""How much of a policy gradient is signal: the same episodes, and four ways to say how good a choice was.

    python -m benchmarks.restoration.gradient_noise --docs docs

A pretrained STA-SAC plays, drawing its choices; eight episodes meet each storm. From these episodes the gradient of the
return less its price of the gap is estimated with returns as they came or without the luck of repair durations, and
with the mean of all episodes or that of the same storm as the baseline. Of each mean gradient the share of signal is
given: its squared length without noise over that with it, near 0 for mere noise, 1 for a gradient without any.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown, show
from stormgym.agents.attention.masking import choose, masked_log_softmax
from stormgym.agents.pretrained import load_pretrained
from stormgym.agents.restoration.network.acting import step_probs
from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.features import CREW, make_inputs, scales_of
from stormgym.agents.restoration.network.scenarios import advantages, expected_to_go
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.control_variate import Forecast, without_luck
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import COLUMN

ROLLOUTS = 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Signal and noise of policy gradients."""

    agent: str = "sta-sac:default"
    """A pretrained STA-SAC, whose actor plays."""
    city: str = "default"
    """City: a name or a folder."""
    collections: int = 40
    """Collections of 64 episodes: eight storms, eight episodes each."""
    price: float = 0.1
    """What a gap as large as the limit takes off the return, in units of the return."""
    seed: int = 0
    """Decides storms and choices."""
    docs: Path | None = None
    """Folder of the docs: the table goes to the block gradient_noise of its agents.md."""


@dataclass(frozen=True)
class Estimate:
    """One way to estimate the gradient."""

    returns: str
    baseline: str
    sd: float
    """Standard deviation of the advantages, in units of the return."""
    signal: float
    """Share of signal in the squared length of the mean gradient of all episodes."""


def collect(settings: Settings, policy: Any, venv: Any) -> list[EpisodeBatch]:
    """Play; each batch is one collection, whose neighbours by eight met the same storm."""
    rng = np.random.default_rng(settings.seed)
    n = venv.action_space.n
    buffer = EpisodeReplayBuffer(64 * n, venv.observation_space, venv.action_space, "cpu", 64)
    batches = []
    for _ in track(range(settings.collections), "playing", console=Console(stderr=True, emoji=False), transient=True):
        venv._seeds = np.repeat(rng.integers(0, 2**31 - 1, 64 // ROLLOUTS), ROLLOUTS).tolist()  # as venv.seed() sets
        buffer.begin_round()
        observation, state = venv.reset(), None
        for _ in range(n):
            begins = np.zeros(64, dtype=bool)
            probs, state = step_probs(policy.actor, observation, state, begins, policy.card.n_groups)
            action = choose(probs, deterministic=False, rng=rng)
            following, reward, done, infos = venv.step(action)
            buffer.add(observation, following, action, reward, done, infos)
            observation = following
        assert buffer.round is not None
        batches.append(buffer.episodes(buffer.round))
    return batches


def fit_line(batches: list[EpisodeBatch]) -> Forecast:
    """The forecast's line by least squares on all repairs that were seen."""
    nothing, left, right = Forecast(), [], []
    with torch.no_grad():
        nothing.line.zero_()
        for batch in batches:
            scales = scales_of(batch.regions)
            took = nothing.surprise(batch, scales)
            seen = took != 0
            point = batch.regions[..., COLUMN["point_h"]].gather(-1, batch.actions)
            left.append(torch.stack([scales.hours.expand_as(point)[seen], point[seen]], dim=1))
            right.append(took[seen])
        line = torch.linalg.lstsq(torch.cat(left), torch.cat(right).unsqueeze(1)).solution[:, 0]
        nothing.line.copy_(line)
    return nothing


def estimates(settings: Settings, policy: Any, batches: list[EpisodeBatch]) -> list[Estimate]:
    """The four estimates."""
    forecast, n_groups = fit_line(batches), policy.card.n_groups
    baselines: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "all episodes": lambda gain, guess: advantages(gain, len(gain), guess),
        "the same storm": lambda gain, guess: advantages(gain, ROLLOUTS, guess),
    }
    kinds = [(returns, baseline) for returns in ("as they came", "without luck") for baseline in baselines]
    gradients: dict[tuple[str, str], list[Tensor]] = {kind: [] for kind in kinds}
    spread: dict[tuple[str, str], list[float]] = {kind: [] for kind in kinds}
    parameters = list(policy.actor.requires_grad_(True).parameters())
    for batch in track(batches, "gradients", console=Console(stderr=True, emoji=False), transient=True):
        inputs, scales = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, n_groups)
        log_pi = masked_log_softmax(policy.actor(inputs).squeeze(-1), batch.action_mask)
        taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
        with torch.no_grad():
            late = forecast.surprise(batch, scales)
            calm = without_luck(batch, late, scales, n_groups)
        guess = expected_to_go(batch.regions, batch.is_open, scales) / scales.total_hours
        for returns, (reward, cost) in (("as they came", (batch.rewards, batch.costs)), ("without luck", calm)):
            gain = reward / scales.total_hours - settings.price * cost / batch.crew[..., CREW["cost_limit_h"]]
            for baseline, advantage_of in baselines.items():
                advantage = advantage_of(gain, guess)
                loss = -(taken * advantage).mean()
                parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
                gradients[returns, baseline].append(torch.cat([g.flatten() for g in parts if g is not None]))
                spread[returns, baseline].append(float(advantage.std()))
    return [Estimate(*kind, float(np.mean(spread[kind])), signal_share(torch.stack(gradients[kind]))) for kind in kinds]


def signal_share(gradients: Tensor) -> float:
    """Share of signal in the mean of independent estimates `[K, P]` of one gradient.

    The mean product of two different estimates is the squared length of what they estimate, without noise.
    """
    k = len(gradients)
    total = gradients.sum(0)
    square = float(total @ total)
    between = (square - float(gradients.square().sum())) / (k * (k - 1))
    return between / (square / k**2)


HEAD = ("returns", "baseline: mean of", "sd of the advantages", "share of signal")


def rows_of(found: list[Estimate]) -> list[list[str]]:
    """The table's cells."""
    return [[e.returns, e.baseline, f"{e.sd:.3f}", f"{e.signal:.2f}"] for e in found]


def body(settings: Settings, found: list[Estimate]) -> str:
    """The table as Markdown, with the command that makes it."""
    episodes = 64 * settings.collections
    made = (
        f"Made by `python -m benchmarks.restoration.gradient_noise`: {episodes:,} episodes of `{settings.agent}` in "
        f"city `{Path(settings.city).name}`."
    )
    return f"{made}\n\n{markdown(HEAD, rows_of(found))}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    if settings.collections < 2:
        print(
            f"restoration.gradient_noise: --collections must be at least 2; got {settings.collections}", file=sys.stderr
        )
        return 2
    torch.set_num_threads(1)
    try:
        venv = make_vec_env("Restoration-v0", 64, city=settings.city, split="train")
        policy = load_pretrained(settings.agent, venv)
    except (KeyError, ValueError, FileNotFoundError) as error:
        print(f"restoration.gradient_noise: {error.args[0]}", file=sys.stderr)
        return 2
    found = estimates(settings, policy, collect(settings, policy, venv))
    show(HEAD, rows_of(found))
    if settings.docs is not None:
        replace_block(settings.docs / "agents.md", "gradient_noise", body(settings, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
