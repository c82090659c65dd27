"""One spelling for names of code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from firerl.base.code_names import module_of, spelled


@pytest.mark.parametrize(
    ("role", "name", "kept", "module"),
    [
        ("learner", "vmpo", "vmpo", None),
        ("learner", "mine:Own", "mine.Own", "mine"),
        ("learner", "my.own:Own", "my.own.Own", "my.own"),
        ("learner", "my.own.Own", "my.own.Own", "my.own"),
        ("learner", ":Own", ":Own", ""),
        ("learner", "__main__.Own", "__main__.Own", "__main__"),
        ("logger", "trackers:Folder", "trackers.Folder", "trackers"),
        ("algo", "fire", "fire", None),
        ("algo", "rivals:tournament", "rivals.tournament", "rivals.tournament"),
        ("env", "Humanoid", "Humanoid", None),
        ("env", "json:Own-v0", "json:Own-v0", "json"),
        ("env", "json.Own-v0", "json:Own-v0", "json"),
        ("env", "json.decoder.space/Own-v0", "json.decoder:space/Own-v0", "json.decoder"),
        ("env", "here.Own-v0", "here:Own-v0", "here"),
        ("env", "cheetah.run", "cheetah.run", None),  # a task of somebody's own learner: there is no such module
        ("env", "ALE/Some.Thing-v5", "ALE/Some.Thing-v5", None),
    ],
)
def test_a_colon_and_a_dot_are_the_same(
    role: str, name: str, kept: str, module: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert spelled(role, name) == spelled(role, kept) == kept
    assert module_of(role, kept) == module
    assert "here" not in sys.modules


def test_an_id_with_a_dot_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium

    monkeypatch.setitem(gymnasium.registry, "json.Own-v0", None)  # type: ignore[misc]
    assert spelled("env", "json.Own-v0") == "json.Own-v0"
