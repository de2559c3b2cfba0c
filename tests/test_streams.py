"""The standard streams of a command: a broken pipe, a full disk or a closed terminal stops no work."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stormgym.streams import LEAST_COLUMNS, SteadyStream, steady_streams, unshown

ROOT = Path(__file__).resolve().parent.parent
NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Broken(io.StringIO):
    """A stream that cannot be written to, from its first text or at its first flush."""

    def __init__(self, error: OSError, at_flush: bool) -> None:
        super().__init__()
        self.fault, self.at_flush, self.tries = error, at_flush, 0

    def write(self, text: str) -> int:
        self.tries += 1
        if not self.at_flush:
            raise self.fault
        return super().write(text)

    def flush(self) -> None:
        if self.at_flush:
            raise self.fault


@pytest.mark.parametrize("at_flush", [False, True])
def test_steady_stream__drops_what_cannot_be_written_and_remembers_why(at_flush: bool) -> None:
    stream = SteadyStream(Broken(NO_ROOM, at_flush))
    for _ in range(2):
        assert stream.write("text") == 4
        stream.flush()
    assert stream.tries == 1  # a full disk is not asked again
    assert stream.error is NO_ROOM
    assert unshown(stream) == "No space left on device"


def test_unshown__of_a_reader_that_had_enough_is_nothing() -> None:
    stream = SteadyStream(Broken(BrokenPipeError(errno.EPIPE, "Broken pipe"), at_flush=False))
    assert unshown(stream) is None
    stream.write("text")
    assert unshown(stream) is None


def test_steady_stream__escapes_what_an_encoding_lacks() -> None:
    raw = io.BytesIO()
    stream = SteadyStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("Zürich ─ \ud800")
    stream.flush()
    assert raw.getvalue() == rb"Z\xfcrich \u2500 \ud800"


def test_steady_streams__are_put_back_and_closed_ones_swallow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    before = sys.stderr
    with steady_streams() as (out, err):
        assert (sys.stdout, sys.stderr) == (out, err)
        print("nowhere")
        assert out.isatty() is False  # what libraries ask of a stream
    assert sys.stdout is None
    assert sys.stderr is before


@pytest.mark.parametrize("columns", ["1", "5"])
def test_steady_streams__are_wide_enough_for_help(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with steady_streams():
        assert shutil.get_terminal_size().columns == LEAST_COLUMNS
    assert os.environ["COLUMNS"] == columns


COMMAND = """
import sys, stormgym.__main__ as main
class Work:
    @staticmethod
    def main(words, prog):
        print("begun", file=sys.stderr)
        print("a table")
        sys.stdout.flush()
        open("kept.json", "w").write("{}")
        return 0
main.import_module = lambda name: Work
sys.exit(main.main(["evaluate"]))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("2>/dev/full", 0, "a table\n"),
        (">/dev/full", 2, "begun\nstormgym evaluate: not all could be printed (No space left on device); "),
        (">&-", 0, "begun\n"),
        ("2>&-", 0, "a table\n"),
        ("0>&- 1>&- 2>&-", 0, ""),
        ("| true", 0, "begun\n"),
        ("2>&1 | true", 0, ""),
    ],
)
def test_command__finishes_whatever_becomes_of_its_streams(
    redirection: str, code: int, said: str, tmp_path: Path
) -> None:
    words = ["bash", "-c", f'"$0" -c "$1" {redirection}; exit ${{PIPESTATUS[0]}}', sys.executable, COMMAND]
    done = subprocess.run(words, check=False, text=True, capture_output=True, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert (done.stdout + done.stderr).startswith(said)
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    assert (tmp_path / "kept.json").read_text() == "{}"
