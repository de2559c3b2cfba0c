"""The benchmark of policy gradients: its statistic, its estimates, its doors."""

from pathlib import Path

import pytest
import torch

from benchmarks.restoration import gradient_noise as door


def test_signal_share__is_that_of_known_signal_and_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    signal = torch.zeros(4_000)
    signal[0] = 3.0
    noise = torch.randn(50, 4_000, generator=generator)
    wanted = 9.0 / (9.0 + 4_000 / 50)
    assert door.signal_share(signal + noise) == pytest.approx(wanted, abs=0.03)
    assert abs(door.signal_share(noise)) < 0.03
    assert door.signal_share(signal.repeat(5, 1)) == pytest.approx(1.0)


@pytest.mark.slow
def test_estimates__without_luck_and_beside_the_same_storm_are_the_least_noisy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "agents.md"
    page.write_text("<!-- gradient_noise:begin -->\n<!-- gradient_noise:end -->\n")
    assert door.main(["--city", "synthetic:12:1", "--collections", "3", "--docs", str(tmp_path)]) == 0
    assert "share of signal" in capsys.readouterr().out
    rows = [
        line.split("|")[1:-1] for line in page.read_text().splitlines() if line.startswith("| as") or "luck |" in line
    ]
    spread = {(row[0].strip(), row[1].strip()): float(row[2]) for row in rows}
    assert min(spread, key=lambda kind: spread[kind]) == ("without luck", "the same storm")
    assert max(spread, key=lambda kind: spread[kind]) == ("as they came", "all episodes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--collections", "1"], "--collections must be at least 2; got 1"),
        (["--agent", "sta-sac:nobody"], "nobody"),
        (["--city", "atlantis"], "atlantis"),
    ],
)
def test_door__tells_what_is_wrong(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(options) == 2
    assert message in capsys.readouterr().err
