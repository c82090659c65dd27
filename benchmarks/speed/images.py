"""How fast are ImageNet's files read, against what the cores could decode? Images a second, and share of the limit.

The limit: as many bare processes as there are cores decode and augment the same files, each its own share, and keep
nothing: no queue, no batches. Against it, all on the same files and cores:

- loader: what ``data=imagenet`` does, batches of 128 images that are thrown away
- threads: the same with ``data.processes=0`` and as many threads as cores
- torch: a torch DataLoader with as many worker processes as cores
- draft: the loader with ``data.draft=true``, against the limit without it

The files (500 x 375 pixels, about 100 kB, as ImageNet's) are made from a seed, and are in the page cache when it
begins: the disk is not measured. A machine that does other work as well is slower at some moments: all arms take turns,
and each share is the median over the turns of the arm's speed against the limit's in the same turn.

``network waits``: a network that needs 80 % of the loader's speed (it sleeps as long, as this process does while a GPU
computes) waits for that share of its time.

    python benchmarks/speed/images.py [--quick] [--folder runs/images-benchmark]

About 4 minutes on a quiet machine, 1 with ``--quick``; twice as long beside other work. The last line is
JSON: ``loader_of_decode_limit`` and what it is made of.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firerl.base.cores import usable_cores
from firerl.envs import images
from firerl.envs.images.files.decoding import DRAWS, Piece, read
from firerl.envs.images.files.folder import FolderData, ImageNetSettings
from firerl.envs.images.order import Order

BATCH = 128
WIDTH, HEIGHT = 500, 375
SIZE = 224
FULL = {"files": 480, "images": 4096, "turns": 7}
QUICK = {"files": 120, "images": 1024, "turns": 3}


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Clouds of many sizes, colours and a little noise: about as hard to decode as a photograph."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128, dtype=np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        small = rng.normal(size=(max(2, height * cells // 400), max(2, width * cells // 400), 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(np.ascontiguousarray(small[..., channel]))
            pixels[..., channel] += (
                60 / cells**0.6 * np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC))
            )
    pixels += rng.normal(scale=6, size=pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def make_folder(root: Path, files: int) -> float:
    """ImageNet's layout, two classes; returns the mean size of a file in kB. Files that are there are kept."""
    shown = time.monotonic()
    for number in range(files):
        part = "val" if number % 10 == 0 else "train"
        path = root / part / f"n{number // 10 % 2}" / f"{number}.JPEG"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(path.with_suffix(".part"), "JPEG", quality=96, subsampling=2)
            path.with_suffix(".part").rename(path)
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            print(f"  {number:,} of {files:,} files made", flush=True)
    return statistics.mean(path.stat().st_size for path in root.rglob("*.JPEG")) / 1000


def load(root: Path, **settings: Any) -> FolderData:
    """The data set that ``data=imagenet`` reads."""
    return FolderData(ImageNetSettings(str(root), objective=1, **settings))


class Work:
    """The same images in the same order for every arm."""

    def __init__(self, root: Path, count: int):
        self.data = load(root)
        self.count = count
        self.parts = list(Order(self.data.count, 0).parts(0, count // BATCH, BATCH, BATCH, DRAWS))
        files = [str(path) for path in (Path(self.data._train.root) / name for name in self.data._train.paths)]
        self.paths = [files[index] for indices, _ in self.parts for index in indices]
        self.draws = np.concatenate([draws for _, draws in self.parts])


def bare(paths: list[str], draws: np.ndarray, start: Any, done: Any) -> None:
    """One bare process: decode and augment, keep nothing."""
    out = np.empty((1, SIZE, SIZE, 3), dtype=np.uint8)
    start.wait()
    for path, row in zip(paths, draws, strict=True):
        read(Piece([path], row[None], SIZE, False), out)
    done.wait()


def limit(work: Work, cores: int) -> float:
    """Seconds of the bare processes, without their start."""
    context = multiprocessing.get_context("fork")
    start, done = context.Barrier(cores + 1), context.Barrier(cores + 1)
    processes = [
        context.Process(target=bare, args=(work.paths[i::cores], work.draws[i::cores], start, done))
        for i in range(cores)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    done.wait()
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return seconds


def loader(work: Work, data: FolderData) -> float:
    """Seconds of all batches of a data set whose readers have been started."""
    began = time.perf_counter()
    for _ in data.stream(iter(work.parts)):
        pass
    return time.perf_counter() - began


class TorchSet:
    """A map-style data set of the same work."""

    def __init__(self, work: Work):
        self.paths, self.draws = work.paths, work.draws

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        out = np.empty((1, SIZE, SIZE, 3), dtype=np.uint8)
        read(Piece([self.paths[number]], self.draws[number : number + 1], SIZE, False), out)
        return out[0]


def torch_loader(work: Work, cores: int) -> Callable[[], float]:
    """Seconds of all batches of a DataLoader whose processes have been started."""
    from torch.utils.data import DataLoader

    made: Any = DataLoader(TorchSet(work), BATCH, num_workers=cores, persistent_workers=True)  # type: ignore[arg-type]
    for _ in made:
        pass

    def once() -> float:
        began = time.perf_counter()
        for _ in made:
            pass
        return time.perf_counter() - began

    return once


def waits(work: Work, data: FolderData, per_batch: float) -> float:
    """The share of its time that a network which takes ``per_batch`` seconds waits for images."""
    batches: Iterator[images.Batch] = data.stream(iter(work.parts))
    next(batches)
    began, computed = time.perf_counter(), 0.0
    for _ in batches:
        before = time.perf_counter()
        time.sleep(per_batch)
        computed += time.perf_counter() - before
    return 1 - computed / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer images and turns: a rougher figure")
    parser.add_argument("--folder", type=Path, default=Path("runs/images-benchmark"), help="where the files are made")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    cores = usable_cores()
    print(f"making {plan['files']} files in {options.folder}", flush=True)
    kilobytes = make_folder(options.folder, plan["files"])
    work = Work(options.folder, plan["images"])
    loaded = {
        "loader": load(options.folder, processes=cores),
        "threads": load(options.folder, processes=0, threads=cores),
        "draft": load(options.folder, processes=cores, draft=True),
    }
    for data in loaded.values():
        loader(work, data)  # starts the readers
    arms: dict[str, Callable[[], float]] = {"limit": lambda: limit(work, cores)}
    arms |= {name: (lambda data=data: loader(work, data)) for name, data in loaded.items()}  # type: ignore[misc]
    arms["torch"] = torch_loader(work, cores)
    speeds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(plan["turns"]):
        for name, run in arms.items():
            speeds[name].append(work.count / run())
        told = ", ".join(f"{name} {found[-1]:,.0f}" for name, found in speeds.items())
        print(f"  turn {turn + 1} of {plan['turns']}, images a second: {told}", flush=True)
    of_limit = {
        name: statistics.median(a / b for a, b in zip(found, speeds["limit"], strict=True))
        for name, found in speeds.items()
    }
    waiting = waits(work, loaded["loader"], BATCH / (0.8 * statistics.median(speeds["loader"])))
    print(f"\n{cores} cores, {WIDTH} x {HEIGHT} pixels, {kilobytes:.0f} kB a file, {work.count:,} images a turn")
    print(f"{'':<10} {'images/s':>9} {'a core':>8} {'of the limit':>13}")
    for name, found in speeds.items():
        speed = statistics.median(found)
        print(f"{name:<10} {speed:>9,.0f} {speed / cores:>8,.0f} {of_limit[name]:>13.3f}")
    print(f"network waits {waiting:.1%}")
    result = {f"{name}_of_decode_limit": round(share, 3) for name, share in of_limit.items() if name != "limit"}
    result |= {
        "images_per_second": round(statistics.median(speeds["loader"])),
        "limit_per_second": round(statistics.median(speeds["limit"])),
        "cores": cores,
        "network_waits": round(waiting, 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
