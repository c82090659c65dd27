"""Reports as tests look at them: as texts, and in a browser without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def page_of(run_dir: Path) -> str:
    """The report, but for the plotting library."""
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    begin = text.index("<script>")
    return text[:begin] + text[text.index("</script>", begin) :]


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
