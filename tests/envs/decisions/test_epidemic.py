"""The epidemic: nobody is lost, arrays and tensors agree, a region depends on nothing but its own noise."""

import numpy as np
import pytest
import torch

from stormgym.envs.decisions.epidemic import (
    IN_HOSPITAL,
    POPULATION,
    RATES,
    SWITCH,
    RegionNoise,
    Regions,
    beds_of_days,
    compartments,
    day,
    half_day,
    next_level,
    rates_of_beds,
    simulate,
    transmission_rate,
)


def regions(n: int, n_days: int, seed: int = 0, n_drawn: int | None = None) -> Regions:
    noise = RegionNoise.draw([np.random.default_rng([seed, i]) for i in range(n)], n_drawn or n_days)
    return simulate(noise, n_days)


def test_half_day__by_hand() -> None:
    s, e, i, r, h, d = half_day((80_000.0, 100.0, 60.0, 19_800.0, 36.0, 4.0), 0.5)
    assert s == pytest.approx(80_000 + 82.5 - 12)  # waned 19,800 / 240; infected .5 * .5 * .8 * 60
    assert e == pytest.approx(100 + 12 - 25)
    assert i == pytest.approx(60 + 25 - 10)
    assert r == pytest.approx(19_800 + 9.6 + 0.85 * 3 - 82.5)  # 10 are over, .4 of them go to hospital; 3 leave it
    assert h == pytest.approx(36 + 0.4 - 3)
    assert d == pytest.approx(4 + 0.45)


def test_simulate__nobody_is_lost_and_nobody_is_negative() -> None:
    state = regions(20, 300).state
    np.testing.assert_allclose(state.sum(axis=1), POPULATION, rtol=1e-12)
    assert state.min() >= 0.0
    assert (np.diff(state[:, 5], axis=0) >= 0.0).all()  # the dead stay dead


def test_day__arrays_and_tensors_agree() -> None:
    state = regions(5, 60).state[-1]  # [6, 5]
    rate = np.linspace(0.1, 1.4, 5)
    arrays = day(compartments(state.T), rate)
    tensors = day(compartments(torch.as_tensor(state.T)), torch.as_tensor(rate))
    for array, tensor in zip(arrays, tensors, strict=True):
        np.testing.assert_array_equal(array, tensor.numpy())


def test_beds__are_those_of_the_simulation() -> None:
    r = regions(6, 60)
    beds = beds_of_days(r.state[40].T, r.rate[40:46].T)
    np.testing.assert_array_equal(beds, r.state[41:48, IN_HOSPITAL].T)


def test_beds__of_samples_have_gradients_and_the_first_day_has_none() -> None:
    state = torch.as_tensor(regions(3, 60).state[-1].T)
    rates = torch.full((4, 3, 6), 0.4, dtype=torch.float64, requires_grad=True)
    beds = beds_of_days(state, rates)
    assert beds.shape == (4, 3, 7)
    (of_first,) = torch.autograd.grad(beds[..., 0].sum(), rates, retain_graph=True)
    (of_last,) = torch.autograd.grad(beds[..., 6].sum(), rates)
    assert not of_first.any()
    assert (of_last > 0.0).all()
    assert (of_last[..., :-1] > of_last[..., 1:]).all()  # earlier rates have had longer to act


def test_beds__gradient_meets_finite_differences() -> None:
    state = torch.as_tensor(regions(2, 60).state[-1].T)
    rates = torch.tensor([[0.3, 0.5, 0.4, 0.6, 0.2, 0.8]] * 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: beds_of_days(state, r), (rates,))


def test_rates__follow_from_beds() -> None:
    r = regions(40, 200)
    for t in (30, 100, 190):
        state, beds = r.state[t].T, r.state[t + 1 : t + 8, IN_HOSPITAL].T
        np.testing.assert_allclose(rates_of_beds(state, beds), r.rate[t : t + 6].T, rtol=1e-9)


def test_rates__of_impossible_beds_stay_within_bounds() -> None:
    state = regions(2, 60).state[-1].T
    found = rates_of_beds(state, np.array([[0.0] * 7, [1e4] * 7]))
    assert np.isfinite(found).all()
    assert found.min() >= RATES[0]
    assert found.max() <= RATES[1]


def test_transmission__halves_with_caution_and_keeps_its_bounds() -> None:
    zero = np.zeros(1)
    assert transmission_rate(zero, zero, zero)[0] == pytest.approx(0.5)
    assert transmission_rate(zero, np.array([40.0]), zero)[0] == pytest.approx(0.5 * 2**-0.4)
    assert transmission_rate(np.array([9.0]), zero, zero)[0] == RATES[1]
    assert transmission_rate(np.array([-9.0]), zero, zero)[0] == RATES[0]


def test_level__moves_faster_in_turbulent_times() -> None:
    one, calm = np.ones(1), np.zeros(1, dtype=bool)
    assert next_level(one, calm, one, one)[0][0] == pytest.approx(0.95 + 0.04)
    assert next_level(one, ~calm, one, one)[0][0] == pytest.approx(0.95 + 0.10)
    level, turbulent = next_level(one, calm, one, one * 0.9 * SWITCH)  # the regime switches before the shock
    assert turbulent.all()
    assert level[0] == pytest.approx(0.95 + 0.10)


def test_regimes__are_each_half_of_the_time() -> None:
    share = regions(200, 420).turbulent[200:].mean(axis=0)
    assert share.mean() == pytest.approx(0.5, abs=5 * share.std() / np.sqrt(200))  # false alarm below 1e-5


def test_simulate__a_region_depends_neither_on_others_nor_on_how_many_days() -> None:
    many, one, short = regions(7, 120), regions(1, 120), regions(7, 50, n_drawn=120)
    np.testing.assert_array_equal(many.state[:, :, :1], one.state)
    np.testing.assert_array_equal(many.rate[:, :1], one.rate)
    np.testing.assert_array_equal(many.state[:50], short.state)


def test_simulate__seeds() -> None:
    np.testing.assert_array_equal(regions(2, 30, seed=4).state, regions(2, 30, seed=4).state)
    assert not np.array_equal(regions(2, 30, seed=4).state, regions(2, 30, seed=5).state)
