"""Policies of one's own, by where their code is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from sb3_contrib import MaskablePPO

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents

ROOT = Path(__file__).parents[2]
CODE = '''
from stormgym.agents.lineup import make_policy
from stormgym.agents.rules import RulePolicy

class Widest(RulePolicy):
    """Goes where the forecast is least certain.

    And more of it.
    """

    def key(self, obs):
        return obs["lower_h"] - obs["upper_h"]

class Near:
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return (observation["distance_km"] + 1e9 * (observation["action_mask"] < 1)).argmin(axis=-1), state

def of(env):
    return make_policy("nearest", env)

instance = Near()
number = 3
'''
ENV_ID = "Restoration-v0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_own_policy__plays_beside_others_however_it_is_made(file: Path) -> None:
    items = ["nearest", f"{file}:Widest", f"class={file}:Near", f"made={file}:of", f"one={file}:instance"]
    entrants = resolve_agents(items, ENV_ID)
    assert list(entrants) == ["nearest", "Widest", "class", "made", "one"]
    assert entrants["Widest"].summary == f"{file}:Widest: Goes where the forecast is least certain."
    played = evaluate(ENV_ID, entrants, episodes=4, batch_size=2, env_kwargs={"city": "synthetic:6:1"})
    outages = {name: agent.metrics["mean_outage_h"].tolist() for name, agent in played.agents.items()}
    assert outages["class"] == outages["made"] == outages["one"] == outages["nearest"]
    assert outages["Widest"] != outages["nearest"]


def test_own_policy__of_a_module_on_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(file.parent))
    assert list(resolve_agents("mine:Widest", ENV_ID)) == ["Widest"]


@pytest.mark.parametrize(
    ("item", "error", "said"),
    [
        ("{file}:Wides", ValueError, r"nothing in .*mine\.py is named 'Wides'; policies there: Widest, Near"),
        ("{folder}/absent.py:Widest", FileNotFoundError, r"there is no file .*absent\.py'; name one as FILE\.py:NAME"),
        ("{folder}/bad.py:Widest", ValueError, r"bad\.py cannot be imported: ZeroDivisionError: division by zero"),
        ("nomodule:Widest", KeyError, r"unknown agent 'nomodule:Widest'.*or name a run folder, or FILE\.py:CLASS"),
    ],
)
def test_own_policy__what_cannot_be_had_is_told_at_once(
    item: str, error: Any, said: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(error, match=said):
        resolve_agents(item.format(file=file, folder=tmp_path), ENV_ID)


def test_own_policy__must_predict_and_an_error_on_the_way_names_it(file: Path) -> None:
    settings: dict[str, Any] = {"episodes": 2, "env_kwargs": {"city": "synthetic:6:1"}}
    with pytest.raises(ValueError, match=r":number gives 'int', which has no predict"):
        evaluate(ENV_ID, resolve_agents(f"{file}:number", ENV_ID), **settings)
    file.with_name("late.py").write_text(CODE.replace('obs["lower_h"] -', 'obs["lower"] -'))
    with pytest.raises(KeyError, match="lower") as raised:
        evaluate(ENV_ID, resolve_agents(f"bad={file.with_name('late.py')}:Widest", ENV_ID), **settings)
    assert raised.value.__notes__ == [f"while agent 'bad' played {ENV_ID}, scenarios of seeds {_seeds(raised.value)}"]


@pytest.mark.parametrize("label", ["", "mine="])
def test_own_policy__a_file_that_is_no_agent_is_told_from_one_that_is_absent(label: str, tmp_path: Path) -> None:
    model, code = tmp_path / "model.zip", tmp_path / "mine.py"
    model.write_bytes(b"PK")
    code.write_text(CODE)
    with pytest.raises(
        ValueError, match=r"model\.zip' is a file, and .* for agents; .*class of three lines, FILE\.py:"
    ):
        resolve_agents(f"{label}{model}", ENV_ID)
    with pytest.raises(ValueError, match=r"mine\.py' is a file, .*; name the class in it: .*mine\.py:CLASS"):
        resolve_agents(f"{label}{code}", ENV_ID)
    with pytest.raises(FileNotFoundError, match=r"run folder .*absent\.zip' does not exist"):
        resolve_agents(f"{label}{tmp_path / 'absent.zip'}", ENV_ID)


def test_own_policy__the_class_of_the_docs_brings_a_model_of_stable_baselines3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", (ROOT / "docs/your_own.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "MaskablePPO.load" in block)
    kwargs = {"city": "synthetic:6:1", "predictor": "none"}
    env = gym.make(f"stormgym:{ENV_ID}", **kwargs)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu").save("model.zip")
    Path("mine.py").write_text(code)
    entrants = resolve_agents("nearest,mine=mine.py:Mine", ENV_ID)
    assert [entrant.learned for entrant in entrants.values()] == [False, True]
    played = evaluate(ENV_ID, entrants, episodes=4, env_kwargs=kwargs)
    assert (played.agents["mine"].metrics["wasted_trips"] == 0).all()
    assert summarise(played)["best_heuristic"] == "nearest"


def _seeds(error: BaseException) -> str:
    return error.__notes__[0].rpartition("seeds ")[2]
