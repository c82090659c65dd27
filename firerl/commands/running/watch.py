"""A page over many runs, finished and live: ``python -m firerl.watch [runs/] [--port 8484] [--no-browser]``.

It is served to this machine alone. Nothing is locked or changed, and runs go on undisturbed.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, run_argument
from firerl.commands.running.ls import FOLDER, check_folder
from firerl.errors import SettingError, reason

if TYPE_CHECKING:
    from firerl.commands.running.server import Server

PORT = 8484  # where it is free and no other is asked for


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.watch",
        description="One page over the runs below a folder, finished and live: a list, curves of several runs on one "
        "axis, what each hyperparameter says of the late objective, and all of a chosen run. Only this machine can "
        "open it. Ctrl-C ends it; the runs go on.",
    )
    parser.add_argument("folder", nargs="?", type=run_argument, default=Path(FOLDER), help=f"where they lie ({FOLDER})")
    told = f"of 127.0.0.1; 0: any free one ({PORT}, or any free one where it is taken)"
    parser.add_argument("--port", type=_port, help=told)
    parser.add_argument("--no-browser", action="store_true", help="say the address, and open no browser")
    arguments = parser.parse_args(argv)
    folder = check_folder(arguments.folder)
    with _server(folder, arguments.port) as server:
        say(f"{folder}: {server.address} shows its runs. Ctrl-C ends the page; the runs go on.")
        if not arguments.no_browser and _has_screen():
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("", "The page has ended.")
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _server(folder: Path, port: int | None) -> Server:
    from firerl.commands.running.server import Server

    try:
        return Server(folder, PORT if port is None else port)
    except OSError as error:
        if port is None:
            return Server(folder, 0)
        raise SettingError(f"--port {port}: {reason(error)}; --port 0 takes any free one") from error


def _has_screen() -> bool:
    """Whether a browser would have a window: a terminal's own would take the terminal."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
