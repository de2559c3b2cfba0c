"""What a data card says, and the words that all cards share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NO_PEOPLE = "None. No record stands for a person, a household, a real neighbourhood or a real outage."
SYNTHETIC = "Made by a seeded generator of this package; nothing was collected, measured, or labelled by people."
SOCIAL = (
    "Meant to make visible who waits after a storm, and to compare ways of planning. A policy that is fair on "
    "these data need not be fair to anybody: before it is used for people, it must be judged on the utility's own "
    "records, with those concerned."
)
MAINTENANCE = (
    "Made anew by the command of this page in each version of the package. A generator that changes gets another "
    "version of its environment, a line in its version history and one in CHANGELOG.md."
)


@dataclass(frozen=True)
class Card:
    """What is said of one data set; names of fields are checked against the files that its generator writes."""

    name: str
    title: str
    description: str
    fields: Mapping[str, Mapping[str, str]]
    """File -> column (or array) -> meaning with unit."""
    collection: str
    biases: str
    limitations: str
    use_cases: str
    sensitive: str = NO_PEOPLE
    social_impact: str = SOCIAL
    files: Mapping[str, str] | None = None
    """Further files without columns, and what they are."""
