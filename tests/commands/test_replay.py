"""What the command that retraces a schedule reads."""

from __future__ import annotations

import pytest

from firerl.commands import replay
from firerl.errors import SettingError


def test_whole_numbers_are_read_however_they_are_written() -> None:
    given = replay.read(["seed=1e1", f"seeds={2**53 + 1}", "engine.processes=2.0", "engine.devices=[cuda:0,cuda:1]"])
    assert given == {"seed": 10, "seeds": 2**53 + 1, "processes": 2, "devices": ["cuda:0", "cuda:1"]}


@pytest.mark.parametrize("typed", ["seed=1.5", "seeds=some", "engine.processes=null"])
def test_anything_else_is_named(typed: str) -> None:
    with pytest.raises(SettingError, match=f"{typed}: must be an integer"):
        replay.read([typed])
