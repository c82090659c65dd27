"""The files of docs/cluster: the Slurm script with commands that stand for Slurm's, what the container is made of."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from commands_for_tests import QUADRATIC, files, finish, generations, journal

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "docs" / "cluster"
SLURM = {
    "scontrol": 'if [ "$1" = show ]; then printf "here\\nthere\\n"; else echo "$@" >> "$CALLS"; fi',
    # Two machines are one: what is for other machines runs here, too.
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
}


@pytest.mark.timeout(300)
def test_a_slurm_job_that_is_told_to_end_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    """Two "machines" with a CPU each."""
    pytest.importorskip("ray")
    for name, text in SLURM.items():
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/bash\n{text}\n")
        script.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    job = {"SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_NODELIST": "x", "SLURM_JOB_ID": "4711"}
    environment = {**os.environ, **job, "PATH": path, "CALLS": str(tmp_path / "calls")}
    run_dir = tmp_path / "r"

    def start() -> subprocess.Popen[bytes]:
        line = ["bash", str(CLUSTER / "slurm.sh"), *QUADRATIC, "ready_interval=60", f"run_dir={run_dir}"]
        with open(tmp_path / "log", "ab") as log:
            return subprocess.Popen(line, env=environment, stdout=log, stderr=log, start_new_session=True)

    def end(job: subprocess.Popen[bytes]) -> int:
        try:
            return job.wait(150)
        finally:
            with suppress(ProcessLookupError):  # all has ended with it
                os.killpg(job.pid, signal.SIGKILL)

    first = start()
    while first.poll() is None and generations(run_dir) < 3:
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    assert end(first) == 143, (tmp_path / "log").read_text()
    assert (tmp_path / "calls").read_text() == "requeue 4711\n"
    assert end(start()) == 0, (tmp_path / "log").read_text()
    finish(*QUADRATIC, "ready_interval=60", "engine=inline", f"run_dir={tmp_path / 'inline'}")
    assert journal(run_dir) == journal(tmp_path / "inline")
    assert files(run_dir) == files(tmp_path / "inline")


def test_the_container_has_all_that_an_installation_needs() -> None:
    """Every folder that the build reads is copied, the extras exist, the entry point works."""
    lines = (CLUSTER / "Containerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {name.partition("/")[0] for name in project["tool"]["setuptools"]["package-dir"].values()}
    assert copied >= needed | {"pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"}
    assert all((ROOT / name).exists() for name in copied)
    extras = [extra for line in lines for extra in re.findall(r"/firerl\[(\w+)\]", line)]
    assert extras
    assert set(extras) <= set(project["project"]["optional-dependencies"])
    entry = json.loads(next(line for line in lines if line.startswith("ENTRYPOINT"))[len("ENTRYPOINT") :])
    done = subprocess.run([sys.executable, *entry[1:], "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("firerl "), shlex.join(entry)
