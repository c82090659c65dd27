"""The house of docs/architecture.md: a room imports only itself and what stands below it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (  # from top to bottom; a door may import whatever it likes, and nobody a door
    "commands", "loggers", "api", "insight", "winner", "session", "engine", "storage", "config", "summary", "evolution",
    "agents", "envs", "configs", "contracts", "base",
)  # fmt: skip
FILES = {"api": "api", "run_result": "api", "learner": "contracts", "logger": "contracts", "errors": "base"}
DOORS = (
    "__main__", "launch", "journal", "report", "explain", "compare", "play", "replay", "export", "plan", "doctor",
    "check", "ls", "stop", "watch",
)  # fmt: skip
ALIKE = {"__init__", "learner", "settings", "networks"}  # every agent has its own


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package with its dotted name, without ``firerl.`` and ``.__init__``."""
    for top, ahead in ((ROOT / "firerl", ()), (ROOT / "agents", ("agents",)), (ROOT / "envs", ("envs",))):
        for path in top.rglob("*.py"):
            parts = (*ahead, *path.relative_to(top).with_suffix("").parts)
            yield ".".join(part for part in parts if part != "__init__"), path


def imported(path: Path) -> Iterator[str]:
    """What of firerl a file imports, wherever in it, also for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("firerl.") for name in names if name.startswith("firerl."))


def room_of(module: str) -> str:
    first = module.partition(".")[0]
    return FILES.get(first, first)


def test_a_room_imports_only_what_stands_below_it() -> None:
    wrong = []
    for module, path in modules():
        if module and module not in DOORS:
            for other in imported(path):
                room = room_of(other)
                if room in DOORS or (room in ROOMS and ROOMS.index(room) < ROOMS.index(room_of(module))):
                    wrong.append(f"{module} imports {other}")
    assert not wrong


def test_no_room_is_crowded() -> None:
    files = defaultdict(list)
    for module, path in modules():
        if module not in DOORS and path.stem != "__init__":
            files[path.parent].append(path)
    assert not {str(folder): len(inside) for folder, inside in files.items() if len(inside) > 12}


def test_no_file_is_longer_than_one_reads() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in modules()}
    assert not {module: length for module, length in lengths.items() if length > 400}


def test_a_module_has_its_name_alone() -> None:
    """But for the parts that every agent has."""
    places = defaultdict(list)
    for module, path in modules():
        if module not in DOORS and path.stem not in ALIKE:
            places[path.stem].append(module)
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_doors_are_thin() -> None:
    for name in DOORS:
        code = ast.parse((ROOT / "firerl" / f"{name}.py").read_text(encoding="utf-8"))
        assert len(code.body) <= 4, name
