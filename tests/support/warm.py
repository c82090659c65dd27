"""Lines that begin with ``python``, each in a process of its own that begins warm.

One server has imported the libraries that are slow to import, nothing of firerl's. For each line it forks a process,
which lives as a new interpreter would from there on: its own folder, arguments, output and exit.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

_SLOW = (
    "torch", "torch.utils.tensorboard", "gymnasium", "mujoco", "hydra", "scipy.stats", "sklearn.datasets", "plotly",
    "matplotlib.figure",
)  # fmt: skip
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}  # a fork takes no threads along


def python(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What ``python <words>`` does and says in ``folder``: ``-m <module> ...`` or ``<script> ...``."""
    server = _server()
    assert server.stdin
    assert server.stdout
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as told:
        out, err = Path(told) / "out", Path(told) / "err"
        request = {"words": list(words), "folder": str(folder), "environment": environment}
        request |= {"out": str(out), "err": str(err)}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(list(words), code, out.read_text(), err.read_text())


@cache
def _server() -> subprocess.Popen[str]:
    """It ends when this process does, with its stdin."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {**os.environ, **_ONE_THREAD}
    environment.pop("PYTHONPATH", None)  # the lines are users': only what is installed is found
    return subprocess.Popen([sys.executable, __file__], **pipes, text=True, env=environment)


def _serve() -> None:
    for name in _SLOW:
        importlib.import_module(name)
    if Path("/proc/self/task").exists():
        assert len(os.listdir("/proc/self/task")) == 1, "a library has started a thread, which a fork would lose"
    gc.collect()
    gc.freeze()  # else each fork would copy all pages whose objects its collector looks at
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _become(request)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(request: dict[str, Any]) -> None:
    """Be the interpreter of a line."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, name in enumerate((os.devnull, request["out"], request["err"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    first, *rest = request["words"]
    if first == "-m":
        module, *arguments = rest
        sys.argv[:], sys.path[0] = [module, *arguments], os.getcwd()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv[:], sys.path[0] = [first, *rest], str(Path(first).absolute().parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
