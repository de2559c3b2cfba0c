"""Devices and threads: what torch lacks and what this machine has not is said."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from stormgym.agents import devices
from stormgym.agents.devices import capped_threads, check_device
from stormgym.agents.pretrained import load_pretrained


@pytest.mark.parametrize("device", ["cpu", "auto", "cpu:0"])
def test_device__that_is_there_passes(device: str) -> None:
    check_device(device)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("abacus", "--device must be cpu, cuda or auto; got 'abacus'"),
        ("", "--device must be cpu, cuda or auto; got ''"),
        ("cuda:x", "--device must be cpu, cuda or auto; got 'cuda:x'"),
        ("cuda:9999", r"--device cuda:99.*|--device must be"),
        ("meta", r"--device meta: torch .* cannot compute on 'meta' here; take cpu or auto"),
        ("xla", r"--device xla: torch .* cannot compute on 'xla' here"),
        ("hpu", r"--device hpu: torch .* cannot compute on 'hpu' here"),
    ],
)
def test_device__that_is_not_there_is_one_sentence(device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        check_device(device)
    assert "\n" not in str(told.value)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has it")
def test_device__of_another_system_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the device mps: torch .* cannot compute on 'mps' here; write cpu"):
        check_device("mps", "the device", "write cpu")
    with pytest.raises(ValueError, match="device mps: torch"):
        load_pretrained("sta-sac:default", device="mps")


def test_threads__are_at_most_one_a_processor_and_a_warning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "processors", lambda: 2)
    with pytest.warns(UserWarning, match="--torch-threads 10000 is more than the processors .* it takes 2"):
        assert capped_threads(10_000) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert capped_threads(2) == 2
