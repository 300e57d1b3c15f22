"""The page's files, without a browser: nothing inline, nothing from other hosts, short modules, complete messages.

What the page does is tested in tests/browser (`make test-browser`).
"""

import re
from pathlib import Path

import pytest

import araclip

WEB = Path(araclip.__file__).parent / "server" / "web"
ASSETS = WEB / "assets"
MODULES = sorted(ASSETS.glob("*.js"))
MAX_LINES = 300
THEMES = {"dark", "light"}  # messages by which the theme's switch is called
PHYSICAL = re.compile(
    r"(?<![-\w])(margin|padding|border)-(left|right)|(?<![-\w.])(left|right):|text-align: (left|right)"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_says_what_it_is_for_and_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(("/**", "// "))
    assert len(text.splitlines()) <= MAX_LINES or path.name == "messages.js"  # a table, one text a line


def test_nothing_comes_from_another_host() -> None:
    for path in [WEB / "index.html", *ASSETS.iterdir()]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.", text), path.name


def test_the_markup_holds_no_script_no_style_and_no_absolute_address() -> None:
    markup = (WEB / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", markup)
    assert re.findall(r"<script(?![^>]*\ssrc=)", markup) == []
    for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", markup):
        assert address.startswith(("assets/", "./", "#")), address  # so that the page can live below a path
        if address.startswith("assets/"):
            assert (WEB / address.split("#")[0]).is_file(), address


def test_every_module_that_is_imported_exists() -> None:
    for path in MODULES:
        for name in re.findall(r"(?:from |import\()'\./([^']+)'", path.read_text(encoding="utf-8")):
            assert (ASSETS / name).is_file(), f"{path.name} imports {name}"


def test_every_message_is_used_and_every_message_used_exists() -> None:
    messages = (ASSETS / "messages.js").read_text(encoding="utf-8")
    known = set(re.findall(r"^  (\w+):", messages, re.M))
    others = [path.read_text(encoding="utf-8") for path in [WEB / "index.html", *MODULES] if path.name != "messages.js"]
    text = "\n".join(others)
    asked = set(re.findall(r"(?<![\w.])t\('(\w+)'", text)) | set(re.findall(r'data-t(?:-\w+)?="(\w+)"', text))
    assert asked <= known
    assert [key for key in sorted(known - asked) if not re.search(rf"'{key}'", text) and key not in THEMES] == []


def test_every_icon_is_drawn() -> None:
    drawn = set(re.findall(r'id="(\w+)"', (ASSETS / "icons.svg").read_text(encoding="utf-8")))
    text = "\n".join(path.read_text(encoding="utf-8") for path in [WEB / "index.html", *MODULES])
    wanted = set(re.findall(r"icons\.svg#(\w+)", text)) | set(re.findall(r"(?<![\w.])icon\('(\w+)'\)", text))
    wanted |= set(re.findall(r"button\('[\w.]+', '(\w+)'", text)) | set(re.findall(r"name: '(\w+)', title", text))
    assert wanted <= drawn


@pytest.mark.parametrize("name", ["style.css", "results.css", "viewer.css"])
def test_styles_know_start_and_end_not_left_and_right(name: str) -> None:
    assert PHYSICAL.findall((ASSETS / name).read_text(encoding="utf-8")) == []
