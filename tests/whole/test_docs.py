"""The documents' code runs as pasted; their links lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
import yaml
from documents_for_tests import ROOT, blocks

import firerl
from firerl.base.settings import build
from firerl.engine.inline import InlineEngine
from firerl.evolution.algorithms import fire
from firerl.run_result import Result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder outside the repository, in which commands run and modules are found."""
    (tmp_path / "agents").mkdir()  # a user's own folder of that name does no harm
    (tmp_path / "agents" / "__init__.py").write_text("raise ImportError('not yours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # Processes cost seconds to start and change no result.
    monkeypatch.setattr("firerl.engine.local.local.LocalEngine", lambda spec, *_: InlineEngine(spec))
    monkeypatch.delitem(sys.modules, "digits", raising=False)
    return tmp_path


def ran(line: str, folder: Path) -> str:
    """What a line of a page prints, in a process of its own."""
    done = warm.python(shlex.split(line)[1:], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_your_own_learner(tmp_path: Path) -> None:
    learner, script, *_ = blocks("docs/how-to/your-own-learner.md", "python")
    (tmp_path / "digits.py").write_text(learner)
    (tmp_path / "run.py").write_text(script)
    check, *lines = "".join(blocks("docs/how-to/your-own-learner.md", "sh")).splitlines()
    told = ran(check, tmp_path)
    quoted = blocks("docs/how-to/your-own-learner.md", "text")[0].splitlines()
    assert told.splitlines()[:2] == quoted[:2]
    assert told.endswith("all checks passed\n")
    for line in lines:
        ran(line, tmp_path)
    # As it would be if its state forgot the generator.
    broken = learner.replace('"stream": self.rng.bit_generator.state', '"stream": {}').replace(
        "if stream is not None", "if stream"
    )
    (tmp_path / "forgetful.py").write_text(broken)
    done = warm.python(["-m", "firerl.check", "forgetful.Digits"], tmp_path)
    assert done.returncode == 1
    failed = done.stdout.splitlines()
    at = failed.index(quoted[3])
    assert failed[at + 1] == quoted[4]
    assert failed[at + 2].startswith(quoted[5].removesuffix("..."))
    # A script of its own, without a guard.
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(done.stdout.splitlines()[-1].split()[0]) > 0.8
    assert (tmp_path / "winner.png").stat().st_size > 10_000


def test_coming_from_ray_tune(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("docs/how-to/from-ray-tune.md", "python")
    exec(compile(code, "from-ray-tune.md", "exec"), {})
    assert float(capsys.readouterr().out.splitlines()[-1])
    config = json.loads((folder / "runs/from-tune/result.json").read_text())
    assert config["algo"] == "pbt"


def test_the_library_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "digits.py").write_text(blocks("docs/how-to/your-own-learner.md", "python")[0])
    names: dict[str, Any] = {}
    exec(compile(blocks("docs/how-to/library.md", "python")[0], "library.md", "exec"), names)
    assert names["longer"].best.network_step == 640
    assert names["model"].evaluate(0) > 0.8
    assert len(names["again"].networks) == 2
    assert names["figure"].axes
    # The command line is a thin layer over it: the same run, the same journal.
    from firerl.commands import journal, launch

    same = "learner=digits.Digits learner.batch=16 space.lr={log_uniform:[1e-2,10.0]} population.sizes=[4,4] "
    same += "population.evaluators=2 steps=640 eval_interval=20 ready_interval=80 algo=fire algo.fitness_window=3 "
    assert launch.main([*same.split(), "run_dir=runs/same", "engine=inline"]) == 0
    capsys.readouterr()
    printed = []
    for name in ("library", "same"):
        assert journal.main([f"runs/{name}", "--reports"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].count("report ") > 250


def test_every_attribute_of_a_result_is_on_the_library_page() -> None:
    text = (ROOT / "docs/how-to/library.md").read_text(encoding="utf-8")
    for name in (n for n in dir(Result) if not n.startswith("_")):
        assert f"`{name}" in text or name in ("objective", "hyperparameters")  # best's, for short


def test_your_own_algorithm(tmp_path: Path) -> None:
    (code,) = blocks("docs/how-to/your-own-algorithm.md", "python")
    assert 30 <= len([line for line in code.splitlines() if line]) <= 45
    (tmp_path / "rivals").mkdir()
    (tmp_path / "rivals" / "tournament.py").write_text(code)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (commands,) = blocks("docs/how-to/your-own-algorithm.md", "sh")
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
    runs, export, classifier, init = blocks("docs/how-to/use-the-winner.md", "sh")
    play, onnx, classify = blocks("docs/how-to/use-the-winner.md", "python")
    (tmp_path / "play.py").write_text(play)
    (tmp_path / "classify.py").write_text(classify)
    (tmp_path / "onnx_file.py").write_text(onnx)
    learn, classifier_export = classifier.strip().splitlines()
    commands = [*runs.strip().splitlines(), "python play.py", *init.strip().splitlines(), learn, "python classify.py"]
    has_onnx = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
    if has_onnx:
        commands += [*export.strip().splitlines(), "python onnx_file.py", classifier_export]
    said = {command: ran(command, tmp_path) for command in commands}
    assert re.match(r"<Policy for CartPole, 8,000 steps> return \d+\.0\n", said["python play.py"])
    assert re.match(r"\(1, 8, 8\) \['0'(, '\d'){4}\]\n", said["python classify.py"])
    assert (tmp_path / "runs" / "further" / "init.pt").is_file()
    if not has_onnx:
        pytest.skip("the extra firerl[onnx] is not installed: the rest of the page works")
    assert re.match(r"[01] \{.*'task': 'CartPole'", said["python onnx_file.py"])


PAGES = sorted((ROOT / "docs").rglob("*.md"))
BESIDE = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")]


@pytest.mark.parametrize("page", [*BESIDE, *PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_every_page_is_in_the_menu_of_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = re.findall(r"[\w/-]+\.md", json.dumps(site["nav"]))
    assert sorted(named) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES)


def test_the_api_page_has_all_that_is_public() -> None:
    named = re.findall(r"^(?::::|      heading:) firerl\.([\w.]+)$", (ROOT / "docs/reference/api.md").read_text(), re.M)
    assert {*named, "__version__"} == {*firerl.__all__, "logger.Logger", "adapters.lightning", "adapters.sb3"}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/architecture.md"])
def test_the_places_that_newcomers_are_sent_to_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    places = re.findall(r"`((?:firerl|agents|envs|configs|tests|benchmarks|docs)/[\w/.]*)`", text)
    assert not [place for place in places if not (ROOT / place).exists()]
    for name, place in re.findall(r"`([\w.]+)` in `([\w/]+\.py)`", text):
        assert re.search(rf"(def|class) {name.rpartition('.')[2]}\b", (ROOT / place).read_text(encoding="utf-8"))


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install -e . && python -m firerl.launch env=Humanoid" in readme
    assert "pip install -e .[dev] && pytest" in readme


def test_the_page_on_fire_pbt_has_the_switch_of_every_part() -> None:
    text = (ROOT / "docs/explanation/fire-pbt.md").read_text(encoding="utf-8")
    switches = dict(re.findall(r"^\|.*\| `algo\.(\w+)=(\w+)` \|$", text, re.MULTILINE))
    parts = [f for f in dataclasses.fields(fire.Settings) if f.metadata["choices"] or f.type == "bool"]
    assert sorted(switches) == sorted(f.name for f in parts)
    values = {name: {"false": False}.get(value, value) for name, value in switches.items()}
    made = build(fire.Settings, values, "algo.")  # each value is allowed
    assert all(getattr(made, f.name) != f.default for f in parts)


def test_the_page_of_settings_names_every_choice_of_fire() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    rows = text.partition("### algo=fire\n")[2].partition("### ")[0].splitlines()
    for setting in dataclasses.fields(fire.Settings):
        row = next(line for line in rows if line.startswith(f"| `algo.{setting.name}`"))
        assert all(choice in row for choice in setting.metadata["choices"])
