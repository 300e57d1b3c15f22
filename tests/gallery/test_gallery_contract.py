"""The interface of every kind of gallery: in a folder, and in a real PostgreSQL server (`make test-postgres`)."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import pictures
from araclip import AraCLIP, Gallery, open_gallery
from araclip.errors import GalleryError, GalleryNotFound, InputError, WidthMismatch
from araclip.gallery import text_matches
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.ingest import intake
from araclip.gallery.open import open_reader
from postgres_server import needs_server, new_address
from tiny import write_tiny_model

Open = Callable[..., BaseGallery]
POSTGRES = pytest.param("postgres", marks=needs_server)
KINDS = ("folder", POSTGRES)


@pytest.fixture
def opening(kind: str, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens one and the same new gallery, as often as it is called."""
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    opened: list[BaseGallery] = []
    place = str(tmp_path / "gallery") if kind == "folder" else new_address()

    def open_(create: bool = True, model: AraCLIP = model) -> BaseGallery:
        opened.append(open_gallery(place, model=model, create=create))
        return opened[-1]

    yield open_
    for gallery in opened:
        gallery.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gallery(opening: Open) -> BaseGallery:
    return opening()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Dated and turned pictures, one twice, one whose name is no text, and sixteen of which four look the same each."""
    root = tmp_path / "صور"
    pictures.solid(root / "أحمر.jpg", pictures.RED)
    pictures.solid(root / "green.png", pictures.GREEN)
    pictures.solid(root / "رحلة 🏖️" / "بحر.webp", pictures.BLUE)
    pictures.oriented(root / "turned.jpg", 6)
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2023:05:17 18:30:00"
    Image.new("RGB", (30, 40), (200, 90, 20)).save(root / "may.jpg", exif=exif)
    shutil.copy(root / "green.png", root / "رحلة 🏖️" / "copy.png")
    if sys.platform == "linux":
        odd = pictures.solid(root / "odd.png", (10, 200, 200), (40, 40))
        odd.rename(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png"))
    else:
        pictures.solid(root / "cafe.png", (10, 200, 200), (40, 40))
    for i in range(16):
        colour = (30 + 50 * (i // 4), 120, 200 - 40 * (i // 4))
        pictures.solid(root / "ties" / f"{i:02}.bmp", colour, (32 * (1 + i % 4), 32))
    return root


def names(gallery: BaseGallery, query: str = "صورة", k: int = 100, **filters: object) -> list[str]:
    hits = gallery.search(query, k, where=Filters(**filters))  # type: ignore[arg-type]
    return [os.fsencode(hit.path).rsplit(b"/", 1)[1].decode("utf-8", "replace") for hit in hits]


def test_update_takes_in_what_is_new_and_forgets_what_vanished(gallery: BaseGallery, folder: Path) -> None:
    first = gallery.update([folder])
    assert (first.added, first.skipped, len(gallery)) == (23, [], 22)
    again = gallery.update([folder])
    assert (again.added, again.unchanged, again.removed) == (0, first.added, 0)
    (folder / "أحمر.jpg").rename(folder / "renamed.jpg")
    (folder / "turned.jpg").unlink()
    pictures.solid(folder / "green.png", (0, 250, 10), (50, 50))
    third = gallery.update([folder])
    assert (third.added, third.removed, third.pictures) == (2, 2, 22)
    assert names(gallery, "أحمر", 1) == ["renamed.jpg"]
    assert "turned.jpg" not in names(gallery)
    assert gallery.update([folder]).added == 0


def test_vectors_are_given_for_files_that_did_not_change(gallery: BaseGallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    (folder / "turned.jpg").unlink()
    pictures.solid(folder / "green.png", (0, 250, 10), (50, 50))
    found = gallery.vectors(folder)
    assert len(found) == 21 and str(folder / "رحلة 🏖️" / "copy.png") in found
    assert not {str(folder / "turned.jpg"), str(folder / "green.png")} & found.keys()
    np.testing.assert_allclose([*found.values()], model.encode_image([*found]), atol=1e-3)
    assert [*gallery.vectors(folder / "may.jpg")] == [str(folder / "may.jpg")]
    assert gallery.vectors(folder / "ti") == {}


def test_files_that_change_places_are_found_by_their_new_names(
    gallery: BaseGallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "COMMIT_EVERY", 1)
    gallery.update([folder])
    for first, second in (("may.jpg", "turned.jpg"), ("أحمر.jpg", "ties/00.bmp")):
        (folder / first).rename(folder / "third")
        (folder / second).rename(folder / first)
        (folder / "third").rename(folder / second)
    gallery.update([folder])
    assert len(gallery) == len(gallery.search("صورة", 100)) == 22
    red = gallery.search("أحمر", 1, text_weight=0)  # by its look: another file has the word as its name now
    assert red[0].path.endswith("00.bmp")
    (folder / "may.jpg").write_bytes((folder / "turned.jpg").read_bytes())
    gallery.add([folder / "may.jpg"])  # the picture that it held has no path now
    assert len(gallery) == len(gallery.search("صورة", 100)) == 21
    assert gallery.update([folder]).pictures == 21


def test_file_that_cannot_be_used_is_one_line_and_rest_goes_on(gallery: BaseGallery, folder: Path) -> None:
    pictures.text_as_picture(folder / "text.jpg")
    lines: list[str] = []
    report = gallery.update([folder], skip=lines.append)
    assert (len(lines), report.skipped, len(gallery)) == (1, lines, 22)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(InputError, match="drive unplugged"):
        gallery.update([folder])
    assert len(gallery) == 22


def test_hits_are_exact_cosines_in_order_with_ranks_and_copies(
    gallery: BaseGallery, folder: Path, model: AraCLIP
) -> None:
    gallery.update([folder])
    query = model.encode_text(["سيارة"])[0]
    hits = gallery.search("سيارة", 100)
    assert [hit.rank for hit in hits] == list(range(1, 23))
    assert all(first.score >= second.score for first, second in pairwise(hits))
    for hit in hits:
        assert hit.score == pytest.approx(float(model.encode_image([hit.path])[0] @ query), abs=2e-3)
        assert -1.001 <= hit.score <= 1.001
    (green,) = (hit for hit in hits if hit.path.endswith("green.png"))
    assert [Path(path).name for path in green.copies] == ["copy.png"]


@pytest.mark.parametrize("k", [1, 3, 22])
def test_pages_fit_together_though_scores_tie(gallery: BaseGallery, folder: Path, k: int) -> None:
    gallery.update([folder])
    whole = gallery.search("قطة", 1000)
    assert [hit for start in range(0, 22, k) for hit in gallery.search("قطة", k, offset=start)] == whole
    assert gallery.search("قطة", 10**30) == whole and gallery.search("قطة", k, offset=2**63) == []
    ties = [Path(hit.path).name for hit in whole if "ties" in hit.path]
    assert [sorted(ties[i : i + 4]) for i in range(0, 16, 4)] == [ties[i : i + 4] for i in range(0, 16, 4)]


FILTERS: list[tuple[dict[str, object], set[str]]] = [
    ({"captured_from": "2023-05-17T18:30", "captured_to": "2023"}, {"may.jpg"}),
    ({"captured_from": "2023-06"}, set()),
    ({"added_to": "2020"}, set()),
    ({"formats": ("webp", "GIF")}, {"بحر.webp"}),
    ({"formats": ("jpg",), "orientation": "landscape"}, {"أحمر.jpg", "turned.jpg"}),
    ({"orientation": "portrait"}, {"may.jpg"}),
    ({"max_size": 0}, set()),
    ({"formats": ("PNG",), "metadata": {"album": "رحلة"}}, {"green.png"}),
    ({"metadata": {"stars": "5"}}, {"green.png"}),
    ({"metadata": {"tags": "بحر"}}, {"green.png"}),
    ({"metadata": {"ratio": "1.5", "raw": "true"}}, {"green.png"}),
    ({"metadata": {"ratio": 1.5, "raw": True, "far": 1e20, "stars": 5}}, {"green.png"}),
    ({"metadata": {"raw": False}}, set()),
    ({"metadata": {"flags": "true"}}, {"green.png"}),
    ({"metadata": {"flags": False}}, set()),
    ({"metadata": {"album": "رح"}}, set()),
    ({"folder_name": "رحلة 🏖️"}, {"copy.png", "بحر.webp"}),
    ({"folder_name": ("رحلة 🏖️", "ties"), "formats": ("PNG", "WEBP")}, {"copy.png", "بحر.webp"}),
    ({"folder_name": ("رحلة", "tie")}, set()),
]


def test_a_filter_passes_the_same_pictures_in_both_stores(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    about: dict[str, object] = {"album": "رحلة", "stars": 5, "tags": ["شمس", "بحر"], "ratio": 1.5, "raw": True}
    about |= {"flags": [7, True], "far": 1e20}
    gallery.add([folder / "green.png"], metadata=about)
    for filters, expected in FILTERS:
        assert set(names(gallery, **filters)) == expected, filters
    assert set(names(gallery, folder=folder / "رحلة 🏖️")) == {"copy.png", "بحر.webp"}
    assert (
        len(names(gallery, folder=folder)) == len(names(gallery, folder="/")) == len(names(gallery, min_size=1)) == 22
    )
    with pytest.raises(InputError, match="no picture has the folder"):
        names(gallery, folder=folder.parent / "صو")
    assert gallery.metadata(str(folder / "green.png")) == about
    both = Filters(folder=folder / "رحلة 🏖️", metadata={"album": "رحلة"})
    assert gallery.search("صورة", where=both) == []  # of two paths of one picture, neither passes both
    (hit,) = gallery.search("أخضر", 1, where=Filters(folder=folder / "رحلة 🏖️"))
    assert (Path(hit.path).name, [Path(path).name for path in hit.copies]) == ("copy.png", ["green.png"])


def test_the_word_null_and_long_texts_are_stored_like_others(gallery: BaseGallery, folder: Path) -> None:
    letters = np.random.default_rng(5).choice(list("ابتثجحخدذرزسشصضطظعغفقكلمنهوي"), 5000)  # nothing that compresses
    long = "".join(letters)
    pictures.solid(folder / "null.png", (1, 2, 3))
    gallery.update([folder])
    about = ({"name": f"{long}.jpg"}, {"text": long}, {"text": f"{long}!"}, {"text": "null"})
    paths = gallery.add([Image.new("RGB", (9, 9), (60 * i, 7, 7)) for i in range(4)], metadata=about).paths
    assert names(gallery, name="NULL") == ["null.png"]
    for number, text in ((1, long), (2, f"{long}!"), (3, "null")):
        assert [hit.path for hit in gallery.search("صورة", where=Filters(metadata={"text": text}))] == [paths[number]]
    assert gallery.metadata(str(paths[0])) == about[0]
    assert gallery.search("null", 1, literal=True)[0].matched


def test_scans_with_a_date_are_found_by_day_and_month(gallery: BaseGallery, tmp_path: Path) -> None:
    for year in (1868, 1969, 1970, 2026):
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{year}:07:20 23:59:59"
        Image.new("RGB", (30, 40), (year % 256, 90, 20)).save(tmp_path / f"{year}.jpg", exif=exif)
    gallery.update([tmp_path])
    every = ["1868.jpg", "1969.jpg", "1970.jpg", "2026.jpg"]
    assert sorted(names(gallery, months=(7,))) == sorted(names(gallery, days=(20,))) == every
    assert sorted(names(gallery, months=(7,), days=(20,), captured_to="1969")) == every[:2]
    assert names(gallery, months=(6, 8)) == names(gallery, days=(19, 21)) == []


def test_pictures_without_a_file_are_kept_found_and_given_back(gallery: BaseGallery, folder: Path) -> None:
    data = (folder / "أحمر.jpg").read_bytes()
    added = gallery.add([data, Image.new("RGB", (20, 20), "blue"), data, b"nothing"], metadata={"who": "me"})
    assert added.paths[0] == added.paths[2] != added.paths[1]
    assert added.paths[3] is None
    assert len(added.skipped) == 1
    (best,) = gallery.search("أحمر", 1, where=Filters(metadata={"who": "me"}))
    assert best.path == added.paths[0]
    assert Image.open(io.BytesIO(gallery.picture(best.path))).size == (64, 48)
    assert [hit.path for hit in gallery.similar(best.path)] == [added.paths[1]]
    assert gallery.search(f"{best.path} + أزرق", 1)[0].relevance is None
    gallery.remove([best.path])
    assert len(gallery) == 1
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.picture(best.path)


def test_few_pictures_are_added_without_reading_hashes_of_all(
    gallery: BaseGallery, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.update([folder])
    before = len(gallery)

    def unwanted() -> set[bytes]:
        raise AssertionError("the hashes of all pictures were read")

    monkeypatch.setattr(gallery._catalog, "digests", unwanted)
    new = pictures.solid(tmp_path / "elsewhere" / "new.png", (7, 70, 200))
    copy = Path(shutil.copy(folder / "أحمر.jpg", tmp_path / "elsewhere" / "copy.jpg"))
    added = gallery.add([new, copy, *[Image.new("RGB", (8, 8), (n, 9, 99)) for n in range(20)], copy])
    assert (added.skipped, len(gallery)) == ((), before + 21)
    assert gallery.add([copy]).paths == (str(copy),)
    (hit,) = gallery.search("أحمر", k=1)
    assert {hit.path, *hit.copies} == {str(copy), str(folder / "أحمر.jpg")}


def test_remove_forgets_paths_and_folders_or_nothing(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    gallery.add([folder / "green.png"], metadata={"album": "x"})
    with pytest.raises(InputError, match="nothing is removed"):
        gallery.remove([folder / "green.png", folder / "none.png"])
    assert gallery.remove([folder / "ties"]) == 16
    assert gallery.remove([str(folder / "green.png")]) == 1
    assert len(gallery) == 6
    assert gallery.metadata(str(folder / "رحلة 🏖️" / "copy.png")) == {"album": "x"}  # the copy inherits


def test_similar_leaves_the_picture_itself_out(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    hits = gallery.similar(folder / "ties" / "00.bmp", 3)
    assert {Path(hit.path).name for hit in hits} == {"01.bmp", "02.bmp", "03.bmp"}
    assert hits[0].relevance is None


def test_duplicates_of_every_kind(gallery: BaseGallery, folder: Path) -> None:
    photo = pictures.photograph(folder / "photo.jpg", (320, 240))
    with Image.open(photo) as whole:
        whole.resize((160, 120)).save(folder / "small.jpg")
    gallery.update([folder])
    exact, near = gallery.duplicates(("exact",)), gallery.duplicates(("near",))
    assert {tuple(sorted(Path(path).name for path in group.paths)) for group in exact} >= {("copy.png", "green.png")}
    assert [[Path(path).name for path in group.paths] for group in near] == [["photo.jpg", "small.jpg"]]
    assert gallery.duplicates(("semantic",))
    assert len(names(gallery, collapse=True)) == len(gallery) - 1
    with pytest.raises(InputError, match="unknown kind"):
        gallery.duplicates(("odd",))


def test_stats_verify_and_export_tell_the_same(gallery: BaseGallery, folder: Path, tmp_path: Path) -> None:
    gallery.update([folder])
    gallery.add([(folder / "أحمر.jpg").read_bytes()])
    numbers = gallery.stats()
    assert (numbers.pictures, numbers.stored, numbers.width, numbers.formats["BMP"]) == (22, 1, 8, 16)
    assert numbers.captured_at == ("2023-05-17T18:30:00", "2023-05-17T18:30:00")
    assert gallery.verify(contents=True) == []
    (folder / "green.png").unlink()
    (fault,) = gallery.verify()
    assert (Path(fault.where).name, fault.what) == ("green.png", "is gone")
    assert gallery.export(tmp_path / "export") == 22
    vectors = np.load(tmp_path / "export" / "vectors.npy")
    lines = (tmp_path / "export" / "pictures.jsonl").read_text(encoding="utf-8").splitlines()
    assert (vectors.shape, vectors.dtype, len(lines)) == ((22, 8), np.float16, 22)
    assert {"sha256", "format", "files", "added"} < set(json.loads(lines[0]))
    assert gallery.repair() == []
    assert gallery.compact() >= 0


def test_writers_take_turns_and_a_reader_sees_what_was_committed(
    opening: Open, gallery: BaseGallery, folder: Path
) -> None:
    reader = opening(create=False)

    def second(done: int, found: int) -> None:
        assert reader.update([folder]).pictures == 22

    gallery.update([folder], progress=second)
    assert len(reader.search("صورة", 100)) == 22
    before = reader.stats().generation
    gallery.remove([folder / "ties"])
    assert len(reader.search("صورة", 100)) == 6
    assert reader.stats().generation != before


def test_another_model_is_refused_with_both_names(
    opening: Open, gallery: BaseGallery, folder: Path, tmp_path: Path
) -> None:
    gallery.update([folder])
    other = AraCLIP.load(write_tiny_model(tmp_path / "other", width=12, seed=1, name="other"))
    for create in (False, True):
        with pytest.raises(WidthMismatch, match=r"8-wide vectors of tiny@\w+, but other@\w+ makes 12-wide"):
            opening(create=create, model=other)
    assert len(gallery.search("أحمر", 100)) == 22


def test_what_is_not_there_is_not_found(opening: Open) -> None:
    with pytest.raises(GalleryNotFound, match="araclip index"):
        opening(create=False)
    new = opening()
    assert (new.search("أحمر"), len(new), new.duplicates(), new.verify()) == ([], 0, [], [])
    with pytest.raises(InputError, match="empty"):
        new.search(" ")


def test_relevance_and_threshold_come_from_the_same_scale(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    hits = gallery.search("أحمر", 100)
    assert all(hit.relevance is not None for hit in hits)
    cut = gallery.search("أحمر", 100, threshold=0.5)
    assert cut == [hit for hit in hits if hit.relevance is not None and hit.relevance >= 0.5]


def test_a_day_in_words_is_that_day_of_every_year(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    for query in ("17 مايو", "صورة May 17", "17 و18 مايو"):
        assert names(gallery, query) == ["may.jpg"]
    hits = gallery.search("صورة 18 مايو", 100)
    assert len(hits) == 22
    assert [each.applied for each in hits.interpretation.filters] == [False]  # type: ignore[union-attr]


def test_an_exclusion_alone_shows_the_rest_in_both_stores(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    green = {hit.path for hit in gallery.search("صورة - أخضر", 100)} ^ {hit.path for hit in gallery.search("صورة", 100)}
    assert 0 < len(green) < 22
    for query in ("بدون أخضر", "- أخضر", "صور - أخضر"):
        hits = gallery.search(query, 100)
        assert len(hits) == 22 - len(green)
        assert not green & {hit.path for hit in hits}
        assert not isinstance(gallery, Gallery) or hits[0].path.endswith("may.jpg")  # the only one with a date


QUERIES = ("أحمر", "قطة + أخضر - أزرق", "2:سيارة + 0.5:أحمر", "{picture} + أزرق", "{picture} - أحمر")


@needs_server
def test_a_folder_and_a_server_in_postgres_answer_alike(
    tmp_path: Path, model: AraCLIP, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    with (
        Gallery.open(tmp_path / "gallery", model=model, create=True) as local,
        open_gallery(new_address(), model=model, create=True) as remote,
    ):
        for gallery in (local, remote):
            gallery.update([folder])
            kept = gallery.add([Image.new("RGB", (30, 30), (250, 200, 10))]).paths[0]
        for text in QUERIES:
            one, other = (gallery.search(text.format(picture=kept), 100) for gallery in (local, remote))
            scores, relevance = ({hit.path: getattr(hit, name) for hit in other} for name in ("score", "relevance"))
            assert scores == pytest.approx({hit.path: hit.score for hit in one}, abs=1e-3)
            assert relevance == pytest.approx({hit.path: hit.relevance for hit in one}, abs=1e-2)
            for before, after in pairwise(one):  # equal scores too stand in the same order
                if before.score == after.score or before.score - after.score > 2e-3:
                    assert list(scores).index(before.path) < list(scores).index(after.path)
            assert [hit.copies for hit in one if hit.copies] == [hit.copies for hit in other if hit.copies]


@pytest.mark.parametrize("kind", KINDS)
def test_words_in_names_metadata_and_captions_are_found(opening: Open, tmp_path: Path) -> None:
    root = tmp_path / "صور"
    for i in range(5):
        pictures.solid(root / f"other {i}.png", (40 * i, 0, 0))
    pictures.solid(root / "فاتورة الكهرباء.png", pictures.RED)
    (root / "other 1.txt").write_text("برج الساعة", encoding="utf-8")
    gallery = opening()
    gallery.update([root])
    gallery.add([root / "other 2.png"], metadata={"album": "عيد ميلاد"})
    for query, name, field in (
        ("فاتوره كهرباء", "فاتورة الكهرباء", "name"),
        ("الساعه", "other 1", "caption"),
        ("اعياد الميلاد", "other 2", "metadata"),
    ):
        for opened in (gallery, opening(create=False)):
            best = opened.search(query, 1, literal=True)[0]
            assert (Path(best.path).stem, [match.field for match in best.matched]) == (name, [field])
    whole = [hit.path for hit in gallery.search("برج الساعة", 10, literal=True)]
    assert whole == [gallery.search("برج الساعة", 1, offset=i, literal=True)[0].path for i in range(6)]
    assert not any(hit.matched for hit in gallery.search("برج", literal=True, text_weight=0))
    (root / "other 1.txt").unlink()
    gallery.update([root])
    assert not any(hit.matched for hit in gallery.search("برج", literal=True))


def test_a_filter_finds_a_picture_though_many_share_its_words(
    gallery: BaseGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_matches, "MOST", 3)  # pictures that a text lifts, among 11 that have the word
    monkeypatch.setattr(text_matches, "AT_ONCE", 4)
    root = tmp_path / "صور"
    for i in range(9):
        pictures.solid(root / f"برج {i}.png", (20 + 20 * i, 0, 0))
    for i in range(3):
        pictures.solid(root / f"other {i}.png", (0, 50 + 50 * i, 0))
    gallery.update([root])
    for i in range(2):
        pictures.solid(root / "new" / f"برج {i}.png", (0, 0, 90 + 50 * i))
    gallery.update([root])

    def matched(**filters: object) -> list[str]:
        hits = gallery.search("برج", 20, where=Filters(**filters), literal=True)  # type: ignore[arg-type]
        return sorted(Path(hit.path).parent.name for hit in hits if hit.matched)

    assert matched(folder_name="new") == ["new", "new"]
    assert matched() == ["صور"] * 3
    gallery.hide([root / f"برج {i}.png" for i in range(9)])
    assert matched() == ["new", "new"]


def test_picture_without_date_has_one_in_its_name_and_says_so(gallery: BaseGallery, folder: Path) -> None:
    named = folder / "IMG-20240110-WA0007.png"
    (folder / "green.png").rename(named)
    (folder / "may.jpg").rename(folder / "IMG_20200101_000000.jpg")  # its own date counts
    gallery.update([folder])

    def dates() -> dict[str, tuple[str | None, bool]]:
        contents, _ = gallery._catalog.ids_and_dates(Filters.of("captured=2000.."))
        records = gallery._catalog.records(contents.tolist()).values()
        return {record.copies[0].name: (record.captured_at, record.captured_by_name) for record in records}

    own = ("2023-05-17T18:30:00", False)
    assert dates() == {named.name: ("2024-01-10T00:00:00", True), "IMG_20200101_000000.jpg": own}
    beside = named.with_suffix(".xmp")  # tells the very day that stands in the name
    packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    packet += '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreateDate="2024-01-10T00:00:00"/>'
    beside.write_text(f"{packet}</rdf:RDF></x:xmpmeta>", encoding="utf-8")
    gallery.update([folder])
    assert dates()[named.name] == ("2024-01-10T00:00:00", False)
    beside.unlink()
    named.rename(folder / "green.png")
    gallery.update([folder])
    assert dates() == {"IMG_20200101_000000.jpg": own}
    data = io.BytesIO()
    Image.new("RGB", (24, 24), (99, 99, 99)).save(data, "PNG")
    uploaded = {"name": "Screenshot_20260110-123456.png"}
    (stored,) = gallery.add([data.getvalue()], metadata=uploaded).paths
    assert len(dates()) == 2
    gallery.add([data.getvalue()], metadata={"name": "cat.png"})
    assert dates() == {"IMG_20200101_000000.jpg": own}
    gallery.add([data.getvalue()], metadata=uploaded)
    (folder / "file.png").write_bytes(data.getvalue())
    gallery.update([folder])
    assert len(dates()) == 2
    assert stored is not None
    gallery.remove([stored])
    assert dates() == {"IMG_20200101_000000.jpg": own}
    gallery.add([folder / "file.png"], metadata=uploaded)
    gallery.add([data.getvalue()])
    assert len(dates()) == 1
    gallery.remove([folder / "file.png"])  # the stored picture inherits the uploaded name, and its date
    assert len(dates()) == 2


# ------------------------------------------------------------------ what filters name


def test_a_folder_without_pictures_is_refused_with_those_there(gallery: BaseGallery, folder: Path) -> None:
    assert gallery.search("أحمر", where="folder=nothing") == []  # there is nothing to name yet
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Pixel 8"
    Image.new("RGB", (30, 40), (1, 90, 30)).save(folder / "pixel.jpg", exif=exif)
    gallery.update([folder])

    def found(where: str) -> set[str]:
        return {Path(hit.path).name for hit in gallery.search("أحمر", 40, where=where)}

    assert found("folder=رحلة 🏖️") == found("folder=رحله 🏖️") == found(f"folder={folder}/رحلة 🏖️") == {
        "بحر.webp", "copy.png"
    }  # fmt: skip
    assert len(found("folder=TIES")) == 16
    assert found("camera=pixel") == {"pixel.jpg"}
    for where, there in (
        ("folder=رحلات", "ties, رحلة 🏖️, صور"),
        (f"folder={folder}/none", "ties, رحلة 🏖️, صور"),
        ("camera=Canon", "Pixel 8"),
    ):
        with pytest.raises(InputError) as caught:
            found(where)
        assert str(caught.value).endswith(f"There are: {there}.")
    assert gallery.search("أحمر", where="place=القاهرة") == []  # no picture tells any place
    gallery.hide([folder / "ties"])
    for where in ("folder=ties", "folder=none"):  # a folder of hidden pictures is as unknown as any other
        with pytest.raises(InputError, match=r"There are: رحلة 🏖️, صور\."):
            found(where)


# ------------------------------------------------------------------ what Python gives


def test_hits_carry_date_folder_and_size_as_an_export_does(gallery: BaseGallery, folder: Path, tmp_path: Path) -> None:
    gallery.update([folder])
    gallery.add([folder / "may.jpg"], metadata={"album": "عيد"})
    (hit,) = gallery.search("أحمر", 1, where="captured=2023")
    size = (folder / "may.jpg").stat().st_size
    assert (hit.captured_at, hit.folder, hit.width, hit.height, hit.bytes) == (
        "2023-05-17T18:30:00", "صور", 30, 40, size
    )  # fmt: skip
    gallery.export(tmp_path / "export")
    lines = (tmp_path / "export" / "pictures.jsonl").read_text("utf-8").splitlines()
    exported = {about["sha256"]: about for about in map(json.loads, lines)}
    for path in (folder / "may.jpg", folder / "green.png"):
        details = gallery.details(path)
        assert exported[details["sha256"]].items() <= details.items()
    assert details["files"][1]["path"].endswith("copy.png") or details["files"][0]["path"].endswith("copy.png")
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.details(folder / "none.png")


def test_a_vector_of_the_model_is_a_query(gallery: BaseGallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    data = (folder / "green.png").read_bytes()
    vector = model.encode_image(data)
    np.testing.assert_allclose(vector, model.encode_image(folder / "green.png"), atol=1e-6)
    assert model.encode_image([data, folder / "may.jpg"]).shape == (2, model.width)
    found = [hit.path for hit in gallery.search(3 * vector.astype(np.float64), 5)]
    assert found == [hit.path for hit in gallery.search(data, 5)]
    for wrong in (vector[:-1], np.zeros_like(vector), np.full_like(vector, np.nan), np.arange(model.width)):
        with pytest.raises(InputError, match="vector of shape"):
            gallery.search(wrong)


def test_a_notebook_shows_hits_as_thumbnails(gallery: BaseGallery, folder: Path) -> None:
    pictures.solid(folder / "<b>أحمر.png", (254, 1, 1))
    gallery.update([folder])
    gallery.add([np.full((24, 24, 3), 200, np.uint8)], metadata={"name": "مرفوع.png"})
    hits = gallery.search("أحمر", 40)
    html = hits._repr_html_()
    assert html.count("data:image/jpeg;base64,") == html.count("<figure") == min(30, len(hits))
    assert "<b>" not in html
    (folder / "turned.jpg").unlink()
    assert hits._repr_html_().count("<img") == min(30, len(hits)) - 1
    assert gallery.search("x", where="format=GIF")._repr_html_().count("<figure") == 0


def test_update_draws_bar_on_terminal_and_nothing_elsewhere(
    gallery: BaseGallery, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gallery.update([folder])
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    gallery.update([folder])
    assert "Indexing" in capfd.readouterr().err
    gallery.update_at([str(folder / "may.jpg")], [folder])
    gallery.update([folder], progress=lambda done, found: None)
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------ what is hidden stays so


def test_hidden_stays_hidden_when_a_save_pauses_or_a_file_moves(
    gallery: BaseGallery, folder: Path, tmp_path: Path
) -> None:
    gallery.update([folder])
    edited, moved = folder / "أحمر.jpg", folder / "may.jpg"
    gallery.hide([edited, moved])
    whole = pictures.solid(tmp_path / "new.jpg", (250, 3, 3)).read_bytes()
    edited.write_bytes(whole[:-60])  # half of the new picture, for longer than a watcher waits
    assert gallery.update_at([str(edited)], [folder]).removed == 1
    edited.write_bytes(whole)
    gallery.update_at([str(edited)], [folder])
    other = tmp_path / "other"
    other.mkdir()
    shutil.move(moved, other)
    gallery.update([folder])
    gallery.update([other])
    assert gallery.hidden() == sorted(map(str, (edited, other / "may.jpg")))

    gallery.hide([edited, other / "may.jpg"], hidden=False)  # and shown again is for good
    for path in (edited, other / "may.jpg"):
        gallery.remove([path])
    gallery.update([folder])
    gallery.update([other])
    assert gallery.hidden() == []


def scene(path: Path, number: int, shade: int = 0) -> Path:
    """A photograph-like drawing: the same number and another shade look alike, another number does not."""
    rng = np.random.default_rng(number)
    grey = Image.fromarray(rng.integers(0, 200, (6, 6), np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
    return pictures.saved(Image.eval(grey, lambda value: value + shade), path)


def hidden_names(gallery: BaseGallery) -> list[str]:
    return [Path(path).name for path in gallery.hidden()]


@pytest.mark.parametrize("alike", [False, True], ids=["unlike", "a burst"])
@pytest.mark.parametrize("upwards", [False, True], ids=["down", "up"])
def test_a_renumbered_folder_hides_no_neighbour(
    gallery: BaseGallery, tmp_path: Path, alike: bool, upwards: bool
) -> None:
    root = tmp_path / "صور"
    for number in range(1, 6):
        scene(root / f"00{number}.png", 7 if alike else number, 5 * number)
    gallery.update([root])
    gallery.hide([root / "003.png"])
    secret = (root / "003.png").read_bytes()
    for turn in range(3):
        files = {int(path.stem): path.read_bytes() for path in root.iterdir()}
        for path in root.iterdir():
            path.unlink()
        for number, content in files.items():
            (root / f"{number + (1 if upwards else -1):03}.png").write_bytes(content)
        if upwards:
            scene(root / "001.png", 7 if alike else 40 + turn, 40 + turn)
        assert gallery.update([root]).hidden == 0
        assert [Path(path).read_bytes() for path in gallery.hidden()] == [secret]


@pytest.mark.parametrize("alike", [False, True], ids=["unlike", "a burst"])
def test_two_pictures_that_swap_names_stay_as_they_were(gallery: BaseGallery, tmp_path: Path, alike: bool) -> None:
    one, two = scene(tmp_path / "ص" / "1.png", 1), scene(tmp_path / "ص" / "2.png", 1 if alike else 2, 9)
    gallery.update([one.parent])
    gallery.hide([one])
    secret = one.read_bytes()
    for _ in range(2):
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)
        gallery.update([one.parent])
        assert [Path(path).read_bytes() for path in gallery.hidden()] == [secret]


def test_an_edited_picture_stays_hidden_and_another_does_not(gallery: BaseGallery, tmp_path: Path) -> None:
    root = tmp_path / "صور"
    edited, turned, other, copied = (scene(root / f"{n}.png", n) for n in range(1, 5))
    shutil.copy(copied, root / "copy.png")
    gallery.update([root])
    gallery.hide([edited, turned, other, copied])
    scene(edited, 1, 20)
    with Image.open(turned) as opened:
        quarter = opened.transpose(Image.Transpose.ROTATE_90)
    pictures.saved(quarter, turned)
    scene(other, 30)  # the camera gives the name again
    scene(copied, 4, 20)  # its copy is not new
    assert gallery.update([root]).hidden == 3
    assert hidden_names(gallery) == ["1.png", "2.png", "4.png", "copy.png"]
    gallery.hide([edited], hidden=False)
    scene(edited, 1, 30)
    assert gallery.update([root]).hidden == 0
    assert hidden_names(gallery) == ["2.png", "4.png", "copy.png"]


def test_what_was_taken_for_an_edit_is_shown_when_it_was_none(gallery: BaseGallery, tmp_path: Path) -> None:
    root, later = tmp_path / "صور", tmp_path / "later"
    later.mkdir()
    first, _ = scene(root / "1.png", 1), scene(root / "2.png", 2)
    gallery.update([root])
    gallery.hide([first])
    shutil.move(first, later / "moved.png")
    scene(first, 1, 20)  # the next of a burst gets the name
    assert gallery.update([root]).hidden == 1
    assert gallery.update([later]).hidden == 0
    assert gallery.hidden() == [str(later / "moved.png")]


def test_a_hidden_picture_comes_back_hidden_wherever(gallery: BaseGallery, tmp_path: Path) -> None:
    root, later = tmp_path / "صور", tmp_path / "later"
    first, second = scene(root / "1.png", 1), scene(root / "2.png", 2)
    scene(root / "3.png", 3)
    gallery.update([root])
    gallery.hide([first, second])
    later.mkdir()
    for path in (first, second):
        shutil.move(path, later)
    gallery.update([root])
    scene(first, 20)  # others take both names, one in the same run and one later
    gallery.update([root])
    scene(second, 21)
    gallery.update([root])
    assert gallery.hidden() == []
    gallery.update([later])
    assert gallery.hidden() == [str(later / "1.png"), str(later / "2.png")]


def test_a_picture_loses_its_only_path_to_an_added_file_at_once(gallery: BaseGallery, tmp_path: Path) -> None:
    path = pictures.solid(tmp_path / "a.png", pictures.RED)
    pictures.solid(tmp_path / "b.png", pictures.BLUE)
    gallery.add([path, tmp_path / "b.png"])
    Image.new("RGB", (40, 40), pictures.GREEN).save(path, "bmp")
    gallery.add([path])
    assert gallery.stats().formats == {"BMP": 1, "PNG": 1}
    assert names(gallery, formats=("PNG",)) == ["b.png"] and len(gallery) == 2


def test_folders_of_hidden_pictures_are_not_listed(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    assert gallery._catalog.overview().folders == {"صور": 5, "رحلة 🏖️": 2, "ties": 16}
    gallery.hide([folder / "ties"])
    assert gallery._catalog.overview().folders == {"صور": 5, "رحلة 🏖️": 2}
    gallery.hide([folder / "green.png"])  # and its copy with it
    assert gallery._catalog.overview().folders == {"صور": 4, "رحلة 🏖️": 1}


# ------------------------------------------------------------------ files that are gone


@pytest.mark.parametrize("kind", ["folder"], indirect=True)
def test_files_that_are_gone_are_no_hits(gallery: BaseGallery, tmp_path: Path) -> None:
    root = tmp_path / "صور"
    one = pictures.solid(root / "A" / "x.png", pictures.RED)
    (root / "B").mkdir()
    shutil.copy(one, root / "B" / "x.png")
    (tmp_path / "drive").mkdir()
    pictures.solid(tmp_path / "drive" / "far.png", pictures.BLUE)
    (root / "far.png").symlink_to(tmp_path / "drive" / "far.png")
    for number in range(60):
        pictures.solid(root / f"20{10 + number // 12}-01-{1 + number % 12:02}.png", (number, 9, 100 + number))
    gallery.update([root])
    one.unlink()
    assert gallery.search("أحمر", where=f"folder={root / 'A'}") == []
    (tmp_path / "drive").rename(tmp_path / "unplugged")
    assert "far.png" not in names(gallery)
    for path in sorted(root.glob("*.png"))[10:]:
        path.unlink()
    assert gallery.search("صورة", where="captured=1999").away is None
    shutil.rmtree(root)
    assert gallery.search("صورة", where="captured=1999").away == str(root)


# ------------------------------------------------------------------ names and numbers that could be taken for others


@pytest.mark.parametrize(
    "name", ["clip.mp4#t=1 copy.jpg", "clip.mp4#t=.jpg", "clip.mp4#t=00001.000.png", "clip.mp4#t=9/a.png"]
)
def test_a_picture_named_like_a_scene_is_not_removed_with_it(name: str, gallery: BaseGallery, tmp_path: Path) -> None:
    root = tmp_path / "صور"
    other, like = pictures.solid(root / "clip.mp4.jpg", pictures.RED), pictures.solid(root / name, pictures.BLUE)
    (root / "clip.mp4").write_bytes(other.read_bytes())  # no video, and no picture by its name
    first = pictures.solid(root / "green.png", pictures.GREEN)
    gallery.add([other, like, first])
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.remove([root / "clip.mp4"])
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.hide([root / "clip.mp4"])
    assert gallery.hidden() == [] and len(gallery) == 3


def test_a_number_of_a_removed_picture_is_never_used_again(gallery: BaseGallery, folder: Path) -> None:
    gallery.update([folder])
    used = {gallery._catalog.content_of(path) for path in gallery._catalog.files()}
    gallery.remove([folder])
    gallery.update([folder])
    again = {gallery._catalog.content_of(path) for path in gallery._catalog.files()}
    assert None not in used and not used & again


def test_ocr_of_a_removed_picture_lands_on_no_other(tmp_path: Path, model: AraCLIP, folder: Path) -> None:
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([folder])
        ((content, (path, *_)), *_) = gallery._catalog.without_ocr()[-1:]
        gallery.remove([path])
        new = pictures.solid(folder / "new.png", (7, 7, 7))
        gallery.add([new])
        with gallery._catalog.writing():
            gallery._catalog.put_ocr(content, "فاتورة", "tesseract")
        assert gallery.search("فاتورة", where="name=new*")[0].matched == ()
        assert gallery.verify() == []


def test_a_gallery_folder_that_comes_back_answers_again(tmp_path: Path, model: AraCLIP, folder: Path) -> None:
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([folder])
    reader = open_reader(tmp_path / "g", model)
    before = reader.latest().pictures
    assert before > 0
    (tmp_path / "g").rename(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(GalleryError):
            reader.latest()
    (tmp_path / "away").rename(tmp_path / "g")
    assert reader.latest().pictures == before
    reader.close()
