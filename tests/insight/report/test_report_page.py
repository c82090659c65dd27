"""What the page says of runs, finished and not."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of
from report_pages import page_of

import firerl
from firerl.commands import explain, launch, report
from firerl.config.run_config import to_plain
from firerl.evolution.population import Copy, Fail, Report
from firerl.insight.history.history import PROMOTION
from firerl.insight.report import page_file
from firerl.insight.report import words as report_words
from firerl.insight.report.run import read
from firerl.storage.generation import Point
from firerl.storage.store import Store, check_free

pytestmark = pytest.mark.unverified("journals made by hand")


def test_the_page_tells_the_result(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, text = read(finished), page_of(finished)
    assert run.result is not None
    assert (run.result["worker"], run.result["objective"]) == (run.leader.worker, run.leader.objective)
    counts = run.result["evolution"]
    assert counts["evaluator_successes"] > 0
    assert counts["evaluator_stops"]
    assert (
        f"Member {run.result['worker']} won: its mean of the last 3 evaluations is {run.result['objective']:.3f}."
        in text
    )
    assert "finished at step 600" in text
    for reason, count in {**counts["evaluator_stops"], PROMOTION: counts["evaluator_successes"]}.items():
        assert re.search(rf"</span> {reason}</td><td>[^<]+</td><td class=\"number\">{count}</td>", text)
    assert f"<dd>{counts['copies']}</dd>" in text
    assert 'http-equiv="refresh"' not in text


def test_the_page_begins_with_what_the_winner_is_worth(finished: Path) -> None:
    run = read(finished)
    fresh = {"mean_action_return": 559.5, "mean_action_return_std": 1.25, "mean_action_length": 80.0, "episodes": 20.0}
    config = dataclasses.replace(run.config, settings={**run.config.settings, "env": {"name": "Hopper"}})
    played = dataclasses.replace(run, config=config, result={**(run.result or {}), "fresh": fresh})
    worth = report_words.worth(played)
    assert (worth.value, worth.name, worth.spread) == ("559.5", "mean action return on fresh episodes", "1.250")
    assert "the mean over 20 episodes that the search did not see" in worth.words[0]
    assert worth.words[1:] == ["Also: mean action length 80.0."]
    (best, name, _), *_ = report_words.figures(played)
    assert (best, name) == (f"{run.result['objective']:.3f}", "mean of the last 3 evaluations, the winner's")
    for told, why in ((run, "no figures on fresh data"), (dataclasses.replace(run, result=None), "when the run ends")):
        worth = report_words.worth(told)
        assert worth.name == "objective, mean of the last 3 evaluations (what evaluate() returned)"
        assert why in worth.words[0]
        assert worth.value not in [value for value, *_ in report_words.figures(told)]


def test_the_page_holds_the_settings_and_the_metrics(finished: Path) -> None:
    run, text = read(finished), page_of(finished)
    settings = dict(re.findall("<tr><td>([^<]*)</td><td><code>([^<]*)</code></td></tr>", text))
    wanted = {"seed": "3", "population.sizes": "[4, 4]", "learner.kappa": "1.5", "engine.name": "inline"}
    assert wanted.items() <= settings.items()
    assert {f"algo.{name}" for name in run.config.algo.settings} | {"space.lr"} <= set(settings)
    assert re.findall('id="(metric-[^"]*)".*?aria-label="([^ ]*) ', text) == [
        ("metric-0", "lr_used"), ("metric-1", "steps"),
    ]  # fmt: skip


def test_nothing_in_the_page_is_loaded_from_elsewhere(finished: Path) -> None:
    assert not re.findall(r"""(?:src|href)\s*=\s*["'][^"']*//|@import|url\(""", page_of(finished))


def test_it_says_that_a_run_is_unfinished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    assert report.main([str(tmp_path / "r")]) == 0
    assert "unfinished: step 20 of 40" in capsys.readouterr().out
    text = page_of(tmp_path / "r")
    assert "unfinished: step 20 of 40" in text
    assert "The leader&#x27;s path" in text
    assert "winner&#x27;s path" not in text


@pytest.mark.parametrize("points", [[], [Point([Report(i, 10) for i in range(4)], [])]], ids=["start", "silent"])
def test_a_run_without_objectives_has_a_page(tmp_path: Path, points: list[Point]) -> None:
    config = config_for(tmp_path)
    if points:
        make_run(config, points)
    else:
        Store.create(tmp_path, to_plain(config), {}, members_of(config)).close()
    assert report.main([str(tmp_path)]) == 0
    assert "No curve has two points yet." in page_of(tmp_path)


def test_a_population_that_died_has_a_page(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    dead = [Fail(worker, 10, "NaN") for worker in (0, 1)]
    state = members_of(config)
    workers = [dataclasses.replace(w, failed=w.id < 2) for w in state.workers]
    store = Store.create(tmp_path, to_plain(config), {}, state)
    reports = [Report(0, 10, failure="NaN"), Report(1, 10, failure="NaN"), Report(2, 10, 1.0)]
    points = [Point(reports, dead)]
    store.commit(store.last(), 10, points, dataclasses.replace(state, workers=tuple(workers)), [], None, {})
    store.close()
    assert report.main([str(tmp_path)]) == 0
    assert "No member of P1 is healthy." in page_of(tmp_path)


def test_a_dead_population_ends_the_run_for_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "learner=quadratic engine=inline space.lr={log_uniform:[5.0,5.1]} population.sizes=[2,2] "  # all diverge
        f"population.evaluators=2 logger=[] run_dir={tmp_path / 'r'}"
    )
    assert launch.main(arguments.split()) == 1
    step = read(tmp_path / "r").history.step
    capsys.readouterr()
    assert report.main([str(tmp_path / "r"), "--watch"]) == 0
    assert f", ended: P1 died at step {step:,}: " in capsys.readouterr().out
    assert explain.main([str(tmp_path / "r")]) == 0
    told = capsys.readouterr().out
    assert f"The run has ended at step {step:,}: no healthy member of P1 is left." in told
    assert told.endswith(f"the end, step {step:,}: no healthy member of P1 is left\n")


def test_a_run_that_was_stopped_says_by_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = f"learner=quadratic engine=inline stop.objective=1.0 logger=[] run_dir={tmp_path / 'r'}"
    assert launch.main(arguments.split()) == 0
    run = read(tmp_path / "r")
    assert report_words.state(run) == f"finished at step {run.history.step:,}, ended by stop.objective"


def test_a_replayed_schedule_has_its_name_and_no_copies(tmp_path: Path) -> None:
    make_run(config_for(tmp_path, "retrace"), [Point([Report(i, 20, float(i)) for i in range(5)], [])])
    run = read(tmp_path)
    assert report_words.algorithm(run) == "a schedule replayed"
    assert "copies" not in [what for _, what, _ in report_words.figures(run)]


@pytest.mark.parametrize(("algo", "copies"), [("pbt", 1), ("random", 0)])
def test_runs_without_evaluators_have_no_such_part(tmp_path: Path, algo: str, copies: int) -> None:
    decisions = [Copy(3, 2, 20, 20, {"lr": 0.3}, {"lr": 0.6}, 0.0, 1.5)][:copies]
    make_run(config_for(tmp_path, algo), [Point([Report(i, 20, float(i)) for i in range(5)], decisions)])
    assert report.main([str(tmp_path)]) == 0
    parts = "<script.*?</script>|<style>.*?</style>|<footer>.*?</footer>|<details id=.settings.*?</details>"
    body = re.sub(parts, "", page_of(tmp_path), flags=re.DOTALL)
    assert "valuator" not in body
    assert ("through one copy in all" if copies else "No weights have moved") in body


def test_what_comes_from_the_run_is_escaped(tmp_path: Path) -> None:
    nasty = "</script><script>alert('1')</script>"
    changes = {"task": nasty, "learner": nasty, "space": {"lr": {"choice": [nasty, "b"]}}}
    config = dataclasses.replace(config_for(tmp_path), **changes)
    store = Store.create(tmp_path, to_plain(config), {}, members_of(config, {"lr": nasty}))
    store.close()
    assert report.main([str(tmp_path)]) == 0
    text = page_of(tmp_path)
    assert "alert(" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 3  # the library's, the data's and the page's own


def test_a_report_stands_in_no_run_s_way(tmp_path: Path) -> None:
    run_dir = tmp_path / "r"
    run_dir.mkdir()
    for name in ("report.html", "report.html.4711.tmp"):
        (run_dir / name).write_text("of another run")
    check_free(run_dir)
    small: dict[str, Any] = {"population": [4, 4], "evaluators": 2, "engine": "inline", "progress": False}
    firerl.run("quadratic", run_dir=run_dir, steps=240, **small)
    assert not (run_dir / "report.html").exists()
    assert report.main([str(run_dir)]) == 0
    firerl.resume(run_dir, steps=480, progress=False)
    assert (read(run_dir).history.step, (run_dir / "report.html").exists()) == (480, True)
    # Another process may be writing it at that very moment.
    assert (run_dir / "report.html.4711.tmp").exists()


def test_videos_are_embedded_while_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    for name, size in (("a small & fine.mp4", 30), ("b large.mp4", 300_000), (".c.17.mp4", 30)):
        (tmp_path / "r" / name).write_bytes(b"x" * size)
    monkeypatch.setattr(page_file, "PAGE_BYTES", 100_000)
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "")
    (tmp_path / "pages").mkdir()
    out = tmp_path / "pages" / "page.html"
    assert report.main([str(tmp_path / "r"), "--out", str(out)]) == 0
    videos = re.findall(r'<video [^>]*src="([^"]*)"></video><figcaption>([^<]*)<', out.read_text())
    assert videos == [
        ("data:video/mp4;base64," + "eHh4" * 10, "a small &amp; fine.mp4"),
        ("../r/b%20large.mp4", "b large.mp4"),
    ]


def test_help_needs_no_library() -> None:
    code = (
        "import sys; from firerl import report\n"
        "try: report.main(['--help'])\n"
        "except SystemExit: print([m for m in ('torch', 'plotly', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--watch" in done.stdout
    assert done.stdout.endswith("[]\n")
