"""Names of before: they warn, name their new home, and are the same objects; old pickles load."""

from __future__ import annotations

import pickle
import sys
import warnings
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType

import pytest

from stormgym.agents.moved import MODULES, NAMES, PACKAGES, RENAMED, OldNames, forward, install


def own_names(module: ModuleType) -> list[str]:
    """Public classes and functions that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    ]


def of_an_old_pickle(module: str, name: str) -> object:
    """What a pickle holds that names a class by module and name."""
    return pickle.loads(f"c{module}\n{name}\n.".encode())


def check_handed_on(old: str, places: tuple[str, ...]) -> int:
    """Ask a module for every name of its new homes that it does not hold itself; returns how many there are."""
    module, handed = import_module(old), 0
    for place in places:
        home = import_module(place)
        assert own_names(home), place
        for name in own_names(home):
            if name in vars(module):  # imported, because it is used there
                assert vars(module)[name] is getattr(home, name)
                continue
            said = rf"^{old}\.{name} has moved: write from \S+ import {name}$"
            with pytest.warns(DeprecationWarning, match=said) as told:
                found = getattr(module, name)
            advised = str(told[0].message).split()[-3]
            assert found is getattr(home, name) is getattr(import_module(advised), name)
            assert advised in places
            handed += 1
    return handed


@pytest.mark.parametrize("old", MODULES)
def test_module__that_is_gone_hands_on_every_name_of_its_new_homes_with_a_warning(old: str) -> None:
    assert check_handed_on(old, MODULES[old]) > 0


@pytest.mark.parametrize("old", NAMES)
def test_module__that_exists_hands_on_names_that_left_it(old: str) -> None:
    check_handed_on(old, NAMES[old])
    assert old not in MODULES
    assert not hasattr(import_module(old), "nobody")


@pytest.mark.parametrize("old", RENAMED)
def test_name__that_is_called_otherwise_now_is_found_by_its_old_one(old: str) -> None:
    module, _, name = old.partition(":")
    with pytest.warns(DeprecationWarning, match=f"{name} has moved: write from .* import {RENAMED[old]}$"):
        found = getattr(import_module(module), name)
    places = MODULES.get(module) or NAMES[module]
    assert any(getattr(import_module(place), RENAMED[old], None) is found for place in places)
    assert getattr(found, "__name__", RENAMED[old]) == RENAMED[old]


def test_name__from_import_warns_where_it_is_written() -> None:
    with pytest.warns(DeprecationWarning, match="write from stormgym.agents.dispatch.flow import") as told:
        from stormgym.agents.planning.dispatch import solve_dispatch  # type: ignore[import-not-found]
    assert told[0].filename == __file__
    assert solve_dispatch.__module__ == "stormgym.agents.dispatch.flow"


@pytest.mark.parametrize("module", ["stormgym.agents.planning.trilevel", "stormgym.agents.policy"])
@pytest.mark.parametrize("name", ["nobody", "_private", "__wrapped__"])
def test_name__that_never_was_is_an_attribute_error_without_a_warning(module: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AttributeError, match=f"module '{module}' has no attribute '{name}'"):
            getattr(import_module(module), name)
        assert not hasattr(import_module(module), name)


def test_module__that_never_was_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("stormgym.agents.planning.weather")
    for package in PACKAGES:
        assert import_module(package).__path__ == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("stormgym.agents.training.networks", "RegionExtractor"),
        ("stormgym.agents.training.hierarchical", "RegionHierarchicalPolicy"),
        ("stormgym.agents.training.lagrangian", "PricedReplayBuffer"),
        ("stormgym.agents.training.undergrounding_networks", "SeasonExtractor"),
        ("stormgym.agents.training.dispatch_networks", "DispatchFeatures"),
        ("stormgym.agents.sta_sac.multiplier", "LagrangeMultiplier"),
        ("stormgym.agents.training.settings", "STASACSettings"),
    ],
)
def test_pickle__that_names_a_class_by_its_old_module_loads(module: str, name: str) -> None:
    homes = [import_module(place) for place in MODULES[module]]
    with pytest.warns(DeprecationWarning, match=f"{name} has moved"):
        found = of_an_old_pickle(module, name)
    assert any(vars(home).get(name) is found for home in homes)


def test_install__twice_changes_nothing_and_leaves_other_names_alone() -> None:
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before
    (finder,) = [finder for finder in sys.meta_path if isinstance(finder, OldNames)]
    # behind the finder of real modules; other packages put finders of their own behind it
    assert sys.meta_path.index(finder) > sys.meta_path.index(PathFinder)
    assert finder.find_spec("stormgym.agents.lineup", None) is None
    assert finder.find_spec("numpy", None) is None


def test_star__of_a_module_that_is_gone_binds_its_names() -> None:
    names: dict[str, object] = {}
    with pytest.warns(DeprecationWarning, match="has moved"):
        exec("from stormgym.agents.planning.trilevel import *", names)
    assert "solve_trilevel" in names
    assert "solve_trilevel" in dir(import_module("stormgym.agents.planning.trilevel"))


def test_floor_of_environments__hands_on_names_that_moved_inside_it() -> None:
    with pytest.warns(DeprecationWarning, match="write from stormgym.envs.undergrounding.regions import send_crews"):
        from stormgym.envs.undergrounding.profiles import send_crews
    assert send_crews.__module__ == "stormgym.envs.undergrounding.regions"
    with pytest.raises(ImportError):
        from stormgym.envs.undergrounding.profiles import nobody  # noqa: F401


def test_forward__of_a_module_that_nobody_moved_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        forward("stormgym.agents.registry")("anything")


def test_name__unknown_in_a_module_that_forwards_to_itself_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(import_module("stormgym.agents.training.callbacks"), "nothing")  # noqa: B009
