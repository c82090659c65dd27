"""The page of ``firerl watch`` and what it asks for, served to this machine alone, for reading alone.

A client's words never become a path: the page's files are a few, and runs go by the names that the list gives them.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from firerl.commands.running.watched_runs import WatchedRuns
from firerl.errors import FirerlError
from firerl.storage.journal.journal_db import reading

HERE = "127.0.0.1"
HOSTS = (HERE, "localhost")  # with any port: a tunnel may end at another
FILES = {  # room and type of the page's files
    "watch.html": ("watch", "text/html"),
    "watch.css": ("watch", "text/css"),
    "watch.js": ("watch", "text/javascript"),
    "figures.js": ("watch", "text/javascript"),
    "page.css": ("report", "text/css"),  # both pages look alike
}
STRICT = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
OF_A_REPORT = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; media-src data:"
)
NOWHERE_ELSE = "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
IDLE = 60  # seconds after which a silent connection ends

Answer = tuple[bytes, str, str]  # body, type, what its scripts may do


@cache
def page_file(name: str) -> str:
    """A file of the page."""
    return resources.files(f"firerl.insight.{FILES[name][0]}").joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()


class Server(ThreadingHTTPServer):
    """At a port of the loopback, 0: any free one. Raises OSError where it is taken."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int):
        self.runs = WatchedRuns(folder)
        super().__init__((HERE, port), Handler)

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HERE}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before the answer is nobody's fault."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def answer(self, path: str, query: Mapping[str, list[str]]) -> Answer | None:
        """What lies at an address; None: nothing."""
        name = path.removeprefix("/") or "watch.html"
        if name in FILES:
            return page_file(name).encode(), f"{FILES[name][1]}; charset=utf-8", STRICT
        if path == "/plotly.js":
            return _plotly(), "text/javascript; charset=utf-8", STRICT
        asked = query.get("run", [])
        if path == "/report":
            return self._report(asked), "text/html; charset=utf-8", OF_A_REPORT
        if path in QUESTIONS:
            body = json.dumps(self._told(QUESTIONS[path], asked), separators=(",", ":"), allow_nan=False)
            return body.encode(), "application/json", STRICT
        return None

    def _told(self, question: Callable[[WatchedRuns, list[str]], Any], asked: list[str]) -> Any:
        """The answer; of a run that cannot be read, why, which the page shows at its place."""
        try:
            return question(self.runs, asked)
        except (FirerlError, OSError, sqlite3.Error) as error:
            return {"error": " ".join(str(error).split())}

    def _report(self, asked: list[str]) -> bytes:
        from firerl.insight.report import page
        from firerl.insight.report.films import films
        from firerl.insight.report.markup import escape
        from firerl.insight.report.page_file import NAME, PAGE_BYTES

        try:
            folder = self.runs.folder_of("".join(asked[:1]))
            _, run = self.runs.run("".join(asked[:1]))
            found = films(folder, folder / NAME, PAGE_BYTES)
            inside = [film for film in found if film.address.startswith("data:")]  # no file of the folder is served
            return page.page(run, folder, inside).encode()
        except (FirerlError, OSError, sqlite3.Error) as error:
            return escape(" ".join(str(error).split())).encode()


def _curve(runs: WatchedRuns, asked: list[str]) -> Any:
    drawn = runs.drawn("".join(asked[:1]))
    return {**drawn.curve, "mark": drawn.mark}


def _run(runs: WatchedRuns, asked: list[str]) -> Any:
    from firerl.insight.watch.told import chosen

    mark, run = runs.run("".join(asked[:1]))
    with reading(runs.folder_of("".join(asked[:1]))):
        return {**chosen(run), "mark": mark}


QUESTIONS: Mapping[str, Callable[[WatchedRuns, list[str]], Any]] = {
    "/api/runs": lambda runs, _: {"folder": str(runs.folder), "runs": runs.rows()},
    "/api/curve": _curve,
    "/api/run": _run,
    "/api/hyperparameters": WatchedRuns.hyperparameters,
}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "firerl", ""
    timeout = IDLE

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:  # a stranger's name that leads here: the browser is on a stranger's page
            self.send_error(403, "ask for 127.0.0.1 or localhost")
            return
        url = urlsplit(self.path)
        found = self.server.answer(url.path, parse_qs(url.query))
        if found is None:
            self.send_error(404)
            return
        body, kind, may = found
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=86400" if url.path == "/plotly.js" else "no-store")
        self.send_header("Content-Security-Policy", may + NOWHERE_ELSE)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads a line for each request."""
