"""Who reads files in firerl, and the runs whose files ``mutated_files.py`` spoils."""

from __future__ import annotations

import os
import shutil
import sqlite3
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import firerl
from firerl.commands import compare, explain, journal, play, report
from firerl.commands.running import server
from firerl.commands.running.watched_runs import WatchedRuns
from firerl.config.compose import compose
from firerl.config.learners import find_learner
from firerl.config.request import resolve
from firerl.envs.images import cache
from firerl.insight.health import health, verify
from firerl.insight.health.repair import repair
from firerl.insight.history import history
from firerl.insight.plan import probe
from firerl.run_result import Result
from firerl.session import initial
from firerl.session import start as starting
from firerl.storage import checkpoint, store, winner_file
from firerl.storage.journal.journal_db import Journal
from firerl.storage.journal.recorded_config import config_of
from firerl.storage.lock import refuse_if_held
from firerl.winner import retracing

SMALL = {
    "population": [2, 2], "evaluators": 2, "steps": 60, "eval_interval": 5, "ready_interval": 20, "engine": "inline",
    "progress": False, "algo_settings": {"max_eval_steps": 40},
}  # fmt: skip
AGENT = {
    "num_envs": 4, "unroll": 10, "hidden": [16, 16], "epochs": 2, "minibatches": 2, "objective_episodes": 1,
    "learning_rate": 0.01,
}  # fmt: skip
EVIL = "from pathlib import Path\nPath({ran!r}).touch()\nfrom firerl.agents.quadratic.learner import Quadratic as Own\n"


def prepare(folder: Path) -> None:
    """The runs to spoil, the canary tree, and a current directory full of modules that nobody may import."""
    firerl.run("quadratic", run_dir=folder / "base/whole", **SMALL)
    firerl.run("quadratic", run_dir=folder / "base/rival", seed=1, **SMALL)
    shutil.copytree(folder / "base/whole", folder / "base/open")
    for name in store.RESULTS:
        (folder / "base/open" / name).unlink()
    firerl.run("quadratic", run_dir=folder / "base/begun", init=str(folder / "base/whole"), **SMALL)
    firerl.run(
        "vmpo", env="CartPole", settings=AGENT, population=[2], evaluators=0, algo="pbt", steps=320, eval_interval=80,
        ready_interval=160, engine="inline", progress=False, run_dir=folder / "base/agent",
    )  # fmt: skip
    firerl.retrace(folder / "base/whole", seed=5, out=folder / "base/retraced", progress=False)
    for name in ("whole", "open"):
        (folder / "base" / name / "failures.log").write_text("worker 1 after step 5: ...\n")
    texts = folder / "base/texts"
    texts.mkdir()
    config = resolve(compose(["learner=quadratic", "preset=smoke", "engine=inline", "engine.processes=1"]))
    probe.write(texts / "probe.json", probe.probe(config, find_learner("quadratic"), 1, 1.0))
    (texts / "cache.npz").write_bytes(cache.pack({"x": __import__("numpy").zeros(10)}))
    canary = folder / "canary"
    (canary / "folder").mkdir(parents=True)
    (canary / "file.txt").write_text("precious\n" * 100)
    (canary / "folder/g000001-w0.pt").write_bytes(b"precious")
    (canary / "folder/events.out.tfevents.1").write_bytes(b"precious")
    with closing(sqlite3.connect(canary / "other.sqlite")) as db:
        db.execute("CREATE TABLE precious (x)")
        db.commit()
    here = folder / "here"
    (here / "evil_package").mkdir(parents=True)
    for name in ("evil_module.py", "evil_package/__init__.py", "evil_package/sub.py"):
        (here / name).write_text(EVIL.format(ran=str(canary / "ran")))


def quiet(action: Callable[[], Any]) -> Any:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return action()


def _journal(run: Path) -> None:
    with closing(Journal.open(run)) as opened:
        config_of(opened)
        opened.last()
        opened.result()
        opened.holders()
        opened.notes()
        opened.damaged_results()
        for _ in journal.lines(opened, reports=True):
            pass


def _history(run: Path) -> None:
    with closing(Journal.open(run)) as opened:
        history.read(opened)


def _explain(run: Path) -> None:
    for _ in explain._lines(run, None, {}):
        pass


def _report(run: Path) -> None:
    report.write(run, run / "report.html")


def _watch(run: Path) -> None:
    watched = WatchedRuns(run.parent)
    for row in watched.rows():
        server.QUESTIONS["/api/run"](watched, [row["id"]])
        server.QUESTIONS["/api/curve"](watched, [row["id"]])


def _compare(run: Path) -> None:
    from firerl.insight.compare.comparison import compare as compared
    from firerl.insight.compare.comparison_text import as_json, text

    found = compared([compare.read_run(run), compare.read_run(run.parents[2] / "base/rival")], ["learner", "steps"])
    text(found)
    as_json(found)


def _store(run: Path) -> None:
    with store.Store.open(run) as opened:
        opened.check_files(opened.last())
        opened.result()
        opened.note("read")


def _resume(run: Path) -> None:
    starting.resume_run(run, {"engine": {"name": "inline"}})


def _extend(run: Path) -> None:
    starting.resume_run(run, {"engine": {"name": "inline"}, "steps": 80})


def _retrace(run: Path) -> None:
    firerl.retrace(run, seed=3, engine="inline", progress=False, out=run.parent / "out")


def _retraced(run: Path) -> None:
    """The retrace again, into a folder that holds one."""
    firerl.retrace(run.parents[2] / "base/whole", seed=5, engine="inline", progress=False, out=run)


def _result(run: Path) -> None:
    with closing(Journal.open(run)) as opened:
        figures = opened.result()
    if figures is not None:
        result = Result(run, figures)
        _ = (result.best, result.objective, result.schedule, result.journal, result.weights())


def _play(run: Path) -> None:
    for best_ever in (False, True):
        asked = Namespace(run_dir=run, best_ever=best_ever, video=None, learner=None, env=None, episodes=1, seed=0)
        play._play(Namespace(**vars(asked), data=None, model=None, module=None, typed=[]))


def _policy(run: Path) -> None:
    loaded = firerl.load_policy(run)
    loaded(__import__("numpy").zeros(loaded.input_shape))


def _init(run: Path) -> None:
    kind = "vmpo" if run.name == "agent" else "quadratic"
    config = resolve(
        compose([f"learner={kind}", f"init={run / 'best.pt'}"] + (["env=CartPole"] if kind == "vmpo" else []))
    )
    initial.read_initial(config, find_learner(kind))


def _probe(folder: Path) -> None:
    probe.read(folder / "probe.json", resolve(compose(["learner=quadratic", "preset=smoke"])))


def _cache(folder: Path) -> None:
    os.environ["XDG_CACHE_HOME"] = str(folder.parent / "home")
    (folder.parent / "home").mkdir(exist_ok=True)
    if not (folder.parent / "home/firerl").exists():
        folder.rename(folder.parent / "home/firerl")
    cache.cached("cache.npz", lambda: {"x": __import__("numpy").zeros(10)})


READERS: dict[str, Callable[[Path], Any]] = {
    "checkpoint": lambda run: checkpoint.read(run / "best.pt"),
    "best": lambda run: winner_file.read(run / "best.pt"),
    "result": _result, "init": _init, "play": _play, "policy": _policy, "journal": _journal, "history": _history,
    "explain": _explain, "verify": verify.verify_folder, "report": _report, "watch": _watch,
    "compare": _compare, "held": refuse_if_held, "examine": health.examine, "repair": repair, "store": _store,
    "resume": _resume, "extend": _extend, "retrace": _retrace, "retraced": _retraced, "probe": _probe, "cache": _cache,
    "free": lambda run: store.check_free(run), "schedule": lambda run: retracing._rows(run, None, run),
}  # fmt: skip
