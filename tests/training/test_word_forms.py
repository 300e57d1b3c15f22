"""Captions in other words: dialects, synonyms, an English word among Arabic ones."""

import random

from hypothesis import given
from hypothesis import strategies as st

from araclip.text.folding import fold
from araclip.text.resources import default_interpreter
from araclip.training.data.noise import HELD_EVERY, in_dialect, is_held, with_english

LEXICON = default_interpreter().lexicon
WORDS = [*(entry.standard for entry in LEXICON.entries), "،", "كتبوا", "red", "3"]
HELD = {fold(form) for entry in LEXICON.entries for _, form, _ in entry.forms if is_held(form)}
TEXTS = st.lists(st.sampled_from(WORDS)).map(" ".join)


@given(TEXTS, st.integers(0, 1000))
def test_a_rewritten_text_can_be_replayed_and_is_never_empty(text: str, seed: int) -> None:
    for change in (in_dialect, with_english):
        changed = change(text, random.Random(seed))
        assert changed == change(text, random.Random(seed))
        assert bool(changed.strip()) == bool(text.strip())


@given(st.sampled_from(WORDS), st.integers(0, 1000))
def test_a_held_form_never_stands_for_a_word(word: str, seed: int) -> None:
    changed = in_dialect(word, random.Random(seed))
    assert changed == word or " " in word or fold(changed) not in HELD


def test_words_become_those_of_one_dialect_with_their_article() -> None:
    made = {in_dialect("السيارة في الشارع", random.Random(seed)) for seed in range(60)}
    assert len(made) > 3
    assert all(" " in text for text in made)
    assert any(text.startswith("ال") and text != "السيارة في الشارع" for text in made)


def test_one_word_becomes_english_and_other_text_stays() -> None:
    made = {with_english("قطة على السيارة", random.Random(seed)) for seed in range(40)}
    assert made == {"cat على السيارة", "قطة on السيارة", "قطة على car"}
    for change in (in_dialect, with_english):
        assert change("xyz كتبوا", random.Random(0)) == "xyz كتبوا"


def test_a_fifth_of_all_forms_is_held_however_spelled() -> None:
    forms = {fold(form) for entry in LEXICON.entries for _, form, _ in entry.forms}
    assert 0.15 < sum(map(is_held, forms)) / len(forms) < 0.25 and HELD_EVERY == 5
    assert is_held("قطة") == is_held("قِطَّه")
