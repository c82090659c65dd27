"""Benchmarks measure and break at public seams: a private name may go at any time, and the script with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests" / "stress").glob("*.py")])

GRIDS = ("rl_evidence.py", "images_evidence.py")  # their command line is evidence.py's


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def replaced(tree: ast.AST) -> Iterator[str]:
    """What a script puts in the place of another's private name: by assignment, or by name beside its owner, as in
    ``setattr(Store, "_x", ...)`` and ``for owner, name in ((Store, "_x"),)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_private(node.attr):
            yield from [] if ast.unparse(node.value) in ("self", "cls") else [ast.unparse(node)]
        group = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
        for owner, name in pairwise(group):
            value = name.value if isinstance(name, ast.Constant) else None
            if isinstance(owner, ast.Name | ast.Attribute) and isinstance(value, str) and is_private(value):
                yield value


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_replaces_a_private_name(path: Path) -> None:
    assert list(replaced(ast.parse(path.read_text()))) == []


def test_the_index_names_every_script_that_is_there() -> None:
    index = (ROOT / "benchmarks" / "README.md").read_text()
    scripts = {path.name for path in SCRIPTS if "argparse.ArgumentParser(" in path.read_text() or path.name in GRIDS}
    assert set(re.findall(r"(\w+\.py)[^`]*` \|", index)) == scripts - {"evidence.py"}


def test_it_would_be_found() -> None:
    tree = ast.parse('store._copy = f; wrap(Store, "_insert"); self._own = 1; print("_insertion")')
    assert list(replaced(tree)) == ["store._copy", "_insert"]
