"""The lock of a run: one holder, which others are told of; given back at death; remains of the dead are swept."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stormgym.agents import run_lock
from stormgym.agents.run_lock import LOCK, RunGone, RunInUse, RunLock
from stormgym.agents.storage.container import UnreadableFile

HOLDS = (
    "import sys; from pathlib import Path; from stormgym.agents.run_lock import RunLock; "
    "lock = RunLock(Path(sys.argv[1])); print('held', flush=True); input()"
)


def test_lock__has_one_holder_and_leaves_no_file(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    who = f"process {os.getpid()} on {socket.gethostname()}"
    with pytest.raises(RunInUse, match=f"is being trained by {who}; wait until it has ended, or stop it there"):
        RunLock(tmp_path)
    lock.release()
    assert not lock.held
    assert list(tmp_path.iterdir()) == []
    RunLock(tmp_path).release()


def test_lock__as_a_context_is_given_back_by_the_outermost_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    with lock:
        with lock:
            pass
        assert lock.held
        lock.check()
    assert not lock.held
    with lock:
        assert lock.held
    assert not (tmp_path / LOCK).exists()


def test_lock__that_nobody_refers_to_any_more_is_given_back(tmp_path: Path) -> None:
    RunLock(tmp_path)
    assert not (tmp_path / LOCK).exists()
    RunLock(tmp_path).release()


@pytest.mark.skipif(run_lock.fcntl is None, reason="a system without locks")
def test_lock__of_a_killed_process_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunInUse, match=f"process {holder.pid} on "):
            RunLock(tmp_path)
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / LOCK).is_file()
    lock = RunLock(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    lock.release()


@pytest.mark.skipif(run_lock.fcntl is None, reason="a system without locks")
@pytest.mark.parametrize("text", ["", "[" * 5_000, "[1]", '{"pid": "\\u001b[31m\\n", "host": 7}'])
def test_lock__whose_file_says_nonsense_is_one_sentence(text: str, tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(RunInUse, match="is being trained by ") as told:
        RunLock(tmp_path)
    assert str(told.value).isprintable()
    lock.release()


@pytest.mark.skipif(os.name == "nt", reason="makes links and pipes")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_lock__that_is_no_plain_file_is_one_sentence(kind: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    run = tmp_path / "run"
    run.mkdir()
    make = {"link": lambda f: f.symlink_to(precious), "pipe": os.mkfifo, "folder": os.mkdir}[kind]
    make(run / LOCK)
    with pytest.raises(UnreadableFile, match=r"lock is .*no plain file; delete it"):
        RunLock(run)
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("answer", [errno.ENOLCK, None])
def test_lock__of_a_file_system_without_locks_still_says_who_trains(
    answer: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer is None:
        monkeypatch.setattr(run_lock, "fcntl", None)
        first, second = RunLock(tmp_path), RunLock(tmp_path)
    else:

        class Without:
            LOCK_EX, LOCK_NB = 2, 4

            @staticmethod
            def flock(descriptor: int, how: int) -> None:
                raise OSError(answer, "no locks")

        monkeypatch.setattr(run_lock, "fcntl", Without)
        with pytest.warns(UserWarning, match="has no locks: see to it that no two processes train this run at once"):
            first, second = RunLock(tmp_path), RunLock(tmp_path)
    second.check()
    with pytest.raises(RunGone, match="was taken by another process while it trained"):
        first.check()
    for lock in (first, second):
        lock.release()


@pytest.mark.parametrize("what", ["deleted", "moved", "copied"])
def test_check__tells_that_the_folder_is_gone(what: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    lock = RunLock(run)
    lock.check()
    if what == "deleted":
        shutil.rmtree(run)
    else:
        run.rename(tmp_path / "elsewhere")
    if what == "copied":
        shutil.copytree(tmp_path / "elsewhere", run)
        lock.check()  # nobody has begun to train there
        other = RunLock(run)
        with pytest.raises(RunGone, match="was taken by another process"):
            lock.check()
        lock.release()
        other.check()  # whose file is left alone
        other.release()
    else:
        with pytest.raises(
            RunGone, match=r"was moved or deleted while it trained, .* writes nothing more there; .*--resume"
        ):
            lock.check()
        lock.release()
        assert not run.exists()


def test_sweep__takes_away_remains_and_gives_a_whole_folder_its_name_back(tmp_path: Path) -> None:
    run = tmp_path
    for name in ("best", ".new-abc", ".old-def/best", ".old-ghi/gone", "checkpoints/.new-x", "checkpoints/.old-y/48"):
        (run / name).mkdir(parents=True)
        (run / name / "model").write_text(name)
    for name in ("tmpa1b2_c3.tmp", ".progress.csv.0a1b.tmp", "checkpoints/tmp1.tmp", "notes.txt", ".hidden", "my.tmp"):
        (run / name).write_text("")
    lock = RunLock(run)
    lock.sweep()
    lock.release()
    assert {p.name for p in run.iterdir()} == {"best", "gone", "checkpoints", "notes.txt", ".hidden", "my.tmp"}
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"48"}
    assert (run / "best" / "model").read_text() == "best"
    assert (run / "gone" / "model").read_text() == ".old-ghi/gone"
    (run / ".new-late").mkdir()
    lock.sweep()  # not ours any more: somebody may be writing there
    assert (run / ".new-late").is_dir()


def test_lock__on_a_full_disk_is_given_back_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left on device"):
            RunLock(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path) as lock:  # nobody holds it
        assert lock.held
