"""Models that were saved when `AttentionPG` kept each setting as an attribute of its own: where they are today."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature
from typing import Any

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from stormgym.agents.attention_pg.settings import AttentionPGSettings


def is_old(attributes: dict[str, Any]) -> bool:
    """Whether a model's attributes came from such a file."""
    return "lr_last" in attributes


def convert(attributes: dict[str, Any]) -> None:
    """Turn a model's attributes, as such a file held them, into those of today, in place."""
    found = {**attributes, **attributes["policy_kwargs"]}
    values = {field.name: found[field.name] for field in fields(AttentionPGSettings) if field.name in found}
    for name in set(values) - set(signature(OnPolicyAlgorithm.__init__).parameters):
        attributes.pop(name, None)
    attributes["settings"] = AttentionPGSettings(**values)
