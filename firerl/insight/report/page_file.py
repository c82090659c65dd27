"""The report of a run as a file: one page that opens in any browser without a network."""

from __future__ import annotations

from pathlib import Path

from firerl.base.disk import files

NAME = "report.html"  # in the run folder
PAGE_BYTES = 10_000_000  # videos are put into the page while it stays below


def write(run_dir: Path | str, out: Path, refresh: int | None = None) -> str:
    """Write the page of the run as it is now; returns a line that says so. Raises RunFolderError, FirerlError."""
    from firerl.insight.report.films import films
    from firerl.insight.report.page import page
    from firerl.insight.report.run import read
    from firerl.insight.report.words import state
    from firerl.storage.remote.reading import local

    folder = local(run_dir)
    run = read(folder)
    bare = page(run, run_dir, refresh=refresh)
    shown = films(folder, out, PAGE_BYTES - len(bare.encode()))
    data = (page(run, run_dir, shown, refresh) if shown else bare).encode()
    files.write_output(out, data)
    return f"{run.config.task}, {state(run)}: {out} ({len(data) / 1e6:.1f} MB)"
