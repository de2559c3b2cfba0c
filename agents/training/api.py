"""Training from Python, in any thread, process or actor, with defaults for everything.

trained = train("Restoration-v0", timesteps=20_000, env_kwargs={"city": "synthetic:12:1"})
print(trained.best["return"], trained.run.folder)

`train.py` trains by the same code, and `evaluate.py --agents RUN` scores what comes of either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from stormgym.agents.policy import Policy
from stormgym.agents.registry import domain_of
from stormgym.agents.runs import Run, RunRequest, load_policy
from stormgym.agents.training import command
from stormgym.agents.training.callbacks import StopRequest
from stormgym.agents.training.play import Score

OnEval = Callable[[int, dict[str, float]], bool | None]
"""Called with the step and the score of an evaluation; it returns False to end the training."""


@dataclass(frozen=True)
class Trained:
    """A run, and what its evaluations during the training gave."""

    run: Run
    scores: dict[int, dict[str, float]]
    """Scores by step, those of this call alone: `return`, `cost`, the headline's metrics (all means over the fixed
    scenarios), `excess` (how far the cost is over the limit; 0 where the model counts as feasible) and `is_best`."""
    stopped: bool
    """Whether it was ended before its budget; `resume` goes on."""

    @property
    def best(self) -> dict[str, float]:
        """The score of the best model, which is the one that acts; empty where none of this call is."""
        best = [score for score in self.scores.values() if score["is_best"]]
        return best[-1] if best else {}

    def policy(self, env: Any = None) -> Policy:
        """The best model as a policy, for `evaluate` and the tools of Stable-Baselines3; see `load_policy`."""
        policy: Policy = load_policy(self.run.folder, env)
        return policy


def train(
    env_id: str,
    agent: str | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    runs_dir: str | os.PathLike[str] = "runs",
    on_eval: OnEval | None = None,
    stop: StopRequest | None = None,
    console: Console | None = None,
    **request: Any,
) -> Trained:
    """Train an agent on an environment.

    Two trainings in one process at a time share NumPy's and torch's generators, and neither can then be repeated
    exactly; give each a process of its own (`stormgym.agents.training.pool`, Ray).

    Args:
        env_id: a registered id.
        agent: an agent that learns; None takes the one that fits the environment.
        settings: the agent's own, by name; those left out are its defaults.
        runs_dir: where the run's folder is made.
        on_eval: called with the step and the score (`Trained.scores`) after each evaluation. The training ends, and the
            run is saved, where it returns False, and where it raises: the error is raised again then.
        stop: a request that another thread may set (`stop.asked = True`): the run is saved and ends.
        console: for evaluations and a progress bar; None for none.
        **request: further fields of `RunRequest`: `seed`, `timesteps`, `num_envs`, `env_kwargs`, `eval_freq`, ...

    Raises:
        UsageError: an unknown name, or a value out of range.
        Stopped: Ctrl-C or SIGTERM in the main thread; the run is saved.
        TypeError: no such field.
    """
    asked = RunRequest(env_id=env_id, agent=agent, learner=dict(settings or {}), **request)
    shown = console or Console(quiet=True)
    return _learn(command.start_run(asked, runs_dir=Path(runs_dir), console=shown), shown, on_eval, stop)


def resume(
    folder: str | os.PathLike[str],
    timesteps: int | None = None,
    *,
    on_eval: OnEval | None = None,
    stop: StopRequest | None = None,
    console: Console | None = None,
) -> Trained:
    """Go on with a run from its last checkpoint, to its budget or another; arguments and errors as of `train`."""
    shown = console or Console(quiet=True)
    return _learn(command.resume(Path(folder), timesteps, console=shown), shown, on_eval, stop)


def _learn(training: command.Training, console: Console, on_eval: OnEval | None, stop: StopRequest | None) -> Trained:
    stop = StopRequest() if stop is None else stop
    headline = domain_of(training.run.env_id).headline
    scores: dict[int, dict[str, float]] = {}
    errors: list[Exception] = []

    def on_result(step: int, score: Score, best: bool) -> None:
        scores[step] = {**score.logged(headline), "excess": score.excess, "is_best": float(best)}
        if on_eval is None or errors:
            return
        try:
            if on_eval(step, dict(scores[step])) is False:
                stop.asked = True
        except Exception as error:  # of whatever kind: the run is saved first
            errors.append(error)
            stop.asked = True

    command.train(training, console, on_result=on_result, stop=stop)
    if errors:
        raise errors[0]
    return Trained(training.run, scores, stopped=training.model.num_timesteps < training.run.settings.timesteps)
