"""Who trains a run: one process at a time, which holds a lock in the run's folder until it ends or dies.

The lock is one of the system (`flock`) on the file `lock`, so that a process that is killed leaves no run locked. The
file says who holds it; whoever gives the lock back deletes it. Where a system or a file system has no such locks, the
file still says who trains there, and two trainings of one run are not kept apart.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import socket
import stat
import time
import warnings
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from stormgym.agents.storage.container import UnreadableFile

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
LARGEST = 4096
"""Bytes that are read of who holds a lock."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""How a file system without locks answers."""
REMAINS = re.compile(r"\.(new|old)-\w+|\..*\.tmp|tmp\w+\.tmp")
"""Names of what a killed process leaves where it was writing (`stormgym.agents.files`)."""


class RunInUse(ValueError):
    """Another process trains the run; the message says which."""


class RunGone(OSError):
    """The folder of a run was deleted, moved or taken by another process while it trained."""


class RunLock:
    """Holds a run's folder from the moment that it is made, as a context or until `release`.

    `with lock:` may be nested; the outermost one gives the lock back, and takes it anew where it was given back.

    Args:
        folder: of the run.

    Raises:
        RunInUse: another process, or another training of this one, holds it.
        UnreadableFile: the file `lock` is a link or no plain file.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._depth = 0
        self._token = ""
        self._closing: weakref.finalize[..., Any] | None = None
        self._take()

    @property
    def file(self) -> Path:
        """The file that is locked."""
        return self.folder / LOCK

    @property
    def held(self) -> bool:
        """Whether it is held now."""
        return self._closing is not None and self._closing.alive

    def __enter__(self) -> RunLock:
        if not self.held:
            self._take()
        self._depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.release()

    def release(self) -> None:
        """Give it back; the file is deleted."""
        if self._closing is not None:
            self._closing()

    def check(self) -> None:
        """Raise `RunGone` unless the folder is where it was, and still held by this training."""
        if self.held and _holder(self.file).get("token") != self._token:
            what = "was taken by another process" if os.path.lexists(self.file) else "was moved or deleted"
            raise RunGone(
                f"run folder {str(self.folder)!r} {what} while it trained, so this training ends and writes nothing "
                "more there; go on from its last checkpoint with --resume FOLDER, where the folder is now"
            )

    def sweep(self) -> None:
        """Delete what killed processes left half written; a whole folder that they had put aside takes its name back.

        Only who holds the lock may: nobody else is writing then.
        """
        if not self.held:
            return
        for place in (self.folder, *self.folder.glob("checkpoints")):
            for left in sorted(place.iterdir()) if not place.is_symlink() else ():
                if REMAINS.fullmatch(left.name):
                    _sweep_one(left)

    def _take(self) -> None:
        descriptor = _open_locked(self.folder)
        self._token = secrets.token_hex(8)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "token": self._token}
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, (json.dumps(holder) + "\n").encode())
        except OSError:  # a full disk
            _give_back(self.file, descriptor, os.getpid())
            raise
        self._closing = weakref.finalize(self, _give_back, self.file, descriptor, os.getpid())


def _open_locked(folder: Path) -> int:
    """Descriptor of the lock's file, locked; its name leads to it still."""
    file = folder / LOCK
    while True:
        descriptor = _open(file)
        try:
            _lock(descriptor, folder)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it has just deleted it: its name is another file's, or nobody's


def _open(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise UnreadableFile(f"{file} is a link or no plain file; delete it") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile(f"{file} is no plain file; delete it")
    return descriptor


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            warnings.warn(
                f"the file system of {folder} has no locks: see to it that no two processes train this run at once",
                UserWarning,
                stacklevel=2,
            )
            return
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        holder = _holder(folder / LOCK)
        for _ in range(50):  # who has just locked it writes a moment later who that is
            if holder:
                break
            time.sleep(0.02)
            holder = _holder(folder / LOCK)
        who = f"process {holder['pid']} on {holder['host']}" if {"pid", "host"} <= set(holder) else "another process"
        raise RunInUse(
            f"run {str(folder)!r} is being trained by {who}; wait until it has ended, or stop it there (Ctrl-C, or "
            f"kill {holder.get('pid', 'PID')}), which saves it"
        ) from None


def _give_back(file: Path, descriptor: int, owner: int) -> None:
    """Delete the file, if its name still leads to it, then end the lock; a forked process leaves both to its parent."""
    if os.getpid() == owner:
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                os.unlink(file)
    os.close(descriptor)


def _holder(file: Path) -> dict[str, Any]:
    """What the file of a lock says; nothing where it says nothing that can be read."""
    try:
        with file.open("rb") as stream:
            found = json.loads(stream.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: re.sub(r"[^\w.-]", "?", str(value)[:80]) for key, value in found.items()}


def _sweep_one(left: Path) -> None:
    with suppress(OSError):  # what cannot be deleted harms nobody
        if left.is_symlink() or not left.is_dir():
            left.unlink()
            return
        if left.name.startswith(".old-"):
            for whole in left.iterdir():
                if not os.path.lexists(left.parent / whole.name):
                    whole.rename(left.parent / whole.name)
        shutil.rmtree(left, ignore_errors=True)
