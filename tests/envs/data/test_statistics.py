"""The published figures, measured."""

import numpy as np
import pytest

from stormgym.envs.data import City
from stormgym.envs.data.statistics import (
    draw_durations,
    outage_of_order,
    published_statistics,
)


def test_statistics__outage_and_draws_by_hand() -> None:
    city = City.synthetic(1, 3)
    order = np.array([2, 0, 1])
    repair_h = np.array([[1.0, 2.0, 4.0]])
    leg = city.travel_h
    first, second = leg[3, 2] + 4.0, leg[2, 0] + 1.0
    third = leg[0, 1] + 2.0
    want = [first + second, first + second + third, first]
    np.testing.assert_allclose(outage_of_order(city, order, repair_h)[0], want)
    drawn = draw_durations(city, 500)
    for r in range(3):
        assert set(drawn[:, r]) <= set(city.log.repair_h[city.log.region == r])


def test_statistics__calibrated_city_gives_the_known_figures(shared_data: object) -> None:
    city = City.load(f"{shared_data}/calibrated_city")
    known = {"status_quo": (57.1, 17.5), "nearest": (52.8, 17.4), "tsp_open": (49.2, 10.4)}
    found = published_statistics(city, 4000)
    for name, (mean, gap_h) in known.items():
        assert found[f"{name} mean"] == pytest.approx(mean, abs=0.3)
        assert found[f"{name} gap"] == pytest.approx(gap_h, abs=0.3)
    assert found["income pearson"] == pytest.approx(-0.61, abs=0.01)
    assert found["few requests"] == pytest.approx(0.345, abs=0.01)
