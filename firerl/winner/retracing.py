"""Retrace: fresh networks trained with the schedule that a run found, and what they are worth.

The winner of a search is also the luckiest of its networks. What its *schedule* is worth shows on networks of other
seeds that follow it from scratch, looked at on data that the search never saw (Dalibard & Jaderberg 2021, section 4).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firerl.base.disk import files, untrusted
from firerl.base.paths import expanded
from firerl.base.settings import build, convert
from firerl.base.settings import plain as plain_settings
from firerl.config.learners import completed, find_again, is_homeless
from firerl.config.named_code import DOORS, call_line, check_run
from firerl.config.request import changed
from firerl.config.run_config import MAX_SEED, USUAL_LOGGERS, AlgoConfig, RunConfig, setup_of, to_plain, window_of
from firerl.errors import RunFolderError, SettingError
from firerl.evolution import plain
from firerl.evolution.algorithms import retrace as algorithm
from firerl.evolution.exploit import objective_fitness
from firerl.learner import Learner
from firerl.session.start import resume_run, start
from firerl.session.watching.progress import Observer
from firerl.storage.journal.recorded_config import config_of
from firerl.storage.remote.address import is_remote
from firerl.storage.remote.reading import local
from firerl.summary.figure_names import ranked_by
from firerl.winner.network import weights_of

FILE = "replay.json"


@dataclass(frozen=True)
class Network:
    """One network that followed the schedule, or the winner itself."""

    objective: float | None  # None: it failed, or nothing was reported
    fresh: Mapping[str, float]  # what the learner's ``report`` says, on data that the search did not see
    failure: str | None = None


@dataclass(frozen=True)
class Retrace:
    """Fresh networks beside the winner whose schedule they followed."""

    run_dir: Path  # of the retrace
    seed: int
    networks: Sequence[Network]
    winner: Network | None  # None: the run goes on, or the schedule is another than its own
    measure: str = "objective"  # what the networks' objectives are

    @property
    def objectives(self) -> list[float]:
        """Those of the networks that have one."""
        return [network.objective for network in self.networks if network.objective is not None]


def retrace(
    run_dir: str | Path,
    learner: type[Learner] | None = None,
    *,
    seed: int | None = None,
    seeds: int = 1,
    schedule: str | Path | Sequence[Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    engine: str | None = None,
    processes: int | None = None,
    devices: str | Sequence[str] | None = None,
    address: str | None = None,
    init: str | None = None,
    progress: bool = True,
    observer: Observer | None = None,
    line: Callable[[Mapping[str, str]], str] | None = None,
) -> Retrace:
    """Train ``seeds`` fresh networks side by side with the schedule of the run in ``run_dir``.

    ``seed`` (the run's plus 1) decides their first weights and their data; ``schedule`` is a file like
    ``schedule.yaml`` or its rows, for one edited by hand. They are a run with ``algo=retrace`` in a folder of its own,
    ``out`` (``<run_dir>-replay-seed<seed>``), with a ``replay.json``; the same call goes on with one that was
    interrupted. ``engine``, ``processes`` and ``devices`` are the run's own if not given; the ``address`` of a Ray
    cluster, and of weights that the run began with (``init``), must be given where the run has one.
    A ``learner`` that no name leads to must be handed in again; ``line`` makes what to type of what is missing.

    Raises RunFolderError without a run or a schedule, SettingError on a schedule that cannot be followed,
    PopulationDied if all networks fail.
    """
    from firerl.storage.journal.journal_db import Journal

    if out is not None and is_remote(out):
        raise SettingError(f"out={out}: must be a local folder")
    folder = local(run_dir)
    with closing(Journal.open(folder)) as journal:
        origin = config_of(journal)
    own_seed = origin.seed + 1 if seed is None else convert("seed", seed, int, {"min": 0, "max": MAX_SEED})
    beside = Path("runs") if is_remote(run_dir) else folder.parent
    where = Path(expanded(out, "out")) if out is not None else beside / f"{folder.resolve().name}-replay-seed{own_seed}"
    rows, source = _rows(folder, schedule, run_dir)
    config = _config(origin, rows, source, own_seed, convert("seeds", seeds, int, {"min": 1}), where)
    given = {"name": engine, "processes": processes, "devices": devices, "address": address}
    config = changed(config, {"engine": {key: value for key, value in given.items() if value is not None}})
    config = config if init is None else replace(config, init=init)
    call = f"firerl.retrace({str(run_dir)!r}, learner=<class>)"
    typed = {name for name, value in (("engine.address", address), ("init", init)) if value is not None}
    if learner is not None or is_homeless(config.learner):
        typed.add("learner")
    check_run(config, typed, line or call_line(call, "address={!r}"), {door.typed for door in DOORS})
    learner = find_again(config.learner, call, learner)
    config = replace(config, settings=completed(learner, config.settings))
    if (where / "journal.sqlite").exists():
        _check_same(where, config)
        changes = {"engine": plain_settings(config.engine)}
        resume_run(where, changes, learner, progress=progress, observer=observer)
    else:
        start(config, learner, progress=progress, observer=observer)
    best = _winner(folder) if schedule is None else None
    result = Retrace(where, own_seed, _networks(where, config, learner), best, ranked_by(window_of(config)))
    told = {"seed": own_seed, "steps": config.steps, "hash": _hash(where), "winner": result.winner}
    told |= {"networks": result.networks, "schedule": rows}
    files.write(where / FILE, json.dumps(plain.encode(told), indent=1).encode())
    return result


def _rows(
    folder: Path, schedule: str | Path | Sequence[Mapping[str, Any]] | None, run_dir: str | Path
) -> tuple[list[Any], str]:
    """The rows of a schedule, and what to call it. Raises RunFolderError, SettingError."""
    if schedule is not None and not isinstance(schedule, str | Path):
        return _checked(plain_settings(schedule), "schedule"), "schedule"
    path = folder / "schedule.yaml" if schedule is None else Path(expanded(schedule, "schedule"))
    if not path.exists():
        if schedule is not None:
            raise SettingError(f"schedule={path}: there is no such file")
        raise RunFolderError(
            f"{run_dir} holds no schedule yet: the run has not finished; go on with it (resume={run_dir}) or give a "
            "schedule=<file>"
        )
    try:
        content = untrusted.read_yaml(path)
    except ValueError as error:
        raise SettingError(f"{path} is not YAML: {error}") from error
    return _checked(content.get("schedule") if isinstance(content, Mapping) else content, str(path)), str(path)


def _checked(rows: Any, source: str) -> list[Any]:
    listed = isinstance(rows, Sequence) and not isinstance(rows, str)
    if not listed or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise SettingError(f"{source}: must be a list of rows, each with from, to and hyperparameters")
    return list(rows)


def _config(origin: RunConfig, rows: list[Any], source: str, seed: int, seeds: int, out: Path) -> RunConfig:
    """The run that follows the schedule, on the origin's task. Raises SettingError."""
    dimensions = {d.name: d for d in setup_of(origin).space.dimensions}
    rows = [_with_numbers(row, {name: d.kind for name, d in dimensions.items()}) for row in rows]
    first = rows[0].get("hyperparameters")
    values = {name: d.draw(0.5) for name, d in dimensions.items()}
    if isinstance(first, Mapping):
        values |= {name: value for name, value in first.items() if name in values and dimensions[name].contains(value)}
    window = int(origin.algo.settings.get("fitness_window", 1))
    settings = {"hyperparameters": values, "schedule": rows, "fitness_window": window}
    try:
        built = build(algorithm.Settings, settings, "algo.")
        blank = replace(origin, sizes=(seeds,), evaluators=0, seed=seed)
        algorithm.validate(setup_of(blank), built)
    except SettingError as error:
        raise SettingError(str(error).replace("algo.schedule", source)) from error
    end = int(rows[-1]["to"])
    return replace(
        blank,
        algo=AlgoConfig("retrace", plain_settings(built)),
        steps=end,
        ready_interval=math.gcd(end, origin.ready_interval),  # nobody exploits: it only says when states are saved
        run_dir=str(out),
        stop=type(origin.stop)(),
        sync=True,  # nobody needs the others' reports, nobody would wait less
        logger=tuple(name for name in origin.logger if name in USUAL_LOGGERS),  # others are not asked
    )


def _with_numbers(row: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """YAML reads 3e-4, as people write it, as a text."""

    def number(name: str, value: Any) -> Any:
        if not isinstance(value, str) or kinds.get(name, "choice") in ("choice", "ordered_choice"):
            return value
        try:
            return float(value)
        except ValueError:
            return value

    values = row.get("hyperparameters")
    if not isinstance(values, Mapping):
        return dict(row)
    return {**row, "hyperparameters": {name: number(name, value) for name, value in values.items()}}


def _check_same(where: Path, config: RunConfig) -> None:
    """Raise RunFolderError where the folder holds another run than this one."""
    from firerl.storage.journal.journal_db import Journal

    with closing(Journal.open(where)) as journal:
        there, wanted = journal.config(), plain.loads(plain.dumps(to_plain(config)))
    other = [name for name, value in wanted.items() if name not in ("engine", "logger", "run_dir")]
    other = [name for name in other if there.get(name) != wanted[name]]
    if other:
        names = ", ".join({"algo": "schedule", "sizes": "seeds"}.get(name, name) for name in other)
        raise RunFolderError(f"{where} holds another run already, with a different {names}: give out=<another folder>")


def _networks(where: Path, config: RunConfig, learner: type[Learner]) -> list[Network]:
    """What became of every network; those reported on before are read from replay.json."""
    from firerl.session.fresh import Reporter
    from firerl.storage.store import Store

    if (where / FILE).is_file():
        try:
            told = plain.decode(untrusted.read_json(where / FILE))
            if told["hash"] == _hash(where):
                return [_network(network) for network in told["networks"]]
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise RunFolderError(f"{where / FILE} is damaged: {error}; remove it: it is written anew") from error
    networks = []
    with Store.open(where) as store, Reporter(config, learner, store) as reporter:
        generation = store.last()
        failures = {r.worker: r.failure for point in store.journal().points() for r in point.reports if r.failure}
        for worker in generation.state.workers:
            if worker.failed:
                networks.append(Network(None, {}, failures.get(worker.id)))
                continue
            if worker.id not in generation.files:
                raise RunFolderError(f"{where} holds no checkpoint of worker {worker.id}")
            weights = weights_of(store.journal(), generation.files[worker.id].name)
            objective = objective_fitness(worker, int(config.algo.settings["fitness_window"]))
            networks.append(Network(objective, reporter.figures(worker.hyperparameters, weights)))
    return networks


def _hash(where: Path) -> str:
    from firerl.storage.journal.journal_db import Journal

    with closing(Journal.open(where)) as journal:
        return journal.last().hash


def _winner(folder: Path) -> Network | None:
    from firerl.storage.journal.journal_db import Journal

    with closing(Journal.open(folder)) as journal:
        figures = journal.result()
    return None if figures is None else _network({name: figures[name] for name in ("objective", "fresh")})


def _network(fields: Any) -> Network:
    """A network from plain data. Raises ValueError, TypeError, LookupError."""
    network = Network(**fields)
    numbers = [value for value in (network.objective, *network.fresh.values()) if value is not None]
    if not all(type(value) in (int, float) for value in numbers):
        raise ValueError("its figures are no numbers")
    return network


def table(result: Retrace) -> list[str]:
    """The networks and the winner, one a line, their figures in columns; below them what the networks have in
    common."""
    named = [(f"network {index}", network) for index, network in enumerate(result.networks)]
    rows = named + ([("winner", result.winner)] if result.winner else [])
    names = list(dict.fromkeys(name for _, network in rows for name in network.fresh))
    cells = [["", result.measure, *names]]
    for title, network in rows:
        objective = network.failure or _text(network.objective)
        cells.append([title, objective, *(_text(network.fresh.get(name)) for name in names)])
    if len(result.objectives) > 1:
        columns = [result.objectives, *([n.fresh[m] for n in result.networks if m in n.fresh] for m in names)]
        cells.insert(1 + len(named), ["mean +- sd", *map(_spread, columns)])
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in cells]


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return f"{mean:.5g} +- {deviation:.2g}"
