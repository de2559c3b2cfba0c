"""The command line that fits a forecaster, and the environment that observes its forecast."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.dispatch.__main__ import main as fit_main
from stormgym.agents.dispatch.decision import WEATHER
from stormgym.agents.dispatch.forecasters import TwoStageDispatch
from stormgym.agents.lineup import resolve_agents
from stormgym.predictors.outage_ode import OutageODE


@pytest.mark.slow
def test_command__fits_a_forecaster_that_the_environment_shows_and_evaluate_plays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.npz"
    assert fit_main(["--out", str(file), "--storms", "30", "--n-steps", "10", "--tune", "spo+", "--loss", "mse"]) == 0
    printed = capsys.readouterr().out
    assert "regret of plans" in printed
    assert "(0 is the fit)" in printed
    env = gym.make("stormgym:GeneratorDispatch-v0", profile="A", forecast=str(file))
    obs, _ = env.reset(seed=3)
    assert env.observation_space.contains(obs)
    ode = OutageODE.load(file)
    X, onset = np.stack([obs[name] for name in WEATHER], axis=-1)[None], obs["onset"][None]
    centre, interval, total = (a[0, 1:] for a in ode.forecast(X, onset))
    for name, values in zip(("forecast", "lower", "upper"), (centre, *np.moveaxis(interval, -1, 0)), strict=True):
        np.testing.assert_allclose(obs[name].reshape(15, 3), values, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(obs["total_upper"], total[:, 1], rtol=1e-4, atol=1e-2)
    later, *_ = env.step(env.action_space.sample() * 0)
    np.testing.assert_allclose(later["forecast"][:42], obs["forecast"][3:])
    np.testing.assert_allclose(later["total_lower"], [*obs["total_lower"][1:], 0.0])
    entrants = resolve_agents([f"label={file}", str(file)], "GeneratorDispatch-v0")
    assert list(entrants) == ["label", "mine"]
    assert isinstance(entrants["mine"].make(env), TwoStageDispatch)


def test_command__bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, text in (
        (["--features", "snow"], "--features must be of temperature_c"),
        (["--storms", "0"], "--storms must be at least 1"),
        (["--profile", "nowhere"], "profile must be 'A', 'B', 'ten'"),
    ):
        assert fit_main(["--out", str(tmp_path / "f.npz"), *options]) == 2
        assert text in " ".join(capsys.readouterr().out.split())
    assert fit_main(["--out", str(tmp_path / "f.pt")]) == 2
    (tmp_path / "folder.npz").mkdir()
    assert fit_main(["--out", str(tmp_path / "folder.npz")]) == 2
    assert "is a folder; name a file in it" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ValueError, match=r"forecast must be typical, none or a forecaster's \.npz file; got 'best'"):
        gym.make("stormgym:GeneratorDispatch-v0", forecast="best")
    with pytest.raises(FileNotFoundError, match="no forecaster at"):
        gym.make("stormgym:GeneratorDispatch-v0", forecast=str(tmp_path / "f.npz"))
