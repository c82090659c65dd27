"""Makes the kept runs, which later code must read: ``python tests/old_runs/make.py``.

One is of this version, the other the same as the first version left it: without copies, without a seal, and with the
settings of then. They are replaced where they are there already, after a change of the rules too: --verify holds a
run against the rules of today. ``expected.json`` tells what a run and its continuation end with on the machine that
made it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

import firerl
from firerl.engine.threads import one_thread
from firerl.storage.journal_file import FORMAT

HERE = Path(__file__).parent
STEPS, LONGER = 200, 280


def run(run_dir: Path, steps: int, seed: int = 2) -> firerl.Result:
    """The run, as a user would type it; small enough to be kept."""
    return firerl.run(
        "quadratic",
        settings={"dimensions": 8},
        population=[4, 4],
        evaluators=3,
        steps=steps,
        eval_interval=10,
        ready_interval=20,
        algo_settings={"max_eval_steps": 60, "significance": 0.05},
        seed=seed,
        engine="inline",
        progress=False,
        run_dir=run_dir,
    )


def before_copies(kept: Path, older: Path) -> None:
    """The same run as the first version left it."""
    shutil.rmtree(older, ignore_errors=True)
    shutil.copytree(kept, older, ignore=shutil.ignore_patterns("*.bak", "best-*", "g000009-*", "g000008-*"))
    with closing(sqlite3.connect(older / "journal.sqlite", isolation_level=None)) as db:
        (config,) = db.execute("SELECT value FROM meta WHERE key = 'config'").fetchone()
        db.execute("UPDATE meta SET value = ? WHERE key = 'config'", (json.dumps(of_then(json.loads(config))),))
        db.execute("DELETE FROM meta WHERE key IN ('seal', 'rows', 'results')")
        db.execute("DELETE FROM checkpoints WHERE generation < 10 OR name LIKE 'best-%'")
        db.execute("UPDATE generations SET state = NULL, best_ever = NULL WHERE number < 10")
        db.execute("""UPDATE generations SET best_ever = replace(best_ever, '"best-', '"')""")
        db.execute("DELETE FROM notes")
        db.execute("VACUUM")
    settings = yaml.safe_load((older / "config.yaml").read_text())
    (older / "config.yaml").write_text(yaml.safe_dump(of_then(settings)))


def of_then(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as the first version had them."""
    settings["checkpoints"].pop("keep_history", None)
    for name in ("deterministic", "devices", "workers_per_device"):
        settings["engine"].pop(name, None)
    settings["engine"]["device"] = "cpu"
    return {name: value for name, value in settings.items() if value != {}}


def main() -> None:
    one_thread()
    kept = HERE / f"format-{FORMAT}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # so that the settings hold no path of this machine
        short, longer = run(Path("run"), STEPS), run(Path("longer"), LONGER)
        expected = {
            "firerl": firerl.__version__,
            "steps": STEPS,
            "hash": short.figures["hash"],
            "longer_steps": LONGER,
            "longer_hash": longer.figures["hash"],
            "objective": short.objective,
            "evolution": short.figures["evolution"],
        }
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree("run", kept, ignore=shutil.ignore_patterns("tensorboard", "lock"))
    (kept / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    before_copies(kept, kept.with_name("format-1-before-copies"))
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    print(f"{kept.name}: {size / 1000:.0f} kB, {expected['evolution']}")


if __name__ == "__main__":
    main()
