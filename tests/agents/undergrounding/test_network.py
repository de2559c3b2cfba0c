"""Learning what to bury: inputs without units, regions in any order, and a run from the command line to a score."""

from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.learners.sb3 import maskable_ppo, ppo, return_unit
from stormgym.agents.learners.settings import MaskablePPOSettings, STAPPOSettings
from stormgym.agents.undergrounding.domain import DOMAIN
from stormgym.agents.undergrounding.network import SeasonExtractor, is_undergrounding, season_inputs, sta_ppo
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.undergrounding.core import OF_REGIONS, STATE

ENV_ID = "Undergrounding-v0"


def some_observations(n: int = 6) -> tuple[gym.spaces.Dict, dict[str, torch.Tensor]]:
    env = gym.make_vec(ENV_ID, num_envs=n, vectorization_mode="vector_entry_point")
    obs, _ = env.reset(seed=0)
    obs, *_ = env.step(np.arange(n))
    space = env.single_observation_space
    assert isinstance(space, gym.spaces.Dict)
    return space, {name: torch.as_tensor(values, dtype=torch.float32) for name, values in obs.items()}


def extractor(space: gym.spaces.Dict, attention: bool) -> SeasonExtractor:
    torch.manual_seed(0)
    return SeasonExtractor(space, width=16, attention=attention)


@pytest.mark.parametrize("attention", [False, True])
def test_extractor__has_no_units(attention: bool) -> None:
    space, obs = some_observations()
    net = extractor(space, attention)
    before = net(obs)
    assert before.shape == (6, net.features_dim)
    assert torch.isfinite(before).all()
    state = obs["state"].clone()
    state[:, [STATE.index("budget"), STATE.index("budget_left")]] *= 7.0
    state[:, [STATE.index(name) for name in ("total_lower", "total_upper", "cost_limit")]] *= 24.0
    other = {name: 24.0 * obs[name] for name in ("mean", "lower", "upper")}
    other |= {"population": 5.0 * obs["population"], "protect_cost": 7.0 * obs["protect_cost"], "state": state}
    torch.testing.assert_close(net({**obs, **other}), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [False, True])
def test_extractor__regions_in_another_order_are_encoded_the_same(attention: bool) -> None:
    space, obs = some_observations()
    net = extractor(space, attention)
    before = net(obs).unflatten(1, (-1, 16))  # K regions, the stop, the summary
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    moved = {name: obs[name][:, order] for name in OF_REGIONS}
    moved["action_mask"] = torch.cat([obs["action_mask"][:, order], obs["action_mask"][:, 10:]], dim=1)
    after = net({**obs, **moved}).unflatten(1, (-1, 16))
    torch.testing.assert_close(after[:, :10], before[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after[:, 10:], before[:, 10:], rtol=1e-4, atol=1e-5)


def test_inputs__are_of_moderate_size_and_see_what_is_buried() -> None:
    _, obs = some_observations()
    x = season_inputs(obs)
    assert max(float(part.abs().max()) for part in (x.tokens, x.moving, x.overall)) < 30
    assert (x.moving[..., 0].sum(1) == 1).all()  # each season has buried one
    assert x.is_open[:, -1].all()
    assert not torch.equal(x.overall[0], season_inputs({**obs, "protected": torch.zeros(6, 10)}).overall[0])
    assert is_undergrounding(some_observations()[0])
    assert not is_undergrounding(gym.make("Restoration-v0", city="synthetic:8:1").observation_space)


def test_learners__take_the_network_that_they_name() -> None:
    venv = make_vec_env(ENV_ID, 2, seed=0)
    for learner, settings, attention in (
        (maskable_ppo, MaskablePPOSettings(), False),
        (sta_ppo, STAPPOSettings(), True),
    ):
        wrapped = learner.wrap(venv, settings)
        model = learner.build(wrapped, settings, seed=0, extractor=DOMAIN.extractor)
        assert model.policy.features_extractor.attention is attention  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="sta-ppo chooses regions to bury"):
        sta_ppo.check(make_vec_env("Restoration-v0", 2, seed=0, city="synthetic:8:1"))
    assert 1.0 < return_unit(venv) < 3.0  # half of the 3.3 h that a season costs
    ppo.check(venv)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["maskable-ppo", "sta-ppo", "ppo"])
def test_run__from_the_command_line_to_a_score(
    train_main: Callable[..., int], tmp_path: Path, agent: str, capsys
) -> None:
    words = ["--env", ENV_ID, "--agent", agent, "--timesteps", "1024", "--num-envs", "16", "--eval-episodes", "8"]
    words += ["--final-episodes", "8", "--compare", "bury-nothing", "--runs-dir", str(tmp_path), "--profile"]
    assert train_main([*words, "synthetic:5:1", "--eval-freq", "512"]) == 0
    out = capsys.readouterr().out
    assert agent in out
    assert "bury-nothing" in out
    assert list(tmp_path.glob(f"{ENV_ID}/{agent}/0-*/evaluation.json"))
