"""Instances of crew dispatch as plain data: a storm, its crews and a sequence of actions, and what comes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stormgym.envs.crews.process import CrewProcess, StormJobs
from stormgym.envs.crews.roster import Roster


def process_of(instance: Mapping[str, Any], *, overtime_price: float = 0.0) -> CrewProcess:
    """The process of an instance, at its first decision.

    Args:
        instance: with `distance_km` `[V, V]`, `crews`, `jobs`, `arrival_end_h`, `assess_h`, `n_groups` and `n_skills`;
            an arrival of null is an empty slot.
        overtime_price: see `CrewProcess`.
    """
    jobs = instance["jobs"]

    def column(name: str, kind: type[Any] = np.float64) -> Any:
        return np.array([[job[name] for job in jobs]], dtype=kind)

    arrival = [[np.inf if job["arrival_h"] is None else job["arrival_h"] for job in jobs]]
    duration = column("duration_h")
    process = CrewProcess(
        np.array(instance["distance_km"], dtype=np.float64),
        Roster.of(instance["crews"], instance["n_skills"]),
        1,
        len(jobs),
        instance["n_groups"],
        arrival_end_h=instance["arrival_end_h"],
        assess_h=instance["assess_h"],
        overtime_price=overtime_price,
    )
    process.reset(
        StormJobs(
            site=column("site", np.int64),
            group=column("group", np.int64),
            weight=column("weight"),
            customers=column("customers"),
            arrival_h=np.array(arrival, dtype=np.float64),
            need=column("skill", np.int64),
            parent=column("parent", np.int64),
            duration_h=duration,
            point_h=duration,
            lower_h=duration,
            upper_h=duration,
            wide_h=np.repeat(duration[..., None], 3, axis=2),
            assessed=column("assessed", np.bool_),
        )
    )
    return process


def replay(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Play the `actions` of an instance.

    Returns:
        `steps`, a record for each decision (`t_h, crew, action_mask, action, reward, cost`), and `result` (`finish_h`,
        `power_back_h` and `outage_h` of each job, None for empty slots; `reward_sum, cost_sum, saidi_h, makespan_h` and
        `overtime_h` of each crew).

    Raises:
        ValueError: actions that end before the storm does, or go on behind it.
    """
    process = process_of(instance)
    steps: list[dict[str, Any]] = []
    ended = False
    for i, action in enumerate(instance["actions"]):
        if ended:
            raise ValueError(f"the storm is over after {i} actions; {len(instance['actions'])} are given")
        record = {"t_h": float(process.t[0]), "crew": int(process.asked[0])}
        mask = process.mask[0].astype(int).tolist()
        step = process.step(np.array([action]))
        paid = {"reward": float(step.reward[0]), "cost": float(step.cost[0])}
        steps.append({**record, "action_mask": mask, "action": int(action), **paid})
        ended = step.any_ended
    if not ended:
        raise ValueError(f"{int(process.n_left[0])} jobs are left after the last of {len(steps)} actions")
    return {"steps": steps, "result": _result(process, steps)}


def _result(process: CrewProcess, steps: list[dict[str, Any]]) -> dict[str, Any]:
    jobs = process.jobs
    exists = np.isfinite(jobs.arrival_h[0])
    outage = np.where(exists, process.power_h[0] - np.where(exists, jobs.arrival_h[0], 0.0), 0.0)

    def listed(values: Any) -> list[float | None]:
        return [float(v) if there else None for v, there in zip(values, exists, strict=True)]

    customers = jobs.customers[0]
    return {
        "finish_h": listed(process.repaired_h[0]),
        "power_back_h": listed(process.power_h[0]),
        "outage_h": listed(outage),
        "reward_sum": float(sum(step["reward"] for step in steps)),
        "cost_sum": float(sum(step["cost"] for step in steps)),
        "saidi_h": float((customers * outage).sum() / customers.sum()),
        "makespan_h": float(process.power_h[0][exists].max()),
        "overtime_h": process.overtime_h[0].tolist(),
    }
