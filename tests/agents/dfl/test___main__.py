"""The command line of before."""

from __future__ import annotations

import subprocess
import sys


def test_command__of_before_says_where_it_is_now_and_does_the_same() -> None:
    old, new = (
        subprocess.run([sys.executable, "-m", f"stormgym.agents.{name}", "--help"], capture_output=True, text=True)
        for name in ("dfl", "dispatch")
    )
    assert old.returncode == new.returncode == 0
    assert "has moved: write python -m stormgym.agents.dispatch" in old.stderr
    assert "--out" in old.stdout
    assert old.stdout.count("--") == new.stdout.count("--")
