"""The query syntax: parsing, combination of terms, and error messages."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import AraCLIPError, InputError
from araclip.gallery.query import Query, Term, combine, parse, unit_sum
from araclip.text.normalization import normalize


def terms(text: str) -> list[tuple[str, str, float]]:
    return [(term.kind, term.value, term.weight) for term in parse(text, files=True).terms]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("قطة", [("قطة", 1)]),
        ("قطة + سجادة حمراء - كلب", [("قطة", 1), ("سجادة حمراء", 1), ("كلب", -1)]),
        ("قطة -كلب +بيت", [("قطة", 1), ("كلب", -1), ("بيت", 1)]),
        ("- كلب + قطة", [("كلب", -1), ("قطة", 1)]),
        ("قطة − كلب", [("قطة", 1), ("كلب", -1)]),  # U+2212, the typographer's minus
        ("قطة – كلب", [("قطة", 1), ("كلب", -1)]),  # U+2013, what telephones make of two hyphens
        ("قطة \u200f- كلب", [("قطة", 1), ("كلب", -1)]),  # a mark of direction is no letter
        ("2:قطة + 0.5: سجادة حمراء", [("قطة", 2), ("سجادة حمراء", 0.5)]),
        ("٢:قطة - ٠٫٥:كلب", [("قطة", 2), ("كلب", -0.5)]),
        ("قطة-كلب", [("قطة-كلب", 1)]),
        ("t-shirt أحمر", [("t-shirt أحمر", 1)]),
        ("كتاب C++", [("كتاب C++", 1)]),
        ("قطة- كلب", [("قطة- كلب", 1)]),
        ('"قطة - كلب"', [("قطة - كلب", 1)]),
        ("«قطة - كلب» + بيت", [("قطة - كلب", 1), ("بيت", 1)]),
        ('2:"3:2 + 1"', [("3:2 + 1", 2)]),
        ('لافتة "لا - للحرب" كبيرة', [('لافتة "لا - للحرب" كبيرة', 1)]),
        ('"قطة" و "كلب"', [('"قطة" و "كلب"', 1)]),
        ('شاشة 5"', [('شاشة 5"', 1)]),
        ("حرارة \\-5", [("حرارة -5", 1)]),
        ("الساعة 12:30", [("الساعة 12:30", 1)]),
        ("12\\:30", [("12:30", 1)]),
        ("a\\b", [("a\\b", 1)]),
        ("sofa.jpg", [("sofa.jpg", 1)]),
        ("\\./sofa", [("./sofa", 1)]),
    ],
)
def test_a_query_of_texts_means_this(text: str, expected: list[tuple[str, float]]) -> None:
    assert terms(text) == [("text", value, weight) for value, weight in expected]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("./sofa.jpg", "./sofa.jpg"),
        ("../my sofa.jpg", "../my sofa.jpg"),
        ("/صور/قطة.jpg", "/صور/قطة.jpg"),
        ("~/a.jpg", "~/a.jpg"),
        ("C:\\My pictures\\a.jpg", "C:\\My pictures\\a.jpg"),
        ('"./a - b.jpg"', "./a - b.jpg"),
        ("./a \\- b.jpg", "./a - b.jpg"),
        ("./a-b.jpg", "./a-b.jpg"),
    ],
)
def test_what_begins_like_a_path_is_a_picture_spaces_and_all(text: str, value: str) -> None:
    assert terms(f"{text} + لون أزرق") == [("file", value, 1), ("text", "لون أزرق", 1)]
    assert terms(f"2:{text}") == [("file", value, 2)]
    with pytest.raises(InputError, match="names a file"):
        parse(text)


def test_a_stored_picture_may_be_named_in_any_query() -> None:
    assert parse("picture:0f + قطة").terms[0] == Term("stored", "picture:0f")
    assert parse("picture\\:0f").terms[0] == Term("text", "picture:0f")


MESSAGES = [
    ("", "the query is empty"),
    (" \u0640\u200f", "the query is empty"),
    ("قطة +", "has an empty part"),
    ("قطة + - كلب", "has an empty part"),
    ("+", "has an empty part"),
    ("2:", "has an empty part"),
    ('قطة + ""', "has an empty part"),
    ("- 0.5:كلب", "only pushes pictures away"),
    ("- كلب - picture:0f", "only pushes pictures away"),
    ('قطة + "كلب', "never closes it"),
    ("0:قطة", "out of range"),
    ("101:قطة", "out of range"),
    (" + ".join(["قطة"] * 17), "the most is 16"),
    ("./a.jpg", "cannot be opened from here"),
]


@pytest.mark.parametrize(("text", "message"), MESSAGES)
def test_a_meaningless_query_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse(text)
    assert "\n" not in str(refused.value)


TYPED = st.text(st.sampled_from(list('قطكلب ab+-−–"«»“”\\:./~2٢٫\u200f\t')) | st.characters(), max_size=30)


@given(TYPED)
def test_any_text_is_a_query_or_refused_in_our_own_words(text: str) -> None:
    try:
        query = parse(text, files=True)
    except InputError:
        return
    only_excludes = all(term.kind == "text" and term.weight <= -1 for term in query.terms)  # "- كلب": all others
    assert any(term.weight > 0 for term in query.terms) or only_excludes
    assert all(normalize(term.value) for term in query.terms)


@given(TYPED)
def test_a_query_written_out_is_the_same_query(text: str) -> None:
    try:
        query = parse(text, files=True)
    except InputError:
        return
    assert parse(str(query), files=True) == query


@given(st.text(st.sampled_from(list("قطة كلب-+abC5")), min_size=1).filter(lambda text: text.strip()))
def test_signs_inside_words_are_part_of_the_word(text: str) -> None:
    joined = "x" + text.replace(" ", "")
    assert terms(joined) == [("text", joined, 1)]


@given(st.lists(st.tuples(st.sampled_from(["قطة", "a b", "2\\:1"]), st.sampled_from([1, -1]), st.floats(0.1, 9))))
def test_signs_and_weights_belong_to_the_term_after_them(parts: list[tuple[str, int, float]]) -> None:
    parts = [("بيت", 1, 1.0), *parts[:15]]
    text = " ".join(f"{'+' if sign > 0 else '-'} {weight:.3f}:{value}" for value, sign, weight in parts)
    assert [term.weight for term in parse(text).terms] == [sign * round(weight, 3) for _, sign, weight in parts]


# ------------------------------------------------------------------ algebra


def rows(*vectors: list[float]) -> np.ndarray:
    array = np.array(vectors, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_one_term_is_its_own_vector() -> None:
    vectors = rows([1, 2, 2])
    assert combine(vectors, parse("3:قطة")) == pytest.approx(vectors[0])


def test_a_minus_turns_away_and_a_weight_draws_near() -> None:
    vectors = rows([1, 0, 0], [0, 1, 0])
    plus, minus = combine(vectors, parse("قطة + كلب")), combine(vectors, parse("قطة - كلب"), subtract=True)
    heavy = combine(vectors, parse("قطة + 3:كلب"))
    assert minus @ vectors[1] < 0 < plus @ vectors[1] < heavy @ vectors[1]
    assert minus @ vectors[0] > plus @ vectors[0]


def test_a_picture_beside_text_counts_half_and_alone_whole() -> None:
    vectors = rows([1, 0, 0], [0, 1, 0])
    beside = combine(vectors, parse("./a.jpg + كلب", files=True))
    assert beside @ vectors[1] == pytest.approx(2 * beside @ vectors[0])
    two = combine(vectors, parse("./a.jpg + ./b.jpg", files=True))
    assert two @ vectors[0] == pytest.approx(two @ vectors[1])


def test_terms_that_cancel_out_are_refused() -> None:
    with pytest.raises(InputError, match="cancel each other out"):
        combine(rows([1, 0], [1, 0]), parse("قطة - 2:قطة"), subtract=True)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=5), st.integers(0, 1000), st.floats(0.01, 100))
def test_a_sum_has_length_one_whatever_the_scale_and_order(weights: list[float], seed: int, scale: float) -> None:
    vectors = rows(*np.abs(np.random.default_rng(seed).normal(size=(len(weights), 6))).tolist())
    whole = unit_sum(vectors, weights)
    assert float(np.linalg.norm(whole)) == pytest.approx(1, abs=1e-5)
    assert unit_sum(vectors, [weight * scale for weight in weights]) == pytest.approx(whole, abs=1e-5)
    assert unit_sum(vectors[::-1], weights[::-1]) == pytest.approx(whole, abs=1e-5)


# ------------------------------------------------------------------ in a gallery


@pytest.fixture
def gallery(tmp_path: Path, tiny_model: Path) -> Iterator[Gallery]:
    folder = tmp_path / "صور"
    for name, colour in (("red", pictures.RED), ("green", pictures.GREEN), ("blue", pictures.BLUE)):
        pictures.solid(folder / f"{name} - 1.png", colour)
    pictures.solid(folder / "purple.png", (255, 0, 255))
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as opened:
        opened.update([folder])
        yield opened


def best(gallery: Gallery, query: str | Query) -> str:
    return Path(gallery.search(query, 1, files=True)[0].path).stem


def test_texts_and_pictures_are_added_and_taken_away(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "صور"
    assert best(gallery, "أحمر + أزرق") == "purple"
    assert best(gallery, "أحمر - أزرق") == "red - 1"
    assert best(gallery, f'"{folder}/red - 1.png" + أزرق') == best(gallery, parse("أحمر + blue")) == "purple"
    assert best(gallery, f"{folder}/purple.png") == "purple"
    assert best(gallery, f"3:أخضر + {folder}/purple.png") == "green - 1"


def test_an_untrusted_query_never_opens_a_file(gallery: Gallery, tmp_path: Path) -> None:
    for query in (f"{tmp_path}/صور/purple.png", "./a + قطة", "قطة - ~/.ssh/id", "2:/etc/passwd"):
        with pytest.raises(InputError, match="names a file"):
            gallery.search(query)


@pytest.mark.parametrize("path", ["./nowhere.jpg", "/", "./a\0b", "picture:00"])
def test_a_picture_that_is_not_there_is_named(gallery: Gallery, path: str) -> None:
    with pytest.raises(AraCLIPError, match=r"no such picture|not a file|not in the gallery"):
        gallery.search(path, files=True)
