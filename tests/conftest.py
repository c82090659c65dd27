"""Every run that a test leaves behind is verified: its chain of hashes, its rows, every decision replayed.

A test whose journal is made by hand or damaged on purpose is marked ``unverified("why")``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from told_quadratic import Told

import firerl
from firerl.config import named_code
from firerl.engine.threads import one_thread
from firerl.insight.health.verify import verify_folder
from firerl.storage.journal.journal_db import Journal
from firerl.storage.journal.recorded_config import config_of

# The longest files begin first: a process that takes one of them last is alone for minutes.
_LONGEST = (
    "test_documented_commands.py", "test_promises.py", "test_ray.py", "test_golden.py",
    "test_imagenet_runs.py", "test_suspects.py", "test_engine.py", "test_faults.py", "test_docs.py",
    "test_cluster_scripts.py", "test_evidence_benchmark.py",
)  # fmt: skip
_verified: set[tuple[Path, int, int]] = set()  # (journal, time, bytes): a module's run is not verified by each test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Needs ``--no-loadscope-reorder``: left alone, xdist begins with the files of most tests."""
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As in every process of an engine: with more threads torch adds up in another order, on other machines."""
    one_thread()


@pytest.fixture(scope="session")
def told_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished FIRE run on which every kind of decision but Set was taken: copy it before you change it."""
    run_dir = tmp_path_factory.mktemp("told") / "run"
    firerl.run(
        Told,
        population=[4, 4],
        evaluators=3,
        steps=600,
        ready_interval=40,
        seed=3,
        engine="inline",
        progress=False,
        run_dir=run_dir,
    )
    return run_dir


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    result = yield
    if not item.get_closest_marker("unverified"):
        for folder in _folders(getattr(item, "funcargs", {}).values()):
            for journal in folder.rglob("journal.sqlite"):
                _verify(journal)
    return result


def _folders(values: Any) -> Iterator[Path]:
    """The folders among a test's fixtures."""
    for value in values:
        if isinstance(value, Mapping):
            yield from _folders(value.values())
        elif isinstance(value, Path) and value.is_dir():
            yield value


def _verify(journal: Path) -> None:
    log = journal.with_name("journal.sqlite-wal")
    files = [path.stat() for path in (journal, log) if path.is_file()]
    key = (journal, max(s.st_mtime_ns for s in files), sum(s.st_size for s in files))
    if key in _verified:
        return
    _verified.add(key)
    with closing(Journal.open(journal.parent)) as opened:
        algorithm = config_of(opened).algo.name
    if named_code.foreign({"algo": algorithm}):  # only the test could import it
        return
    found = verify_folder(journal.parent)
    assert not found.differences, "\n".join([f"{journal.parent} is not verified:", *found.lines()])
