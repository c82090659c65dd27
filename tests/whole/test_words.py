"""Sentences that first users had to read twice stand nowhere: not on the screen, not in the code, not in a document."""

from __future__ import annotations

import re
from pathlib import Path

from documents_for_tests import ROOT

ROOMS = ("firerl", "agents", "envs", "configs", "docs", "examples", "benchmarks", "README.md")
TEXTS = (".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".ipynb", ".html", ".js", ".css", ".txt", "")
READ_TWICE = {  # sentence -> what was unclear
    "in 2 of 100 evaluations at best (7 points each, a ready every 2)": "a ready every 2 what?",
    "They cannot: the aim is to find 80% of the advantages of 1": "who cannot what; 1 of which unit",
    "it gives up, p is above its patience by then, 0.296": "which of the two is 0.296",
    "the lower-starting one from where it first reaches the other's start": "no verb",
    "never reached it, no asynchronous one did not": "double negative",
    "of FIRE's eight, of random search's nine four": "nouns left out",
    "whose journal is that of all built": "built what",
    "One of levels vanishes where curves rise": "one what",
    "one of levels from the start vanishes where curves rise": "one what",
    "PBT's last one mostly does beside FIRE's": "does what",
    "this and the next three null: what it takes here": "no verb",
    "What was found after the runs, so reasons that are likely, not proven.": "no main clause",
    "With the presets' evaluation interval of then": "of when",
    "a run that is killed before comes to it again": "comes to what",
}


def plain(text: str) -> str:
    """In one line of small letters, without quotes, marks of comments and formats; every number is N."""
    text = re.sub(r"\bf?[\"'](?=\s*$)|^\s*f?[\"']|^\s*#", "", text, flags=re.MULTILINE)  # where a literal is folded
    text = re.sub(r"\{[^{}]*\}|\d+(?:[.,]\d+)*", "N", text)
    return " ".join(re.sub(r"[\"'`*_#|>]", "", text).lower().split())


def test_a_folded_sentence_is_seen() -> None:
    assert plain('    f"it gives up, p is above "\n    f"its *patience* by then, {limit}"') == plain(
        "it gives up, p is above its patience by then, 0.296"
    )


def test_none_of_the_sentences_that_were_read_twice_stands_anywhere() -> None:
    found, files = [], 0
    for room in ROOMS:
        for path in [ROOT / room, *(ROOT / room).rglob("*")]:
            if path.is_file() and path.suffix in TEXTS:
                files += 1
                text = plain(path.read_text(encoding="utf-8", errors="replace"))
                found += [f"{_shown(path)}: {sentence}" for sentence in READ_TWICE if plain(sentence) in text]
    assert files > 200
    assert not found, "\n".join(found)


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))
