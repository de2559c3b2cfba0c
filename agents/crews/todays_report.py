"""Plans for today as tables, CSV files and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stormgym.agents.crews.todays_result import Estimate, Plan
from stormgym.agents.files import csv_for_people, is_plain, write_atomically
from stormgym.agents.plan_times import PlanClock
from stormgym.agents.terminal import simple_table

FAIREST = "rolling-fair"
"""The agent that plans within the limit, where a plan can be."""
OF_STOPS = (
    "Start (on site) and back: medians of the same simulated days, back with its interval. On a day on which the work "
    "before is quick both are earlier, so that an interval may begin before the start shown."
)
OF_REGIONS = (
    "A region is back with the last of its jobs on each simulated day, and so a little later than the latest of their "
    "medians."
)
NOTE = (
    "Simulated: repairs drawn independently from their predictive quantiles, sequences fixed, nothing new reported. "
    "New jobs and delays that hit all alike make it later and wider."
)
STOP_COLUMNS = ("what_if", "crew", "order", "job", "region", "group", "work", "travel_h", "start_h")
REGION_COLUMNS = ("what_if", "region", "group", "jobs", "customers")
BACK_COLUMNS = ("ert_h", "lower_h", "upper_h")
CURVE_COLUMNS = ("what_if", "share", "p50_h", "p90_h")


def render_plans(plans: Sequence[Plan]) -> RenderableType:
    """One plan in full; several side by side behind it."""
    first = plans[0]
    parts: list[RenderableType] = [Text(_title(first), style="bold"), Text(""), _crews(first)]
    parts += [Text(OF_STOPS, style="dim"), Text(""), _regions(plans)]
    parts += [Text(OF_REGIONS, style="dim")] if any(region.jobs > 1 for region in first.regions) else []
    parts += [Text(""), _curves(plans), Text("")]
    parts += [Text(f"Warning: {line}", style="yellow") for line in first.warnings]
    parts += [Text(line, style="dim") for line in _notes(plans)]
    return Group(*parts)


def _title(plan: Plan) -> str:
    jobs = len({stop.job for crew in plan.crews for stop in crew.stops if stop.work == "repair"})
    now = "hours from now" if plan.start is None else f"now is {PlanClock(plan.start).text(0.0)}"
    return f"Plan of {plan.agent} for {plan.city}: {count_of(jobs, 'job')}, {count_of(len(plan.crews), 'crew')}, {now}"


def _crews(plan: Plan) -> Table:
    clock, share = PlanClock(plan.start), f"{100 * plan.confidence_level:g} %"
    heads = ["", "job", "region", "group", "travel\nh", "start", "power\nback", f"{share}\nbetween"]
    table = simple_table(None, heads, first="crew", names=[crew.crew for crew in plan.crews])
    for crew in plan.crews:
        for stop in crew.stops:
            table.add_row(
                crew.crew if stop.order == 1 else "",
                str(stop.order),
                f"{stop.job} (look)" if stop.work == "look" else stop.job,
                stop.region,
                stop.group,
                "under way" if stop.travel_h is None else f"{stop.travel_h:.2f}",
                clock.text(stop.start_h),
                clock.text(stop.back.ert_h),
                clock.between(stop.back.lower_h, stop.back.upper_h),
            )
        if not crew.stops:
            table.add_row(crew.crew, "", "nothing left to do", "", "", "", "", "", "")
    return table


def _regions(plans: Sequence[Plan]) -> Table:
    clock, share = PlanClock(plans[0].start), f"{100 * plans[0].confidence_level:g} %"
    heads = ["group", "jobs", "customers"]
    heads += ["power\nback", f"{share}\nbetween"] if len(plans) == 1 else [f"back\n{plan.name}" for plan in plans]
    table = simple_table(None, heads, first="region")
    others = [{region.region: region.back for region in plan.regions} for plan in plans]
    for region in plans[0].regions:
        row = [region.region, region.group, str(region.jobs), f"{region.customers:,.0f}"]
        if len(plans) == 1:
            row += [clock.text(region.back.ert_h), clock.between(region.back.lower_h, region.back.upper_h)]
        else:
            row += [clock.text(back[region.region].ert_h) for back in others]
        table.add_row(*row)
    return table


def _curves(plans: Sequence[Plan]) -> Table:
    """Customers back by when, and what the plans add up to."""
    clock = PlanClock(plans[0].start)
    table = simple_table(None, [plan.name for plan in plans], first="customers back: P50, P90")
    for i, point in enumerate(plans[0].curve):
        cells = [clock.between(plan.curve[i].p50_h, plan.curve[i].p90_h, ", ") for plan in plans]
        table.add_row(f"{100 * point.share:g} %", *cells)
    for name, key in (("mean outage h", "mean_outage_h"), ("gap h", "gap_h"), ("overtime crew-h", "overtime_h")):
        table.add_row(name, *(f"{getattr(plan, key):.1f}" for plan in plans))
    return table


def _notes(plans: Sequence[Plan]) -> list[str]:
    plan = plans[0]
    notes = [f"Crews: {plan.crews_source}.", f"Jobs: {plan.source}."]
    if plan.left_out:
        notes.append(f"Left out: {count_of(plan.left_out, 'job')} reported later than now.")
    told = f"Gap between groups {plan.gap_h:.1f} h, limit {plan.cost_limit_h:g} h ({plan.limit_source})"
    if plan.gap_h <= plan.cost_limit_h:
        notes.append(f"{told}.")
    elif plan.agent == FAIREST:
        notes.append(f"{told}: over the limit, though {FAIREST} balances the groups.")
    else:
        notes.append(f"{told}: over the limit. Try --agents {FAIREST}, which keeps to it where it can.")
    return [*notes, NOTE]


def count_of(n: int, word: str) -> str:
    """A number and what it counts."""
    return f"{n} {word}{'s' if n != 1 else ''}"


def write_plans_csv(plans: Sequence[Plan], file: str | os.PathLike[str]) -> Path:
    """Write one row a stop, and beside it `NAME-regions.csv` and `NAME-curve.csv`.

    With a start, further columns hold times of day (ISO 8601). Plans of --what-if follow each other, told apart by the
    column `what_if`. A device or a pipe gets the stops alone.
    """
    path = Path(file)
    several = len(plans) > 1
    tables: dict[str, tuple[tuple[str, ...], list[list[Any]]]] = {
        "": ((*STOP_COLUMNS, *BACK_COLUMNS), []),
        "-regions": ((*REGION_COLUMNS, *BACK_COLUMNS), []),
        "-curve": (CURVE_COLUMNS, []),
    }
    for plan in plans:
        name, clock = plan.name if several else "", PlanClock(plan.start)
        for crew in plan.crews:
            for stop in crew.stops:
                travel = "" if stop.travel_h is None else f"{stop.travel_h:.4f}"
                told = [name, crew.crew, stop.order, stop.job, stop.region, stop.group, stop.work, travel]
                tables[""][1].append([*told, f"{stop.start_h:.4f}", *_hours(stop.back), *_times(stop.back, clock)])
        for region in plan.regions:
            told = [name, region.region, region.group, region.jobs, f"{region.customers:g}"]
            tables["-regions"][1].append([*told, *_hours(region.back), *_times(region.back, clock)])
        for point in plan.curve:
            times = [clock.iso(hours) for hours in (point.p50_h, point.p90_h)] if plan.start else []
            tables["-curve"][1].append([name, f"{point.share:g}", f"{point.p50_h:.4f}", f"{point.p90_h:.4f}", *times])
    for part, (columns, rows) in tables.items():
        timed = tuple(column.removesuffix("_h") for column in columns if column in (*BACK_COLUMNS, "p50_h", "p90_h"))
        head = columns + (timed if plans[0].start else ())
        skip = 0 if several else 1
        if is_plain(path) or not part:
            text = csv_for_people([row[skip:] for row in [head, *rows]])
            write_atomically(path.with_name(f"{path.stem}{part}{path.suffix}") if part else path, text)
    return path


def _hours(back: Estimate) -> list[str]:
    return [f"{hours:.4f}" for hours in (back.ert_h, back.lower_h, back.upper_h)]


def _times(back: Estimate, clock: PlanClock) -> list[str | None]:
    return [clock.iso(hours) for hours in (back.ert_h, back.lower_h, back.upper_h)] if clock.start else []


def plans_record(plans: Sequence[Plan]) -> dict[str, Any]:
    """The plans as plain data: the JSON that `stormgym.envs.data.schemas.read_schema("plan")` describes."""
    first = plans[0]
    told = ("city", "agent", "source", "crews_source", "left_out", "confidence_level", "cost_limit_h", "limit_source")
    record: dict[str, Any] = {name: getattr(first, name) for name in told} | {"warnings": list(first.warnings)}
    record["start"] = PlanClock(first.start).iso(0.0)
    record["plans"] = [_record(plan) for plan in plans]
    return record


def _record(plan: Plan) -> dict[str, Any]:
    own = asdict(plan)
    clock = PlanClock(plan.start)
    for part in ("stops", "regions"):
        listed = own["regions"] if part == "regions" else [stop for crew in own["crews"] for stop in crew["stops"]]
        for one in listed:
            one.update(one.pop("back"))
            if plan.start is not None:
                one["ert"] = clock.iso(one["ert_h"])
    keys = ("name", "mean_outage_h", "gap_h", "overtime_h", "crews", "regions", "curve")
    return {key: own[key] for key in keys}


def write_plans_json(plans: Sequence[Plan], file: str | os.PathLike[str]) -> Path:
    """Write `plans_record`."""
    return write_atomically(file, json.dumps(plans_record(plans), indent=1) + "\n")
