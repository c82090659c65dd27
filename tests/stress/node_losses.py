"""Machines of a Ray cluster that are lost, that join, and clusters that end: the same journal each time.

    python tests/stress/node_losses.py            22 cases, some 20 minutes on 2 cores
    python tests/stress/node_losses.py --quick    three of them

Three nodes of one CPU each and a head without any, all on this machine, run V-MPO on InvertedPendulum. One node gets
SIGKILL, with all that runs on it, at one of eleven moments of the run (``node_losses_driver.py``), two of them between
the two halves of a promotion; or a node joins, the head dies with the controller, a node is told to go, a run goes on
with fewer or more nodes. Journal and results must be, byte for byte, those of ``engine=inline``. So must those of
other learners that nobody disturbs, on one and on three nodes.

Progress is kept in ``--out``: the same line goes on where it was broken off. The last line is a JSON object: ``cases``,
``node_kills``, ``journals_differ``, ``lost_generations``, ``not_as_planned`` (a loss that did not come about).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))  # results_file

import results_file
from faults import differences, hashes, outcome
from node_losses_driver import MOMENTS, children_of

HERE = Path(__file__).parent
OUT = results_file.RESULTS / "node_losses.jsonl"
PENDULUM = [
    "env=InvertedPendulum", "learner.num_envs=4", "learner.unroll=10", "learner.hidden=[16,16]", "learner.epochs=2",
    "learner.minibatches=2", "population.sizes=[4,4]", "population.evaluators=3", "eval_interval=80",
    "ready_interval=320", "steps=3200", "algo.max_eval_steps=1600", "seed=11",
]  # fmt: skip
TASKS = {
    "InvertedPendulum": PENDULUM,
    "quadratic": ["learner=quadratic", "population.sizes=[4,4]", "population.evaluators=2", "steps=900", "seed=11"],
    "classifier": ["learner=classifier", "preset=smoke", "seed=11"],
}
PATIENCE = 400.0  # seconds, for one command


class Nodes:
    """A cluster: a head that hosts no worker, and ``count`` nodes of one CPU."""

    def __init__(self, count: int):
        from ray.cluster_utils import Cluster

        self.all = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.others = [self.add() for _ in range(count)]

    @property
    def address(self) -> str:
        return f"engine.address={self.all.address}"

    def add(self) -> Any:
        """One node more."""
        return self.all.add_node(num_cpus=1)

    def lose(self) -> None:
        """One node's power fails."""
        self.all.remove_node(self.others.pop(), allow_graceful=False)

    def dismiss(self) -> None:
        """One node is told to go (SIGTERM), and is gone some seconds later."""
        node = self.others.pop()
        raylet = node.all_processes["raylet"][0].process.pid
        below = children_of(raylet)
        for pid in [raylet, *below]:
            os.kill(pid, signal.SIGTERM)
        time.sleep(5)
        for pid in [raylet, *below]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """All of it at once, the head too."""
        for node in [*self.all.worker_nodes, self.all.head_node]:
            if node is not None:
                node.kill_all_processes(check_alive=False, allow_graceful=False)
        with suppress(Exception):  # Ray's own farewell; what it looks for is gone
            self.all.shutdown()


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """A cluster that ends with the block."""
    made = Nodes(count)
    try:
        yield made
    finally:
        made.close()


@dataclass
class Run:
    """A run folder and the commands that work in it."""

    space: Path
    task: str = "InvertedPendulum"
    said: str = ""
    kills: int = 0
    lost: list[str] = field(default_factory=list)
    committed: tuple[int, str] = (-1, "")

    def start(self, *arguments: str, moment: str = "") -> subprocess.Popen[bytes]:
        """firerl.launch, resume=auto."""
        given = [*TASKS[self.task], "resume=auto", "engine.timeout=60", *arguments, f"run_dir={self.space / 'run'}"]
        with open(self.space / "log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, str(HERE / "node_losses_driver.py"), moment, *given],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def until(self, process: subprocess.Popen[bytes], generation: int) -> None:
        """Wait until that generation is there, or the command has ended."""
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and max(hashes(self.space / "run"), default=-1) < generation:
            if time.monotonic() > deadline:
                raise TimeoutError(f"generation {generation} has not come: {self.log()[-500:]}")
            time.sleep(0.05)

    def end(self, process: subprocess.Popen[bytes], code: int = 0) -> None:
        """Wait for its end, then look whether all that was committed is still there."""
        found = process.wait(PATIENCE)
        if found != code:
            raise RuntimeError(f"exit code {found}, not {code}: {self.log()[-1500:]}")
        self.look()

    def look(self) -> None:
        """Note a generation that was committed and is gone."""
        there, (number, digest) = hashes(self.space / "run"), self.committed
        if number >= 0 and there.get(number) != digest:
            self.lost.append(f"generation {number}")
        last = max(there, default=-1)
        self.committed = (last, there.get(last, ""))

    def log(self) -> str:
        return (self.space / "log").read_text()


def at_a_moment(run: Run, moment: str) -> None:
    """A node is killed at a moment of the driver's choice."""
    with nodes(3) as cluster:
        run.end(run.start("engine=ray", cluster.address, moment=moment))
    run.kills = run.log().count("node_losses: killed at")


def joins(run: Run) -> None:
    """A node is lost; two more come."""
    with nodes(3) as cluster:
        process = run.start("engine=ray", cluster.address)
        run.until(process, 2)
        cluster.lose()
        run.kills = 1
        run.until(process, 4)
        os.kill(process.pid, signal.SIGSTOP)  # so that it has not ended before the others are there
        cluster.add()
        cluster.add()
        os.kill(process.pid, signal.SIGCONT)
        run.end(process)
    if "the cluster has grown" not in run.log():
        run.lost.append("the new nodes are not used")


def loses_two(run: Run) -> None:
    """Two of three nodes are lost, one after the other."""
    with nodes(3) as cluster:
        process = run.start("engine=ray", cluster.address)
        for generation in (2, 5):
            run.until(process, generation)
            cluster.lose()
            run.kills += 1
        run.end(process)


def head_dies(run: Run) -> None:
    """All of the cluster dies, and the controller with it; the same command goes on with another cluster."""
    with nodes(3) as cluster:
        process = run.start("engine=ray", cluster.address)
        run.until(process, 3)
        process.kill()
        process.wait()
    run.look()
    with nodes(2) as cluster:
        run.end(run.start("engine=ray", cluster.address))


def only_the_head_dies(run: Run) -> None:
    """The cluster dies under a controller that lives: it says so and ends; the same command goes on."""
    with nodes(3) as cluster:
        process = run.start("engine=ray", cluster.address)
        run.until(process, 3)
    code = process.wait(PATIENCE)
    if code == 0:
        raise RuntimeError("it ended well without a cluster")
    run.look()
    with nodes(2) as cluster:
        run.end(run.start("engine=ray", cluster.address))


def told_to_go(run: Run) -> None:
    """A node is told to go, as preemptible machines are, and is gone five seconds later."""
    with nodes(3) as cluster:
        process = run.start("engine=ray", cluster.address)
        run.until(process, 3)
        cluster.dismiss()
        run.kills = 1
        run.end(process)


def controller_told_to_go(run: Run) -> None:
    """SIGTERM to the controller; the same command goes on."""
    with nodes(3) as cluster:
        process = run.start("engine=ray", cluster.address)
        run.until(process, 3)
        process.terminate()
        run.end(process, -signal.SIGTERM)
        run.end(run.start("engine=ray", cluster.address))


def fewer_and_more(run: Run) -> None:
    """Three nodes, then one, then two: each time interrupted by Ctrl-C, and the end on local processes."""
    for count, generation in ((3, 1), (1, 3), (2, 5)):
        with nodes(count) as cluster:
            process = run.start("engine=ray", cluster.address)
            run.until(process, generation)
            process.send_signal(signal.SIGINT)
            run.end(process, 130)
    run.end(run.start("engine=local", "engine.processes=2"))


def undisturbed_on(count: int) -> Callable[[Run], None]:
    """Nobody disturbs it."""

    def do(run: Run) -> None:
        with nodes(count) as cluster:
            run.end(run.start("engine=ray", cluster.address))

    return do


def cases() -> dict[str, tuple[str, Callable[[Run], None]]]:
    """What happens, by name: the task and the course of events."""
    found: dict[str, tuple[str, Callable[[Run], None]]] = {}
    for moment in MOMENTS:
        found[f"a node is killed {moment}"] = (
            "InvertedPendulum",
            lambda run, moment=moment: at_a_moment(run, moment),  # type: ignore[misc]
        )
    found["a node is killed, two join"] = ("InvertedPendulum", joins)
    found["two of three nodes are killed"] = ("InvertedPendulum", loses_two)
    found["the whole cluster and the controller are killed"] = ("InvertedPendulum", head_dies)
    found["the whole cluster is killed, the controller is not"] = ("InvertedPendulum", only_the_head_dies)
    found["a node is told to go, killed 5 s later"] = ("InvertedPendulum", told_to_go)
    found["the controller is told to go"] = ("InvertedPendulum", controller_told_to_go)
    found["3, then 1, then 2 nodes, then no cluster"] = ("InvertedPendulum", fewer_and_more)
    for task in TASKS:
        for count in (1, 3):
            found[f"nothing happens to {task} on {count} node{'s' * (count > 1)}"] = (task, undisturbed_on(count))
    return found


QUICK = (
    "a node is killed inside a promotion: the child's",
    "the whole cluster and the controller are killed",
    "nothing happens to quadratic on 3 nodes",
)


def study(names: Sequence[str], out: Path | None) -> list[dict[str, Any]]:
    """The rows of these cases; those that ``out`` holds are not done again."""
    known = {row["case"]: row for row in (results_file.read(out) if out else [])}
    expected: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory(prefix="firerl-nodes-") as folder:
        for number, name in enumerate(names, start=1):
            task, events = cases()[name]
            if name in known:
                continue
            if task not in expected:
                plain = Run(Path(folder) / f"undisturbed-{task}", task)
                plain.space.mkdir()
                plain.end(plain.start("engine=inline"))
                expected[task] = outcome(plain.space / "run")
            run = Run(Path(folder) / str(number), task)
            run.space.mkdir()
            begun, error = time.monotonic(), ""
            try:
                events(run)
            except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as failed:
                error = str(failed)
            wrong = differences(expected[task], outcome(run.space / "run"))
            known[name] = {
                "case": name, "task": task, "node_kills": run.kills, "differs": wrong, "lost": run.lost, "error": error,
                "seconds": round(time.monotonic() - begun),
            }  # fmt: skip
            if out:
                results_file.append(out, known[name])
            told = "; ".join(filter(None, [", ".join(wrong), ", ".join(run.lost), error])) or "the same"
            print(f"{number} of {len(names)}: {name}: {told}", file=sys.stderr, flush=True)
    return [known[name] for name in names]


def planned(row: dict[str, Any]) -> bool:
    """Whether the loss that the case is about came about."""
    return not row["error"] and (row["node_kills"] > 0 or "node is killed" not in row["case"])


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three cases, kept nowhere")
    parser.add_argument("--out", type=Path, default=OUT, help="progress (benchmarks/results/node_losses.jsonl)")
    options = parser.parse_args()
    rows = study(QUICK if options.quick else list(cases()), None if options.quick else options.out)
    print("| what happens | nodes killed | journal and results | seconds |\n|---|---|---|---|")
    for row in rows:
        told = ", ".join(row["differs"] + row["lost"]) or row["error"][:60].replace("\n", " ") or "the same"
        print(f"| {row['case']} | {row['node_kills']} | {told} | {row['seconds']} |")
    figures = {
        "cases": len(rows),
        "node_kills": sum(row["node_kills"] for row in rows),
        "journals_differ": sum(bool(row["differs"]) for row in rows),
        "lost_generations": sum(bool(row["lost"]) for row in rows),
        "not_as_planned": sum(not planned(row) for row in rows),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
