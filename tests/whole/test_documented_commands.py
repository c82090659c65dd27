"""Every command of README and docs runs as pasted, each in a process of its own; long runs are made short.

A page is a test: its commands run from top to bottom in a fresh folder. The pages about ``runs/smoke`` are one test, in
which a line that several of them have runs once. What stands in a page beside its commands (a learner, a logger) lies
in the folder under the name that the page gives it. The notebook (``docs/lab``) is left out: its commands are studies
of hours, many of them at a tag.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.parent.name != "lab")]
# test_docs.py runs each of their lines, as it stands.
WHOLE = ("use-the-winner.md", "your-own-algorithm.md", "your-own-learner.md")
SMALL = "population.sizes=[2,2] population.evaluators=2"
AGENT = "learner.num_envs=2 learner.unroll=20 learner.hidden=[8] learner.objective_episodes=2"
AGENT += " env.kwargs.max_episode_steps=20 eval_interval=40 ready_interval=80"
IMAGES = "learner.model=mlp learner.batch_size=32 eval_interval=5 ready_interval=10 steps=20"

# What is added to a line so that it takes seconds: the first entry whose left side is in the line.
SHORTER = (
    ("resume=runs/smoke", "steps=320"),
    ("resume=runs/", ""),
    ("explain runs/smoke step=", "step=160"),
    ("learner=sb3", f"{SMALL} learner.arguments.train_freq=8 eval_interval=40 ready_interval=80 steps=160"),
    ("launch learner=lightning", f"{SMALL} eval_interval=5 ready_interval=10 steps=20"),
    ("firerl.check vmpo", "learner.num_envs=2 learner.unroll=64 learner.hidden=[8]"),
    ("learner=quadratic preset=smoke", ""),
    ("learner=quadratic", "steps=120 eval_interval=10 ready_interval=30"),
    ("learner=modelled", f"{SMALL} steps=120"),
    ("learner=classifier algo=constant", "population.sizes=[1] population.evaluators=0 " + IMAGES),
    ("learner=classifier algo=random", "population.sizes=[2] population.evaluators=0 " + IMAGES),
    ("launch learner=classifier", f"{SMALL} {IMAGES}"),
    ("algo=pbt run_dir=runs/pbt", f"population.sizes=[6] population.evaluators=0 {AGENT} steps=160"),
    ("firerl.launch env=", f"{SMALL} {AGENT} steps=160"),
    ("firerl.plan env=", f"{SMALL} {AGENT} steps=160 --minutes 0.05"),
)
# What a line of these is about shows in processes of the engine; the others' learners run in the line's own process.
PROCESSES = ("engine", "run_dir=runs/smoke", "trackers.Folder", "launch resume=")
# Lines that no test machine can run as they stand, with the test that runs what they are about.
ELSEWHERE = (
    ("pip install", "the clone is installed: .ci/run does it"),
    ("RAY_AUTH", "a cluster: tests/whole/test_cluster_scripts.py"),
    ("ray start", "a cluster: tests/whole/test_cluster_scripts.py"),
    ("engine.address=", "a cluster: tests/engine/test_ray.py"),
    ("s3://", "a bucket: tests/storage/test_remote.py"),
    ("/mnt/share", "a mounted folder: tests/storage/test_remote.py"),
    ("/data/imagenet", "ImageNet: tests/envs/test_imagenet_runs.py"),
    ("data=own_images:", "the example: tests/whole/test_examples.py"),
    ("learner.model=resnet18", "torchvision: tests/agents/test_classifier_runs.py"),
    ("firerl.stop runs/long", "it needs a run that goes on: tests/commands/test_stop.py"),
    ("firerl.watch", "it waits for Ctrl-C: tests/commands/test_watch.py"),
    ("--watch", "it waits for Ctrl-C: tests/insight/report/test_report_watch.py"),
    ("preset=paper22 engine.processes=64", "64 processes: tests/commands/test_plan.py"),
)


# Lines that need an extra, with a module that it brings.
EXTRAS = (("learner=sb3", "stable_baselines3"), ("learner.module=net", "lightning"), ("wandb", "wandb"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[str]:
    """The page's lines for a shell, without comments; those that run elsewhere are left out."""
    lines = [re.sub(r"\s+# .*", "", line) for block in blocks(page, "sh") for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("python -m ")]
    return [line for line in lines if not any(part in line for part, _ in ELSEWHERE)]


def shorter(line: str) -> str:
    """The line with settings behind it that win over its own."""
    more = next((more for part, more in SHORTER if part in line), "")
    if "firerl.launch" in line and "--help" not in line and not any(part in line for part in PROCESSES):
        more += " engine=inline"
    names = {setting.partition("=")[0] for setting in more.split()}
    kept = [word for word in line.split(" ") if word.partition("=")[0] not in names]
    return " ".join([*kept, more]).strip()


# Modules that a page tells its reader to write: what their code block holds, and where it goes.
MODULES = (
    ("class Loop", "loop.py"),
    ("class Net", "net.py"),
    ("class Folder", "trackers.py"),
)


def fill(folder: Path, page: Path) -> None:
    """What the commands of a page need beside them."""
    (folder / "agents").mkdir(exist_ok=True)  # a user's own folder of that name does no harm
    (folder / "agents" / "__init__.py").write_text("raise ImportError('not yours')")
    for code in blocks(page, "python"):
        for part, name in MODULES:
            if part in code:
                (folder / name).write_text(code)


def run(line: str, folder: Path) -> None:
    """Run a line, made short, in a process of its own."""
    first, *words = shlex.split(shorter(line))
    assert first == "python"
    assert not {"|", ">", "&&"} & set(words), f"this test has no shell: {line}"
    done = warm.python(words, folder)
    assert done.returncode == 0, f"{line}\n{shorter(line)}\n{done.stdout}{done.stderr}"


def together() -> list[list[Path]]:
    """The pages by test."""
    mine = [page for page in PAGES if commands(page) and page.name not in WHOLE]
    smoke = [page for page in mine if any("runs/smoke" in line for line in commands(page))]
    return [smoke, *([page] for page in mine if page not in smoke)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pages", together(), ids=lambda pages: "+".join(page.name for page in pages))
def test_every_command_of_the_page_runs(pages: list[Path], tmp_path: Path) -> None:
    missing = set()
    for page in pages:
        fill(tmp_path, page)
    for line in dict.fromkeys(line for page in pages for line in commands(page)):
        lacks = {extra for part, extra in EXTRAS if part in line and not importlib.util.find_spec(extra)}
        missing |= lacks
        if not lacks:
            run(line, tmp_path)
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}; the rest of the page runs")


def all_lines() -> Iterator[str]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            yield from block.splitlines()


@pytest.mark.parametrize("part", [part for part, _ in ELSEWHERE])
def test_what_runs_elsewhere_is_still_there(part: str) -> None:
    """An entry that no line needs would hide one that is written later."""
    assert any(part in line for line in all_lines())
