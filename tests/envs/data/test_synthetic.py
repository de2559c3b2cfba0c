"""The synthetic city: the same everywhere, and near the figures that it is calibrated to."""

import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from stormgym.envs.data import City
from stormgym.envs.data.statistics import (
    ORDERS,
    PUBLISHED,
    published_statistics,
)

REACHED_MEAN_H = {"status_quo": 57.2, "nearest": 52.9, "tsp_open": 49.4}
REACHED_GAP_H = {"status_quo": 17.5, "nearest": 17.5, "tsp_open": 10.5}


@pytest.fixture(scope="module")
def twenty() -> list[City]:
    return [City.synthetic(seed) for seed in range(20)]


@pytest.fixture(scope="module")
def medians(twenty: list[City]) -> Mapping[str, float]:
    each = [published_statistics(city, 300) for city in twenty]
    return {key: float(np.median([one[key] for one in each])) for key in each[0]}


@pytest.fixture(scope="module")
def default() -> Mapping[str, float]:
    return published_statistics(City.synthetic(), 4000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDERS)
def test_twenty_seeds__median_outage_and_gap_are_near_the_table(medians: Mapping[str, float], name: str) -> None:
    for key, within, reached in (("mean", 2.0, REACHED_MEAN_H), ("gap", 4.0, REACHED_GAP_H)):
        for value in (PUBLISHED[f"{name} {key}"], reached[name]):
            assert medians[f"{name} {key}"] == pytest.approx(value, abs=within)


@pytest.mark.parametrize("name", ORDERS)
def test_default_city__outage_and_gap_are_near_the_table(default: Mapping[str, float], name: str) -> None:
    for key, within, reached in (("mean", 1.0, REACHED_MEAN_H), ("gap", 1.5, REACHED_GAP_H)):
        for value in (PUBLISHED[f"{name} {key}"], reached[name]):
            assert default[f"{name} {key}"] == pytest.approx(value, abs=within)


@pytest.mark.parametrize(
    ("key", "within"),
    [
        ("within 48 h", 0.04),
        ("after 96 h", 0.04),
        ("few requests", 0.06),
        ("income pearson", 0.06),
        ("mean repair", 0.03),
    ],
)
def test_statistics__other_rows_of_the_table(
    default: Mapping[str, float], medians: Mapping[str, float], key: str, within: float
) -> None:
    assert default[key] == pytest.approx(PUBLISHED[key], abs=within)
    assert medians[key] == pytest.approx(PUBLISHED[key], abs=within)


def test_groups__terciles_of_18_19_18(twenty: list[City]) -> None:
    for city in twenty:
        assert np.bincount(city.group).tolist() == [18, 19, 18]
        income = city.context["income_usd"]
        assert income[city.group == 0].max() <= income[city.group == 1].min()
        assert income[city.group == 1].max() <= income[city.group == 2].min()


def test_statistics__the_calibrated_city_is_one_of_the_family(shared_data: object, twenty: list[City]) -> None:
    yardstick = City.load(f"{shared_data}/calibrated_city")

    def figures(city: City) -> dict[str, float]:
        logs = [np.log(city.log.repair_h[city.log.region == r]) for r in range(city.n_regions)]
        spread = np.array([x.std(ddof=1) for x in logs])
        income = np.log(city.context["income_usd"])
        return {
            "records": len(city.log),
            "log-income sd": income.std(),
            "log-sd of region means": np.log([np.exp(x).mean() for x in logs]).std(),
            "spread": spread.mean(),
            "spread and income": np.corrcoef(spread, income)[0, 1],
            "requests and income": np.corrcoef(np.log(city.requests), income)[0, 1],
            "canopy and income": np.corrcoef(city.context["canopy"], income)[0, 1],
            "damage class 3": (city.log.features[:, 7] == 3).mean(),
            "night": city.log.features[:, 8].mean(),
        }

    each = [figures(city) for city in twenty]
    for key, value in figures(yardstick).items():
        middle, spread = np.mean([e[key] for e in each]), np.std([e[key] for e in each])
        assert abs(value - middle) <= 3.5 * spread + 1e-6, (key, value, middle, spread)


def test_synthetic__features_are_those_of_the_calibrated_city(shared_data: object) -> None:
    yardstick = City.load(f"{shared_data}/calibrated_city")
    assert City.synthetic().log.feature_names == yardstick.log.feature_names
    assert set(City.synthetic().context) == set(yardstick.context)


def test_synthetic__same_seed_same_bits_in_another_process() -> None:
    code = (
        "from stormgym.envs.data import City\nprint(City.synthetic().fingerprint(), City.synthetic(5, 8).fingerprint())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.split() == [City.synthetic().fingerprint(), City.synthetic(5, 8).fingerprint()]
    assert City.synthetic(5, 8).fingerprint() != City.synthetic(6, 8).fingerprint()


def test_synthetic__default_city_is_the_one_it_was() -> None:
    # A change here changes every result on the default city: say so in CHANGELOG.md.
    assert City.synthetic().fingerprint().startswith("a94460aeda733179")


@pytest.mark.parametrize("n", [3, 4, 5, 7, 20, 200])
def test_synthetic__any_size_works(n: int) -> None:
    city = City.synthetic(1, n)
    assert city.n_regions == n
    assert city.log.counts().min() >= 4
    assert sorted(city.orders["status_quo"].tolist()) == list(range(n))
    between = city.distance_km[:-1, :-1] + 99 * np.eye(n)
    assert between.min() >= 1.3 - 1e-9  # a kilometre apart
    assert city.name == f"synthetic:{n}:1"


def test_synthetic__log_is_one_year_with_a_storm() -> None:
    log = City.synthetic().log
    assert log.time is not None
    assert (np.diff(log.time) >= np.timedelta64(0)).all()
    assert log.time.min() >= np.datetime64("2018-01-01")
    assert log.time.max() < np.datetime64("2019-01-01")
    storm = (log.time >= np.datetime64("2018-10-10T14:00")) & (log.time < np.datetime64("2018-10-15T15:00"))
    assert storm.sum() >= City.synthetic().context["storm_requests"].sum() > 600


def income_link(city: City) -> float:
    """Slope of log mean repair time on standardised log-income, without the luck of the draw of records."""
    income = np.log(city.context["income_usd"])
    z = (income - income.mean()) / income.std()
    mean = np.bincount(city.log.region, np.log(city.log.repair_h)) / city.log.counts()
    return float(z @ (mean - mean.mean()) / len(z))


def test_income_effect__changes_the_link_and_nothing_else() -> None:
    none, usual, double = (City.synthetic(2, 55, effect) for effect in (0.0, 1.0, 2.0))
    assert income_link(usual) - income_link(none) == pytest.approx(-0.55 * 0.24, rel=0.02)
    assert income_link(double) - income_link(none) == pytest.approx(2 * -0.55 * 0.24, rel=0.02)
    for other in (none, double):
        for mine, theirs in (
            (usual.xy_km, other.xy_km),
            (usual.group, other.group),
            (usual.log.region, other.log.region),
            (usual.log.features, other.log.features),
            (usual.orders["status_quo"], other.orders["status_quo"]),
        ):
            np.testing.assert_array_equal(mine, theirs)
        assert other.fingerprint() != usual.fingerprint()
    assert none.name == "synthetic:55:2 (income_effect=0)"


@pytest.mark.slow
def test_income_effect__zero_leaves_no_link_over_seeds() -> None:
    def correlation(seed: int) -> float:
        city = City.synthetic(seed, 55, 0.0)
        mean = np.bincount(city.log.region, city.log.repair_h) / city.log.counts()
        return float(np.corrcoef(np.log(mean), np.log(city.context["income_usd"]))[0, 1])

    values = [correlation(seed) for seed in range(10)]
    # The seeds are fixed; over fresh ones this fails once in a thousand if there is no link.
    assert stats.ttest_1samp(values, 0.0).pvalue > 1e-3
    assert abs(np.mean(values)) < 0.12


@pytest.mark.parametrize(
    ("keyword", "what"),
    [
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"seed": 1.5}, "seed must be a whole number of at least 0; got 1.5"),
        ({"n_regions": 2}, "n_regions must be from 3 to 200; got 2"),
        ({"n_regions": 201}, "n_regions must be from 3 to 200; got 201"),
        (
            {"income_effect": float("nan")},
            r"income_effect must be a finite number \(1.0 as calibrated, 0.0 none\)",
        ),
        ({"income_effect": 1e308}, r"income_effect must be from -1000 to 1000; got 1e\+308"),
    ],
)
def test_synthetic__bad_argument_is_an_error(keyword: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        City.synthetic(**keyword)  # type: ignore[arg-type]
