"""Videos, part by part: paths of scenes, the choice of scenes, containers and codecs, what a frame looks like."""

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("av")

from araclip.errors import ImageError
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.video import decoder, worker
from araclip.pictures.video.frames import Video
from araclip.pictures.video.scenes import LATEST, clock, file_of, scene_of, scene_path, stored_path
from pictures import GREEN, RED
from videos import BLUE, trimmed, video


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[None]:
    yield
    decoder.CHILDREN.close()


@settings(max_examples=40)
@given(st.text(min_size=1), st.floats(0, LATEST))
def test_the_path_of_a_scene_tells_video_and_time(name: str, time: float) -> None:
    path = scene_path(f"/{name}.mp4", time)
    assert scene_of(path) == (f"/{name}.mp4", round(time, 3))
    assert file_of(path) == f"/{name}.mp4"
    assert stored_path(f"/{name}.mp4#t={round(time, 3):.3f}") == path


@pytest.mark.parametrize(
    "path", ["/a.mp4", "/a.png#t=1.000", "/a.mp4#t=", "/a.mp4#t=1:20", "picture:00#t=1.0", "#t=1.0"]
)
def test_other_paths_are_no_scenes(path: str) -> None:
    assert scene_of(path) is None
    assert file_of(path) == stored_path(path) == path


def test_a_time_is_written_as_players_do() -> None:
    assert [clock(time) for time in (0.0, 83.2, 3723.9)] == ["0:00", "1:23", "1:02:03"]


def frames(*levels: int) -> list[worker.Small]:
    """Frames of two halves, the left of this level of grey."""
    made = []
    for level in levels:
        frame = np.full((worker.SIDE, worker.SIDE, 3), 128, np.uint8)
        frame[:, : worker.SIDE // 2] = level
        made.append(frame)
    return made


def test_scene_begins_where_much_has_changed_since_last_one() -> None:
    assert worker.choose_scenes(frames(0, 4, 250, 246, 0), 60) == [0, 2, 4]


def test_slow_changes_add_up_and_plain_frames_are_left_out() -> None:
    assert worker.choose_scenes(frames(128, 0, 20, 40, 60, 250), 60) == [1, 4, 5]
    assert worker.choose_scenes(frames(128, 128), 60) == [0]
    black, white = (np.full((worker.SIDE, worker.SIDE, 3), level, np.uint8) for level in (0, 255))
    assert worker.choose_scenes([black, black, white], 60) == [0, 2]
    assert worker.choose_scenes([], 60) == []


def test_of_too_many_scenes_those_that_differ_most_stay() -> None:
    assert worker.choose_scenes(frames(0, 60, 0, 250, 0, 60), 3) in ([0, 3, 4], [0, 3])


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("b.mkv", "libx264"), ("c.webm", "libvpx")])
def test_containers_and_codecs_give_the_same_scenes(tmp_path: Path, name: str, codec: str) -> None:
    with video(tmp_path / name, codec=codec).open("rb") as file:
        found = decoder.find_scenes(file, name, ImageTransform(16))
        again = decoder.pictures_at(file, name, found.times, ImageTransform(16))
    assert found.times == (0.0, 2.0, 4.0)
    assert found.facts.format == {"a.avi": "AVI", "b.mkv": "MKV", "c.webm": "WEBM"}[name]
    assert [int(square.mean(axis=(0, 1)).argmax()) for square in found.pixels] == [0, 1, 2]  # red, green, blue
    assert (again.pixels == found.pixels).all() and again.phashes == found.phashes


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("b.webm", "libvpx")])
def test_a_recording_without_a_length_has_all_its_scenes(tmp_path: Path, name: str, codec: str) -> None:
    with video(tmp_path / name, codec=codec, options={"live": "1"}).open("rb") as file:  # as browsers record
        assert decoder.find_scenes(file, name, ImageTransform(16)).times == (0.0, 2.0, 4.0)


@pytest.mark.parametrize(("end", "times"), [(9.0, (0.0, 1.5, 3.5)), (0.9, (0.0,))])
def test_a_trimmed_video_has_the_scene_it_begins_with(tmp_path: Path, end: float, times: tuple[float, ...]) -> None:
    path = trimmed(video(tmp_path / "whole.mp4"), tmp_path / "a.mp4", 0.5, end)
    with path.open("rb") as file:
        found = decoder.find_scenes(file, "a.mp4", ImageTransform(16))
        again = decoder.pictures_at(file, "a.mp4", found.times, ImageTransform(16))
    assert found.times == times
    assert int(found.pixels[0].mean(axis=(0, 1)).argmax()) == 0  # red
    assert (again.pixels == found.pixels).all()


class CountingReader(io.BufferedReader):
    """A file that counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_no_scene_is_lost_or_taken_sooner_where_jump_lands_early(tmp_path: Path) -> None:
    colours = [RED, GREEN, BLUE] * 4
    with video(tmp_path / "a.wmv", colours, seconds=1, codec="wmv2").open("rb") as file:
        assert decoder.find_scenes(file, "a.wmv", ImageTransform(16)).times == tuple(map(float, range(12)))
    with video(tmp_path / "b.wmv", [RED] * 36 + [BLUE] * 12, seconds=1, codec="wmv2").open("rb") as file:
        found = decoder.find_scenes(file, "b.wmv", ImageTransform(16), most=2)  # examines eight of 48 key frames
    assert [int(square.mean(axis=(0, 1)).argmax()) for square in found.pixels] == [0, 2]  # red, blue


def test_no_scene_is_lost_where_a_jump_lands_late(tmp_path: Path) -> None:
    about: dict[str, Any] = {"codec": "mpeg2video", "rate": 25, "b_frames": 2, "size": (160, 112)}
    for name in ("a.mts", "a.mpg"):
        with video(tmp_path / name, [RED, GREEN, BLUE] * 4, seconds=1, **about).open("rb") as file:
            opened = Video(file)
            times = [at for at, _ in opened.frames(120)]
            assert [round(at) for at in times] == list(range(12)) and all(map(opened.at, times))
    with video(tmp_path / "one.mts", [RED], seconds=1, **about).open("rb") as file:
        assert len(decoder.find_scenes(file, "one.mts", ImageTransform(16)).times) == 1


def test_minutes_without_key_frame_are_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video(tmp_path / "a.mp4", [RED], seconds=120, rate=25, key_every=24, size=(640, 480))
    monkeypatch.setattr("araclip.pictures.video.frames.PACKETS", 300)
    with path.open("rb") as file:
        reader = CountingReader(file)
        assert [at for at, _ in Video(reader).frames(240)] == [0.0, 24.0, 48.0, 72.0, 96.0]
    assert reader.count < 2 * path.stat().st_size


def test_scenes_of_a_program_stream_are_found_again(tmp_path: Path) -> None:
    about: dict[str, Any] = {"codec": "mpeg2video", "rate": 30, "b_frames": 2, "size": (160, 112)}
    with video(tmp_path / "a.mpg", [RED, GREEN, BLUE] * 2, seconds=1, **about).open("rb") as file:
        found = decoder.find_scenes(file, "a.mpg", ImageTransform(16))
        again = decoder.pictures_at(file, "a.mpg", found.times, ImageTransform(16))
    assert len(found.times) == 5 and again.times == found.times
    assert (again.pixels == found.pixels).all()


def test_a_scene_that_is_not_found_again_costs_no_other_scene(tmp_path: Path) -> None:
    with video(tmp_path / "a.mp4").open("rb") as file:
        assert decoder.pictures_at(file, "a.mp4", [0.0, 3.5, 4.0], ImageTransform(16)).times == (0.0, 4.0)
        with pytest.raises(ImageError, match=r"no frame of it at 3\.500 s can be decoded"):
            decoder.pictures_at(file, "a.mp4", [3.5], ImageTransform(16))


def test_no_more_scenes_than_asked_for_are_found(tmp_path: Path) -> None:
    with video(tmp_path / "a.mp4", [RED, BLUE] * 3, seconds=1).open("rb") as file:
        assert len(decoder.find_scenes(file, "a.mp4", ImageTransform(16), most=2).times) <= 2


def test_a_video_that_a_phone_filmed_upright_is_shown_upright(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [RED])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 4 * 4 + 4 + 8 + 8  # version 0: flags, times and number, length, layer and volume
    assert struct.unpack(">9i", data[at : at + 36])[0] == 1 << 16
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)  # a quarter turn
    path.write_bytes(data)
    with path.open("rb") as file:
        facts = decoder.find_scenes(file, "a.mp4", ImageTransform(16)).facts
    assert (facts.width, facts.height) == (48, 64)


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "c.avi"])
def test_damaged_bytes_give_scenes_or_an_error_of_ours(tmp_path: Path, name: str) -> None:
    whole = video(tmp_path / name, [RED, BLUE]).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(12):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), int(rng.integers(1, 40))):
            data[at] = int(rng.integers(256))
        (tmp_path / name).write_bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))])
        with (tmp_path / name).open("rb") as file, contextlib.suppress(ImageError):
            assert decoder.find_scenes(file, name, ImageTransform(16)).times


def test_a_handed_file_is_read_whole_and_nothing_else_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("http://127.0.0.1:9/secret.mp4\n")
    with (tmp_path / "a.mp4").open("rb") as file, pytest.raises(ImageError, match=r"a\.mp4: not a video"):
        decoder.find_scenes(file, "a.mp4", ImageTransform(16))
