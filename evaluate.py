"""Score agents on common scenarios, print one agent's plan for today, or list the agents there are.

python evaluate.py --env Restoration-v0 --agents nearest,equity-planner,RUN_DIR --json evaluation.json
python evaluate.py --plan --city FOLDER --agents equity-planner --csv plan.csv
python evaluate.py --list

An installed package has the same command as `stormgym evaluate`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from stormgym.__main__ import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name, path or option)."""
    return run("evaluate", sys.argv[1:] if arguments is None else arguments, prog="evaluate.py")


if __name__ == "__main__":
    sys.exit(main())
