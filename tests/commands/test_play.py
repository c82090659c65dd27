"""Playing the winner, finished or not, with and without a film."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from journals_by_hand import config_for, members_of
from runs_for_tests import tiny_run

import firerl
from firerl.base.disk.files import digest
from firerl.commands import play
from firerl.config.run_config import RunConfig, to_plain
from firerl.evolution.population import Report, State
from firerl.learner import Learner
from firerl.storage import checkpoint
from firerl.storage.generation import BestEver, File, Point
from firerl.storage.store import Store
from firerl.winner import film
from firerl.winner import network as network_of_run

pytestmark = pytest.mark.unverified("journals made by hand")

needs_ffmpeg = pytest.mark.skipif(
    not (importlib.util.find_spec("imageio") and importlib.util.find_spec("imageio_ffmpeg")),
    reason="the extra firerl[video] is not installed",
)


class Corridor(gymnasium.Env):
    """Three steps to the right end the episode; a picture is 30 x 40."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, render_mode: str | None = None, broken: bool = False):
        self.render_mode = render_mode
        self.broken = broken
        self.observation_space = gymnasium.spaces.Box(-9, 9, (1,))
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place += float(action[0])
        return np.full(1, self.place, np.float32), 1.0, self.place >= 3, False, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        if self.broken:
            raise RuntimeError("no OpenGL here\nand more")
        return np.full((30, 40, 3), int(self.place * 50), np.uint8)


gymnasium.register("Corridor-v0", Corridor)


class Walker(Learner):
    """Walks at the speed of its weights."""

    settings: ClassVar[Mapping[str, Any]] = {"env": {"name": "Corridor-v0", "kwargs": {}}}

    def __init__(self, settings: Mapping[str, Any], hyperparameters: Mapping[str, Any], seed: int, device: str):
        self.speed = 0.0

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None: ...

    def train(self, steps: int) -> dict[str, float]:
        return {}

    def evaluate(self, seed: int) -> float:
        return self.speed

    def state(self) -> dict[str, Any]:
        return {"weights": self.speed, "stream": None}

    def load(self, weights: Any = None, stream: Any = None) -> None:
        self.speed = weights

    def act(self, observations: np.ndarray, mean: bool = True) -> np.ndarray:
        assert mean
        assert observations.shape == (1, 1)
        return np.full((1, 1), self.speed, np.float32)

    def episodes(self, count: int, seed: int, mean: bool = True) -> list[tuple[float, int]]:
        return [(self.speed + seed, 3)] * count


class Mute(Walker):
    """Has no episodes."""

    episodes = None  # type: ignore[assignment]


def walker_config(run_dir: Path, learner: str = "test_play.Walker", **env: Any) -> RunConfig:
    settings = {"env": {"name": "Corridor-v0", "kwargs": env}}
    return config_for(run_dir, task="Corridor-v0", learner=learner, settings=settings)


def unfinished(config: RunConfig) -> None:
    """A run with one generation: worker 1 leads with weights 1.0, worker 0 was best ever with weights 0.5."""
    run_dir, state = Path(config.run_dir), members_of(config)
    curves = {0: (0.5,), 1: (2.0,)}
    state = State(tuple(w if w.id > 1 else type(w)(**{**vars(w), "curve": curves[w.id]}) for w in state.workers))
    store = Store.create(run_dir, to_plain(config), {}, state)
    files = []
    for worker, speed in ((0, 0.5), (1, 1.0), (2, 7.0), (3, 7.0)):
        data, name = checkpoint.dumps({"weights": speed, "stream": None}), f"g000001-w{worker}.pt"
        (store.checkpoints / name).write_bytes(data)
        files.append(File(worker, 1, name, len(data), digest(data)))
    best = BestEver(0, 20, 9.0, {"lr": 0.1}, files[0].name)
    store.commit(store.last(), 20, [Point([Report(0, 20, 0.5)], [])], state, files, best, {})
    store.close()


def finished(config: RunConfig) -> None:
    """The same with the files of the end: the winner has weights 1.5, the best ever 3.0."""
    unfinished(config)
    best = {
        "task": config.task, "learner": config.learner, "settings": config.settings, "hyperparameters": {"lr": 0.1},
        "objective": 2.5, "network_step": 40, "weights": 1.5,
    }  # fmt: skip
    ever = {**best, "objective": 9.0, "network_step": 20, "weights": 3.0}
    run_dir = Path(config.run_dir)
    (run_dir / "best.pt").write_bytes(checkpoint.dumps(best))
    (run_dir / "best_ever.pt").write_bytes(checkpoint.dumps(ever))
    (run_dir / "result.json").write_text(json.dumps({"worker": 1}))


def test_the_winner_plays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(walker_config(tmp_path / "r"))
    assert play.main([str(tmp_path / "r"), "--episodes", "2", "--seed", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Corridor-v0: winner at step 40: last evaluation 2.5",
        "episode   1  return        4.500  length      3",
        "episode   2  return        4.500  length      3",
        "mean         return        4.500  length      3.0",
    ]


def test_the_best_ever_plays(tmp_path: Path) -> None:
    finished(walker_config(tmp_path / "r"))
    network = network_of_run.load(tmp_path / "r", best_ever=True)
    assert (network.weights, network.objective, network.hyperparameters) == (3.0, 9.0, {"lr": 0.1})


def test_an_unfinished_run_plays_its_best_member_beside_the_one_that_runs_it(tmp_path: Path) -> None:
    unfinished(walker_config(tmp_path / "r"))
    running = Store.open(tmp_path / "r")  # holds the lock
    network = network_of_run.load(tmp_path / "r")
    assert (network.weights, network.objective, network.hyperparameters) == (1.0, 2.0, {"lr": 0.2})
    assert network_of_run.load(tmp_path / "r", best_ever=True).weights == 0.5
    running.close()


def test_a_run_without_a_generation_has_nobody_to_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = walker_config(tmp_path / "r")
    Store.create(tmp_path / "r", to_plain(config), {}, members_of(config)).close()
    assert play.main([str(tmp_path / "r")]) == 2
    assert "nothing to play yet" in capsys.readouterr().err


def test_a_learner_without_episodes_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(walker_config(tmp_path / "r", "test_play.Mute"))
    assert play.main([str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert "evaluate(0) = 1.5" in out
    assert "no episodes to play" in out
    assert play.main([str(tmp_path / "r"), "--video", str(tmp_path / "a.mp4")]) == 2


@needs_ffmpeg
def test_a_film_holds_every_step_and_appears_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import imageio

    finished(walker_config(tmp_path / "r"))
    video = tmp_path / "a.mp4"
    assert play.main([str(tmp_path / "r"), "--episodes", "2", "--video", str(video)]) == 0
    out = capsys.readouterr().out
    assert "episode   1  return        2.000  length      2" in out  # 1.5 a step, 3 to go
    with imageio.get_reader(video) as reader:
        shapes = [frame.shape for frame in reader]
    assert shapes == [(30, 40, 3)] * 6  # two episodes: the first picture, and one a step
    assert {path.name for path in tmp_path.iterdir()} == {"r", "a.mp4"}


@needs_ffmpeg
def test_what_cannot_be_rendered_is_one_line_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(walker_config(tmp_path / "r", broken=True))
    assert play.main([str(tmp_path / "r"), "--video", str(tmp_path / "a.mp4")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("firerl: Corridor-v0 cannot be rendered: no OpenGL here")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@needs_ffmpeg
def test_a_film_that_breaks_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walker, "act", lambda *_: 1 / 0)
    walker = Walker({}, {}, 0, "cpu")
    with pytest.raises(ZeroDivisionError):
        list(film.film(walker, {"env": {"name": "Corridor-v0"}}, 1, 0, tmp_path / "a.mp4"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["{}/none"],
        ["{}"],
        [],
        ["{}", "--episodes", "0"],
        ["{}", "--episodes", "x"],
        ["{}", "--seed", "-1"],
        ["{}", "--video", "{}/a.avi"],
        ["{}", "--video", "{}/none/a.mp4"],
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert play.main([argument.format(tmp_path) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("firerl: ")
    assert captured.err.count("\n") == 1


class Screen(Corridor):
    """Opens a window where its mode says so."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 20}
    windows: ClassVar[list[str | None]] = []

    def __init__(self, render_mode: str | None = None, broken: bool = False):
        super().__init__(render_mode, broken)
        if render_mode == "human":
            self.windows.append(render_mode)


gymnasium.register("FirerlScreen-v0", Screen, max_episode_steps=4)


@pytest.mark.parametrize("mode", [None, "rgb_array", "human", "ansi"])
def test_a_run_with_a_render_mode_of_its_own_can_be_filmed(mode: str | None) -> None:
    env = film._rendering("FirerlScreen-v0", {"render_mode": mode, "max_episode_steps": 2})
    assert env.render().shape == (30, 40, 3)
    assert env.step(env.action_space.sample())[2:4] == (False, False)
    assert env.step(env.action_space.sample())[2:4] == (False, True)
    assert Screen.windows == []


def test_no_file_opens_a_window(tmp_path: Path) -> None:
    """A person who types render_mode=human has it; from a run folder it is left out."""
    env: Any = {"name": "FirerlScreen-v0", "kwargs": {"render_mode": "human", "broken": False}}
    run = tiny_run(tmp_path / "run", "ppo", env, steps=80)
    assert Screen.windows
    Screen.windows.clear()
    (run / "result.json").unlink()
    firerl.resume(run, progress=False)
    firerl.resume(run, steps=160, progress=False)
    assert play.main([str(run), "--episodes", "1"]) == 0
    firerl.load_policy(run)
    learner = network_of_run.build(network_of_run.load(run))
    assert learner.config["env"]["kwargs"] == {"broken": False}  # type: ignore[attr-defined]
    assert Screen.windows == []
