"""Trees drawn in docstrings (├──) are shown as they are drawn, in a literal block."""

from typing import Any

from sphinx.application import Sphinx


def draw(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Indent each tree, with the line above it that is its root, and announce it as literal."""
    drawn: list[str] = []
    inside = False
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        branch = line.startswith(("├", "│", "└"))
        if after.startswith("├") and not branch:
            drawn += ["::", ""]
            inside = True
        inside = inside and (branch or bool(line.strip()))
        drawn.append(f"    {line}" if inside else line)
    lines[:] = drawn


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
