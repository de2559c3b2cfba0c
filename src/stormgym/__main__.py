"""The command `stormgym`; its `train` and `evaluate` are train.py and evaluate.py of the repository."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from stormgym import __version__
from stormgym.predictors.extras import MissingExtraError
from stormgym.streams import steady_streams, unshown


class Command(NamedTuple):
    """What a command runs."""

    module: str
    """Has a `main(arguments, prog)`."""
    text: str
    words: tuple[str, ...] = ()
    """Words that stand before the user's."""


COMMANDS = {
    "train": Command("stormgym.agents.training.cli", "train an agent, or go on with a run"),
    "evaluate": Command("stormgym.agents.evaluation.cli", "score agents, or list the agents there are"),
    "plan": Command(
        "stormgym.agents.evaluation.cli", "a plan for today's jobs, or for the season (evaluate --plan)", ("--plan",)
    ),
    "data": Command(
        "stormgym.agents.data_cli", "all that is wrong with what you bring, at once; a city made of an outage export"
    ),
    "report": Command("stormgym.agents.report_cli", "tables and page of an evaluation that was saved as JSON"),
    "completion": Command("stormgym.agents.completion", "a script that completes commands and options in your shell"),
}
"""Commands by name."""


def run(command: str, arguments: Sequence[str], prog: str | None = None) -> int:
    """Run one command; return its exit code, 2 where the extra that it needs is not installed.

    A standard stream that cannot be written to stops nothing; where the output was to be kept, the exit code is 2.

    Args:
        command: one of `COMMANDS`.
        arguments: words after it.
        prog: what messages call it; None takes "stormgym COMMAND".
    """
    prog = prog or f"stormgym {command}"
    with steady_streams() as (out, _):
        code = _run(command, list(arguments), prog)
        out.flush()
        reason = unshown(out)
        if reason is not None:
            print(f"{prog}: not all could be printed ({reason}); files that were asked for are whole", file=sys.stderr)
        return code or (0 if reason is None else 2)


def _run(command: str, arguments: list[str], prog: str) -> int:
    try:
        module = import_module(COMMANDS[command].module)
    except MissingExtraError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped before it began", file=sys.stderr)
        return 130
    return int(module.main([*COMMANDS[command].words, *arguments], prog))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong command)."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in COMMANDS:
        return run(words[0], words[1:])
    usage = "usage: stormgym COMMAND [OPTIONS]; stormgym COMMAND --help explains one; stormgym --version\n\n" + "".join(
        f"  {name:<12}{command.text}\n" for name, command in COMMANDS.items()
    )
    if words and words[0] in ("-V", "--version"):
        print(f"stormgym {__version__}")
        return 0
    if words and words[0] in ("-h", "--help"):
        print(usage, end="")
        return 0
    print(f"stormgym: unknown command {words[0]!r}\n{usage}" if words else usage, end="", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
