"""Videos in a gallery: one picture a scene, found with its time; moved, changed, deleted, damaged and hostile ones."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pictures
from araclip import AraCLIP, Gallery
from araclip.cli import app
from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.open import open_gallery
from araclip.gallery.results import Hit

pytest.importorskip("av")

from araclip.pictures.video import decoder
from postgres_server import needs_server
from videos import BLUE, video


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture and a video of three scenes, red, green and blue. Read only: see `folder`."""
    root = tmp_path_factory.mktemp("clips")
    video(
        root / "رحلة.mp4", title="رحلة إلى البحر", creation_time="2023-05-17T18:30:00", location="+24.7136+046.6753/"
    )  # fmt: skip
    pictures.solid(root / "red.png", pictures.RED)
    return root


@pytest.fixture
def folder(clips: Path, tmp_path: Path) -> Path:
    return shutil.copytree(clips, tmp_path / "clips")


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP, folder: Path) -> Iterator[Gallery]:
    """It holds `folder`."""
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        opened.update([folder])
        yield opened


def moment(hit: Hit) -> tuple[str, float | None]:
    return Path(hit.file).name, hit.time


def test_a_query_finds_the_scene_that_shows_it_with_its_time(gallery: Gallery, folder: Path) -> None:
    assert moment(gallery.search("أخضر", 1)[0]) == ("رحلة.mp4", 2.0)
    assert moment(gallery.search("blue", 1)[0]) == ("رحلة.mp4", 4.0)
    assert gallery.search("blue", 1)[0].file == str(folder / "رحلة.mp4")
    assert [hit.time for hit in gallery.search("red", where="format=PNG")] == [None]


def test_a_video_is_one_hit_at_its_best_scene(gallery: Gallery) -> None:
    assert [moment(hit) for hit in gallery.search("blue")] == [("رحلة.mp4", 4.0), ("red.png", None)]
    pages = [gallery.search("blue", 1, offset=at) for at in range(3)]
    assert [moment(hit) for page in pages for hit in page] == [("رحلة.mp4", 4.0), ("red.png", None)]
    assert [hit.time for hit in gallery.search("blue", where="scenes=all")] == [4.0, 2.0, 0.0, None]


def test_a_video_counts_as_one_file_and_its_scenes_as_pictures(gallery: Gallery, folder: Path) -> None:
    stats = gallery.stats()
    assert (stats.files, stats.pictures, stats.formats) == (2, 4, {"MP4": 3, "PNG": 1})
    assert stats.file_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert stats.captured_at == ("2023-05-17T18:30:00", "2023-05-17T18:30:00")


def test_filters_tell_videos_from_pictures(gallery: Gallery) -> None:
    assert [hit.time for hit in gallery.search("red", where="kind=video")] == [0.0]
    assert [hit.time for hit in gallery.search("red", where="kind=picture")] == [None]
    assert [hit.time for hit in gallery.search("red", where="near=24.7,46.7,10km")] == [0.0]
    with pytest.raises(InputError, match="picture, video"):
        gallery.search("red", where="kind=film")


def test_an_unchanged_or_moved_video_is_not_decoded(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecodable(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("araclip.gallery.ingest.videos.find_scenes", undecodable)
    assert gallery.update([folder]).unchanged == 2
    (folder / "رحلة.mp4").rename(folder / "trip.mp4")
    report = gallery.update([folder])
    assert (report.added, report.removed, report.skipped) == (1, 1, [])
    assert moment(gallery.search("أخضر", 1)[0]) == ("trip.mp4", 2.0)


def test_metadata_follow_a_video_whose_old_name_is_taken(gallery: Gallery, folder: Path) -> None:
    gallery.add([folder / "رحلة.mp4"], metadata={"album": "بحر"})
    (folder / "رحلة.mp4").rename(folder / "trip.mp4")
    video(folder / "رحلة.mp4", noise=1)
    gallery.update([folder])
    hits = gallery.search("أخضر", where=["meta.album=بحر", "scenes=all"])
    assert {Path(hit.file).name for hit in hits} == {"trip.mp4"}
    assert len(hits) == 3


def test_a_changed_video_has_new_scenes_and_a_deleted_one_none(gallery: Gallery, folder: Path) -> None:
    video(folder / "رحلة.mp4", [BLUE, pictures.RED], noise=1)
    assert gallery.update([folder]).added == 1
    assert [hit.time for hit in gallery.search("blue", where=["kind=video", "scenes=all"])] == [0.0, 2.0]
    (folder / "رحلة.mp4").unlink()
    assert gallery.update([folder]).removed == 1
    assert len(gallery) == 1


def test_a_scene_is_named_by_its_time_and_removed_by_its_path(gallery: Gallery, folder: Path) -> None:
    path = str(folder / "رحلة.mp4")
    assert gallery.picture(f"{path}#t=2").startswith(b"\xff\xd8")  # JPEG
    assert [moment(hit) for hit in gallery.similar(f"{path}#t=0", 1)] == [("red.png", None)]
    assert gallery.explain("أخضر", f"{path}#t=2.0").score > gallery.explain("أخضر", f"{path}#t=4.0").score
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.picture(f"{path}#t=3")
    gallery.remove([path])
    assert len(gallery) == 1


def test_who_hides_or_shows_scene_hides_or_shows_its_whole_video(gallery: Gallery, folder: Path) -> None:
    scene, beside = gallery.search("green", 1)[0].path, folder / "رحلة.mp4 2.png"  # a name that begins like the video's
    pictures.solid(beside, pictures.GREEN)
    gallery.update([folder])
    assert gallery.hide([scene]) == 3
    assert gallery.hidden() == [str(folder / "رحلة.mp4")]
    left = gallery.search("blue", where="scenes=all")
    assert [moment(hit) for hit in left] == [(beside.name, None), ("red.png", None)]
    assert gallery.hide([scene], hidden=False) == 3
    assert gallery.hidden() == []


def test_words_of_a_video_find_it_once(gallery: Gallery) -> None:
    found = gallery.search("البحر")
    assert moment(found[0])[0] == "رحلة.mp4"
    assert {match.field for match in found[0].matched} == {"caption"}
    assert len(found) == 2


def test_verify_tells_of_a_video_once_and_repair_mends_a_scene(gallery: Gallery, folder: Path) -> None:
    assert gallery.verify(contents=True) == []
    catalog = gallery._catalog
    with catalog.writing():
        catalog.change("UPDATE contents SET vector = zeroblob(length(vector)) WHERE format = 'MP4'")
    assert {fault.repairable for fault in gallery.verify()} == {True}
    assert [line.endswith("encoded again.") for line in gallery.repair()] == [True] * 3
    assert moment(gallery.search("blue", 1)[0]) == ("رحلة.mp4", 4.0)
    os.utime(folder / "رحلة.mp4", (0, 0))
    assert [fault.what for fault in gallery.verify()] == ["changed since it was indexed"]


def test_copies_of_a_video_are_one_group_of_duplicates(gallery: Gallery, folder: Path) -> None:
    shutil.copy(folder / "رحلة.mp4", folder / "copy.mp4")
    gallery.update([folder])
    size = (folder / "copy.mp4").stat().st_size
    assert [(group.kind, len(group.paths), group.spare_bytes) for group in gallery.duplicates()] == [("exact", 2, size)]


def test_an_export_has_the_time_of_each_scene(gallery: Gallery, tmp_path: Path, folder: Path) -> None:
    gallery.export(tmp_path / "export")
    lines = (tmp_path / "export" / "pictures.jsonl").read_text(encoding="utf-8").splitlines()
    files = [file for line in lines for file in json.loads(line)["files"]]
    assert sorted(file["time"] for file in files if file["path"] == str(folder / "رحلة.mp4")) == [0.0, 2.0, 4.0]
    assert [file["path"] for file in files if "time" not in file] == [str(folder / "red.png")]


def test_damaged_and_hostile_videos_are_skipped_with_a_line(gallery: Gallery, folder: Path) -> None:
    whole = (folder / "رحلة.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    (folder / "empty.mkv").write_bytes(b"")
    (folder / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{folder / 'رحلة.mp4'}'\n", encoding="utf-8")
    (folder / "stream.mov").write_text(f"#EXTM3U\n#EXTINF:4,\nfile://{folder / 'رحلة.mp4'}\n", encoding="utf-8")
    pictures.solid(folder / "picture.png", pictures.RED).rename(folder / "picture.avi")
    report = gallery.update([folder])
    assert sorted(Path(line.split(": ")[0]).name for line in report.skipped) == [
        "cut.mp4", "empty.mkv", "list.mp4", "picture.avi", "stream.mov",
    ]  # fmt: skip
    assert report.added == 0


def test_a_slow_process_is_ended_and_the_next_video_is_read(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video(folder / "new.mp4", [BLUE], noise=2)
    monkeypatch.setattr(decoder, "SECONDS", -decoder.LATE_SECONDS)  # no answer is in time
    assert "to decode" in gallery.update([folder]).skipped[0]
    monkeypatch.undo()
    assert gallery.update([folder]).added == 1


def test_without_the_extra_known_videos_stay_and_are_found(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("araclip.gallery.ingest.scan.can_read", lambda: False)
    report = gallery.update([folder])
    assert (report.removed, report.unread) == (0, {"video": 1})
    assert moment(gallery.search("blue", 1)[0]) == ("رحلة.mp4", 4.0)


def test_a_picture_file_cannot_take_the_name_of_a_scene(gallery: Gallery, folder: Path) -> None:
    shutil.copy(folder / "red.png", folder / "رحلة.mp4#t=00002.000")
    assert gallery.update([folder]).added == 0
    with pytest.raises(InputError, match="scene"):
        gallery.add([folder / "رحلة.mp4#t=00002.000"])


def test_a_video_can_be_added_with_pictures_and_few_scenes(gallery: Gallery, folder: Path) -> None:
    clip = video(folder / "many.mp4", [BLUE, pictures.RED] * 2, seconds=1, noise=4)
    gallery.scenes = 2
    added = gallery.add([folder / "red.png", clip, folder / "رحلة.mp4"], metadata={"album": "رحلة"})
    assert [Path(path or "").name for path in added.paths] == ["red.png", "many.mp4", "رحلة.mp4"]
    found = gallery.search("blue", where=["meta.album=رحلة", "scenes=all", "name=many"])
    assert 1 <= len(found) <= 2
    gallery.scenes = 0
    with pytest.raises(InputError, match="from 1 to 500"):
        gallery.update([folder])


def test_a_video_is_committed_whole_or_not_at_all(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    clip = video(folder / "new.mp4", [BLUE, pictures.RED], noise=5)
    with monkeypatch.context() as dying:
        dying.setattr("araclip.gallery.ingest.videos.stored_paths", die)  # after its scenes, before the commit
        with pytest.raises(Killed):
            gallery.update([folder])
    assert gallery._catalog.files(str(clip)) == {}
    assert gallery.update([folder]).added == 1
    assert len(gallery._catalog.files(str(clip))) == 2


@needs_server
def test_a_gallery_on_a_server_knows_scenes_too(address: str, folder: Path, model: AraCLIP) -> None:
    with open_gallery(address, model=model, create=True) as remote:
        remote.update([folder])
        assert moment(remote.search("أخضر", 1, where="kind=video")[0]) == ("رحلة.mp4", 2.0)
        assert remote.stats().files == 2 and len(remote) == 4
        store = remote._catalog  # what the page's home shows: a video once
        assert len(store.ids_and_dates(Filters())[0]) == len(list(store.listing())) == 2
        assert len(store.ids_and_dates(Filters(every_scene=True))[0]) == 4
        assert len(store.positions()) == 1
        assert remote.update([folder]).unchanged == 2
        scene = remote.search("أخضر", 1, where="kind=video")[0].path
        assert (remote.hide([scene]), remote.hidden()) == (3, [str(folder / "رحلة.mp4")])
        assert remote.hide([scene], hidden=False) == 3
        (folder / "رحلة.mp4").rename(folder / "trip.mp4")
        assert remote.update([folder]).removed == 1
        assert moment(remote.search("blue", 1)[0]) == ("trip.mp4", 4.0)
        remote.remove([folder / "trip.mp4"])
        assert len(remote) == 1


def test_the_command_line_prints_the_file_and_the_time(gallery: Gallery, folder: Path, tiny_model: Path) -> None:
    command = ["search", "blue", "--gallery", str(gallery.folder), "--model", str(tiny_model), "-k", "1"]
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["results"]
    assert [(hit["path"], hit["time"]) for hit in found] == [(str(folder / "رحلة.mp4"), 4.0)]
    assert CliRunner().invoke(app, [*command, "--paths"]).stdout == f"{folder / 'رحلة.mp4'}\n"
    assert "0:04" in CliRunner().invoke(app, command).stdout


def test_who_stops_does_not_wait_for_a_video(gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video(folder / "new.mp4", [BLUE], noise=6)
    stopped: list[bool] = []

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("araclip.gallery.ingest.videos.VideoIntake._commit", stop)
    monkeypatch.setattr("araclip.gallery.ingest.videos.stop_all", lambda: stopped.append(True))
    with pytest.raises(KeyboardInterrupt):
        gallery.update([folder])
    assert stopped == [True]
    monkeypatch.undo()
    assert gallery.update([folder]).added == 1


def test_a_caption_beside_a_video_finds_it(gallery: Gallery, folder: Path) -> None:
    (folder / "رحلة.mp4.txt").write_text("جبال مغطاة بالثلوج", encoding="utf-8")
    gallery.update([folder])
    found = gallery.search("جبال مغطاة")[0]
    assert (moment(found)[0], {match.field for match in found.matched}) == ("رحلة.mp4", {"caption"})
    (folder / "رحلة.mp4.txt").unlink()
    gallery.update([folder])
    assert not gallery.search("جبال مغطاة")[0].matched
