"""Tutorials are scripts in the percent format, which Jupyter and VS Code read too; the site shows them as pages."""

import re
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)


def markdown(script: str) -> str:
    """A script's cells as Markdown: text cells without their #, code cells as code."""
    _, *parts = CELL.split(script)  # kind, text, kind, text …
    pages = []
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        if "markdown" in kind:
            pages.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in text.strip().splitlines()))
        elif text.strip():
            pages.append(f"```python\n{text.strip()}\n```")
    return "\n\n".join(pages) + "\n"


class TutorialParser(MystParser):
    """Reads a script as the Markdown of its cells."""

    supported = ("tutorial",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Called by Sphinx with the script."""
        super().parse(markdown(inputstring), document)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_source_suffix(".py", "tutorial")
    app.add_source_parser(TutorialParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
