"""Where a hyperparameter lives: in an optimiser's parameter groups, in an attribute, or where a path leads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from firerl.agents.torch_learner.parts import Part
from firerl.agents.torch_learner.plain_values import is_plain
from firerl.errors import SettingError

_RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # that a scheduler keeps in a group


def put(
    learner: Any,
    places: Mapping[str, str | Sequence[str]],
    parts: Iterable[Part],
    values: Mapping[str, Any],
    optimisers: bool = True,
) -> None:
    """Set each of ``values``. Without ``optimisers`` only what lies outside of these. Raises SettingError."""
    found = [part.value for part in parts]
    setting = _Setting([one for one in found if isinstance(getattr(one, "optimizer", None), Optimizer)], optimisers)
    for name, value in values.items():
        paths = places.get(name)
        if paths is None:
            setting.by_name(learner, found, name, value)
            continue
        for path in [paths] if isinstance(paths, str) else paths:
            try:
                setting.put(learner, path.split("."), value)
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                raise SettingError(
                    f"{type(learner).__name__}.hyperparameters[{name!r}]={path!r} leads nowhere: "
                    f"{type(error).__name__}: {error}"
                ) from error


class _Setting:
    def __init__(self, schedulers: Sequence[Any], optimisers: bool):
        self.schedulers, self.optimisers = schedulers, optimisers

    def by_name(self, learner: Any, parts: Sequence[Any], name: str, value: Any) -> None:
        """In every group and in the attribute of this name."""
        own = name in vars(learner) and is_plain(vars(learner)[name])
        if own:
            setattr(learner, name, _like(vars(learner)[name], value))
        optimisers = [one for one in parts if isinstance(one, Optimizer) and name in one.param_groups[0]]
        for one in optimisers:
            if len({repr(_base(group, name)) for group in one.param_groups}) > 1:
                raise SettingError(
                    f"hyperparameter {name!r}: the parameter groups of {type(one).__name__} have different ones; say "
                    f'which is meant: hyperparameters = {{"{name}": "<optimiser>.0.{name}"}}'
                )
            self.put(one, [name], value)
        if not own and not optimisers:
            raise SettingError(
                f"hyperparameter {name!r} has no place: no optimiser's groups and no attribute of "
                f'{type(learner).__name__} have this name; say where: hyperparameters = {{"{name}": "optimizer.lr"}}'
            )

    def put(self, holder: Any, path: Sequence[str], value: Any) -> Any:
        """``holder`` with the value at the path; tuples are made anew."""
        head, *rest = path
        if isinstance(holder, Optimizer):
            groups = [holder.param_groups[int(head)]] if head.isdigit() else holder.param_groups
            for group in groups if self.optimisers else ():
                self._in_group(holder, group, rest if head.isdigit() else path, value)
        elif isinstance(holder, dict):
            if head not in holder:
                raise KeyError(head)
            holder[head] = self._below(holder[head], rest, value)
        elif isinstance(holder, list):
            holder[int(head)] = self._below(holder[int(head)], rest, value)
        elif isinstance(holder, tuple):
            items = list(holder)
            items[int(head)] = self._below(items[int(head)], rest, value)
            return tuple(items)
        else:
            now = self._below(getattr(holder, head), rest, value)
            if now is not getattr(holder, head):
                setattr(holder, head, now)
        return holder

    def _below(self, holder: Any, path: Sequence[str], value: Any) -> Any:
        return self.put(holder, path, value) if path else _like(holder, value)

    def _in_group(self, optimiser: Optimizer, group: dict[str, Any], path: Sequence[str], value: Any) -> None:
        """A learning rate that a scheduler changes is the one that it starts from: the present one keeps its share."""
        schedulers = [one for one in self.schedulers if one.optimizer is optimiser]
        if list(path) != ["lr"] or not schedulers:
            self.put(group, path, value)
            return
        group.setdefault("initial_lr", float(group["lr"]))
        before = float(_base(group, "lr"))
        if value != before:
            for name in [rate for rate in _RATES if rate in group]:
                group[name] = _like(group[name], _scaled(float(group[name]), before, value))
            number = [one is group for one in optimiser.param_groups].index(True)
            for rates in (rates for one in schedulers for rates in _rates(one)):
                rates[number] = _like(rates[number], _scaled(float(rates[number]), before, value))


def _rates(scheduler: Any) -> Iterator[list[Any]]:
    """The learning rates by group that a scheduler, or one that it consists of, computes with."""
    for one in getattr(scheduler, "_schedulers", ()):
        yield from _rates(one)
    yield from (vars(scheduler)[name] for name in ("base_lrs", "max_lrs") if name in vars(scheduler))


def _scaled(rate: float, before: float, value: float) -> float:
    return value if rate == before or not before else rate * (value / before)


def _base(group: Mapping[str, Any], name: str) -> Any:
    """The value in a group; of a learning rate the one that its scheduler starts from, or rises to."""
    keys = ("max_lr", "initial_lr", "lr") if name == "lr" else (name,)
    return next(group[key] for key in keys if key in group)


def _like(now: Any, value: Any) -> Any:
    """The value, in the tensor where there has been one."""
    if not isinstance(now, torch.Tensor):
        return value
    now.detach().fill_(value)
    return now
