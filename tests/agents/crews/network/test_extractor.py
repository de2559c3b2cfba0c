"""Features for Stable-Baselines3: a head over jobs and waiting that follows relabelled jobs, and learns a little."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.crews.network.extractor import JobExtractor
from stormgym.agents.learners.sb3 import maskable_ppo
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.crews.layout import JOB_COLUMNS

ID = "CrewDispatch-v0"
SMALL = {"city": "synthetic:8:1", "n_crews": 2, "predictor": "none"}


def test_features__follow_relabelled_jobs_and_keep_waiting_and_the_summary():
    env = gym.make_vec(ID, 2, vectorization_mode="vector_entry_point", **SMALL)
    obs, _ = env.reset(seed=0)
    extractor = JobExtractor(env.single_observation_space, width=6)
    jobs = np.random.default_rng(1).permutation(8)
    moved = {name: obs[name][:, jobs] if name in JOB_COLUMNS else obs[name] for name in obs}
    moved["action_mask"] = obs["action_mask"][:, [*jobs, 8]]
    with torch.no_grad():
        plain, other = (
            extractor({k: torch.tensor(v, dtype=torch.float32) for k, v in o.items()}).unflatten(1, (-1, 6))
            for o in (obs, moved)
        )
    np.testing.assert_allclose(other[:, :8], plain[:, jobs], atol=1e-5)
    np.testing.assert_allclose(other[:, 8:], plain[:, 8:], atol=1e-5)


@pytest.mark.slow
def test_maskable_ppo__learns_on_it_and_takes_no_closed_choice():
    venv = make_vec_env(ID, 4, seed=0, on_invalid="raise", **SMALL)
    settings = maskable_ppo.settings()
    venv = maskable_ppo.wrap(venv, settings)
    model = maskable_ppo.build(venv, settings, seed=0, extractor="stormgym.agents.crews.network.extractor:JobExtractor")
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(600)
    assert any((a != b).any() for a, b in zip(before, model.policy.parameters(), strict=True))
