"""Words in and about pictures: names, metadata and captions are searched beside the vectors, and shown where found."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import pictures
from araclip import AraCLIP, Filters, Gallery
from araclip.errors import GalleryCorrupt, InputError
from araclip.gallery.catalog.salvage import salvage
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.ingest import sidecars
from araclip.gallery.ranking import Candidate, lower_described, sort_key
from araclip.gallery.results import STRONG
from araclip.gallery.text_matches import TextQuery, text_matches
from catalog_file import damage

SIZE = (16, 12)
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag>'
    '<rdf:li xml:lang="x">{title}</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve red pictures of different brightness under Arabic and English names."""
    folder = tmp_path / "صور"
    names = ("فاتورة الكهرباء.png", "رحلة العقبة/IMG_0412.png", "رحلة العقبة/IMG_0413.png", "electricityBill2019.png")
    for i, name in enumerate((*names, *(f"other {i}.png" for i in range(8)))):
        pictures.solid(folder / name, (120 + 10 * i, 0, 0), SIZE)
    return folder


@pytest.fixture
def gallery(tmp_path: Path, root: Path, model: AraCLIP) -> Gallery:
    opened = Gallery.open(tmp_path / "g", model=model, create=True)
    opened.update([root])
    return opened


def found(gallery: Gallery, query: str, k: int = 10, **options: object) -> dict[str, list[tuple[str, str]]]:
    """Names of the hits with a match, in order: its fields, and the marked words."""
    hits = gallery.search(query, k, **options)  # type: ignore[arg-type]
    return {
        Path(hit.path).stem: [
            (match.field, " ".join(match.text[start:end] for start, end in match.marks)) for match in hit.matched
        ]
        for hit in hits
        if hit.matched
    }


@pytest.mark.parametrize(
    ("query", "name", "marked"),
    [
        ("فاتورة الكهرباء", "فاتورة الكهرباء", "فاتورة الكهرباء"),
        ("فاتوره كهرباء", "فاتورة الكهرباء", "فاتورة الكهرباء"),  # ة and ه, the article
        ("الفاتُورة", "فاتورة الكهرباء", "فاتورة"),  # tashkeel
        ("كهرب", "فاتورة الكهرباء", "الكهرباء"),  # a part of a word
        ("electricity bills", "electricityBill2019", "electricity Bill"),  # a plural, CamelCase
        ("٢٠١٩", "electricityBill2019", "2019"),
        ("عقبه 412", "IMG_0412", "0412"),
    ],
)
def test_a_picture_is_found_by_words_of_its_name(gallery: Gallery, query: str, name: str, marked: str) -> None:
    best = gallery.search(query, 1)[0]
    assert Path(best.path).stem == name
    assert found(gallery, query, 1)[name] == [("name", marked)]


def test_folder_names_count_on_any_path_of_a_picture(gallery: Gallery, root: Path) -> None:
    assert found(gallery, "العقبة").keys() == {"IMG_0412", "IMG_0413"}
    (root / "copy of bill.png").write_bytes((root / "other 3.png").read_bytes())
    gallery.update([root])
    best = gallery.search("bill copy", 1)[0]
    assert {Path(path).name for path in (best.path, *best.copies)} == {"copy of bill.png", "other 3.png"}


def test_a_text_weight_of_zero_looks_at_pictures_alone(gallery: Gallery) -> None:
    alone = gallery.search("فاتورة أحمر", 12, text_weight=0)
    assert not any(hit.matched for hit in alone)
    assert [hit.score for hit in alone] == sorted((hit.score for hit in alone), reverse=True)
    assert {hit.path for hit in gallery.search("فاتورة أحمر", 12)} == {hit.path for hit in alone}
    for weight in (-1, 11, float("nan"), True, "1"):
        with pytest.raises(InputError, match=r"text_weight is .*0 .*to 10"):
            gallery.search("أحمر", text_weight=weight)  # type: ignore[arg-type]


def test_pages_continue_each_other_and_filters_keep_the_order(gallery: Gallery) -> None:
    for query in ("رحلة العقبة أحمر", "bill", "other 3"):
        whole = [hit.path for hit in gallery.search(query, 20, literal=True)]
        assert len(whole) == len(set(whole)) == 12
        for k in (1, 3, 5):
            pages = [gallery.search(query, k, offset=offset, literal=True) for offset in range(0, 12, k)]
            assert [hit.path for page in pages for hit in page] == whole
            assert [hit.rank for page in pages for hit in page] == list(range(1, 13))
        for names in ("رحلة العقبة", ("رحلة العقبة", "nowhere")):
            inside = Filters(folder_name=names)
            assert [hit.path for hit in gallery.search(query, 20, where=inside, literal=True)] == [
                path for path in whole if "رحلة العقبة" in path
            ]


@pytest.mark.parametrize("query", ["فاتورة الكهرباء", "رحلة أحمر", "bill copy", "other 3", "العقبة غروب"])
def test_hits_by_words_and_by_looks_stand_by_one_number(gallery: Gallery, root: Path, query: str) -> None:
    gallery.add([root / "other 3.png"], metadata=[{"caption": "قارب صغير في البحر"}])
    hits = gallery.search(query, 12)
    relevances = [hit.relevance for hit in hits if hit.relevance is not None]
    assert len(relevances) == len(hits) == 12
    assert relevances == sorted(relevances, reverse=True)
    assert any(hit.matched for hit in hits)
    for threshold in (0.2, 0.5):
        above = [hit.path for hit in hits if hit.relevance is not None and hit.relevance >= threshold]
        assert [hit.path for hit in gallery.search(query, 12, threshold=threshold)] == above
    for hit in hits[:4]:
        assert gallery.explain(query, hit.path).relevance == pytest.approx(hit.relevance, abs=1e-3)


def test_an_unanswering_description_lowers_in_its_script_alone(gallery: Gallery, root: Path) -> None:
    def others() -> list[str]:
        return [hit.path for hit in gallery.search("فاتورة الكهرباء", 12) if not hit.matched]

    before = others()
    gallery.add([before[1]], metadata=[{"caption": "a small boat at sea"}])
    assert others() == before
    gallery.add([before[1]], metadata=[{"caption": "قارب صغير في البحر"}])
    assert others().index(before[1]) > 1
    assert [path for path in others() if path != before[1]] == [path for path in before if path != before[1]]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=200), st.floats(0, 0.5))
def test_lowered_pictures_come_where_their_value_places_them(rated: list[tuple[float, bool]], doubt: float) -> None:
    candidates = sorted((Candidate(i, value, None, value) for i, (value, _) in enumerate(rated)), key=sort_key)
    described = {i for i, (_, has) in enumerate(rated) if has}
    lowered = [replace(each, value=each.value - doubt * (each.content in described)) for each in candidates]

    def lower(each: Candidate) -> Candidate:
        return replace(each, value=each.value - doubt)

    assert list(lower_described(iter(candidates), described.intersection, lower)) == sorted(lowered, key=sort_key)


def test_a_text_match_passes_the_threshold_unless_excluded(gallery: Gallery) -> None:
    best = gallery.search("فاتورة الكهرباء", threshold=0.5)
    assert [Path(hit.path).stem for hit in best if hit.matched] == ["فاتورة الكهرباء"]
    assert not best[0].weak
    assert found(gallery, "العقبة - 0412 أسد").keys() == {"IMG_0412", "IMG_0413"}
    assert found(gallery, "العقبة - 0412").keys() == {"IMG_0413"}


def test_part_of_word_or_half_of_words_is_no_strong_match(gallery: Gallery) -> None:
    def told(*words: str) -> float:
        text = TextQuery.of(words, (), 1.0)
        assert text is not None
        return max(text_matches(WordIndex(gallery._catalog), text, len(gallery)).relevance())

    assert told("فاتورة") >= STRONG and told("فاتورة الكهرباء") >= STRONG
    assert 0.2 < told("فاتو") < STRONG
    assert 0.2 < told("فاتورة زرافة") < STRONG


def test_a_word_left_out_may_be_in_more_pictures_than_ranked(
    gallery: Gallery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add(sorted(root.rglob("*.png")), metadata={"album": "كلب"})
    monkeypatch.setattr("araclip.gallery.text_matches.MANY", 1)
    for word in ("0412", "0413", "الكهرباء", "electricity"):
        for unwanted in ((), ("كلب",)):
            query = TextQuery.of([word], unwanted, 1.0)
            assert query
            matches = text_matches(WordIndex(gallery._catalog), query, len(gallery))
            assert len(matches.ids) == 1 - len(unwanted)


def test_of_an_endless_query_the_first_words_are_looked_for(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("with_stems", "with_parts"):
        real = getattr(WordIndex, name)
        monkeypatch.setattr(
            WordIndex, name, lambda self, words, most, real=real: asked.extend(words) or real(self, words, most)
        )
    letters = "بتثجحخدذرزسشصضطظعغفقكلمنهوي"
    many = [a + b + c for a in letters[:8] for b in letters for c in letters][:3000]
    assert found(gallery, " ".join(["فاتورة", *many]), 12, literal=True).keys() == {"فاتورة الكهرباء"}
    assert len(asked) <= 2 * 64
    asked.clear()
    minus = "".join(f" - {' '.join(many[i : i + 200])}" for i in range(0, 2800, 200))
    assert found(gallery, f"العقبة - 0412{minus}", literal=True).keys() == {"IMG_0413"}
    assert len(asked) <= 2 * 64


def test_words_follow_renaming_metadata_and_removal(gallery: Gallery, root: Path) -> None:
    (root / "فاتورة الكهرباء.png").rename(root / "إيصال الماء.png")
    gallery.update([root])
    assert not found(gallery, "فاتورة")
    assert found(gallery, "ايصال") == {"إيصال الماء": [("name", "إيصال")]}
    gallery.add(
        [root / "إيصال الماء.png"], metadata={"album": "عيد ميلاد سارة", "tags": ["كعكة", "شموع"], "year": 2021}
    )
    for query in ("ميلاد", "شموع", "2021"):
        assert [field for field, _ in found(gallery, query)["إيصال الماء"]] == ["metadata"]
    gallery.remove([root / "إيصال الماء.png"])
    assert not found(gallery, "ميلاد")
    assert gallery.verify() == []


# ------------------------------------------------------------------ captions


def captioned(folder: Path) -> None:
    """Pictures with captions in every place that is read."""
    picture = Image.new("RGB", SIZE, (200, 10, 10))
    exif = picture.getexif()
    exif[0x9C9E] = "عطلة;شاطئ".encode("utf-16-le")  # XPKeywords
    xmp = PACKET.format(title="نخلة &amp; قارب")
    picture.save(folder / "a.jpg", exif=exif, xmp=xmp.encode())
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("Description", "قلعة قديمة")
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(folder / "b.png", pnginfo=chunks)
    (folder / "b.txt").write_text("برج الساعة في مكة", encoding="utf-8")
    said = {"title": "x", "description": "رحلتنا إلى صلالة", "people": [{"name": "خالد"}], "url": "مخفي"}
    (folder / "a.jpg.json").write_text(json.dumps(said), encoding="utf-8")


def test_captions_in_and_beside_pictures_are_found_and_followed(gallery: Gallery, root: Path) -> None:
    captioned(root)
    gallery.update([root])
    for query, name in (
        ("شاطىء", "a"),
        ("قوارب نخله", "a"),
        ("قلعة", "b"),
        ("الساعه", "b"),
        ("صلالة", "a"),
        ("خالد", "a"),
    ):
        assert [field for field, _ in found(gallery, query)[name]] == ["caption"], query
    assert not found(gallery, "مخفي")  # not a key of a caption
    (root / "b.txt").write_text("جسر معلق", encoding="utf-8")
    gallery.update_at([str(root / "b.txt")], [root])
    assert not found(gallery, "الساعة")
    assert found(gallery, "الجسر") == {"b": [("caption", "جسر")]}
    (root / "b.txt").unlink()
    gallery.update([root])
    assert not found(gallery, "الجسر")
    assert found(gallery, "قلعة")
    assert gallery.verify(contents=True) == []


def test_an_unreadable_caption_file_keeps_its_caption_for_later(
    gallery: Gallery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioned(root)
    gallery.update([root])
    (root / "b.txt").write_text("جسر معلق", encoding="utf-8")

    def failing(path: str) -> BinaryIO:
        raise OSError(errno.EIO, "Input/output error", path)

    with monkeypatch.context() as patched:  # as a network drive that is away for a moment
        patched.setattr(sidecars, "open_file", failing)
        assert gallery.update([root]).added == 0
    assert found(gallery, "الساعة")
    gallery.update([root])
    assert found(gallery, "الجسر") == {"b": [("caption", "جسر")]}


@pytest.mark.parametrize("suffix", ["png", "PNG", "Png", "pNg"])
def test_a_caption_named_as_cameras_do_is_followed_from_its_path(gallery: Gallery, root: Path, suffix: str) -> None:
    pictures.solid(root / f"IMG_1.{suffix}", pictures.GREEN)
    gallery.update([root])
    (root / "IMG_1.txt").write_text("برج الساعة", encoding="utf-8")
    gallery.update_at([str(root / "IMG_1.txt")], [root])
    assert found(gallery, "الساعة") == {"IMG_1": [("caption", "الساعة")]}


@pytest.mark.parametrize(
    "ending", [".TXT", ".Json", ".png.JSON", ".PNG.Supplemental-Metadata.json", ".XMP", ".png.XMP"]
)
@pytest.mark.parametrize("few", [False, True])
def test_a_side_car_is_read_whatever_its_capital_letters(gallery: Gallery, root: Path, ending: str, few: bool) -> None:
    suffix = "PNG" if "PNG" in ending else "png"
    pictures.solid(root / f"b.{suffix}", pictures.GREEN)
    gallery.update([root])
    kinds = {"txt": "برج", "json": '{"title": "برج"}', "xmp": PACKET.format(title="برج")}
    (root / f"b{ending}").write_text(kinds[ending.lower().rpartition(".")[2]], encoding="utf-8")

    def update() -> None:
        gallery.update_at([str(root / f"b{ending}")], [root]) if few else gallery.update([root])

    update()
    assert list(found(gallery, "برج")) == ["b"]
    (root / f"b{ending}").unlink()
    update()
    assert found(gallery, "برج") == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1256"])
def test_caption_beside_picture_is_read_in_encodings_of_windows(gallery: Gallery, root: Path, encoding: str) -> None:
    pictures.solid(root / "b.png", pictures.GREEN)
    (root / "b.txt").write_text("Café: برج الساعة 2024", encoding=encoding)
    gallery.update([root])
    assert list(found(gallery, "برج")) == list(found(gallery, "café")) == ["b"]


def test_older_caption_put_back_beside_newer_side_car_is_noticed(gallery: Gallery, root: Path) -> None:
    caption, newest = root / "b.txt", root / "b.png.json"
    pictures.solid(root / "b.png", pictures.GREEN)
    caption.write_text("برج", encoding="utf-8")
    newest.write_text('{"title": "x"}', encoding="utf-8")
    gallery.update([root])
    caption.write_text("جسر", encoding="utf-8")  # as long as it was
    os.utime(caption, (1, 1))
    gallery.update([root])
    assert (found(gallery, "برج"), list(found(gallery, "جسر"))) == ({}, ["b"])


def test_two_side_cars_replaced_at_one_time_are_read_again(gallery: Gallery, root: Path) -> None:
    beside = [root / "b.txt", root / "b.png.txt"]
    pictures.solid(root / "b.png", pictures.GREEN)
    for time, texts in enumerate([("برج", "باب"), ("جسر", "بيت")]):  # all of one length
        for path, text in zip(beside, texts, strict=True):
            path.write_text(text, encoding="utf-8")
            os.utime(path, (time, time))
        gallery.update([root])
    assert (found(gallery, "برج"), list(found(gallery, "جسر")), list(found(gallery, "بيت"))) == ({}, ["b"], ["b"])


def test_a_side_car_with_another_name_is_read_as_another_kind(gallery: Gallery, root: Path) -> None:
    pictures.solid(root / "b.png", pictures.GREEN)
    (root / "b.txt").write_text('{"title": "برج", "other": "جسر"}', encoding="utf-8")
    gallery.update([root])
    (root / "b.txt").rename(root / "b.json")
    gallery.update([root])
    assert (list(found(gallery, "برج")), found(gallery, "جسر")) == (["b"], {})


def test_bad_caption_file_is_named_and_costs_nothing_but_caption(gallery: Gallery, root: Path) -> None:
    (root / "other 1.json").write_text('{"title": "نصف', encoding="utf-8")
    (root / "other 2.png.json").write_text("[" * 10_000, encoding="utf-8")
    (root / "other 3.txt").write_bytes("كلمة ".encode() * 20_000 + b"\xff\x00" * 50)
    os.mkfifo(root / "other 4.txt")
    lines: list[str] = []
    report = gallery.update([root], skip=lines.append)
    assert (report.pictures, len(lines)) == (12, 2)
    assert all("no caption was read" in line for line in lines)
    assert found(gallery, "كلمة").keys() == {"other 3"}
    assert len(gallery.search("كلمة", 1)[0].matched[0].text) < 200  # a snippet


def test_a_caption_is_shown_as_plain_text_around_its_words(gallery: Gallery, root: Path) -> None:
    (root / "other 5.txt").write_text("كلام " * 30 + "<b>دراجة</b>\nحمراء" + " كلام" * 30, encoding="utf-8")
    gallery.update([root])
    match = gallery.search("دراجة حمراء", 1)[0].matched[0]
    assert [match.text[start:end] for start, end in match.marks] == ["دراجة", "حمراء"]
    assert "<b>دراجة</b> حمراء" in match.text
    assert match.text[0] == match.text[-1] == "…"


# ------------------------------------------------------------------ damage


def test_damaged_texts_are_found_and_made_again(gallery: Gallery, root: Path, model: AraCLIP) -> None:
    captioned(root)
    gallery.update([root])
    place = Path(gallery.folder)
    damage(place, "UPDATE texts SET caption = 'خطأ'")
    damage(place, "UPDATE sidecars SET text = 'خطأ'")
    assert {fault.what for fault in gallery.verify()} >= {
        "its caption or OCR text is damaged",
        "its side-car caption is damaged",
    }
    gallery.repair()
    gallery.update([root])
    assert gallery.verify() == []
    assert found(gallery, "قلعة") and found(gallery, "صلالة") and not found(gallery, "خطأ")
    gallery.close()
    assert salvage(place) == []  # nothing is damaged any more
    damage(place, "UPDATE contents SET width = width + 1 WHERE id = 1")
    assert salvage(place)[3].startswith("texts: 14 rows")
    with Gallery.open(place, model=model) as again:
        assert again.repair() is not None and found(again, "صلالة")


def test_a_damaged_index_of_words_is_repaired(gallery: Gallery, model: AraCLIP) -> None:
    place = Path(gallery.folder)
    with gallery._catalog.writing():
        gallery._catalog.change("UPDATE words_data SET block = zeroblob(40) WHERE id > 10")
    gallery.close()
    (place / "catalog.seal").unlink()
    with pytest.raises(GalleryCorrupt, match="araclip repair"):
        Gallery.open(place, model=model)
    Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as again:
        assert found(again, "فاتورة") and again.verify() == []
    assert (place / FILE_NAME).is_file()
