"""Old names of modules and classes: old imports go on working with a `DeprecationWarning`, and saved models load.

Modules that no longer exist are made when they are imported; a model's zip file, which names classes by their modules
at that time, finds them the same way. A module that still exists and whose names have moved forwards them by
`__getattr__ = forward(__name__)`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_AGENTS = "stormgym.agents"

PACKAGES = (f"{_AGENTS}.heuristics", f"{_AGENTS}.planning")
"""Packages that no longer exist."""

MODULES: dict[str, tuple[str, ...]] = {
    f"{_AGENTS}.{old}": tuple(f"{_AGENTS}.{new}" if not new.startswith("envs.") else f"stormgym.{new}" for new in news)
    for old, news in {
        "heuristics.rules": ("restoration.rules", "rules"),
        "planning.annealing": ("restoration.search.annealing",),
        "planning.dispatch": ("dispatch.flow",),
        "planning.dispatch_policies": ("dispatch.planners",),
        "planning.expected_gap": ("restoration.search.expected_gap",),
        "planning.hardening": ("undergrounding.case",),
        "planning.hardening_policies": ("undergrounding.planners",),
        "planning.local_search": ("restoration.search.local_search",),
        "planning.orders": ("restoration.search.orders",),
        "planning.outlook": ("restoration.scenario_sampler",),
        "planning.players": ("undergrounding.players",),
        "planning.policies": ("restoration.planners",),
        "planning.replanning": ("restoration.replanning",),
        "planning.rollout": ("restoration.rollout",),
        "planning.routing": ("restoration.search.routing",),
        "planning.situation": ("restoration.situation",),
        "planning.trilevel": ("undergrounding.trilevel.solve",),
        "planning.trilevel_baselines": ("undergrounding.trilevel.baselines",),
        "planning.trilevel_benders": ("undergrounding.trilevel.benders",),
        "planning.trilevel_compact": ("undergrounding.trilevel.compact",),
        "planning.trilevel_kkt": ("undergrounding.trilevel.kkt",),
        "planning.trilevel_problem": ("undergrounding.trilevel.problem",),
        "dfl.dispatch": ("dispatch.decision",),
        "dfl.policies": ("dispatch.forecasters",),
        "dfl.undergrounding": ("undergrounding.decision",),
        "dfl.hardening_policies": ("undergrounding.forecasters",),
        "evaluation.door": ("evaluation.command", "usage"),
        "evaluation.hardening_plan": ("undergrounding.season_plan",),
        "evaluation.headline": ("domain",),
        "evaluation.jobs": ("restoration.todays_jobs",),
        "evaluation.lineup": ("lineup", "registry"),
        "evaluation.plan": ("restoration.todays_plan",),
        "evaluation.statistics": ("statistics",),
        "evaluation.storm_map": ("undergrounding.storm_map",),
        "sta_sac.acting": ("restoration.network.acting",),
        "sta_sac.features": ("restoration.network.features",),
        "sta_sac.lookahead": ("restoration.network.lookahead",),
        "sta_sac.multiplier": ("attention.multiplier",),
        "sta_sac.networks": ("attention.networks",),
        "sta_sac.scenarios": ("restoration.network.scenarios",),
        "training.dispatch_networks": ("dispatch.network",),
        "training.door": ("training.command", "usage"),
        "training.hierarchical": ("restoration.network.hierarchical",),
        "training.lagrangian": ("learners.lagrangian",),
        "training.learners": (
            "learners.sb3",
            "learners.base",
            "sta_sac.learner",
            "sta_sac.teacher",
            "attention_pg.learner",
            "undergrounding.network",
            "restoration.network.hierarchical",
        ),
        "training.maskable_dqn": ("learners.maskable_dqn",),
        "training.mixed": ("envs.adapters.sb3_mixed", "mixed"),
        "training.networks": ("attention.heads", "restoration.network.extractor", "restoration.network.features"),
        "training.runs": ("runs", "files", "versions"),
        "training.settings": ("learners.settings", "sta_sac.settings", "attention_pg.settings"),
        "training.undergrounding_networks": ("undergrounding.network",),
        "training.vec_env": ("envs.adapters.sb3",),
    }.items()
}
"""Modules that no longer exist, and the modules that now hold their names, in the order in which they are searched."""

NAMES: dict[str, tuple[str, ...]] = {
    f"{_AGENTS}.policy": (f"{_AGENTS}.lineup", f"{_AGENTS}.registry", f"{_AGENTS}.domain"),
    f"{_AGENTS}.evaluation.rollouts": ("stormgym.envs.making",),
    f"{_AGENTS}.evaluation.report": (f"{_AGENTS}.terminal",),
    f"{_AGENTS}.evaluation.summary": (f"{_AGENTS}.files",),
    f"{_AGENTS}.pretrained": (f"{_AGENTS}.pretrained.cards",),
    f"{_AGENTS}.pretrained.cards": (f"{_AGENTS}.pretrained.cards",),
    f"{_AGENTS}.training.callbacks": (f"{_AGENTS}.training.callbacks",),
}
"""Modules that exist, and where names that left them, or changed in them (`RENAMED`), are now."""

RENAMED: dict[str, str] = {
    f"{_AGENTS}.{old}": new
    for old, new in {
        "evaluation.hardening_plan:MOST_SHOWN": "MOST_ROWS",
        "planning.outlook:Outlook": "ScenarioSampler",
        "planning.policies:orders_at_hand": "orders_of_state",
        "planning.trilevel_problem:WorstStorm": "WorstStormProgram",
        "pretrained:Score": "CardScore",
        "pretrained.cards:Score": "CardScore",
        "training.callbacks:Evaluation": "EvaluationCallback",
        "training.runs:versions": "run_versions",
    }.items()
}
"""New names of what is called otherwise now, by "old module:old name"."""


def forward(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module whose names have moved: it finds them, with a `DeprecationWarning`."""

    def find(name: str) -> Any:
        if name == "__all__" and module in MODULES:
            return _public(module)
        if not name.startswith("__"):
            wanted = RENAMED.get(f"{module}:{name}", name)
            for place in MODULES.get(module) or NAMES[module]:
                if place == module and wanted == name:
                    continue  # it would come back here
                found = getattr(import_module(place), wanted, None)
                if found is not None:
                    text = f"{module}.{name} has moved: write from {place} import {wanted}"
                    warnings.warn(text, DeprecationWarning, stacklevel=2)
                    return found
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


def _public(module: str) -> list[str]:
    """Names that a module which is gone hands on: for `import *`, `dir` and `help`."""
    return sorted(
        {name for place in MODULES[module] for name in vars(import_module(place)) if not name.startswith("_")}
    )


class _Forwarding(Loader):
    """Makes modules that no longer exist."""

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """An empty module that forwards every name; a package of such modules has none of its own."""
        if module.__name__ in PACKAGES:
            module.__path__ = []
        else:
            module.__getattr__ = forward(module.__name__)  # type: ignore[method-assign]
            module.__dir__ = lambda: _public(module.__name__)  # type: ignore[method-assign]


class OldNames(MetaPathFinder):
    """Finder of modules that no longer exist; it finds nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A specification for an old name, else None."""
        del path, target
        if fullname in MODULES or fullname in PACKAGES:
            return ModuleSpec(fullname, _Forwarding(), is_package=fullname in PACKAGES)
        return None


def install() -> None:
    """Let old names be found, behind every other finder; calling it twice changes nothing."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.append(OldNames())
