"""The one line that ``launch`` prints before a long run on ImageNet's folders: what it will cost at the speed here.

Read speed and step time are measured in some seconds, apart from each other: the one with readers on all cores, the
other with one worker in one process of the real engine on blank images. ``python -m firerl.plan`` measures members on
the real data for longer, and says how long the run takes on so many processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from firerl.base.cores import usable_cores
from firerl.config.learners import find_learner
from firerl.config.run_config import RunConfig
from firerl.engine import devices
from firerl.engine.interface import Advance, Create, LearnerSpec, Outcome
from firerl.errors import FirerlError

FEW = 200_000  # images: a run of no more is over soon
CPU_BATCH = 16  # images at once on a CPU, whose time an image hardly depends on it
SECONDS = 3.0  # for each of the two


@dataclass(frozen=True)
class Images:
    """How many images a run takes, all workers together, if none of them fails or rests."""

    train: int  # read and trained on
    evaluated: int
    read: int  # in all: objective images that are kept in memory are read once by each process


@dataclass(frozen=True)
class Speeds:
    """What was measured."""

    read: float  # images a second
    cores: int  # that read them
    train: float  # seconds of the network an image
    evaluate: float  # and where it is only looked at


def line(config: RunConfig, say: Callable[[str], None] = lambda text: None) -> str | None:
    """What the run will cost; None where it is short or reads no folders. Takes some seconds, longer on a CPU."""
    data = config.settings.get("data")
    if config.learner != "classifier" or not isinstance(data, Mapping) or data.get("name") != "imagenet":
        return None
    images = images_of(config, config.engine.processes or usable_cores())
    if images.read <= FEW:
        return None
    say("measuring for some seconds what this run will cost")
    try:
        return text(config, images, measure(config))
    except Exception as error:  # the run itself will tell what is wrong, in its own words
        return f"note: what this run will cost could not be measured: {error}".splitlines()[0]


def images_of(config: RunConfig, processes: int) -> Images:
    """Counts, from the settings alone."""
    settings, data = config.settings, config.settings["data"]
    workers = sum(config.sizes) + config.evaluators
    train = workers * config.steps * settings["batch_size"]
    evaluations = workers * (config.steps // config.eval_interval)
    processes = min(processes, workers)
    kept = min(data["objective"], data["keep"] * 1_000_000 // (3 * data["size"] ** 2))
    read = train + processes * kept + evaluations * (data["objective"] - kept)
    return Images(train, evaluations * data["objective"], read)


def text(config: RunConfig, images: Images, speeds: Speeds) -> str:
    """The line."""
    size = config.settings["batch_size"]
    network = images.train * speeds.train + images.evaluated * speeds.evaluate
    return (
        f"cost: the run reads {images.read:,} images. Reading takes {_hours(images.read / speeds.read)} at the "
        f"{speeds.read:,.0f} images/s of {speeds.cores} cores here. The network takes {_hours(network)} of one "
        f"{_device(config)} at {size * speeds.train:.3g} s for a step of {size:,} images. Both speeds were measured "
        "just now; python -m firerl.plan says more"
    )


def measure(config: RunConfig) -> Speeds:
    """Read and train for some seconds. Raises whatever goes wrong."""
    from firerl.envs.images.files import speed

    read = speed.read_speed(config.settings["data"], SECONDS)
    train, evaluate = _network(config)
    return Speeds(read, usable_cores(), train, evaluate)


def _network(config: RunConfig) -> tuple[float, float]:
    """Seconds an image of training and of evaluating, by one worker of the engine alone."""
    from firerl.engine import make_engine
    from firerl.envs.images.files import speed
    from firerl.envs.images.files.listing import scan
    from firerl.session.start import initial_state_of

    settings, data = config.settings, config.settings["data"]
    part = settings["micro_batch"] or settings["batch_size"]
    learner = find_learner(config.learner)
    device = devices.of_run(config, learner)[0]
    part = min(part, CPU_BATCH) if device == "cpu" else part
    with TemporaryDirectory(prefix="firerl-cost-") as folder:
        classes = len(scan(data["root"]).train.classes)
        speed.make_blanks(Path(folder), classes)
        looked_at = min(part, classes)
        blank = {**data, "root": folder, "files": None, "objective": looked_at}
        small = learner.resolve({**settings, "data": blank, "batch_size": part, "micro_batch": None})
        values = initial_state_of(config).workers[0].hyperparameters
        engine = make_engine("local", LearnerSpec(learner, small, (device,)), 1)
        try:
            engine.create([Create(0, values, 0)])
            trained, evaluated, steps = _timed(lambda n: engine.advance([Advance(0, n, 0)], lambda outcome: None)[0])
        finally:
            engine.close()
    return trained / (steps * part), evaluated / looked_at


def _timed(advance: Callable[[int], Outcome]) -> tuple[float, float, int]:
    """Seconds of training and of one evaluation, and of how many steps; after a first one that does not count."""
    steps = 1
    while True:
        outcome = advance(steps)
        if outcome.failure is not None:
            raise FirerlError(str(outcome.traceback).splitlines()[-1])
        if steps > 1 and outcome.train_seconds > SECONDS / 2:
            return outcome.train_seconds, outcome.evaluate_seconds, steps
        steps = 2 if steps == 1 else 4 * steps


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def _device(config: RunConfig) -> str:
    kind = devices.type_of(devices.of_run(config, find_learner(config.learner))[0])
    return "core" if kind == "cpu" else f"{kind} device"  # the engine computes with one thread
