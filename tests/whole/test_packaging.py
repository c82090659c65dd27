"""The distribution's description: all packages are in it, the version stands in one place, the log names it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import firerl
from firerl import commands
from firerl.commands import launch
from firerl.storage.journal import journal_file
from firerl.storage.store import Store

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_in_the_wheel() -> None:
    """A list by hand, since folders and names differ: a new folder must not be forgotten."""
    folders = {
        path.parent.relative_to(ROOT)
        for top in ("firerl", "agents", "envs", "configs")
        for path in (ROOT / top).rglob("*")
        if path.suffix in (".py", ".yaml")
    }
    names = {".".join(folder.parts if folder.parts[0] == "firerl" else ("firerl", *folder.parts)) for folder in folders}
    assert names == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_file_that_is_no_code_is_in_the_wheel() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    places = {"firerl": "firerl", **PROJECT["tool"]["setuptools"]["package-dir"]}
    places |= {name: name.replace(".", "/") for name in data if name.startswith("firerl.insight.")}
    packed = {path for package, globs in data.items() for glob in globs for path in (ROOT / places[package]).glob(glob)}
    there = {
        path
        for top in ("firerl", "agents", "envs", "configs")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert packed == there


def test_the_version_stands_in_one_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "firerl.__version__"}
    assert importlib.metadata.version("firerl") == firerl.__version__
    for command in (launch.main, commands.main):
        assert command(["--version"]) == 0
        assert capsys.readouterr().out == f"firerl {firerl.__version__}\n"
    firerl.run("quadratic", preset="smoke", engine="inline", logger="none", progress=False, run_dir=tmp_path / "r")
    with Store.open(tmp_path / "r") as store:
        assert store.journal().writer() == firerl.__version__ == journal_file.__version__
    text = re.compile(rf"""["']{re.escape(firerl.__version__)}["']""")
    written = [
        p for top in ("firerl", "agents", "envs") for p in (ROOT / top).rglob("*.py") if text.search(p.read_text())
    ]
    assert written == [ROOT / "firerl" / "__init__.py"]


def test_the_changelog_names_the_version() -> None:
    headings = re.findall(r"^## (\S+?)[, ]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == firerl.__version__


def test_the_licence_is_the_named_one() -> None:
    assert (PROJECT["project"]["license"], PROJECT["project"]["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_a_report_of_an_error_asks_for_version_and_doctor() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    asked = {field["id"]: field for field in form["body"]}
    assert "python -m firerl.launch --version" in asked["version"]["attributes"]["description"]
    assert "python -m firerl.doctor" in asked["doctor"]["attributes"]["description"]
    assert asked["version"]["validations"]["required"]


def test_a_clone_is_one_whole() -> None:
    """Where firerl is installed, but not editable, the clone's own firerl/ comes first in its folder."""
    print_all = "print(firerl.__file__, firerl.agents.__file__, *firerl.configs.__path__)"
    code = f"import firerl.agents, firerl.configs; {print_all}"
    ran = subprocess.run(  # -S: without any installed package
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env={}
    )
    assert ran.stdout.split() == [str(ROOT / name) for name in ("firerl/__init__.py", "agents/__init__.py", "configs")]
