"""Make a pretrained agent of a run: its acting network's weights and a card with scores on held-out scenarios.

    python -m benchmarks.pretrained.export runs/Restoration-v0/sta-sac/RUN --name default

takes the run's best model, writes `sta-sac-default.npz` and `.json` into `agents/pretrained/` (over an earlier agent of
that name), and scores what it wrote: on the environment of the run, or, where that is many cities, on the default city.
`--instances` and `--limits` score elsewhere or at other limits. `python evaluate.py --agents sta-sac:default` plays it.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console

import stormgym
from stormgym.agents.evaluation.options import held_out, limit_of
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.learners.base import Learner
from stormgym.agents.pretrained.cards import FOLDER, Card, CardScore, TrainedOn, check_name, write_card
from stormgym.agents.pretrained.loading import load_pretrained
from stormgym.agents.pretrained.sta_sac import NETWORK, write_weights
from stormgym.agents.pretrained.tokens import SHAPE
from stormgym.agents.registry import agent_spec, domain_of
from stormgym.agents.runs import MODEL, PICKLED_MODEL, Run, RunSettings, load_model, open_run
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.token_policy import TokenPolicy
from stormgym.agents.training.command import env_options
from stormgym.envs.data import resolve_city
from stormgym.envs.data.resolve import is_generated
from stormgym.envs.making import make_batch


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Make a pretrained agent of a run."""

    run: tyro.conf.Positional[Path]
    """Run folder of train.py."""
    name: str
    """Name of the pretrained agent: the files are AGENT-NAME.npz and AGENT-NAME.json."""
    summary: Annotated[str | None, tyro.conf.arg(help_behavior_hint="")] = None
    """One line for lists. Left out: city, limit and steps of the training."""
    command: Annotated[str | None, tyro.conf.arg(help_behavior_hint="")] = None
    """The command that trained it, for a run whose settings are not those of today's train.py."""
    instances: tuple[str, ...] = ()
    """Cities or profiles to score on. Left out: the run's own, or the default city where it was trained on many."""
    limits: tuple[str, ...] = ()
    """Limits to score at, numbers or ranges LOW-HIGH. Left out: the run's own."""
    episodes: int = 256
    """Held-out scenarios of each score."""
    checked: int = 64
    """The first of them make a score of their own, which the tests play again."""
    seed: int = 0
    """Decides the scenarios; 0 are those that evaluate.py plays by default, and that no training sees."""
    folder: Path = FOLDER
    """Where the files go."""
    trust_pickle: bool = False
    """Open a run that an earlier version wrote, whose files can run any code."""


def train_command(settings: RunSettings) -> str:
    """The `train.py` command of a run: every setting that is not the default.

    Raises:
        ValueError: the learner has other settings today, so that no command says what the run did.
    """
    learner: Learner = agent_spec(settings.agent).load()
    here = domain_of(settings.env_id).defaults_of(settings.agent)
    defaults = asdict(learner.settings(**here.settings))
    strange = sorted(defaults.keys() ^ settings.learner.keys())
    if strange:
        raise ValueError(
            f"the settings of {settings.agent} have changed since the run ({', '.join(strange)}), so its command "
            'cannot be told from them; give it with --command "python train.py ..."'
        )
    parts = [f"python train.py --env {settings.env_id} --agent {settings.agent}"]
    parts.append(f"--timesteps {settings.timesteps} --seed {settings.seed}")
    parts.append(env_options(settings.env_kwargs).strip())
    usual = {
        "num_envs": here.num_envs or learner.default_num_envs,
        "eval_freq": max(settings.timesteps // 20, 1),
        "eval_episodes": 256,
        "device": "cpu",
        "torch_threads": 1,
    }
    parts += _changed("--", usual, {name: getattr(settings, name) for name in usual})
    parts += _changed(f"--{settings.agent}.", defaults, settings.learner)
    return " ".join(part for part in parts if part)


def _changed(prefix: str, usual: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Options that differ from the usual ones, as a command line gives them."""
    options = []
    for key, value in given.items():
        plain = tuple(value) if isinstance(value, list) else value
        if plain == usual[key]:
            continue
        name = key.replace("_", "-")
        if isinstance(plain, bool):
            options.append(f"{prefix}{'' if plain else 'no-'}{name}")
        else:
            values = plain if isinstance(plain, tuple) else (plain,)
            options.append(" ".join((f"{prefix}{name}", *(shlex.quote(str(v)) for v in values))))
    return options


@dataclass(frozen=True)
class Actor:
    """The acting network of a run."""

    sizes: dict[str, Any]
    n_groups: int
    weights: dict[str, Any]
    """Name -> tensor."""


def best_actor(run: Run, *, trust_pickle: bool = False) -> Actor:
    """What acts in a run's best model; a run of an earlier version is opened only where it is trusted.

    Raises:
        FileNotFoundError: the run holds no best model.
        ValueError: the run's agent is not STA-SAC.
    """
    if not any((run.best / name).is_file() for name in (MODEL, PICKLED_MODEL)):
        raise FileNotFoundError(f"run {str(run.folder)!r} holds no best model yet; train it further")
    if run.settings.agent not in ("sta-sac", "sta-sac-paper"):
        raise ValueError(f"only runs of sta-sac and sta-sac-paper can be exported; this one is of {run.settings.agent}")
    model: STASAC = load_model(run, trust_pickle=trust_pickle)
    if isinstance(model.policy, TokenPolicy):
        sizes = {"shape": SHAPE, **model.policy.sizes, **model.policy.widths}
    else:
        sizes = {key: run.settings.learner[key] for key in NETWORK}
        if model.shock:
            sizes["update"] = True
    return Actor(sizes=sizes, n_groups=model.policy.n_groups, weights=model.policy.actor_average.state_dict())


def trained_on(settings: RunSettings) -> TrainedOn:
    """Instance and limit of a run.

    Raises:
        ValueError: the instance is a folder, which a reader of the card does not have.
    """
    argument = instance_argument(settings.env_id)
    given = settings.env_kwargs.get(argument)
    if isinstance(given, str) and not is_generated(given) and os.path.isdir(given):
        raise ValueError(
            f"the run was trained on the folder {given!r}, and a pretrained agent is for everyone: its {argument} must "
            "be one that everyone can make, as default or synthetic:N:SEED"
        )
    limit, many = settings.env_kwargs.get("cost_limit"), domain_of(settings.env_id).many
    if many is not None and many.of(settings.env_kwargs) is not None:
        instance = settings.env_kwargs[many.argument]
    else:
        env: Any = make_batch(settings.env_id, 1, settings.env_kwargs)
        instance = _usual_instance(env) if given is None else given
        limit = getattr(env.unwrapped, "cost_limit_range", None) or env.unwrapped.cost_limit
        env.close()
    limit = tuple(limit) if isinstance(limit, list | tuple) else limit
    kwargs = dict(settings.env_kwargs)
    return TrainedOn(env_id=settings.env_id, env_kwargs=kwargs, instance=instance, cost_limit=limit)


def instance_argument(env_id: str) -> str:
    """The argument of the environment that names its city or profile.

    Raises:
        ValueError: it has none.
    """
    argument = domain_of(env_id).instance
    if argument is None:
        raise ValueError(f"the domain of {env_id} does not say which argument names its instance (Domain.instance)")
    return argument


def _usual_instance(env: Any) -> str:
    """The name by which the instance that is taken where none is named can be asked for."""
    city = getattr(env.unwrapped, "city", None)
    name: str = env.unwrapped.instance_name if city is None else city.name
    return "default" if name == resolve_city("default").name else name


def places(settings: Settings, where: TrainedOn) -> list[dict[str, Any]]:
    """Arguments of the environments to score in."""
    own, argument, many = where.env_kwargs, instance_argument(where.env_id), domain_of(where.env_id).many
    one = many is None or many.of(own) is None
    instances: list[str | None] = list(settings.instances) or [None if one else "default"]
    limits = [limit_of(text) for text in settings.limits] or [None]
    result = []
    for instance, limit in product(instances, limits):
        changed = {argument: instance, "cost_limit": list(limit) if isinstance(limit, tuple) else limit}
        result.append({**held_out(own), **{key: value for key, value in changed.items() if value is not None}})
    return result


def scores_of(policy: Any, env_id: str, env_kwargs: dict[str, Any], settings: Settings) -> list[CardScore]:
    """The score on all scenarios, and that on the first of them."""
    evaluation = evaluate(env_id, {"it": policy}, episodes=settings.episodes, seed=settings.seed, env_kwargs=env_kwargs)
    record = evaluation.agents["it"]
    limits = evaluation.limits_of(record)
    assert limits is not None
    headline = domain_of(env_id).headline
    columns = [column for column in (headline.objective, headline.constraint) if column is not None]
    mean = lambda values, n: round(float(np.mean(values[:n])), 4)  # noqa: E731
    return [
        CardScore(
            env_kwargs=env_kwargs,
            episodes=n,
            seed=settings.seed,
            metrics={column.key: mean(record.metrics[column.key], n) for column in columns},
            cost_limit=mean(limits, n),
        )
        for n in sorted({settings.episodes, min(settings.checked, settings.episodes)}, reverse=True)
    ]


def export(settings: Settings, console: Console) -> Card:
    """Write the weights and the card of a run's best model; return the card.

    Raises:
        FileNotFoundError: no run, or no best model in it.
        ValueError: a run of another agent or on a folder, one whose command is not known, or a bad name.
    """
    check_name(settings.name)
    if min(settings.episodes, settings.checked) < 1:
        raise ValueError(f"--episodes and --checked must be at least 1; got {settings.episodes}, {settings.checked}")
    run = open_run(settings.run)
    s = run.settings
    actor = best_actor(run, trust_pickle=settings.trust_pickle)
    where = trained_on(s)
    card = Card(
        agent=s.agent,
        name=settings.name,
        summary=settings.summary or f"trained on {_instance_text(where)}, {_limit_text(where)}, {s.timesteps:,} steps",
        network=actor.sizes,
        n_groups=actor.n_groups,
        command=settings.command or train_command(s),
        seed=s.seed,
        timesteps=s.timesteps,
        version=stormgym.__version__,
        date=date.today().isoformat(),
        trained_on=where,
        scores=(),
    )
    settings.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.folder, prefix=".new-") as temporary:
        made = Path(temporary)
        weights = write_weights(actor.weights, made / f"{card.stem}.npz")
        write_card(card, made)
        loaded = load_pretrained(card.full_name, folder=made)
        scores: list[CardScore] = []
        for env_kwargs in places(settings, where):
            with console.status(f"playing {settings.episodes} scenarios with {env_kwargs or 'default arguments'}"):
                scores += scores_of(loaded, s.env_id, env_kwargs, settings)
        card = replace(card, scores=tuple(scores))
        os.replace(weights, settings.folder / weights.name)
        write_card(card, settings.folder)
    return card


def _instance_text(where: TrainedOn) -> str:
    return f"{instance_argument(where.env_id)} {where.instance}"


def _limit_text(where: TrainedOn) -> str:
    constraint = domain_of(where.env_id).headline.constraint
    unit = "" if constraint is None or not constraint.unit else f" {constraint.unit}"
    limit = where.cost_limit
    if limit is None:
        return "each one's own limit"
    return f"limits {limit[0]:g} to {limit[1]:g}{unit}" if isinstance(limit, tuple) else f"limit {limit:g}{unit}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for a wrong name or path)."""
    settings = tyro.cli(Settings, args=arguments)
    try:
        card = export(settings, Console(stderr=True, emoji=False))
    except (ValueError, KeyError, TypeError, OSError) as error:
        print(f"pretrained.export: {error}", file=sys.stderr)
        return 2
    for suffix in ("npz", "json"):
        file = settings.folder / f"{card.stem}.{suffix}"
        print(f"{file}: {file.stat().st_size / 1024:.0f} kB")
    print(f"{card.full_name}: {card.summary}\n{card.command}")
    for score in card.scores:
        told = ", ".join(f"{name} {value:g}" for name, value in score.metrics.items())
        print(
            f"{score.env_kwargs or 'default arguments'}: {told}, limit {score.cost_limit:g} "
            f"({score.episodes} episodes, seed {score.seed})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
