"""The documents' code runs as pasted."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from firerl.evolution import fire
from firerl.settings import describe

ROOT = Path(__file__).parent.parent


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_your_own_learner(tmp_path: Path) -> None:
    learner, script = blocks("docs/your-own-learner.md", "python")
    (tmp_path / "digits.py").write_text(learner)
    (tmp_path / "run.py").write_text(script)
    (tmp_path / "agents").mkdir()  # a user's own folder of that name does no harm
    (tmp_path / "agents" / "__init__.py").write_text("raise ImportError('not yours')")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = [*blocks("docs/your-own-learner.md", "sh")[0].strip().splitlines(), "python run.py"]
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    accuracy = float(done.stdout.splitlines()[-1].split()[0])
    assert accuracy > 0.8


def test_your_own_algorithm(tmp_path: Path) -> None:
    (code,) = blocks("docs/your-own-algorithm.md", "python")
    assert 30 <= len([line for line in code.splitlines() if line]) <= 45
    (tmp_path / "rivals").mkdir()
    (tmp_path / "rivals" / "tournament.py").write_text(code)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (commands,) = blocks("docs/your-own-algorithm.md", "sh")
    for command in commands.strip().splitlines():
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    copies = [line for line in (tmp_path / "one.txt").read_text().splitlines() if line.startswith("copy ")]
    assert len(copies) > 20
    refused = "python -m firerl.launch learner=quadratic algo=rivals.tournament algo.margni=1"
    done = subprocess.run(refused, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'algo.margin'" in done.stderr


def test_use_the_winner(tmp_path: Path) -> None:
    runs, export, init = blocks("docs/use-the-winner.md", "sh")
    play, onnx = blocks("docs/use-the-winner.md", "python")
    (tmp_path / "play.py").write_text(play)
    (tmp_path / "onnx_file.py").write_text(onnx)
    commands = [*runs.strip().splitlines(), "python play.py", *init.strip().splitlines()]
    has_onnx = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
    if has_onnx:
        commands += [*export.strip().splitlines(), "python onnx_file.py"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = {}
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        said[command] = done.stdout
    assert re.match(r"<Policy for CartPole, 8,000 steps> return \d+\.0\n", said["python play.py"])
    assert (tmp_path / "runs" / "further" / "init.pt").is_file()
    if not has_onnx:
        pytest.skip("the extra firerl[onnx] is not installed: the rest of the page works")
    assert re.match(r"[01] \{.*'task': 'CartPole'", said["python onnx_file.py"])


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install -e . && python -m firerl.launch env=Humanoid" in readme
    assert "pip install -e .[dev] && pytest" in readme


def test_the_page_on_fire_pbt_lists_every_setting_with_its_default() -> None:
    text = (ROOT / "docs/fire-pbt.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(algo\.\w+)` \| (.*?) \| (.*?) \|", text, re.MULTILINE)
    lines = describe(fire.Settings, "algo.")
    assert [row[:2] for row in rows] == [(line.name, line.default) for line in lines]
    assert all(unit == line.unit for (_, _, unit), line in zip(rows, lines, strict=True) if line.unit)


def test_the_page_on_fire_pbt_names_every_choice() -> None:
    text = (ROOT / "docs/fire-pbt.md").read_text(encoding="utf-8")
    for setting in dataclasses.fields(fire.Settings):
        row = next(line for line in text.splitlines() if line.startswith(f"| `algo.{setting.name}`"))
        for choice in setting.metadata["choices"]:
            assert f"`{choice}`" in row or f"| {choice} |" in row
