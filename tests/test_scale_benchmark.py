"""benchmarks/speed/scale.py and vs_ray_tune.py: what they compute of rows, and with Ray their short forms."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed"


@contextmanager
def benchmark(name: str) -> Iterator[Any]:
    yield importlib.import_module(name)


def a_run(workers: int, seconds: float) -> dict[str, Any]:
    """Two generations of two rounds; the first must not count."""
    slow = {"seconds": 99.0, "cpu": 99.0, "advance": 99.0, "decide": 99.0, "journal": 99.0, "copies": 99.0}
    ready = {"ready": True, "seconds": 4.0, "cpu": 3.0, "advance": 0.1, "decide": seconds, "journal": seconds}
    ready |= {"copies": seconds, "save": 2.0, "remove": 1.0, "plain": 2.0, "bytes": 10**6}
    other = {"ready": False, "seconds": 1.0, "cpu": 0.5, "advance": 0.9, "decide": 0.0}
    rows = [{**slow, "ready": False}, {**slow, "ready": True, "save": 9.0, "remove": 9.0, "plain": 0.1}, other, ready]
    return {
        "cell": {"algo": "pbt", "sizes": [workers], "evaluators": 0, "rounds": 4}, "rows": rows,
        "controller_mb": 300.0, "journal_bytes": 4000 * workers, "store_bytes": 8 * 10**6,
    }  # fmt: skip


def test_figures_leave_the_first_generation_out() -> None:
    with benchmark("scale") as scale:
        found = scale.figures_of([a_run(100, 0.1), a_run(100, 0.1)])
    assert found["overhead_s"] == pytest.approx(0.3)
    assert found["overhead_us_a_worker"] == pytest.approx(3000)
    assert found["dispatch_s"] == 0.9
    assert found["checkpoint_ratio"] == 1.5
    assert found["rounds_a_second"] == pytest.approx(2 / 5)
    assert found["controller_share"] == pytest.approx(0.7)
    assert found["journal_bytes_a_report"] == 1000
    assert found["store_mb_a_ready"] == 4


def test_the_report_names_its_largest_population(capsys: pytest.CaptureFixture[str]) -> None:
    with benchmark("scale") as scale:
        scale.report([{**a_run(workers, 0.1), "repetition": 0} for workers in (100, 1000)])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["round_overhead_s_1000"] == pytest.approx(0.3)
    assert figures["checkpoint_s_1000"] == 3
    assert figures["controller_share_1000"] == pytest.approx(0.7)


def test_a_population_has_as_many_workers_as_asked_for() -> None:
    with benchmark("scale") as scale:
        for algo in ("pbt", "fire"):
            for workers in (10, 22, 100, 500, 1000):
                assert scale.workers_of(scale.cell_of(algo, workers)) == workers
        assert scale.cell_of("fire", 22)["sizes"] == [8, 8]


def test_a_part_inside_another_counts_once() -> None:
    with benchmark("scale_measure") as measure:
        meter = measure.Meter()
        with meter.part("journal"):
            time.sleep(0.02)
            with meter.part("remove"):
                time.sleep(0.05)
        taken = meter.take()
    assert 0.05 <= taken["remove"] < 0.2
    assert 0.02 <= taken["journal"] < taken["remove"]
    assert not any(meter.take().values())


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux only")
def test_a_watch_sees_memory_and_bytes_of_a_whole_family(tmp_path: Path) -> None:
    """A grandchild holds 60 MB and writes 5 MB; once it has ended its bytes still count once."""
    own = "import os, sys, time; held = bytearray(os.urandom(60 * 10**6)); f = open(sys.argv[1], 'wb'); "
    own += "f.write(held[:5 * 10**6]); f.flush(); os.fsync(f.fileno()); print('ready', flush=True); time.sleep(60)"
    outer = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', *sys.argv[1:]]); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", outer, own, str(tmp_path / "f")], stdout=subprocess.PIPE)
    with benchmark("processes") as processes:
        assert child.stdout is not None
        child.stdout.readline()
        watch = processes.Watch(child.pid)
        watch.stop()
        watch.look()
        seen = watch.written
        os.kill(processes.family(child.pid)[1], 9)
        child.stdout.read()  # it is gone
        watch.look()
        child.kill()
        child.communicate()
    assert watch.processes == 2
    assert watch.written < 1.5 * seen + 1e5
    assert 60e6 < watch.peak < 200e6
    assert watch.written in (0, pytest.approx(5e6, rel=0.5))  # 0: a file system in memory


def test_each_side_and_seed_is_run_once(tmp_path: Path) -> None:
    with benchmark("vs_ray_tune") as versus:
        runs = versus.plan(5, (0.35, 0.75))
        assert len({tuple(run.values()) for run in runs}) == len(runs) == 3 * 5 + 1 + 2 * 4
        done = [{**run, "cell": versus.CELL, "hash": "h"} for run in runs]
        results = tmp_path / "r.jsonl"
        results.write_text("".join(json.dumps(row) + "\n" for row in done))
        assert versus.study(versus.CELL, runs, results, None) == done


def test_a_run_that_never_ended_is_told() -> None:
    with benchmark("vs_ray_tune") as versus:
        whole = dict.fromkeys(versus.FIGURES, 1.0)
        rows = [{"side": side, "seed": 0, "share": 0.0, "hash": "h", **whole} for side in versus.SIDES]
        rows += [{"side": "tune", "seed": 0, "share": 0.5, "ended": False, "lost": 3.0}]
        rows += [{"side": "ray", "seed": 0, "share": 0.5, "ended": True, "lost": 2.0, "hash": "h"}]
        lines = versus.table(rows)
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == [
        "rounds trained twice, killed at 50%", "never ends", "", "", "2.0", "",
    ]  # fmt: skip


def quick(script: str, folder: Path) -> dict[str, Any]:
    """The figures of a short form."""
    pytest.importorskip("ray")
    command = [sys.executable, str(SPEED / script), "--quick", "--work", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.mark.timeout(900)
def test_scale_quick(tmp_path: Path) -> None:
    figures = quick("scale.py", tmp_path)
    assert figures["round_overhead_s_22"] > 0
    assert figures["fire 22"]["store_mb_a_ready"] > 22  # 1 MB of each comes to the controller
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(900)
def test_vs_ray_tune_quick(tmp_path: Path) -> None:
    pytest.importorskip("ray.tune", exc_type=ImportError)
    figures = quick("vs_ray_tune.py", tmp_path)
    assert figures["same_journal"]
    assert figures["ray"]["same_result_after_kill"]
    assert figures["local"]["same_result_after_kill"]
    assert list(tmp_path.iterdir()) == []
