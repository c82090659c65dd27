"""What a run folder at an address costs, and what is left of a run whose controller is killed while it uploads.

    python tests/stress/remote_commits.py                 seconds of a commit: local, file:// on the same disk
    python tests/stress/remote_commits.py --s3            and an S3-compatible server on this machine (needs moto, s3fs)
    python tests/stress/remote_commits.py --kills         SIGKILL before and after every change of the address (file://)

For the first two 22 workers with ``--megabytes`` of state each save ``--generations`` generations; the figure is the
median of what a ready spends on saving. For the last, after each kill the folder on this machine is thrown away and
the run goes on from the address alone: its journal and results must be those of an undisturbed local run, and nothing
else may lie there. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

import firerl
from firerl import journal
from firerl.agents.quadratic.learner import Quadratic
from firerl.progress import Round, Silent
from firerl.remote.address import Remote
from firerl.remote.reading import local
from firerl.remote.run import is_begun
from firerl.remote.snapshot import snapshots
from firerl.storage.journal_db import Journal

Moment = tuple[str, str, int]  # before or after; what changes ("-": goes); the how manieth of its kind
RESULTS = ("best.pt", "best_ever.pt", "schedule.yaml", "result.json")
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


def kill_everywhere(folder: Path) -> dict[str, int]:
    """Figures of a SIGKILL before and after every change of the address in a run."""
    plain_run = folder / "plain"
    firerl.run("quadratic", run_dir=plain_run, **SMALL)
    moments: list[Moment] = []
    log = folder / "moments"

    def note(moment: Moment) -> bool:
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(moment) + "\n")
        return False

    killed(note, lambda: run(f"file://{folder}/seen/x", folder / "work"))
    moments = [(m, kind, count) for m, kind, count in map(json.loads, log.read_text().splitlines())]
    wrong = 0
    for index, moment in enumerate(moments):
        for name in ("share", "work"):
            shutil.rmtree(folder / name, ignore_errors=True)
        address = f"file://{folder}/share/{index}"
        died = killed(lambda found, moment=moment: found == moment, lambda a=address: run(a, folder / "work"))
        shutil.rmtree(folder / "work", ignore_errors=True)
        go_on(address, folder / "work")
        if found := differs(address, plain_run) if died else "it did not die":
            wrong += 1
            print(f"{moment}: {found}", flush=True)
    return {"kills": len(moments), "wrong": wrong}


class Heavy(Quadratic):
    """A quadratic whose weights weigh something."""

    settings: ClassVar[Mapping[str, Any]] = {**Quadratic.settings, "ballast": 250_000}

    def __init__(self, settings: Mapping[str, Any], *more: Any):
        super().__init__(settings, *more)
        self.ballast = np.random.default_rng(0).random(int(settings["ballast"]))

    def state(self) -> dict[str, Any]:
        state = super().state()
        return {**state, "weights": {**state["weights"], "ballast": self.ballast}}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        if weights is not None:
            self.ballast = weights["ballast"]
            weights = {name: value for name, value in weights.items() if name != "ballast"}
        super().load(weights, stream)


class Saving(Silent):
    """Seconds that each ready spends on saving."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def round_done(self, round: Round) -> None:
        if round.committed:
            self.seconds.append(round.parts["save"] * round.seconds)


def seconds(where: str, work: Path | None, megabytes: float, generations: int) -> float:
    """The median of what a ready spends on saving."""
    saving = Saving()
    firerl.run(
        Heavy, run_dir=where, local_dir=work, settings={"ballast": int(megabytes * 125_000)}, population=[8, 8],
        evaluators=6, steps=40 * generations, ready_interval=40, engine="inline", logger="none", progress=False,
        observer=saving,
    )  # fmt: skip
    return statistics.median(saving.seconds[1:])


@contextmanager
def server() -> Iterator[str]:
    """A bucket on an S3-compatible server in this process, on 127.0.0.1."""
    from logging import getLogger

    import boto3
    from moto.server import ThreadedMotoServer

    getLogger("werkzeug").disabled = True
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    before = dict(os.environ)
    os.environ.update({**settings, "AWS_DEFAULT_REGION": "us-east-1"})
    try:
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs"
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--megabytes", type=float, default=2.0, help="of each worker's state (2)")
    parser.add_argument("--generations", type=int, default=9)
    parser.add_argument("--folder", help="where to work, on the disk that is to be measured")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.kills:
            print(json.dumps(kill_everywhere(folder)))
            return
        size = options.megabytes, options.generations
        found = {"local": seconds(str(folder / "local"), None, *size)}
        found["file"] = seconds(f"file://{folder}/share/x", folder / "work", *size)
        if options.s3:
            with server() as bucket:
                found["s3"] = seconds(f"{bucket}/x", folder / "work", *size)
        ratios = {f"{kind} to local": value / found["local"] for kind, value in found.items() if kind != "local"}
        print(json.dumps({name: round(value, 3) for name, value in {**found, **ratios}.items()}))


if __name__ == "__main__":
    main()
