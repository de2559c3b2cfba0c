"""From episodes to means with confidence intervals: the content of `evaluation.json` and of every table."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.domain import TAIL_SHARE, Headline
from stormgym.agents.evaluation.bootstrap import tail_difference, tail_estimate
from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation
from stormgym.agents.files import write_atomically
from stormgym.agents.moved import forward
from stormgym.agents.registry import domain_of
from stormgym.agents.statistics import Estimate, mean_estimate, paired_difference, wilson_interval
from stormgym.agents.versions import package_versions
from stormgym.envs.spelling import unknown

__getattr__ = forward(__name__)

OVER_LIMIT_TOLERANCE = 1e-6
"""An episode is over the limit when its cost exceeds it by more than this: sums of steps carry rounding."""
ROUNDING = 1e-9
"""Of a mean of shares of the limit."""


def summarise(
    evaluation: Evaluation, confidence_level: float = 0.95, *, reference: str | None = None
) -> dict[str, Any]:
    """Return the evaluation as plain numbers, lists and dicts for JSON (no NaN: what is undefined is None).

    Keys: `env`, `instance_name` (of the city or profile), `episodes` (their number), `settings`, `versions`,
    `cost_limit`, `cost_limit_range` (where each episode drew its own; else None), `cost_limit_kind` and
    `cost_limit_level` (what the limit bounds, `RiskMeasure`), `best_heuristic`, `reference` (whom
    all are compared with), `agents`.
    An agent holds every metric's mean and, under the metric's name + `_ci`, its interval `[low, high]`;
    `violation_rate` (share of episodes whose cost is over their limit, Wilson interval), with a range also
    `cost_in_limits` (mean of cost / limit, which the constraint holds at 1), under a limit on the tail `burden` (mean
    of g(cost / limit), which is held at 1); `decision_ms`, `decision_ms_worst` (batch one), `decision_ms_batched`;
    `privileged`, `learned`; the tail of the objective, as OBJECTIVE + `_cvar_0.1` (mean of its worst tenth of episodes,
    with a bootstrap interval) and `_worst` (its worst episode), and of the constraint CONSTRAINT + `_cvar_0.1`; the
    distance to the bound (`excess_over_clairvoyant_h` for Restoration-v0); `paired` (differences to the reference,
    `versus`; that of the tail is the difference of the two agents' CVaRs, not the CVaR of differences); and `episodes`,
    a list with one dict an episode.

    Args:
        evaluation: what was played.
        confidence_level: of all intervals.
        reference: name of the agent that the others are compared with; None takes the best heuristic.

    Raises:
        ValueError: no agent of the evaluation has the name of the reference.
    """
    check_reference(reference, evaluation.agents)
    headline = domain_of(evaluation.env_id).headline
    _check_headline(evaluation, headline)
    best = best_heuristic(evaluation)
    compared_with = best if reference is None else reference
    agents = {
        name: _agent(record, evaluation, headline, compared_with, confidence_level)
        for name, record in evaluation.agents.items()
    }
    result = {
        "env": evaluation.env_id,
        "instance_name": evaluation.instance_name,
        "episodes": evaluation.episodes,
        "settings": {**evaluation.settings, "confidence_level": confidence_level},
        "versions": package_versions(),
        "cost_limit": evaluation.cost_limit,
        "cost_limit_range": evaluation.cost_limit_range,
        "cost_limit_kind": evaluation.measure.kind,
        "cost_limit_level": evaluation.measure.level,
        "group_names": list(evaluation.group_names),
        "best_heuristic": best,
        "reference": compared_with,
        "agents": agents,
    }
    clean = plain(result)
    assert isinstance(clean, dict)
    return clean


def check_reference(reference: str | None, agents: Iterable[str]) -> None:
    """Raise `ValueError` unless one of the agents has this name, or there is none."""
    names = list(agents)
    if reference is not None and reference not in names:
        said = f"reference must be one of the agents; got {reference!r}"
        raise ValueError(unknown(said, reference, names, f"agents: {', '.join(names)}"))


def reference_of(summary: Mapping[str, Any]) -> str | None:
    """Whom the agents of a summary are compared with; one that was saved before it says so means the best heuristic."""
    name = summary.get("reference", summary["best_heuristic"])
    return None if name is None else str(name)


def _check_headline(evaluation: Evaluation, headline: Headline) -> None:
    """Raise `ValueError` where the headline leads with a metric that episodes do not report, or leaves a limit out."""
    if evaluation.cost_limit is not None and headline.constraint is None:
        raise ValueError(
            f"the headline of {evaluation.env_id} names no constraint, and the environment has a cost limit "
            f"({evaluation.cost_limit:g}); name the metric that it bounds (Headline.constraint)"
        )
    for record in evaluation.agents.values():
        for column in headline.leading:
            if column.key not in record.metrics:
                raise ValueError(
                    f"the headline of {evaluation.env_id} leads with {column.key!r}, which its episodes do not report; "
                    f"they report {', '.join(sorted(record.metrics))}"
                )


def best_heuristic(evaluation: Evaluation) -> str | None:
    """Name of the agent that the others are compared with; None when no unprivileged, unlearned agent took part.

    Among agents that neither learn nor read the truth: the best mean objective of those whose mean cost (mean of cost /
    limit, where episodes have limits of their own) is within the limit, or its tail where the limit is on that; when
    none is, the lowest mean cost.
    """
    headline = domain_of(evaluation.env_id).headline
    sign = 1.0 if headline.lower_is_better else -1.0
    field = {n: r for n, r in evaluation.agents.items() if not (r.learned or r.privileged)}
    if not field:
        return None
    cost = {n: float(r.metrics["cost"].mean()) for n, r in field.items()}
    limit = math.inf if evaluation.cost_limit is None else evaluation.cost_limit
    if evaluation.cost_limit_range is not None:
        cost = {n: float(_in_limits(r).mean()) for n, r in field.items()}
        limit = 1.0
    feasible = [n for n in field if cost[n] <= limit]
    if not evaluation.measure.is_mean and evaluation.cost_limit is not None:
        feasible = [n for n, record in field.items() if (evaluation.burden_of(record) or 0.0) <= 1.0 + ROUNDING]
    if not feasible:
        return min(cost, key=cost.__getitem__)
    return min(feasible, key=lambda n: sign * float(field[n].metrics[headline.objective.key].mean()))


def _in_limits(record: AgentRecord) -> NDArray[np.float64]:
    """Cost of each episode as a share of its own limit `[E]`."""
    assert record.limits is not None, "an environment that draws limits tells them in info['cost_limit']"
    share: NDArray[np.float64] = record.metrics["cost"] / record.limits
    return share


def _agent(
    record: AgentRecord, evaluation: Evaluation, headline: Headline, best: str | None, confidence_level: float
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "privileged": record.privileged,
        "learned": record.learned,
        "summary": record.summary,
    }
    for key, values in record.metrics.items():
        _put(out, key, mean_estimate(values, confidence_level))
    _put_tail(out, record, headline, confidence_level)
    limits = evaluation.limits_of(record)
    if limits is not None:
        if evaluation.cost_limit_range is not None:
            _put(out, "cost_in_limits", mean_estimate(_in_limits(record), confidence_level))
        over = int((record.metrics["cost"] > limits + OVER_LIMIT_TOLERANCE).sum())
        _put(out, "violation_rate", wilson_interval(over, evaluation.episodes, confidence_level))
        if not evaluation.measure.is_mean:
            out["burden"] = evaluation.burden_of(record)
    out["decision_ms"] = record.latency.mean_ms
    out["decision_ms_worst"] = record.latency.worst_ms
    out["decision_ms_batched"] = record.latency.batched_ms
    if headline.bound is not None:
        bound = evaluation.agents.get(headline.bound)
        key = headline.objective.key
        sign = 1.0 if headline.lower_is_better else -1.0
        if bound is None:
            out[headline.excess_key] = out[f"{headline.excess_key}_ci"] = None
        else:
            excess = paired_difference(sign * record.metrics[key], sign * bound.metrics[key], confidence_level)
            _put(out, headline.excess_key, excess)
    out["paired"] = None
    if best is not None:
        paired: dict[str, Any] = {"versus": best}
        other = evaluation.agents[best].metrics
        for key in record.metrics.keys() & other.keys():
            _put(paired, key, paired_difference(record.metrics[key], other[key], confidence_level))
        ours, theirs = _losses(record, headline), _losses(evaluation.agents[best], headline)
        tail = tail_difference(ours, theirs, TAIL_SHARE, confidence_level=confidence_level)
        _put(paired, headline.tail.key, _signed(tail, headline))
        out["paired"] = {"versus": best, **{k: paired[k] for k in sorted(paired) if k != "versus"}}
    out["episodes"] = [
        {"episode": i, "seed": seed, **{key: values[i] for key, values in record.metrics.items()}}
        for i, seed in enumerate(evaluation.seeds)
    ]
    return out


def _put_tail(out: dict[str, Any], record: AgentRecord, headline: Headline, confidence_level: float) -> None:
    """CVaR 0.1 and the worst episode of the objective, in its own sign, and CVaR 0.1 of the constraint."""
    losses = _losses(record, headline)
    tail = tail_estimate(losses, TAIL_SHARE, confidence_level=confidence_level)
    _put(out, headline.tail.key, _signed(tail, headline))
    out[headline.worst.key] = float(losses.max()) if headline.lower_is_better else -float(losses.max())
    if headline.constraint is not None and headline.constraint_tail is not None:
        gaps = record.metrics[headline.constraint.key]
        _put(out, headline.constraint_tail.key, tail_estimate(gaps, TAIL_SHARE, confidence_level=confidence_level))


def _losses(record: AgentRecord, headline: Headline) -> NDArray[np.float64]:
    """The objective of each episode `[E]`, turned so that the largest is the worst."""
    values = record.metrics[headline.objective.key]
    return values if headline.lower_is_better else -values


def _signed(loss: Estimate, headline: Headline) -> Estimate:
    """An estimate of losses in the objective's own sign."""
    return loss if headline.lower_is_better else Estimate(-loss.value, -loss.high, -loss.low, loss.n)


def _put(out: dict[str, Any], key: str, estimate: Estimate) -> None:
    out[key] = estimate.value
    out[f"{key}_ci"] = [estimate.low, estimate.high]


def plain(value: Any) -> Any:
    """Return `value` as JSON takes it: arrays as lists, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return repr(value)


def write_json(summary: dict[str, Any], file: str | os.PathLike[str]) -> Path:
    """Write a summary as JSON, atomically; the folder is made when it is missing."""
    return write_atomically(file, json.dumps(plain(summary), indent=1, allow_nan=False) + "\n")
