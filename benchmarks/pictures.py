"""Pictures of the environments for the docs: an episode of each under one agent.

Writes `restoration.png` (a frame half-way through the episode), `restoration.gif` (the episode), `dispatch.png` (a
day of GeneratorDispatch-v0), `undergrounding.png` (a season of Undergrounding-v0 whose worst storm comes) and
`crews.png` and `crews.gif` (a storm of CrewDispatch-v0 half-way, and the whole of it) into the folder.

    python -m benchmarks.pictures --folder docs/img
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from stormgym.agents.lineup import make_policy
from stormgym.envs.crews.env import CrewDispatchEnv
from stormgym.envs.dispatch.env import GeneratorDispatchEnv
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.undergrounding.env import UndergroundingEnv

GIF_SIZE = (700, 350)
GIF_COLOURS = 32


@dataclass(frozen=True)
class Settings:
    """Picture and animation of an episode."""

    folder: Path = Path("docs/img")
    """Where the files go."""
    city: str = "default"
    """A name ("default", "synthetic:N:SEED") or a folder with regions.csv, log.csv and city.json."""
    agent: str = "equity-planner"
    """A rule or planner by name."""
    profile: str = "ten"
    """Profile of the dispatch environment."""
    dispatcher: str = "replanning-dispatch"
    """The agent that plays it."""
    regions: str = "ten"
    """Profile of the undergrounding environment."""
    hardener: str = "tri-level"
    """The agent that plays it."""
    crew_dispatcher: str = "sta-sac:crews"
    """The agent that dispatches crews."""
    seed: int = 0
    """Seed of the episode."""
    every: int = 1
    """Frames of the animation: one every so many steps."""


def play(env: Any, agent: str, seed: int) -> list[NDArray[np.uint8]]:
    """Return the frames `[H, W, 3]` of one episode, the first before the first step."""
    policy = make_policy(agent, env)
    observation, _ = env.reset(seed=seed)
    frames, state, ended = [env.render()], None, False
    while not ended:
        action, state = policy.predict(observation, state, deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated
        frames.append(env.render())
    return frames


def write_gif(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Write an animation of four frames a second that rests on its last frame; all frames share one palette."""
    small = [Image.fromarray(frame).resize(GIF_SIZE, Image.Resampling.LANCZOS) for frame in frames]
    palette = small[-1].quantize(GIF_COLOURS)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small]
    durations_ms = [250] * (len(images) - 1) + [3000]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations_ms, loop=0, optimize=True)


def main(settings: Settings) -> None:
    """Play the episodes and write the files."""
    if settings.every < 1:
        raise ValueError(f"every must be at least 1; got {settings.every}.")
    frames = play(RestorationEnv(settings.city, render_mode="rgb_array"), settings.agent, settings.seed)
    settings.folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frames[len(frames) // 2]).save(settings.folder / "restoration.png", optimize=True)
    chosen = frames[:: settings.every]
    if (len(frames) - 1) % settings.every:
        chosen.append(frames[-1])
    write_gif(settings.folder / "restoration.gif", chosen)
    days = play(GeneratorDispatchEnv(settings.profile, render_mode="rgb_array"), settings.dispatcher, settings.seed)
    Image.fromarray(days[len(days) // 2]).save(settings.folder / "dispatch.png", optimize=True)
    season = UndergroundingEnv(settings.regions, storm="adversarial", render_mode="rgb_array")
    last = play(season, settings.hardener, settings.seed)[-1]
    Image.fromarray(last).save(settings.folder / "undergrounding.png", optimize=True)
    storm = play(CrewDispatchEnv(settings.city, render_mode="rgb_array"), settings.crew_dispatcher, settings.seed)
    Image.fromarray(storm[len(storm) // 2]).save(settings.folder / "crews.png", optimize=True)
    write_gif(settings.folder / "crews.gif", storm[:: settings.every])
    for name in ("restoration.png", "restoration.gif", "dispatch.png", "undergrounding.png", "crews.png", "crews.gif"):
        path = settings.folder / name
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    try:
        main(tyro.cli(Settings, description=__doc__))
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {error}")
