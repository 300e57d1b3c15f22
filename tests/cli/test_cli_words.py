"""Queries as words of the command line, links and pictures in terminals, counts with their nouns."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import pictures
from araclip.cli import searching as command
from araclip.cli import thumbnails
from araclip.core.display import counted
from araclip.errors import InputError, UnsupportedFormat
from araclip.gallery.results import Hit
from araclip.pictures.images import open_image
from command_line import Run


@pytest.fixture
def searched(run: Run, folder: Path) -> Run:
    run("index", str(folder))
    return run


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (("أحمر", "فاتح"), "أحمر فاتح"),
        (("أحمر", "-أزرق", "-k", "1"), "أحمر -أزرق"),
        (("-k", "1", "أحمر", "-", "أزرق"), "أحمر - أزرق"),
        (("-أزرق", "+", "أحمر"), "-أزرق + أحمر"),
        (("أحمر + أخضر", "-أزرق"), "أحمر + أخضر -أزرق"),
        (("-k", "1", "--", "-blue", "+", "red"), "-blue + red"),
        (("-أزرق",), "-أزرق"),
        (("-", "blue"), "- blue"),
        (("- blue",), "- blue"),
    ],
)
def test_a_query_needs_no_quotation_marks(searched: Run, words: tuple[str, ...], query: str) -> None:
    found = searched("search", "--json", *words, model=False)
    assert found.code == 0, found.err
    assert f'"query": "{query}"' in found.out


def test_unknown_option_is_refused_and_says_how_to_exclude_word(searched: Run) -> None:
    refused = searched("search", "cat", "-dog")
    assert refused.code == 2
    assert "write: - dog" in " ".join(refused.err.split())
    assert "--collapse" in searched("search", "cat", "--colapse").err


@pytest.mark.parametrize(
    ("relevance", "shown"), [(0.1999, "weak 0.19"), (0.2, "fair 0.20"), (0.4999, "fair 0.49"), (0.57, "strong 0.57")]
)
def test_a_number_of_relevance_fits_its_word(capsys: pytest.CaptureFixture[str], relevance: float, shown: str) -> None:
    command._print_hits("قطة", [Hit("a.jpg", 0.3, 1, relevance=relevance)], "")
    assert shown in capsys.readouterr().out


def test_paths_are_links_on_a_terminal_alone(
    searched: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "\x1b]8;" not in searched("search", "أحمر").out
    written = io.StringIO()
    monkeypatch.setattr(command, "out", Console(file=written, force_terminal=True, width=400))
    searched("search", "أحمر")
    link = (folder / "أحمر.jpg").as_uri()
    assert re.search(rf"\x1b\]8;[^;]*;{re.escape(link)}\x1b", written.getvalue())


# ------------------------------------------------------------------ pictures in a terminal


@pytest.mark.parametrize(
    ("environment", "method"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, "blocks"),
        ({"TERM": "dumb", "ARACLIP_TERMINAL_PICTURES": "sixel"}, "sixel"),
    ],
)
def test_the_terminal_is_known_by_its_environment(environment: dict[str, str], method: str) -> None:
    assert thumbnails.choose_method(environment) == method


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(InputError, match="kitty, iterm, sixel, blocks"):
        thumbnails.choose_method({"ARACLIP_TERMINAL_PICTURES": "ascii"})


def test_kitty_and_iterm_get_the_picture_whole() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", thumbnails.kitty(picture))
    assert len(pieces) > 1
    assert [keys.endswith("m=1") for keys, _ in pieces] == [True] * (len(pieces) - 1) + [False]
    assert all(len(data) <= thumbnails.CHUNK for _, data in pieces)
    inline = thumbnails.iterm(picture)
    for data in ("".join(data for _, data in pieces), inline[inline.index(":") + 1 : -1]):
        shown = Image.open(io.BytesIO(base64.b64decode(data)))
        assert np.array_equal(np.asarray(shown), np.asarray(picture))


def test_sixel_draws_every_pixel_once_in_its_colour() -> None:
    picture = Image.new("RGB", (9, 7), (255, 0, 0))
    picture.paste((0, 0, 255), (4, 0, 9, 7))
    text = thumbnails.sixel(picture)
    palette = {int(n): tuple(map(int, rgb.split(";"))) for n, rgb in re.findall(r"#(\d+);2;([\d;]+)", text)}
    drawn = np.full((12, 9, 3), -1)
    body = text[text.index("#", re.search(r"(#\d+;2;[\d;]+)+", text).end()) :].removesuffix("\x1b\\")  # type: ignore[union-attr]
    for band, runs in enumerate(body.rstrip("-").split("-")):
        for number, codes in re.findall(r"#(\d+)([^#$]*)\$", runs):
            letters = re.sub(r"!(\d+)(.)", lambda found: found[2] * int(found[1]), codes)
            for column, letter in enumerate(letters):
                for bit in range(6):
                    if ord(letter) - 63 >> bit & 1:
                        assert (drawn[band * 6 + bit, column] == -1).all()
                        drawn[band * 6 + bit, column] = palette[int(number)]
    assert (drawn[:7, :4] == (100, 0, 0)).all()
    assert (drawn[:7, 4:] == (0, 0, 100)).all()


def test_pictures_are_shown_with_their_paths(searched: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(
        command, "out", Console(file=written, force_terminal=True, color_system="truecolor", width=200, highlight=False)
    )
    monkeypatch.setenv("ARACLIP_TERMINAL_PICTURES", "blocks")
    searched("search", "أحمر", "--thumbnails", "-k", "2")
    assert written.getvalue().count("▀") > 20
    assert "أحمر.jpg" in written.getvalue()
    assert "exclude each other" in searched("search", "أحمر", "--thumbnails", "--json").err


# ------------------------------------------------------------------ words


def test_a_count_has_the_number_of_its_noun() -> None:
    assert [counted(n, "picture") for n in (0, 1, 2, 2000)] == [
        "0 pictures",
        "1 picture",
        "2 pictures",
        "2,000 pictures",
    ]
    assert counted(1, "query", "queries") == "1 query"
    assert counted(3, "query", "queries") == "3 queries"


def test_one_picture_is_one_picture(run: Run, tmp_path: Path) -> None:
    pictures.solid(tmp_path / "واحدة" / "أحمر.png")
    assert "1 picture indexed" in run("index", str(tmp_path / "واحدة")).out
    assert "1 picture, 0 faults" in run("verify", model=False).out


def test_a_file_of_no_bytes_is_called_empty(run: Run, folder: Path) -> None:
    (folder / "فارغة.jpg").touch()
    assert "فارغة.jpg: an empty file (0 bytes)." in run("index", str(folder)).err
    with pytest.raises(UnsupportedFormat, match="empty file"):
        open_image(io.BytesIO())
