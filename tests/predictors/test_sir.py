"""The outage wave: conservation, known events, NumPy and torch alike, and steps that Euler cannot carry."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stormgym.predictors.sir import SIRState, check_step, simulate_sir, sir_step


def test_sir_step__keeps_every_customer_and_moves_them_as_written() -> None:
    rng = np.random.default_rng(0)
    population = rng.uniform(500, 5_000, (4, 3))
    out = 0.1 * population
    state = SIRState(population - out, out, np.zeros_like(out))
    beta, rho = rng.uniform(0.5, 3, (4, 3)), rng.uniform(0.1, 1, (4, 3))
    after = sir_step(state, beta, rho, population, 0.05)
    np.testing.assert_allclose(after.unaffected, 0.9 * population - 0.05 * beta * 0.1 * population * 0.9)
    np.testing.assert_allclose(after.restored, 0.05 * rho * 0.1 * population)
    for _ in range(400):
        state = sir_step(state, beta, rho, population, 0.05)
        np.testing.assert_allclose(sum(state), population, rtol=1e-12)
        assert min(part.min() for part in state) >= 0


@pytest.mark.parametrize(("name", "steps"), [("3city_A", 20), ("10city", 10)])
def test_simulate_sir__gives_the_known_events(shared_data: Path, name: str, steps: int) -> None:
    with np.load(shared_data / "instances" / f"events_{name}.npz") as events:
        waves = simulate_sir(
            events["beta"],
            events["gam"],
            events["N"],
            n_periods=events["Y"].shape[1] - 1,
            onset=events["onset"],
            steps_per_period=steps,
        )
        np.testing.assert_allclose(waves.swapaxes(0, 1), events["Y"], atol=1e-6)  # kept to six decimals


def test_simulate_sir__restored_share_is_the_rate_times_the_time_out() -> None:
    population, rho, steps = np.array([1_000.0]), np.array([0.4]), 50
    waves = simulate_sir(np.array([1.2]), rho, population, n_periods=200, steps_per_period=steps)
    finer = simulate_sir(np.array([1.2]) / steps, rho / steps, population, n_periods=200 * steps, steps_per_period=1)
    np.testing.assert_allclose(finer[::steps], waves)  # periods are only a unit of time
    saidi = finer[:-1].sum() / steps / population  # left sum
    end = population - finer[-1] - unaffected_at_the_end(finer, rho / steps, population)
    np.testing.assert_allclose(rho * saidi, end / population, rtol=1e-10)


def unaffected_at_the_end(out: np.ndarray, rho: np.ndarray, population: np.ndarray) -> np.ndarray:
    """By what was struck on each step: the change of those out and what was mended."""
    struck = np.diff(out, axis=0).sum(axis=0) + (rho * out[:-1]).sum(axis=0)
    return population - out[0] - struck


def test_simulate_sir__torch_does_the_same_and_gives_gradients() -> None:
    rng = np.random.default_rng(1)
    beta, rho = rng.uniform(0.5, 3, (5, 3)), rng.uniform(0.1, 1, (5, 3))
    population, onset = rng.uniform(500, 5_000, 3), rng.integers(0, 4, (5, 3))
    waves = simulate_sir(beta, rho, population, n_periods=6, onset=onset)
    rates = torch.tensor(beta, requires_grad=True)
    same = simulate_sir(
        rates, torch.tensor(rho), torch.tensor(population), n_periods=6, onset=torch.tensor(onset), steps_per_period=20
    )
    np.testing.assert_allclose(same.detach().numpy(), waves)
    same[-1].sum().backward()
    assert rates.grad is not None
    step = 1e-5
    more = beta.copy()
    more[2, 1] += step
    slope = (simulate_sir(more, rho, population, n_periods=6, onset=onset)[-1].sum() - waves[-1].sum()) / step
    assert float(rates.grad[2, 1]) == pytest.approx(slope, rel=1e-3)


def test_simulate_sir__a_county_is_spared_before_its_onset_and_grows_after_it() -> None:
    waves = simulate_sir(
        np.full(2, 2.0), np.full(2, 0.5), np.array([1_000.0, 400.0]), n_periods=5, onset=np.array([0, 3])
    )
    assert waves.shape == (6, 2)
    np.testing.assert_allclose(waves[:3, 1], 0.0)
    np.testing.assert_allclose([waves[0, 0], waves[3, 1]], [10.0, 4.0])
    assert waves[1, 0] > waves[0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps_per_period": 2}, r"an Euler step of 0.5 periods is too long for transmission 2.5.*at least 3 steps"),
        ({"restoration": np.array([40.0])}, "too long for restoration 40 per period"),
        ({"transmission": np.array([-1.0])}, "transmission must be finite and at least 0"),
        ({"population": np.array([0.0])}, "population must be above 0"),
        ({"first_out": 1.5}, "first_out"),
        ({"n_periods": 0}, "n_periods and steps_per_period must be at least 1; got 0 and 20"),
    ],
)
def test_simulate_sir__wrong_input_is_named(arguments: dict, message: str) -> None:
    base = {
        "transmission": np.array([2.5]),
        "restoration": np.array([0.5]),
        "population": np.array([1_000.0]),
        "n_periods": 3,
        "steps_per_period": 20,
    }
    with pytest.raises(ValueError, match=message):
        simulate_sir(**{**base, **arguments})


def test_check_step__carries_what_is_below_one() -> None:
    check_step(np.array([9.99]), np.array([0.0]), 0.1)
    with pytest.raises(ValueError, match="at least 11 steps a period"):
        check_step(np.array([10.0]), np.array([0.0]), 0.1)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (900, 3), (2, 50, 7)])
def test_simulate_sir__in_place_is_sir_step_to_the_bit(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    beta, rho = rng.uniform(0.0, 2.0, shape), rng.uniform(0.0, 1.0, shape)
    population, onset = rng.uniform(10.0, 5_000.0, shape[-1]), rng.integers(0, 3, shape)
    waves = simulate_sir(beta, rho, population, n_periods=4, onset=onset, steps_per_period=5)
    state = SIRState(population + np.zeros(shape), np.zeros(shape), np.zeros(shape))
    for t in range(5):
        begins = (onset == t) * (0.01 * population)
        state = SIRState(state.unaffected - begins, state.out + begins, state.restored)
        assert waves[t].tobytes() == state.out.tobytes()
        for _ in range(5):
            state = sir_step(state, beta, rho, population, 0.2)
