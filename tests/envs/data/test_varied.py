"""Cities of the varied generator: reproducible, playable, and as different as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stormgym.envs.data import City, resolve_city
from stormgym.envs.data.synthetic import _requests_of_last_day
from stormgym.envs.data.varied import LIMIT_SHARES, _quick_gap_h, character_of, varied_city
from stormgym.envs.equity import gap


@pytest.fixture(scope="module")
def cities() -> list[City]:
    return [resolve_city(f"varied:{n}:{seed}") for seed, n in enumerate([3, 12, 20, 30, 40, 50, 25, 15, 60, 35])]


def within_log_sd(city: City) -> float:
    """Log standard deviation of repairs within regions."""
    log_h, region = np.log(city.log.repair_h), city.log.region
    mean = np.bincount(region, log_h) / np.bincount(region)
    return float(np.sqrt(np.mean((log_h - mean[region]) ** 2)))


def test_varied_city__is_the_same_every_time_and_another_for_another_seed_or_size() -> None:
    first, again = (City(**varied_city(4, 12)) for _ in range(2))
    assert first.fingerprint() == again.fingerprint()
    assert first.name == "varied:12:4"
    assert len({City(**varied_city(seed, n)).fingerprint() for seed, n in ((4, 12), (5, 12), (4, 13))}) == 3


def test_varied_city__durations_are_from_those_of_the_default_city_to_those_of_real_logs(cities: list[City]) -> None:
    spread, means = [within_log_sd(city) for city in cities], [city.log.repair_h.mean() for city in cities]
    assert min(spread) < 0.8
    assert max(spread) > 1.1
    assert min(means) < 2.0
    assert max(means) > 5.0
    assert within_log_sd(resolve_city("default")) < 0.6
    assert len({city.speed_kmh for city in cities}) == len(cities)


def test_varied_city__limit_is_a_share_of_the_gap_of_a_quick_order() -> None:
    for seed in range(6):
        fields = varied_city(seed, 20)
        low, high = LIMIT_SHARES
        share = fields["cost_limit_h"] / _quick_gap_h(fields)
        assert 0.95 * low <= share <= 1.05 * high  # the limit is rounded to two digits


def test_quick_gap__is_that_of_the_order_played_by_hand() -> None:
    fields: Any = varied_city(1, 5)
    city = City(**fields)
    log = fields["log"]
    mean_h = [log.repair_h[log.region == i].mean() for i in range(5)]
    left, at, now, done = set(range(5)), 5, 0.0, np.zeros(5)
    while left:
        takes = {i: city.distance_km[at, i] / city.speed_kmh + mean_h[i] for i in left}
        at = min(left, key=takes.__getitem__)
        now += takes[at]
        done[at] = now
        left.remove(at)
    assert _quick_gap_h(fields) == pytest.approx(gap(done, city.group, 3))


def test_varied_city__where_waits_queue_busy_days_have_longer_repairs_and_a_feature_tells(cities: list[City]) -> None:
    queued = [city for city in cities if "requests_24h" in city.log.feature_names]
    assert 0 < len(queued) < len(cities)
    slopes = []
    for city in queued:
        seen = city.log.features[:, city.log.feature_names.index("requests_24h")]
        slopes.append(np.corrcoef(np.log1p(seen), np.log(city.log.repair_h))[0, 1])
    assert np.mean(slopes) > 0.1


def test_requests_of_last_day__are_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    minutes = np.sort(rng.integers(0, 5_000, 60))
    time = np.datetime64("2018-01-01T00:00") + minutes.astype("timedelta64[m]")
    counted = [sum(1 for j in range(i) if minutes[i] - minutes[j] <= 24 * 60) for i in range(60)]
    np.testing.assert_array_equal(_requests_of_last_day(time), counted)


def test_character__income_groups_live_apart_in_some_and_mixed_in_others() -> None:
    apart = []
    for seed in range(12):
        city = City(**varied_city(seed, 40))
        distance = np.sqrt(((city.xy_km[:, None] - city.xy_km) ** 2).sum(-1)) + np.diag(np.full(40, np.inf))
        near = np.argsort(distance, axis=1)[:, :5]
        apart.append((city.group[near] == city.group[:, None]).mean())
    assert min(apart) < 0.42
    assert max(apart) > 0.55


def test_character__is_drawn_from_the_generator_alone() -> None:
    assert character_of(np.random.default_rng(3), "x") == character_of(np.random.default_rng(3), "x")


def test_varied_city__its_status_quo_is_a_plain_draw() -> None:
    """Not the one of many that is nearest to figures of another city: as often slow as fast beside others."""
    ranks = []
    for seed in range(20):
        fields = varied_city(seed, 15)
        requests, rng = fields["requests"], np.random.default_rng(seed)
        key = 0.4 * np.log(requests) + rng.gumbel(size=(200, 15))
        place = np.argsort(np.argsort(-key, axis=1), axis=1)
        own = np.argsort(fields["orders"]["status_quo"])
        ranks.append((place @ requests < own @ requests).mean())
    assert 0.25 < np.mean(ranks) < 0.75
    assert min(ranks) < 0.25
    assert max(ranks) > 0.75


@pytest.mark.parametrize(("seed", "n"), [(-1, 10), ("a", 10), (0, 2), (0, 201)])
def test_varied_city__what_cannot_be_made_is_refused_by_a_sentence(seed: Any, n: int) -> None:
    with pytest.raises(ValueError, match=r"seed must be a whole number|n_regions must be from 3 to 200"):
        varied_city(seed, n)


def test_resolve__a_varied_city_has_no_income_effect_and_needs_a_whole_name() -> None:
    with pytest.raises(ValueError, match="income_effect is a knob of the synthetic generator"):
        resolve_city("varied:12:1", income_effect=0.5)
    with pytest.raises(ValueError, match=r"got 'varied:12'\."):
        resolve_city("varied:12")
