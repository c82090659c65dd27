"""Everything a plan says: the probe, the forecast, and what evaluators can find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from firerl.config.learners import find_learner
from firerl.config.run_config import RunConfig
from firerl.engine import usable_cores
from firerl.engine.devices import of_run
from firerl.engine.placement import group_count, usual_processes
from firerl.insight.plan import probe as probing
from firerl.insight.plan.forecast import Forecast, forecast
from firerl.insight.plan.power import Power, case_of, power
from firerl.insight.plan.probe import Probe
from firerl.summary.in_words import plural, time_text

Say = Callable[[str], None]


@dataclass(frozen=True)
class Statistics:
    """What evaluators can find, on curves that rise as the probe's and on flat ones."""

    noise: float  # standard deviation of one evaluation, in the objective's unit
    rise: float  # of a curve between two readies, in that unit
    rising: Power
    flat: Power


@dataclass(frozen=True)
class Prospect:
    """A plan."""

    config: RunConfig
    probe: Probe
    cost: Forecast
    statistics: Statistics | None
    why_none: str  # why there are no statistics
    unkept: str = ""  # why the probe could not be written

    def to_plain(self, seeds: int = 1) -> dict[str, Any]:
        """For ``--json``."""
        cost = {**asdict(self.cost), "seconds_all_seeds": seeds * self.cost.seconds}
        plain: dict[str, Any] = {
            "task": self.config.task,
            "learner": self.config.learner,
            "algo": self.config.algo.name,
            "workers": sum(self.config.sizes) + self.config.evaluators,
            "seeds": seeds,
            "cost": cost,
            "not_counted": not_counted(self.config),
            "statistics": None,
            "why_no_statistics": self.why_none,
            "probe": {k: v for k, v in asdict(self.probe).items() if k not in ("settings", "curves", "rounds")},
        }
        if s := self.statistics:
            plain["statistics"] = {
                "noise": s.noise,
                "rise_between_readies": s.rise,
                "as_in_the_probe": asdict(s.rising),
                "flat": asdict(s.flat),
            }
        return plain


def prospect(
    config: RunConfig, *, seconds: float, kept: Path | None = None, quick: bool = False, say: Say = lambda text: None
) -> Prospect:
    """Probe for so many ``seconds`` (or read the probe in the file ``kept``), play the run and single evaluations."""
    learner = find_learner(config.learner)
    workers = sum(config.sizes) + config.evaluators
    cores = usable_cores()
    devices = of_run(config, learner)
    processes = 1
    if config.engine.name != "inline":
        hosts = group_count(workers, learner.stacked_of(config.settings))  # that can have work
        processes = min(config.engine.processes or usual_processes(devices, cores), hosts)
    unkept = ""
    if kept is not None and kept.exists():
        measured = probing.scaled(probing.read(kept, config, devices[0]), config.eval_interval)
    else:
        measured = probing.probe(config, learner, min(processes, cores), seconds, say)
        if kept is not None:
            try:
                probing.write(kept, measured)
            except OSError as error:  # what was paid for with minutes of training is told all the same
                unkept = error.strerror or str(error)
    longest = longest_evaluation(config, measured)
    cost = forecast(config, measured, processes, readies=4 if quick else None, longest=longest, say=say)
    statistics, why = _statistics(config, measured, quick, say)
    return Prospect(config, measured, cost, statistics, why, unkept)


def not_counted(config: RunConfig) -> dict[str, float]:
    """What may end the run before its last step: the plan is of all steps."""
    return {f"stop.{name}": value for name, value in asdict(config.stop).items() if value is not None}


def longest_evaluation(config: RunConfig, measured: Probe) -> float:
    """How many times as long the longest possible evaluation takes: episodes grow while a policy gets better.

    1 where evaluating trains on or where the task sets no limit.
    """
    env, length = config.settings.get("env"), measured.metrics.get("episode_length")
    if not isinstance(env, Mapping) or not length:
        return 1.0
    from firerl import envs

    limit = envs.check(env["name"], env["kwargs"]).max_episode_steps
    return max(1.0, limit / length) if limit else 1.0


def _statistics(config: RunConfig, measured: Probe, quick: bool, say: Say) -> tuple[Statistics | None, str]:
    case = case_of(config)
    if case is None:
        return None, f"Nothing: algo={config.algo.name} has no evaluators in this run."
    noise, rise = measured.noise(), measured.rise()
    if noise is None or rise is None:
        return None, "Unknown: no member of the probe has enough evaluations. A larger --minutes gives them more."
    if noise == 0:
        return None, "Every difference, since the evaluations have no noise."
    evaluations = 60 if quick else 200
    say("playing evaluations")
    case = replace(case, rise=max(0.0, rise) / noise)
    rising, flat = power(case, evaluations), power(replace(case, rise=0.0), evaluations)
    return Statistics(noise, rise * case.per_ready, rising, flat), ""


def table(found: Prospect, seeds: int = 1) -> list[str]:
    """For people."""
    config, measured, processes = found.config, found.probe, found.cost.processes
    workers = sum(config.sizes) + config.evaluators
    lines = [
        f"Plan of {config.task}: algorithm {config.algo.name}, learner {config.learner}, {workers} workers in "
        f"{plural(processes, 'process', 'processes')}, {config.steps:,} steps for each worker",
        f"  measured      {plural(measured.members, 'member')} trained for {len(measured.rounds)} evaluations each, in "
        f"{plural(measured.processes, 'process', 'processes')}.",
        "                They began with fresh networks, so all figures are of early training.",
    ]
    if processes > measured.processes:
        lines.append(
            f"  assumed       The run has {processes} cores. Each is as fast as one of the {measured.processes} here "
            "while all of these are busy."
        )
    elif processes < measured.processes:
        lines.append(
            f"  assumed       A core is as fast as one of the {measured.processes} of the probe while all of these are "
            "busy. Alone it may be faster."
        )
    if stops := not_counted(config):
        given = " or ".join(f"{name}={value:g}" for name, value in stops.items())
        lines.append(f"  not counted   {given} may end the run early. The plan counts all steps.")
    return [*lines, "", *_cost_lines(found, seeds), "", *_statistics_lines(found)]


def _cost_lines(found: Prospect, seeds: int) -> list[str]:
    cost = found.cost
    lines = ["What the run will cost", f"  duration      {time_text(cost.seconds)}"]
    if seeds > 1:
        lines[-1] += f" for a seed, {time_text(seeds * cost.seconds)} for all {seeds} seeds"
    if cost.seconds_at_most:
        lines.append(
            f"                {time_text(cost.seconds_at_most)} if every evaluated episode lasts as long as the task "
            "allows"
        )
    names = {
        "train": "training",
        "evaluate": "evaluating",
        "idle": "waiting for other workers",
        "decide": "deciding",
        "copy": "copying weights",
        "save": "saving checkpoints",
    }
    shares = [f"{name} {100 * cost.shares[part]:.1f} %" for part, name in names.items()]
    lines.append(f"  of this time  {', '.join(shares[:3])},")
    lines.append(f"                {', '.join(shares[3:])}")
    state = f"the state of one worker takes {_bytes(cost.state_bytes)}"
    lines.append(f"  disk          {_bytes(cost.disk_bytes)} at the fullest moment; {state}")
    memory = "unknown on this system" if cost.memory_bytes is None else f"{_bytes(cost.memory_bytes)} in all processes"
    lines.append(f"  memory        {memory}")
    return lines


def _statistics_lines(found: Prospect) -> list[str]:
    title = "What evaluators can find"
    s = found.statistics
    if s is None:
        return [title, f"  {found.why_none}"]
    both = (s.rising, s.flat)
    promoted = found.cost.evolution["evaluator_successes"] / found.cost.played
    one: list[tuple[str, list[str]]] = [
        ("gets at most so many points", [str(p.points) for p in both]),
        ("promotes a network that is better by 0.5", [str(p.found_half) for p in both]),
        ("promotes a network that is better by 1", [str(p.found_one) for p in both]),
        ("promotes a network that is equal", [str(p.false) for p in both]),
        ("is ended by exploit before a verdict", [str(p.replaced) for p in both]),
    ]
    every: list[tuple[str, list[str]]] = [
        ("have time for so many evaluations", [f"{p.begun:,.0f}" for p in both]),
        ("promote so often if networks are equal", [f"{p.false_promotions:,.1f}" for p in both]),
        ("promoted so often in the simulated run", [f"{promoted:,.0f}"]),
    ]
    return [
        title,
        f"  The noise of one evaluation has a standard deviation of {s.noise:.3g} (in units of the objective).",
        f"  A curve gains {s.rise:.3g} from one ready to the next.",
        "  A network that is better by 1 is better by one such standard deviation.",
        "",
        _row("One evaluator ...", ["on the probe's curves", "on flat curves"]),
        *(_row(f"  {name}", cells) for name, cells in one),
        "  All evaluators of the run ...",
        *(_row(f"  {name}", cells) for name, cells in every),
    ]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"  {name:43}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, (22, 16), strict=False))


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
