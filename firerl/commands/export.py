"""Write the winner's network as an ONNX file: ``python -m firerl.export <run_dir> --onnx out.onnx``.

The file takes observations (images) as the task gives them to mean actions (logits): normalising and rescaling are
inside, and nothing of firerl, torch or the environment is needed to run it. Of an unfinished run, its best member so
far is written.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import logging
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl import __version__
from firerl.base.disk import files
from firerl.base.terminal import say
from firerl.commands import Parser, guarded, path_argument, run_argument
from firerl.commands.play import add_code, import_given_again
from firerl.errors import FirerlError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHECKED = 256  # inputs that the file is tried with before it appears
TOLERANCE = 1e-5  # largest allowed difference, where outputs are numbers and no choices; of the largest beyond 1


def main(argv: Sequence[str] | None = None) -> int:
    """Export what the arguments ask for; returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m firerl.export",
        description="The winner of a run as an ONNX file, from observations to mean actions (of a classifier: from "
        "images to logits); of an unfinished run, its best member so far. Needs pip install 'firerl[onnx]'.",
    )
    parser.add_argument("run_dir", type=run_argument, help="the folder of the run, or its address")
    parser.add_argument("--onnx", type=path_argument, required=True, metavar="OUT.onnx", help="the file to write")
    parser.add_argument("--best-ever", action="store_true", help="the best smoothed objective at any ready instead of "
                        "the winner at the end")  # fmt: skip
    add_code(parser)
    arguments = parser.parse_args(argv)
    arguments.typed = sys.argv[1:] if argv is None else list(argv)
    check_output(arguments.onnx)
    _export(arguments)
    return 0


def _export(arguments: argparse.Namespace) -> None:
    from firerl.config.learners import completed, find_again, find_learner, is_homeless
    from firerl.config.named_code import check, learner_names, options_line
    from firerl.winner.network import load
    from firerl.winner.policy import module_of

    onnx = arguments.onnx.absolute()  # a learner may change the current directory
    import_given_again(arguments)
    network = load(arguments.run_dir, arguments.best_ever)
    command = f"python -m firerl.export {shlex.join(arguments.typed)}"
    names = learner_names(network.learner, network.settings)
    if arguments.learner or is_homeless(network.learner):
        del names["learner"]
    check(names, options_line(command))
    given = find_learner(arguments.learner) if arguments.learner else None
    learner = find_again(network.learner, f"{command} --learner <its module>.<class>", given)
    say(network.headline())
    facts = learner.facts_of(completed(learner, network.settings)) if network.facts is None else network.facts
    module: Any = module_of(network.learner, network.settings, network.weights, facts, learner).eval()
    metadata: dict[str, Any] = {
        "firerl_version": __version__,
        "task": network.task,
        "learner": network.learner,
        "network_step": network.step,
        "objective": network.objective,
        "input_shape": list(module.input_shape),
        **({"classes": list(module.classes)} if hasattr(module, "classes") else {}),
    }
    difference = write(module, onnx, metadata)
    taken, given = module.names
    shape = ", ".join(map(str, ["batch", *metadata["input_shape"]]))
    say(f"written      {arguments.onnx}: {taken} [{shape}] of {_type_name(module)} -> {given}")
    say(f"checked      {CHECKED} random inputs in onnxruntime: differs from torch by at most {difference:.1g}")


def check_output(path: Path) -> None:
    """Raise SettingError or FirerlError where no file could be written, before anything is loaded."""
    if path.suffix != ".onnx":
        raise SettingError(f"--onnx {path}: the name must end in .onnx")
    if not path.absolute().parent.is_dir():
        raise SettingError(f"--onnx {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise SettingError(f"--onnx {path}: this is a folder")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise FirerlError(f"--onnx needs {' and '.join(missing)}: pip install 'firerl[onnx]'")


def write(module: Any, path: Path, metadata: Mapping[str, Any]) -> float:
    """Write ``module`` (see ``Learner.module_of``), once onnxruntime agrees with torch about it; the file appears
    whole or not at all. ``metadata`` are texts, or become JSON. Returns the largest difference of the two.
    """
    data = onnx_bytes(module, metadata)
    difference, largest = largest_difference(module, data)
    if not difference <= TOLERANCE * max(1.0, largest):
        raise FirerlError(f"--onnx {path}: onnxruntime and torch differ by {difference:.1g}; nothing was written")
    files.write(path, data)
    return difference


def onnx_bytes(module: Any, metadata: Mapping[str, Any]) -> bytes:
    """``module`` as an ONNX model whose batch may have any size. Raises FirerlError on what ONNX cannot express."""
    import onnx
    import torch

    taken, given = module.names
    example = random_inputs(module, 2)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module,
                (example,),
                input_names=[taken],
                output_names=[given],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # anybody's module
        reason = " ".join(str(error).split())[:200]
        raise FirerlError(f"the network cannot be exported: {type(error).__name__}: {reason}") from error
    assert program is not None
    model = program.model_proto
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del part.metadata_props[:]  # traces that name this machine's folders
    onnx.helper.set_model_props(model, texts)
    model.producer_name, model.producer_version = "firerl", __version__
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def largest_difference(module: Any, data: bytes) -> tuple[float, float]:
    """Between the ONNX model in ``data`` and ``module`` over random inputs, and the module's largest output there."""
    import numpy as np
    import onnxruntime
    import torch

    inputs = random_inputs(module, CHECKED)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {module.names[0]: inputs.numpy()})
    with torch.no_grad():
        wanted = module(inputs).numpy()
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return float("inf"), 0.0
    return float(np.abs(found.astype(np.float64) - wanted).max()), float(np.abs(wanted).max())


def random_inputs(module: Any, count: int) -> Tensor:
    """The same every time, [count, *input_shape]: standard normal (uniform in the module's ``input_range``), or whole
    numbers from 0 to 99."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape, dtype = (count, *module.input_shape), module.input_dtype
    if limits := getattr(module, "input_range", None):
        low, high = limits
        return (low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return torch.randint(0, 100, shape, generator=generator).to(dtype)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress and its warnings about packages that nobody needs here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _type_name(module: Any) -> str:
    return str(module.input_dtype).removeprefix("torch.")
