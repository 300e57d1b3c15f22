"""CONTRIBUTING, SECURITY and CHANGELOG as pages of the site, with their links turned towards here."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGES = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md", "security": "SECURITY.md"}
ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#]*)")


def from_here(target: str) -> str:
    """A link of a page in the root, as a page of docs/ writes it."""
    for page, name in PAGES.items():
        if target == name:
            return f"{page}.md"
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"


def put(app: Sphinx, page: str, source: list[str]) -> None:
    """Take the root's page in place of the line that stands for it here."""
    if page in PAGES:
        text = (ROOT / PAGES[page]).read_text(encoding="utf-8")
        source[0] = LINK.sub(lambda link: f"]({from_here(link[1])}", text)
        app.env.note_dependency(str(ROOT / PAGES[page]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", put)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
