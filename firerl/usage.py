"""The text of ``python -m firerl.launch --help``: first lines of configs and algorithms, the settings' own help."""

from __future__ import annotations

import re
import textwrap

from firerl.compose import choices, config_folder
from firerl.config import AlgoConfig
from firerl.evolution import find, fire
from firerl.request import Request
from firerl.settings import Line, describe

GROUPS = {
    "env": "any Gymnasium id, as CartPole-v1 or my_pkg:MyEnv-v0; its arguments are env.kwargs.<name>=",
    "data": "of learner=classifier; its settings are data.<name>=",
    "algo": "or the dotted path of a module of your own; algo=<name> --cfg prints the settings of each",
    "learner": "or the dotted path of your own Learner class, as my_pkg.my_module.Own",
    "engine": "",
    "preset": "counts in evaluations, so that each fits every learner",
}
HEAD = """\
firerl evolves a population of learners and their hyperparameters with FIRE PBT.

Usage: python -m firerl.launch [<group>=<choice> ...] [<setting>=<value> ...]
       python -m firerl.launch resume=<run_dir> [steps=<more>] [stop.* checkpoints.* engine.* logger]
       python -m firerl.launch resume=auto run_dir=<run_dir> ...
                              starts it, goes on with it if it has begun: one line for a queue that starts jobs again
       --cfg prints all settings of a run and starts nothing; --version; --help
"""
MORE = """\
  learner.<name>=                     the learner's own settings; --cfg prints them all; a value of what would be tuned
                                      fixes it
  space.<name>={log_uniform: [low, high]}
                                      what is tuned and where; null takes a hyperparameter out; kinds: log_uniform,
                                      uniform, one_minus_log_uniform, integer, choice, ordered_choice
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
