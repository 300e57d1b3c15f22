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
THEMES = {"dark", "light"}  # messages by which the theme's switch is called
MAX_LINES = 300
PHYSICAL = re.compile(
    r"(?<![-\w])(margin|padding|border)-(left|right)|(?<![-\w.])(left|right):|text-align: (left|right)"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_says_what_it_is_for_and_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(("/**", "// "))
    assert len(text.splitlines()) <= MAX_LINES or path.name == "messages.js"  # a table, one text a line


def test_nothing_comes_from_another_host() -> None:
    texts = (path for path in WEB.rglob("*") if path.is_file() and path.suffix != ".png")
    for path in texts:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.", text), path.name


def test_markup_holds_no_script_no_style_and_no_absolute_address() -> None:
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
    wanted = set(re.findall(r"#icon-(\w+)", text)) | set(re.findall(r"(?<![\w.])icon\('(\w+)'\)", text))
    wanted |= set(re.findall(r"button\('[\w.]+', '(\w+)'", text)) | set(re.findall(r"name: '(\w+)', title", text))
    assert wanted <= drawn


@pytest.mark.parametrize("name", sorted(path.name for path in ASSETS.glob("*.css")))
def test_styles_know_start_and_end_not_left_and_right(name: str) -> None:
    assert PHYSICAL.findall((ASSETS / name).read_text(encoding="utf-8")) == []


# ------------------------------------------------------------------ words

ARABIC = re.compile("[\u0621-\u064a]")
LITERAL = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`")
COMMENT = re.compile(r"/\*.*?\*/|(?<![:'\"`\w])//[^\n]*", re.S)
SENTENCE = re.compile(r"(?<![\w.#\[-])[A-Z][a-z]+(?: [a-z]+)+|(?<![\w.#\[-])[a-z]+(?: [a-z]+){2,}")
COUNTED = re.compile(r"\{n\}")


def texts_of(module: Path) -> list[str]:
    """The string literals of a module outside comments, without what stands in ${…}."""
    code = COMMENT.sub("", module.read_text(encoding="utf-8"))
    return [re.sub(r"\$\{[^}]*\}", "", text[1:-1]) for text in LITERAL.findall(code)]


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "messages.js"], ids=lambda path: path.name)
def test_no_module_but_that_of_messages_holds_text_for_people(path: Path) -> None:
    texts = texts_of(path)
    letters = {"suggest.js"}  # it folds letters of Arabic
    assert [text for text in texts if len(ARABIC.findall(text)) > 1 and path.name not in letters] == []
    assert [text for text in texts if SENTENCE.fullmatch(text.strip(" .…!?:"))] == []


def test_a_text_for_people_is_found(tmp_path: Path) -> None:
    module = tmp_path / "x.js"
    module.write_text(
        """// 'a comment of words'\nlet a = 'Nothing was found', b = "قطة", c = `لا نتائج ${n}`, d = 'span.chip';"""
    )
    found = texts_of(module)
    assert [bool(SENTENCE.fullmatch(text)) for text in found] == [True, False, False, False]
    assert [len(ARABIC.findall(text)) > 1 for text in found] == [False, True, True, False]


def test_the_markup_holds_no_text_but_without_scripts() -> None:
    whole = (WEB / "index.html").read_text(encoding="utf-8")
    markup = re.sub(r"<noscript>.*?</noscript>|<title>.*?</title>|<bdi>AraCLIP</bdi>", "", whole, flags=re.S)
    assert re.findall(r">\s*([^<>\s][^<>]*)<", markup) == []
    assert re.findall(r'(?:aria-label|title|placeholder|alt)="[^"]+"', markup) == []


def test_what_is_counted_has_every_form_of_its_language() -> None:
    source = (ASSETS / "messages.js").read_text(encoding="utf-8")
    arabic, english = source.split("\nconst en")
    for part, forms in ((arabic, ["zero", "one", "two", "few", "many", "other"]), (english, ["one", "other"])):
        counted = re.findall(r"^  (\w+): \{(.*?)\}(?:,)$", re.sub(r"\{(\w+)\}", r"<\1>", part), re.M | re.S)
        assert len(counted) >= 5
        for key, inside in counted:
            assert re.findall(r"(?:^|[{,\n])\s*(\w+):", inside) == forms, key
    plain = {key for key, text in re.findall(r"^  (\w+): '(.*)',$", arabic, re.M) if COUNTED.search(text)}
    assert plain <= {"position", "indexingOf"}  # a place among others counts nothing


def test_no_message_is_there_twice() -> None:
    for part in (ASSETS / "messages.js").read_text(encoding="utf-8").split("\nconst en"):
        keys = re.findall(r"^  (\w+):", part, re.M)
        assert sorted(keys) == sorted(set(keys))
