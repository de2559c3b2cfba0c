"""Train an agent, or go on with a run.

python train.py --env Restoration-v0
python train.py --env Restoration-v0 --agent ppo --timesteps 500000 --city FOLDER
python train.py --env Restoration-v0 --seeds 5 --jobs 2
python train.py --resume runs/Restoration-v0/sta-sac/RUN

An installed package has the same command as `stormgym train`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stormgym.__main__ import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name, path or option; 130 after Ctrl-C)."""
    return run("train", sys.argv[1:] if arguments is None else arguments, prog="train.py")


if __name__ == "__main__":
    sys.exit(main())
