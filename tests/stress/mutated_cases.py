"""Which files ``mutated_files.py`` spoils in which way, and who reads them then."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mutations as m
import mutations_checkpoint as of_weights
import mutations_journal as of_journals

CHANGES = ("store", "resume", "extend", "repair", "retrace", "report", "retraced", "cache", "held", "free")
RUN_READERS = ["journal", "history", "explain", "verify", "report", "compare", "examine", "play", "store", "resume"]


@dataclass(frozen=True)
class Plan:
    """One kind of case: a mutation of a file of a run, and who reads it then."""

    name: str
    share: float
    mutate: Any
    run: str
    file: str
    readers: Sequence[str]


def plans() -> list[Plan]:
    """Pickles, truncations and paths that lead out first."""
    weights = ["checkpoint", "best", "result", "init", "play"]
    opened = ["play", "store", "resume", "extend", "examine", "repair"]
    made = []
    for mutate in (
        of_weights.run_code,
        of_weights.bomb,
        of_weights.claims,
        of_weights.words,
        of_weights.entries,
        m.cut,
        m.flip,
        m.block,
        m.odd,
        m.huge,
        m.no_file,
    ):
        share = 3.0 if mutate in (of_weights.run_code, m.cut) else 1.5
        made.append(Plan(f"best.pt {mutate.__name__}", share, mutate, "whole", "best.pt", weights))
        made.append(
            Plan(f"policy {mutate.__name__}", share / 2, mutate, "agent", "best.pt", ["policy", "play", "init"])
        )
        resealed = partial(of_weights.reseal_checkpoint, mutate=mutate)
        made.append(
            Plan(f"checkpoint {mutate.__name__}", share / 2, _with_mutate(resealed), "open", "checkpoints/*", opened)
        )
    for mutate in (m.cut, m.flip, m.block, m.odd, m.huge, m.no_file):
        made.append(Plan(f"journal {mutate.__name__}", 2, mutate, "open", "journal.sqlite", [*RUN_READERS, "repair"]))
        made.append(
            Plan(
                f"copy {mutate.__name__}", 0.7, mutate, "open", "journal.bak", ["examine", "repair", "store", "resume"]
            )
        )
        made.append(Plan(f"init.pt {mutate.__name__}", 0.4, mutate, "begun", "init.pt", ["examine", "store", "repair"]))
        for name in ("result.json", "schedule.yaml", "config.yaml"):
            readers = ["result", "journal", "verify", "report", "retrace", "examine", "repair", "store", "resume"]
            made.append(Plan(f"{name} {mutate.__name__}", 0.5, mutate, "whole", name, readers))
        made.append(Plan(f"replay.json {mutate.__name__}", 0.5, mutate, "retraced", "replay.json", ["retraced"]))
        made.append(Plan(f"probe {mutate.__name__}", 0.5, mutate, "texts", "probe.json", ["probe"]))
        made.append(Plan(f"cache {mutate.__name__}", 0.5, mutate, "texts", "cache.npz", ["cache"]))
        made.append(Plan(f"lock {mutate.__name__}", 0.3, mutate, "open", "lock", ["held", "store", "repair", "free"]))
    for mutate, share in ((m.link_beside, 3), (m.link_folder, 1), (of_journals.logs_beside, 3)):
        readers = ["journal", "report", "examine", "repair", "store", "resume", "extend", "free", "retrace"]
        made.append(Plan(f"run {mutate.__name__}", share, mutate, "open", "journal.sqlite", readers))
    made.append(Plan("run film", 0.5, m.film, "open", "journal.sqlite", ["report"]))
    made.append(
        Plan(
            "journal names_code",
            2,
            of_journals.names_code,
            "open",
            "journal.sqlite",
            ["resume", "retrace", "play", "verify", "report"],
        )
    )
    made.append(
        Plan(
            "result names_code",
            2,
            of_journals.names_code,
            "whole",
            "journal.sqlite",
            ["extend", "retrace", "play", "policy", "verify"],
        )
    )
    for mutate, share in (
        (of_journals.json_in_journal, 8),
        (of_journals.columns, 6),
        (of_journals.schema, 3),
        (of_journals.foreign, 1.5),
        (of_journals.pages_shared, 1.5),
    ):
        made.append(
            Plan(f"journal {mutate.__name__}", share, mutate, "open", "journal.sqlite", [*RUN_READERS, "repair"])
        )
        made.append(
            Plan(f"copy {mutate.__name__}", share / 6, mutate, "open", "journal.bak", ["examine", "repair", "store"])
        )
        readers = ["result", "verify", "report", "compare", "retrace", "extend", "examine", "repair"]
        made.append(Plan(f"finished {mutate.__name__}", share / 4, mutate, "whole", "journal.sqlite", readers))
    for run, name, readers in (
        (
            "whole",
            "result.json",
            ["result", "verify", "report", "compare", "retrace", "play", "resume", "examine", "repair"],
        ),
        ("retraced", "replay.json", ["retraced"]),
        ("texts", "probe.json", ["probe"]),
    ):
        for mutate, share in ((m.json_file, 2), (m.json_wild, 1)):
            made.append(Plan(f"{name} {mutate.__name__}", share, mutate, run, name, readers))
    for mutate, share in ((m.yaml_wild, 3), (m.by_hand, 3)):
        made.append(
            Plan(
                f"schedule {mutate.__name__}",
                share,
                mutate,
                "whole",
                "schedule.yaml",
                ["schedule", "retrace", "result", "verify"],
            )
        )
    made.append(
        Plan("config yaml_wild", 0.5, m.yaml_wild, "whole", "config.yaml", ["resume", "report", "examine", "repair"])
    )
    made.append(Plan("lock text_line", 0.7, m.text_line, "open", "lock", ["held", "store", "examine", "free"]))
    made.append(Plan("cache arrays", 1, of_weights.arrays, "texts", "cache.npz", ["cache"]))
    return made


def _with_mutate(resealed: Any) -> Any:
    def mutate(folder: Path, name: str, rng: random.Random) -> None:
        resealed(folder, name, rng=rng)

    mutate.__name__ = resealed.keywords["mutate"].__name__
    return mutate


@dataclass(frozen=True)
class Case:
    """A plan with the seed of its random choices."""

    plan: Plan
    seed: int

    def __str__(self) -> str:
        return f"{self.plan.name} {self.seed}"

    @property
    def readers(self) -> list[str]:
        """Two of the plan's readers, in turn."""
        all_of = self.plan.readers
        return list(dict.fromkeys(all_of[(2 * self.seed + i) % len(all_of)] for i in range(2)))


def cases(count: int) -> list[Case]:
    """``count`` cases, every plan at least once, as their shares say; of each plan a part after another, so that a
    study that is broken off has seen all of them."""
    if not count:
        return []
    made = plans()
    total = sum(plan.share for plan in made)
    chosen = [Case(plan, seed) for plan in made for seed in range(max(1, round(count * plan.share / total)))]
    return sorted(chosen, key=lambda case: case.seed // 10)
