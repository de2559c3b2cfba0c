"""The command line `stormgym data`: check what one brings, all that is wrong with it at once; make a city of a log.

stormgym data check FOLDER
stormgym data check faults.csv --kind ukpn --json findings.json
stormgym data check outages.csv --kind log --tz UTC --region-column town
stormgym data city outages.csv --regions towns.csv --out my_city --tz UTC --region-column town
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Group, RenderableType
from rich.text import Text

from stormgym.agents.data_options import CityOptions, Flag, LogOptions, in_options
from stormgym.agents.evaluation.options import shown_as
from stormgym.agents.files import write_atomically
from stormgym.agents.terminal import PlainTable, make_console, simple_table
from stormgym.agents.usage import Outputs, UsageError, check_outputs, usage_errors
from stormgym.envs.data.checking import Finding, FolderReport, check_folder
from stormgym.envs.data.kinds import log_kind, outage_log
from stormgym.envs.data.log_to_city import CityOfLog, city_of_log
from stormgym.envs.folders import kind_of, known_kinds


@dataclass(frozen=True, kw_only=True)
class Check(LogOptions):
    """Read a folder with the package's own readers and list all that is wrong with it, with cures; nothing is changed.

    The exit code is 0 where it can be used, 1 where it cannot.
    """

    folder: Annotated[tyro.conf.Positional[Path], shown_as("FOLDER")]
    """A folder, or a file: of a feed, or an outage export."""
    kind: Annotated[str | None, shown_as("KIND")] = None
    """What it is: city, undergrounding, dispatch, log (an outage export, with the options that name its columns), or a
    feed such as ukpn (a wrong name lists all). Left out: the files in it tell."""
    json: Annotated[Path | None, shown_as("FILE")] = None
    """Write the findings to this file."""


@dataclass(frozen=True, kw_only=True)
class MakeCity(CityOptions):
    """Make a city's folder of an outage export and a table of regions, or list all that is wrong with them.

    The exit code is 0 where the folder was written, 1 where the files cannot be used.
    """

    log: Annotated[tyro.conf.Positional[Path], shown_as("LOG")]
    """The export: a CSV file with a row an outage."""
    regions: Annotated[Path, shown_as("REGIONS")]
    """CSV file with a row a region: name, lat and lon (or x_km and y_km), income or group; perhaps customers."""
    out: Annotated[Path, shown_as("FOLDER")]
    """Folder to write."""
    busiest: Annotated[int | None, shown_as("N")] = None
    """Take the N regions with most outages alone."""
    drop_unknown: Flag = False
    """Leave out outages of regions that REGIONS has no row for."""
    overwrite: Flag = False
    """Write over a city that stands in FOLDER."""
    json: Annotated[Path | None, shown_as("FILE")] = None
    """Write the findings to this file."""


USAGE = """usage: {prog} check FOLDER [--kind KIND] [--json FILE]
       {prog} check LOG --kind log [--tz ZONE] [--region-column COLUMN] ...
       {prog} city LOG --regions REGIONS --out FOLDER [--tz ZONE] [--region-column COLUMN] ..."""


def main(arguments: Sequence[str] | None = None, prog: str = "stormgym data") -> int:
    """Run the command line; return the exit code (0: usable, or written; 1: not; 2: a wrong name, path or option).

    Args:
        arguments: words after the command; None takes those of this process.
        prog: the command, as messages call it.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words or words[0] not in ACTIONS:
        asked = bool(words) and words[0] in ("-h", "--help")
        print(USAGE.format(prog=prog), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    kind, run = ACTIONS[words[0]]
    prog = f"{prog} {words[0]}"
    settings: Any = tyro.cli(kind, prog=prog, args=words[1:])
    try:
        return run(settings)
    except UsageError as error:
        print(f"{prog}: {in_options(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
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
        of_log = settings.log_arguments()
        if of_log and settings.kind != "log":
            option = f"--{next(iter(of_log)).replace('_', '-')}"
            raise ValueError(f"{option} is for an outage export: add --kind log, or leave it out")
        kind = kind_of(settings.folder) if settings.kind is None else kinds[settings.kind]
        check_outputs({"--json": settings.json})
        report = check_folder(settings.folder, outage_log(**of_log) if of_log else kind)
        report = _with_options(report) if kind.name == "log" else report
    with Outputs(lambda line: out.print(line, soft_wrap=True)) as outputs:
        outputs.write("Findings", settings.json, lambda file: write_atomically(file, as_json(report)))
        out.print(render_findings(report))
    return 0 if report.usable else 1


def run_city(settings: MakeCity) -> int:
    """Make a city of a log, print what was doubtful and what came of it, or all faults; return the exit code.

    Raises:
        UsageError: a file is not there, an option is wrong, or the folder cannot be written.
    """
    out = make_console()
    read: list[CityOfLog] = []
    with usage_errors():
        for file in (settings.log, settings.regions):
            if not file.is_file():
                raise FileNotFoundError(f"{file}: no such file")
        _check_folder_is_free(settings)
        check_outputs({"--json": settings.json})
        log_arguments = {"tz": None, **settings.log_arguments()}
        city_arguments = settings.city_arguments(settings.out)

        def reader(log: Path) -> CityOfLog:
            read[:] = [
                city_of_log(
                    log,
                    settings.regions,
                    log_arguments=log_arguments,
                    city_arguments=city_arguments,
                    busiest=settings.busiest,
                    drop_unknown=settings.drop_unknown,
                )
            ]
            return read[0]

        kind = replace(log_kind(reader, CityOfLog.in_words, settings.time_format), name="a city's log")
        report = check_folder(settings.log, kind)
        report = _with_options(report)
        if report.usable:
            read[0].city.save(settings.out)
    with Outputs(lambda line: out.print(line, soft_wrap=True)) as outputs:
        outputs.write("Findings", settings.json, lambda file: write_atomically(file, as_json(report)))
        out.print(render_findings(report))
        if report.usable:
            out.print(render_city(read[0]))
            for column in (c for c in read[0].unused if "customer" in c.lower()):
                out.print(
                    f"{column} of {settings.log.name} is not read: --feature-columns {column} makes it a feature, if "
                    f"it is known when a job comes in; customers of a region are a column of {settings.regions.name} "
                    "(--customers-column).",
                    soft_wrap=True,
                )
            folder = shlex.quote(str(settings.out))
            out.print(f"City: {settings.out}\nNext: stormgym evaluate --city {folder} --episodes 32", soft_wrap=True)
    return 0 if report.usable else 1


ACTIONS: dict[str, tuple[type, Callable[[Any], int]]] = {"check": (Check, run_check), "city": (MakeCity, run_city)}
"""By name: its options, and what runs it."""


def _check_folder_is_free(settings: MakeCity) -> None:
    """Raise where the folder has a city, or one of the files that are read."""
    there = [settings.out / name for name in ("regions.csv", "log.csv", "city.json") if (settings.out / name).exists()]
    read = {settings.log.resolve(), settings.regions.resolve()}
    for file in there:
        if file.resolve() in read:
            raise ValueError(f"--out {settings.out}: {file.name} in it is read, and would be lost. Name another folder")
    if there and not settings.overwrite:
        raise ValueError(f"--out {settings.out}: it has {there[0].name}. Name another folder, or add --overwrite")


def _with_options(report: FolderReport) -> FolderReport:
    """A report whose cures name options."""
    findings = tuple(replace(finding, message=in_options(finding.message)) for finding in report.findings)
    return replace(report, findings=findings)


def render_city(made: CityOfLog) -> RenderableType:
    """What a city was made of, a row a figure."""
    city, log = made.city, made.city.log
    sizes = ", ".join(f"{name} {int((city.group == g).sum())}" for g, name in enumerate(city.group_names))
    rows = {
        "outages": f"{len(log):,} of {made.n_rows:,} rows",
        **{f"left out: {reason}": f"{n:,}" for reason, n in made.left_out.items()},
        "regions": f"{city.n_regions:,} (groups: {sizes})",
        "first and last day (UTC)": log.span() or "not known",
        "median duration": f"{float(np.median(log.repair_h)):.3g} h",
        "customers": "not known" if city.customers is None else f"{city.customers.sum():,.0f}",
        "features": ", ".join(log.feature_names),
        "columns not read": ", ".join(made.unused) or "none",
    }
    table = simple_table(None, ["value"], "what", names=[])
    for name, value in rows.items():
        table.add_row(name, value)
    return table


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
    words = finding.message.replace(f"{folder.rstrip('/')}/", "").replace(folder, Path(folder).name)
    if finding.more_lines:
        some = ", ".join(map(str, finding.more_lines[:5])) + (", ..." if len(finding.more_lines) > 5 else ".")
        words += f" The same in {len(finding.more_lines):,} more line{'s' * (len(finding.more_lines) > 1)}: {some}"
    return f"{words} (This may come of what stands above.)" if finding.follows else words


def _verdict(report: FolderReport) -> str:
    n = {level: sum(f.level == level for f in report.findings) for level in ("error", "warning")}
    counted = ", ".join(f"{n[level]} {level}{'s' * (n[level] != 1)}" for level in n if n[level])
    if not report.usable:
        more = "" if report.complete else "; more may come to light once they are mended"
        return f"{report.folder}: cannot be used as {report.kind} ({counted}{more})."
    return f"{report.folder}: fit for use as {report.kind} ({report.content}{'; ' * bool(counted)}{counted})."
