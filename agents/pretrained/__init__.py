"""Trained agents that come with the package, by name: `sta-sac:default` is STA-SAC as `sta-sac-default.npz` has it.

An agent is two files of this folder, which `benchmarks/pretrained/export.py` writes: `AGENT-NAME.npz`, the
acting network's weights (float32 arrays, no pickles), and `AGENT-NAME.json`, a card that says what it is, how it was
made and how it scores.
"""

from stormgym.agents.moved import forward
from stormgym.agents.pretrained.cards import Card, CardScore, known_pretrained, load_card
from stormgym.agents.pretrained.loading import load_pretrained

__all__ = ["Card", "CardScore", "known_pretrained", "load_card", "load_pretrained"]

__getattr__ = forward(__name__)
