"""The known agents of an environment, as `evaluate.py --list` prints them."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stormgym.agents.pretrained import Card, known_pretrained
from stormgym.agents.registry import agent_spec, domain_of, known_agents
from stormgym.agents.terminal import PRIVILEGED_MARK, simple_table


def render_agents(env_id: str) -> RenderableType:
    """Every agent of an environment with one line on each: ready to act, pretrained, and those to be trained."""
    ready = [agent_spec(name) for name in known_agents(env_id, trainable=False)]
    learners = [agent_spec(name) for name in known_agents(env_id, trainable=True)]
    pretrained = known_pretrained(env_id)
    parts: list[RenderableType] = [
        Text(f"Agents for {env_id}", style="bold"),
        Text(""),
        _table("Rules and planners", [(_marked(s.name, s.privileged), s.summary) for s in ready]),
    ]
    if any(spec.privileged for spec in ready):
        parts.append(Text(f"{PRIVILEGED_MARK} looks at what nobody can know: a yardstick", style="dim"))
    parts.append(Text(""))
    if pretrained:
        rows = [(name, f"{card.summary}; {_scored(card)}") for name, card in pretrained.items()]
        parts += [_table("Pretrained", rows), Text("")]
    parts += [
        _table("Learners", [(s.name, s.summary) for s in learners]),
        Text(f"to be trained: python train.py --env {env_id} --agent NAME; then name the run folder", style="dim"),
    ]
    return Group(*parts)


def _table(caption: str, rows: list[tuple[str, str]]) -> Table:
    table = simple_table(caption, [])
    table.add_column("what it does", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _marked(name: str, privileged: bool) -> str:
    return f"{name} {PRIVILEGED_MARK}" if privileged else name


def _scored(card: Card) -> str:
    """Its first score: of the environment that it was trained on, where that is one."""
    if not card.scores:
        return "no score"
    score, domain = card.scores[0], domain_of(card.trained_on.env_id)
    columns = (domain.headline.objective, domain.headline.constraint)
    told = [c.sentence(score.metrics[c.key]) for c in columns if c is not None and c.key in score.metrics]
    where = f"{card.n_groups} groups"
    if domain.instance is not None:
        where += f"; {domain.instance} {score.env_kwargs.get(domain.instance, card.trained_on.instance)}"
    unit = domain.headline.constraint.unit if domain.headline.constraint is not None else ""
    return f"{where}: {', '.join(told)}, limit {score.cost_limit:.3g} {unit}".rstrip() + f" ({score.episodes} episodes)"
