"""`python -m stormgym.agents.dfl` of before: forecasters of outage waves are fitted by `stormgym.agents.dispatch`."""

import sys
from importlib import import_module
from typing import Any


def main(args: list[str] | None = None) -> int:
    """What `python -m stormgym.agents.dispatch` does."""
    command: Any = import_module("stormgym.agents.dispatch.__main__")  # by its text: dfl knows no domain
    return int(command.main(args))


if __name__ == "__main__":
    print("python -m stormgym.agents.dfl has moved: write python -m stormgym.agents.dispatch", file=sys.stderr)
    sys.exit(main())
