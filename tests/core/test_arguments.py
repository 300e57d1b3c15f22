"""Arguments that nobody should pass: each is refused with one line that says what to pass."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pictures
from araclip import AraCLIP, Filters, Gallery, cli
from araclip.errors import AraCLIPError, ImageError, InputError
from araclip.gallery.query import parse

HALF = "\ud800"  # half of a character, as broken JSON has it
DIGITS = "9" * 400


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("arguments")
    pictures.solid(folder / "p" / "red.png")
    with Gallery.open(folder / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as opened:
        opened.update([folder / "p"])
        yield opened


@pytest.mark.parametrize("threads", [-1, 2.5, "2", 1_000_000])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: Any, tiny_model: Path) -> None:
    with pytest.raises(InputError, match=rf"threads is '?{threads}'?, expected a whole number up to 1024"):
        AraCLIP.load(tiny_model, threads=threads)


WRONG: list[Any] = [5, None, 1.5, [], {}, ..., b"red.png", HALF, "a\0b", "~nouser/x"]
METHODS: dict[str, Callable[[Gallery, Any], object]] = {
    "picture": lambda gallery, value: gallery.picture(value),
    "similar": lambda gallery, value: gallery.similar(value),
    "export": lambda gallery, value: gallery.export(value),
    "remove": lambda gallery, value: gallery.remove([value]),
    "add": lambda gallery, value: gallery.add([value]),
    "update": lambda gallery, value: gallery.update([value]),
    "update_at": lambda gallery, value: gallery.update_at(value, []),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", WRONG, ids=ascii)
def test_what_is_no_path_is_refused(gallery: Gallery, method: str, value: Any) -> None:
    if method == "update_at" and isinstance(value, list | dict):
        pytest.skip("no paths at all")
    if method == "add" and value == b"red.png":  # the bytes of a picture, which is skipped
        assert gallery.add([value]).paths == (None,)
        return
    with pytest.raises((InputError, ImageError)) as caught:
        METHODS[method](gallery, value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [5, None, 1.5, [], b"", HALF, "", "./red.png", f"picture:{HALF}"], ids=ascii)
def test_what_is_no_query_is_refused(gallery: Gallery, value: Any) -> None:
    with pytest.raises((InputError, ImageError)):
        gallery.search(value)


def test_metadata_of_no_path_is_refused(gallery: Gallery) -> None:
    for value in (5, None, b"x", HALF):
        with pytest.raises(InputError):
            gallery.metadata(value)
    assert gallery.metadata(Path("unknown")) == {}


@pytest.mark.parametrize("kinds", [5, None, "near", ["far"], [5], [["near"]], b"near", b""], ids=ascii)
def test_kinds_of_duplicates_are_a_list_of_known_ones(gallery: Gallery, kinds: Any) -> None:
    with pytest.raises(InputError, match="exact, near, semantic"):
        gallery.duplicates(kinds)


@pytest.mark.parametrize("parts", [5, None, 1.5, b"", b"date", "date", ["dates"], [5], [["date"]], True], ids=ascii)
def test_parts_of_a_query_to_ignore_are_a_list_of_known_ones(gallery: Gallery, parts: Any) -> None:
    with pytest.raises(InputError, match=r"words, exclusions, date, folder, place, kind, order, such as"):
        gallery.search("أحمر", ignore=parts)


@pytest.mark.parametrize(
    "where",
    [
        "folder=~nouser", f"folder={HALF}", "folder=a\0b", f"size={DIGITS}", "size=99999999999999999999", "size=9e9GB",
        f"size=1..{DIGITS}kB", f"captured={DIGITS}", f"added={HALF}", f"meta.{HALF}=x", f"meta.x={HALF}",
        f"format={HALF}", f"format={DIGITS}", DIGITS, f"{DIGITS}=1", f"orientation={HALF}", HALF, f"{HALF}=1",
        "meta.x=\udcff",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_filter_without_sense_is_refused_in_one_short_line(
    gallery: Gallery, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught:
        gallery.search("أحمر", where=where)
    assert len(str(caught.value)) < 400
    command = ["araclip", "search", "أحمر", "-g", str(gallery.folder), "--where", where]
    monkeypatch.setattr(sys, "argv", [*command, "--model", gallery.model.name])  # refused before the model matters
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"folder_name": ("x", 5)},
        {"folder": 5}, {"folder": b"x"}, {"folder_name": 5}, {"min_size": "1"}, {"min_size": -1}, {"max_size": 1 << 63},
        {"max_size": 1.5}, {"formats": 5}, {"formats": (5,)}, {"orientation": []}, {"metadata": 5},
        {"metadata": {5: "x"}}, {"metadata": {"x": None}}, {"metadata": {"x": HALF}}, {"captured_from": 5},
        {"added_to": b"2023"},
    ],
    ids=ascii,
)  # fmt: skip
def test_fields_of_filters_have_their_types(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Filters(**fields)


def test_one_format_may_be_a_text_and_the_largest_size_is_a_size() -> None:
    assert Filters(formats="jpg").formats == ("JPEG",)  # type: ignore[arg-type]
    assert Filters.read(["size=9223372036854775807"]).max_size == (1 << 63) - 1
    assert Filters.read(["size=0.1MB..9007199254740993"]).max_size == 9007199254740993


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_is_query_that_can_be_encoded_or_error_of_ours(text: str) -> None:
    try:
        query = parse(text, files=True)
    except AraCLIPError:
        return
    for term in query.terms:
        if term.kind == "text":
            term.value.encode()
