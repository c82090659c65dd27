"""Runs on Ray: one and several machines of a cluster, machines that are lost or join, the same journal each time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_promises import files, finish, journal, launch

ray = pytest.importorskip("ray")


QUADRATIC = ["learner=quadratic", "population.sizes=[4,4]", "population.evaluators=2", "steps=900", "seed=11"]


class Cluster:
    """Nodes of one CPU each, as ``ray start`` would make them on other machines."""

    def __init__(self, nodes: int):
        from ray.cluster_utils import Cluster as Nodes

        self.all = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.others = [self.add() for _ in range(nodes - 1)]

    @property
    def address(self) -> str:
        return str(self.all.address)

    def add(self) -> Any:
        return self.all.add_node(num_cpus=1)

    def kill(self, node: Any) -> None:
        """As if its machine had lost its power."""
        self.all.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self.all.shutdown()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("undisturbed") / "r"
    finish(*QUADRATIC, "engine=inline", f"run_dir={run_dir}")
    return run_dir


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(3)
    yield made
    made.close()


def generations(run_dir: Path) -> int:
    """How many are committed."""
    from test_imagenet_runs import generations as count

    return count(run_dir)


@pytest.mark.timeout(400)
def test_machines_may_go_and_come(tmp_path: Path, undisturbed: Path, cluster: Cluster) -> None:
    """Three nodes; one is killed in the middle, one joins later: the same journal, and all that is there is used."""
    run_dir = tmp_path / "r"
    process = launch(*QUADRATIC, "engine=ray", f"engine.address={cluster.address}", f"run_dir={run_dir}")
    wait_for(lambda: generations(run_dir) >= 3 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    cluster.kill(cluster.others.pop())
    before = generations(run_dir)
    wait_for(lambda: generations(run_dir) >= before + 2 or process.poll() is not None)
    cluster.add()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "actor" in output
    assert "computing again" in output
    counts = [int(count) for count in re.findall(r"workers in (\d+) process", output)]
    assert counts[0] == 3
    assert counts[1:2] == [2]
    assert journal(run_dir) == journal(undisturbed)
    assert files(run_dir) == files(undisturbed)


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
