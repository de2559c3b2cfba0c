"""Seconds of the first `make` and `reset` in a fresh process, and of four environments in processes of their own.

    python -m benchmarks.installs.first_make
    python -m benchmarks.installs.first_make --envs Restoration-v0 --city synthetic:12:1

An empty cache is a new folder; a filled one is the same folder again. `imports` is `import stormgym, gymnasium` and
what the environment's own modules import; `make` is the rest; CPU seconds, the least of `--repeats` processes. One and
four processes are Gymnasium's AsyncVectorEnv: wall-clock seconds from making it to the first observations, on an empty
cache. `--context forkserver` lets each worker import and make its environment itself, as Stable-Baselines3's
SubprocVecEnv does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

IDS = (
    "Restoration-v0",
    "CrewDispatch-v0",
    "GeneratorDispatch-v0",
    "Undergrounding-v0",
    "DefenderAttacker-v0",
    "PowerScheduling-v0",
    "HospitalBeds-v0",
    "NetworkSecurity-v0",
    "Portfolio-v0",
    "FractionalKnapsack-v0",
    "ShortestPath-v0",
    "EnergyScheduling-v0",
)
FIRST = """
import json, sys, time
from importlib import import_module

env_id, kwargs = sys.argv[1], json.loads(sys.argv[2])
start = time.process_time()
import gymnasium as gym
import pettingzoo
import stormgym

game = env_id not in gym.registry
entry = (pettingzoo.aec_registry[env_id] if game else gym.spec(env_id)).entry_point
module, _, name = entry.partition(":")
cls = getattr(import_module(module), name)
imports = time.process_time()
env = cls(**kwargs) if game else gym.make(env_id, **kwargs)
env.reset(seed=0)
print(json.dumps([imports - start, time.process_time() - imports]))
"""
SIDE_BY_SIDE = """
import json, sys, time
from functools import partial

import gymnasium as gym
import stormgym

if __name__ == "__main__":
    env_id, kwargs, n = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    start = time.perf_counter()
    makers = [partial(gym.make, "stormgym:" + env_id, **kwargs)] * n
    envs = gym.vector.AsyncVectorEnv(makers, context=sys.argv[4] or None, shared_memory=False)
    envs.reset(seed=0)
    print(json.dumps([time.perf_counter() - start]))
    envs.close()
"""


def run(code: str, *arguments: str, cache: str) -> list[float]:
    """What a fresh process prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "STORMGYM_CACHE": cache}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text(code, encoding="utf-8")
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(command, check=True, text=True, capture_output=True, env=environment)
    return list(json.loads(done.stdout.splitlines()[-1]))


def first_make(env_id: str, kwargs: dict[str, Any], repeats: int) -> dict[str, float]:
    """CPU seconds: imports, make and reset on an empty and on a filled cache."""
    words = (env_id, json.dumps(kwargs))
    empty, filled = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            empty.append(run(FIRST, *words, cache=cache))
            filled.append(run(FIRST, *words, cache=cache))
    imports = min(part for part, _ in (*empty, *filled))
    return {"imports": imports, "empty": min(part for _, part in empty), "filled": min(part for _, part in filled)}


def side_by_side(env_id: str, kwargs: dict[str, Any], repeats: int, context: str) -> dict[str, float]:
    """Wall-clock seconds of one and of four environments in processes, each on an empty cache."""
    found = {}
    for name, n in (("one", 1), ("four", 4)):
        seconds = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as cache:
                seconds += run(SIDE_BY_SIDE, env_id, json.dumps(kwargs), str(n), context, cache=cache)
        found[name] = min(seconds)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=list(IDS))
    parser.add_argument("--city", default=None, help="of Restoration-v0, instead of the default")
    parser.add_argument(
        "--context", default="", help="how workers are made: fork, forkserver or spawn; left out: Python's"
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    kwargs: dict[str, Any] = {} if options.city is None else {"city": options.city}
    print("| environment | imports | make, empty cache | make, filled cache | one process | four processes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for env_id in options.envs:
        cpu = first_make(env_id, kwargs, options.repeats)
        wall = {} if env_id == "DefenderAttacker-v0" else side_by_side(env_id, kwargs, options.repeats, options.context)
        cells = [f"{value:.2f}" for value in (*cpu.values(), *wall.values())]
        print(f"| {env_id} | {' | '.join(cells)} |" + (" | |" if not wall else ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
