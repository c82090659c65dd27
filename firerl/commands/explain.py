"""Tell a run in sentences: ``python -m firerl.explain <run_dir> [worker=2] [step=240000] [--plot out.png] [--verify]``.

What every decision was and why, from the journal alone. ``--plot`` draws one evaluator's curve beside its child's;
``--verify`` checks the journal and replays every decision. Works while the run goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, path_argument, run_argument
from firerl.errors import SettingError, unknown

NARROW = ("worker", "step")


def main(argv: Sequence[str] | None = None) -> int:
    """Explain the run folder that the arguments name; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.explain",
        description="Tell a run in sentences, also while it goes on: who copied whom and why, what each evaluator saw, "
        "who won and where that network comes from.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    parser.add_argument(
        "narrow", nargs="*", metavar="worker=N step=N", help="tell only what concerns this worker or this step"
    )
    parser.add_argument(
        "--plot",
        type=path_argument,
        metavar="FILE",
        help="draw a verdict (.png, .svg or .pdf) with the two curves, their smooth forms and the overlap: that of "
        "worker= and step=, else the last promotion",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="check the hashes and replay every decision from the reports; exit code 1 if anything differs",
    )
    parser.add_argument("--algo", metavar="MODULE", help="the run's algorithm for --verify, if it is neither "
                        "firerl's nor of an installed package")  # fmt: skip
    arguments = parser.parse_args(argv)
    if arguments.algo:
        from firerl.base.code_names import spelled
        from firerl.config.named_code import import_given

        import_given(spelled("algo", arguments.algo), f"--algo {arguments.algo}")
    narrow = _narrow(arguments.narrow)
    if arguments.verify and (narrow or arguments.plot):
        raise SettingError("--verify checks the whole run: it takes no worker=, no step= and no --plot")
    from firerl.storage.remote.reading import local

    folder = local(arguments.run_dir, states=arguments.verify)
    if arguments.verify:
        return _verify(folder)
    for line in _lines(folder, arguments.plot, narrow):
        say(line)
    return 0


def _narrow(given: Sequence[str]) -> dict[str, int]:
    """``worker=2``, ``step=240000`` or ``step=240,000`` as numbers."""
    result = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in NARROW:
            raise unknown("argument", name, NARROW)
        if not re.fullmatch(r"\d+([,_]\d+)*", number):
            raise SettingError(f"{text}: must be a whole number, as in {name}=2")
        if name in result:
            raise SettingError(f"{text}: {name}= is given twice")
        result[name] = int(number.replace(",", ""))
    return result


def _lines(run_dir: Path, plot: Path | None, narrow: dict[str, int]) -> Iterator[str]:
    """What is told, or what was drawn. Raises RunFolderError where the journal is damaged."""
    from firerl.insight.history.history import read, reading, result_of
    from firerl.storage.journal.journal_db import Journal

    with closing(Journal.open(run_dir)) as journal, reading(run_dir):
        config, history = read(journal)
        if plot:
            from firerl.insight.explain.verdict_plot import draw, pick

            yield from draw(config, pick(config, history, **narrow), plot)
        else:
            from firerl.insight.explain.story import tell

            yield from tell(config, history, result=result_of(journal), **narrow)


def _verify(run_dir: Path) -> int:
    from firerl.insight.health.verify import verify_folder

    found = verify_folder(run_dir)
    for line in found.lines():
        say(line)
    return 1 if found.differences else 0
