"""Nothing durable happens around ``firerl.base.disk.durable``: read from the code, and watched in a run."""

from __future__ import annotations

import ast
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import firerl
from firerl.base.disk import durable

ROOT = Path(__file__).parents[2]
SEAM = "firerl/base/disk/durable.py"
MOVES = {"rename", "replace", "unlink", "remove", "mkdir", "makedirs", "rmdir", "removedirs", "renames", "truncate"}
MOVES |= {"link", "symlink", "fsync", "rmtree", "copy", "copy2", "copyfile", "copytree", "move"}
METHODS = {"write_text", "write_bytes", "unlink", "mkdir", "rmdir", "touch", "rename", "symlink_to", "hardlink_to"}
METHODS |= {"truncate", "commit", "executescript", "backup", "savetxt", "tofile"}
STATEMENTS = ("COMMIT", "BEGIN", "PRAGMA JOURNAL_MODE", "PRAGMA WAL_CHECKPOINT", "VACUUM", "ATTACH", "END")
OURS = {"files", "durable", "store", "stack"}  # whose methods are ours


def durable_calls(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of every call that changes a disk, whoever makes it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("write_bytes", "write_text"):
            yield node.lineno, node.attr  # also where it is only handed on
        if not isinstance(node, ast.Call):
            continue
        words = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        modes = [w for w in words if isinstance(w, str) and 0 < len(w) <= 4 and set(w) <= set("rwxabt+")]
        if isinstance(node.func, ast.Name):
            if node.func.id == "open" and any(set(mode) & set("wxa+") for mode in modes):
                yield node.lineno, "open"
            continue
        if not isinstance(node.func, ast.Attribute):
            continue
        name, owner = node.func.attr, node.func.value
        whose = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
        if whose in OURS:
            continue
        if name == "open" and whose != "Image" and any(set(mode) & set("wxa+") for mode in modes):
            yield node.lineno, name
        elif whose in ("os", "shutil") and name in MOVES:
            yield node.lineno, f"{whose}.{name}"
        elif name in METHODS or (name == "replace" and len(node.args) == 1 and not node.keywords):
            yield node.lineno, name
        elif whose in ("torch", "np", "json", "yaml", "pickle") and name in ("save", "savez", "dump"):
            target = node.args[1 if whose == "torch" else 0] if node.args else None
            if not (isinstance(target, ast.Name) and target.id == "buffer"):
                yield node.lineno, f"{whose}.{name}"
        elif name == "savefig" and not (isinstance(node.args[0], ast.Name) and node.args[0].id in ("buffer", "data")):
            yield node.lineno, name
        elif name == "execute" and any(isinstance(w, str) and w.upper().startswith(STATEMENTS) for w in words):
            yield node.lineno, f"SQL {words[0]}"


ALLOWED = {  # reading only, or nothing of a run
    ("firerl/storage/journal/journal_db.py", "SQL BEGIN"),  # Journal.moment: a reader's
    ("firerl/loggers/tensorboard.py", "mkdir"),  # outside the run's promises, in a thread of its own
    ("firerl/loggers/tensorboard.py", "open"),
    ("envs/images/files/readers.py", "truncate"),  # memory without a name
    ("envs/images/files/speed.py", "mkdir"),  # in a temporary folder
}


def modules() -> list[Path]:
    return [path for folder in ("firerl", "agents", "envs") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_module_goes_around_the_seam() -> None:
    found = []
    for path in modules():
        name = str(path.relative_to(ROOT))
        if name != SEAM:
            for line, what in durable_calls(path.read_text(encoding="utf-8")):
                if (name, what) not in ALLOWED:
                    found.append(f"{name}:{line}: {what}")
    assert not found, "use firerl.base.disk.files or firerl.base.disk.durable:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')", "open(path, mode='ab')", "path.open('r+')", "path.write_text('')",
        "write = Path.write_bytes",
        "path.rename(other)", "path.replace(other)", "os.replace(a, b)", "path.unlink()", "os.makedirs(a)",
        "shutil.rmtree(a)", "torch.save(x, path)", "np.savez(path, x)", "figure.savefig(path)", "db.commit()",
        "db.execute('COMMIT')", "db.executescript(x)", "db.execute('PRAGMA journal_mode = WAL')", "os.fsync(3)",
    ],
)  # fmt: skip
def test_the_scan_sees(line: str) -> None:
    assert list(durable_calls(line))


@pytest.mark.parametrize("line", ["open(path)", "open(path, 'rb')", "text.replace('a', 'b')", "replace(config, a=1)"])
def test_the_scan_lets_pass(line: str) -> None:
    assert not list(durable_calls(line))


class Guarded(sqlite3.Connection):
    """Refuses a change that is its own commit."""

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        assert self.in_transaction or not sql.lstrip().startswith(("INSERT", "UPDATE", "DELETE", "CREATE")), sql
        return super().execute(sql, *arguments)

    def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        assert self.in_transaction, sql
        return super().executemany(sql, *arguments)


def test_a_run_writes_through_the_seam_alone(tmp_path: Path) -> None:
    """In a child, since an audit hook stays for ever."""
    run_dir = tmp_path / "run"
    report = tmp_path / "around"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            found = watched_run(run_dir)
            report.write_text("\n".join(found))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert report.read_text() == ""


def watched_run(run_dir: Path) -> list[str]:
    """Everything that a run and its extension did to the folder outside of the seam."""
    found: list[str] = []
    inside = 0
    actions = 0

    def watch(moment: str, action: str, path: Path) -> None:
        nonlocal inside, actions
        inside += {"before": 1, "half": 0, "after": -1}[moment]
        actions += 1

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")
        if event == "open" and isinstance(arguments[2], int):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        path = str(arguments[0]) if arguments else ""
        if writes and not inside and path.startswith(str(run_dir)) and "/tensorboard" not in path:
            found.append(f"{event} {path}")

    sys.addaudithook(hear)
    durable.watcher = watch
    connect = sqlite3.connect
    sqlite3.connect = lambda *a, **k: connect(*a, factory=Guarded, **k)  # type: ignore[assignment]
    firerl.run("quadratic", steps=120, engine="inline", seed=1, progress=False, run_dir=run_dir)
    firerl.resume(run_dir, steps=180, progress=False)
    if inside or actions < 500:
        found.append(f"{actions} actions, {inside} of them not ended")
    return found
