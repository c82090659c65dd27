"""Cosine: every member trains with the same cosine schedule of the learning rate (Loshchilov & Hutter 2017, section 3).

Constant with ``algo.schedule=cosine``, under a name of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from firerl.base.settings import setting
from firerl.evolution.algorithms import constant
from firerl.evolution.schedule import SCHEDULES

arrange, validate, initial, decide = constant.arrange, constant.validate, constant.initial, constant.decide


@dataclass(frozen=True)
class Settings(constant.Settings):
    """The schedule's settings."""

    schedule: str | None = setting("cosine", "see algo=constant", choices=SCHEDULES)
