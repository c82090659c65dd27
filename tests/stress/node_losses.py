"""A machine of a Ray cluster loses its power at a moment of the run: the same journal each time.

    python tests/stress/node_losses.py            eleven moments, some ten minutes on 2 cores
    python tests/stress/node_losses.py --quick    one of them, kept nowhere

Three nodes of one CPU each and a head without any, all on this machine, run V-MPO on InvertedPendulum. One node gets
SIGKILL, with all that runs on it, at a moment that ``node_losses_driver.py`` waits for. Journal and results must be,
byte for byte, those of ``engine=inline``. ``tests/engine/test_ray.py`` has machines that join, and controllers that
end.

Progress is kept in ``--out``: the same line goes on where it was broken off. The last line is a JSON object: ``cases``,
``node_kills``, ``journals_differ``, ``not_as_planned`` (a loss that did not come about).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # results_file

import results_file
from faults import differences, outcome
from node_losses_driver import MOMENTS

PENDULUM = [
    "env=InvertedPendulum", "learner.num_envs=4", "learner.unroll=10", "learner.hidden=[16,16]", "learner.epochs=2",
    "learner.minibatches=2", "population.sizes=[4,4]", "population.evaluators=3", "eval_interval=80",
    "ready_interval=320", "steps=3200", "algo.max_eval_steps=1600", "seed=11",
]  # fmt: skip
PATIENCE = 400.0  # seconds, for one command
QUICK = ("inside a promotion: the child's",)


@contextmanager
def nodes(count: int) -> Iterator[str]:
    """The address of a cluster: a head that hosts no worker, and ``count`` nodes of one CPU."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(count):
            made.add_node(num_cpus=1)
        yield made.address
    finally:
        made.shutdown()


def launch(space: Path, moment: str, *arguments: str) -> str:
    """Run in ``space`` and lose a node at ``moment`` ("": never); what it said. Raises RuntimeError where it failed."""
    space.mkdir()
    driver = str(Path(__file__).parent / "node_losses_driver.py")
    given = [*PENDULUM, "engine.timeout=60", *arguments, f"run_dir={space / 'run'}"]
    with open(space / "log", "wb") as log:
        ended = subprocess.run([sys.executable, driver, moment, *given], stdout=log, stderr=log, timeout=PATIENCE)
    said = (space / "log").read_text()
    if ended.returncode:
        raise RuntimeError(f"exit code {ended.returncode}: {said[-1500:]}")
    return said


def study(moments: Sequence[str], out: Path | None) -> list[dict[str, Any]]:
    """The rows of these moments; those that ``out`` holds are not done again."""
    known = {row["case"]: row for row in (results_file.read(out) if out else [])}
    with TemporaryDirectory(prefix="firerl-nodes-") as folder:
        launch(Path(folder) / "undisturbed", "", "engine=inline")
        expected = outcome(Path(folder) / "undisturbed" / "run")
        for number, moment in enumerate(moments, start=1):
            if moment in known:
                continue
            space, begun, said, error = Path(folder) / str(number), time.monotonic(), "", ""
            try:
                with nodes(3) as address:
                    said = launch(space, moment, "engine=ray", f"engine.address={address}")
            except (RuntimeError, subprocess.TimeoutExpired) as failed:
                error = str(failed)
            known[moment] = {
                "case": moment, "node_kills": said.count("node_losses: killed at"), "error": error,
                "differs": differences(expected, outcome(space / "run")), "seconds": round(time.monotonic() - begun),
            }  # fmt: skip
            if out:
                results_file.append(out, known[moment])
            print(f"{number} of {len(moments)}: {moment}: {told(known[moment])}", file=sys.stderr, flush=True)
    return [known[moment] for moment in moments]


def told(row: dict[str, Any]) -> str:
    """What came of it, for people."""
    return ", ".join(row["differs"]) or row["error"][:60].replace("\n", " ") or "the same"


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one moment, kept nowhere")
    parser.add_argument("--out", type=Path, default=Path("node_losses.jsonl"), help="progress (node_losses.jsonl)")
    options = parser.parse_args()
    rows = study(QUICK if options.quick else MOMENTS, None if options.quick else options.out)
    print("| a node is killed | nodes killed | journal and results | seconds |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['case']} | {row['node_kills']} | {told(row)} | {row['seconds']} |")
    figures = {
        "cases": len(rows),
        "node_kills": sum(row["node_kills"] for row in rows),
        "journals_differ": sum(bool(row["differs"]) for row in rows),
        "not_as_planned": sum(bool(row["error"]) or not row["node_kills"] for row in rows),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
