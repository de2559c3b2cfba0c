"""The dynamics of undergrounding, by hand."""

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
