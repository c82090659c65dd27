"""What the documents say, as tests run it."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run_commands(text: str) -> None:
    """``python -m firerl.<command> <arguments>``, line by line, without an interpreter for each."""
    for line in text.strip().splitlines():
        python, option, module, *arguments = shlex.split(line)
        assert (python, option) == ("python", "-m")
        assert importlib.import_module(module).main(arguments) == 0, line
