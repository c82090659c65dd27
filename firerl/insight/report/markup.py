"""Pieces of a page as HTML texts. Everything that comes from a run is escaped here."""

from __future__ import annotations

import html
from collections.abc import Sequence

from firerl.base.terminal import clean


def escape(text: str) -> str:
    """A text of the run in HTML, without what would turn the direction of writing or is not seen."""
    return html.escape(clean(text))


def section(title: str, words: str, body: str) -> str:
    """A part of the page: ``words`` say what ``body``, which is HTML, shows."""
    return f'<section><h2>{escape(title)}</h2><p class="says">{escape(words)}</p>{body}</section>'


def plot(name: str, label: str) -> str:
    """The place of the figure ``name``; ``label`` is for those who cannot see it."""
    return f'<div class="plot" id="{escape(name)}" role="img" aria-label="{escape(label)}"></div>'


def many(plots: Sequence[tuple[str, str, str, str]]) -> str:
    """Small figures side by side: (name, label, title, a word on it) of each."""
    figures = "".join(
        f"<figure><figcaption>{escape(title)} <small>{escape(word)}</small></figcaption>{plot(name, label)}</figure>"
        for name, label, title, word in plots
    )
    return f'<div class="many">{figures}</div>'


def folded(name: str, title: str, body: str) -> str:
    """``body``, HTML, behind a line that opens it; ``name`` is its id."""
    return f'<details id="{escape(name)}"><summary>{escape(title)}</summary>{body}</details>'


def pairs(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, one a row."""
    body = "".join(f"<tr><td>{escape(name)}</td><td><code>{escape(text)}</code></td></tr>" for name, text in rows)
    return f'<div><h3>{escape(title)}</h3><table class="table settings">{body}</table></div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Of numbers, for reading downwards."""
    top = "".join(f'<th class="number">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells) + "</tr>" for cells in rows
    )
    return f'<div class="scroll"><table class="table"><tr>{top}</tr>{body}</table></div>'
