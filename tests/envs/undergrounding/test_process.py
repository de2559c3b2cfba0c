"""The dynamics of undergrounding, by hand."""

from dataclasses import replace

import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.undergrounding.forecasts import SeasonForecast
from stormgym.envs.undergrounding.process import UndergroundingProcess
from stormgym.envs.undergrounding.regions import UndergroundingProfile


def by_hand() -> UndergroundingProfile:
    """Four regions that can be reckoned with by hand."""
    return UndergroundingProfile(
        name="hand",
        population=np.array([100.0, 300.0, 400.0, 200.0]),
        place=np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]),
        income=np.array([10.0, 20.0, 30.0, 40.0]),
        n_periods=10,
        rate=3.0,
        protect_cost=np.array([5.0, 4.0, 6.0, 3.0]),
        budget=10.0,
        n_crews=1,
        cost_limit=1.0,
    )


def season(process: UndergroundingProcess, hours: list[float], lower: float = 0.0, upper: float = 9.0) -> None:
    """Begin one season with a storm of these hours and a set that allows up to 12 h in all."""
    k = process.profile.n_counties
    box = (np.full((1, k), 4.0), np.full((1, k), lower), np.full((1, k), upper))
    process.reset(np.array([hours]), SeasonForecast(*box, np.zeros(1), np.array([12.0])))


def test_process__by_hand():
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [8.0, 2.0, 1.0, 5.0])
    assert process.affordable().tolist() == [[True] * 4]
    process.bury(np.array([0]))
    assert process.affordable().tolist() == [[False, True, False, True]]  # 5 left
    process.bury(np.array([3]))
    assert process.spent[0] == 8.0
    assert not process.planning[0]  # 2 left: nothing costs so little
    storm = process.outage_h[[0]]
    crews = process.best_crews(storm, slice(None))
    assert crews.tolist() == [[0.0, 1.0, 0.0, 0.0]]  # 300 customers for 2 h, against 400 for 1 h
    process.end(storm, crews, slice(None))
    figures = {name: float(value[0]) for name, value in process.metrics(slice(None)).items()}
    assert figures["saidi_h"] == pytest.approx(400 / 1000)
    assert figures["storm_saidi_h"] == pytest.approx((800 + 600 + 400 + 1000) / 1000)
    assert figures["share_averted"] == pytest.approx(1 - 400 / 2800)
    # 4 regions, terciles 0 0 1 2 or so: hours left are 0, 0, 1, 0
    groups = process.profile.group
    assert figures["gap_h"] == pytest.approx(1.0 if (groups == groups[2]).sum() == 1 else 0.5)
    assert (figures["n_protected"], figures["spent"], figures["crews_sent"]) == (2.0, 8.0, 1.0)


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_process__share_averted_is_a_share_of_mild_storms_too(scale):
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [8.0 * scale, 2.0 * scale, 1.0 * scale, 5.0 * scale])
    process.bury(np.array([0]))
    process.end(process.outage_h[[0]], np.zeros((1, 4)), slice(None))
    assert process.metrics(slice(None))["share_averted"][0] == pytest.approx(800 / 2800)


def test_process__worst_storm_by_hand():
    # unprotected 1 and 2 (300 and 400 customers), 12 h to share, a crew takes the larger loss: nature makes both lose
    # the same where the box allows: 300 a = 400 b, a + b = 12 -> a = 48/7, b = 36/7, and 300 * 48/7 stays
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [1.0, 1.0, 1.0, 1.0])
    for region in (0, 3):
        process.bury(np.array([region]))
    np.testing.assert_allclose(process.worst_h(slice(None))[0], [0.0, 48 / 7, 36 / 7, 0.0], atol=1e-9)
    assert process.metrics(slice(None))["worst_saidi_h"][0] == pytest.approx(300 * 48 / 7 / 1000)


def test_process__a_closed_choice_wastes_the_turn_and_nothing_else():
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [1.0, 1.0, 1.0, 1.0])
    process.bury(np.array([2]))
    for _ in range(2):
        process.bury(np.array([2]))  # buried already
        assert (process.spent[0], process.protected[0].sum(), process.planning[0]) == (6.0, 1, True)
    process.bury(np.array([0]))  # costs 5, and 4 are left
    assert (process.spent[0], process.turn[0], process.planning[0]) == (6.0, 4, False)  # K choices are over


def seasons(process: UndergroundingProcess, hours: np.ndarray, rows: np.ndarray | None = None) -> None:
    """Begin seasons with storms `[R, 4]`, all within one set."""
    r = len(hours)
    box = (np.full((r, 4), 4.0), np.zeros((r, 4)), np.full((r, 4), 9.0))
    process.reset(hours, SeasonForecast(*box, np.zeros(r), np.full(r, 12.0)), rows)


def test_process__seasons_side_by_side_are_each_their_own():
    process = UndergroundingProcess(by_hand(), 3)
    seasons(process, np.array([[8.0, 2.0, 1.0, 5.0], [1.0, 1.0, 1.0, 1.0], [0.0, 9.0, 0.0, 0.0]]))
    process.bury(np.array([2, 4, 1]))  # a region; a stop; a region
    assert process.protected.tolist() == [[False, False, True, False], [False] * 4, [False, True, False, False]]
    assert process.spent.tolist() == [6.0, 0.0, 4.0]
    assert process.planning.tolist() == [True, False, True]
    process.bury(np.array([1, 0, 2]))  # 6 + 4 and 4 + 6 are the whole budget; the second season is no longer planned
    assert process.spent.tolist() == [10.0, 0.0, 10.0]
    assert process.planning.tolist() == [False] * 3
    assert process.turn.tolist() == [2, 1, 2]
    storm = process.outage_h.copy()
    process.end(storm, process.best_crews(storm, slice(None)), slice(None))
    assert process.struck.tolist() == [True] * 3
    figures = process.metrics(slice(None))
    assert set(figures) == {
        "saidi_h", "unserved_customer_h", "worst_saidi_h", "gap_h", "cost_limit", "over_limit", "n_protected", "spent",
        "storm_saidi_h", "share_averted", "crews_sent",
    }  # fmt: skip
    left = [
        [8.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 1.0],
        [0.0] * 4,
    ]  # crews go where most is lost: 200 for 5 h, 400 for 1 h
    lost = np.array(left) @ np.array([100.0, 300.0, 400.0, 200.0])
    np.testing.assert_allclose(figures["unserved_customer_h"], lost)
    np.testing.assert_allclose(figures["saidi_h"], lost / 1000.0)
    np.testing.assert_allclose(figures["over_limit"], figures["gap_h"] > 1.0)
    np.testing.assert_array_equal(figures["cost_limit"], [1.0] * 3)
    np.testing.assert_array_equal(figures["n_protected"], [2.0, 0.0, 2.0])
    np.testing.assert_allclose(figures["share_averted"], 1.0 - lost / (np.array(storm) @ [100.0, 300.0, 400.0, 200.0]))
    kept = {name: values[[0, 2]] for name, values in figures.items()}
    seasons(process, np.array([[3.0, 3.0, 3.0, 3.0]]), np.array([1]))
    assert process.planning.tolist() == [False, True, False]
    assert process.affordable().tolist() == [[False] * 4, [True] * 4, [False] * 4]
    assert process.struck.tolist() == [True, False, True]
    assert (process.turn[1], process.spent[1]) == (0, 0.0)
    for name, values in process.metrics(np.array([0, 2])).items():
        np.testing.assert_array_equal(values, kept[name], err_msg=name)


def test_process__a_season_without_money_is_not_planned():
    poor = replace(by_hand(), budget=2.9)
    process = UndergroundingProcess(poor, 2)
    seasons(process, np.ones((2, 4)))
    assert process.planning.tolist() == [False, False]
    just = UndergroundingProcess(replace(by_hand(), budget=3.0 - 1e-12), 1)  # a sum of costs that was rounded
    seasons(just, np.ones((1, 4)))
    assert just.affordable().tolist() == [[False, False, False, True]]
