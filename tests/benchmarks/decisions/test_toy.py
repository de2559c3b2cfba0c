"""One hour of power: what the losses aim at, against sums by hand, and the page that says so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from benchmarks.decisions import toy
from benchmarks.decisions.toy import LOSSES, Hour, Optimum


def cost(plan: float, load: float) -> float:
    return 50.0 * max(load - plan, 0.0) + 0.5 * max(plan - load, 0.0) + 0.5 * (plan - load) ** 2


def test_best__is_the_decision_of_least_expected_cost() -> None:
    hour = Hour(0.2)
    best = hour.best()

    def expected(plan: float) -> float:
        split = plan / 0.2
        parts = [quad(lambda z: cost(plan, 0.2 * z) * norm.pdf(z), a, b)[0] for a, b in ((-9, split), (split, 9))]
        return float(sum(parts))

    assert best.cost == pytest.approx(expected(best.decision), rel=1e-7)
    found = minimize_scalar(expected, bounds=(-1.0, 1.0), method="bounded", options={"xatol": 1e-8})
    assert best.decision == pytest.approx(found.x, abs=1e-5)
    assert best.decision / 0.2 == pytest.approx(2.09, abs=0.01)
    assert best == Optimum(0.0, 0.2, hour.decide(0.0, 0.2), hour.cost(best.decision))


@pytest.mark.slow
@pytest.mark.parametrize("weights", LOSSES.values(), ids=LOSSES)
def test_minimiser__no_other_mean_or_spread_near_it_has_less_loss(weights: tuple[float, float]) -> None:
    hour = Hour(0.2)
    found = hour.minimiser(*weights)
    least = hour.loss(found.mu, found.sigma, *weights)
    for shift in (-0.05, 0.05):
        assert hour.loss(found.mu + shift * 0.2, found.sigma, *weights) > least
        assert hour.loss(found.mu, found.sigma * np.exp(shift), *weights) > least
    assert found.decision == hour.decide(found.mu, found.sigma)
    assert found.cost == hour.cost(found.decision)


def test_loss__is_a_sum_of_both() -> None:
    hour = Hour(0.2)
    mle, kl = hour.loss(0.1, 0.3, 1.0, 0.0), hour.loss(0.1, 0.3, 0.0, 1.0)
    assert hour.loss(0.1, 0.3, 2.0, 0.5) == pytest.approx(2.0 * mle + 0.5 * kl, rel=1e-12)


@pytest.mark.slow
def test_page__has_the_table_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "decisions.md"
    page.write_text("before\n<!-- toy:begin -->\nold\n<!-- toy:end -->\nafter\n")
    assert toy.main(["--spreads", "0.05", "--docs", str(tmp_path)]) == 0
    text = page.read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert lines[0].count("minimiser of") == len(LOSSES)
    s0, best, mle, kl, _ = (part.strip() for part in lines[2].strip("|").split("|"))
    assert s0 == "0.05"
    decisions = [float(re.match(r"([+-][\d.]+) s0", part)[1]) for part in (best, mle, kl)]  # type: ignore[index]
    assert decisions[0] > 2.0
    assert decisions[1] < 0.0  # the wrong side of the mean
    assert abs(decisions[2] - decisions[0]) < 0.3
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert (tmp_path / "img" / "so_ebm_toy.png").stat().st_size > 10_000
    assert "minimiser of l_MLE" in capsys.readouterr().out


def test_page__without_docs_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(toy, "LOSSES", {})
    assert toy.main(["--spreads", "0.05"]) == 0
    assert not any(tmp_path.iterdir())
