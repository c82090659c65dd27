"""Is this journal what the run's settings and its reports give? The hash chain, the rows' order, every decision.

Two checks that need not believe each other: the chain of hashes covers every promised number, and the replay gives the
journalled reports to the algorithm again, from the first draws on, and compares what it decides. What no hash covers
(the last state, the best ever, the checkpoints' rows) is compared with the replay and with the files.

On another kind of processor, or with other library versions, the replay may differ in last digits (promise 1). Numbers
that differ by less than a billionth are counted as rounded, not as different, where a hash covers them.

``result.json`` and ``schedule.yaml`` of a finished run are compared with what the journal gives, but for the learner's
``fresh`` figures and why the run ended.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

from firerl.base.disk import untrusted
from firerl.base.settings import build
from firerl.config import named_code
from firerl.config.promised import NOT_PROMISED, together, without
from firerl.config.run_config import RunConfig, from_plain, setup_of
from firerl.errors import SettingError
from firerl.evolution import find, plain
from firerl.evolution.population import Decision, extinct
from firerl.insight.health.chain import chain, points_of
from firerl.session import results
from firerl.session.start import initial_state_of
from firerl.storage import origins
from firerl.storage.generation import BestEver, Generation, Point, better, first_hash, holders
from firerl.storage.journal.journal_db import Journal, Rows, check_name, is_whole, reading, spare

ROUNDING = 1e-9  # relative


@dataclass
class Findings:
    """What was checked, and everything that differs, one line each."""

    generations: int = 0
    reports: int = 0
    decisions: int = 0
    hash: str = ""
    rounded: int = 0  # numbers that the replay gives with other last digits
    differences: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The findings as text; the first line says how it went."""
        what = f"{self.generations:,} generations, {self.reports:,} reports, {self.decisions:,} decisions"
        numbers = "1 number" if self.rounded == 1 else f"{self.rounded:,} numbers"
        rounded = f"{numbers} rounded otherwise here than where it ran" if self.rounded else ""
        if not self.differences:
            return [", ".join(filter(None, (f"verified: {what}", f"hash {self.hash}", rounded)))]
        return [f"not verified: of {what}, these differ:", *self.differences, *filter(None, [rounded])]


def verify_folder(run_dir: Path) -> Findings:
    """Check a run folder, finished or not. Raises RunFolderError where there is no readable journal, SettingError where
    the algorithm cannot be imported."""
    journal = Journal.open(run_dir)
    try:
        while True:
            with reading(run_dir):
                rows = journal.rows()
                found = verify(rows)
                wrong = list(_files(rows, run_dir / "checkpoints"))
                if not found.differences:  # else it is told where they come from
                    wrong += _results(rows, run_dir)
                if wrong and journal.hashes()[-1][0] != rows.generations[-1][0]:
                    continue  # the run went on meanwhile, and those files are gone or new
                found.differences += wrong
                return found
    finally:
        journal.close()


def verify(rows: Rows) -> Findings:
    """Check the journal's rows. Raises SettingError where the algorithm cannot be imported, ValueError, TypeError,
    LookupError on what is no JSON of ours."""
    points, misplaced = points_of(rows)
    reports, decisions = len(rows.reports), len(rows.decisions)
    found = Findings(len(rows.generations) - 1, reports, decisions, rows.generations[-1][2])
    promised, settings = _settings(rows, found)
    found.differences += misplaced
    found.differences += chain(rows, points, promised)
    try:
        config = from_plain(settings)
        there = len(plain.state_from_plain(plain.loads(rows.meta["initial_state"])).workers)
        if sum(config.sizes) + config.evaluators != there:
            found.differences.append(f"the settings are of another population than the first one, of {there:,} workers")
            return found
        command = f"python -m firerl.explain {shlex.quote(config.run_dir)} --verify"
        named_code.check({"algo": config.algo.name}, named_code.options_line(command))
        algorithm = find.algorithm(config.algo.name)
        replay = _Replay(config, algorithm, found)
    except SettingError as error:
        if not found.differences:
            raise
        found.differences.append(f"the decisions cannot be replayed: {error}")
        return found
    replay.run(rows, points)
    return found


def _settings(rows: Rows, found: Findings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The promised settings as they lie there, and the settings to replay with: those that the first hash fits."""
    promised, config = dict(plain.loads(rows.meta["promised"])), dict(plain.loads(rows.meta["config"]))
    usual = dict(plain.loads(rows.meta["usual"]))
    own = {key: value for key, value in config.items() if key not in NOT_PROMISED}
    own["settings"] = without(own["settings"], [str(name) for name in usual.pop("aside")])
    whole = together(promised, usual)
    for path, a, b in _differing(plain.encode(whole), plain.encode(own)):
        found.differences.append(f"settings: {path} is {_show(a)} as promised and {_show(b)} in the config")
    first = first_hash(promised, plain.state_from_plain(plain.loads(rows.meta["initial_state"])))
    return promised, {**config, **whole} if first == rows.generations[0][2] else config


class _Replay:
    """The run once more, from its settings and the journalled reports."""

    def __init__(self, config: RunConfig, algorithm: ModuleType, found: Findings):
        self.config, self.algorithm, self.found = config, algorithm, found
        self.setup = setup_of(config)
        self.settings = build(algorithm.Settings, config.algo.settings, "algo.")
        self.state = initial_state_of(config)
        self.decided: list[Decision] = []  # at the last point
        self.best: BestEver | None = None
        self.died = False

    def run(self, rows: Rows, points: Mapping[int, Sequence[Point]]) -> None:
        """Compare all that the journal holds with what the algorithm gives."""
        first = plain.parsed(rows.meta["initial_state"])
        self._compare("the first population", first, self.state)
        for number, step, _, text, best in rows.generations:
            before = len(self.found.differences)
            inside = points.get(number, [])
            if not all(self._point(point) for point in inside):
                left = sum(len(p) for n, p in points.items() if n >= number)
                self.found.differences.append(f"the {left:,} evaluation points of this generation on: not replayed")
                return
            if inside:
                self._ready(number, step, inside)
                self.best = better(self.best, self.state, self.decided, partial(_name, number))
            if len(self.found.differences) > before and number == rows.generations[-1][0]:
                continue  # what a generation keeps follows from what it decided
            self._kept(number, text, best, last=number == rows.generations[-1][0])

    def _kept(self, number: int, text: str | None, best: str | None, last: bool) -> None:
        """The state and the best ever that the last generation keeps, and maybe some before it."""
        if not last and text is None:
            if best is not None:
                self.found.differences.append(f"generation {number} keeps a best ever and no state")
            return
        exact = not self.found.rounded
        self._compare(f"the state of generation {number}", plain.parsed(text or "null"), self.state, exact)
        self._compare(f"the best ever at generation {number}", plain.parsed(best or "null"), self.best, exact)

    def _ready(self, number: int, step: int, points: Sequence[Point]) -> None:
        if not self.config.sync:
            if len(points) != 1 or len(points[0].reports) != 1:
                self.found.differences.append(f"generation {number} is not one report, as with sync=false")
            return
        if step % self.setup.ready_interval and not self.died:
            every = f"every {self.setup.ready_interval:,} steps"
            self.found.differences.append(f"generation {number} is at step {step:,}, a ready is {every}")

    def _point(self, point: Point) -> bool:
        """Decide once more; False where the rules cannot."""
        step = max(report.step for report in point.reports)
        self._reporters(point, step)
        try:
            self.state, self.decided = self.algorithm.decide(self.setup, self.settings, self.state, point.reports)
        except Exception as error:  # anybody's code, on anybody's numbers
            what = f"{type(error).__name__}: {error}"
            self.found.differences.append(f"step {step:,}: the rules cannot take these reports: {what}")
            return False
        self.died = extinct(self.state)
        taken, rules = (_keyed(all) for all in (point.decisions, self.decided))
        for key in {**taken, **rules}:
            self._decision(step, taken.get(key), rules.get(key))
        if list(taken) != list(rules) and taken.keys() == rules.keys():
            self.found.differences.append(f"step {step:,}: the decisions stand in another order than they are taken in")
        return True

    def _reporters(self, point: Point, step: int) -> None:
        """Whoever reports has trained one evaluation interval."""
        workers = {w.id: w for w in self.state.workers}
        for report in point.reports:
            worker = workers.get(report.worker)
            expected = None if worker is None else worker.step + self.setup.eval_interval
            if expected is not None and report.step != expected:
                self.found.differences.append(
                    f"step {step:,}: worker {report.worker} reports at step {report.step:,}, its next is {expected:,}"
                )

    def _decision(self, step: int, taken: Mapping[str, Any] | None, rules: Mapping[str, Any] | None) -> None:
        if rules is None or taken is None:
            what = f"the journal has {_told(taken)}, the rules do not" if taken else f"the rules give {_told(rules)}, "
            self.found.differences.append(f"step {step:,}: {what if taken else what + 'the journal has it not'}")
            return
        self._compare(f"step {step:,}: {taken['kind']} of worker {taken['worker']}", taken, rules)

    def _compare(self, what: str, stored: Any, replayed: Any, exact: bool = False) -> None:
        """Note one line where a stored value is not the replayed one."""
        real = []
        for path, a, b in _differing(stored, plain.encode(replayed)):
            if not exact and _rounded(a, b):
                self.found.rounded += 1
            else:
                real.append((path, a, b))
        if real:
            path, a, b = real[0]
            more = f" ({len(real) - 1:,} more)" if len(real) > 1 else ""
            where = f"{path} is " if path else "it is "
            line = f"{what}: {where}{_show(a)} in the journal, {_show(b)} by the rules{more}"
            self.found.differences.append(line)


def _keyed(decisions: Sequence[Any]) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Decisions as fields, in order, by what and whom they concern."""
    result: dict[tuple[str, int, int], dict[str, Any]] = {}
    for decision in decisions:
        kind, fields = plain.decision_kind(decision), plain.encode(decision)
        again = sum(key[:2] == (kind, decision.worker) for key in result)
        result[kind, decision.worker, again] = {"kind": kind, **fields}
    return result


def _told(fields: Mapping[str, Any] | None) -> str:
    """A decision in few words."""
    assert fields is not None
    names = ("donor", "parent", "child", "reason", "failure")
    rest = [f"{name} {fields[name]}" for name in names if fields.get(name) is not None]
    return ", ".join([f"{fields['kind']} of worker {fields['worker']}", *rest])


def _differing(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: (path, one, the other)."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from _differing(a.get(key), b.get(key), f"{path}.{key}" if path else key)
    elif isinstance(a, list) and isinstance(b, list):
        for index, (one, other) in enumerate(zip_longest(a, b)):
            yield from _differing(one, other, f"{path}[{index}]")
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield path, a, b


def _rounded(a: Any, b: Any) -> bool:
    return isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=ROUNDING)


def _show(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _name(generation: int, worker: int) -> str:
    return f"g{generation:06d}-w{worker}.pt"


def _files(rows: Rows, folder: Path) -> Iterator[str]:
    """The checkpoint rows that are not those of the last generation (or of the best ever), or not of their files."""
    number = rows.generations[-1][0]
    kept = {plain.loads(row[4])["file"] for row in rows.generations if row[4]}
    for name in sorted(kept - {row[0] for row in rows.checkpoints}):
        yield f"checkpoint {name} of the best ever has no row"
    whole = {row[0] for row in rows.generations if row[3]}
    if plain.loads(rows.meta["config"]).get("sync", True):
        yield from _unlisted(rows, number)
        held = {row[0] for row in rows.checkpoints if row[2] in whole}
    else:
        held = _needed(rows, whole)
        for name in sorted(held - {row[0] for row in rows.checkpoints}):
            if not name.startswith("g000000-"):  # of a learner that could not be built, maybe
                yield f"checkpoint {name} has no row"
    for name, worker, generation, size, sha256 in rows.checkpoints:
        own = _name(generation, worker)
        if not (name == own and (name in held or name in kept)) and not (name == spare(own) and own in kept):
            yield f"checkpoint {name} is filed under worker {worker} and generation {generation}"
        check_name(name)
        try:
            length, found = (folder / name).stat().st_size, untrusted.digest(folder / name)
        except (OSError, ValueError) as error:
            yield f"checkpoint {name} cannot be read: {getattr(error, 'strerror', None) or error}"
            continue
        if length != size:
            yield f"checkpoint {name} has {length:,} bytes, {size:,} in the journal"
        elif found != sha256:
            yield f"checkpoint {name} is not the one that was saved"


def _needed(rows: Rows, generations: set[int]) -> set[str]:
    """The files that an asynchronous run goes on from at these generations."""
    found = origins.first(plain.state_from_plain(plain.loads(rows.meta["initial_state"])))
    needed = set(origins.needed(found)) if 0 in generations else set()
    for number, points in points_of(rows)[0].items():
        for point in points:
            for report in point.reports:
                found = origins.follow(found, number, report, point.decisions)
        if number in generations:
            needed |= origins.needed(found)
    return needed


def _unlisted(rows: Rows, number: int) -> Iterator[str]:
    """The checkpoints of the last generation, of a synchronous run, that have no row."""
    state = plain.state_from_plain(plain.loads(rows.meta["initial_state"]))
    points = [point for inside in points_of(rows)[0].values() for point in inside]
    listed = {worker for _, worker, generation, _, _ in rows.checkpoints if generation == number}
    for worker in sorted(holders(state, points) - listed) if number else ():
        yield f"checkpoint {_name(number, worker)} has no row"


def _of_before(rows: Rows, run_dir: Path) -> bool:
    """Whether ``result.json`` is whole and of the run as it was before it went on, or before a repair took it back: a
    run that has not ended replaces it at its end."""
    try:
        told = untrusted.read_json(run_dir / "result.json")
        digests = plain.loads(rows.meta.get("results", "{}"))
        ours = is_whole(run_dir / "result.json", digests["result.json"])
        return ours and told["hash"] != rows.generations[-1][2]
    except (OSError, ValueError, TypeError, LookupError):
        return False


def _results(rows: Rows, run_dir: Path) -> Iterator[str]:
    """What ``result.json`` and ``schedule.yaml`` say and the journal does not, if the run has finished."""
    if not (run_dir / "result.json").exists():
        return
    config = from_plain(plain.loads(rows.meta["config"]))
    state = plain.state_from_plain(plain.loads(rows.meta["initial_state"]))
    points = [point for inside in points_of(rows)[0].values() for point in inside]
    number, step, digest, text, best = rows.generations[-1]
    if _of_before(rows, run_dir):
        return
    last = plain.state_from_plain(plain.loads(text or ""))
    ever = None if best is None else plain.made(BestEver, plain.loads(best))
    generation = Generation(number, step, digest, last, points[-1].decisions if points else [], {}, ever)
    told = results.told(config, state, [d for point in points for d in point.decisions], generation)
    if told is None:
        yield "result.json is there, and no healthy member is left in P1"
        return
    readers: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]]
    readers = {
        "result.json": (untrusted.read_json, told.result),
        "schedule.yaml": (untrusted.read_yaml, told.schedule),
    }
    for name, (read, expected) in readers.items():
        try:
            found = read(run_dir / name)
        except (OSError, ValueError) as error:
            yield f"{name} cannot be read: {' '.join(str(getattr(error, 'strerror', None) or error).split())}"
            continue
        if isinstance(found, dict) and name == "result.json":
            found = {key: value for key, value in found.items() if key not in results.NOT_TOLD}
        for path, a, b in _differing(found, json.loads(json.dumps(plain.encode(expected)))):
            if not _rounded(a, b):
                yield f"{name}: {path or 'it'} is {_show(a)}, {_show(b)} by the journal"
