"""Runs on Ray: one and several machines of a cluster, machines that are lost or join, the same journal each time."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import sys
import time
import types
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from async_runs import check_no_step_twice, last_hash, played_again, points_of
from commands_for_tests import files, finish, generations, journal, launch

from firerl.agents.quadratic.learner import Quadratic
from firerl.evolution.population import Copy, Promote
from firerl.storage.journal.journal_db import Journal

ray = pytest.importorskip("ray")


QUADRATIC = ["learner=quadratic", "population.sizes=[4,4]", "population.evaluators=2", "steps=600", "seed=11"]


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


@pytest.mark.timeout(400)
def test_machines_may_go_and_come(tmp_path: Path, undisturbed: Path, cluster: Cluster) -> None:
    """Three nodes; one is killed in the middle, one joins later: the same journal, and all that is there is used."""
    run_dir = tmp_path / "r"
    process = launch(*QUADRATIC, "engine=ray", f"engine.address={cluster.address}", f"run_dir={run_dir}")
    wait_for(lambda: generations(run_dir) >= 3 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    cluster.kill(cluster.others.pop())
    wait_for(lambda: "machine failure" in notes(run_dir) or process.poll() is not None)  # told with some delay
    before = generations(run_dir)
    wait_for(lambda: generations(run_dir) >= before + 1 or process.poll() is not None)
    os.kill(process.pid, signal.SIGSTOP)  # so that it has not ended before the new node is there
    cluster.add()
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "in 3 processes" in output
    assert re.search(r"actor \d is lost.*computing again", output)
    assert "the cluster has grown: going on with more actors" in output
    assert journal(run_dir) == journal(undisturbed)
    assert files(run_dir) == files(undisturbed)


@pytest.mark.timeout(400)
def test_where_nobody_waits_a_lost_machine_costs_what_was_under_way(tmp_path: Path, cluster: Cluster) -> None:
    """Given the order of its reports the journal is that of one process; the machine that joins is used."""
    run_dir, arguments = tmp_path / "r", [*QUADRATIC, "sync=false", "algo.max_eval_steps=300", "algo.significance=0.2"]
    process = launch(*arguments, "engine=ray", f"engine.address={cluster.address}", f"run_dir={run_dir}")
    wait_for(lambda: generations(run_dir) >= 60 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    cluster.kill(cluster.others.pop())
    wait_for(lambda: "machine failure" in notes(run_dir) or process.poll() is not None)
    before = generations(run_dir)
    wait_for(lambda: generations(run_dir) >= before + 20 or process.poll() is not None)
    os.kill(process.pid, signal.SIGSTOP)
    cluster.add()
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert re.search(r"actor \d is lost.*computing again", output)
    assert "the cluster has grown: going on with more actors" in output
    check_no_step_twice(run_dir)
    assert any(isinstance(d, Copy | Promote) for point in points_of(run_dir) for d in point.decisions)
    assert played_again(run_dir, Quadratic, tmp_path / "again") == last_hash(run_dir)


def notes(run_dir: Path) -> str:
    with closing(Journal.open(run_dir)) as opened:
        return str(opened.notes())


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.timeout(300)
def test_ctrl_c_leaves_nobody_behind_and_a_resume_may_take_another_engine(tmp_path: Path, undisturbed: Path) -> None:
    """On a cluster that the run starts itself; it listens on loopback only."""
    run_dir = tmp_path / "r"
    process = launch(*QUADRATIC, "engine=ray", "engine.processes=2", f"run_dir={run_dir}")
    wait_for(lambda: generations(run_dir) >= 3 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    family = descendants(process.pid)
    assert any("raylet" in name for name in family.values())
    assert {address for pid in family for address in listening(pid)} <= {"127.0.0.1", "::1"}
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    wait_for(lambda: not any(map(alive, family)), 30)
    assert not [name for pid, name in family.items() if alive(pid)]
    finish(f"resume={run_dir}", "engine=local", "engine.processes=1")
    assert journal(run_dir) == journal(undisturbed)


@pytest.mark.timeout(300)
def test_a_killed_controller_takes_its_cluster_along(tmp_path: Path, undisturbed: Path) -> None:
    run_dir = tmp_path / "r"
    process = launch(*QUADRATIC, "engine=ray", "engine.processes=1", f"run_dir={run_dir}")
    wait_for(lambda: generations(run_dir) >= 3 or process.poll() is not None)
    # Two idle helpers of Ray's notice only within a minute.
    family = {pid: name for pid, name in descendants(process.pid).items() if "Agent" not in name}
    assert any("ray::Workers" in name for name in family.values())
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(map(alive, family)), 30)
    assert not [name for pid, name in family.items() if alive(pid)]
    finish(f"resume={run_dir}", "engine=ray", "engine.workers_per_actor=5")
    assert journal(run_dir) == journal(undisturbed)


@pytest.mark.timeout(300)
def test_a_ray_of_its_own_never_joins_another(
    tmp_path: Path, undisturbed: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the other makes itself known: it may be somebody's, and has not what this run asks for."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    run_dir = tmp_path / "r"
    process = launch(*QUADRATIC, "engine=ray", "engine.processes=2", f"run_dir={run_dir}")
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    left = list(Path("/tmp").glob(f"firerl-ray-*/session_*_{process.pid}"))  # Ray names it so
    assert not left, "the cluster's own folder is removed with it"
    assert journal(run_dir) == journal(undisturbed)


def test_what_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        process = launch(*QUADRATIC, "engine=ray", f"run_dir={tmp_path / 'r'}", *arguments)
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 2, output
        assert "Traceback" not in output
        return [line for line in output.splitlines() if line.startswith("firerl: ")][-1]

    assert "100 actors ask for 100 CPUs, the cluster has" in refused("engine.processes=100")
    assert "ask for 2 CPUs and 0.5 GPUs, the cluster has" in refused("engine.processes=2", "engine.gpus_per_actor=0.25")
    assert "engine.address=127.0.0.1:9: no Ray cluster" in refused("engine.address=127.0.0.1:9", "engine.timeout=5")


def test_nodes_that_do_not_fit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version there, and a learner's module that is not there."""
    from learners_for_tests import Walk

    import firerl
    from firerl.engine import make_engine
    from firerl.engine.interface import LearnerSpec
    from firerl.errors import SettingError

    try:
        monkeypatch.setattr(firerl, "__version__", "99.0")
        with pytest.raises(SettingError, match=r"node \S+ has firerl 0\S* and Python 3\S*, this process firerl 99.0"):
            make_engine("ray", LearnerSpec(Walk, {"folder": "."}), 1, 60.0)
        monkeypatch.undo()
        module = types.ModuleType("module_of_here_only")
        exec("from firerl.learner import Learner\nclass Own(Learner):\n    pass", module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with pytest.raises(SettingError, match=r"node \S+ cannot import the learner: .*module_of_here_only"):
            make_engine("ray", LearnerSpec(module.Own, {}), 1, 60.0)
    finally:
        ray.shutdown()


def descendants(pid: int) -> dict[int, str]:
    """The processes below ``pid``, with their command lines."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    found, new = {}, [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found.update({child: names[child] for child in new})
    return found


def listening(pid: int) -> set[str]:
    """The addresses on which a process listens (TCP)."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # 0A: it listens
                found.add(_address(fields[1].partition(":")[0]))
    return found


def _address(text: str) -> str:
    """An address of /proc/net in the usual form; IPv4 inside IPv6 as IPv4."""
    raw = b"".join(bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
