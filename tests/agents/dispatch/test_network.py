"""Learning generator dispatch: inputs without units, and a run from the command line to a score."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.dispatch.domain import DOMAIN
from stormgym.agents.dispatch.network import DispatchFeatures, is_dispatch
from stormgym.agents.learners.sb3 import maskable_ppo, ppo, return_unit
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.dispatch.core import STATE

ENV_ID = "GeneratorDispatch-v0"


def some_observations(n: int = 6) -> tuple[DispatchFeatures, dict[str, torch.Tensor]]:
    env = gym.make_vec(ENV_ID, num_envs=n, vectorization_mode="vector_entry_point", profile="B")
    obs, _ = env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        obs, *_ = env.step(rng.integers(0, 3, (n, 3)))
    tensors = {name: torch.as_tensor(values, dtype=torch.float32) for name, values in obs.items()}
    return DispatchFeatures(env.single_observation_space), tensors


def test_features__have_no_units() -> None:
    features, obs = some_observations()
    before = features(obs)
    assert before.shape == (6, features.features_dim)
    assert torch.isfinite(before).all()
    assert before.abs().max() < 30
    people = {name: 7.0 * obs[name] for name in ("out", "population", "forecast", "lower", "upper")}
    state = obs["state"].clone()
    state[:, STATE.index("customers_per_generator")] *= 7.0
    state[:, [STATE.index("transport_cost"), STATE.index("operating_cost")]] *= 7.0 * 3.0
    state[:, STATE.index("interruption_cost")] *= 3.0  # another currency
    state[:, [STATE.index("gap"), STATE.index("cost_limit")]] *= 5.0
    torch.testing.assert_close(features({**obs, **people, "state": state}), before)


def test_features__see_what_changes() -> None:
    features, obs = some_observations()
    before = features(obs)
    for name in ("stock", "out", "unserved", "temperature_c", "wind_ms", "humidity", "onset", "forecast"):
        assert not torch.equal(features({**obs, name: obs[name] + 1.0}), before), name
    assert is_dispatch(gym.make(ENV_ID).observation_space)
    assert not is_dispatch(gym.make("CartPole-v1").observation_space)


@pytest.mark.parametrize("learner", [ppo, maskable_ppo], ids=lambda learner: learner.name)
def test_learner__begins_on_returns_of_the_order_of_ten(learner: object) -> None:
    venv = make_vec_env(ENV_ID, 4, profile="A")
    assert 100 < return_unit(venv) < 5_000
    settings = replace(learner.settings(), n_steps=15, batch_size=20)  # type: ignore[attr-defined]
    learner.check(venv)  # type: ignore[attr-defined]
    model = learner.build(learner.wrap(venv, settings), settings, seed=0, extractor=DOMAIN.extractor)  # type: ignore[attr-defined]
    model.learn(60)
    assert isinstance(model.policy.features_extractor, DispatchFeatures)
    assert 5 < -np.mean([e["p"] for e in model.ep_info_buffer]) < 200


def test_training__from_the_command_line_to_a_score(
    train_main: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--env", ENV_ID, "--profile", "A", "--agent", "ppo", "--timesteps", "960")
    batches = ("--num-envs", "8", "--ppo.n-steps", "15", "--ppo.batch-size", "60")
    rest = ("--eval-episodes", "8", "--final-episodes", "8", "--compare", "do-nothing", "--no-progress")
    assert train_main((*small, *batches, *rest, "--runs-dir", str(tmp_path))) == 0
    out, err = capsys.readouterr()
    assert "total cost" in err
    assert "do-nothing" in out
    assert "--env GeneratorDispatch-v0 --profile A --agents" in out
    (folder,) = (tmp_path / ENV_ID / "ppo").iterdir()
    assert (folder / "best" / "model.safetensors").is_file()
    assert (folder / "evaluation.json").is_file()
