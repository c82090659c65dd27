"""Photograph a report's top: ``python docs/capture_report.py <run_dir> docs/pictures/report.png [--worker 7]``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from firerl.commands import report


def main() -> None:
    """Write the report beside the run, open it in Chromium and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--worker", type=int, help="chosen in the picture")
    parser.add_argument("--height", type=int, default=955)
    arguments = parser.parse_args()

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "report.html"
        print(report.write(arguments.run_dir, page_file))
        browser = playwright.chromium.launch(executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": arguments.height}, color_scheme="light")
        anchor = "" if arguments.worker is None else f"#worker={arguments.worker}"
        page.goto(page_file.as_uri() + anchor)
        page.wait_for_selector("body[data-drawn]")
        page.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
