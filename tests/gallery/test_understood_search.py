"""Searching with understood queries, through the gallery's door: readings, filters from words, literal words, JSON."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from araclip import AraCLIP, Filters, Gallery
from araclip.cli import app
from araclip.errors import InputError
from araclip.evaluation.robustness import UnderstoodEncoder
from araclip.gallery.plan import QueryPlan, plan
from araclip.gallery.query import parse
from araclip.text.resources import interpreter

DATES = {"red": "2019:01:10 10:00:00", "green": "2019:07:01 10:00:00", "blue": "2021:07:01 10:00:00", "grey": None}
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "grey": (128, 128, 128)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of four coloured pictures, three of them with a date, two in a folder of two words."""
    home = tmp_path_factory.mktemp("understood")
    for name, colour in COLOURS.items():
        place = home / "pictures" / ("رحلة دهب" if name in ("red", "grey") else "others") / f"{name}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(-20, 20, (64, 64, 3))
        picture = Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
        exif = Image.Exif()
        if taken := DATES[name]:
            exif.get_ifd(0x8769)[0x9003] = taken
        picture.save(place, exif=exif)
    with Gallery.open(home / "gallery", create=True) as gallery:
        gallery.update([home / "pictures"])
    return home / "gallery"


@pytest.fixture(scope="module")
def gallery(folder: Path) -> Iterator[Gallery]:
    with Gallery.open(folder) as opened:
        yield opened


def names(hits: list) -> list[str]:  # type: ignore[type-arg]
    return [Path(hit.path).stem for hit in hits]


def test_a_misspelled_word_finds_what_the_right_one_finds(gallery: Gallery) -> None:
    right, wrong = gallery.search("شاطئ"), gallery.search("شاطىء")
    assert [hit.score for hit in right] == pytest.approx([hit.score for hit in wrong], abs=1e-4)
    assert wrong.interpretation is not None and wrong.interpretation.also == ("شاطئ",)
    assert right.interpretation is not None and right.interpretation.is_plain


def test_words_from_latin_letters_are_shown_without_marks(gallery: Gallery) -> None:
    shown = gallery.search("kalb fel ba7r", 1).interpretation
    assert shown is not None and "في ال" not in shown.also
    assert all(word.isprintable() for word in shown.also)


def test_literal_words_and_quoted_ones_are_searched_as_typed(gallery: Gallery) -> None:
    expected = gallery.search("شاطىء", literal=True)
    assert expected.interpretation is not None and expected.interpretation.literal
    assert gallery.search("«شاطىء»") == expected
    assert gallery.search("شاطىء", ignore=["words"]) == expected
    assert gallery.search("شاطىء")[0].score != pytest.approx(expected[0].score, abs=1e-4)


def test_a_date_in_words_is_a_filter_that_can_be_taken_off(gallery: Gallery) -> None:
    assert sorted(names(gallery.search("لون 2019"))) == ["green", "red"]
    assert names(gallery.search("لون في صيف 2019")) == ["green"]
    assert names(gallery.search("لون الشتاء 2019")) == ["red"]
    assert len(gallery.search("لون 2019", ignore=["date"])) == 4
    assert len(gallery.search("لون 2019", literal=True)) == 4


def test_query_that_is_only_date_comes_in_order_of_capture(gallery: Gallery) -> None:
    hits = gallery.search("صور يوليو")
    assert names(hits) == ["blue", "green"]
    assert [hit.relevance for hit in hits] == [None, None]
    assert names(gallery.search("بعد 2018")) == ["blue", "green", "red"]
    assert names(gallery.search("بعد 2018", 1, offset=1)) == ["green"]


def test_a_day_without_a_year_is_that_day_of_every_year(gallery: Gallery) -> None:
    hits = gallery.search("1 يوليو")
    assert names(hits) == ["blue", "green"]
    assert hits.interpretation is not None
    assert [each.where for each in hits.interpretation.filters] == [("month=7", "day=1")]
    assert names(gallery.search("لون january 10")) == ["red"]
    assert names(gallery.search("1 يوليو", where="day=10")) == ["red"]  # the caller's filter goes before the words
    assert len(gallery.search("لون 2 يوليو")) == 4  # no picture has it


def test_date_without_pictures_is_searched_as_words_and_said_so(gallery: Gallery) -> None:
    hits = gallery.search("لون 1999")
    assert len(hits) == 4
    assert hits.interpretation is not None
    assert [(each.words, each.applied) for each in hits.interpretation.filters] == [("1999", False)]


def test_an_explanation_reads_a_query_as_its_search_does(gallery: Gallery) -> None:
    for query, applied in (("لون 1999", False), ("لون 2019", True)):
        hits = gallery.search(query, text_weight=0)
        found = gallery.explain(query, hits[0].path)
        assert hits.interpretation is not None
        assert [each.applied for each in found.interpretation.filters] == [applied]
        assert found.interpretation.filters == hits.interpretation.filters
        assert found.score == pytest.approx(hits[0].score, abs=1e-3)
        assert [each.word for each in found.words] == (["لون"] if applied else ["لون", "1999"])


def test_a_filter_of_the_caller_goes_before_the_words(gallery: Gallery) -> None:
    assert names(gallery.search("لون 2019", where=Filters(captured_from="2021"))) == ["blue"]


def test_a_folder_in_words_is_a_filter(gallery: Gallery) -> None:
    hits = gallery.search("لون رحلة دهب")
    assert sorted(names(hits)) == ["grey", "red"]
    assert hits.interpretation is not None and hits.interpretation.filters[0].where == ("folder=رحلة دهب",)


def test_exclusions_in_words_equal_a_minus(gallery: Gallery) -> None:
    in_words, with_sign = gallery.search("ثلج بدون كلاب"), gallery.search("ثلج - كلاب")
    assert names(in_words) == names(with_sign)
    assert in_words.interpretation is not None and in_words.interpretation.excluded == ("كلاب",)


@pytest.mark.parametrize("query", ["لون بدون كلاب صيف 2019", "لون صيف 2019 بدون كلاب", "صيف 2019 لون بدون كلاب"])
def test_a_date_beside_an_exclusion_is_a_date_wherever_it_stands(gallery: Gallery, query: str) -> None:
    found = gallery.search(query).interpretation
    assert found is not None and found.excluded == ("كلاب",)
    assert [each.words for each in found.filters] == ["صيف 2019"]


def test_a_query_of_a_date_and_an_exclusion_shows_the_date(gallery: Gallery) -> None:
    found = gallery.search("2019 بدون كلاب").interpretation
    assert found is not None and found.excluded == ("كلاب",) and len(found.filters) == 1


def test_months_filter_pictures_of_any_year(gallery: Gallery) -> None:
    assert sorted(names(gallery.search("لون", where="month=7"))) == ["blue", "green"]
    assert names(gallery.search("لون", where=Filters(months=(12, 1)))) == ["red"]


def test_days_filter_pictures_of_any_year(gallery: Gallery) -> None:
    assert sorted(names(gallery.search("لون", where=["month=7", "day=1"]))) == ["blue", "green"]
    assert names(gallery.search("لون", where=Filters(days=(10,)))) == ["red"]
    for wrong in ("day=0", "day=32", "day=1.5"):
        with pytest.raises(InputError, match="numbers from 1 to 31"):
            gallery.search("لون", where=wrong)


def test_a_word_of_the_user_is_understood(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("بحر; ; eg: زرقرق\n", encoding="utf-8")
    with Gallery.open(gallery.folder) as other:
        other.interpreter = interpreter(tmp_path / "words.txt")
        hits = other.search("زرقرق")
    assert hits.interpretation is not None and hits.interpretation.also == ("بحر",)


@pytest.mark.parametrize("query", ["في", "من على", "😀", "و", "ال", "بدون", "صور", "the of", "٣", "كلب " * 1000])
def test_queries_of_stop_words_or_emoji_find_something(gallery: Gallery, query: str) -> None:
    assert len(gallery.search(query)) == 4


def test_the_command_shows_what_was_understood(folder: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["search", "شاطىء", "-g", str(folder)])
    assert shown.exit_code == 0 and "بحثنا أيضًا عن: شاطئ" in shown.output and "--literal" in shown.output
    answer = json.loads(runner.invoke(app, ["search", "شاطىء 2019", "-g", str(folder), "--json"]).stdout)
    assert answer["interpretation"]["also"] == ["شاطئ"]
    assert answer["interpretation"]["filters"][0]["where"] == ["captured=2019..2019"]
    literal = json.loads(runner.invoke(app, ["search", "شاطىء", "-g", str(folder), "--json", "--literal"]).stdout)
    assert literal["interpretation"]["literal"] and not literal["interpretation"]["also"]
    (tmp_path / "bad.txt").write_text("كلب\n", encoding="utf-8")
    refused = runner.invoke(app, ["search", "x", "-g", str(folder), "--lexicon", str(tmp_path / "bad.txt")])
    assert refused.exit_code != 0 and "line 1" in str(refused.exception or refused.output)


def test_readings_are_encoded_in_one_batch(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[str]] = []
    encode = AraCLIP.encode_text

    def counted(self: AraCLIP, texts, **options):  # type: ignore[no-untyped-def]
        batches.append(list(texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(AraCLIP, "encode_text", counted)
    gallery.search("عربية حمرا + شنطة + جزمة - كلاب")
    assert len(batches) == 1 and 5 <= len(batches[0]) <= 12


def test_texts_can_be_encoded_as_a_search_does_for_measuring(gallery: Gallery) -> None:
    encode = UnderstoodEncoder(gallery.model, gallery.interpreter)
    texts = ["قطة على طاولة", "قطه علي طاوله", "ثلج - كلاب", "ثلج بدون كلاب"]
    vectors = encode(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-4)
    literal = gallery.model.encode_text(texts)
    assert vectors[0] == pytest.approx(literal[0], abs=1e-5)
    assert vectors[1] == pytest.approx(literal[0], abs=1e-5)
    assert vectors[2] == pytest.approx(literal[2], abs=1e-5)  # a sign in a caption is an ordinary character
    assert vectors[3] @ literal[3] < 0.99


def test_unknown_word_near_one_of_gallerys_own_is_suggested(gallery: Gallery) -> None:
    hits = gallery.search("زغرنباء", threshold=1.0)
    assert hits.interpretation is not None and hits.interpretation.suggestion is None
    with Gallery.open(gallery.folder) as other:
        typed = "ررحلتة دههب"  # the folder's name, wrong in both words
        found = other._suggestions.suggest(literally_unknown(other, typed), [], other.interpreter, other._catalog)
    assert found.suggestion is not None and "دهب" in found.suggestion


@pytest.mark.parametrize(
    ("query", "suggested"),
    [
        ("ظرافطة", "زرافة"),
        ("ظرافطة بدون ناس 2019", "زرافة 2019 - ناس"),
        ("ظرافطة في مجلد رحلة دهب - كلب", "زرافة في مجلد رحلة دهب - كلب"),
        ('2:ظرافطة + picture:abc + "قطت"', '2:زرافة + picture:abc + "قطت"'),
        ("picture:abc + ظرافطة صيف 2019", "picture:abc + زرافة صيف 2019"),
        ("أحدث صور ظرافطة 2019", "أحدث صور زرافة 2019"),
        ("أقدم الصور ظرافطة", "أقدم صور زرافة"),
        ("newest photos ظرافطة", "newest photos زرافة"),
        ("فيديوهات ظرافطة", "فيديوهات زرافة"),
        ("ظرافطة مش حمراء", "زرافة بدون حمراء"),
        (r"ظرافطة \+ بيت", r"زرافة \+ بيت"),
    ],
)
def test_a_suggestion_keeps_what_else_the_query_says(gallery: Gallery, query: str, suggested: str) -> None:
    today, folders = date(2026, 11, 27), ("رحلة دهب",)
    read = plan(parse(query), gallery.interpreter, today=today, folders=lambda explicit: folders)
    found = gallery._suggestions.suggest(read, [], gallery.interpreter, gallery._catalog)
    assert found.suggestion == suggested
    again = plan(parse(suggested), gallery.interpreter, today=today, folders=lambda explicit: folders)
    assert [each.where for each in again.interpretation.filters] == [each.where for each in read.interpretation.filters]


def test_folders_named_alike_are_searched_together(tmp_path: Path, tiny_model: Path) -> None:
    for name in ("الإجازة", "الاجازة", "others"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (len(name) * 20, 90, 30 if name == "الإجازة" else 200)).save(
            tmp_path / "pictures" / name / f"{name}.png"
        )
    with Gallery.open(tmp_path / "gallery", model=AraCLIP.load(tiny_model), create=True) as opened:
        opened.update([tmp_path / "pictures"])
        assert sorted(names(opened.search("صور مجلد الإجازة"))) == sorted(("الإجازة", "الاجازة"))


@pytest.mark.parametrize("query", ["وريني صور العيال", "عايزة أشوف البسينات", "عيد الأضحى", "شوال 1444"])
def test_what_is_understood_or_of_the_calendar_is_not_corrected(gallery: Gallery, query: str) -> None:
    read = plan(parse(query), gallery.interpreter, today=date(2026, 11, 27))
    assert gallery._suggestions.suggest(read, [], gallery.interpreter, gallery._catalog).suggestion is None


def test_what_asks_for_pictures_is_not_looked_for_in_texts(gallery: Gallery) -> None:
    text = plan(parse("عايز صور دهب"), gallery.interpreter, today=date(2026, 11, 27)).words_to_find(1.0)
    assert text is not None and [word.folded for word in text.words] == ["دهب"]


def test_a_latin_name_like_arabizi_is_found_as_typed(tmp_path: Path, tiny_model: Path) -> None:
    for number, name in enumerate(("Salma", "سلم", "x")):
        Image.new("RGB", (32, 32), (number * 90, 60, 30)).save(tmp_path / f"{name}.png")
    with Gallery.open(tmp_path / "gallery", model=AraCLIP.load(tiny_model), create=True) as opened:
        opened.update([tmp_path])
        hits = opened.search("salma")
        assert hits.interpretation is not None and "سلم" in hits.interpretation.also
        assert {match.text for hit in hits for match in hit.matched} == {"Salma", "سلم"}
        assert "x" not in names(hits[:2])


def literally_unknown(gallery: Gallery, text: str) -> QueryPlan:
    return plan(parse(text), gallery.interpreter, today=date(2026, 11, 27))


def test_an_excluded_colour_stays_and_every_door_says_so(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        hits = gallery.search("صورة بحر بدون أحمر", 4, text_weight=0)
        assert {hit.path for hit in hits} == {hit.path for hit in gallery.search("صورة بحر", 4, text_weight=0)}
    assert hits.interpretation is not None
    assert hits.interpretation.qualities == ("أحمر",)
    for query, said in (("بحر بدون أحمر", "لا يميّز النموذج"), ("sea not red", "the model does not tell")):
        ran = CliRunner().invoke(app, ["search", query, "--gallery", str(folder)])
        assert said in " ".join(ran.output.split())
        answer = json.loads(CliRunner().invoke(app, ["search", query, "--gallery", str(folder), "--json"]).stdout)
        assert len(answer["interpretation"]["qualities"]) == 1
