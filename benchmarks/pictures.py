"""Pictures of the environments for the docs: an episode of each under one agent.

Writes a frame (`restoration.png`, `dispatch.png`, `crews.png` half-way; `undergrounding.png` when the worst storm has
come) and the whole episode (`restoration.gif` and so on) into the folder.

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

GIF_WIDTH = 700
GIF_COLOURS = 64


@dataclass(frozen=True)
class Settings:
    """Picture and animation of an episode."""

    folder: Path = Path("docs/img")
    """Where the files go."""
    city: str = "default"
    """A name ("default", "synthetic:N:SEED", "varied:N:SEED") or a folder with regions.csv, log.csv and city.json."""
    agent: str = "sta-sac:default@32"
    """The agent that restores, as command lines name agents."""
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


def some(frames: list[NDArray[np.uint8]], every: int) -> list[NDArray[np.uint8]]:
    """One frame of so many, and the last."""
    return frames[:-1:every] + frames[-1:]


def write_gif(path: Path, frames: list[NDArray[np.uint8]], ms: int = 250) -> None:
    """Write an animation of a frame every `ms` that rests on its last one; all frames share one palette."""
    height, width = frames[-1].shape[:2]
    size = (GIF_WIDTH, round(GIF_WIDTH * height / width))
    small = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    palette = small[-1].quantize(GIF_COLOURS)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small]
    durations_ms = [ms] * (len(images) - 1) + [3000]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations_ms, loop=0, optimize=True)


def main(settings: Settings) -> None:
    """Play the episodes and write the files."""
    if settings.every < 1:
        raise ValueError(f"every must be at least 1; got {settings.every}.")
    frames = play(RestorationEnv(settings.city, render_mode="rgb_array"), settings.agent, settings.seed)
    settings.folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frames[len(frames) // 2]).save(settings.folder / "restoration.png", optimize=True)
    write_gif(settings.folder / "restoration.gif", some(frames, settings.every))
    days = play(GeneratorDispatchEnv(settings.profile, render_mode="rgb_array"), settings.dispatcher, settings.seed)
    Image.fromarray(days[len(days) // 2]).save(settings.folder / "dispatch.png", optimize=True)
    write_gif(settings.folder / "dispatch.gif", some(days, settings.every))
    season = UndergroundingEnv(settings.regions, storm="adversarial", render_mode="rgb_array")
    choices = play(season, settings.hardener, settings.seed)
    Image.fromarray(choices[-1]).save(settings.folder / "undergrounding.png", optimize=True)
    write_gif(settings.folder / "undergrounding.gif", some(choices, settings.every), ms=1000)
    storm = play(CrewDispatchEnv(settings.city, render_mode="rgb_array"), settings.crew_dispatcher, settings.seed)
    Image.fromarray(storm[len(storm) // 2]).save(settings.folder / "crews.png", optimize=True)
    write_gif(settings.folder / "crews.gif", some(storm, settings.every))
    for name in ("restoration", "dispatch", "undergrounding", "crews"):
        for path in (settings.folder / f"{name}.png", settings.folder / f"{name}.gif"):
            print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    try:
        main(tyro.cli(Settings, description=__doc__))
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {error}")
