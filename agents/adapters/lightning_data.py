"""A LightningDataModule as firerl reads it: batches of map-style data, in an order that can be saved."""

from __future__ import annotations

import copy
import functools
import json
import operator
import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, IterableDataset

from firerl.agents.adapters.lightning_module import check_arguments, check_class, refuse_overridden
from firerl.errors import SettingError

SPLIT_SEED = 0  # of what a data module draws when it is set up, such as the rows for validation: the same for all


@functools.lru_cache(maxsize=4)
def data_module(kind: type, arguments: str, stage: str = "fit") -> Any:
    """The data module of this class, set up; one in a process, since all workers read the same. ``arguments`` are
    JSON. Raises SettingError."""
    check_class("learner.data", kind, LightningDataModule)
    refuse_overridden(kind, LightningDataModule, {"state_dict", "load_state_dict", "teardown", "on_exception"})
    check_arguments(kind, json.loads(arguments), "learner.data.")
    with isolate_rng():
        torch.manual_seed(SPLIT_SEED)
        np.random.seed(SPLIT_SEED)  # noqa: NPY002
        random.seed(SPLIT_SEED)
        try:
            found = kind(**json.loads(arguments))
            found.prepare_data()
            found.setup(stage)
        except Exception as error:  # anybody's code
            told = " ".join(str(error).split())[:200]
            raise SettingError(f"learner.data={kind.__name__}: {type(error).__name__}: {told}") from error
    return found


class Batches:
    """The batches of one loader. Each worker has a sampler of its own; all share the data."""

    def __init__(self, loader: Any, name: str):
        if isinstance(loader, list | tuple) and len(loader) == 1:
            loader = loader[0]
        wrong = ""
        if not isinstance(loader, DataLoader) or type(loader).__iter__ is not DataLoader.__iter__:
            wrong = "must return one DataLoader of torch"
        elif isinstance(loader.dataset, IterableDataset):
            wrong = "an IterableDataset's place cannot be saved: take a Dataset with __getitem__ and __len__"
        elif loader.batch_sampler is None:
            wrong = "batch_size=None leaves the batches to the data: give the DataLoader a batch_size"
        if wrong:
            raise SettingError(f"{name}(): {wrong}")
        self.loader, self.name = loader, name
        self.sampler: Any = copy.deepcopy(loader.batch_sampler, {id(loader.dataset): loader.dataset})

    def __len__(self) -> int:
        return len(self.sampler)

    def orders(self, epoch: int = 0) -> list[list[int]]:
        """The rows of each batch of an epoch. Draws what an iterator over the loader draws. Raises SettingError."""
        for one in (self.sampler, getattr(self.sampler, "sampler", None)):
            if callable(set_epoch := getattr(one, "set_epoch", None)):
                set_epoch(epoch)
        torch.empty((), dtype=torch.int64).random_(generator=self.loader.generator)
        orders = [[operator.index(row) for row in rows] for rows in self.sampler]
        if not orders:
            raise SettingError(f"{self.name}(): there is no batch in it")
        return orders

    def batch(self, rows: list[int]) -> Any:
        """Read in this process: workers of the loader would draw from generators that nobody saves."""
        dataset = self.loader.dataset
        at_once = getattr(dataset, "__getitems__", None)
        return self.loader.collate_fn(at_once(rows) if at_once else [dataset[row] for row in rows])
