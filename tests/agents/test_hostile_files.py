"""Run folders of strangers: nothing in them runs, and what does not belong there gives one sentence that names it."""

from __future__ import annotations

import inspect
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.numpy import save_file

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.domain import load_entry
from stormgym.agents.learners.settings import MaskableDQNSettings
from stormgym.agents.model_files import write_model
from stormgym.agents.registry import DOMAINS
from stormgym.agents.runs import load_policy
from stormgym.agents.storage.container import HEAD, UnreadableFile
from stormgym.agents.training import command
from stormgym.agents.training.command import Training
from stormgym.agents.training.play import make_training_env
from stormgym.agents.usage import UsageError

CITY = ("--city", "synthetic:7:1", "--option", "predictor=none")
BEST, SCORE = "best/model.safetensors", "best/score.json"
LAST = "checkpoints/512"
ARRAYS = (BEST, f"{LAST}/model.safetensors", f"{LAST}/state.safetensors", f"{LAST}/replay_buffer.safetensors")
READ = (*ARRAYS, SCORE, "settings.json", "progress.csv")
UNREAD = ("versions.json", "evaluation.json")


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def pickled(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def torch_file(marker: Path) -> bytes:
    stream = io.BytesIO()
    torch.save(Payload(marker), stream)
    return stream.getvalue()


def object_array(marker: Path) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, weights=np.array([Payload(marker)], dtype=object))
    return stream.getvalue()


def sb3_zip(marker: Path) -> bytes:
    import base64

    stream = io.BytesIO()
    data = {"policy_class": {":type:": "x", ":serialized:": base64.b64encode(pickled(marker)).decode()}}
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("data", json.dumps(data))
        file.writestr("policy.pth", torch_file(marker))
    return stream.getvalue()


def bomb(marker: Path) -> bytes:
    del marker
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("weights.npy", bytes(8 * 2**20))
    return stream.getvalue()


def promising(marker: Path) -> bytes:
    """Arrays of terabytes, in a file of a few bytes."""
    del marker
    shape = [10**12]
    head = {"w": {"dtype": "F64", "shape": shape, "data_offsets": [0, 8 * 10**12]}, "__metadata__": {HEAD: "{}"}}
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text


FOREIGN: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "torch": torch_file,
    "object array": object_array,
    "sb3 zip": sb3_zip,
    "zip bomb": bomb,
    "promise of terabytes": promising,
    "head of exabytes": lambda marker: (2**63 - 1).to_bytes(8, "little") + b"{}",
    "png": lambda marker: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "text": lambda marker: "a letter to nobody, with an umlaut: ü".encode("latin-1"),
    "empty": lambda marker: b"",
    "nested": lambda marker: b"[" * 200_000,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, begin: Callable[..., Training]) -> Path:
    """A run of maskable-dqn with one checkpoint, whose buffer is not full."""
    changes: dict[str, Any] = {"timesteps": 512, "eval_freq": 256, "eval_episodes": 2, "checkpoint_freq": 512}
    changes["learner"] = asdict(MaskableDQNSettings(learning_starts=64, batch_size=16, gradient_steps=2, width=16))
    training = begin(tmp_path_factory.mktemp("runs"), Console(quiet=True), "maskable-dqn", **changes)
    command.train(training, Console(quiet=True), progress=False)
    return training.run.folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoilt."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A folder that no file may make."""
    yield tmp_path / "was-here"
    assert not (tmp_path / "was-here").exists()


def resumed(run: Path) -> None:
    console = Console(quiet=True)
    training = command.resume(run, 520, console=console)
    command.train(training, console, progress=False)


def both_ways(run: Path) -> str:
    """Open a run to act and to go on; the one sentence that came of it, or nothing."""
    said = []
    for way in (load_policy, resumed):
        try:
            way(run)
        except (ValueError, UsageError, FileNotFoundError) as error:
            said.append(str(error))
    assert all("\n" not in text and len(text) < 800 for text in said), said
    return said[0] if said else ""


def rewrite(file: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change head and arrays of a file."""
    with safe_open(file, "np") as opened:
        head = json.loads(opened.metadata()[HEAD])
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    change(head, arrays)
    save_file(arrays, file, metadata={HEAD: json.dumps(head)})


def test_run__as_it_was_written_is_opened_both_ways(run: Path) -> None:
    assert both_ways(run) == ""
    assert {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()} >= {*READ} - {"evaluation.json"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", READ)
def test_file__of_another_kind_is_one_sentence_that_names_it(name: str, kind: str, run: Path, marker: Path) -> None:
    (run / name).write_bytes(FOREIGN[kind](marker))
    assert str(run / name) in both_ways(run)


@pytest.mark.parametrize("kind", ["pickle", "sb3 zip"])
@pytest.mark.parametrize("name", UNREAD)
def test_file__that_is_not_read_is_not_opened(name: str, kind: str, run: Path, marker: Path) -> None:
    (run / name).write_bytes(FOREIGN[kind](marker))
    assert both_ways(run) == ""


@pytest.mark.parametrize("name", READ)
def test_file__that_is_a_folder_or_a_link_is_one_sentence(name: str, run: Path, tmp_path: Path) -> None:
    file, elsewhere = run / name, tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert f"{file} is a link" in both_ways(run)
    file.unlink()
    file.mkdir()
    assert str(file) in both_ways(run) or str(file.parent) in both_ways(run)
    assert both_ways(run) != ""


@pytest.mark.parametrize("name", ["best", "checkpoints"])
def test_folder__that_is_a_link_is_not_followed(name: str, run: Path, tmp_path: Path) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    assert f"{run / name} is a link" in both_ways(run)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("name", ARRAYS)
def test_file__that_was_cut_off_is_one_sentence(name: str, share: float, run: Path) -> None:
    file = run / name
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert str(file) in both_ways(run)


@pytest.mark.parametrize("name", ARRAYS)
def test_file__of_hidden_size_takes_no_memory(name: str, run: Path) -> None:
    os.truncate(run / name, 2**42)  # terabytes of nothing, in a file with holes
    assert f"{run / name} has 4,398,046,511,104 bytes" in both_ways(run)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("other", ARRAYS[1:])
def test_file__in_the_place_of_another_is_one_sentence(name: str, other: str, run: Path) -> None:
    shutil.copyfile(run / other, run / f"{name}.new")
    os.replace(run / f"{name}.new", run / name)
    said = both_ways(run)
    assert (str(run / name) in said) != (Path(name).name == Path(other).name)


def test_model__of_another_agent_or_environment_is_one_sentence(
    run: Path, tmp_path: Path, begin: Callable[..., Training]
) -> None:
    other = begin(tmp_path, Console(quiet=True), "dqn")
    learner, settings = other.learner, other.run.settings
    write_model(learner, other.model, run / BEST, settings.learner, settings.env_id)
    assert f"{run / BEST} holds a model of 'dqn', and the run is of 'maskable-dqn'" in both_ways(run)
    rewrite(run / BEST, lambda head, arrays: head.update(agent="maskable-dqn", env_id="Undergrounding-v0"))
    assert f"{run / BEST} holds a model for 'Undergrounding-v0'" in both_ways(run)


def set_in(*keys: Any, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(head: dict[str, Any], arrays: dict[str, Any]) -> None:
        del arrays
        for key in keys[:-1]:
            head = head[key]
        head[keys[-1]] = value

    return change


def without(name: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda head, arrays: arrays.__delitem__(next(key for key in arrays if key.startswith(name)))


def instead(name: str, make: Callable[[Any], Any]) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(head: dict[str, Any], arrays: dict[str, Any]) -> None:
        key = next(key for key in arrays if key.startswith(name))
        arrays[key] = make(arrays[key])

    return change


SPACE = ("observation_space", "spaces", 0, 1)
MODELS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "version": set_in("version", value=99),
    "width of a planet": set_in("settings", "width", value=10**12),
    "a little wider": set_in("settings", "width", value=17),
    "another type": set_in("settings", "width", value="16"),
    "unknown setting": set_in("settings", "evil", value=1),
    "settings that are none": set_in("settings", value=[1]),
    "environments": set_in("n_envs", value=10**15),
    "space of a galaxy": set_in(*SPACE, "shape", value=[10**9, 10**9]),
    "space of a kind": set_in(*SPACE, "kind", value="os.system"),
    "space of objects": set_in(*SPACE, value={"kind": "Box", "shape": [1], "dtype": "object", "low": 0, "high": 1}),
    "many actions": set_in("action_space", "n", value=10**15),
    "extractor": set_in("extractor", value="os:system"),
    "counter": set_in("counters", "num_timesteps", value="many"),
    "counter beyond": set_in("counters", "num_timesteps", value=10**400),
    "no counters": set_in("counters", value={}),
    "multiplier": set_in("multiplier", "method", value="eval"),
    "multiplier limit": set_in("multiplier", "limit", value=-1.0),
    "an array less": without("policy/"),
    "a moment less": without("policy.optimizer/0.exp_avg"),
    "an array more": lambda head, arrays: arrays.update({"policy/evil": np.zeros(3)}),
    "a parameter more": lambda head, arrays: arrays.update({"policy.optimizer/999.step": np.zeros((), np.float32)}),
    "other shape": instead("policy/", lambda array: array[..., :-1]),
    "other numbers": instead("policy/", lambda array: array.astype(np.float64)),
    "not numbers": instead("policy/", lambda array: array * np.float32(np.nan)),
    "step size": instead("policy.optimizer/lr", lambda array: array * np.nan),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", MODELS)
@pytest.mark.parametrize("name", [BEST, f"{LAST}/model.safetensors"])
def test_model__that_says_something_else_is_one_sentence(name: str, change: str, run: Path) -> None:
    rewrite(run / name, MODELS[change])
    assert str(run / name) in both_ways(run)


STATES: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "step": set_in("num_timesteps", value=3),
    "no environments' log": set_in("env", "env", value={}),
    "long ago": instead("env/env/lengths", lambda array: array + 10**9),
    "before the start": instead("env/env/lengths", lambda array: array - 10**9),
    "actions of nowhere": instead("env/env/actions", lambda array: array + 10**6),
    "another generator": set_in("env", "env", "generators", 0, 0, "bit_generator", value="Evil"),
    "another state": set_in("env", "env", "generators", 0, 0, "state", "state", value=1),
    "a state of nothing": set_in("env", "env", "generators", 0, 0, "state", value="all"),
    "other observation": instead("observation/crew", lambda array: array + 1),
    "observation of another kind": instead("observation/crew", lambda array: array.astype(np.float64)),
    "sums": instead("wrapper/cost", lambda array: array[:-1]),
    "no sums": set_in("wrapper", value=None),
    "random words": instead("random/python/words", lambda array: array[:5]),
    "random tensor": instead("random/torch", lambda array: array[:5]),
    "random kind": set_in("random", "numpy", "kind", value="Evil"),
    "episodes": set_in("episodes", value=[{"r": "much"}]),
    "episodes of nothing": set_in("episodes", value=7),
    "progress": set_in("progress", value={"evaluation": {"last_step": "x", "best_rank": None}, "log": {}}),
    "rank": set_in("progress", "evaluation", "best_rank", value=[1.0]),
    "log": set_in("progress", "log", value=["train/loss"]),
}


@pytest.mark.parametrize("change", STATES)
def test_state__that_says_something_else_is_one_sentence(change: str, run: Path) -> None:
    rewrite(run / LAST / "state.safetensors", STATES[change])
    assert str(run / LAST / "state.safetensors") in both_ways(run)


BUFFERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "row beyond": set_in("state", "pos", value=10**9),
    "row of a word": set_in("state", "pos", value="1"),
    "full of nothing": set_in("state", "full", value=True),
    "price": set_in("state", "price", value="dear"),
    "actions beyond": instead("state/rows/actions", lambda array: array + 100),
    "other shape": instead("state/rows/rewards", lambda array: array[:, :-1]),
    "other numbers": instead("state/rows/rewards", lambda array: array.astype(np.float64)),
    "a part less": lambda head, arrays: head["state"]["rows"].pop("rewards"),
    "no rows": set_in("state", value={}),
}


@pytest.mark.parametrize("change", BUFFERS)
def test_buffer__that_says_something_else_is_one_sentence(change: str, run: Path) -> None:
    rewrite(run / LAST / "replay_buffer.safetensors", BUFFERS[change])
    assert str(run / LAST / "replay_buffer.safetensors") in both_ways(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "os.system"}, "unknown agent"),
        ({"agent": "nearest"}, "needs no training"),
        ({"agent": ["ppo"]}, "agent must be str"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"num_envs": 10**15}, "num-envs must be at most"),
        ({"num_envs": 16}, "its model learns on 8 environments, not 16"),
        ({"timesteps": "1e9"}, "timesteps must be int"),
        ({"eval_freq": 0}, "eval-freq must be at least 1"),
        ({"device": "ftp://evil"}, "device must be cpu, cuda or auto"),
        ({"evil": 1}, "no field 'evil'"),
        ({"env_kwargs": {"wrappers": ["os:system"]}}, "takes no argument 'wrappers'"),
        ({"env_kwargs": {"city": "synthetic:1000000000:1"}}, "n_regions must be from 3 to 200"),
        ({"env_kwargs": {"city": "synthetic:8:1", "predictor": "none"}}, "another observation_space"),
        ({"env_kwargs": {"city": "/dev/zero"}}, "city"),
        ({"env_kwargs": {"city": {"__class__": "x"}}}, "city"),
        ({"learner": {"width": 10**12}}, "does not fit|cannot be read"),
        ({"learner": {"learning_rate": "eval"}}, "learning_rate must be float"),
        ({"learner": {"width": 16}}, "trained with other settings than the run's"),
    ],
    ids=str,
)
def test_settings__that_say_something_else_are_one_sentence(change: dict[str, Any], message: str, run: Path) -> None:
    file = run / "settings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UsageError, match=message) as told:
        resumed(run)
    assert "\n" not in str(told.value)


def test_settings__that_ask_for_a_buffer_beyond_all_memory_are_one_sentence(run: Path) -> None:
    file = run / "settings.json"
    told = json.loads(file.read_text())
    told["learner"]["buffer_size"] = 10**16
    file.write_text(json.dumps(told))
    rewrite(run / LAST / "model.safetensors", set_in("settings", "buffer_size", value=10**16))
    with pytest.raises(UsageError, match=r"settings\.json cannot be read as .*memory"):
        resumed(run)


@pytest.mark.parametrize("env_id", ["evil_module:Restoration-v0", "evil_module:Evil-v0"])
def test_settings__import_no_module(
    env_id: str, run: Path, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = run / "settings.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "env_id": env_id}))
    said = both_ways(run)
    if env_id.endswith("Restoration-v0"):
        assert said == ""  # its own environment, whatever the file puts before it
    else:
        with pytest.raises(UsageError, match=r"a module that a file names is not imported.*--env evil_module:Evil-v0"):
            resumed(run)
        assert "holds a model for 'Restoration-v0', and the run is of 'Evil-v0'" in said


@pytest.mark.parametrize("env_id", sorted(DOMAINS))
def test_settings__whose_arguments_name_files_reach_no_code(env_id: str, tmp_path: Path, marker: Path) -> None:
    files = ("regions.csv", "log.csv", "city.json", "jobs.csv", "profile.json", "counties.csv", "loads.csv", "a.dat")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (*files, "storms.npz", "forecaster.npz", "model.pkl"):
        (folder / name).write_bytes(pickled(marker))
    (tmp_path / "forecaster.npz").write_bytes(object_array(marker))
    parameters = inspect.signature(load_entry(str(gym.spec(env_id).entry_point))).parameters.values()
    named = [p.name for p in parameters if isinstance(p.default, str | type(None)) and p.name != "render_mode"]
    for name in named:
        for value in (str(folder), str(folder / "model.pkl"), str(tmp_path / "forecaster.npz"), "os:system"):
            with suppress(ValueError, TypeError, KeyError, OSError):  # one that is not read here changes nothing
                make_training_env(env_id, 1, {**DOMAINS[env_id].small, name: value}).close()


@pytest.mark.parametrize("kind", ["pickle", "promise of terabytes"])
def test_command_lines__print_the_sentence_and_no_traceback(
    kind: str,
    run: Path,
    marker: Path,
    evaluate_main: Callable[..., int],
    train_main: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (BEST, f"{LAST}/model.safetensors"):
        (run / name).write_bytes(FOREIGN[kind](marker))
    words = ["--agents", str(run), *CITY]
    assert evaluate_main([*words, "--episodes", "2"]) == 2
    assert evaluate_main([*words, "--plan"]) == 2
    assert train_main(["--resume", str(run), "--timesteps", "600"]) == 2
    new = ["--timesteps", "64", *CITY, "--runs-dir", str(run / "new"), "--agent", "ppo"]
    assert train_main([*new, "--compare", str(run)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if str(run) in line]
    assert len(lines) == 4
    assert all(line.startswith(("evaluate.py: ", "train.py: ")) and ".safetensors" in line for line in lines)


def test_error__is_a_value_error_that_callers_can_tell() -> None:
    assert issubclass(UnreadableFile, ValueError)
