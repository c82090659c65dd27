"""The videos that lie in a run folder, as the report shows them."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Film:
    """A video of the run: its name and where the page finds it, a data: address or a relative one."""

    name: str
    address: str


def films(run_dir: Path, page: Path, room: int) -> list[Film]:
    """The MP4 files of the folder by name, put into the page while ``room`` bytes last, else linked from it."""
    found = []
    for path in sorted(run_dir.glob("*.mp4")):
        if path.name.startswith("."):  # play is still writing it
            continue
        if path.is_symlink() or not path.is_file():  # a link would put any file into the page
            continue
        size = 4 * path.stat().st_size // 3 + 200
        if size <= room:
            room -= size
            found.append(Film(path.name, f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"))
        else:
            found.append(Film(path.name, quote(os.path.relpath(path, page.parent))))
    return found
