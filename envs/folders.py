"""Every kind of folder that users bring, gathered from the rooms that read them; and which kind a folder is of."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from stormgym.envs.data.checking import FolderKind

_ROOMS = (
    "stormgym.envs.data.kinds:CITY",
    "stormgym.envs.undergrounding.kind:KIND",
    "stormgym.envs.dispatch.kind:KIND",
    "stormgym.envs.data.kinds:LOG",
    "stormgym.envs.data.kinds:FEEDS",
)


def known_kinds() -> dict[str, FolderKind]:
    """Kinds by name."""
    kinds: list[FolderKind] = []
    for room in _ROOMS:
        module, _, name = room.partition(":")
        found = getattr(import_module(module), name)
        kinds += [found] if isinstance(found, FolderKind) else found
    return {kind.name: kind for kind in kinds}


def kind_of(folder: Path) -> FolderKind:
    """The kind of a folder, by the files in it.

    Raises:
        ValueError: no file in it, or files of two kinds, tell which it is.
    """
    kinds = known_kinds()
    fits = [kind for kind in kinds.values() if folder.is_dir() and any(any(folder.glob(n)) for n in kind.told_by)]
    if len(fits) == 1:
        return fits[0]
    reason = (
        f"{folder} may be of kinds {', '.join(k.name for k in fits)}"
        if fits
        else f"{folder} has no file that tells its kind"
        if folder.is_dir()
        else f"{folder} is a file, which may be of any kind"
    )
    possible = [kind for kind in kinds.values() if folder.is_dir() or not kind.needed]
    listed = "; ".join(f"{kind.name} ({kind.summary})" for kind in possible)
    raise ValueError(f"{reason}. Say which with --kind: {listed}")
