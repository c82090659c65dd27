"""Names of files that are not finished yet: made here and nowhere else, so that whoever cleans up knows them all.

``tests/base/test_files.py`` fails where another module makes such a name.
"""

from __future__ import annotations

import os
from pathlib import Path

# What such a name ends with: after a kill also what SQLite keeps beside a database while it changes it.
ENDING = r"\.\d+\.tmp(-journal|-wal|-shm)?"


def beside(path: Path) -> Path:
    """Where the bytes of ``path`` lie until they are whole: one name a process, in the same folder."""
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")
