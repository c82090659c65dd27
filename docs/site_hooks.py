"""For mkdocs: what the site needs that Markdown cannot say."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:firerl|agents|envs|configs|tests|benchmarks|examples)(?:/[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A link to a file of the repository outside docs/ becomes plain text; the search finds the notebook last."""
    if page.file.src_uri.startswith("lab/"):
        page.meta["search"] = {"boost": 0.2}
    return _OUTSIDE.sub(r"\1", markdown)
