"""The life of a process of the local engine: it answers the controller's requests until that is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
from typing import Any

import multiprocess.connection

from firerl.base.terminal import lasting
from firerl.engine.failures import kind_of, message_of
from firerl.engine.host import descendants
from firerl.engine.host.host import Host
from firerl.engine.interface import MachineFailure
from firerl.engine.sending import unpacked
from firerl.errors import RunFolderError, SettingError


def serve(pipe: Any, tied: bool, number: int) -> None:
    """The life of a child: receive the learner spec once, then answer the controller's requests until it is gone."""
    with lasting():  # a learner may print
        _serve(pipe, tied, number)


def _serve(pipe: Any, tied: bool, number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the controller decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _die_with_the_controller(tied)
    descendants.adopt()
    try:
        spec = unpacked(pipe.recv_bytes())
    except Exception as error:
        said = message_of(error)
        text = f"a new process cannot import the learner: {kind_of(error)}: {said}"
        if "<module '__main__'" in said:  # what dill cannot send along: an Enum of the script, say
            text += "; move the learner and what it uses from the script into a module, or take engine=inline"
        pipe.send(("error", SettingError(text)))
        return
    try:
        host = Host(spec, process=number, at_work=lambda workers: pipe.send(("at work", workers)))
    except SettingError as error:  # its device does not work
        pipe.send(("error", error))
        return
    pipe.send(("done", None))
    while True:
        try:
            method, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(_answer(host, method, arguments, pipe))


def _answer(host: Host, method: str, arguments: list[Any], pipe: Any) -> tuple[str, Any]:
    try:
        returned = getattr(host, method)(*arguments)
        if method in ("advance", "finish"):
            for outcome in returned:
                pipe.send(("outcome", outcome))
            return "done", None
        return "done", returned
    except (SettingError, RunFolderError, MachineFailure, OSError) as error:
        return "error", error
    except MemoryError as error:
        return "error", MachineFailure(f"out of memory: {message_of(error)}", memory=True)
    except Exception:
        return "error", RuntimeError(f"in a process of the engine:\n{traceback.format_exc()}")


def _die_with_the_controller(tied: bool) -> None:
    """End this process when the controller ends, even by SIGKILL in the middle of a training."""

    def watch() -> None:
        multiprocess.connection.wait([multiprocess.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="firerl-watch", daemon=True).start()
    if tied and sys.platform == "linux":  # at once, even where a library holds the GIL and the thread above waits
        with contextlib.suppress(OSError, AttributeError):
            pr_set_pdeathsig = 1
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
