"""The command line `stormgym completion`: a script that completes commands, options and choices in a shell.

eval "$(stormgym completion bash)"
stormgym completion zsh > ~/.zfunc/_stormgym
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from typing import Annotated, Any, Literal, Union, get_type_hints

import tyro

SHELLS = ("bash", "zsh", "fish")
USAGE = """usage: {prog} SHELL, where SHELL is one of {shells}

bash: eval "$(stormgym completion bash)"                     in ~/.bashrc
zsh:  stormgym completion zsh > FOLDER/_stormgym             FOLDER is one of $fpath
fish: stormgym completion fish > ~/.config/fish/completions/stormgym.fish
"""


def script(shell: str) -> str:
    """The script for a shell, of all commands with the options that they have for the default environment.

    Raises:
        ValueError: an unknown shell, or one that the installed tyro cannot complete in.
    """
    if shell not in SHELLS:
        raise ValueError(f"a shell must be one of {', '.join(SHELLS)}; got {shell!r}")
    quiet = contextlib.redirect_stderr(io.StringIO())
    with quiet, contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit, NotImplementedError):
        tyro.cli(_commands(), prog="stormgym", args=["--tyro-print-completion", shell])
    if not out.getvalue().strip():
        raise ValueError(f"the installed tyro writes no completion for {shell}: pip install --upgrade tyro")
    return out.getvalue()


def _commands() -> Any:
    from stormgym.agents import report_cli
    from stormgym.agents.evaluation import cli as evaluation
    from stormgym.agents.evaluation.options import with_options
    from stormgym.agents.training import cli as training
    from stormgym.agents.training.options import with_learners

    commands = {
        "train": with_learners(training.Settings, []),
        "evaluate": with_options(evaluation.Settings, []),
        "plan": with_options(evaluation.Settings, []),
        "data": _data(),
        "report": report_cli.Settings,
    }
    kinds = [Annotated[settings, tyro.conf.subcommand(name)] for name, settings in commands.items()]
    return Union[tuple(kinds)]  # noqa: UP007 - made of a list


def _data() -> type:
    """`data check FOLDER`, `data city LOG`: the action as a first word, then the options of all actions."""
    from stormgym.agents.data_cli import ACTIONS

    words: Any = Literal[tuple(ACTIONS)]
    action: tuple[str, Any] = ("action", Annotated[words, tyro.conf.Positional])
    given = {
        f.name: (f.name, get_type_hints(kind, include_extras=True)[f.name], f)
        for kind, _ in ACTIONS.values()
        for f in fields(kind)
        if f.name != "log"  # a path like the folder of a check
    }
    return make_dataclass("Data", [action, *given.values()], kw_only=True, namespace={"__doc__": _data.__doc__})


def main(arguments: Sequence[str] | None = None, prog: str = "stormgym completion") -> int:
    """Run the command line; return the exit code (2 for a wrong or no shell).

    Args:
        arguments: words after the command; None takes those of this process.
        prog: the command, as messages call it.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    usage = USAGE.format(prog=prog, shells=", ".join(SHELLS))
    if words and words[0] in ("-h", "--help"):
        print(usage, end="")
        return 0
    if len(words) != 1:
        print(usage, end="", file=sys.stderr)
        return 2
    try:
        print(script(words[0]), end="")
    except ValueError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    return 0
