"""Numbers, hyperparameters and lists of workers as a person reads them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firerl.evolution.population import Values
from firerl.evolution.space import Dimension
from firerl.summary.tally import is_number


def number(x: float, digits: int = 3) -> str:
    """``x`` with ``digits`` significant digits, the whole part never shortened: 240,000; 1,235; 0.00155; 1e-5."""
    if 10 ** (digits - 1) <= abs(x) < 1e15:
        return f"{x:,.0f}"
    mantissa, _, exponent = f"{x:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def signed(x: float) -> str:
    """As ``number``, with its sign."""
    return number(x) if x < 0 or number(x) == "0" else f"+{number(x)}"


def apart(x: float, other: float, least: int = 3) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to tell them apart."""
    for digits in range(least, 18):
        texts = number(x, digits), number(other, digits)
        if x == other or texts[0] != texts[1]:
            return texts
    return repr(x), repr(other)


def plural(n: int, what: str, more: str = "") -> str:
    """``1 copy``, ``3 copies``; the plural ends with s where ``more`` does not say it."""
    return f"{n:,} {what if n == 1 else more or what + 's'}"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    return f"{n}{'th' if n % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def together(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def workers(ids: Sequence[int], what: str = "member") -> str:
    """``member 3``, ``members 0 to 7``, ``evaluators 1, 4 and 5``."""
    if len(ids) == 1:
        return f"{what} {ids[0]}"
    if len(ids) > 2 and list(ids) == list(range(ids[0], ids[-1] + 1)):
        return f"{what}s {ids[0]} to {ids[-1]}"
    return f"{what}s {together(map(str, ids))}"


def value(x: Any) -> str:
    """One hyperparameter's value."""
    return number(x) if isinstance(x, float) else f"{x:,}" if type(x) is int else str(x)


def hyperparameters(values: Values) -> str:
    """All of them, by name."""
    return ", ".join(f"{name} {value(values[name])}" for name in sorted(values)) or "no hyperparameters"


def changes(old: Values, new: Values, dimensions: Mapping[str, Dimension]) -> str:
    """What became of each hyperparameter, by which factor."""
    return ", ".join(_change(name, old.get(name), new[name], dimensions.get(name)) for name in sorted(new))


def _change(name: str, old: Any, new: Any, d: Dimension | None) -> str:
    if old == new:
        return f"{name} {value(new)} (as it was)"
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in (old, new)) or (d and d.choices):
        return f"{name} {value(old)} -> {value(new)}"
    if d and d.kind == "one_minus_log_uniform":
        how = f"1 - {name} x {apart((1 - new) / (1 - old), 1.0)[0]}"
    else:
        how = f"x {apart(new / old, 1.0)[0]}" if old else f"{signed(new - old)}"
    bound = ", its bound" if d and new in (d.lower, d.upper) else ""
    texts = apart(old, new) if isinstance(new, float) else (value(old), value(new))
    return f"{name} {texts[0]} -> {texts[1]} ({how}{bound})"


def objective_text(value: Any) -> str:
    """An objective in at most eight places where possible."""
    if not is_number(value):
        return "-" if value is None else str(value)
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1e5 else f"{value:.2e}"


def value_text(value: Any) -> str:
    """A hyperparameter, short: 3.1e-4, 0.995, 16, adam."""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    if value == 0 or 0.01 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def spread_text(values: Sequence[Any]) -> tuple[str, str]:
    """Median and range of numbers; of anything else how often each value is there, and nothing."""
    if values and all(is_number(value) for value in values):
        middle = statistics.median_low(values) if isinstance(values[0], int) else statistics.median(values)
        return value_text(middle), f"[{value_text(min(values))}..{value_text(max(values))}]"
    return ", ".join(f"{count} {value}" for value, count in Counter(map(str, values)).most_common()), ""


def duration_text(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03, 2:03."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_text(seconds: float) -> str:
    """A duration with its units: 17 s, 2 min 3 s, 1 h 2 min."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count_text(number: int, one: str, many: str) -> str:
    """1 copy; 2 copies."""
    return f"{number:,} {one if number == 1 else many}"
