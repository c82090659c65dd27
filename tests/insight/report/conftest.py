"""A finished run with its report, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_pages import Tab

from firerl.commands import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="session")
def finished(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of FIRE PBT that has copies, promotions, stops and metrics, and its report."""
    run_dir = tmp_path_factory.mktemp("runs") / "fire"
    shutil.copytree(told_run, run_dir)
    assert report.main([str(run_dir)]) == 0
    return run_dir


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


@pytest.fixture
def tab(browser: Any, finished: Path) -> Iterator[Tab]:
    """The finished run's report."""
    tab = Tab(browser, finished / "report.html")
    yield tab
    tab.context.close()
    assert tab.complaints == []
    assert set(tab.requests) <= {"file", "data", "blob"}
