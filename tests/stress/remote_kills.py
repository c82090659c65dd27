"""A SIGKILL before and after every change of a run folder at an address: what is left of the run?

    python tests/stress/remote_kills.py            every moment, a few minutes
    python tests/stress/remote_kills.py --quick    every tenth

After each kill the folder on this machine is thrown away and the run goes on from the address alone (``file://``): its
journal and results must be those of an undisturbed local run, and nothing else may lie there. The last line is a JSON
object: ``kills``, ``wrong``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import firerl
from firerl.commands import journal
from firerl.storage.journal.journal_db import Journal
from firerl.storage.remote.address import Remote
from firerl.storage.remote.home import is_begun
from firerl.storage.remote.reading import local
from firerl.storage.remote.snapshot import snapshots
from firerl.storage.run_folder import RESULTS

Moment = tuple[str, str, int]  # before or after; what changes ("-": goes); the how manieth of its kind
SMALL: dict[str, Any] = {
    "population": [2, 2], "evaluators": 2, "steps": 120, "ready_interval": 40, "seed": 3, "engine": "inline",
    "logger": "none", "progress": False,
}  # fmt: skip


def killed(at: Callable[[Moment], bool], action: Callable[[], object]) -> bool:
    """Do ``action`` in a child that dies of SIGKILL at the first moment for which ``at`` is true; whether it did."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            raise RuntimeError("the run failed by itself")
        return os.WIFSIGNALED(status)
    try:
        counts: dict[str, int] = {}
        mutex = threading.Lock()

        def told(original: Any) -> Any:
            def change(self: Any, name: str, *rest: Any) -> Any:
                kind = ("-" if original.__name__ == "remove" else "") + name.partition("-")[0].partition("/")[0]
                with mutex:  # several at once
                    count = counts[kind] = counts.get(kind, 0) + 1
                if at(("before", kind, count)):
                    os.kill(os.getpid(), signal.SIGKILL)
                found = original(self, name, *rest)
                if at(("after", kind, count)):
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

            return change

        for method in ("put", "create", "remove"):
            setattr(Remote, method, told(getattr(Remote, method)))
        action()
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def run(address: str, work: Path, **more: Any) -> firerl.Result:
    """A small run at an address, which works below ``work``."""
    return firerl.run("quadratic", run_dir=address, local_dir=work, **{**SMALL, **more})


def go_on(address: str, work: Path) -> None:
    """As ``resume=auto`` does."""
    if is_begun(address):
        firerl.resume(address, local_dir=work, progress=False)
    else:
        run(address, work)


def differs(address: str, plain_run: Path) -> str:
    """What at an address is not as in a local run of the same settings, or nothing refers to; "": nothing."""
    place = Remote(address)
    names, states = place.sizes(), place.sizes("checkpoints")
    for name in RESULTS:
        if name not in names or place.get(name, 10**8) != (plain_run / name).read_bytes():
            return name
    texts, kept = [], set()
    for folder in (plain_run, local(address)):
        with closing(Journal.open(folder)) as found:
            texts.append(list(journal.lines(found, reports=True)))
            kept = {f"{row[4]}.pt" for row in found.rows().checkpoints}
    if texts[0] != texts[1]:
        return "the journal"
    wanted = {*snapshots(names)[:1], *RESULTS, "config.yaml"}
    return ", ".join(sorted(names.keys() ^ wanted | states.keys() ^ kept))


def kill_everywhere(folder: Path, every: int) -> tuple[Counter[str], Counter[str]]:
    """A SIGKILL before and after every change of the address in a run: kills, and wrong ends, by what changed."""
    plain_run = folder / "plain"
    firerl.run("quadratic", run_dir=plain_run, **SMALL)
    log = folder / "moments"

    def note(moment: Moment) -> bool:
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(moment) + "\n")
        return False

    killed(note, lambda: run(f"file://{folder}/seen/x", folder / "work"))
    moments: list[Moment] = [(m, kind, count) for m, kind, count in map(json.loads, log.read_text().splitlines())]
    kills, wrong = Counter[str](), Counter[str]()
    for index, moment in list(enumerate(moments))[::every]:
        for name in ("share", "work"):
            shutil.rmtree(folder / name, ignore_errors=True)
        address = f"file://{folder}/share/{index}"
        died = killed(lambda found, moment=moment: found == moment, lambda a=address: run(a, folder / "work"))
        shutil.rmtree(folder / "work", ignore_errors=True)
        go_on(address, folder / "work")
        if found := differs(address, plain_run) if died else "it did not die":
            wrong[moment[1]] += 1
            print(f"{moment}: {found}", flush=True)
        kills[moment[1]] += 1
    return kills, wrong


def main() -> None:
    """Kill, print what is wrong, a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every tenth moment")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="firerl-remote-") as folder:
        kills, wrong = kill_everywhere(Path(folder), 10 if options.quick else 1)
    print(f"{'change':16}{'kills':>8}{'wrong':>8}")
    for kind, count in kills.items():
        print(f"{kind:16}{count:8}{wrong[kind]:8}")
    print(json.dumps({"kills": kills.total(), "wrong": wrong.total()}))


if __name__ == "__main__":
    main()
