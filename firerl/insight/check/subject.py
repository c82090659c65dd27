"""The learner on trial in ``firerl.insight.check.contract``, and what its calls cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firerl.base.seeding import Purpose, integer_seed
from firerl.engine.host.global_generators import Isolated
from firerl.evolution.space import Space
from firerl.learner import Learner


@dataclass(frozen=True)
class Costs:
    """Seconds of each call and bytes of each half, as measured once."""

    build: float
    train: float  # for ``steps``
    steps: int
    evaluate: float
    state: float  # with its way into bytes
    load: float  # with its way out of bytes
    weights_bytes: int
    stream_bytes: int


@dataclass
class Subject:
    """The learner on trial. It trains ``first``, then ``second`` steps."""

    learner: type[Learner]
    settings: Mapping[str, Any]  # complete
    space: Space
    first: int
    second: int
    seed: int = 0
    device: str = "cpu"
    engine: str = "local"  # where a saved state is loaded; local: in a new process
    known: dict[str, Any] = field(default_factory=dict)  # what earlier checks leave for later ones

    @property
    def values(self) -> dict[str, Any]:
        """The middle of the space."""
        return {d.name: d.draw(0.5) for d in self.space.dimensions}

    def seed_of(self, number: int) -> int:
        """The seed of a learner: one of the larger ones that a run hands out."""
        return integer_seed(self.seed, Purpose.LEARNER, number) | 1 << 31

    def build(
        self, number: int = 0, values: Mapping[str, Any] | None = None, kind: type[Isolated] = Isolated
    ) -> Isolated:
        """A new learner; each ``number`` has a seed of its own."""
        chosen = dict(self.values if values is None else values)
        return kind(self.learner, dict(self.settings), chosen, self.seed_of(number), self.device)


class Broken(Exception):
    """The contract is broken; the text says how. ``mend`` replaces the usual one."""

    def __init__(self, text: str, mend: str = ""):
        super().__init__(text)
        self.mend = mend


class NotTried(Exception):
    """This learner gives nothing to try here; the text says why."""
