"""Unit-free network inputs made from the observation of crew dispatch alone: one network for any number of jobs, crews.

Hours are divided by the mean forecast of the known jobs, kilometres by their spread, weights by their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from stormgym.agents.attention.reading import Tokens, TokenSizes
from stormgym.envs.arrays import Bools, Floats, Observation
from stormgym.envs.crews.layout import JOB_COLUMNS, storm_columns
from stormgym.envs.equity import group_pairs, pair_matrix

KEYS = frozenset({*JOB_COLUMNS, "crew_asked", "storm", "action_mask"})
"""Keys of the observation that are read, crews' columns aside."""
PRIOR_REPAIRS = 6.0
"""How many repairs seen count as much as the prior that a group's forecasts are right."""
MOST = 20.0
"""No feature is larger."""


def fits(space: spaces.Space[Any]) -> bool:
    """Whether an observation space is that of crew dispatch."""
    return isinstance(space, spaces.Dict) and set(space.spaces) >= KEYS


def n_groups_of(n_columns: int) -> int:
    """G from the number of columns of `obs["storm"]`.

    Raises:
        ValueError: no number of groups has as many.
    """
    for g in range(1, 65):
        if len(storm_columns(g)) == n_columns:
            return g
    raise ValueError(f"obs['storm'] has {n_columns} columns, which fits no number of groups")


def n_job_features(n_groups: int) -> int:
    """F."""
    return 28 + n_groups


def n_crew_features() -> int:
    """F', for the two skills that there are."""
    return 16


def n_storm_features(n_groups: int) -> int:
    """D."""
    return 8 + 5 * n_groups + len(group_pairs(n_groups))


def sizes_of(space: spaces.Dict) -> TokenSizes:
    """Sizes of the tokens of an observation space."""
    jobs, crews, storm = (space[name].shape for name in ("known", "crew_asked", "storm"))
    assert jobs is not None
    assert crews is not None
    assert storm is not None
    groups = n_groups_of(storm[0])
    return TokenSizes(jobs[0], crews[0], n_job_features(groups), n_crew_features(), n_storm_features(groups))


def tokens_of(observation: Observation) -> Tokens:
    """The tokens of a batched observation."""
    obs = {name: np.asarray(values, dtype=np.float64) for name, values in observation.items()}
    groups = n_groups_of(obs["storm"].shape[-1])
    storm = dict(zip(storm_columns(groups), np.moveaxis(obs["storm"], -1, 0), strict=True))
    known = obs["known"]
    n_known = np.maximum(known.sum(axis=1), 1.0)
    hours = np.maximum((obs["point_h"] * known).sum(axis=1) / n_known, 1e-3)[:, None]  # [B, 1]
    weight = np.maximum((obs["weight"] * known).sum(axis=1) / n_known, 1e-12)[:, None]
    centre = [(obs[axis] * known).sum(axis=1, keepdims=True) / n_known[:, None] for axis in ("x_km", "y_km")]
    spread = sum((((obs[axis] - c) * known) ** 2).sum(axis=1) for axis, c in zip(("x_km", "y_km"), centre, strict=True))
    km = np.maximum(np.sqrt(spread / (2.0 * n_known)), 1e-3)[:, None]
    is_open = (obs["open"] > 0.5) | (obs["action_mask"][:, :-1] > 0.5)
    repairs = 1.0 - obs["crew_assessor"]
    crews = np.maximum(repairs.sum(axis=1), 1.0)[:, None]
    jobs = _job_features(obs, storm, groups, hours, weight, km, centre) * is_open[..., None]
    unit = (hours * known.shape[1] / (20.0 * crews))[:, 0]
    return Tokens(
        choices=jobs.astype(np.float32),
        is_open=is_open,
        actors=_crew_features(obs, hours, km, centre).astype(np.float32),
        common=_storm_features(obs, storm, groups, hours[:, 0], crews[:, 0]).astype(np.float32),
        limit=np.maximum(storm["cost_limit_h"], 1e-6),
        unit=unit,
    )


def _job_features(
    obs: dict[str, Floats],
    storm: dict[str, Floats],
    groups: int,
    hours: Floats,
    weight: Floats,
    km: Floats,
    centre: list[Floats],
) -> Floats:
    """`[B, N, F]`"""
    point, travel = obs["point_h"] / hours, obs["travel_h"] / hours
    lower, upper = obs["lower_h"] / hours, obs["upper_h"] / hours
    own, below = obs["weight"] / weight, obs["below_dark"] / weight
    log_point = np.log(np.maximum(point, 1e-3))
    asked = obs["crew_asked"]
    duty = (obs["crew_duty_left_h"] * asked).sum(axis=1, keepdims=True)
    visit = obs["travel_h"] + obs["point_h"]
    group = np.rint(obs["group"])[..., None] == np.arange(groups)  # [B, N, G]
    balance = _balance(obs, storm, group, groups)
    updated = log_point + (group * _log_factor(obs, storm, group, groups)[:, None]).sum(axis=-1)
    nearest, closer = _other_crews(obs, hours)
    columns = [
        (obs["x_km"] - centre[0]) / km,
        (obs["y_km"] - centre[1]) / km,
        point,
        log_point,
        lower,
        np.log1p(upper),
        np.log1p(np.maximum(upper - lower, 0.0)),
        updated,
        obs["assessed"],
        travel,
        np.sqrt(travel),
        travel - nearest,
        closer,
        np.log(np.maximum(own, 1e-3)),
        np.log(np.maximum(below, 1e-3)),
        np.log(np.maximum(below, 1e-3) / np.maximum(point + travel, 1e-3)),
        np.log(np.maximum(own, 1e-3) / np.maximum(point + travel, 1e-3)),
        obs["upstream_open"],
        obs["upstream_open"] > 0.5,
        obs["need"] > 0.5,
        (visit - duty) / hours,
        visit > duty,
        obs["age_h"] / hours / 4.0,
        (obs["age_h"] - (group * _dark_ages(obs, group)[0][:, None]).sum(axis=-1)) / hours / 4.0,
        *balance,
    ]
    stacked = np.concatenate([np.stack(columns, axis=-1), group], axis=-1)
    result: Floats = np.clip(stacked, -MOST, MOST)
    return result


def _balance(obs: dict[str, Floats], storm: dict[str, Floats], group: Bools, groups: int) -> list[Floats]:
    """What serving each job does to the balance between groups, four columns `[B, N]` without units.

    Lead of its group in outage so far over the least and the most, weighted by how large the gap of a pair is; the same
    of shares that have power.
    """
    limit = np.maximum(storm["cost_limit_h"], 1e-6)[:, None]
    mean = np.stack([storm[f"running_mean_h_{g}"] for g in range(groups)], axis=1) / limit  # [B, G]
    share = np.stack([storm[f"share_restored_{g}"] for g in range(groups)], axis=1)
    pairs = group_pairs(groups)
    if not pairs:
        return [np.zeros(obs["known"].shape) for _ in range(4)]
    gaps = np.stack([storm[f"pair_gap_h_{a}_{b}"] for a, b in pairs], axis=1) / limit
    strength = np.exp(2.0 * (gaps - gaps.max(axis=1, keepdims=True)))
    strength /= strength.sum(axis=1, keepdims=True)
    matrix = pair_matrix(groups)
    lead_mean = ((mean @ matrix) * strength) @ matrix.T  # [B, G]
    lead_share = ((share @ matrix) * strength) @ matrix.T
    columns = [mean - mean.min(axis=1, keepdims=True), mean - mean.max(axis=1, keepdims=True), lead_mean, lead_share]
    return [(group * column[:, None]).sum(axis=-1) for column in columns]


def _dark_ages(obs: dict[str, Floats], group: Bools) -> tuple[Floats, Floats]:
    """Mean hours without power of each group's jobs that lack it, and their share of its known jobs, `[B, G]` each."""
    dark = group * obs["dark"][..., None]
    count = dark.sum(axis=1)
    age = (dark * obs["age_h"][..., None]).sum(axis=1) / np.maximum(count, 1.0)
    known = (group * obs["known"][..., None]).sum(axis=1)
    return age, count / np.maximum(known, 1.0)


def _log_factor(obs: dict[str, Floats], storm: dict[str, Floats], group: Bools, groups: int) -> Floats:
    """By how much the log of each group's forecasts is off `[B, G]`, shrunk to 0 where few repairs were seen."""
    seen = (group * (obs["repaired"] > 0.5)[..., None]).sum(axis=1)  # [B, G]
    log_ratio = np.stack([storm[f"log_ratio_{g}"] for g in range(groups)], axis=1)
    result: Floats = log_ratio * seen / (seen + PRIOR_REPAIRS)
    return result


def _other_crews(obs: dict[str, Floats], hours: Floats) -> tuple[Floats, Floats]:
    """Hours from the nearest other crew to each job (straight lines), and the share of crews that are nearer `[B, N]`.

    The time until a crew at work is free counts as way.
    """
    dx = obs["x_km"][:, :, None] - obs["crew_x_km"][:, None]  # [B, N, K]
    dy = obs["y_km"][:, :, None] - obs["crew_y_km"][:, None]
    way = np.sqrt(dx * dx + dy * dy) / np.maximum(obs["crew_speed_kmh"], 1e-6)[:, None]
    busy = (obs["crew_way_left_h"] + obs["crew_point_left_h"] + obs["crew_rest_left_h"])[:, None]
    asked = obs["crew_asked"][:, None] > 0.5
    able = np.where(obs["need"][..., None] > 0.5, obs["crew_skill_1"][:, None] if "crew_skill_1" in obs else 1.0, 1.0)
    other = (way + busy) / hours[..., None]
    other = np.where(asked | (able < 0.5) | (obs["crew_assessor"][:, None] > 0.5), MOST, other)
    own = np.where(asked, way, 0.0).sum(axis=-1) / hours
    return np.minimum(other.min(axis=-1), MOST), (other < own[..., None]).mean(axis=-1)


def _crew_features(obs: dict[str, Floats], hours: Floats, km: Floats, centre: list[Floats]) -> Floats:
    """`[B, K, F']`"""
    left = obs["crew_way_left_h"] + obs["crew_point_left_h"]
    special = obs["crew_skill_1"] if "crew_skill_1" in obs else np.ones_like(left)
    columns = [
        obs["crew_asked"],
        (obs["crew_x_km"] - centre[0]) / km,
        (obs["crew_y_km"] - centre[1]) / km,
        obs["crew_busy"],
        obs["crew_waiting"],
        obs["crew_way_left_h"] / hours,
        obs["crew_on_site_h"] / hours,
        obs["crew_point_left_h"] / hours,
        np.log1p(left / hours),
        obs["crew_duty_left_h"] / hours / 4.0,
        np.exp(-obs["crew_duty_left_h"] / hours),
        obs["crew_rest_left_h"] / hours,
        (left > obs["crew_duty_left_h"]) & (obs["crew_busy"] > 0.5),
        obs["crew_assessor"],
        special,
        np.log(np.maximum(obs["crew_speed_kmh"] * hours / km, 1e-3)),
    ]
    result: Floats = np.clip(np.stack(columns, axis=-1), -MOST, MOST)
    return result


def _storm_features(
    obs: dict[str, Floats], storm: dict[str, Floats], groups: int, hours: Floats, crews: Floats
) -> Floats:
    """`[B, D]`"""
    limit = np.maximum(storm["cost_limit_h"], 1e-6)
    n = obs["known"].shape[1]
    repairs_a_crew = n / crews
    scalars = [
        storm["elapsed_h"] / (hours * repairs_a_crew),
        storm["arrival_left_h"] / (hours * repairs_a_crew),
        storm["arrival_left_h"] > 0,
        limit / hours,
        storm["gap_h"] / limit,
        storm["n_known"] / n,
        obs["open"].sum(axis=1) / crews / 10.0,
        np.log(crews),
    ]
    per_group = [
        storm[f"{name}_{g}"] / scale
        for name, scale in (("log_ratio", 1.0), ("running_mean_h", limit), ("share_restored", 1.0))
        for g in range(groups)
    ]
    age, dark = _dark_ages(obs, np.rint(obs["group"])[..., None] == np.arange(groups))
    pairs = [storm[f"pair_gap_h_{a}_{b}"] / limit for a, b in group_pairs(groups)]
    columns = [*scalars, *per_group, *pairs, *(age / limit[:, None]).T, *dark.T]
    result: Floats = np.clip(np.stack(columns, axis=-1), -MOST, MOST)
    return result
