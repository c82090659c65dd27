"""The lines to paste where a comparison has too few seeds: they train the missing ones and compare again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from firerl.config.named_code import DOORS, settings_line
from firerl.insight.compare.comparison import FEW, Comparison, GroupFigures
from firerl.storage.remote.address import is_remote

PROGRAM = "__main__."  # a learner of a script or a notebook, which no command line can name


def lines(comparison: Comparison, typed: Sequence[str], at: int, folders: Sequence[str]) -> list[str]:
    """Commands that bring each group to ``FEW`` seeds, the same for all, and then the comparison that was ``typed``.

    ``folders`` are those that were named, from word ``at`` on. [] where there are seeds enough, and where a run cannot
    be started again from its folder.
    """
    groups = comparison.groups
    if len(groups) < 2 or len(set.intersection(*map(_seeds, groups))) >= FEW:
        return []
    if any(is_remote(row.run) or row.config.learner.startswith(PROGRAM) for row in comparison.rows):
        return []
    wanted = set.union(*map(_seeds, groups))
    for seed in count():
        if len(wanted) >= FEW:
            break
        wanted.add(seed)
    commands, added = [], []
    for group in groups:
        if missing := sorted(wanted - _seeds(group)):
            run = group.rows[0].run
            folder = f"{run}-seeds" if run in folders else str(Path(run).parent)  # seed-3 lies beside seed-0
            if folder not in folders:
                added.append(folder)
            commands.append(_launch(group, missing, folder))
    end = at + len(folders)
    return [*commands, shlex.join(["python", "-m", "firerl.compare", *typed[:end], *added, *typed[end:]])]


def _seeds(group: GroupFigures) -> set[int]:
    return {row.config.seed for row in group.rows}


def _launch(group: GroupFigures, seeds: Sequence[int], folder: str) -> str:
    """The settings of the group's first run with other seeds; what its file may not name is typed again."""
    first = group.rows[0]
    asked = {door.typed: door.asked(first.config) for door in DOORS}
    again = {name: value for name, value in asked.items() if value is not None}
    line = settings_line(f"python -m firerl.launch {shlex.quote(f'config={first.run}')}")
    return line({**again, "seed": f"[{','.join(map(str, seeds))}]", "run_dir": folder})
