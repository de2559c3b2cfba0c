"""What a storm may bring: forecasts corrected by the repairs that were seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.restoration.scenario_sampler import ScenarioSampler
from stormgym.agents.restoration.situation import parts
from stormgym.agents.shocks import shock_posterior
from stormgym.envs.restoration.vector_env import RestorationVectorEnv


def test_sampler__corrects_forecasts_by_the_repairs_seen() -> None:
    env = RestorationVectorEnv(64, city="synthetic:20:5", shock="group", shock_log_sd=0.7)
    sampler = ScenarioSampler(env.core.city, env, n_scenarios=32)
    obs, _ = env.reset(seed=0)
    group = env.core.city.group
    true = np.log(env.core.process.duration_h / obs["point_h"])
    for region in range(12):
        obs, *_ = env.step(np.full(64, region))
    (part,) = parts(obs, env.core.city, np.arange(64))
    factor, hours = sampler.posterior(obs, part, 64)
    # the averages are those of the corrected forecasts, but for how scenarios of jobs and shocks meet
    assert_allclose(hours.mean(axis=1), part.local(part.point_h * factor), rtol=0.1)
    left = np.stack([true[:, (np.arange(20) >= 12) & (group == g)].mean(axis=1) for g in range(3)])
    learnt = np.log(np.stack([factor[:, np.flatnonzero(group == g)[0]] for g in range(3)]))
    assert np.corrcoef(left.ravel(), learnt.ravel())[0, 1] > 0.5
    calm = RestorationVectorEnv(64, city="synthetic:20:5")
    obs, _ = calm.reset(seed=0)
    (part,) = parts(obs, calm.core.city, np.arange(64))
    plain = ScenarioSampler(calm.core.city, calm, n_scenarios=32)
    factor, hours = plain.posterior(obs, part, 64)
    assert (factor == 1.0).all()
    assert_array_equal(hours, plain.prior(part, 64))


@pytest.mark.parametrize("common", [False, True])
def test_shock_posterior__is_that_of_a_grid(common: bool) -> None:
    seen = [[0.4, -0.1, 0.2], [-0.3], []]  # log(realised / forecast) of the repairs of three groups
    bias, noise, sd = np.array([-0.1, 0.0, 0.05]), np.array([0.2, 0.3, 0.25]), 0.35
    mean_log = np.array([[np.mean(s) if s else 0.0 for s in seen]])
    n_seen = np.array([[len(s) for s in seen]])
    mean, spread = shock_posterior(mean_log, n_seen, bias, noise, sd, common)
    x = np.linspace(-3, 3, 20_001)  # log of the shock
    for g in range(3):
        log_density = -((x + sd**2 / 2) ** 2) / (2 * sd**2)
        for h in range(3) if common else [g]:
            for value in seen[h]:
                log_density -= (value - bias[h] - x) ** 2 / (2 * noise[h])
        weight = np.exp(log_density - log_density.max())
        weight /= weight.sum()
        assert_allclose(mean[0, g], (weight * x).sum(), atol=1e-6)
        assert_allclose(spread[0, g], np.sqrt((weight * x**2).sum() - (weight * x).sum() ** 2), atol=1e-6)
