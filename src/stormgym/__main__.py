"""The command `stormgym`: `stormgym train` and `stormgym evaluate`, as train.py and evaluate.py of the repository."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from stormgym.predictors.extras import MissingExtraError

COMMANDS = {
    "train": ("stormgym.agents.training.cli", "train an agent, or go on with a run"),
    "evaluate": (
        "stormgym.agents.evaluation.cli",
        "score agents, print a plan for today, or list the agents there are",
    ),
}
"""Modules with a `main(arguments, prog)`, and what they are for."""


def run(command: str, arguments: Sequence[str], prog: str | None = None) -> int:
    """Run one command; return its exit code, 2 where the extra that it needs is not installed.

    Args:
        command: one of `COMMANDS`.
        arguments: words after it.
        prog: what messages call it; None takes "stormgym COMMAND".
    """
    prog = prog or f"stormgym {command}"
    try:
        module = import_module(COMMANDS[command][0])
    except MissingExtraError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    return int(module.main(list(arguments), prog))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong command)."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in COMMANDS:
        return run(words[0], words[1:])
    usage = "usage: stormgym COMMAND [OPTIONS]; stormgym COMMAND --help explains one\n\n" + "".join(
        f"  {name:<10}{text}\n" for name, (_, text) in COMMANDS.items()
    )
    if words and words[0] in ("-h", "--help"):
        print(usage, end="")
        return 0
    print(f"stormgym: unknown command {words[0]!r}\n{usage}" if words else usage, end="", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
