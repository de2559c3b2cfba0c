"""The file that a pool of training runs starts where only the package is installed; the same as `stormgym train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stormgym.__main__ import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run("train", sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
