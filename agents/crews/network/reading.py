"""How STA-SAC reads crew dispatch: open jobs are the choices, crews the actors."""

from __future__ import annotations

from typing import Any

from stormgym.agents.attention.reading import Reading, TokenLayout
from stormgym.agents.crews.network.features import fits, n_groups_of, sizes_of, tokens_of


def _layout(space: Any) -> TokenLayout:
    return TokenLayout.of(sizes_of(space), tokens_of)


READING = Reading(
    fits=fits,
    layout=_layout,
    policy="stormgym.agents.sta_sac.token_policy:TokenPolicy",
    needs="Dict with columns of jobs and crews (CrewDispatch-v0)",
    tokens=tokens_of,
    sizes=sizes_of,
    n_groups=lambda space: n_groups_of(space["storm"].shape[0]),
    round_share=1.3,
)
