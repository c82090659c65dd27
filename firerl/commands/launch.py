"""The command that starts and resumes runs: ``python -m firerl.launch env=Humanoid``. See ``--help``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from firerl import __version__
from firerl.base.settings import convert_field, show
from firerl.base.terminal import say
from firerl.commands import INTERRUPTED, guarded
from firerl.config.compose import FILE, compose, read, split
from firerl.config.request import SECTIONS, Request, resolve, rounded_line
from firerl.config.run_config import RunConfig, to_plain
from firerl.errors import SettingError, unknown

if TYPE_CHECKING:
    from firerl.session.start import Ended

AUTO = "resume=auto"
KNOWN = (*SECTIONS, FILE, "resume")
OPTIONS = ("--help", "-h", "--version", "--cfg")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _main(arguments), runs=True)


def _main(arguments: list[str]) -> int:
    options = [argument for argument in arguments if argument.startswith("-")]
    for option in options:
        if option not in OPTIONS:
            raise unknown("option", option, OPTIONS)
    if "--help" in options or "-h" in options:
        return _help([argument for argument in arguments if argument not in options])
    if "--version" in options:
        say(f"firerl {__version__}")
        return 0

    given = [argument for argument in arguments if argument not in options]
    for argument in split(given):
        if argument.key.partition(".")[0] not in KNOWN:
            raise unknown("setting", argument.key, KNOWN)
    auto = AUTO in given
    if auto:
        given.remove(AUTO)
        if not any(argument.startswith("run_dir=") for argument in given):
            raise SettingError(f"{AUTO} needs run_dir=<folder>: where this line begins its run and finds it again")
    if any(argument.startswith("resume=") for argument in given):
        if options:
            raise SettingError("--cfg shows a new run; the settings of this one are in config.yaml of its folder")
        if any(argument.startswith("config=") for argument in given):
            raise SettingError(
                "config= describes a new run; the settings of the one that resume= names are in its folder"
            )
        changes = read(given)
        _say_that_it_begins()
        return _resume(changes.pop("resume"), changes.pop("local_dir", None), changes, given)
    if not options:
        _say_that_it_begins()
    tree = compose(given)
    configs = configs_of(tree)
    if line := rounded_line(tree.get("steps"), configs[0]):
        say(line, error=True)
    if options:
        return _print_configs(configs)
    if not (auto and _begun(configs[0])):
        _foretell(configs[0])  # the same for all seeds
    codes = []
    for config in configs:
        codes.append(_go_on(config) if auto and _begun(config) else _start(config))
        if codes[-1] not in (0, 1):  # a population that died does not keep the other seeds from running
            break
    return max(codes)


def _say_that_it_begins() -> None:
    """What comes next takes seconds: a person should see that something goes on."""
    if sys.stdout.isatty():
        say("reading the settings, loading the learner")


def _help(given: list[str]) -> int:
    """Print the help text: of all, or of the learner that is given."""
    from firerl.config.configured_learner import named
    from firerl.config.usage import learner_usage, usage

    typed = read(given)
    (learner, own), (env, _) = named("learner", typed.get("learner"), "-"), named("env", typed.get("env"), "-")
    text = usage() if learner == "-" else learner_usage(learner, None if env == "-" else env, own)
    say(*text.split("\n"))
    return 0


def configs_of(tree: Mapping[str, Any]) -> list[RunConfig]:
    """One checked config, or one for every seed of a list, each with a folder of its own."""
    given = tree.get("seed", 0)
    if not isinstance(given, list):
        return [resolve(tree)]
    seeds = [convert_field(Request, "seed", seed) for seed in given]
    if not seeds or len(set(seeds)) < len(seeds):
        raise SettingError(f"seed={show(given)}: must be an integer or a list of different integers")
    run_dir = resolve({**tree, "seed": seeds[0]}).run_dir  # decided once: it may hold the time
    return [resolve({**tree, "seed": seed, "run_dir": f"{run_dir}/seed-{seed}"}) for seed in seeds]


def _foretell(config: RunConfig) -> None:
    """Say what the run will cost."""
    from firerl.insight.plan import cost

    if said := cost.line(config, lambda text: say(text, error=True)):
        say(said)


def _begun(config: RunConfig) -> bool:
    """Whether the folder of this run holds a journal."""
    from firerl.storage.remote.home import is_begun

    return is_begun(config.run_dir)


def _go_on(config: RunConfig) -> int:
    """Go on with the run that the same line has begun: resume=auto."""
    from firerl.session.start import go_on

    return _interruptible(config.run_dir, config.local_dir, lambda: go_on(config, progress=True), _on(config))


def _start(config: RunConfig) -> int:
    """Run to the end. The only place that starts a run from the command line."""
    from firerl.session.start import start

    return _interruptible(config.run_dir, config.local_dir, lambda: start(config, progress=True), _on(config))


def _on(config: RunConfig) -> str:
    """What to type to go on with this run."""
    from firerl.storage.remote.upload import resume_line

    return resume_line(config.run_dir, config.local_dir, config)


def _resume(run_dir: str, local_dir: str | None, changes: Mapping[str, Any], typed: Sequence[str]) -> int:
    """Go on to the end. The only place that resumes a run from the command line."""
    from firerl.config import named_code
    from firerl.session.start import resume_run

    given, rest = named_code.split_given(changes)
    line = named_code.settings_line(f"python -m firerl.launch {shlex.join(typed)}")

    def act() -> Ended:
        return resume_run(run_dir, rest, progress=True, given=given, line=line, local_dir=local_dir)

    again = shlex.join(["python", "-m", "firerl.launch", *typed])  # what it changes is kept with the next generation
    return _interruptible(run_dir, local_dir, act, again)


def _interruptible(run_dir: str, local_dir: str | None, action: Callable[[], Ended], line: str) -> int:
    """Exit code 0, 1 where nobody was ranked, or after Ctrl-C 130, what is kept, and the ``line`` that goes on."""
    since = time.time()

    def act() -> int:
        try:
            return 0 if action().ranked else 1
        except KeyboardInterrupt:
            from firerl.session import standing
            from firerl.storage.remote.home import folder_of

            folder = folder_of(run_dir, local_dir)
            begun = (folder / "journal.sqlite").exists()
            on = f". Go on with: {line}" if begun else ""
            say("", f"firerl: {standing.kept(folder, since)}{on}", error=True)
            return INTERRUPTED

    return guarded(act, runs=True)


def _print_configs(configs: Sequence[RunConfig]) -> int:
    from omegaconf import OmegaConf

    text = "---\n".join(OmegaConf.to_yaml(to_plain(config)) for config in configs)
    say(*text.rstrip("\n").split("\n"))
    return 0
