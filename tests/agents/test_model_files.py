"""Files of models: every learner's comes back as it was, without environments, and acts as it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.remembered import RememberedEnvs
from stormgym.agents.model_files import read_to_act, read_to_continue, write_model
from stormgym.agents.registry import DOMAINS, agent_spec, domain_of
from stormgym.agents.storage.container import UnreadableFile, open_file
from stormgym.agents.storage.tensors import arrays_of, parts_of
from stormgym.agents.training.play import make_training_env

STEPS = 96
SMALL_LIMITS: dict[str, Any] = {**DOMAINS["Restoration-v0"].small, "cost_limit": (2.0, 20.0), "shock": "group"}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    *((spec.name, "Restoration-v0", {}) for spec in DOMAINS["Restoration-v0"].agents if spec.trainable),
    ("sta-sac", "Restoration-v0", SMALL_LIMITS),
    ("sta-sac", "Restoration-v0", {"city": "synthetic:4-7:1:3", "predictor": "none"}),
    ("sta-ppo", "Undergrounding-v0", {}),
    ("ppo", "GeneratorDispatch-v0", {}),
    ("ppo", "Portfolio-v0", {}),
    ("sac", "ShortestPath-v0", {}),
]
QUICK: dict[str, Any] = {
    "n_steps": 8,
    "batch_size": 16,
    "n_epochs": 1,
    "width": 16,
    "learning_starts": 32,
    "gradient_steps": 1,
    "buffer_size": 400,
    "n_layers": 1,
    "teacher": "nearest",
}


def made(agent: str, env_id: str, changes: dict[str, Any]) -> tuple[Learner, Any, Any]:
    """A learner, its settings and a model that has learnt a little."""
    learner: Learner = agent_spec(agent).load()
    known = asdict(learner.settings())
    settings = learner.settings(**{k: v for k, v in QUICK.items() if known.get(k, "none") != "none"})
    venv = learner.wrap(make_training_env(env_id, 6, changes or dict(DOMAINS[env_id].small)), settings)
    model: Any = learner.build(venv, settings, seed=1, extractor=domain_of(env_id).extractor)
    model.learn(STEPS, callback=learner.callbacks(venv, settings) or None)
    return learner, settings, model


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "env_id", "changes"), CASES, ids=lambda value: str(value)[:30])
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_model__comes_back_without_environments_and_acts_as_it_did(
    agent: str, env_id: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    learner, settings, model = made(agent, env_id, changes)
    file = write_model(learner, model, tmp_path / "model.safetensors", asdict(settings), f"stormgym:{env_id}")
    before = torch.get_rng_state(), np.random.get_state()[2]
    again: Any = read_to_act(learner, file, env_id=env_id)
    assert torch.equal(before[0], torch.get_rng_state())  # reading draws nothing
    assert before[1] == np.random.get_state()[2]
    one, two = arrays_of(parts_of(model)), arrays_of(parts_of(again))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], name)
    assert again.get_env() is None
    assert again.num_timesteps == model.num_timesteps
    assert again.observation_space == model.observation_space
    assert again.acting_network[1] == model.acting_network[1] if hasattr(model, "acting_network") else True
    observation = model.get_env().reset()
    for deterministic in (True, False):
        actions = []
        for each in (model, again):
            torch.manual_seed(3)
            np.random.seed(3)
            actions.append(learner.policy(each).predict(observation, deterministic=deterministic)[0])
        np.testing.assert_array_equal(*actions)
    again_file = write_model(learner, model, tmp_path / "again.safetensors", asdict(settings), env_id)
    assert again_file.read_bytes() == file.read_bytes()
    if hasattr(model, "multiplier_state"):
        assert again.multiplier_state["lambda"]["raw"] == model.multiplier_state["lambda"]["raw"]


def test_model__is_continued_only_on_environments_like_its_own(tmp_path: Path) -> None:
    learner, settings, model = made("ppo", "Restoration-v0", {})
    file = write_model(learner, model, tmp_path / "model.safetensors", asdict(settings), "Restoration-v0")
    for n, kwargs, message in (
        (6, {"city": "synthetic:9:1", "predictor": "none"}, "another observation_space"),
        (7, dict(DOMAINS["Restoration-v0"].small), "learns on 6 environments, not 7"),
        (6, {**DOMAINS["Restoration-v0"].small, "cost_limit": 1.0}, "its multiplier is .*, the run's is"),
    ):
        venv = learner.wrap(make_training_env("Restoration-v0", n, kwargs), settings)
        fresh = learner.build(venv, settings, seed=0, extractor=domain_of("Restoration-v0").extractor)
        with pytest.raises(UnreadableFile, match=message):
            read_to_continue(learner, fresh, file, "Restoration-v0")


def test_model__without_environments_is_not_saved(tmp_path: Path) -> None:
    learner, settings, model = made("ppo", "Restoration-v0", {})
    file = write_model(learner, model, tmp_path / "model.safetensors", asdict(settings), "Restoration-v0")
    with pytest.raises(ValueError, match="a model without environments cannot be saved"):
        write_model(learner, read_to_act(learner, file), file, asdict(settings), "Restoration-v0")


def test_head__is_json_that_a_reader_understands(tmp_path: Path) -> None:
    learner, settings, model = made("sac", "ShortestPath-v0", {})
    head = open_file(write_model(learner, model, tmp_path / "m", asdict(settings), "ShortestPath-v0"), "model").head
    assert (head["agent"], head["env_id"], head["n_envs"]) == ("sac", "ShortestPath-v0", 6)
    assert head["settings"]["buffer_size"] == 400
    assert set(head["extractor_arguments"]) == {"mean", "sd"}
    assert np.shape(head["attributes"]["usual_action"]) == (2, model.action_space.shape[0])


def test_remembered_envs__tell_what_they_know_and_cannot_be_played() -> None:
    space: Callable[[], Any] = made("ppo", "Portfolio-v0", {})[2].get_env
    venv = RememberedEnvs(space().observation_space, space().action_space, {"usual_action": [1]}, {})
    assert venv.get_attr("usual_action") == [[1]]
    assert not venv.has_attr("city")
    for play in (venv.reset, lambda: venv.step(np.zeros(1))):
        with pytest.raises(RuntimeError, match="cannot be played"):
            play()
