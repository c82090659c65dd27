"""The picture of a verdict: which one, what it shows, and that it is there as a whole or not at all."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from firerl.commands import explain
from firerl.config.run_config import RunConfig
from firerl.errors import FirerlError, SettingError
from firerl.evolution import curves
from firerl.evolution.population import Promote
from firerl.insight.explain import verdict_plot
from firerl.insight.explain.verdict import compare, evaluator_settings
from firerl.insight.history.history import PROMOTION, History, Measurement, read
from firerl.storage.journal.journal_db import Journal


@pytest.fixture
def run(told_run: Path) -> tuple[RunConfig, History]:
    return read(Journal.open(told_run))


def test_the_command_draws_the_last_promotion(
    told_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "verdict.png"
    assert explain.main([str(told_run), "--plot", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    last = [d for d in Journal.open(told_run).decisions() if isinstance(d, Promote)][-1]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"evaluator {last.worker} had trained member {last.parent}'s weights")
    assert told[0].endswith(f"Member {last.child} takes its weights.")
    assert told[1] == f"wrote {out}"
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.png"]


def test_narrowing_picks_another(run: tuple[RunConfig, History]) -> None:
    config, history = run
    promotions = [m for m in history.measurements if m.outcome == PROMOTION]
    assert verdict_plot.pick(config, history) == max(promotions, key=lambda m: m.end or 0)
    first = promotions[0]
    assert verdict_plot.pick(config, history, first.evaluator, first.end) == first
    assert verdict_plot.pick(config, history, first.parent, first.end) == first
    inside = verdict_plot.pick(config, history, first.evaluator, first.start + 10)
    assert inside.start <= first.start + 10 <= (inside.end or 10**9)
    without = dataclasses.replace(history, measurements=[m for m in history.measurements if m.outcome != PROMOTION])
    least = verdict_plot.pick(config, without)
    assert least.p_value == min(m.p_value for m in without.measurements if m.p_value is not None)


def test_nothing_to_draw_is_said(run: tuple[RunConfig, History]) -> None:
    config, history = run
    with pytest.raises(SettingError, match="worker=77"):
        verdict_plot.pick(config, history, worker=77)
    with pytest.raises(SettingError, match=r"worker=2 step=10; the nearest steps at which one ends are"):
        verdict_plot.pick(config, history, worker=2, step=10)
    nobody = dataclasses.replace(history, measurements=[])
    with pytest.raises(SettingError, match="has not started an evaluator yet"):
        verdict_plot.pick(config, nobody)
    with pytest.raises(SettingError, match="has no evaluators"):
        verdict_plot.pick(dataclasses.replace(config, evaluators=0), nobody)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_formats_are_deterministic(run: tuple[RunConfig, History], tmp_path: Path, suffix: str, start: bytes) -> None:
    m = verdict_plot.pick(*run)
    for name in ("a", "b"):
        verdict_plot.draw(run[0], m, tmp_path / f"{name}{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert data.startswith(start)
    assert data == (tmp_path / f"b{suffix}").read_bytes()


def test_the_curves_are_drawn_where_they_are_compared(run: tuple[RunConfig, History]) -> None:
    from matplotlib.figure import Figure

    config, history = run
    for m in (verdict_plot.pick(config, history), *(m for m in history.measurements if m.p_value is not None)):
        c = compare(m, evaluator_settings(config.algo.settings))
        axes = Figure().subplots()
        verdict_plot._curves(axes, config, m, c)
        smooth_rho, smooth_eta, rho, eta = axes.lines[:4]
        assert list(eta.get_ydata()) == list(m.eta)
        assert list(rho.get_ydata()) == list(m.rho)
        assert np.array_equal(np.asarray(smooth_eta.get_ydata()), curves.smooth(m.eta))
        assert np.array_equal(np.asarray(smooth_rho.get_ydata()), curves.smooth(m.rho))
        assert (eta.get_marker(), smooth_eta.get_linestyle()) != (rho.get_marker(), smooth_rho.get_linestyle())
        if c.shared:  # the pairs that were compared stand above each other
            first = list(eta.get_xdata())[c.shared.f]
            assert first == list(rho.get_xdata())[c.shared.g]
            (box,) = axes.patches
            assert (box.get_x(), box.get_width()) == (first - 0.5, c.shared.length)  # type: ignore[attr-defined]
        else:
            assert not axes.patches


@pytest.mark.parametrize(
    "curve", [((), (1.0, 2.0)), ((1.0,), ()), ((5.0, 6.0, 7.0, 8.0), (1.0, 2.0)), ((1e9,) * 5, (1e9,) * 5)]
)
def test_odd_curves_are_drawn_too(
    run: tuple[RunConfig, History], tmp_path: Path, curve: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    m: Measurement = dataclasses.replace(verdict_plot.pick(*run), eta=curve[0], rho=curve[1])
    for end in (m.end, None):
        outcome = m.outcome if end else "running"
        verdict_plot.draw(run[0], dataclasses.replace(m, end=end, outcome=outcome), tmp_path / "x.png")
        assert (tmp_path / "x.png").is_file()


def test_what_cannot_be_written_leaves_what_was_there(run: tuple[RunConfig, History], tmp_path: Path) -> None:
    m = verdict_plot.pick(*run)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SettingError, match="is a folder"):
        verdict_plot.draw(run[0], m, tmp_path / "folder.png")
    with pytest.raises(SettingError, match="there is no folder"):
        verdict_plot.draw(run[0], m, tmp_path / "none" / "x.png")
    with pytest.raises(SettingError, match="must end with"):
        verdict_plot.draw(run[0], m, tmp_path / "x.bmp")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(run: tuple[RunConfig, History], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SettingError, match="cannot be written"):
            verdict_plot.draw(run[0], verdict_plot.pick(*run), tmp_path / "x.png")
    finally:
        tmp_path.chmod(0o700)


def test_a_disk_that_is_full(run: tuple[RunConfig, History], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "x.png").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FirerlError, match=r"^cannot write"):
        verdict_plot.draw(run[0], verdict_plot.pick(*run), tmp_path / "x.png")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.png", b"old")]
