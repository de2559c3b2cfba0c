"""`Domain`, the record from which agents, tables and command lines know an environment, and the records in it.

An environment of another package brings its own `Domain` to `stormgym.agents.registry.register_domain`
(docs/your_own_environment.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def load_entry(entry_point: str) -> Any:
    """Import and return what "module:name" names.

    Raises:
        ValueError: there is no such module, or nothing of that name in it.
    """
    module, colon, name = entry_point.partition(":")
    if not (module and colon and name):
        raise ValueError(f'an entry point is written "module:name"; got {entry_point!r}')
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"entry point {entry_point!r} leads nowhere: {error}") from error


@dataclass(frozen=True)
class AgentSpec:
    """An agent by name: its code, whether it learns, what it may read. Entry points are "module:name"."""

    name: str
    entry_point: str
    """A policy class with `for_env`, or a `stormgym.agents.learners.base.Learner` for one that learns."""
    summary: str
    """One line for `evaluate.py --list`."""
    trainable: bool = False
    privileged: bool = False
    """Whether it reads what nobody can know ahead (`env.truth`)."""
    usual: bool = True
    """Whether it takes part in an evaluation that names no agents."""
    settings: str | None = None
    """Of a learner: the frozen dataclass of its settings, which become options of train.py."""
    pretrained: str | None = None
    """Of a learner with agents in `stormgym.agents.pretrained`: what makes a policy of a card and a file of weights."""
    look_ahead: str | None = None
    """Of a learner whose trained agents can look ahead (AGENT:NAME@K): function (policy, env, **kwargs) -> policy, or
    "stormgym.agents.look_ahead:look_ahead" for the domain's own way."""

    def load(self) -> Any:
        """Import and return the class or learner behind the name."""
        return load_entry(self.entry_point)


@dataclass(frozen=True)
class Column:
    """One column of a table: a metric, what it is called and how its number is written."""

    key: str
    name: str
    unit: str = ""
    decimals: int = 1
    interval: bool = False
    percent: bool = False
    """The metric is a share, written in per cent."""

    @property
    def title(self) -> str:
        """Name and unit, as a table heads the column."""
        return f"{self.name} {self.unit}".rstrip()

    @property
    def axis_title(self) -> str:
        """Name and unit, as a figure writes them."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def sentence(self, value: float) -> str:
        """Name, number and unit, as a line of text has them."""
        return " ".join(part for part in (self.name, self.text(value), self.unit) if part)

    def text(self, value: float | None, sign: bool = False) -> str:
        """Write a number; a missing one is a dash."""
        if value is None:
            return "-"
        scaled = 100.0 * value if self.percent else value
        rounded = round(scaled, self.decimals) + 0.0  # no negative zero
        return f"{rounded:{'+' if sign and rounded else ''},.{self.decimals}f}" + (" %" if self.percent else "")


TAIL_SHARE = 0.1
"""Share of the worst episodes whose mean tables show as the tail of objective and constraint (`CVaR 0.1`)."""


@dataclass(frozen=True)
class Headline:
    """Which metrics of an environment lead its tables, curves, logs and progress lines; others follow generically."""

    objective: Column
    """What agents are ranked by."""
    constraint: Column | None = None
    """The metric whose mean (or tail, `RiskMeasure`) the limit bounds; an episode's value is its `cost`. None where
    nothing is limited."""
    others: tuple[Column, ...] = ()
    further: tuple[Column, ...] = ()
    """Columns of the last table; empty shows every metric that the main table does not."""
    extras: tuple[tuple[str, tuple[Column, ...]], ...] = ()
    """Tables of their own, by caption, of metrics that only some agents have; a key `..._g` stands for one column a
    group."""
    flaws: tuple[Column, ...] = ()
    """Counts of choices that the mask had closed; lines of progress and notes under tables show those above zero."""
    lower_is_better: bool = True
    bound: str | None = None
    """The privileged agent that the distance to a bound is measured from."""
    excess_key: str = "excess_over_bound"
    group_mean_prefix: str | None = None
    """Metrics `prefix + index` hold the mean of each group."""

    @property
    def leading(self) -> tuple[Column, ...]:
        """The objective, and the constraint where there is one."""
        return (self.objective,) if self.constraint is None else (self.objective, self.constraint)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Objective, constraint and the others."""
        return (*self.leading, *self.others)

    @property
    def tail(self) -> Column:
        """CVaR of the objective over episodes: the mean of its worst tenth."""
        return replace(self.objective, key=f"{self.objective.key}_cvar_{TAIL_SHARE:g}", name=f"CVaR {TAIL_SHARE:g}")

    @property
    def constraint_tail(self) -> Column | None:
        """CVaR of the constraint over episodes: the mean of its largest tenth; None where nothing is limited."""
        column = self.constraint
        if column is None:
            return None
        return replace(column, key=f"{column.key}_cvar_{TAIL_SHARE:g}", name=f"CVaR {TAIL_SHARE:g} of {column.name}")

    @property
    def worst(self) -> Column:
        """The objective in the worst episode."""
        return replace(self.objective, key=f"{self.objective.key}_worst", name="worst episode", interval=False)


GENERIC_HEADLINE = Headline(
    objective=Column("return", "return", decimals=3, interval=True),
    constraint=Column("cost", "cost", decimals=3, interval=True),
    others=(Column("steps", "steps"),),
    lower_is_better=False,
)
"""Return and cost lead, where an environment has no headline of its own."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """Arguments of `evaluate.py --plan`."""

    env_kwargs: Mapping[str, Any]
    """Arguments of the environment."""
    seed: int = 0
    jobs_file: Path | None = None
    """--jobs: a CSV of open jobs."""
    start: str | None = None
    """--start: when crews leave, as text."""
    what_if: tuple[str, ...] = ()
    """--what-if: changes that a plan is made for each."""
    env_id: str = ""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the agent, a sentence each, which the plan tells."""


@dataclass(frozen=True)
class PlanReport:
    """A plan as a table to print and functions that write it to a file."""

    table: RenderableType
    write_csv: Callable[[Path], Path]
    write_json: Callable[[Path], Path] | None = None


@dataclass(frozen=True)
class LearnerDefaults:
    """What a learner takes in one environment where nothing is asked for, over the learner's own defaults."""

    timesteps: int | None = None
    """Of a whole run; None: the learner's own."""
    num_envs: int | None = None
    """Environments that collect side by side; None: the learner's own."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the dataclass of its settings, by name."""


@dataclass(frozen=True)
class Many:
    """An argument that can name many instances to train on at once, such as many cities."""

    argument: str
    """Of the environment; what one value of it names is called by this word too."""
    expand: str
    """"module:function" that takes a value and returns the instances it names, or None where it names one."""

    def of(self, env_kwargs: Mapping[str, Any]) -> list[Any] | None:
        """The instances that these arguments of the environment name; None for one."""
        found = load_entry(self.expand)(env_kwargs.get(self.argument))
        return None if found is None else list(found)


@dataclass(frozen=True)
class Domain:
    """All that agents, tables and command lines know of one environment. Entry points are "module:name"."""

    env_id: str
    agents: tuple[AgentSpec, ...] = ()
    """In the order in which they are listed; learners of `stormgym.agents.general` among them."""
    headline: Headline = GENERIC_HEADLINE
    default_learner: str | None = None
    """The agent that train.py takes when none is named."""
    learner_defaults: Mapping[str, LearnerDefaults] = field(default_factory=dict)
    """By learner, for those whose own defaults do not fit this environment."""
    extractor: str | None = None
    """Class of features for Stable-Baselines3's learners (a `BaseFeaturesExtractor`); None: the observation, flat."""
    clairvoyant: str | None = None
    """The policy with perfect information behind the agent `clairvoyant` (`stormgym.agents.general.CLAIRVOYANT`)."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Policies behind agents that several domains have by one name (`stormgym.agents.of_domain`)."""
    plan: str | None = None
    """Function behind `evaluate.py --plan`: (name, entrant, `PlanRequest`) -> `PlanReport`."""
    plan_agent: str | None = None
    """The agent that plans when none is named."""
    plan_extras: tuple[str, ...] = ()
    """Options of the command line that its plans take beside the usual ones: "json", "what_if"."""
    ert: str | None = None
    """Function behind `evaluate.py --ert`: (name, entrant, env_id, env_kwargs, kept=, on_progress=) -> the entrant,
    which publishes estimated restoration times, or None where it cannot."""
    compiled: tuple[str, ...] = ()
    """Agents whose search is compiled where the extra `fast` is installed; without it command lines hint at it."""
    replay: str | None = None
    """What tells pages of storms: a `stormgym.agents.storm_replay.StormRecorder`."""
    options: tuple[str, ...] = ()
    """Arguments of the environment that command lines name (`--city`); their help is the environment's docstring."""
    instance: str | None = None
    """The argument of the environment that says which city, profile or instance is played; None: there is one."""
    agent_files: Mapping[str, str] = field(default_factory=dict)
    """Files that are agents, by suffix (".npz"): function (file, env) -> policy."""
    many: Many | None = None
    """How one run trains on many instances; None: it does not."""
    chosen_on: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the environment, over those of a run, on which the run chooses its best model: cases that it does
    not learn from, where there are such beside those of the test."""
    demonstrators: Mapping[str, str] = field(default_factory=dict)
    """Agents whose episodes offline learners learn from, by kind: `status-quo`, `planner` and `expert`. Pages compare
    the best agent with the status quo."""
    tokens: str | None = None
    """How STA-SAC reads the observations: a `stormgym.agents.sta_sac.reading.Reading`; None: it does not fit."""
    look_ahead: str | None = None
    """How trained agents look ahead (AGENT:NAME@K): function (policy, env, n_orders=K, **kwargs) -> policy."""
    look_ahead_moves: bool = False
    """Whether a look can end in a local search (AGENT:NAME@K:MOVES), perhaps at a price found on past episodes
    (@K:MOVES:past); its function takes `search_iterations` and `price` for it."""
    teacher: str | None = None
    """The agent that STA-SAC imitates first, where its settings name no other; or "module:function", which names it
    from what the environment announces."""
    teacher_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of that agent, over its own defaults: a teacher may be quicker than who plays for real."""
    small: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of a small instance, with which tests take seconds."""

    def defaults_of(self, learner: str) -> LearnerDefaults:
        """What a learner takes here over its own defaults."""
        return self.learner_defaults.get(learner, LearnerDefaults())

    def agent(self, name: str) -> AgentSpec | None:
        """The agent of that name, if it fits this environment."""
        return next((spec for spec in self.agents if spec.name == name), None)
