"""The settings of a run, read from its journal."""

from __future__ import annotations

from firerl import __version__
from firerl.config.run_config import LONGEST_NAME, RunConfig, from_plain
from firerl.errors import RunFolderError, SettingError
from firerl.evolution.space import Space
from firerl.storage.journal.journal_db import Journal


def config_of(journal: Journal) -> RunConfig:
    """The settings of a run. Raises RunFolderError where this firerl cannot read them."""
    path, writer = journal.run_dir / "journal.sqlite", journal.writer()
    try:
        config = from_plain(journal.config())
        for name in (config.learner, config.algo.name):
            if len(name) > LONGEST_NAME:
                raise ValueError(f"{name:.40}... is no name of a learner or an algorithm")
        _check_population(config, journal)
        return config
    except (SettingError, ValueError, TypeError) as error:
        if writer == __version__:
            raise RunFolderError(f"{path} is damaged: {error}") from error
        told = f"it was written by firerl {writer}, which reads it; this is firerl {__version__}"
        raise RunFolderError(f"{path} cannot be read: {error}; {told}") from error


def _check_population(config: RunConfig, journal: Journal) -> None:
    """Raise ValueError, SettingError where the settings are of another population than the one that is there: whoever
    makes it again, or draws it, would take time and memory for what they say."""
    there = len(journal.initial_state().workers)
    if (wanted := sum(config.sizes) + config.evaluators) != there:
        raise ValueError(f"its settings are of {wanted:,} workers, and it has {there:,}")
    Space.parse(config.space)
