"""A progress bar for training: steps, return, cost, lambda and the time that is left."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from stormgym.agents.domain import Headline
from stormgym.agents.learners.lagrangian import VecLagrangianReward
from stormgym.agents.training.play import Score

REFRESH_S = 0.2


class ProgressBar(BaseCallback):
    """A bar on a terminal; elsewhere only the lines of `say`.

    Args:
        total: steps of the whole run.
        console: where it is drawn (standard error).
        headline: what the lines on evaluations lead with.
    """

    def __init__(self, total: int, console: Console, headline: Headline) -> None:
        super().__init__()
        self.total = total
        self.console = console
        self.headline = headline
        self.bar: Progress | None = None
        self._task: Any = None
        self._drawn = 0.0

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        with suppress(OSError):  # a terminal that was closed stops no training
            self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def show_score(self, step: int, score: Score, best: bool) -> None:
        """Print the result of an evaluation."""
        self.say(describe(step, score, best, self.headline))

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            with suppress(OSError):
                self.bar.stop()
            self.bar = None

    def _on_training_start(self) -> None:
        if not self.console.is_terminal:
            return
        self.bar = Progress(
            BarColumn(bar_width=14),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            transient=True,
        )
        self._task = self.bar.add_task("training", total=self.total, completed=self.num_timesteps, status="")
        self.bar.start()

    def _on_step(self) -> bool:
        now = time.monotonic()
        if self.bar is not None and now - self._drawn >= REFRESH_S:
            self._drawn = now
            self.bar.update(self._task, completed=min(self.num_timesteps, self.total), status=self._status())
        return True

    def _on_training_end(self) -> None:
        self.close()

    def _status(self) -> str:
        episodes = self.model.ep_info_buffer or ()
        shown = (("r", "return"),) if self.headline.constraint is None else (("r", "return"), ("c", "cost"))
        parts = [
            f"{word} {np.mean([e[key] for e in episodes if key in e]):.2f}"
            for key, word in shown
            if any(key in e for e in episodes)
        ]
        env = self.model.get_env()
        multiplier = env.multiplier if isinstance(env, VecLagrangianReward) else getattr(self.model, "multiplier", None)
        if multiplier is not None:
            parts.append(f"lambda {multiplier.per_unit:.3f}")
        return "  ".join(parts)


def describe(step: int, score: Score, best: bool, headline: Headline) -> str:
    """One line on an evaluation: objective, cost and limit, what went wrong."""
    metrics, objective, constraint = score.metrics, headline.objective, headline.constraint
    parts = [f"return {score.mean_return:.2f}"]
    if objective.key in metrics:
        parts = [objective.sentence(metrics[objective.key])]
    if score.mean_cost is not None and constraint is not None:
        cost = constraint.sentence(score.mean_cost)
        if score.limits is not None:
            cost += f" ({score.cost_in_limits:.2f} of the episode's limit)"
        elif score.cost_limit is not None:
            cost += f" (limit {score.cost_limit:g})"
        if score.burden is not None and not score.measure.is_mean:
            cost += f", {score.measure.name} {score.burden:.2f} of what the limit allows"
        parts.append(cost)
    if score.violation_rate is not None:
        parts.append(f"over the limit in {100 * score.violation_rate:.0f} % of episodes")
    parts += [f"{metrics[c.key]:.1f} {c.name}" for c in headline.flaws if metrics.get(c.key, 0.0) > 0]
    mark = "  best so far" if best else ""
    return f"step {step:,}: {', '.join(parts)} ({len(score.returns)} episodes){mark}"
