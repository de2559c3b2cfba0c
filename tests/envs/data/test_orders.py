"""Reference orders: nearest first, and a short open tour."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stormgym.envs.data import City
from stormgym.envs.data.orders import nearest_order, tsp_open_order


def length(distance: NDArray[np.float64], order: NDArray[np.int64]) -> float:
    return float(distance[np.concatenate([[len(order)], order[:-1]]), order].sum())


def test_orders__nearest_by_hand() -> None:
    distance = np.abs(np.subtract.outer([3.0, 1.0, 7.0, 2.9, 0.0], [3.0, 1.0, 7.0, 2.9, 0.0]))  # on a line
    assert nearest_order(distance).tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_orders__open_tour_equals_brute_force(n: int) -> None:
    from itertools import permutations

    rng = np.random.default_rng(n)
    for _ in range(5):
        xy = rng.random((n + 1, 2))
        distance = np.hypot(*(xy[:, None] - xy[None, :]).transpose(2, 0, 1))
        best = min(length(distance, np.array(order)) for order in permutations(range(n)))
        assert length(distance, tsp_open_order(distance)) == pytest.approx(best)


def test_orders__open_tour_is_within_a_percent_of_the_calibrated_one(shared_data: object) -> None:
    city = City.load(f"{shared_data}/calibrated_city")
    tour = tsp_open_order(city.distance_km)
    assert sorted(tour.tolist()) == list(range(55))
    assert length(city.distance_km, tour) <= length(city.distance_km, city.orders["tsp_open"]) * 1.01
