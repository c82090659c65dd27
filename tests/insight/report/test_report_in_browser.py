"""The page in a real browser, where there is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from journals_by_hand import config_for, members_of
from report_pages import Tab

from firerl.commands import report
from firerl.config.run_config import to_plain
from firerl.insight.history.history import PROMOTION
from firerl.insight.report import words as report_words
from firerl.insight.report.lines import stitched
from firerl.insight.report.run import Run, read
from firerl.storage.store import Store

pytestmark = pytest.mark.unverified("journals made by hand")


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


SPANS = (
    "[...document.querySelectorAll('.plot')].filter(p => p.drawn).map(p => p._fullLayout.xaxis.range.map(Math.round))"
)


def area(tab: Tab) -> dict[str, float]:
    """Where the first figure's lines lie, in view."""
    tab.page.locator("#objectives").scroll_into_view_if_needed()
    box: dict[str, float] = tab.page.locator("#objectives .nsewdrag").first.bounding_box()
    return box


def test_a_zoom_shows_the_same_steps_everywhere(tab: Tab) -> None:
    page, whole = tab.page, [0, 606]
    page.click("#metrics summary")
    tab.settle()
    box = area(tab)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 82, steps=3)
    page.mouse.up()
    page.wait_for_function("location.hash.includes('steps=')", timeout=5000)
    tab.settle()
    spans = page.evaluate(SPANS)
    assert len(spans) == page.locator(".plot").count()
    assert spans == [spans[0]] * len(spans)
    assert spans[0] == pytest.approx([303, 454], abs=20)
    page.reload()  # as it does under --watch
    tab.settle()
    assert page.evaluate(SPANS) == spans
    box = area(tab)
    page.mouse.dblclick(box["x"] + 90, box["y"] + 80)
    page.wait_for_function("!location.hash.includes('steps=')", timeout=5000)
    tab.settle()
    assert page.evaluate(SPANS) == [whole] * len(spans)
    assert not page.is_visible("#whole")


def test_smoothing_leaves_what_was_reported(tab: Tab) -> None:
    def shown(kind: str) -> list[float]:
        code = f"document.getElementById('objectives').data.find(t => t.meta.kind === '{kind}' && t.meta.role === 'P1')"
        return [y for y in tab.page.evaluate(f"{code}.y") if y is not None]

    def smoothed(share: str) -> list[float]:
        tab.page.fill("#smooth", share)
        tab.settle()
        assert shown("label") == shown("line")[-1:]
        return shown("line")

    raw = shown("line")
    soft = smoothed("0.8")
    mean, expected = 0.0, []
    for index, value in enumerate(raw, start=1):
        mean = 0.8 * mean + 0.2 * value
        expected.append(mean / (1 - 0.8**index))
    assert soft == pytest.approx(expected)
    assert smoothed("0.95") != soft
    assert smoothed("0") == raw
    assert tab.page.evaluate("location.hash") == ""


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
