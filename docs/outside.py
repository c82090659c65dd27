"""For mkdocs: a link to a file of the repository outside docs/ becomes plain text, for the site has no such file."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:firerl|agents|envs|configs|tests|benchmarks|examples)/[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text, before it is turned into HTML."""
    return _OUTSIDE.sub(r"\1", markdown)
