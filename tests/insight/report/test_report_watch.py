"""The page of a run that goes on, written anew at every ready."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of
from report_pages import page_of

from firerl.base.disk import files
from firerl.commands import report
from firerl.config.run_config import to_plain
from firerl.evolution.population import Report
from firerl.storage.generation import Point
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand")


def test_watch_writes_at_every_ready_and_ends_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path)
    store = Store.create(tmp_path, to_plain(config), {}, members_of(config))
    seen = []

    def one_more(_: float) -> None:
        """What the run does while the report sleeps."""
        seen.append('http-equiv="refresh" content="10"' in page_of(tmp_path))
        step = 10 * len(seen)
        if len(seen) == 2:
            return  # nothing new
        if len(seen) == 4:
            told = {"hash": store.last().hash, "stopped": "steps", "worker": 0, "steps": 40, "objective": None}
            told |= {"hyperparameters": {}, "lineage": [], "evolution": {}, "fresh": {}}
            files.write(tmp_path / "result.json", json.dumps(told).encode())
            return
        point = Point([Report(i, step, float(i)) for i in range(4)], [])
        store.commit(store.last(), step, [point], members_of(config), [], None, {})

    monkeypatch.setattr(report.time, "sleep", one_more)
    assert report.main([str(tmp_path), "--watch"]) == 0
    store.close()
    assert seen == [True] * 4
    lines = capsys.readouterr().out.splitlines()
    states = ["no generation yet", "step 10 of 40", "step 30 of 40", "finished at step 30"]
    assert [state in line for state, line in zip(states, lines, strict=True)] == [True] * 4
    assert "refresh" not in page_of(tmp_path)


def test_watch_leaves_a_still_page_at_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(config_for(tmp_path), fire_points())

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report.time, "sleep", interrupt)
    assert report.main([str(tmp_path), "--watch"]) == 130
    assert "refresh" not in page_of(tmp_path)
    assert capsys.readouterr().err == "\nfirerl: interrupted\n"
