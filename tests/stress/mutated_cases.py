"""Which files ``mutated_files.py`` spoils in which way, and who reads them then."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, update_wrapper
from pathlib import Path

import mutations as m
import mutations_checkpoint as of_weights
import mutations_journal as of_journals
from mutations import Mutate

CHANGES = ("store", "resume", "extend", "repair", "retrace", "report", "retraced", "cache", "held", "free")
RUN_READERS = [
    "journal",
    "history",
    "explain",
    "verify",
    "report",
    "watch",
    "compare",
    "examine",
    "play",
    "store",
    "resume",
]
BYTES = (m.cut, m.flip, m.block, m.odd, m.huge, m.no_file)
WEIGHTS = {  # shares: pickles and truncations first
    of_weights.run_code: 3.0, m.cut: 3.0,
    **dict.fromkeys((of_weights.heads, of_weights.claims, of_weights.words, of_weights.entries), 1.5),
    **dict.fromkeys((m.flip, m.block, m.odd, m.huge, m.no_file), 1.5),
}  # fmt: skip
ROWS = {
    of_journals.json_in_journal: 8.0, of_journals.columns: 6.0, of_journals.schema: 3.0, of_journals.foreign: 1.5,
    of_journals.pages_shared: 1.5,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One kind of case: a mutation of a file of a run, and who reads it then."""

    name: str
    share: float
    mutate: Callable[[Path, str, random.Random], None]
    run: str
    file: str
    readers: list[str]


def plans() -> list[Plan]:
    """All kinds, with their shares of the cases."""
    return [*_weights(), *_journals(), *_texts()]


def _each(
    kind: str, shares: Mapping[Mutate, float], run: str, file: str, readers: str, factor: float = 1
) -> list[Plan]:
    """A plan for each mutation; ``readers`` in one word each."""
    return [
        Plan(f"{kind} {mutate.__name__}", factor * share, mutate, run, file, readers.split())
        for mutate, share in shares.items()
    ]


def _weights() -> list[Plan]:
    resealed = {}
    for mutate, share in WEIGHTS.items():
        resealed[update_wrapper(partial(of_weights.reseal_checkpoint, mutate), mutate)] = share
    return [
        *_each("best.pt", WEIGHTS, "whole", "best.pt", "checkpoint best result init play"),
        *_each("policy", WEIGHTS, "agent", "best.pt", "policy play init", 0.5),
        *_each("checkpoint", resealed, "open", "checkpoints/*", "play store resume extend examine repair", 0.5),
        *_each("init.pt", dict.fromkeys(BYTES, 0.4), "begun", "init.pt", "examine store repair"),
    ]


def _journals() -> list[Plan]:
    file, every = "journal.sqlite", " ".join([*RUN_READERS, "repair"])
    links = {m.link_beside: 3.0, m.link_folder: 1.0, of_journals.logs_beside: 3.0}
    names = {of_journals.names_code: 2.0}
    readers = "journal report watch examine repair store resume extend free retrace"
    finished = "result verify report compare retrace extend examine repair"
    return [
        *_each("journal", dict.fromkeys(BYTES, 2.0), "open", file, every),
        *_each("copy", dict.fromkeys(BYTES, 0.7), "open", "journal.bak", "examine repair store resume"),
        *_each("run", links, "open", file, readers),
        *_each("run", {m.film: 0.5}, "open", file, "report"),
        *_each("journal", names, "open", file, "resume retrace play verify report"),
        *_each("result", names, "whole", file, "extend retrace play policy verify"),
        *_each("journal", ROWS, "open", file, every),
        *_each("copy", ROWS, "open", "journal.bak", "examine repair store", 1 / 6),
        *_each("finished", ROWS, "whole", file, finished, 1 / 4),
    ]


def _texts() -> list[Plan]:
    few, json = dict.fromkeys(BYTES, 0.5), {m.json_file: 2.0, m.json_wild: 1.0}
    readers = "result journal verify report watch retrace examine repair store resume"
    results = "result verify report compare retrace play resume examine repair"
    yaml = {m.yaml_wild: 3.0, m.by_hand: 3.0}
    return [
        *_each("result.json", few, "whole", "result.json", readers),
        *_each("schedule.yaml", few, "whole", "schedule.yaml", readers),
        *_each("config.yaml", few, "whole", "config.yaml", readers),
        *_each("replay.json", {**few, **json}, "retraced", "replay.json", "retraced"),
        *_each("probe.json", {**few, **json}, "texts", "probe.json", "probe"),
        *_each("cache", {**few, of_weights.arrays: 1.0}, "texts", "cache.npz", "cache"),
        *_each("lock", dict.fromkeys(BYTES, 0.3), "open", "lock", "held store repair free"),
        *_each("lock", {m.text_line: 0.7}, "open", "lock", "held store examine free"),
        *_each("result.json", json, "whole", "result.json", results),
        *_each("schedule", yaml, "whole", "schedule.yaml", "schedule retrace result verify"),
        *_each("config", {m.yaml_wild: 0.5}, "whole", "config.yaml", "resume report examine repair"),
    ]


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
