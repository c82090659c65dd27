"""A change of the house changes no result: short runs of every algorithm and learner against the hashes on record.

    python tests/whole/test_golden.py        run all of them and write golden.json for this kind of machine

A hash is kept for each kind of machine (processor, versions of the libraries that compute): elsewhere floats differ in
the last bit, and the test is skipped. ``events`` is over the journal's text (reports, decisions), ``chain`` the run's
own hash, which covers its settings too. Who changes one on purpose says why in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest

from firerl.commands import journal, launch
from firerl.engine.threads import one_thread
from firerl.evolution import find
from firerl.storage.journal.journal_db import Journal

GOLDEN = Path(__file__).with_name("golden.json")
AGENT = [f"learner.{text}" for text in ("num_envs=4", "unroll=10", "hidden=[16,16]", "epochs=2", "minibatches=2")]
INTERVALS = ["steps=480", "eval_interval=40", "ready_interval=80"]
SMALL = {  # learner: arguments of a run of a second
    "quadratic": ["steps=200", "eval_interval=10", "ready_interval=20"],
    "vmpo": ["env=InvertedDoublePendulum", *AGENT, *INTERVALS],
    "ppo": ["env=Reacher", *AGENT, *INTERVALS],
    "classifier": ["learner.batch_size=32", "steps=24", "eval_interval=2", "ready_interval=4"],
}
FEW = ("fire", "pbt")  # the algorithms of learners that take their time
EVALUATED = ("fire", "fire_lean")
ALONE = ("constant", "cosine")
COSTS = ("step", "evaluation", "copy", "save")
VIRTUAL = ["sync=false", "engine=simulated", "engine.speed_spread=0.5", "engine.processes=3"]
VIRTUAL += [f"engine.seconds_per_{cost}=0.1" for cost in COSTS]  # given, so that no clock decides who comes first


def cases() -> dict[str, list[str]]:
    """Arguments of ``firerl.launch`` by name: synchronous, and asynchronous in virtual time."""
    found = {}
    for learner, small in SMALL.items():
        for algo in find.names() if learner == "quadratic" else FEW:
            if algo == "retrace":
                continue  # needs the schedule of another run: tests/evolution/test_retrace.py
            sizes = "[3,3]" if algo in (*EVALUATED, "mfpbt") else "[3]"
            workers = [f"population.sizes={sizes}", f"population.evaluators={2 if algo in EVALUATED else 0}"]
            common = [f"learner={learner}", f"algo={algo}", "seed=5", "logger=none", *workers, *small]
            found[f"{learner} {algo}"] = [*common, "engine=inline"]
            found[f"{learner} {algo} async"] = [*common, *VIRTUAL]
    return found


def machine() -> str:
    """What decides the last bit of a float: the processor with its instructions, the versions of what computes.

    A name alone will not do: virtual machines give one name to processors of several generations.
    """
    versions = " ".join(f"{name} {metadata.version(name)}" for name in ("torch", "mujoco", "numpy", "scipy"))
    return f"{_processor()}, {versions}"


def _processor() -> str:
    listed = Path("/proc/cpuinfo")  # Linux
    if not listed.exists():
        return f"{platform.system()} {platform.machine()} {platform.processor()}"
    pairs = (line.split(":", 1) for line in listed.read_text().split("\n\n")[0].splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in pairs}
    shown = " ".join(known.get(name, "") for name in ("model name", "cpu family", "model"))
    return f"{shown} {hashlib.sha256(' '.join(sorted(known.get('flags', '').split())).encode()).hexdigest()[:8]}"


def hashes(case: list[str], folder: Path) -> dict[str, str]:
    """Run it."""
    assert launch.main([*case, f"run_dir={folder / 'run'}"]) == 0
    with closing(Journal.open(folder / "run")) as opened:
        *events, last = journal.lines(opened, reports=True)
    return {"events": hashlib.sha256("\n".join(events).encode()).hexdigest()[:16], "chain": last.split()[-1][:16]}


@pytest.mark.parametrize("name", cases())
def test_a_run_has_the_hash_on_record(name: str, tmp_path: Path) -> None:
    known = json.loads(GOLDEN.read_text()).get(machine())
    if known is None:
        pytest.skip("no hashes on record for this kind of machine: python tests/whole/test_golden.py writes them")
    assert hashes(cases()[name], tmp_path) == known[name]


def main() -> None:
    """Write the hashes of this machine beside those of others."""
    one_thread()
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    golden[machine()] = {}
    for name, case in cases().items():
        with tempfile.TemporaryDirectory() as folder:
            golden[machine()][name] = hashes(case, Path(folder))
        print(f"{name}: {golden[machine()][name]}", file=sys.stderr, flush=True)
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
