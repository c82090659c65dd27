"""One verdict as a picture: the evaluator's curve and its child's, their smooth forms, where they overlap, the outcome.

Both curves are drawn point by point since their weights were last replaced, the child's shifted so that the
overlap, which compares equal performance, lies one above the other.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firerl.base.disk import files
from firerl.config.run_config import RunConfig
from firerl.errors import SettingError
from firerl.insight.explain.verdict import Comparison, chosen, compare, evaluator_settings, outcome, seen, trained
from firerl.insight.history.history import PROMOTION, RUNNING, History, Measurement
from firerl.summary import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ETA, RHO, SHADE = "#0072b2", "#d55e00", "#f0e442"  # Okabe and Ito's colours, told apart by nearly everybody


def pick(config: RunConfig, history: History, worker: int | None = None, step: int | None = None) -> Measurement:
    """The measurement that ``worker`` took part in, and that was under way at ``step`` or ended there; of several the
    last promotion, else the one with the smallest p-value. Raises SettingError where there is none."""
    found = list(history.measurements)
    if not found:
        what = "has no evaluators" if not config.evaluators else "has not started an evaluator yet"
        raise SettingError(f"--plot: the run {what}, there is no verdict to draw")
    known = range(len(history.initial.workers))
    if worker is not None and worker not in known:
        raise SettingError(f"worker={worker}: must be one of the run's workers, 0 to {len(known) - 1}")
    if worker is not None:
        found = [m for m in found if worker in (m.evaluator, m.parent, m.child)]
    if step is not None:
        ended = [m for m in found if m.end == step]
        found = ended or [m for m in found if m.start < step and (m.end is None or m.end > step)]
    best = chosen(found)
    if best is None:
        asked = " ".join(f"{k}={v}" for k, v in (("worker", worker), ("step", step)) if v is not None)
        ends = sorted({m.end for m in history.measurements if m.end is not None and m.eta})
        near = sorted(ends, key=lambda end: abs(end - (step or 0)))[:2]
        hint = f"; the nearest steps at which one ends are {in_words.together(map(str, sorted(near)))}" if near else ""
        raise SettingError(f"--plot: there is no evaluator's curve to draw{f' for {asked}' if asked else ''}{hint}")
    return best


def draw(config: RunConfig, m: Measurement, out: Path) -> list[str]:
    """Write the picture of a measurement, whole or not at all; returns what it shows. Raises SettingError on another
    format or where ``out`` cannot be written, FirerlError where writing fails."""
    files.check_output("--plot", out, files.PICTURES)
    settings = evaluator_settings(config.algo.settings)
    verdict = f"{seen(m, settings)}. {outcome(m, settings)}."
    data = _render(config, m, compare(m, settings), verdict, out.suffix.lower()[1:])
    files.write_output(out, data)
    return [f"{trained(m)}. {verdict}", f"wrote {out}"]


def _render(config: RunConfig, m: Measurement, c: Comparison, verdict: str, kind: str) -> bytes:
    import matplotlib  # loads in half a second
    from matplotlib.figure import Figure  # no pyplot: no window, no global state

    style: Any = {"svg.hashsalt": "firerl", "font.size": 12, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(10, 6), dpi=150)
        axes = figure.subplots()
        _curves(axes, config, m, c)
        axes.set_title(f"{config.task}, {_title(m)}", loc="left", pad=12, fontweight="bold")
        figure.subplots_adjust(left=0.09, right=0.97, top=0.91, bottom=0.25)
        told = f"{trained(m)}. {verdict}"
        caption = textwrap.fill(told[0].upper() + told[1:], 104)
        figure.text(0.09, 0.135, caption, va="top", linespacing=1.4, fontsize=11)
        buffer = io.BytesIO()
        metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        figure.savefig(buffer, format=kind, metadata=metadata)
        return buffer.getvalue()


def _curves(axes: Axes, config: RunConfig, m: Measurement, c: Comparison) -> None:
    """Raw points and smooth lines over evaluations; where they overlap one stands above the other."""
    from matplotlib.ticker import MaxNLocator

    shift = c.shared.f - c.shared.g if c.shared else 0
    x_eta = [1.0 + i for i in range(len(c.eta))]
    x_rho = [1.0 + i + shift for i in range(len(c.rho))]
    if c.shared:
        first = c.shared.f + 0.5
        axes.axvspan(first, first + c.shared.length, color=SHADE, alpha=0.25, lw=0, label="overlap")
    eta: dict[str, Any] = {"color": ETA, "marker": "o", "ms": 7}
    rho: dict[str, Any] = {"color": RHO, "marker": "s", "ms": 7, "mfc": "white", "mew": 1.6}
    solid: dict[str, Any] = {"lw": 2.5, "ls": "-"}
    dashed: dict[str, Any] = {"lw": 2.5, "ls": (0, (5, 2))}
    axes.plot(x_rho, c.smooth_rho, color=RHO, **dashed)
    axes.plot(x_eta, c.smooth_eta, color=ETA, **solid)
    axes.plot(x_rho, c.rho, ls="none", **rho)
    axes.plot(x_eta, c.eta, ls="none", **eta)
    of_eta = f"evaluator {m.evaluator}: member {m.parent}'s weights, member {m.child}'s hyperparameters"
    moved = f", moved {in_words.plural(abs(shift), 'evaluation')} {'right' if shift > 0 else 'left'}" if shift else ""
    axes.plot([], [], label=of_eta, **solid, **eta)  # the legend shows point and line as one
    axes.plot([], [], label=f"member {m.child}{moved}", **dashed, **rho)
    axes.set_xlabel(f"points of the evaluator's curve, {config.eval_interval:,} steps apart")
    axes.set_ylabel("objective (points: reported, lines: smooth)")
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25, lw=0.8)
    axes.legend(loc="best", frameon=False)


def _title(m: Measurement) -> str:
    if m.outcome == RUNNING:
        return f"so far: evaluator {m.evaluator} against member {m.child}"
    if m.outcome == PROMOTION:
        return f"step {m.end:,}: member {m.child} takes the weights of evaluator {m.evaluator}"
    return f"step {m.end:,}: evaluator {m.evaluator} against member {m.child}"
