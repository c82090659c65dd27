"""Photograph the page of ``firerl watch``: ``python docs/capture_watch.py runs/ docs/pictures/watch.png [--dark]``."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from threading import Thread

from playwright.sync_api import sync_playwright

from firerl.commands.running.server import Server


def main() -> None:
    """Serve the folder, open the page in Chromium and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--whole", action="store_true", help="the page from top to bottom")
    arguments = parser.parse_args()

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with Server(arguments.folder, 0) as server, sync_playwright() as playwright:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu"])
        size = {"width": arguments.width, "height": arguments.height}
        page = browser.new_page(viewport=size, color_scheme="dark" if arguments.dark else "light")
        page.on("console", lambda message: print(message.text))
        page.on("pageerror", lambda error: print(error))
        page.goto(server.address)
        for part in ("#hyperparameters[data-fitted]", "#one[data-drawn]"):
            page.wait_for_selector(part, state="attached")
        page.screenshot(path=arguments.picture, full_page=arguments.whole)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
