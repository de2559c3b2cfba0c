"""`evaluate.py --submit`: the protocol is checked before anything is played, entries are written after it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stormgym.agents.evaluation.board.entries import entries_of, read_board, submit
from stormgym.agents.evaluation.board.protocol import check_protocol
from stormgym.agents.policy import Entrant

NOT_OF_THE_SCORES = ("--submit", "--by", "--json", "--html", "--sort")
"""Options that change no score, which the board's command does without."""


@dataclass(frozen=True)
class Submission:
    """Scores for a board."""

    file: Path
    """The board."""
    by: str
    """Who submits them."""
    command: str
    """With which anyone gets them."""

    def check(
        self, env_id: str, env_kwargs: Mapping[str, Any], episodes: int, seed: int, entrants: Mapping[str, Entrant]
    ) -> None:
        """Raise `ValueError` where the evaluation would not keep the protocol, or the file is no board."""
        check_protocol(env_id, env_kwargs, episodes, seed, entrants)
        read_board(self.file)

    def submit(self, summary: Mapping[str, Any], entrants: Mapping[str, Entrant]) -> list[str]:
        """Write the entries; what was done, a line each.

        Raises:
            ValueError: scores that disagree with the board's.
        """
        return submit(entries_of(summary, entrants, command=self.command, by=self.by), self.file)


def command_without(prog: str, words: Sequence[str]) -> str:
    """A command line without the options that change no score."""
    kept: list[str] = []
    skip = False
    for word in words:
        name = word.partition("=")[0]
        if skip:
            skip = False
        elif name in NOT_OF_THE_SCORES:
            skip = "=" not in word
        else:
            kept.append(word)
    return shlex.join([*(["python"] if prog.endswith(".py") else []), *shlex.split(prog), *kept])
