"""The command line `stormgym data`: check a folder of one's own, all that is wrong with it at once.

stormgym data check FOLDER
stormgym data check outages.csv --kind ukpn --json findings.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Group, RenderableType
from rich.text import Text

from stormgym.agents.evaluation.options import shown_as
from stormgym.agents.files import write_atomically
from stormgym.agents.terminal import PlainTable, make_console
from stormgym.agents.usage import Outputs, UsageError, check_outputs, usage_errors
from stormgym.envs.data.checking import Finding, FolderReport, check_folder
from stormgym.envs.folders import kind_of, known_kinds


@dataclass(frozen=True, kw_only=True)
class Check:
    """Read a folder with the package's own readers and list all that is wrong with it, with cures; nothing is changed.

    The exit code is 0 where it can be used, 1 where it cannot.
    """

    folder: Annotated[tyro.conf.Positional[Path], shown_as("FOLDER")]
    """A folder, or a file of a feed."""
    kind: Annotated[str | None, shown_as("KIND")] = None
    """What it is: city, undergrounding, dispatch, or a feed such as ukpn (a wrong name lists all). Left out: the files
    in it tell."""
    json: Annotated[Path | None, shown_as("FILE")] = None
    """Write the findings to this file."""


ACTIONS = {"check": Check}
USAGE = "usage: {prog} check FOLDER [--kind KIND] [--json FILE]"


def main(arguments: Sequence[str] | None = None, prog: str = "stormgym data") -> int:
    """Run the command line; return the exit code (0: usable; 1: not; 2: a wrong name, path or option).

    Args:
        arguments: words after the command; None takes those of this process.
        prog: the command, as messages call it.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words or words[0] not in ACTIONS:
        asked = bool(words) and words[0] in ("-h", "--help")
        print(USAGE.format(prog=prog), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    settings = tyro.cli(Check, prog=f"{prog} check", args=words[1:])
    try:
        return run_check(settings)
    except UsageError as error:
        print(f"{prog} check: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog} check: stopped", file=sys.stderr)
        return 130


def run_check(settings: Check) -> int:
    """Check a folder, print the findings, write them; return the exit code.

    Raises:
        UsageError: it is not there, its kind is not known, or the file cannot be written.
    """
    out = make_console()
    with usage_errors():
        if not settings.folder.exists():
            raise FileNotFoundError(f"{settings.folder}: no such file or folder")
        kinds = known_kinds()
        if settings.kind is not None and settings.kind not in kinds:
            raise ValueError(f"--kind must be one of {', '.join(kinds)}; got {settings.kind!r}")
        kind = kind_of(settings.folder) if settings.kind is None else kinds[settings.kind]
        check_outputs({"--json": settings.json})
        report = check_folder(settings.folder, kind)
    with Outputs(lambda line: out.print(line, soft_wrap=True)) as outputs:
        outputs.write("Findings", settings.json, lambda file: write_atomically(file, as_json(report)))
        out.print(render_findings(report))
    return 0 if report.usable else 1


def as_json(report: FolderReport) -> str:
    """The report as JSON: `folder`, `kind`, `usable`, `complete`, `content`, and the findings."""
    return json.dumps({**asdict(report), "usable": report.usable}, indent=1) + "\n"


def render_findings(report: FolderReport) -> RenderableType:
    """The findings as a table, and a sentence on what they come to."""
    table = PlainTable("", "place", "what is wrong, and the cure", show_lines=True)
    for finding in report.findings:
        table.add_row(_level(finding), _place(finding), _words(finding, report.folder))
    return Group(*([table] if report.findings else []), Text(_verdict(report)))


def _level(finding: Finding) -> Text:
    return Text(finding.level, style="bold red" if finding.level == "error" else "yellow")


def _place(finding: Finding) -> str:
    line = "" if finding.line is None else f":{finding.line}"
    return f"{Path(finding.file).name}{line}" + (f" {finding.column}" if finding.column else "")


def _words(finding: Finding, folder: str) -> str:
    words = finding.message.replace(f"{folder.rstrip('/')}/", "")
    if finding.more_lines:
        some = ", ".join(map(str, finding.more_lines[:5])) + (", ..." if len(finding.more_lines) > 5 else "")
        words += f" The same in {len(finding.more_lines)} more lines: {some}."
    return f"{words} (This may come of what stands above.)" if finding.follows else words


def _verdict(report: FolderReport) -> str:
    n = {level: sum(f.level == level for f in report.findings) for level in ("error", "warning")}
    counted = ", ".join(f"{n[level]} {level}{'s' * (n[level] != 1)}" for level in n if n[level])
    if not report.usable:
        more = "" if report.complete else "; more may come to light once they are mended"
        return f"{report.folder}: cannot be used as {report.kind} ({counted}{more})."
    return f"{report.folder}: fit for use as {report.kind} ({report.content}{'; ' * bool(counted)}{counted})."
