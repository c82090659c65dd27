"""The page over many runs: what it is told, what is refused, and itself in a real browser while a run goes on."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import live_run
import pytest
from journals_by_hand import config_for, fire_points, make_run, members_of

import firerl
from firerl import commands
from firerl.commands.running import server as serving
from firerl.commands.running import watch, watched_runs
from firerl.commands.running.server import Server
from firerl.commands.running.watched_runs import WatchedRuns
from firerl.config.run_config import to_plain
from firerl.errors import RunFolderError
from firerl.evolution.population import Report
from firerl.storage.generation import Point
from firerl.storage.store import Store

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
NASTY = "<img src=x onerror=alert(1)>"

pytestmark = pytest.mark.unverified("journals made by hand and damaged on purpose")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that have ended, one that was interrupted, and one that is damaged."""
    folder = tmp_path_factory.mktemp("many")
    for seed in (1, 2):
        firerl.run("quadratic", population=[4, 4], evaluators=2, steps=600, ready_interval=120, eval_interval=30,
                   seed=seed, run_dir=folder / "fire" / f"seed-{seed}", engine="inline", progress=False,
                   logger="none")  # fmt: skip
    make_run(config_for(folder / NASTY), fire_points())
    shutil.copytree(folder / NASTY, folder / "torn")
    (folder / "torn" / "journal.sqlite").write_bytes(b"x" * 5000)
    return folder


@pytest.fixture(scope="module")
def served(runs: Path) -> Iterator[Server]:
    with Server(runs, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: Server, path: str, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)) as connection:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()


def told(server: Server, path: str) -> Any:
    status, body = ask(server, path)
    assert status == 200
    return json.loads(body)


def ids(server: Server) -> dict[str, str]:
    return {row["name"]: row["id"] for row in told(server, "/api/runs")["runs"]}


def test_runs_their_curves_and_what_matters(served: Server, runs: Path) -> None:
    rows = {row["name"]: row for row in told(served, "/api/runs")["runs"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "fire/seed-1": "finished", "fire/seed-2": "finished", NASTY: "interrupted", "torn": "damaged"
    }  # fmt: skip
    one, two, torn = (rows[name]["id"] for name in ("fire/seed-1", "fire/seed-2", "torn"))
    curve = told(served, f"/api/curve?run={one}")
    assert (curve["mark"], curve["steps"]) == (rows["fire/seed-1"]["mark"], list(range(30, 601, 30)))
    found = told(served, f"/api/hyperparameters?run={one}&run={two}")
    assert (found["names"], found["runs"], found["others"]) == (["lr"], 2, 0)
    assert found["explained"] is not None
    chosen = told(served, f"/api/run?run={one}")
    assert chosen["state"] == "finished at step 600"
    assert "torn" in told(served, f"/api/curve?run={torn}")["error"]
    assert "no longer there" in told(served, "/api/run?run=../../etc")["error"]
    status, page = ask(served, f"/report?run={one}")
    assert (status, b"finished at step 600" in page) == (200, True)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:9000"])
def test_this_machine_is_answered(served: Server, host: str) -> None:
    assert ask(served, "/", host)[0] == 200
    assert served.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8484", "127.0.0.1.evil.example", "", "0.0.0.0"])
def test_a_strangers_name_that_leads_here_is_refused(served: Server, host: str) -> None:
    assert ask(served, "/api/runs", host)[0] == 403


@pytest.mark.parametrize(
    "path", ["/../../../etc/passwd", "/fire/seed-1/config.yaml", "/%2e%2e/watch.py", "/watch.css/..", "//etc/passwd"]
)
def test_no_other_file_is_served(served: Server, path: str) -> None:
    assert ask(served, path)[0] == 404


def test_it_is_for_reading_alone(served: Server) -> None:
    assert {ask(served, "/api/runs", method=method)[0] for method in ("POST", "PUT", "DELETE")} == {501}


def test_a_run_is_read_again_only_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_for(tmp_path / "r")
    make_run(config_for(tmp_path / "other"), fire_points())
    store = Store.create(tmp_path / "r", to_plain(config), {"seed": 0}, members_of(config))

    def go_to(step: int) -> None:
        point = Point([Report(i, step, float(i)) for i in range(4)], [])
        store.commit(store.last(), step, [point], members_of(config), [], None, {})

    go_to(10)
    looked, read = [], []
    glance, whole = watched_runs.glance, watched_runs.read
    monkeypatch.setattr(watched_runs, "glance", lambda path: looked.append(path.name) or glance(path))
    monkeypatch.setattr(watched_runs, "read", lambda path: read.append(path.name) or whole(path))
    watched = WatchedRuns(tmp_path)
    names = {row["name"]: row["id"] for row in watched.rows()}
    for _ in range(3):
        watched.rows()
        assert len(watched.drawn(names["r"]).curve["steps"]) == 1
        watched.run(names["r"])
    assert (sorted(looked), read) == (["other", "r"], ["r"])
    go_to(20)
    watched.rows()
    assert len(watched.drawn(names["r"]).curve["steps"]) == 2
    assert (looked[2:], read) == (["r"], ["r", "r"])
    store.close()
    shutil.rmtree(tmp_path / "r")
    assert [row["name"] for row in watched.rows()] == ["other"]
    with pytest.raises(RunFolderError, match="no longer there"):
        watched.drawn(names["r"])


def test_the_command_says_the_address_and_ends_with_ctrl_c(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.Server, "serve_forever", interrupted)
    monkeypatch.setattr(watch.webbrowser, "open", lambda _: pytest.fail("no browser was asked for"))
    assert commands.main(["watch", str(runs), "--port", "0", "--no-browser"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{runs}: http://127.0.0.1:")
    assert (out.endswith("The page has ended.\n"), err) == (True, "")


def test_what_cannot_be_served_is_one_line(runs: Path, served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    port = served.server_address[1]
    for arguments, says in (
        ([str(runs / "none")], "there is no such folder"),
        ([str(runs), "--port", "x"], "'x' is no port"),
        ([str(runs), "--port", str(port)], f"--port {port}: Address already in use; --port 0 takes any free one"),
    ):
        assert watch.main([*arguments, "--no-browser"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n"), says in err) == ("", 1, True), err


@pytest.fixture
def live(runs: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own."""
    command = [sys.executable, live_run.__file__, str(runs / "live")]
    environment = {**os.environ, "PYTHONPATH": str(Path(firerl.__file__).parents[1])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()
    shutil.rmtree(runs / "live", ignore_errors=True)


def go_on(live: subprocess.Popen[str]) -> None:
    """Every worker's next evaluation."""
    assert live.stdin is not None
    live.stdin.write("\n\n")
    live.stdin.flush()


# The number of points by the run's name, and what is seen of the x axis.
CURVES = "Object.fromEntries(by('curves').data.map(t => [t.name, t.x.length]))"
ZOOM = "by('curves')._fullLayout.xaxis.range"


def test_the_page_in_a_browser_while_a_run_goes_on(served: Server, live: subprocess.Popen[str]) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no Chromium found (looked for {', '.join(BROWSERS)})")
    go_on(live)
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=path, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        page.set_default_timeout(60_000)  # the machine may be busy
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(served.address)
        box = page.get_by_label("Select live", exact=True)
        box.wait_for()  # it has begun
        page.click("#none")
        box.check()
        page.get_by_label("Select fire/seed-2", exact=True).check()
        page.wait_for_selector("#hyperparameters[data-fitted*=',']", state="attached")
        page.locator("#list .name", has_text="fire/seed-2").click()
        page.wait_for_selector("#one[data-drawn] .verdicts li", state="attached")
        assert "Quadratic: FIRE PBT" in page.locator("#one h2").text_content()
        page.wait_for_selector("#curves[data-points='21']", state="attached")
        assert page.evaluate(CURVES) == {"live": 1, "fire/seed-2": 20}
        page.evaluate("Plotly.relayout(by('curves'), {'xaxis.range': [5, 300]})")

        # A new point appears by itself, and neither selection nor zoom is lost.
        go_on(live)
        page.wait_for_selector("#curves[data-points='22']", state="attached")
        assert page.evaluate(CURVES) == {"live": 2, "fire/seed-2": 20}
        assert page.evaluate(ZOOM) == [5, 300]
        assert box.is_checked()
        assert page.locator("#list li", has=box).locator(".running").text_content() == "running"
        wide = page.evaluate("getComputedStyle(document.body).backgroundColor")

        # The list: filters, sorting, names that are no tags.
        assert page.locator("#list img").count() == 0
        assert NASTY in page.locator("#list").text_content()
        page.select_option("#sort", "by name")
        names = page.locator("#list .name").all_text_contents()
        assert names == sorted(names, key=lambda name: (name[0].isalpha(), name))
        page.select_option("#algorithm", "pbt")
        assert page.locator("#list .name").all_text_contents() == ["live"]
        page.fill("#search", "seed")
        assert page.locator("#list .name").count() == 0
        page.select_option("#algorithm", "")
        assert page.locator("#list .name").count() == 2

        # A telephone in the dark, and the page loaded anew: the address holds what was selected.
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        page.reload()
        page.wait_for_selector("#hyperparameters[data-fitted*=',']", state="attached")
        page.wait_for_selector("#one[data-drawn]", state="attached")
        assert set(page.evaluate(CURVES)) == {"live", "fire/seed-2"}
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != wide
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for width, scheme in ((390, "light"), (1400, "dark")):
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("by('curves')._fullLayout.font.color") == page.evaluate("cssColour('ink')")
        chromium.close()
    assert complaints == []
