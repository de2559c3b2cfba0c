"""Trainings that die at the worst moments, or are begun twice: the same command goes on to what would have been."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes")

ROOT = Path(__file__).resolve().parents[3]
DRIVER = textwrap.dedent(
    '''
    """Forks small trainings: one unbroken, one for each way to die and one that goes on, then three at once."""
    import os, signal, sys, time
    from pathlib import Path

    import torch._dynamo  # once here, not in every process, whose first optimiser would load it

    import stormgym
    from stormgym.agents import files
    from stormgym.agents.training import callbacks, checkpoints, cli, command, logs, progress

    place = Path(sys.argv[1])
    WORDS = ["--agent", "maskable-ppo", "--city", "synthetic:6:1", "--predictor", "none", "--num-envs", "8",
             "--timesteps", "384", "--eval-freq", "256", "--checkpoint-freq", "128", "--eval-episodes", "2",
             "--maskable-ppo.n-steps", "16", "--maskable-ppo.batch-size", "64", "--maskable-ppo.n-epochs", "1",
             "--maskable-ppo.width", "8", "--seed", "5"]
    WITH_TABLE = ("unbroken", "in_the_final_table", "thrice")
    callbacks.EvaluationCallback._rank = lambda self, score: (0.0, float(self.num_timesteps))  # each is the best so far

    def table_of(name):
        return ["--final-episodes", "2" if name in WITH_TABLE else "0", "--compare", "none", "--no-progress"]

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    def between_steps():
        step = progress.ProgressBar._on_step
        def count(self):
            return die() if self.num_timesteps == 200 else step(self)
        progress.ProgressBar._on_step = count

    def in_a_checkpoint():
        write = checkpoints.write_file
        def half(file, kind, state):
            write(file, kind, state)
            if state["num_timesteps"] == 256:
                os.truncate(file, 100)
                die()
        checkpoints.write_file = half

    def between_two_best_models():
        replace = os.replace
        def once(source, target):
            if Path(target).name == "best" and list(Path(target).parent.glob(".old-*")):
                die()
            replace(source, target)
        os.replace = once

    def in_a_row_of_the_log():
        def half(self, values, excluded, step=0):
            if step == 256:
                with self.file.open("a") as lines:
                    lines.write("256,1.23")
                die()
            write(self, values, excluded, step)
        write, logs.CsvLog.write = logs.CsvLog.write, half

    def in_the_final_table():
        command.summarise = die

    WAYS = [between_steps, in_a_checkpoint, between_two_best_models, in_a_row_of_the_log, in_the_final_table]

    def child(do, out):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for stream in (1, 2):
                    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
                code = do()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return pid

    def ended(pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def run_of(name):
        (file,) = (place / name).rglob("settings.json")
        return str(file.parent)

    def train(name, way=None):
        def do():
            if way is not None:
                way()
            return cli.main([*WORDS, *table_of(name), "--runs-dir", str(place / name)])
        return child(do, place / f"{name}.log")

    def resume(name, out=None, slowly=False):
        def do():
            if slowly:
                wait = progress.ProgressBar._on_step
                progress.ProgressBar._on_step = lambda self: (time.sleep(0.05), wait(self))[1]
            return cli.main(["--resume", run_of(name), *table_of(name)])
        return child(do, place / f"{out or name}.log")

    begun = time.time()
    def tell(*words):
        print(*words)
        print(words[0], round(time.time() - begun, 1), file=sys.stderr)

    tell("unbroken", ended(train("unbroken")))
    for way in WAYS:
        name = way.__name__
        tell(name, ended(train(name, way)), ended(resume(name)))
    print("thrice", ended(train("thrice", between_steps)), *[
        ended(pid) for pid in [resume("thrice", f"thrice-{i}", slowly=True) for i in range(3)]
    ])
    '''
)
WAYS = re.findall(r"^def (\w+)\(\):\n", DRIVER, re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the trainings; what each process ended with is in `codes`."""
    folder = tmp_path_factory.mktemp("killed")
    with (folder / "codes").open("w") as codes, (folder / "driver.log").open("w") as log:
        command = [sys.executable, "-W", "default", "-c", DRIVER, str(folder)]
        assert subprocess.run(command, cwd=ROOT, stdout=codes, stderr=log, timeout=600).returncode == 0
    return folder


def codes_of(place: Path, name: str) -> list[int]:
    lines = (line.split() for line in (place / "codes").read_text().splitlines())
    return next([int(code) for code in codes] for other, *codes in lines if other == name)


def run_of(place: Path, name: str) -> Path:
    (file,) = (place / name).rglob("settings.json")
    return file.parent


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "progress.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    clocks = ("time/time_elapsed", "time/fps", "time/iterations")
    return [{key: value for key, value in row.items() if key not in clocks} for row in rows]


def table_of(run: Path) -> Any:
    table = json.loads((run / "evaluation.json").read_text())
    (agent,) = table["agents"].values()
    return table["run"], agent["episodes"], agent["gap_h_ci"]


def assert_is_the_unbroken_run(place: Path, name: str) -> None:
    run, unbroken = run_of(place, name), run_of(place, "unbroken")
    for part in ("checkpoints/384/model", "checkpoints/256/model", "best/model"):
        first, second = (load_file(folder / f"{part}.safetensors") for folder in (unbroken, run))
        assert first.keys() == second.keys()
        for key, array in first.items():
            np.testing.assert_array_equal(array, second[key], key)
    assert (run / "best" / "score.json").read_text() == (unbroken / "best" / "score.json").read_text()
    if name in ("in_the_final_table", "thrice"):
        assert table_of(run) == table_of(unbroken)
    assert rows_of(run) == rows_of(unbroken)
    known = {"best", "checkpoints", "settings.json", "versions.json", "progress.csv", "evaluation.json"}
    left = {p.name for p in run.iterdir() if not p.name.startswith("events.out")} - known
    assert not left  # neither a lock nor half a file


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed__and_resumed_is_the_run_that_was_never_killed(place: Path, way: str) -> None:
    assert codes_of(place, way) == [-9, 0]
    assert_is_the_unbroken_run(place, way)
    text = (place / f"{way}.log").read_text()
    assert "Traceback" not in text
    assert ("its last line was cut off while it was written" in text) == (way == "in_a_row_of_the_log")
    assert ("its final table is missing" in text) == (way == "in_the_final_table")


def test_resumed__three_times_at_once_is_trained_by_one_and_the_others_say_by_whom(place: Path) -> None:
    killed, *codes = codes_of(place, "thrice")
    assert killed == -9
    assert sorted(codes) == [0, 2, 2]
    for i, code in enumerate(codes):
        text = (place / f"thrice-{i}.log").read_text()
        assert (code == 2) == (re.search(r"is being trained by process \d+ on \S+; wait until", text) is not None), text
        assert "Traceback" not in text
    assert_is_the_unbroken_run(place, "thrice")
