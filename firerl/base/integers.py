"""How large an integer in a file may be: what SQLite, numpy and TOML hold, 64 bits with a sign."""

from __future__ import annotations

LEAST, MOST = -(2**63), 2**63 - 1
_DIGITS = 20  # of the longest that may be, with its sign: a longer one takes time to read


def integer(text: str) -> int:
    """An integer as JSON writes it. Raises ValueError on one that is too large."""
    value = int(text) if len(text) <= _DIGITS else None
    if value is None or not LEAST <= value <= MOST:
        raise ValueError(f"it holds an integer of {len(text.lstrip('-'))} digits, at most 64 bits are read")
    return value
