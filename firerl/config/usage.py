"""The text of ``python -m firerl.launch --help``: first lines of configs and algorithms, the settings' own help."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from firerl.base.settings import Line, describe, show
from firerl.base.terminal import say
from firerl.config.compose import choices, config_folder
from firerl.config.learners import find_learner
from firerl.config.request import Request
from firerl.config.run_config import AlgoConfig
from firerl.evolution import find
from firerl.evolution.algorithms import fire
from firerl.learner import Learner

GROUPS = {
    "env": "any Gymnasium id, as CartPole-v1 or my_pkg:MyEnv-v0; its arguments are env.kwargs.<name>=",
    "data": "the data set of learner=classifier; its settings are data.<name>=",
    "algo": "or the dotted path of a module of your own; algo=<name> --cfg prints the settings of each",
    "learner": "or the dotted path of your own Learner class, as my_pkg.my_module:Own",
    "engine": "",
    "preset": "or a file of your own, my_preset.yaml; presets count in evaluations, so that each fits every learner",
}
HEAD = """\
firerl evolves a population of learners and their hyperparameters with FIRE PBT.

Usage: python -m firerl.launch [<group>=<choice> ...] [<setting>=<value> ...]
       python -m firerl.launch resume=<run_dir> [steps=<more>] [stop.* checkpoints.* engine.* logger]
       python -m firerl.launch resume=auto run_dir=<run_dir> ...
                              starts the run, or goes on with it: one line for a queue that starts jobs again
       python -m firerl.launch config=<file> ...
                              takes settings from a YAML file, or from the folder of a run; what you type wins
       --cfg prints all settings of a run, as a file for config=, and starts nothing
       learner=<name> [env=<name>] --help lists the settings of a learner
"""
MORE = """\
  learner.<name>=                     the learner's own settings; --cfg prints them all; if the search would tune a
                                      setting, a value that you give fixes it
  space.<name>={log_uniform: [low, high]}
                                      what the search tunes, and in which range; null takes a hyperparameter out; the
                                      kinds are log_uniform, uniform, one_minus_log_uniform, integer, choice,
                                      ordered_choice
"""
EXAMPLES = """\
Examples
  python -m firerl.launch env=Humanoid
  python -m firerl.launch env=Ant algo=pbt preset=smoke run_dir=runs/try seed=[1,2,3]
  python -m firerl.launch env=CartPole-v1 population.sizes=[8,8] population.evaluators=6 engine.processes=2
  python -m firerl.launch learner=classifier data=shapes
  python -m firerl.launch learner=quadratic 'space.lr={log_uniform: [1e-4, 1]}' algo.truncation=0.2
"""


def usage() -> str:
    """The whole help text."""
    defaults = dict(re.findall(r"^  - (\w+): (\w+)", (config_folder() / "config.yaml").read_text(), re.MULTILINE))
    defaults["algo"] = AlgoConfig().name
    groups = [_group(group, remark, defaults.get(group, "")) for group, remark in GROUPS.items()]
    run = _table(describe(Request))
    algo = _table(describe(fire.Settings, "algo."))
    return "\n".join(
        [
            HEAD,
            "Groups\n" + "\n".join(groups) + "\n",
            f"Settings (default)\n{run}\n{MORE}",
            f"With algo=fire (max_eval_steps as the preset says)\n{algo}\n",
            EXAMPLES,
        ]
    ).rstrip()


def learner_usage(name: str, env: str | None = None, given: Mapping[str, Any] | None = None) -> str:
    """The settings of a learner, with the values that they have on the task ``env`` and beside those that are
    ``given``, and what the search tunes of them.

    Raises SettingError on names that are unknown.
    """
    learner = find_learner(name)
    settings = learner.resolve({**(given or {}), **({"env": env} if env else {})})
    where = f" on env={env}" if env else ""
    return "\n".join(
        [
            f"Settings of learner={name}{where} (default)",
            _table(learner_lines(learner, settings)),
            "",
            "A value that you give for what the search tunes fixes it. python -m firerl.launch --help lists the rest.",
        ]
    )


def learner_lines(learner: type[Learner], settings: Mapping[str, Any]) -> list[Line]:
    """Every setting of a learner and every hyperparameter: complete ``settings`` have the values."""
    declared = {line.name: line for line in describe(learner.Settings, "learner.")} if learner.Settings else {}
    space, own = learner.space_of(settings), learner.tunable_of(settings)
    lines = []
    for name in [*settings, *(name for name in space if name not in settings)]:
        line = declared.get(f"learner.{name}", Line(f"learner.{name}", "", "", ""))
        tuned = f"tuned: {show(space[name])}" if name in space else f"space.{name}= tunes it" if name in own else ""
        meaning = "; ".join(part for part in (line.help, tuned) if part)
        lines.append(line._replace(default=show(settings[name]) if name in settings else "", help=meaning))
    return lines


def _group(group: str, remark: str, default: str) -> str:
    lines = [f"  {group}=  {remark}".rstrip()]
    for choice in choices(group):
        mark = " (default)" if choice == default else ""
        lines.append(f"    {choice:24}{_summary(group, choice)}{mark}")
    return "\n".join(lines)


def _summary(group: str, choice: str) -> str:
    """What a choice is, in the words of the first line of its file."""
    if group == "algo":
        return find.summary(choice)
    return (config_folder() / group / f"{choice}.yaml").read_text().partition("\n")[0].removeprefix("# ")


def _table(lines: list[Line]) -> str:
    """One setting a line: name and default, then unit and meaning."""
    shown = []
    for line in lines:
        name = f"  {line.name}={'' if line.default in ('', 'null') else line.default}"
        meaning = f"{line.help} [{line.unit}]" if line.unit else line.help
        indented = textwrap.wrap(meaning, width=80, initial_indent="", subsequent_indent=" " * 38)
        gap = f"{name:37} " if len(name) < 38 else f"{name}\n{' ' * 38}"
        shown.append(gap + "\n".join(indented))
    return "\n".join(shown)


REFERENCE = """\
# Settings

All settings of a run, of the algorithms and of the learners, with their defaults. `python -m firerl.config.usage`
writes this page from the code. On the command line `python -m firerl.launch --help` prints the first two parts, and
`python -m firerl.launch learner=vmpo env=Ant --help` prints a learner's settings on one task.

*tuned* gives the range that a run searches unless you say otherwise. Where a meaning ends in *space.<name>= tunes it*,
you may add the setting to the search space. A number that depends on the task is that of the learner's default task.
"""


def reference() -> str:
    """Every setting as a page of Markdown."""
    parts = [REFERENCE, "## The run\n", _markdown(describe(Request)), "## Algorithms\n"]
    for name in choices("algo"):
        lines = describe(find.algorithm(name).Settings, "algo.")
        parts += [f"### algo={name}\n", find.summary(name) + "\n", _markdown(lines) if lines else ""]
    parts.append("## Learners\n")
    for name in choices("learner"):
        learner = find_learner(name)
        settings = learner.resolve({})
        parts += [f"### learner={name}\n", _markdown(learner_lines(learner, settings))]
        if tasks := getattr(learner, "tasks", None):
            parts += ["What the tasks change of it:\n", _tasks(tasks)]
    return "\n".join(parts).rstrip()


def _markdown(lines: list[Line]) -> str:
    heads = ["setting", "default", "unit", "meaning"]
    rows = [[f"`{line.name}`", f"`{line.default}`" if line.default else "", line.unit, line.help] for line in lines]
    return _rows(heads, rows)


def _tasks(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a setting that a task changes, a column a task."""
    names = list(dict.fromkeys(name for task in tasks.values() for name in task))
    rows = [[f"`{name}`", *(show(task[name]) if name in task else "" for task in tasks.values())] for name in names]
    return _rows(["learner.", *tasks], rows)


def _rows(heads: list[str], rows: list[list[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


if __name__ == "__main__":
    say(*reference().split("\n"))
