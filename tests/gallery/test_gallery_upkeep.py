"""Maintenance of a gallery: statistics, verification, repair, compaction, export."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import GalleryCorrupt, GalleryError, GalleryLocked, GalleryNotFound, InputError
from araclip.gallery.catalog import writer_lock
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.salvage import salvage
from catalog_file import edited


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "صور"
    pictures.solid(root / "أحمر.jpg")
    pictures.solid(root / "green.png", pictures.GREEN)
    pictures.solid(root / "blue.webp", pictures.BLUE)
    (root / "copy.png").write_bytes((root / "green.png").read_bytes())
    return root


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP, folder: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        opened.update([folder])
        yield opened


def damage(gallery: Gallery, sql: str, *values: object) -> None:
    """Change rows to what no program of ours writes; their pages are sound."""
    with closing(edited(gallery.folder)) as database:
        database.execute(sql, values)


def test_stats_counts_files_pictures_bytes_and_formats(gallery: Gallery, folder: Path) -> None:
    gallery.add([(folder / "green.png").read_bytes()])
    stats = gallery.stats()
    assert (stats.files, stats.pictures, stats.stored) == (5, 3, 1)
    assert stats.formats == {"JPEG": 1, "PNG": 1, "WEBP": 1}
    assert stats.file_bytes == sum(path.stat().st_size for path in [*folder.iterdir(), folder / "green.png"])
    assert stats.catalogue_bytes == (gallery.folder / "catalog.sqlite").stat().st_size
    assert stats.model == gallery.model.config.label
    assert stats.captured_at is None
    assert stats.added is not None
    assert stats.added[0][:2] == "20"


def test_a_new_gallery_has_stats_and_no_fault(tmp_path: Path, model: AraCLIP) -> None:
    with Gallery.open(tmp_path / "new", model=model, create=True) as gallery:
        assert (gallery.stats().pictures, gallery.stats().added) == (0, None)
        assert gallery.verify(contents=True) == []
        assert gallery.repair() == []
        assert gallery.compact() >= 0


def test_a_sound_gallery_has_no_fault(gallery: Gallery) -> None:
    seen: list[tuple[int, int]] = []
    assert gallery.verify(contents=True, progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_verify_names_files_gone_changed_or_damaged(gallery: Gallery, folder: Path) -> None:
    (folder / "copy.png").unlink()
    pictures.solid(folder / "blue.webp", pictures.WHITE, (99, 99))
    red = folder / "أحمر.jpg"
    about, raw = red.stat(), bytearray(red.read_bytes())
    raw[-20] ^= 0xFF
    red.write_bytes(raw)
    os.utime(red, ns=(about.st_atime_ns, about.st_mtime_ns))
    quick = {Path(fault.where).name: fault.what for fault in gallery.verify()}
    assert quick == {"copy.png": "is gone", "blue.webp": "changed since it was indexed"}
    thorough = {Path(fault.where).name: fault for fault in gallery.verify(contents=True)}
    assert "size and time did not" in thorough["أحمر.jpg"].what
    assert not any(fault.repairable for fault in thorough.values())
    assert (
        str(thorough["copy.png"])
        == f"{folder / 'copy.png'}: is gone. Run `araclip index` on its folder, or reconnect the drive."
    )


@pytest.mark.parametrize("vector", [b"", b"\0" * 16, b"\xff" * 16, b"\0" * 14])
def test_a_damaged_vector_is_found_and_encoded_again(gallery: Gallery, vector: bytes) -> None:
    for i in range(12):  # enough for a relevance scale
        pictures.solid(gallery.folder.parent / "صور" / f"{i}.bmp", (20 * i, 9, 240 - 20 * i))
    gallery.update([gallery.folder.parent / "صور"])
    wanted = gallery.search("أخضر")
    damage(gallery, "UPDATE contents SET vector = ? WHERE format = 'PNG'", vector)
    with Gallery.open(gallery.folder, model=gallery.model) as reader:
        assert len(reader.search("أخضر")) == 10  # by the index, which was made before
    (fault,) = gallery.verify()
    assert (Path(fault.where).name, fault.what, fault.repairable) == ("copy.png", "its vector is damaged", True)
    (deed,) = gallery.repair()
    assert deed.endswith("copy.png: encoded again.")
    assert gallery.verify() == []
    assert gallery.search("أخضر") == wanted


def test_a_damaged_vector_comes_back_from_stored_pixels(gallery: Gallery, folder: Path) -> None:
    (kept,) = gallery.add([pictures.solid(folder.parent / "x.png", (90, 90, 0)).read_bytes()]).paths
    damage(gallery, "UPDATE contents SET vector = x'' WHERE id IN (SELECT content FROM kept)")
    assert gallery.repair() == [f"{kept}: encoded again."]
    assert gallery.verify() == []


def test_a_damaged_vector_without_its_picture_is_forgotten(gallery: Gallery, folder: Path) -> None:
    damage(gallery, "UPDATE contents SET vector = x'00' WHERE format <> 'PNG'")
    (folder / "أحمر.jpg").unlink()
    pictures.solid(folder / "blue.webp", pictures.WHITE)
    actions = gallery.repair()
    assert len(actions) == 2
    assert all("forgotten" in deed for deed in actions)
    assert len(gallery) == 1
    assert gallery.update([folder]).pictures == 2


def test_damaged_metadata_is_found_and_cleared(gallery: Gallery) -> None:
    damage(gallery, "UPDATE files SET metadata = '{' WHERE instr(path, x'636f7079')  -- copy")
    assert [fault.what for fault in gallery.verify()] == ["its metadata is damaged"]
    assert gallery.repair() == ["1 damaged metadata entry cleared."]
    assert gallery.verify() == []


def test_compact_gives_space_back_and_keeps_every_picture(gallery: Gallery, folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 300, 300, 3), np.uint8)
    added = gallery.add([pictures.Image.fromarray(pixels) for pixels in noise])
    gallery.remove([path for path in added.paths if path])
    wanted = gallery.search("صورة")
    (gallery.folder / ".catalog.sqlite.0123.tmp").write_bytes(b"left by a kill")
    assert gallery.compact() > 100_000
    assert sorted(path.name for path in gallery.folder.iterdir() if "tmp" in path.name) == []
    assert gallery.search("صورة") == wanted
    assert len(gallery) == 3


def test_an_export_holds_vectors_and_pictures_row_by_row(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    gallery.add([folder / "copy.png"], metadata={"album": "رحلة"})
    out = tmp_path / "صادر"
    assert gallery.export(out) == gallery.export(out) == 3  # an earlier export is replaced
    vectors = np.load(out / "vectors.npy")
    rows = [json.loads(line) for line in (out / "pictures.jsonl").read_text(encoding="utf-8").splitlines()]
    about = json.loads((out / "about.json").read_text(encoding="utf-8"))
    assert (about["fingerprint"], about["width"], about["pictures"]) == (gallery.model.config.fingerprint, 8, 3)
    for vector, row in zip(vectors, rows, strict=True):
        expected = gallery.model.encode_image([row["files"][0]["path"]])[0]
        assert float(vector.astype(np.float32) @ expected) > 0.999
    (green,) = [row for row in rows if row["format"] == "PNG"]
    assert [file["metadata"] for file in green["files"]] == [{"album": "رحلة"}, {}]
    assert (green["width"], green["height"], green["captured_at"]) == (64, 48, None)


def test_export_is_of_one_moment_though_another_process_writes(
    gallery: Gallery, folder: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = Catalog.vectors

    def disturbed(self: Catalog) -> object:
        found = vectors(self)
        monkeypatch.undo()
        with Gallery.open(gallery.folder, model=model) as other:
            other.remove([folder / "green.png", folder / "blue.webp"])
            pictures.solid(folder / "new.png", (9, 9, 9))
            other.add([folder / "new.png"])
        return found

    monkeypatch.setattr(Catalog, "vectors", disturbed)
    assert gallery.export(tmp_path / "out") == 3
    assert len((tmp_path / "out" / "pictures.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_what_a_killed_process_left_is_swept_up(gallery: Gallery, folder: Path) -> None:
    old, young = gallery.folder / ".scan.0a.tmp", gallery.folder / ".scan.0b.tmp"
    for left_over in (old, young):
        left_over.write_bytes(b"half")
    os.utime(old, (1, 1))
    gallery.update([folder])
    assert (old.exists(), young.exists()) == (False, True)


def test_an_export_never_replaces_a_folder_with_other_files(gallery: Gallery, folder: Path) -> None:
    for place in (folder, folder / "green.png"):
        with pytest.raises(InputError, match="not of an export"):
            gallery.export(place)
    assert (folder / "green.png").is_file()


def test_every_write_is_refused_while_another_process_holds_lock(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.update([folder])
    monkeypatch.setattr(writer_lock, "PATIENCE_S", 0)
    pictures.solid(folder / "new.png", (1, 2, 3))
    with writer_lock.writer_lock(gallery.folder):
        for write in (
            lambda: gallery.update([folder]),
            lambda: gallery.add([folder / "green.png"]),
            lambda: gallery.remove([folder]),
            gallery.repair,
            gallery.compact,
        ):
            with pytest.raises(GalleryLocked, match="process"):
                write()
    assert len(gallery) == 3


@pytest.mark.parametrize("page", [2, 4, 6, 8, 10])
def test_of_a_destroyed_page_everything_readable_is_saved(tmp_path: Path, model: AraCLIP, page: int) -> None:
    root = tmp_path / "many"
    for i in range(60):
        pictures.solid(root / f"{'a long name' * 9}{i:02}.png", (i, 2 * i, 255 - i), (8, 8))
    with Gallery.open(tmp_path / "hurt", model=model, create=True) as gallery:
        gallery.update([root])
        wanted = {(hit.path, hit.score) for hit in gallery.search("صورة", 100)}
    path = tmp_path / "hurt" / "catalog.sqlite"
    raw = bytearray(path.read_bytes())
    size = int.from_bytes(raw[16:18], "big")
    raw[(page - 1) * size : page * size] = os.urandom(size)
    path.write_bytes(raw)
    before = bytes(raw)
    try:
        salvage(tmp_path / "hurt")
    except GalleryCorrupt as error:
        assert "what model it is of" in str(error)  # the page that names the model
        assert "elete" not in str(error)
        assert path.read_bytes() == before
        return
    assert path.with_name("catalog.sqlite.damaged").read_bytes() == before
    with Gallery.open(tmp_path / "hurt", model=model) as gallery:
        gallery.repair()
        gallery.update([root])
        assert gallery.verify() == []
        assert {(hit.path, hit.score) for hit in gallery.search("صورة", 100)} == wanted


def test_a_repair_killed_after_moving_the_file_goes_on(gallery: Gallery, model: AraCLIP) -> None:
    wanted = gallery.search("أحمر")
    gallery.close()
    (gallery.folder / "catalog.sqlite").rename(gallery.folder / "catalog.sqlite.damaged")
    assert salvage(gallery.folder)[0] == "contents: 3 rows saved."
    with Gallery.open(gallery.folder, model=model) as again:
        assert again.search("أحمر") == wanted


def test_a_missing_or_unreadable_catalogue_cannot_be_recovered(tmp_path: Path) -> None:
    with pytest.raises(GalleryNotFound, match="araclip index"):
        salvage(tmp_path)
    (tmp_path / "catalog.sqlite").write_bytes(b"junk" * 1000)
    with pytest.raises(GalleryCorrupt, match="only copy"):
        salvage(tmp_path)
    assert (tmp_path / "catalog.sqlite").read_bytes() == b"junk" * 1000


def test_a_gallery_by_a_relative_path_survives_chdir(
    model: AraCLIP, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Gallery.open("here", model=model, create=True) as gallery:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        assert gallery.update([folder]).added == 4
        assert len(gallery.search("صورة")) == 3 and gallery.verify() == []
        gallery.compact()
        assert Path(gallery.stats().folder) == gallery.folder == tmp_path / "here"
    assert list(Path().iterdir()) == []


def test_a_closed_gallery_says_that_it_is_closed(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    gallery.close()
    gallery.close()
    for use in (
        lambda: gallery.search("صورة"),
        lambda: gallery.add([folder / "green.png"]),
        lambda: gallery.update([folder]),
        gallery.compact,
        lambda: gallery.backup(tmp_path / "copy"),
        lambda: gallery.export(tmp_path / "export"),
    ):
        with pytest.raises(GalleryError, match="is closed"):
            use()
