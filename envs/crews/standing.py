"""A storm as it stands in the middle: crews that are at work, jobs that are mended already."""

from __future__ import annotations

import numpy as np

from stormgym.envs.crews.process import CrewProcess


def set_to_work(process: CrewProcess, row: int, crew: int, job: int, begin_h: float, finish_h: float) -> None:
    """Let a crew be at a job, or on its way there; call `go_on` when all are.

    Args:
        process: the storms, just reset.
        row: which.
        crew: that repairs; a second call for the same job moves its hours.
        job: slot.
        begin_h, finish_h: when it came or will come, and is done.

    Raises:
        ValueError: an assessor, a crew without the skill, hours out of sequence, or a job that another crew has.
    """
    p, need = process, int(process.jobs.need[row, job])
    if p.roster.assessor[crew] or not p.roster.skills[crew, need]:
        raise ValueError(f"crew {crew} cannot repair job {job}, which needs skill {need}")
    if not begin_h < finish_h:
        raise ValueError(f"a repair must end after it begins; got {begin_h:g} to {finish_h:g} h")
    if p.crew_of[row, job] not in (-1, crew):
        raise ValueError(f"job {job} has crew {p.crew_of[row, job]} already")
    p.loc[row, crew], p.target[row, crew] = p.jobs.site[row, job], job
    p.begin_h[row, crew], p.finish_h[row, crew] = begin_h, finish_h
    free = np.zeros(p.roster.n_crews)
    free[crew] = finish_h
    p.ready_h[row, crew] = p.roster.next_on(free)[crew]
    p.crew_of[row, job] = crew
    p.jobs.duration_h[row, job] = finish_h - begin_h
    _taken(p, row, job, sent_h=min(begin_h, float(p.t[row])), begun_h=begin_h, repaired_h=finish_h)


def set_repaired(process: CrewProcess, row: int, job: int, repaired_h: float) -> None:
    """Let a job be mended already; power may still wait for what is above it."""
    _taken(process, row, job, sent_h=repaired_h, begun_h=repaired_h, repaired_h=repaired_h)


def _taken(p: CrewProcess, row: int, job: int, *, sent_h: float, begun_h: float, repaired_h: float) -> None:
    if not np.isfinite(p.repaired_h[row, job]):
        p.n_left[row] -= 1
    p.sent_h[row, job], p.begun_h[row, job], p.repaired_h[row, job] = sent_h, begun_h, repaired_h
    p.seen_h[row, job] = min(p.seen_h[row, job], begun_h)
    p.pending_h[row, :, job] = np.inf
    rows = np.array([row])
    p.power_h[rows] = p._power(rows)


def go_on(process: CrewProcess, now_h: float) -> None:
    """Let the storms go on from `now_h`: the next crew is asked at the earliest instant from then on."""
    process.t[:] = now_h
    process._next(slice(None))
