"""Pages in ar/ run from right to left and speak Arabic: the theme's words, the search page, the order of the menu."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

FOLDER = "ar/"
log = logging.getLogger(__name__)

# What the theme says → what it says on Arabic pages. What no page has any more is a warning: the theme changed.
WORDS = {
    '<html class="no-js" lang="en"': '<html class="no-js" lang="ar" dir="rtl"',
    "Skip to content": "انتقل إلى المحتوى",
    "Back to top": "إلى الأعلى",
    "<span>Next</span>": "<span>التالي</span>",
    "<span>Previous</span>": "<span>السابق</span>",
    "On this page": "في هذه الصفحة",
    'placeholder="Search"': 'placeholder="ابحث في الوثائق"',
    'aria-label="Search"': 'aria-label="ابحث في الوثائق"',
    "Toggle site navigation sidebar": "قائمة الصفحات",
    "Toggle table of contents sidebar": "محتويات الصفحة",
    "Toggle Light / Dark / Auto color theme": "فاتح أو داكن أو تلقائي",
    "Link to this heading": "رابط هذا العنوان",
    "Please activate JavaScript to enable the search functionality.": "يحتاج البحث إلى JavaScript.",
    "<title>Search - ": "<title>البحث - ",
    'action="../search.html"': 'action="search.html"',
    "Made with": "بُنيت باستخدام",
    "</a> and": "</a> و",
}
MENU_SECTION = re.compile(r'<p class="caption".*?(?=<p class="caption"|\Z)', re.DOTALL)


def search_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The search page once more, for the Arabic pages."""
    yield f"{FOLDER}search", {"title": "البحث"}, "search.html"


def menu(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """On Arabic pages the Arabic section of the menu stands first; their search speaks Arabic."""
    if not page.startswith(FOLDER):
        return
    sections = MENU_SECTION.findall(context.get("furo_navigation_tree", ""))
    sections.sort(key=lambda section: "بالعربية" not in section)
    tree = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree[: tree.find('<p class="caption"')] + "".join(sections)
    if page == f"{FOLDER}search":
        app.add_js_file("search-ar.js")


def translate(app: Sphinx, failure: Exception | None) -> None:
    """Put the theme's words into Arabic, in the files that were written."""
    if failure or app.builder.name != "html":
        return
    unused = set(WORDS)
    for path in sorted(Path(app.outdir, FOLDER).rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        for said, arabic in WORDS.items():
            if said in text or arabic in text:  # a page that was not written anew has the Arabic already
                unused.discard(said)
                text = text.replace(said, arabic)
        path.write_text(text, encoding="utf-8")
    for said in sorted(unused):
        log.warning("no Arabic page has %r any more: the theme says something else now", said)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-collect-pages", search_page)
    app.connect("html-page-context", menu, priority=900)  # after the theme's own
    app.connect("build-finished", translate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
