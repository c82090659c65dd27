"""Every setting with edge values, wrong types and a misspelt name, and random pairs: it runs, or says why in one line.

    python tests/stress/settings_sweep.py            every case, then ten of them as commands in a shell
    python tests/stress/settings_sweep.py --quick    a part of them, under a minute
    python tests/stress/settings_sweep.py --only algo=fire --show refused    what people get to read

The cases come from the settings' own declarations (``settings_cases.py``). Each is a command line of
``firerl.launch`` in a child forked from this process, which has imported everything, with limits on time and memory:
two rounds on the quadratic, or of the learner that the setting belongs to. Runs that would be long are composed and
checked only. A case has *run* (exit code 0, nothing on stderr, no learner failed but by diverging), or it is *refused*
(exit code 2, one line that names the setting and what is allowed); anything else is a defect: a traceback, a hang, or
unclear. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")

from settings_cases import LEARNERS, Case, cases, pairs, settings

if TYPE_CHECKING:
    from firerl.config.run_config import RunConfig

SECONDS = 240  # of a case, by the clock: a shared machine may be slow
CPU_SECONDS = 30
MEMORY = 16 << 30  # bytes of addresses
LONG = 1_000  # evaluations of all workers, from which on a run is only composed
ALLOWED = re.compile(r"must|allowed|arguments:|nearest|did you mean|give|needs|only|takes no|cannot|smallest")
ROUNDED = re.compile(r"steps=\d+ is not at a ready: ")  # a note, no error
DIVERGED = re.compile(
    r"evaluate\(\) returned (nan|-?inf)|training diverged|^ModelledFailure|as failure_rate", re.MULTILINE
)
VERDICTS = ("ran", "refused", "traceback", "hang", "unclear")


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: Case
    verdict: str  # one of VERDICTS
    text: str  # the line that a person reads, or what is wrong
    code: int | None = None


def exercise(config: RunConfig) -> None:
    """Train a learner for a moment: libraries import parts of themselves only then."""
    from firerl.config.configured_learner import usual_values
    from firerl.config.learners import find_learner
    from firerl.evolution.space import Space

    learner = find_learner(config.learner)
    network = learner(config.settings, usual_values(Space.parse(config.space), config.settings), 0, "cpu")
    network.train(config.eval_interval)
    network.evaluate(0)
    network.load(**network.state())


@contextmanager
def warmed(chosen: Sequence[Case]) -> Iterator[None]:
    """All that these cases need is imported and made once, for the children to inherit: the groups' composition."""
    import firerl.agents.actor_critic.learner
    import firerl.agents.classifier.learner
    import firerl.api
    import firerl.commands.launch
    import firerl.engine.local.local
    import firerl.engine.simulated.simulated_engine
    import firerl.envs.mujoco_vector
    import firerl.loggers.tensorboard
    import firerl.session.controller
    import firerl.session.watching.view  # noqa: F401
    from firerl.config import compose
    from firerl.config.request import resolve
    from firerl.engine.threads import one_thread
    from firerl.errors import FirerlError

    one_thread()
    inner = compose.compose_groups
    known = cache(lambda groups: inner(dict(groups)))
    compose.compose_groups = lambda groups: deepcopy(known(tuple(sorted(groups.items()))))
    keys = [(case, [argument.partition("=")[0] for argument in case.arguments]) for case in chosen]
    lines = {tuple(a for a, k in zip(c.arguments, key, strict=True) if k not in c.names) for c, key in keys}
    lines |= {tuple(a for a, k in zip(c.arguments, key, strict=True) if k in compose.GROUPS) for c, key in keys}
    try:
        for line in lines:
            with suppress(FirerlError):
                resolve(compose.compose(line))
        learners = {argument for case in chosen if case.real for argument in case.arguments}
        for name in (name for name in LEARNERS if f"learner={name}" in learners):
            exercise(resolve(compose.compose([f"{key}={value}" for key, value in LEARNERS[name].items()])))
        yield
    finally:
        compose.compose_groups = inner


def judge(case: Case, code: int | None, out: str, err: str, failures: str) -> Outcome:
    """The verdict on what a command left. ``code`` None: it had to be killed."""
    lines = [line for line in err.splitlines() if line.strip() and not ROUNDED.match(line)]
    if code is None:
        return Outcome(case, "hang", f"no end after {SECONDS} s")
    if "Traceback" in out + err:
        return Outcome(case, "traceback", (lines or [""])[-1], code)
    if code == 2:
        text = lines[0] if lines else "(nothing)"
        one = len(lines) == 1 and text.startswith("firerl: ")
        named = any(_named(key, text) for key in (*case.names, *(a.partition("=")[0] for a in case.arguments)))
        return Outcome(case, "refused" if one and named and ALLOWED.search(text) else "unclear", text, code)
    broken = [text for text in failures.split("\n\n") if text.strip() and not DIVERGED.search(text)]
    if broken:
        return Outcome(case, "unclear", f"a learner failed: {broken[0].strip().splitlines()[-1]}", code)
    if code == 1 and failures and len(lines) == 1 and "no healthy member is left" in lines[0]:
        return Outcome(case, "ran", f"all diverged: {lines[0]}", code)
    if code or lines:
        return Outcome(case, "unclear", f"exit code {code}: {(lines or [''])[-1]}", code)
    if case.must_refuse:
        return Outcome(case, "unclear", "accepted", code)
    return Outcome(case, "ran", "", code)


def _named(key: str, text: str) -> bool:
    """Whether a line names this setting: ``space.lr: uniform needs ...`` does, ``unknown environment`` does (env).

    A conflict may name the other setting of the command line.
    """
    return all(part in text for part in key.removeprefix("learner.").split("."))


def in_a_fork(case: Case, folder: Path) -> Outcome:
    """Do one case in a child process, and judge what it leaves in ``folder``, which is emptied before."""
    _empty(folder)
    child = os.fork()
    if child == 0:
        os._exit(_child(case, folder))
    code = _wait(child, time.monotonic() + SECONDS)
    found = [path.read_text() for path in folder.rglob("failures.log")]
    read = [(folder / name).read_text(errors="replace") for name in ("out.txt", "err.txt")]
    return judge(case, code, *read, "\n\n".join(found))


def as_a_command(case: Case, folder: Path) -> Outcome:
    """The same in a shell's way: a new interpreter that imports and composes for itself."""
    _empty(folder)
    line = [sys.executable, "-m", "firerl.launch", *_arguments(case)]
    try:
        ended = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=4 * SECONDS)
    except subprocess.TimeoutExpired:
        return judge(case, None, "", "", "")
    found = [path.read_text() for path in folder.rglob("failures.log")]
    return judge(case, ended.returncode, ended.stdout, ended.stderr, "\n\n".join(found))


def _empty(folder: Path) -> None:
    """A new folder in an empty one, so that run_dir=../x leaves nothing for the next case."""
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)


def _arguments(case: Case) -> list[str]:
    own = any(argument.startswith("run_dir=") for argument in case.arguments)
    return [*case.arguments, *([] if own else ["run_dir=run"]), *([] if case.real else ["--cfg"])]


def _child(case: Case, folder: Path) -> int:
    """The child's life: its exit code."""
    os.setsid()
    os.chdir(folder)
    for name, descriptor in (("out.txt", 1), ("err.txt", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = (open(descriptor, "w", closefd=False) for descriptor in (1, 2))  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    from firerl.commands import launch

    try:
        arguments = _arguments(case)
        code = launch.main([*arguments, *(["--cfg"] if case.real and _is_long(arguments) else [])])
    except BaseException:
        traceback.print_exc()
        code = 70
    with suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _is_long(arguments: Sequence[str]) -> bool:
    """Whether this run would take more than a moment. A line that is refused is no run at all."""
    from firerl.commands.launch import configs_of
    from firerl.config.compose import compose

    try:
        configs = configs_of(compose(arguments))
    except Exception:
        return False
    workers = sum(sum(c.sizes) + c.evaluators for c in configs)
    most = max(c.steps // c.eval_interval for c in configs)
    return workers * most > LONG or max(c.steps for c in configs) > 10 * LONG


def _wait(child: int, until: float) -> int | None:
    """The exit code; None where the child had to be killed."""
    pause = 0.002
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what it may have left
            code = os.waitstatus_to_exitcode(status)
            return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: runs of a moment are mostly fsync elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        pictures(Path(folder) / "pictures")
        yield Path(folder) / "outer" / "case"


def pictures(folder: Path) -> None:
    """The smallest set of images in folders that can be trained on: two classes."""
    from PIL import Image

    for part, count in (("train", 4), ("val", 2)):
        for shade, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (16, 16), (100 * shade + number,) * 3).save(folder / part / name / f"{number}.png")


def all_cases(quick: bool, seed: int = 0) -> list[Case]:
    """Every case; ``quick``: two of each setting, one of them to be refused, of few environments, and 20 pairs.

    Agents take seconds to build: of theirs a quick sweep checks the command line only.
    """
    rng, swept = random.Random(seed), settings()
    with warmed([]):
        both = pairs(swept, 20 if quick else 100, seed, works)
    if not quick:
        return [case for s in swept for case in cases(s)] + both
    env = [s for s in swept if s.group.startswith("env=")]
    chosen = []
    for s in [*(s for s in swept if s not in env), *rng.sample(env, 5)]:
        made = cases(s)
        for refused in (False, True):
            if fit := [case for case in made if case.must_refuse == refused]:
                case = rng.choice(fit)
                slow = any(a.partition("=")[0] == "engine" and a.endswith("local") for a in case.arguments)
                slow |= any(f"learner={name}" in case.arguments for name in ("vmpo", "ppo", "classifier"))
                chosen.append(replace(case, real=case.real and not slow))
    return chosen + both


def works(line: Sequence[str]) -> bool:
    """Whether this command line is a run."""
    from firerl.commands.launch import configs_of
    from firerl.config.compose import compose
    from firerl.errors import FirerlError

    try:
        return bool(configs_of(compose(line)))
    except FirerlError:
        return False


def sweep(chosen: Sequence[Case], tell: Callable[[int, Outcome], None] = lambda done, outcome: None) -> list[Outcome]:
    """The outcomes of these cases, in order."""
    outcomes = []
    with warmed(chosen), scratch() as folder:
        for done, case in enumerate(chosen, start=1):
            outcomes.append(in_a_fork(case, folder))
            tell(done, outcomes[-1])
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a group."""
    groups = dict.fromkeys(outcome.case.group for outcome in outcomes)
    lines = [f"{'group':22}{'cases':>7}" + "".join(f"{verdict:>11}" for verdict in VERDICTS)]
    for group in [*groups, "all"]:
        counts = Counter(o.verdict for o in outcomes if group in (o.case.group, "all"))
        numbers = "".join(f"{counts[verdict]:11,}" for verdict in VERDICTS)
        lines.append(f"{group:22}{sum(counts.values()):7,}{numbers}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two cases a setting, 20 pairs")
    parser.add_argument("--only", default="", help="groups whose name contains this; several by commas")
    parser.add_argument("--show", choices=VERDICTS, action="append", default=[], help="print these outcomes too")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    chosen = [case for case in all_cases(arguments.quick, arguments.seed) if any(part in case.group for part in only)]
    begun = time.monotonic()

    def tell(done: int, outcome: Outcome) -> None:
        if outcome.verdict not in ("ran", "refused") or outcome.verdict in arguments.show:
            print(f"{outcome.verdict}: {outcome.case}: {outcome.text}", flush=True)
        if sys.stderr.isatty() or done % 200 == 0:
            left = (time.monotonic() - begun) / done * (len(chosen) - done)
            print(f"\r{done} of {len(chosen)} cases, {left:.0f} s left ", end="", file=sys.stderr, flush=True)

    outcomes = sweep(chosen, tell)
    commands = [] if arguments.quick else random.Random(arguments.seed).sample(chosen, min(10, len(chosen)))
    with scratch() as folder:
        for case in commands:
            outcomes.append(as_a_command(case, folder))
            print(f"as a command: {outcomes[-1].verdict}: {case}: {outcomes[-1].text}", flush=True)
    print(f"\n\n{table(outcomes)}\n")
    counts = Counter(outcome.verdict for outcome in outcomes)
    plural = {"traceback": "tracebacks", "hang": "hangs"}
    figures = {plural.get(verdict, verdict): counts[verdict] for verdict in VERDICTS}
    print(json.dumps({"cases": len(outcomes), **figures, "seconds": round(time.monotonic() - begun, 1)}))
    return int(any(counts[verdict] for verdict in VERDICTS[2:]))


if __name__ == "__main__":
    sys.exit(main())
