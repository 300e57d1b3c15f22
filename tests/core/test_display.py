"""Display of untrusted text: control characters are escaped, and nothing that a reader needs is lost."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.core.display import json_shown, shortened, shown
from araclip.errors import first_line

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("قطة على طاولة", "قطة على طاولة"),
        ("👩\u200d🚀 می\u200cخواهم", "👩\u200d🚀 می\u200cخواهم"),
        ("a\u202egpj.exe\u2066", "a\\u202egpj.exe\\u2066"),
        ("a\nb\x1b[2J", "a\\u000ab\\u001b[2J"),
        (os.fsdecode(b"\xe9.png"), "\\xe9.png"),
        ("\ud800", "\\ud800"),  # JSON can hold half a character
        ("\U000e0041\x9b", "\\U000e0041\\u009b"),
    ],
)
def test_control_marks_are_escaped_and_letters_stay(text: str, seen: str) -> None:
    assert shown(text) == seen


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Step \x1b[96m1/3\x1b[0m failed\nbecause", "Step 1/3 failed"),
        ("\x1b[2J\x1b[H\n\x9b31mred", "red"),
        ("\x1b]0;a title\x07see \x1b]8;;http://a.b\x1b\\the page\x1b]8;;\x1b\\", "see the page"),
        ("a\tb\x00c\x08", "a b c"),
        ("قطة \x1b(Bعلى\u200cطاولة", "قطة على\u200cطاولة"),
        ("\x1b[0m", "KeyError"),
    ],
)
def test_first_line_of_error_holds_nothing_that_terminal_obeys(said: str, line: str) -> None:
    class Said(KeyError):
        def __str__(self) -> str:
            return said

    Said.__name__ = "KeyError"
    assert first_line(Said()) == line


@given(ANY_TEXT)
def test_what_is_shown_is_one_line_that_shows_itself(text: str) -> None:
    seen = shown(text)
    seen.encode()
    assert len(seen.splitlines()) <= 1
    assert shown(seen) == seen


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers()))
def test_json_is_shown_in_its_own_notation_and_means_the_same(value: dict[str, object]) -> None:
    seen = json_shown(json.dumps(value, ensure_ascii=False))
    seen.encode()
    assert shown(seen) == seen
    assert json.loads(seen) == json.loads(json.dumps(value))


@given(st.text(), st.integers(3, 40))
def test_a_shortened_text_keeps_both_ends(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short) == min(len(text), limit)
    head, _, tail = short.partition("…") if len(text) > limit else (text, "", "")
    assert text.startswith(head)
    assert text.endswith(tail)
