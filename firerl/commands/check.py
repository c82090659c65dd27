"""Try a learner's contract: ``python -m firerl.check my_module.MyLearner [env=... learner.<setting>=...]``.

One line a check, then what its calls cost. Exit code 1 if a check fails: it says what, why it matters, and the usual
mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from firerl.base.terminal import say
from firerl.commands import Parser, guarded

if TYPE_CHECKING:
    from firerl.config.run_config import RunConfig
    from firerl.insight.check.contract import Costs, Finding, Subject
    from firerl.learner import Learner

POPULATION = 22  # workers: the paper's smaller population
NAME_WIDTH = 17
LEAST_UNITS = 5  # of the learner's granularity: both parts of a check take several calls' worth of steps
LONGER = "the learner trains longer than that, across several intervals"


def main(argv: Sequence[str] | None = None) -> int:
    """Check the learner that the arguments name; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.check",
        description="Try with real training whether a learner keeps its contract: one seed gives one result, a resume "
        "in a new process goes on the same, evaluate() changes nothing, weights carry over, hyperparameters take "
        "effect, states are plain data, and NaN is reported. Then say the time and the bytes of each call. The exit "
        "code is 1 if a check fails.",
    )
    parser.add_argument("learner", help="a short name (vmpo, quadratic) or a dotted path: my_module.MyLearner")
    parser.add_argument("settings", nargs="*", metavar="<setting>=<value>", help="as launch takes them: env=Hopper "
                        "learner.num_envs=4 space.lr={uniform: [0, 1]} seed=1; eval_interval=<steps> says how "
                        "far it trains")  # fmt: skip
    arguments = parser.parse_args(argv)

    from firerl.config.compose import compose
    from firerl.config.learners import find_learner
    from firerl.config.request import resolve

    name = arguments.learner.removeprefix("learner=")
    config = resolve(compose([f"learner={name}", *arguments.settings]))
    return check(find_learner(config.learner), config)


def check(learner: type[Learner], config: RunConfig) -> int:
    """Print what the checks find of this learner, with these settings; returns the exit code."""
    from firerl.engine.host.descendants import contained
    from firerl.insight.check.contract import examine

    subject = subject_of(learner, config)
    say(f"{learner.__name__}: {config.task}, {subject.first} + {subject.second} steps, seed {config.seed}")
    if subject.first + subject.second > config.eval_interval:
        say(f"eval_interval={config.eval_interval} is too short for a check, so {LONGER}")
    findings = []
    with contained():
        for finding in examine(subject):
            say(*lines(finding))
            findings.append(finding)
    if costs := subject.known.get("costs"):
        say(*cost_lines(costs, config))
    say(verdict(findings))
    return 1 if any(finding.passed is False for finding in findings) else 0


def verdict(findings: Sequence[Finding]) -> str:
    """The last line."""
    broken = [finding.check for finding in findings if finding.passed is False]
    if broken:
        return f"{len(broken)} of the checks failed: {', '.join(broken)}"
    untried = [finding.check for finding in findings if finding.passed is None]
    return f"all checks passed, but one was not tried: {', '.join(untried)}" if untried else "all checks passed"


def subject_of(learner: type[Learner], config: RunConfig) -> Subject:
    """The learner on trial: together one evaluation interval, in two parts of about 2 : 3.

    An interval that is shorter than the learner's own, and so short that hardly anything can show in it, is not enough.
    """
    from firerl.engine import devices
    from firerl.evolution.space import Space
    from firerl.insight.check.contract import Subject

    unit = int(learner.granularity_of(config.settings))
    own = int(learner.eval_interval_of(config.settings))
    enough = LEAST_UNITS if config.eval_interval >= LEAST_UNITS * unit else max(LEAST_UNITS, own // unit)
    units = max(enough, config.eval_interval // unit)
    first = max(1, units * 2 // 5)
    space = Space.parse(config.space)
    device = devices.of_run(config, learner)[0]
    devices.prepare(device, config.engine.deterministic)
    steps = (first * unit, (units - first) * unit)
    return Subject(learner, config.settings, space, *steps, seed=config.seed, device=device)


def lines(finding: Finding) -> list[str]:
    """A finding as printed."""
    word = {True: "ok", False: "FAIL", None: "-"}[finding.passed]
    told = [f"{word:5} {finding.check:{NAME_WIDTH}}{' '.join(finding.text.split())}"]
    if finding.passed is False:
        told += [f"{'':6}{'why it matters':{NAME_WIDTH}}{finding.why}", f"{'':6}{'mend':{NAME_WIDTH}}{finding.mend}"]
    return told


def cost_lines(costs: Costs, config: RunConfig) -> list[str]:
    """What the calls cost, and what that means for a population."""
    from firerl.engine import usable_cores
    from firerl.summary.in_words import time_text

    cores = min(usable_cores(), POPULATION)
    interval = costs.train * config.eval_interval / costs.steps + costs.evaluate
    share = POPULATION / cores
    evaluations = config.steps // config.eval_interval
    readies = config.steps // config.ready_interval
    saving = readies * share * costs.state / max(1e-9, evaluations * share * interval + readies * share * costs.state)
    size = costs.weights_bytes + costs.stream_bytes
    total = time_text(share * (evaluations * interval + readies * costs.state))
    return [
        f"cost  {'one worker':{NAME_WIDTH}}build {_seconds(costs.build)}, train {costs.steps:,} steps "
        f"{_seconds(costs.train)} ({costs.steps / max(1e-9, costs.train):,.0f} a second), evaluate "
        f"{_seconds(costs.evaluate)}, state {_seconds(costs.state)}, load {_seconds(costs.load)}; weights "
        f"{_bytes(costs.weights_bytes)}, stream {_bytes(costs.stream_bytes)}",
        f"cost  {f'{POPULATION} workers':{NAME_WIDTH}}on {cores} cores they take {_seconds(share * interval)} from one "
        f"evaluation to the next ({config.eval_interval:,} steps each) and {total} for {config.steps:,} steps each; a "
        f"ready saves {_bytes(POPULATION * size)}, which takes {100 * saving:.1f} % of the time and the disk's own",
    ]


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.2g} ms"


def _bytes(value: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
