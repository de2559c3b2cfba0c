"""Models that were saved when STA-SAC kept each setting as an attribute of its own: where they are today."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature
from typing import Any

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from stormgym.agents.sta_sac.settings import STASACSettings


def is_old(attributes: dict[str, Any]) -> bool:
    """Whether a model's attributes came from such a file."""
    return "lr_last" in attributes


def convert(attributes: dict[str, Any]) -> None:
    """Turn a model's attributes, as such a file held them, into those of today, in place.

    Who taught was never saved, so the teacher is "none"; a model whose teacher's time is not over is handed one by
    `load(..., own_teacher=policy)`, if it is to go on learning.
    """
    old = dict(attributes)
    found = {**STASACSettings.BEFORE, **old, **old["policy_kwargs"], "teacher": "none"}
    found["train_freq"] = None if old["_whole_episodes"] else old["train_freq"].frequency
    names = [field.name for field in fields(STASACSettings) if field.name in found]
    for name in {*names, *_STATE} - set(signature(OffPolicyAlgorithm.__init__).parameters):
        attributes.pop(name, None)
    values: dict[str, Any] = {name: tuple(v) if isinstance(v := found[name], list) else v for name in names}
    attributes["settings"] = STASACSettings(**values)
    attributes["shock"] = old["shared_luck"]
    attributes["checkpoint_state"] = {
        "teacher": {"until": old["teacher_until"], "cooled": old["_cooled"]},
        "collector": {
            "storms_begun": old["_begun"],
            "cost": old["_running_cost"],
            "finished": old["_dual_costs"],
        },
    }


_STATE = (
    "shared_luck",
    "teacher_until",
    "_whole_episodes",
    "_begun",
    "_cooled",
    "_running_cost",
    "_dual_costs",
    "_behaviour",
    "_teaching",
    "_taught",
    "_begins",
    "_handover",
)
"""Attributes beside the settings that have gone."""
