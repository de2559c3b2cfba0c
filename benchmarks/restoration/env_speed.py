"""Environment steps per CPU-second: Env, SyncVectorEnv, native VectorEnv, the cost of handing out copies, and peers.

Every case plays whole episodes in which each environment visits the regions in a random order drawn beforehand, so no
trip is wasted and resets count. Cases take turns, round by round, and the table shows the median over rounds; a step
that only resets an environment is not counted as a step. Every observation is a fresh copy. Time is CPU time of this
process on one thread. "Copying" makes fresh copies of the observation's arrays and does nothing else: no environment
that hands out copies can be faster. The peers are travelling-salesman environments of the same size (no repair times,
intervals or equity); the ones that are not installed (`pip install -e ".[peers]"`) are left out.

    python -m benchmarks.restoration.env_speed --docs docs
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ[_name] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

NATIVE_BATCHES = (1, 16, 64, 256, 1024, 4096)
SYNC_BATCHES = (64, 1024)
N_ORDERS = 16  # different visiting orders that a case cycles through

Play = Callable[[], int]
"""Plays one episode in every environment of a case; returns the number of environment steps."""


@dataclass(frozen=True)
class Settings:
    """Environment steps per CPU-second."""

    city: str = "default"
    """A name ("default", "synthetic:N:SEED") or a folder with regions.csv, log.csv and city.json."""
    seconds: float = 3.0
    """CPU-seconds a case, at least; an episode that has begun is played to its end."""
    rounds: int = 3
    """Turns of each case."""
    seed: int = 0
    """Seed of instances and orders."""
    peers: bool = True
    """Also time the peers that are installed."""
    json: Path | None = None
    """Write every number to this JSON file."""
    markdown: Path | None = None
    """Write the tables to this Markdown file."""
    docs: Path | None = None
    """Folder of the docs: the tables go to the block env_speed of its environments/restoration.md."""
    check: bool = False
    """Exit with status 1 when a target is missed."""


@dataclass(frozen=True)
class Result:
    """One case: environment steps per CPU-second, median and range over the rounds."""

    name: str
    batch: int
    steps_per_s: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """One comparison, with the target it is held to (None: reported only)."""

    name: str
    value: float
    target: float | None

    @property
    def holds(self) -> bool:
        """True unless a target is missed."""
        return self.target is None or self.value >= self.target


class Orders:
    """Visiting orders, drawn before the clock runs."""

    def __init__(self, n_regions: int, seed: int) -> None:
        self.n_regions = n_regions
        self.rng = np.random.default_rng(seed)

    def batches(self, batch: int) -> Iterator[NDArray[np.int64]]:
        """Endless orders `[N, B]`: column i is the order of environment i."""
        n_orders = 2 if batch > 256 else N_ORDERS
        drawn = [self.rng.permuted(np.tile(np.arange(self.n_regions), (batch, 1)), axis=1) for _ in range(n_orders)]
        return cycle([np.ascontiguousarray(order.T) for order in drawn])


def single_env(city: str, orders: Orders) -> Play:
    """One unwrapped `RestorationEnv`."""
    env = RestorationEnv(city)
    lists = cycle([[int(a) for a in next(orders.batches(1))[:, 0]] for _ in range(N_ORDERS)])
    env.reset(seed=0)

    def play() -> int:
        env.reset()
        for action in next(lists):
            env.step(action)
        return orders.n_regions

    return play


def vector_env(env: gym.vector.VectorEnv[Any, Any, Any], orders: Orders) -> Play:
    """A vector environment under NEXT_STEP autoreset; its environments end together, and one more step resets them."""
    turns = orders.batches(env.num_envs)
    env.reset(seed=0)

    def play() -> int:
        order = next(turns)
        for actions in order:
            _, _, terminated, _, _ = env.step(actions)
        assert terminated.all(), "an order did not restore every region"
        env.step(order[0])
        return order.size

    return play


def copying(city: str, batch: int, n_regions: int) -> Play:
    """Fresh copies of the arrays that a step hands out (the mask twice: observation and info), and nothing else."""
    process = RestorationVectorEnv(batch, city=city).process
    crew = process.crew.astype(np.float32)

    def play() -> int:
        for _ in range(n_regions):
            kept = (process.regions.copy(), crew.copy(), process.action_mask.copy(), process.action_mask.copy())
        del kept
        return n_regions * batch

    return play


def jumanji_tsp(batch: int, orders: Orders) -> Play:
    """Jumanji's TSP, jitted; vmapped when `batch` is above 1."""
    import jax
    from jumanji.environments.routing.tsp import TSP
    from jumanji.environments.routing.tsp.generator import UniformGenerator

    env = TSP(generator=UniformGenerator(num_cities=orders.n_regions))
    if batch == 1:
        reset, step = jax.jit(env.reset), jax.jit(env.step)
        turns: Iterator[Any] = cycle([next(orders.batches(1))[:, 0].astype(np.int32) for _ in range(N_ORDERS)])
        keys = cycle(list(jax.random.split(jax.random.PRNGKey(0), N_ORDERS)))
    else:
        reset, step = jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))
        turns = (order.astype(np.int32) for order in orders.batches(batch))
        keys = cycle([jax.random.split(jax.random.PRNGKey(s), batch) for s in range(2)])

    def play() -> int:
        order = next(turns)
        state, timestep = reset(next(keys))
        for actions in order:
            state, timestep = step(state, actions)
        jax.block_until_ready(timestep)
        return order.size

    play()  # compiles
    return play


def rl4co_tsp(batch: int, orders: Orders) -> Play:
    """RL4CO's TSP environment (batched PyTorch)."""
    import torch
    from rl4co.envs import TSPEnv

    torch.set_num_threads(1)
    env = TSPEnv(generator_params={"num_loc": orders.n_regions}, check_solution=False)
    turns = orders.batches(batch)

    def play() -> int:
        order = torch.from_numpy(next(turns))
        state = env.reset(batch_size=[batch])
        for actions in order:
            state.set("action", actions)
            state = env.step(state)["next"]
        return order.numel()

    return play


def make_cases(settings: Settings, console: Console) -> dict[tuple[str, int], Play]:
    """Every case by (name, batch); a peer that is not installed is left out with a note."""
    city = settings.city
    n_regions = RestorationEnv(city).city.n_regions
    orders = Orders(n_regions, settings.seed)
    cases: dict[tuple[str, int], Play] = {("Env", 1): single_env(city, orders)}
    for batch in SYNC_BATCHES:
        sync = gym.vector.SyncVectorEnv([lambda: RestorationEnv(city)] * batch)
        cases["SyncVectorEnv", batch] = vector_env(sync, orders)
    for batch in NATIVE_BATCHES:
        cases["native VectorEnv", batch] = vector_env(RestorationVectorEnv(batch, city=city), orders)
    cases["copying", 1024] = copying(city, 1024, n_regions)
    peers: tuple[tuple[str, Callable[[int, Orders], Play], tuple[int, ...]], ...] = (
        ("Jumanji TSP", jumanji_tsp, (1, 64, 1024)),
        ("RL4CO TSP", rl4co_tsp, (64, 1024)),
    )
    for name, factory, batches in peers if settings.peers else ():
        try:
            for batch in batches:
                cases[name, batch] = factory(batch, orders)
        except ImportError as error:
            console.print(f'{name} left out: {error} (pip install -e ".\\[peers]")')
    return cases


def measure(cases: dict[tuple[str, int], Play], settings: Settings) -> dict[tuple[str, int], Result]:
    """Play all cases in turns and return steps per CPU-second of each."""
    found: dict[tuple[str, int], list[float]] = {key: [] for key in cases}
    for play in cases.values():
        play()  # warm caches and allocators
    with tqdm(total=settings.rounds * len(cases), desc="env speed", unit="turn") as bar:
        for _ in range(settings.rounds):
            for key, play in cases.items():
                steps, begin = 0, time.process_time()
                while time.process_time() - begin < settings.seconds / settings.rounds:
                    steps += play()
                found[key].append(steps / (time.process_time() - begin))
                bar.update()
    return {
        key: Result(*key, steps_per_s=float(np.median(rates)), low=min(rates), high=max(rates))
        for key, rates in found.items()
    }


def compare(results: dict[tuple[str, int], Result]) -> list[Ratio]:
    """The ratios that are reported, with targets where there are some."""
    rate = {key: result.steps_per_s for key, result in results.items()}
    native = rate["native VectorEnv", 1024]
    ratios = [
        Ratio("native / SyncVectorEnv, B = 1024", native / rate["SyncVectorEnv", 1024], 15.0),
        Ratio("native / SyncVectorEnv, B = 64", rate["native VectorEnv", 64] / rate["SyncVectorEnv", 64], 10.0),
        Ratio("native, B = 1024, million steps per CPU-second", native / 1e6, 1.0),
        Ratio("native / copying alone, B = 1024", native / rate["copying", 1024], None),
    ]
    if ("Jumanji TSP", 1) in rate:
        ratios.append(Ratio("Env / Jumanji TSP, B = 1", rate["Env", 1] / rate["Jumanji TSP", 1], 1.0))
    for name in ("Jumanji TSP", "RL4CO TSP"):
        for batch in (64, 1024):
            if (name, batch) in rate:
                value = rate["native VectorEnv", batch] / rate[name, batch]
                ratios.append(Ratio(f"native / {name}, B = {batch}", value, None))
    return ratios


def tables(results: dict[tuple[str, int], Result], ratios: list[Ratio]) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the two tables, header first."""
    rates = [["case", "B", "env-steps per CPU-second", "lowest to highest turn"]]
    rates += [
        [r.name, f"{r.batch}", f"{r.steps_per_s:,.0f}", f"{r.low:,.0f} to {r.high:,.0f}"] for r in results.values()
    ]
    comparison = [["ratio", "measured", "target"]]
    comparison += [
        [
            r.name,
            f"{r.value:.2f}" if r.value < 10 else f"{r.value:.0f}",
            "" if r.target is None else f"at least {r.target:g}",
        ]
        for r in ratios
    ]
    return rates, comparison


def to_markdown(rows: tuple[list[list[str]], list[list[str]]], settings: Settings, n_regions: int) -> str:
    """Both tables as Markdown, under the command that makes them."""
    return (
        f"Made by `python -m benchmarks.restoration.env_speed --docs docs`: {n_regions} regions, one "
        f"thread, Python {platform.python_version()}, NumPy {np.__version__}, {settings.rounds} turns of each case in "
        "alternation.\n\n" + "\n\n".join(markdown(head, lines, right=True) for head, *lines in rows)
    )


def main(settings: Settings) -> int:
    """Measure, then print and write what the settings ask for; return the exit status."""
    if settings.rounds < 1 or not settings.seconds > 0:
        raise ValueError(
            f"rounds must be at least 1 and seconds above 0; got {settings.rounds} and {settings.seconds}."
        )
    console = Console(emoji=False)
    results = measure(make_cases(settings, console), settings)
    ratios = compare(results)
    rows = tables(results, ratios)
    for lines, title in zip(rows, ("speed", "ratios"), strict=True):
        table = Table(title=title, box=SIMPLE)
        for i, name in enumerate(lines[0]):
            table.add_column(name, justify="right" if i else "left", no_wrap=True)
        for cells in lines[1:]:
            table.add_row(*cells)
        console.print(table)
    text = to_markdown(rows, settings, RestorationEnv(settings.city).city.n_regions)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "restoration.md", "env_speed", text)
    if settings.markdown is not None:
        settings.markdown.write_text(text + "\n", encoding="utf-8")
    if settings.json is not None:
        payload = {
            "settings": asdict(settings),
            "results": [asdict(result) for result in results.values()],
            "ratios": [asdict(ratio) | {"holds": ratio.holds} for ratio in ratios],
        }
        settings.json.write_text(json.dumps(payload, indent=2, default=str) + "\n", encoding="utf-8")
    missed = [ratio.name for ratio in ratios if not ratio.holds]
    if missed:
        console.print(f"target missed: {'; '.join(missed)}")
    return 1 if missed and settings.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Settings, description=__doc__)))
    except ValueError as error:
        sys.exit(f"error: {error}")
