"""What the journal's hash begins with: settings that make the result, and of these what is not at its default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from journals_by_hand import config_for

import firerl
from firerl.agents.quadratic.learner import Quadratic
from firerl.config.promised import aside_of, differing, identity, split, together, with_aside, without
from firerl.config.run_config import RunConfig
from firerl.errors import SettingError
from firerl.evolution.algorithms import fire
from firerl.learner import Learner
from firerl.storage.generation import first_hash
from firerl.storage.journal.journal_db import Journal


class Old(Quadratic):
    """A learner as it was, with places of data."""

    settings: ClassVar[Mapping[str, Any]] = {
        **Quadratic.settings, "rate": 1.0, "root": "/", "data": {"root": "/", "size": 3, "kinds": {"a": 1}}
    }  # fmt: skip
    aside: ClassVar[tuple[str, ...]] = ("root", "data.root")


class New(Old):
    """The same, with settings that were made later."""

    settings: ClassVar[Mapping[str, Any]] = {
        **Old.settings, "extra": [1, 2], "data": {"root": "/", "size": 3, "kinds": {"a": 1, "b": 2}, "more": None}
    }  # fmt: skip


def config(learner: type[Learner], **settings: Any) -> RunConfig:
    return dataclasses.replace(config_for(Path("r")), settings={**learner.settings, **settings})


def promised(learner: type[Learner], **settings: Any) -> dict[str, Any]:
    return split(config(learner, **settings), learner, fire)[0]


def test_a_new_setting_changes_no_hash_of_a_run_that_does_without_it() -> None:
    assert promised(New) == promised(Old)
    changed = {"root": "/", "size": 4, "kinds": {"a": 1}}
    complete = {**changed, "kinds": {"a": 1, "b": 2}, "more": None}
    assert promised(New, data=complete, rate=2.0) == promised(Old, data=changed, rate=2.0)
    assert promised(New, extra=[1, 3]) != promised(New)


@pytest.mark.parametrize(
    "settings",
    [{"rate": 2.0}, {"rate": 1}, {"rate": True}, {"data": {"root": "/", "size": 4, "kinds": {"a": 1}}},
     {"data": {"root": "/", "size": 3, "kinds": {"a": 2}}}, {"data": {"root": "/", "size": 3, "kinds": {}}},
     {"data": {}}, {"data": None}],
)  # fmt: skip
def test_what_makes_another_result_makes_another_hash(settings: dict[str, Any]) -> None:
    assert promised(Old, **settings) != promised(Old)


def test_where_data_lie_is_no_part_of_it() -> None:
    elsewhere = {"root": "/elsewhere", "size": 3, "kinds": {"a": 1}}
    assert promised(Old, root="/x", data=elsewhere) == promised(Old)
    assert identity(config(Old, root="/x", data=elsewhere), Old) == identity(config(Old), Old)


def test_an_algorithms_new_setting_changes_no_hash() -> None:
    run = config(Old)
    run = dataclasses.replace(
        run, algo=dataclasses.replace(run.algo, settings={"truncation": 0.5, "significance": 0.05})
    )
    later: Any = ModuleType("later")
    later.Settings = dataclasses.make_dataclass("Settings", [("new", int, 3)], bases=(fire.Settings,), frozen=True)
    with_new = {**run.algo.settings, "new": 3}
    newer = dataclasses.replace(run, algo=dataclasses.replace(run.algo, settings=with_new))
    assert split(newer, Old, later)[0] == split(run, Old, fire)[0]
    other = dataclasses.replace(run, algo=dataclasses.replace(run.algo, settings={**with_new, "new": 4}))
    assert split(other, Old, later)[0] != split(run, Old, fire)[0]


def test_both_parts_together_are_the_whole() -> None:
    for settings in ({}, {"rate": 2.0}, {"data": {"root": "/", "size": 4, "kinds": {"a": 1}}}, {"data": {}}):
        run = config(Old, **settings)
        kept, usual = split(run, Old, fire)
        whole = together(kept, usual)
        assert usual["aside"] == ["root", "data.root"]
        assert whole["settings"] == without(run.settings, Old.aside)
        assert whole["algo"]["settings"] == firerl.base.settings.plain(run.algo.settings)


def test_a_default_that_no_file_could_hold_is_not_the_same() -> None:
    assert differing({"a": "x"}, {"a": object}) == {"a": "x"}


def test_a_resume_changes_what_is_aside_and_nothing_else() -> None:
    settings = dict(Old.settings)
    changed = with_aside(Old, settings, {"data": {"root": "/new"}, "learner": {"root": "/x"}})
    assert changed == {**settings, "root": "/x", "data": {**settings["data"], "root": "/new"}}
    assert with_aside(Old, settings, {"data": {"size": 3}}) == settings  # typed again
    assert with_aside(Old, settings, aside_of(Old, changed)) == changed
    words = (
        r"data\.size cannot change when a run is resumed: of the learner's settings only learner\.root, data\.root can"
    )
    with pytest.raises(SettingError, match=words):
        with_aside(Old, settings, {"data": {"root": "/new", "size": 4}})
    with pytest.raises(SettingError, match=r"learner\.nothing cannot change .* only none can"):
        with_aside(Quadratic, Quadratic.settings, {"learner": {"nothing": 4}})


def test_a_run_is_the_same_with_a_default_typed_or_not(tmp_path: Path) -> None:
    hashes = set()
    for name, settings in (("a", {}), ("b", {"noise": Quadratic.settings["noise"]})):
        firerl.run(
            "quadratic", settings=settings, population=[2], evaluators=0, algo="pbt", steps=20, eval_interval=10,
            ready_interval=20, engine="inline", logger="none", progress=False, run_dir=tmp_path / name,
        )  # fmt: skip
        journal = Journal.open(tmp_path / name)
        hashes.add(journal.hashes()[-1][2])
        kept = firerl.evolution.plain.loads(journal.rows().meta["promised"])
        assert "noise" not in kept["settings"]
        assert first_hash(kept, journal.initial_state()) == journal.hashes()[0][2]
    assert len(hashes) == 1
