"""The word lists that queries are understood by: each section is read somewhere, and no entry stands in it twice."""

import re
from pathlib import Path

import araclip
from araclip.text import word_lists
from araclip.text.folding import fold
from araclip.text.resources import default_interpreter
from araclip.text.vocabulary import split_proclitics
from araclip.text.words import words

SOURCE = Path(araclip.__file__).parent
GRAMMAR = (SOURCE / "text" / "data" / "grammar.txt").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^\[(.+)\]$", GRAMMAR, re.MULTILINE)


def test_each_section_stands_once_and_is_read_by_its_name() -> None:
    assert len(SECTIONS) == len(set(SECTIONS)) > 50
    code = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "text").glob("*.py"))
    assert [name for name in SECTIONS if f'"{name}"' not in code] == []


def test_no_entry_of_a_section_is_empty_or_stands_there_twice() -> None:
    for name in SECTIONS:
        entries = word_lists.read_entries(name)
        assert entries and all(entries), name
        assert len({entry.partition("=")[0] for entry in entries}) == len(entries), name


def test_forms_keep_the_place_of_their_entry_and_are_folded() -> None:
    months = word_lists.read_numbered_forms("dates: months")
    assert {place for place, _ in months} == set(range(12))
    assert (3, (fold("أبريل"),)) in months and (0, ("كانون", fold("الثاني"))) in months
    assert word_lists.read_mapping("arabizi: usual")["2otta"] == "قطة"
    assert fold("أبداً") in word_lists.read_folded("negation: at all")


def test_whole_words_keep_their_first_letter() -> None:
    interpreter = default_interpreter()
    for word in word_lists.read_entries("words: whole"):
        folded = fold(word)
        for written in (word, f"ال{word}", f"وال{word}"):
            (only,) = words(written)
            assert only.stem.startswith(folded[:2]), written
        assert list(split_proclitics(word)) == []
        if not interpreter.lexicon.find(word):
            assert word in {reading.text for reading in interpreter.interpret(word).readings}


def test_words_of_one_stem_are_one_word_and_others_are_not() -> None:
    def stem(word: str) -> str:
        return next(iter(words(word))).stem

    assert stem("بطريق") != stem("طريق") == stem("بالطريق")
    assert stem("فستان") != stem("بستان")
    assert stem("فندق") != stem("بندقية")
    assert stem("فطيرة") != stem("طير")
    assert stem("بسرعة") == stem("سرعة")
    assert stem("والسيارة") == stem("سيارات")
