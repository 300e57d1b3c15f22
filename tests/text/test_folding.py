"""Folding for text search: one string for the spellings of one word, idempotent, nothing but spelling is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.errors import InputError
from araclip.text.folding import fold

LETTERS = st.text(st.sampled_from("اأإآٱءؤئىيیةهۀەكکگپبچجڤفژزسشمنلو\u0654\u0655\u0653\u0651\u064eـ aİßÉ٣3۵-_.،"))


@pytest.mark.parametrize(
    ("spellings", "folded"),
    [
        (("شاطئ", "شاطىء", "شاطي", "شاطى", "شَاطِئ", "شـاطئ"), "شاطي"),
        (("أحمر", "احمر", "إحمر", "ٱحمر"), "احمر"),
        (("قطة", "قطه", "قطۀ"), "قطه"),
        (("سماء", "سما"), "سما"),
        (("مؤمن", "مومن"), "مومن"),
        (("کلب", "كلب", "ﻛﻠﺐ"), "كلب"),
        (("٢٠١٩", "۲۰۱۹", "2019"), "2019"),
        (("پيتزا", "بيتزا", "بیتزا"), "بيتزا"),
        (("IMG_2019", "img_٢٠١٩"), "img_2019"),
    ],
)
def test_spellings_of_one_word_fold_to_one_string(spellings: tuple[str, ...], folded: str) -> None:
    assert {fold(spelling) for spelling in spellings} == {folded}


@pytest.mark.parametrize(("one", "other"), [("ماء", "ما"), ("كلب", "قلب"), ("بيت", "بنت"), ("قرد", "ورد")])
def test_different_words_stay_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(LETTERS | st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.lists(LETTERS | st.text(), max_size=4))
def test_words_fold_alone_as_they_do_in_a_sentence(texts: list[str]) -> None:
    words = [fold(word) for text in texts for word in text.split()]
    assert fold(" ".join(words)) == " ".join(word for word in words if word)


def test_only_text_is_folded() -> None:
    with pytest.raises(InputError):
        fold(None)  # type: ignore[arg-type]
