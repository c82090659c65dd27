"""Makes the kept run of this version, which later code must read: ``python tests/old_runs/make.py``.

It is replaced where there is one of the same name already: rename first what another version made, and keep it.
``expected.json`` tells what it and its continuation end with on the machine that made it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

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
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    print(f"{kept.name}: {size / 1000:.0f} kB, {expected['evolution']}")


if __name__ == "__main__":
    main()
