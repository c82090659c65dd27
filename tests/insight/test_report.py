"""The report of runs, finished and not, in a real browser where there is one; and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of

import firerl
from firerl.base.disk import files
from firerl.commands import explain, launch, report
from firerl.config.run_config import to_plain
from firerl.evolution.population import Copy, Fail, Report
from firerl.insight.history.history import PROMOTION
from firerl.insight.report import page_file
from firerl.insight.report import words as report_words
from firerl.insight.report.lines import stitched
from firerl.insight.report.run import Run, read
from firerl.storage.generation import Point
from firerl.storage.store import Store, check_free

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


pytestmark = pytest.mark.unverified("journals made by hand")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of FIRE PBT that has copies, promotions and stops, and its report."""
    run_dir = tmp_path_factory.mktemp("runs") / "fire"
    firerl.run("quadratic", population=[4, 4], evaluators=3, steps=1200, ready_interval=120, eval_interval=30, seed=1,
               run_dir=run_dir, engine="inline", progress=False)  # fmt: skip
    assert report.main([str(run_dir)]) == 0
    return run_dir


def page_of(run_dir: Path) -> str:
    """The report, but for the plotting library."""
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    begin = text.index("<script>")
    return text[:begin] + text[text.index("</script>", begin) :]


def test_the_page_tells_the_result(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, text = read(finished), page_of(finished)
    assert run.result is not None
    assert (run.result["worker"], run.result["objective"]) == (run.leader.worker, run.leader.objective)
    counts = run.result["evolution"]
    assert counts["evaluator_successes"] > 0
    assert counts["evaluator_stops"]
    assert f"Member {run.result['worker']} won: its last evaluation is {run.result['objective']:.3f}." in text
    assert "finished at step 1,200" in text
    for reason, count in {**counts["evaluator_stops"], PROMOTION: counts["evaluator_successes"]}.items():
        assert re.search(rf"</span> {reason}</td><td>[^<]+</td><td class=\"number\">{count}</td>", text)
    assert f"<dd>{counts['copies']}</dd>" in text
    assert 'http-equiv="refresh"' not in text


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
    parts = "<script.*?</script>|<style>.*?</style>|<footer>.*?</footer>"  # the folder's name is in the footer
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


def damage(run_dir: Path) -> None:
    (run_dir / "journal.sqlite").write_bytes(b"no database at all" * 100)


def foreign(run_dir: Path) -> None:
    (run_dir / "journal.sqlite").unlink()
    with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db:
        db.execute("CREATE TABLE mine (a)")


def remove(run_dir: Path) -> None:
    (run_dir / "journal.sqlite").unlink()


def change(statement: str) -> Callable[[Path], None]:
    """A change of the journal itself."""

    def act(run_dir: Path) -> None:
        with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db, db:
            db.execute(statement)

    return act


BAD = {
    "nothing": (shutil.rmtree, "does not exist"),
    "no journal": (remove, "holds no run"),
    "no database": (damage, "damaged or not a journal of firerl"),
    "foreign": (foreign, "not a journal of firerl"),
    "later format": (change("UPDATE meta SET value = '99' WHERE key = 'format'"), "journal format 99"),
    "torn row": (change("UPDATE decisions SET data = '{'"), "is damaged"),
    "unknown worker": (change("UPDATE reports SET worker = 77 WHERE worker = 0"), "is damaged"),
    "no objective": (
        change("UPDATE reports SET objective = '\"high\"' WHERE worker = 0"),
        "objective is 'high'",
    ),
    "other hyperparameters": (change("UPDATE decisions SET data = replace(data, '\"lr\"', '\"rl\"')"), "lr=None"),
    "no settings": (change("DELETE FROM meta WHERE key = 'config'"), "is damaged"),
    "other settings": (change("UPDATE meta SET value = '{\"task\": 1}' WHERE key = 'config'"), "is damaged"),
    "no table": (change("DROP TABLE timings"), "is damaged"),
}


@pytest.mark.parametrize(("spoil", "says"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("watch", [[], ["--watch"]], ids=["once", "watch"])
def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], says: str, watch: list[str]
) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    spoil(tmp_path / "r")
    assert report.main([str(tmp_path / "r"), *watch]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    assert not list(tmp_path.rglob("report.html*"))


def test_a_page_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(config_for(tmp_path / "r"), fire_points())
    for out, says in ((tmp_path / "none" / "x.html", "no folder"), (tmp_path, "is a folder")):
        assert report.main([str(tmp_path / "r"), "--out", str(out)]) == 2
        assert says in capsys.readouterr().err
    old = tmp_path / "old.html"
    old.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert report.main([str(tmp_path / "r"), "--out", str(old)]) == 2
    assert capsys.readouterr().err == f"firerl: cannot write {old}: No space left on device\n"
    assert (old.read_text(), list(tmp_path.glob("*.tmp"))) == ("old", [])


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


def test_help_needs_no_library() -> None:
    code = (
        "import sys; from firerl import report\n"
        "try: report.main(['--help'])\n"
        "except SystemExit: print([m for m in ('torch', 'plotly', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--watch" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser of this machine."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no Chromium found (looked for {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


class Tab:
    """A page without a network, and all it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280):
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme="light")
        self.context.set_offline(True)
        self.context.set_default_timeout(120_000)  # the machine may be busy
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url.split(":")[0]))
        self.page.goto(path.as_uri())
        self.settle()

    def settle(self) -> None:
        """Wait until every figure is drawn."""
        self.page.wait_for_selector("body[data-drawn]")


@pytest.fixture
def tab(browser: Any, finished: Path) -> Iterator[Tab]:
    """The finished run's report."""
    tab = Tab(browser, finished / "report.html")
    yield tab
    tab.context.close()
    assert tab.complaints == []
    assert set(tab.requests) <= {"file", "data", "blob"}


def chosen_path(tab: Tab, figure: str) -> list[tuple[float, float]]:
    """The line that the page has put together for the chosen worker."""
    code = f"(() => {{ const t = document.getElementById('{figure}').data.find(t => t.meta.kind === 'chosen');"
    x, y = tab.page.evaluate(code + " return [t.x, t.y]; })()")
    return list(zip(x, y, strict=True))


def panel_words(run: Run, worker: int) -> list[str]:
    """What the panel must say of a worker."""
    ms = run.history.measurements
    roles = [[m for m in ms if getattr(m, role) == worker] for role in ("parent", "child", "evaluator")]
    legs = [report_words.leg(run, leg) for leg in run.history.ancestry(worker)]
    return [report_words.title(run, worker), *legs, *(report_words.measurement(m) for ms in roles for m in ms)]


def test_choosing_a_worker_in_a_browser(tab: Tab, finished: Path, tmp_path: Path) -> None:
    run, page = read(finished), tab.page
    assert run.leader is not None
    promoted = [m for m in run.history.measurements if m.outcome == PROMOTION]
    for worker in (run.leader.worker, promoted[0].parent, promoted[0].evaluator):
        page.focus("#worker")
        page.select_option("#worker", str(worker))
        tab.settle()
        assert page.evaluate("location.hash") == f"#worker={worker}"
        text = page.locator("#panel").text_content()
        places = [text.find(words) for words in panel_words(run, worker)]
        assert -1 not in places
        assert places == sorted(places)
    page.select_option("#worker", str(run.leader.worker))
    tab.settle()
    path = [(x, pytest.approx(y, rel=1e-5)) for x, y in stitched(run)]
    assert chosen_path(tab, "objectives") == chosen_path(tab, "winner") == path
    opacities = page.evaluate(
        "document.getElementById('lineage').data.filter(t => t.meta.kind === 'life').map(t => t.opacity)"
    )
    assert [opacity == 1 for opacity in opacities] == [w.id == run.leader.worker for w in run.workers]
    picture = page.screenshot(path=tmp_path / "chosen.png", full_page=True)
    assert len(picture) > 50_000
    page.reload()
    tab.settle()
    assert page.input_value("#worker") == str(run.leader.worker)
    page.keyboard.press("Escape")
    tab.settle()
    assert (page.input_value("#worker"), chosen_path(tab, "objectives")) == ("", [])


# The point of a worker's own line that lies furthest from all others: (worker, x, y) in pixels.
LONELIEST = """(() => {
  const plot = document.getElementById('objectives'), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, points = [];
  for (const {x, y, meta} of plot.data) x.forEach((_, i) => x[i] !== null && points.push([meta.kind === 'life'
    ? meta.worker : null, box.x + xaxis._offset + xaxis.d2p(x[i]), box.y + yaxis._offset + yaxis.d2p(y[i])]));
  const room = p => Math.min(...points.filter(q => q !== p).map(q => Math.hypot(p[1] - q[1], p[2] - q[2])));
  return points.filter(p => p[0] !== null).reduce((best, p) => room(p) > room(best) ? p : best);
})()"""


def test_a_line_says_whose_it_is_and_a_click_chooses_it(tab: Tab) -> None:
    worker, x, y = tab.page.evaluate(LONELIEST)
    tab.page.mouse.move(x - 3, y - 3)
    tab.page.mouse.move(x, y)
    label = tab.page.locator("#objectives .hovertext").first.text_content(timeout=5000)
    assert re.match(rf"(member|evaluator) {worker}\D", label), label
    tab.page.mouse.click(x, y)
    tab.page.wait_for_function(f"location.hash === '#worker={worker}'", timeout=5000)


def test_the_page_follows_the_theme(tab: Tab) -> None:
    tab.page.emulate_media(color_scheme="light")
    look = """(() => { const plot = document.getElementById('objectives');
    return [getComputedStyle(document.body).backgroundColor, plot.layout.font.color, plot.data[0].line.color]; })()"""
    light = tab.page.evaluate(look)
    tab.page.emulate_media(color_scheme="dark")
    tab.page.wait_for_function(f"document.getElementById('objectives').layout.font.color !== '{light[1]}'")
    tab.settle()
    dark = tab.page.evaluate(look)
    assert all(one != other for one, other in zip(light, dark, strict=True))


@pytest.mark.parametrize("width", [360, 800])
def test_a_narrow_window_needs_no_scrolling_sideways(browser: Any, finished: Path, width: int) -> None:
    tab = Tab(browser, finished / "report.html", width)
    tab.page.select_option("#worker", "1")
    tab.settle()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    tab.context.close()
    assert tab.complaints == []


def test_the_smallest_run_opens_too(browser: Any, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    Store.create(tmp_path, to_plain(config), {}, members_of(config)).close()
    assert report.main([str(tmp_path)]) == 0
    tab = Tab(browser, tmp_path / "report.html")
    tab.page.select_option("#worker", "4")  # an evaluator that never started
    assert "it has not trained yet" in tab.page.locator("#panel").text_content()
    tab.settle()
    tab.context.close()
    assert tab.complaints == []
