"""Exclusion: what a minus names is gone from the hits, in every store, on every page."""

from datetime import date

import numpy as np
import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.gallery.plan import plan
from araclip.gallery.query import MAX_TERMS, combine, excluding_terms, parse
from araclip.gallery.ranking import ABOVE, FIRST_HITS, Candidate, Exclusion, drop_excluded, exclusion_of
from araclip.gallery.relevance import EXCLUDED, EXCLUDED_DEVIATION
from araclip.gallery.results import STRONG
from araclip.text.resources import default_interpreter
from made_up_relevance import D, made_up, unit


def candidates(count: int) -> list[Candidate]:
    return [Candidate(i, 1 - i / count, None, 1 - i / count) for i in range(count)]


def test_texts_after_a_whole_minus_exclude() -> None:
    query = parse("شاطئ - ناس - 0.5:كلب + رمل - 2:سيارة")
    assert excluding_terms(query) == [1, 4]
    assert excluding_terms(parse("شاطئ")) == []


def test_what_is_excluded_takes_no_part_in_the_ranking() -> None:
    vectors = np.eye(2, dtype=np.float32)
    assert combine(vectors, parse("شاطئ - ناس")).tolist() == [1, 0]
    assert combine(vectors, parse("شاطئ - ناس"), subtract=True)[1] < 0
    assert combine(vectors, parse("شاطئ - 0.5:ناس"))[1] < 0  # a lighter minus pushes away


def test_beside_a_query_what_shows_the_excluded_term_is_left_out() -> None:
    scale, term = made_up(), unit(np.random.default_rng(1).normal(size=(1, D)))
    excluding = exclusion_of(term, scale, alone=False)
    assert excluding is not None
    assert scale.relevance(term[0])(excluding.limits[0]) == pytest.approx(STRONG)
    first = np.linspace(0, 0.1, FIRST_HITS)  # below any strong hit

    def cosines(ids: list[int], terms: np.ndarray) -> np.ndarray:
        return np.array([[first[i] if i < FIRST_HITS else 0.05] for i in ids], np.float32)

    limit = first.mean() + ABOVE * first.std()
    shown = [each.content for each in drop_excluded(iter(candidates(40)), excluding, cosines)]
    assert shown == [i for i in range(40) if i >= FIRST_HITS or first[i] < limit]
    few = [each.content for each in drop_excluded(iter(candidates(5)), excluding, cosines)]
    assert few == list(range(5))  # nothing to compare with


def test_an_exclusion_alone_leaves_out_what_is_not_weak() -> None:
    scale, term = made_up(), unit(np.random.default_rng(1).normal(size=(1, D)))
    excluding = exclusion_of(term, scale, alone=True)
    assert excluding is not None
    (limit,) = excluding.limits.tolist()
    scores = scale.sample @ term[0]
    outstanding = scores.mean() + EXCLUDED_DEVIATION * scores.std()
    assert scale.relevance(term[0])(limit) == pytest.approx(EXCLUDED) or limit == pytest.approx(outstanding)
    assert scale.relevance(term[0])(limit) <= EXCLUDED + 1e-6
    assert excluding.mask_dropped(np.array([[limit + 0.01], [limit - 0.01]], np.float32)).tolist() == [True, False]
    assert exclusion_of(term, None, alone=True) is None


def test_rest_keeps_its_order_however_long_run_of_excluded_ones() -> None:
    excluding = Exclusion(np.eye(2, dtype=np.float32), np.array([0.5, 0.9]))
    asked: list[int] = []

    def cosines(ids: list[int], terms: np.ndarray) -> np.ndarray:
        asked.append(len(ids))
        return np.array([[i % 100 != 0, 0] for i in ids], np.float32)

    assert [each.content for each in drop_excluded(iter(candidates(1000)), excluding, cosines)] == list(
        range(0, 1000, 100)
    )
    assert sum(asked) == 1000
    assert [each.content for each in drop_excluded(iter(candidates(3)), None, cosines)] == [0, 1, 2]


def test_hits_of_a_query_with_a_minus_hold_nothing_of_it(gallery) -> None:
    whole = gallery.search("صورة - أحمر", 40, text_weight=0)
    found = gallery.search("صورة", 40, text_weight=0)
    limit = gallery._reader.latest().scale.excluded_cosine(gallery.model.encode_text("أحمر"))
    red = {hit.path for hit in gallery.search("أحمر", 40, text_weight=0) if hit.score >= limit}
    assert 0 < len(red) < 40
    assert {hit.path for hit in whole} == {hit.path for hit in found} - red
    pages = [
        hit.path for first in range(0, 40, 7) for hit in gallery.search("صورة - أحمر", 7, offset=first, text_weight=0)
    ]
    assert pages == [hit.path for hit in whole]
    assert len(gallery.search("صورة - 0.5:أحمر", 40, text_weight=0)) == 40  # only pushed away


def test_query_of_folder_alone_leaves_out_what_it_excludes_too(gallery) -> None:
    from_folder, without = gallery.search("صور مجلد p", 40), gallery.search("صور مجلد p بدون أحمر", 40)
    assert without.interpretation is not None
    assert [each.part for each in without.interpretation.filters] == ["folder"]
    assert without.interpretation.excluded == ("أحمر",)
    limit = gallery._reader.latest().scale.excluded_cosine(gallery.model.encode_text("أحمر"))
    red = {hit.path for hit in gallery.search("أحمر", 40, text_weight=0) if hit.score >= limit}
    assert len(from_folder) == 40
    assert [hit.path for hit in without] == [hit.path for hit in from_folder if hit.path not in red]


@pytest.mark.parametrize("query", ["بدون أحمر", "- أحمر", "صور - أحمر", "عايز صور بدون أحمر", "- أحمر - أخضر"])
def test_an_exclusion_alone_shows_the_rest_by_date(gallery, query: str) -> None:
    scale, vectors = gallery._reader.latest().scale, gallery.model.encode_text(["أحمر", "أخضر"])
    left_out: set[str] = set()
    for name, vector in zip(("أحمر", "أخضر"), vectors, strict=True):
        if name in query:
            hits = gallery.search(name, 40, text_weight=0)
            left_out |= {hit.path for hit in hits if hit.score >= scale.excluded_cosine(vector)}
    every = [hit.path for hit in gallery.search("صور مجلد p", 40)]  # by date
    expected = [path for path in every if path not in left_out]
    assert 0 < len(expected) < 40
    found = gallery.search(query, 40)
    assert [hit.path for hit in found] == expected
    assert {hit.relevance for hit in found} == {None}
    assert [hit.path for hit in gallery.search(query, 5, offset=5)] == expected[5:10]
    assert found.interpretation.suggestion is None
    if query.startswith("-"):
        assert [hit.path for hit in gallery.search(query, 40, literal=True)] == expected
    else:
        assert [hit.path for hit in gallery.search(query, 40, literal=True)] != expected


def test_in_a_small_gallery_what_is_excluded_is_pushed_away(tmp_path, tiny_model) -> None:
    for number in range(4):
        pictures.solid(tmp_path / "p" / f"{number}.png", (250, 60 * number, 60 * number))
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as few:
        few.update([tmp_path / "p"])
        found, pushed = few.search("بدون أحمر"), few.search('"صورة" - أحمر', text_weight=0)
    assert len(found) == 4
    assert [(hit.path, hit.score) for hit in found] == [(hit.path, hit.score) for hit in pushed]


@pytest.mark.parametrize("minus", ["0.5:أحمر", "RED"])
def test_what_only_pushes_away_orders_a_folders_pictures(gallery, minus: str) -> None:
    minus = minus.replace("RED", gallery.search("أحمر", 1, text_weight=0)[0].path)
    found, pushed = (
        gallery.search(f"{words} - {minus}", 40, files=True, text_weight=0) for words in ("صور مجلد p", '"صورة"')
    )
    assert found and [(hit.path, hit.score) for hit in found] == [(hit.path, hit.score) for hit in pushed]


def test_words_that_only_exclude_do_so_beside_a_picture_too(gallery) -> None:
    red = gallery.search("أحمر", 1, text_weight=0)[0].path
    left_out = {hit.path for hit in gallery.search("أحمر", 40)} - {hit.path for hit in gallery.search("بدون أحمر", 40)}
    assert red in left_out
    found, plain = (gallery.search(f"{red} {words}", 40, files=True) for words in ("- أحمر", ""))
    assert [hit.path for hit in found] == [hit.path for hit in plain if hit.path not in left_out]
    assert found


@pytest.mark.parametrize(
    "query", ["- ناس", "بدون الناس", "صور من غير ناس", "photos without people", "picture:sent + بدون ناس"]
)
def test_excluding_people_excludes_men_women_and_children(query: str) -> None:
    read = plan(parse(query), default_interpreter(), today=date(2026, 1, 1))
    assert {"رجل", "امرأة", "طفل"} <= set(read.kinds)
    texts = np.eye(len(read.texts), dtype=np.float32)
    vectors = read.vectors(texts, lambda name: np.zeros(len(texts), np.float32))
    excluded = read.excluded(vectors)
    assert excluded is not None
    # all but the first term, which stands for the pictures that are wanted
    assert excluded.tolist() == [*vectors.terms[1:].tolist(), *texts[-len(read.kinds) :].tolist()]
    assert (len(vectors.terms), len(vectors.kinds)) == (2, len(read.kinds))


@pytest.mark.parametrize(
    ("query", "qualities", "excluded"),
    [
        ("زهور بدون وردي", ("وردي",), ()),
        ("قميص مش أبيض", ("أبيض",), ()),
        ("chair not wooden", ("wooden",), ()),
        ("زهور بدون الأصفر وناس", ("الأصفر",), ("ناس",)),
        ("صور بدون أحمر", (), ("أحمر",)),  # nothing that the colour would be of
        ("زهور بدون ورد", (), ("ورد",)),
    ],
)
def test_a_colour_or_a_quality_is_not_left_out_and_said(
    query: str, qualities: tuple[str, ...], excluded: tuple[str, ...]
) -> None:
    read = plan(parse(query), default_interpreter(), today=date(2026, 1, 1))
    assert read.interpretation.qualities == qualities
    assert read.interpretation.json()["qualities"] == list(qualities)
    assert read.interpretation.excluded == excluded
    texts = np.eye(len(read.texts), dtype=np.float32)
    assert (read.excluded(read.vectors(texts, lambda name: texts[0])) is None) == (not excluded)


@pytest.mark.parametrize("query", ["ناس على الشاطئ", "شاطئ - كلب", "شاطئ - ناس", "شاطئ بدون ناس", '- "ناس"'])
def test_words_that_exclude_nothing_stand_for_themselves(query: str) -> None:
    assert plan(parse(query), default_interpreter(), today=date(2026, 1, 1)).kinds == ()


def test_what_the_answer_calls_excluded_is_excluded() -> None:
    things = [f"شيء{letter}" for letter in "ابتثجحخدذرزسشصضطظعغف"]
    found = plan(parse("بحر بدون " + " و ".join(things)), default_interpreter(), today=date(2026, 1, 1))
    assert len(found.interpretation.excluded) == len(found.query.terms) - 1 == MAX_TERMS - 1


def test_a_search_without_people_goes_through_every_door(gallery) -> None:
    hits = gallery.search("أحمر بدون ناس", 40, text_weight=0)
    assert hits.interpretation.excluded == ("ناس",)
    without = gallery.search("أحمر", 40, text_weight=0)
    assert 0 < len(hits) < len(without) == 40
    left_out = {hit.path for hit in without} - {hit.path for hit in hits}
    assert [hit.path for hit in hits] == [hit.path for hit in without if hit.path not in left_out]
    people = {hit.path: hit.score for hit in gallery.search("ناس", 40, text_weight=0)}
    assert min(people[path] for path in left_out) > max(people[hit.path] for hit in hits) - 1e-6
    assert gallery.explain("أحمر بدون ناس", hits[0].path).words
