"""Trained agents that come with the package, by name: `sta-sac:default` is STA-SAC with the weights in `default.npz`.

An agent is two files of this folder, which `benchmarks/restoration/export_pretrained.py` writes: `NAME.npz`, the
acting network's weights (float32 arrays, no pickles), and `NAME.json`, a card that says what it is, how it was made
and how it scores.
"""

from stormgym.agents.pretrained.cards import Card, Score, known_pretrained, load_card
from stormgym.agents.pretrained.loading import load_pretrained

__all__ = ["Card", "Score", "known_pretrained", "load_card", "load_pretrained"]
