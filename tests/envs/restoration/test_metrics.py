"""Figures of finished episodes equal their definitions."""

from dataclasses import replace

import numpy as np
import pytest

from stormgym.envs.data import resolve_city
from stormgym.envs.equity import pairwise_w1
from stormgym.envs.restoration.metrics import restoration_metrics

CITY = "synthetic:12:1"
N = 12


def test_metrics__equal_their_definitions(env_of):
    env = env_of(cost_limit=0.5)
    env.reset(seed=8)
    for action in np.random.default_rng(0).permutation(N):
        info = env.step(action)[4]
    metrics, city, times = info["metrics"], env.city, env.process.outage_h[0]
    weight = city.customers / city.customers.sum()
    order = np.argsort(times)
    legs = [city.travel_h[a, b] for a, b in zip([N, *order[:-1]], order, strict=True)]
    expected = {
        "mean_outage_h": times.mean(),
        "gap_h": pairwise_w1(times, city.group).max(),
        "over_limit": 1.0,
        "worst_group_mean_h": max(times[city.group == g].mean() for g in range(3)),
        "p95_h": np.quantile(times, 0.95),
        "gini": np.abs(times[:, None] - times).mean() / (2 * times.mean()),
        "makespan_h": times.max(),
        "share_out_24h": (times > 24).mean(),
        "share_out_48h": (times > 48).mean(),
        "saidi_h": weight @ times,
        "customer_hours": city.customers @ times,
        "customers_out_24h": weight[times > 24].sum(),
        "customers_out_48h": weight[times > 48].sum(),
        "cost_limit_h": 0.5,
        "completed": 1.0,
        "wasted_trips": 0.0,
        "travel_h": sum(legs),
        **{f"group_mean_h_{g}": times[city.group == g].mean() for g in range(3)},
    }
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name


def test_metrics__without_customers_has_no_customer_figures():
    city = replace(resolve_city(CITY), customers=None)
    found = restoration_metrics(city, np.random.default_rng(0).random((2, N)), 8.0)
    assert not {"saidi_h", "customer_hours", "customers_out_24h", "customers_out_48h"} & set(found)
    assert all(value.shape == (2,) for value in found.values())


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_metrics__95th_percentile_is_numpys(n):
    city = resolve_city("synthetic:20:5")
    times = np.random.default_rng(n).gamma(2.0, 20.0, (6, 20))
    found = restoration_metrics(city, times, 8.0)["p95_h"]
    np.testing.assert_allclose(found, np.quantile(times, 0.95, axis=1), rtol=1e-13)
