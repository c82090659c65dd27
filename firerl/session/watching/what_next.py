"""Lines to paste: what a person may type of a run that has begun, and of one that has ended.

They hold what the run must be given again in another process: code that no file may name, and whom to connect to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firerl.config.learners import is_homeless
from firerl.config.named_code import options_line, to_type_again
from firerl.config.run_config import RunConfig
from firerl.storage.lock import STOPPED
from firerl.storage.remote.address import is_remote
from firerl.storage.remote.upload import resume_line


def at_the_start(config: RunConfig, folder: str) -> list[str]:
    """The lines that one would have to put together: none where the folder of the run says all."""
    if not to_type_again(config):
        return []
    return [resume_line(folder, None, config), *([_play(folder, config)] if config.settings.get("env") else [])]


def at_the_end(
    result: Mapping[str, Any],
    run_dir: Path,
    place: str | None,
    tensorboard: bool,
    plays: bool,
    config: RunConfig | None = None,
) -> list[str]:
    """``plays``: there is something to play; ``place``: what to call the run folder, as typed, or its address;
    ``config``: of the run, None: it must be given nothing again."""
    folder, homeless = place or str(run_dir), config is not None and is_homeless(config.learner)
    quoted = shlex.quote(folder)
    commands = [_play(folder, config) if plays and not homeless else f"python -m firerl.report {quoted}"]
    commands.append(f"python -m firerl.journal {quoted}")
    if tensorboard:
        where = run_dir if place is None or is_remote(place) else Path(place)
        commands.append(f"tensorboard --logdir {shlex.quote(str(where / 'tensorboard'))}")
    stopped = result.get("stopped") == STOPPED
    if not tensorboard or stopped or homeless or (config and to_type_again(config)):
        commands.append(resume_line(folder, None, config, 0 if stopped else 2 * result.get("steps", 0)))
    return commands


def _play(folder: str, config: RunConfig | None) -> str:
    again = {} if config is None else to_type_again(config)
    line = options_line(f"python -m firerl.play {shlex.quote(folder)}")
    return line({role: again[role] for role in ("learner", "env") if role in again})
