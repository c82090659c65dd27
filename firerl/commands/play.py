"""Let the winner of a run play: ``python -m firerl.play <run_dir> [--episodes 5] [--video out.mp4]``.

A run that goes on is read without disturbing it: its best member at the last generation plays.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.base.terminal import say
from firerl.commands import Parser, guarded, path_argument, run_argument
from firerl.config.named_code import MODEL, MODULE, import_named
from firerl.errors import FirerlError
from firerl.winner import film
from firerl.winner.network import Network, build, load, weights_of_a_file

if TYPE_CHECKING:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Play what the arguments ask for; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.play",
        description="Episodes of the winner of a run, with the mean action; of an unfinished run, of its best member "
        "so far.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    parser.add_argument("--episodes", type=_positive, default=5, metavar="N", help="how many (5)")
    parser.add_argument("--seed", type=_natural, default=0, help="of the environments (0)")
    parser.add_argument("--video", type=path_argument, metavar="OUT.mp4", help="film these episodes (.webp, .gif: a "
                        "small moving picture); needs pip install 'firerl[video]' and, on a headless machine, EGL or "
                        "OSMesa")  # fmt: skip
    parser.add_argument("--best-ever", action="store_true", help="the best smoothed objective at any ready instead of "
                        "the winner at the end")  # fmt: skip
    add_code(parser)
    arguments = parser.parse_args(argv)
    arguments.typed = sys.argv[1:] if argv is None else list(argv)
    _play(arguments)
    return 0


def add_code(parser: argparse.ArgumentParser) -> None:
    """The options that give code again which a run may not name."""
    parser.add_argument("--learner", metavar="MODULE.CLASS", help="the learner's class, where the run's own is neither "
                        "firerl's nor of an installed package")  # fmt: skip
    parser.add_argument("--env", metavar="MODULE:ID", help="the environment, likewise")
    parser.add_argument("--data", metavar="MODULE:NAME", help="the data set, likewise")
    parser.add_argument("--learner.model", dest="model", metavar="MODULE:NAME", help="the network, likewise")
    parser.add_argument("--learner.module", dest="module", metavar="MODULE:CLASS", help="the LightningModule, likewise")


def import_given_again(arguments: argparse.Namespace) -> None:
    """What ``add_code`` has read, but for the learner. Raises SettingError."""
    given = {"env": arguments.env, "data": arguments.data, MODEL: arguments.model, MODULE: arguments.module}
    for role, name in given.items():
        if name:
            import_named(role, name)


def _play(arguments: argparse.Namespace) -> None:
    video = arguments.video and arguments.video.absolute()  # a learner may change the current directory
    if arguments.video:
        film.check(arguments.video)
        film.choose_renderer()  # before anything imports mujoco, which reads the choice once
    import_given_again(arguments)
    network = load(arguments.run_dir, arguments.best_ever)
    from firerl.engine.host.descendants import contained
    from firerl.engine.host.global_generators import Generators

    with (
        contained(),
        Generators(arguments.seed).live(),
    ):  # an environment that draws from them plays the same every time
        learner = build(network, arguments.learner, f"python -m firerl.play {shlex.join(arguments.typed)}")
        say(network.headline())
        with weights_of_a_file(network):
            _episodes(arguments, network, learner, video)


def _episodes(arguments: argparse.Namespace, network: Network, learner: Any, video: Path | None) -> None:
    if not callable(getattr(learner, "episodes", None)):
        if arguments.video:
            raise FirerlError(f"learner {network.learner} has no episodes: there is nothing to film")
        say(f"evaluate({arguments.seed}) = {learner.evaluate(arguments.seed)}")
        for name, value in learner.report(arguments.seed).items():
            say(f"report({arguments.seed}): {name} = {value}, on data that the search did not see")
        say(f"learner {network.learner} has no episodes to play")
        return
    if video:
        episodes = film.film(learner, network.settings, arguments.episodes, arguments.seed, video)
    else:
        episodes = learner.episodes(arguments.episodes, arguments.seed, mean=True)
    played = []
    for number, (value, length) in enumerate(episodes, start=1):
        say(f"episode {number:>3}  return {value:>12.3f}  length {length:>6}")
        played.append((value, length))
    returns, lengths = zip(*played, strict=True)
    say(f"mean         return {statistics.fmean(returns):>12.3f}  length {statistics.fmean(lengths):>8.1f}")
    if arguments.video:
        say(f"film         {arguments.video}")


def _positive(text: str) -> int:
    return _at_least(text, 1)


def _natural(text: str) -> int:
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number >= {least}")
    return int(text)
