"""Filters, pages and ties: only what passes is found, all of it, in a stable order."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import File, RecordedModel
from araclip.gallery.catalog.selection import select
from araclip.pictures.facts import Facts
from pictures import read_facts


def dated(path: Path, taken: str, size: tuple[int, int] = (40, 30), tag: int = ExifTags.Base.DateTimeOriginal) -> Path:
    picture, exif = Image.new("RGB", size, (len(taken), *size)), Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[tag] = taken
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, model: AraCLIP) -> Iterator[Gallery]:
    root = tmp_path_factory.mktemp("filters") / "صور"
    dated(root / "2023" / "may.jpg", "2023:05:17 18:30:00")
    dated(root / "2023" / "new year.jpg", "2023:12:31 23:59:59", (30, 40))
    dated(root / "2024" / "scan.webp", "2024:01:01 00:00:00", (30, 30), ExifTags.Base.DateTimeDigitized)
    dated(root / "2024" / "no clock.jpg", "0000:00:00 00:00:00", (41, 30))
    pictures.oriented(root / "2024" / "turned.jpg", 6)  # 32 × 64 as stored, 64 × 32 as seen
    pictures.solid(root / "2024b" / "plain.png", (1, 2, 3), (200, 200))
    with Gallery.open(root.parent / "gallery", model=model, create=True) as opened:
        opened.update([root])
        yield opened


def found(gallery: Gallery, **filters: object) -> set[str]:
    return {Path(hit.path).name for hit in gallery.search("صورة", 50, where=Filters(**filters))}  # type: ignore[arg-type]


ALL = {"may.jpg", "new year.jpg", "scan.webp", "no clock.jpg", "turned.jpg", "plain.png"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ALL),
        ({"captured_from": "2023-06"}, {"new year.jpg", "scan.webp"}),
        ({"captured_to": "2023"}, {"may.jpg", "new year.jpg"}),
        ({"captured_from": "2023-05-17", "captured_to": "2023-05-17"}, {"may.jpg"}),
        ({"captured_from": "٢٠٢٣-١٢-٣١"}, {"new year.jpg", "scan.webp"}),
        ({"captured_from": "2023-05-17 18:30", "captured_to": "2023"}, {"may.jpg", "new year.jpg"}),
        ({"captured_from": "2023-05-17T18:30:01", "captured_to": "2023-12"}, {"new year.jpg"}),
        ({"added_from": "2020"}, ALL),
        ({"orientation": "square"}, {"scan.webp", "plain.png"}),
    ],
)
def test_dates_are_those_of_the_clock_where_it_was_taken(
    gallery: Gallery, filters: dict[str, object], expected: set[str]
) -> None:
    assert found(gallery, **filters) == expected


def test_a_folder_is_that_folder_and_below_not_its_namesakes(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = gallery.folder.parent / "صور"
    below = {"scan.webp", "no clock.jpg", "turned.jpg"}
    assert found(gallery, folder=root / "2024") == below
    assert found(gallery, folder=f"{root}/2024/") == below
    assert found(gallery, folder=root) == found(gallery, folder="/") == ALL
    with pytest.raises(InputError, match=r"no picture has the folder '.*'\. There are: 2023, 2024, 2024b"):
        found(gallery, folder=tmp_path)
    (tmp_path / "link").symlink_to(root / "2024")
    assert found(gallery, folder=tmp_path / "link") == below
    monkeypatch.chdir(root)
    assert found(gallery, folder="2024") == found(gallery, folder="2023/../2024") == below


def test_pictures_outside_of_folders_are_found_by_these(gallery: Gallery) -> None:
    root = gallery.folder.parent / "صور"
    outside = ALL - {"scan.webp", "no clock.jpg", "turned.jpg"}
    assert found(gallery, outside=root / "2024") == found(gallery, outside=("2024",)) == outside
    assert found(gallery, outside=("2024", f"{root}/2024b/")) == outside - {"plain.png"}
    assert found(gallery, outside=("2024",), formats=("PNG",)) == {"plain.png"}
    assert found(gallery, outside=("صور",)) == found(gallery, outside=(root,)) == set()
    texts = ["folder!=2024", "folder!=2024b"]
    assert {Path(hit.path).name for hit in gallery.search("صورة", 50, where=texts)} == outside - {"plain.png"}
    with pytest.raises(InputError, match=r"no picture has the folder '2025'\. There are: 2023, 2024, 2024b"):
        found(gallery, outside=("2025",))


def test_a_folder_after_a_negation_in_a_query_is_left_out(gallery: Gallery) -> None:
    hits = gallery.search("صور ما عدا مجلد 2024", 50)
    assert {Path(hit.path).name for hit in hits} == ALL - {"scan.webp", "no clock.jpg", "turned.jpg"}
    assert hits.interpretation.filters[0].where == ("folder!=2024",)
    nothing_left = gallery.search("صور ما عدا مجلد 2024", 50, where="name=scan")
    assert not nothing_left.interpretation.filters[0].applied


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"captured_from": "yesterday"}, "captured_from is 'yesterday'.*2023-05-17"),
        ({"added_to": "2023-13"}, "added_to"),
        ({"captured_from": "2024", "captured_to": "2023"}, "Swap"),
        ({"formats": ("psd",)}, "no picture format 'psd'.*JPEG"),
        ({"orientation": "wide"}, "landscape, portrait, square"),
        ({"min_size": 2, "max_size": 1}, "nothing can match"),
    ],
)
def test_an_invalid_filter_is_refused(filters: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Filters(**filters)  # type: ignore[arg-type]


@given(st.text(), st.text())
def test_no_value_of_a_filter_is_ever_read_as_sql(gallery: Gallery, key: str, value: str) -> None:
    if "\0" in key + value:  # no path holds it
        return
    try:
        value.encode()
        key.encode()
    except UnicodeEncodeError:
        return
    assert gallery.search("صورة", where=Filters(metadata={key: value})) == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, model: AraCLIP) -> Iterator[Gallery]:
    """Sixty pictures, of which each three look the same to the model; every sixth is a PNG."""
    root = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (20, 3))
    for i in range(60):
        suffix = "png" if i % 6 == 0 else "bmp"
        size = (32 * (1 + i % 3), 32)  # another file, the same mean colours
        pictures.solid(root / "pictures" / f"{i:02}.{suffix}", tuple(colours[i // 3].tolist()), size)
    with Gallery.open(root / "gallery", model=model, create=True) as opened:
        opened.update([root / "pictures"])
        yield opened


@pytest.mark.parametrize("k", [1, 2, 7, 59, 60, 100])
@pytest.mark.parametrize("filters", [None, Filters(formats=("PNG",))])
def test_pages_of_tied_scores_fit_together_without_a_gap(many: Gallery, k: int, filters: Filters | None) -> None:
    whole = many.search("قطة", 1000, where=filters)
    assert len(whole) == (10 if filters else 60)
    pages = [hit for start in range(0, 60, k) for hit in many.search("قطة", k, offset=start, where=filters)]
    assert pages == whole
    assert [hit.rank for hit in whole] == list(range(1, len(whole) + 1))


def test_a_selective_filter_finds_what_an_exact_scan_finds(many: Gallery, model: AraCLIP) -> None:
    pngs = [hit.path for hit in many.search("سيارة", 60) if hit.path.endswith(".png")]
    scores = model.encode_image(pngs) @ model.encode_text(["سيارة"])[0]
    hits = many.search("سيارة", 3, where=Filters(formats=("PNG",)))
    assert [hit.score for hit in hits] == pytest.approx(np.sort(scores)[::-1][:3].tolist(), abs=2e-3)


SELECTIVE = [
    {"min_size": 2},
    {"folder": "/rare"},
    {"captured_from": "2024"},
    {"formats": ("PNG",)},
    {"added_to": "2020"},
]


ROWS, RARE = 4000, 40


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A catalogue of 4,000 pictures, of which every hundredth differs in all that can be filtered by."""
    catalog = Catalog.create(tmp_path_factory.mktemp("rare"), RecordedModel("tiny", "0", 4))
    with contextlib.closing(catalog):
        with catalog.writing():
            for i in range(ROWS):
                content = catalog.add_content(i.to_bytes(32, "big"), np.array([1, 0, 0, 0], np.float32))
                is_rare = i % (ROWS // RARE) == 0
                kind, taken = ("PNG", "2024-01-01T00:00:00") if is_rare else ("JPEG", "2020-01-01T00:00:00")
                catalog.put_facts(content, Facts(kind, 40, 30, taken), i)
                catalog.put_file(File(f"/{'rare' if is_rare else 'many'}/{i}.jpg", 1 + is_rare, 0), content)
            catalog.change("UPDATE contents SET added = '2020-01-01T00:00:00' WHERE format = 'PNG'")
        yield catalog


@pytest.mark.parametrize("filters", SELECTIVE, ids=lambda filters: next(iter(filters)))
def test_a_selective_filter_does_not_look_at_every_picture(filters: dict[str, object], rare: Catalog) -> None:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    rare.connection._db.set_progress_handler(step, 1)  # called for each instruction of SQLite's machine
    found = select(rare, Filters(**filters).condition())  # type: ignore[arg-type]
    rare.connection._db.set_progress_handler(None, 1)
    assert found.tolist() == list(range(1, ROWS + 1, ROWS // RARE))
    assert steps < ROWS


def test_an_invalid_page_is_refused(many: Gallery) -> None:
    with pytest.raises(InputError, match="offset is -1"):
        many.search("قطة", offset=-1)
    with pytest.raises(InputError, match="at least 1"):
        many.similar(os.fspath(many.folder), 0)
    with pytest.raises(InputError, match=r"k is '5', a str; pass a whole number"):
        many.search("قطة", "5")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"offset is 1\.5, a float"):
        many.search("قطة", offset=1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"threshold is None, a NoneType; pass a number"):
        many.search("قطة", threshold=None)  # type: ignore[arg-type]
    assert len(many.search("قطة", np.int64(2))) == 2


def test_facts_survive_a_damaged_exif_block(tmp_path: Path) -> None:
    whole = dated(tmp_path / "a.jpg", "2023:05:17 18:30:00")
    assert read_facts(whole) == Facts("JPEG", 40, 30, "2023-05-17T18:30:00")
    raw = bytearray(whole.read_bytes())
    start = raw.index(b"Exif") + 14
    for i in range(start, start + 40):
        raw[i] = 0xFF
    whole.write_bytes(raw)
    assert read_facts(whole) == Facts("JPEG", 40, 30, None)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], Filters()),
        (["captured=2023"], Filters(captured_from="2023", captured_to="2023")),
        (["captured=2023-05..2023-07-01"], Filters(captured_from="2023-05", captured_to="2023-07-01")),
        (["captured=2023..", "added=..٢٠٢٤"], Filters(captured_from="2023", added_to="2024")),
        (["size=100kB..1.5MB"], Filters(min_size=100_000, max_size=1_500_000)),
        (["size=..2g"], Filters(max_size=2_000_000_000)),
        (["format=jpg, png", "orientation=portrait"], Filters(formats=("JPEG", "PNG"), orientation="portrait")),
        (["folder!=/صور/رحلة", "folder!=a"], Filters(outside=("/صور/رحلة", "a"))),
        (["meta.album=رحلة = بحر", "folder=a=b"], Filters(metadata={"album": "رحلة = بحر"}, folder="a=b")),
    ],
)
def test_filters_are_read_as_people_type_them(texts: list[str], expected: Filters) -> None:
    assert Filters.read(texts) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2023", "KEY=VALUE"),
        ("captured=", "KEY=VALUE"),
        ("captured=..", "captured=.. has no end"),
        ("size= .. ", "size=.. has no end"),
        ("album=رحلة", "no filter 'album'.*meta.KEY"),
        ("meta.=x", "no filter 'meta.'"),
        ("size=big", "'big' is no size"),
        ("captured=2023..yesterday", "captured_to is 'yesterday'"),
    ],
)
def test_a_text_that_is_no_filter_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Filters.read([text])
    with pytest.raises(InputError, match="given twice"):
        Filters.read(["format=PNG", "format=JPEG"])


def test_where_takes_filters_one_text_or_several_and_means_same(gallery: Gallery) -> None:
    wanted = gallery.search("صورة", 50, where=Filters(formats=("JPEG",), orientation="landscape"))
    assert wanted
    assert gallery.search("صورة", 50, where=["format=JPEG", "orientation=landscape"]) == wanted
    assert gallery.search("صورة", 50, where="format=JPEG") == gallery.search("صورة", 50, where=("format=JPEG",))
    assert gallery.search("صورة", 50, where=None) == gallery.search("صورة", 50) == gallery.search("صورة", 50, where=[])
    picture = wanted[0].path
    assert gallery.similar(picture, where="format=PNG") == gallery.similar(picture, where=Filters(formats=("PNG",)))
    alone = gallery.search("صورة", 50, where="format=JPEG", collapse=True)
    assert alone == gallery.search("صورة", 50, where=Filters(formats=("JPEG",), collapse=True))


@pytest.mark.parametrize("where", [5, {"format": "JPEG"}, [5], b"format=JPEG"])
def test_a_filter_of_a_wrong_type_is_refused_with_what_would_do(gallery: Gallery, where: object) -> None:
    with pytest.raises(InputError, match=r"where is .*format=JPEG.*Filters"):
        gallery.search("صورة", where=where)  # type: ignore[arg-type]


@given(
    st.builds(
        Filters,
        folder=st.none() | st.just("/صور = a"),
        outside=st.lists(st.sampled_from(["/صور = a", "رحلة"]), unique=True).map(tuple),
        captured_from=st.sampled_from([None, "2023", "2023-05-17T18:30"]),
        added_to=st.sampled_from([None, "2024-01"]),
        near=st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(0.01, 20_000_000)),
        name=st.none() | st.text("abc 123أبج-*?", min_size=1, max_size=20).filter(str.strip),
        camera=st.sampled_from([None, "Canon"]),
        hidden=st.sampled_from([None, True, False]),
        min_size=st.none() | st.integers(0, 10**12),
        formats=st.lists(st.sampled_from(["JPEG", "PNG", "TIFF"]), unique=True).map(tuple),
        orientation=st.sampled_from([None, "portrait", "square"]),
        metadata=st.dictionaries(st.sampled_from(["album", "من"]), st.sampled_from(["رحلة = بحر", "5"])),
    )
)
def test_filters_written_as_texts_are_read_as_the_same(filters: Filters) -> None:
    assert Filters.read(filters.texts()) == filters


@pytest.mark.parametrize("metadata", [{"a=b": "1"}, {"": "1"}, {"album": ""}, {"album": ".."}, {"album": " رحلة"}])
def test_metadata_no_text_can_name_is_refused(
    metadata: dict[str, str],
) -> None:
    with pytest.raises(InputError, match="KEY=VALUE"):
        Filters(metadata=metadata).texts()
    assert Filters(metadata={"album": "meta."}).texts() == ["meta.album=meta."]
