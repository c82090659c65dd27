"""benchmarks/speed/scale.py: what it computes of rows, and with Ray its short form."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import scale


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
    scale.report([{**a_run(workers, 0.1), "repetition": 0} for workers in (100, 1000)])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["round_overhead_s_1000"] == pytest.approx(0.3)
    assert figures["checkpoint_s_1000"] == 3
    assert figures["controller_share_1000"] == pytest.approx(0.7)


def test_a_population_has_as_many_workers_as_asked_for() -> None:
    for algo in ("pbt", "fire"):
        for workers in (10, 22, 100, 500, 1000):
            assert scale.workers_of(scale.cell_of(algo, workers)) == workers
    assert scale.cell_of("fire", 22)["sizes"] == [8, 8]


def test_a_part_inside_another_counts_once() -> None:
    pytest.importorskip("ray")
    measure = importlib.import_module("scale_measure")
    meter = measure.Meter()
    with meter.part("journal"):
        time.sleep(0.02)
        with meter.part("remove"):
            time.sleep(0.05)
    taken = meter.take()
    assert 0.05 <= taken["remove"] < 0.2
    assert 0.02 <= taken["journal"] < taken["remove"]
    assert not any(meter.take().values())


@pytest.mark.timeout(900)
def test_scale_quick(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    command = [sys.executable, scale.__file__, "--quick", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["round_overhead_s_22"] > 0
    assert figures["fire 22"]["store_mb_a_ready"] > 22  # 1 MB of each comes to the controller
    assert list(tmp_path.iterdir()) == []
