"""The directions of the house, from the code's own text: who imports whom, and who asks which environment this is.

Imports are written `from stormgym.x import y` and reach the folders through links, which many tools do not follow; here
they are mapped to files. Imports inside functions and under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import gymnasium as gym
import pettingzoo
import pytest

import stormgym

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"predictors": 1, "envs": 2, "agents": 3, "train.py": 4, "evaluate.py": 4}
DOMAINS = ("restoration", "crews", "dispatch", "undergrounding", "decisions")


@cache
def trees() -> Mapping[str, ast.Module]:
    """The parsed library by path from the root."""
    files = [file for floor in FLOORS for file in ((ROOT / floor).rglob("*.py") if floor.isalpha() else [ROOT / floor])]
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(tree: ast.Module) -> Iterator[str]:
    """Names that a file imports of stormgym, without the prefix; lazy imports too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written from stormgym..."
            if (node.module or "").split(".")[0] == "stormgym":
                yield from (f"{node.module}.{alias.name}".removeprefix("stormgym.") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("stormgym.") for a in node.names if a.name.startswith("stormgym."))


@cache
def edges() -> Mapping[str, frozenset[str]]:
    """Files that each file imports."""
    known = {module_of(path): path for path in trees()}

    def file_of(name: str) -> str | None:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return known.get(name)

    return {
        path: frozenset(to for name in imported(tree) if (to := file_of(name)) is not None and to != path)
        for path, tree in trees().items()
    }


def circles(nodes: Iterable[str], following: Callable[[str], Iterable[str]]) -> list[list[str]]:
    """Nodes that reach each other, group by group (Tarjan's strongly connected components of two or more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in following(node):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = [stack.pop()]
            while part[-1] != node:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(sorted(part))

    for node in nodes:
        if node not in index:
            visit(node)
    return found


def room(path: str) -> str:
    """A folder of agents/ with all below it; a file directly in agents/ is a room of its own."""
    return "/".join(path.split("/")[:2])


def domain(path: str) -> str | None:
    """The domain whose room a file is in, on any floor."""
    return next((name for name in DOMAINS if name in path.split("/")[1:-1]), None)


def test_circles__are_found_where_there_are_some() -> None:
    graph = {"a": "b", "b": "cd", "c": "a", "d": "e", "e": ""}
    assert circles(graph, graph.__getitem__) == [["a", "b", "c"]]


def test_imports__are_found_also_in_functions_and_under_type_checking() -> None:
    text = "def f():\n    from stormgym.envs import data\nif TYPE_CHECKING:\n    import stormgym.agents.runs\n"
    assert set(imported(ast.parse(text))) == {"envs.data", "agents.runs"}
    assert "agents/registry.py" in edges()["agents/lineup.py"]
    assert "agents/evaluation/html.py" in edges()["agents/evaluation/command.py"]  # a lazy one
    assert sum(map(len, edges().values())) > 400


def test_imports__never_climb_a_floor() -> None:
    floor = {path: FLOORS[path.split("/")[0]] for path in trees()}
    assert [f"{path} -> {to}" for path, tos in edges().items() for to in tos if floor[to] > floor[path]] == []


def test_imports__are_written_from_stormgym() -> None:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [n for n in names if n.split(".")[0] in ("predictors", "envs", "agents")], path


def test_imports__of_files_make_no_circle() -> None:
    assert circles(trees(), lambda path: edges()[path]) == []


def test_imports__of_rooms_inside_agents_make_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for path, tos in edges().items():
        if path.startswith("agents/"):
            rooms.setdefault(room(path), set()).update(room(to) for to in tos if to.startswith("agents/"))
    graph = {name: tos - {name} for name, tos in rooms.items()}
    assert circles(graph, lambda name: graph.get(name, ())) == []


def test_imports__no_domain_knows_another() -> None:
    between = [
        f"{path} -> {to}"
        for path, tos in edges().items()
        for to in tos
        if path.split("/")[0] == to.split("/")[0] and domain(path) and domain(to) and domain(path) != domain(to)
    ]
    assert between == []


def codes(tree: ast.Module) -> Iterator[ast.Constant]:
    """Strings in code, docstrings aside."""
    told = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


OUTSIDE = [path for path in trees() if domain(path) is None and path.startswith(("envs/", "agents/"))]
"""Files of floors 2 and 3 outside every domain's room."""
MAY_NAME_IDS = ("envs/__init__.py",)
"""Where ids are registered."""
GROUND = ("envs/adapters/sb3_mixed.py", "envs/data/", "agents/sta_sac/", "agents/attention_pg/", "agents/pretrained/")
"""Files that belong to Restoration-v0 outside its room: cities and their padding, algorithms over its regions."""


def test_environment_ids__stand_in_their_rooms_alone() -> None:
    ours = [i for i, spec in gym.registry.items() if str(spec.entry_point).startswith("stormgym.")]
    ours += [i for i, made in pettingzoo.aec_registry.items() if "stormgym" in str(made)]
    assert len(ours) >= 4, stormgym.__name__
    ids = re.compile("|".join(map(re.escape, ours)))
    sniffing = [
        f"{path}:{node.lineno} {node.value}"
        for path in OUTSIDE
        if path not in MAY_NAME_IDS
        for node in codes(trees()[path])
        if ids.fullmatch(str(node.value).removeprefix("stormgym:"))
    ]
    assert sniffing == []


def observation_keys() -> frozenset[str]:
    """Keys that tell one environment's observation from another's: those that not all of ours have."""
    found = []
    for env_id, kwargs in (
        ("Restoration-v0", {"city": "synthetic:4:0", "predictor": "none"}),
        ("GeneratorDispatch-v0", {}),
        ("Undergrounding-v0", {}),
        ("PowerScheduling-v0", {}),
        ("HospitalBeds-v0", {}),
        ("NetworkSecurity-v0", {}),
    ):
        env = gym.make(f"stormgym:{env_id}", **kwargs)
        assert isinstance(env.observation_space, gym.spaces.Dict)
        found.append(frozenset(env.observation_space))
    return frozenset.union(*found) - frozenset.intersection(*found)


@pytest.fixture(scope="module")
def told_apart_by() -> frozenset[str]:
    return observation_keys()


def test_observation_keys__are_read_in_their_rooms_alone(told_apart_by: frozenset[str]) -> None:
    assert {"crew", "stock", "protected", "load_yesterday"} <= told_apart_by
    sniffing = [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path in OUTSIDE
        if not path.startswith(GROUND)
        for node in ast.walk(trees()[path])
        if (isinstance(node, ast.Subscript) and is_one_of(node.slice, told_apart_by))
        or (isinstance(node, ast.Compare) and any(is_one_of(x, told_apart_by) for x in [node.left, *node.comparators]))
    ]
    assert sniffing == []


def is_one_of(node: ast.expr, words: frozenset[str]) -> bool:
    """Whether an expression is one of these words, or a collection that holds one."""
    if isinstance(node, ast.Set | ast.Tuple | ast.List):
        return any(is_one_of(element, words) for element in node.elts)
    return isinstance(node, ast.Constant) and node.value in words


def test_classes_of_environments__are_asked_for_in_their_rooms_alone() -> None:
    """No `isinstance` of a class of a domain, and no import of one, outside its room but where it belongs."""
    sniffing = [
        f"{path} -> {to}"
        for path in OUTSIDE
        if not path.startswith(GROUND)
        for to in edges()[path]
        if domain(to) is not None and path != "agents/registry.py"
    ]
    assert sniffing == []
