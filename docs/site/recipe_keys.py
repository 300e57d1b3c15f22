"""The keys of recipes, read from the source: each dataclass of a section with its fields, defaults and comments."""

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PLACE = "<!-- the keys -->"  # where a page has them
ROOT = Path(__file__).parents[2]
TRAINING = "src/araclip/training"
SECTIONS = {  # file → its dataclasses that a recipe writes; None: all
    f"{TRAINING}/recipe/stages.py": None,
    "recipes/mini/ensemble.py": None,
    "recipes/mini/distill_images.py": None,
    "recipes/mini/query_bank.py": None,
    "recipes/mini/names_part.py": {"Names"},
    f"{TRAINING}/data/pictures.py": {"PictureSource"},
    f"{TRAINING}/data/text.py": {"Source"},
}
KINDS = (f"{TRAINING}/data/limits.py", f"{TRAINING}/recipe/stages.py")


def comments(text: str) -> dict[int, str]:
    """Line → its comment: the one that stands on the line, or the comment lines above it."""
    lines = text.splitlines()
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or token.string.startswith("# fmt"):
            continue
        line, said = token.start[0], token.string.lstrip("# ")
        while line < len(lines) and lines[line - 1].lstrip().startswith("#"):
            line += 1
        found[line] = f"{found.get(line, '')} {said}".strip()
    return found


def cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def code(text: str) -> str:
    """Code in a cell of a Markdown table."""
    return f"`{cell(text)}`" if text else ""


def section(node: ast.ClassDef, text: str, said: dict[int, str], fields: dict[str, list[ast.AnnAssign]]) -> str:
    """One dataclass as Markdown; `fields` has those of the classes before, for what it inherits."""
    own = [
        child
        for child in node.body
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name) and child.target.id[0] != "_"
    ]
    fields[node.name] = own
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in fields]
    rows = []
    for field in own:
        default = ast.get_source_segment(text, field.value) if field.value else ""
        comment = next((said[line] for line in range(field.lineno, (field.end_lineno or 0) + 1) if line in said), "")
        kind = ast.get_source_segment(text, field.annotation) or ""
        rows.append(f"| {code(field.target.id)} | {code(kind)} | {code(default or '')} | {cell(comment)} |")  # type: ignore[union-attr]
    also = " ".join(f"It has the keys of [{base}](#{base.lower()}) too." for base in bases)
    table = ["| key | type | default | |", "|---|---|---|---|", *rows] if rows else []
    return "\n".join([f"## {node.name}", "", ast.get_docstring(node) or "", "", also, "", *table, ""])


def kinds() -> str:
    """The named kinds of values with their limits, as a Markdown table."""
    rows = []
    for node in [node for name in KINDS for node in ast.parse((ROOT / name).read_text(encoding="utf-8")).body]:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id[0] != "_":
            limits = [call for call in ast.walk(node.value) if isinstance(call, ast.Call) and len(call.args) == 2]
            for call in limits:
                base = ast.unparse(node.value.slice.elts[0])  # type: ignore[attr-defined]
                said = ast.unparse(call.args[1]).removeprefix("f").strip("'\"")
                said = re.sub(r"\{(\w+):,\}", lambda name: f"`{name[1]}`", said)
                rows.append(f"| `{node.targets[0].id}` | `{base}` | {cell(said)} |")
    return "\n".join(["## Kinds of values", "", "| name | type | allowed |", "|---|---|---|", *rows, ""])


def keys() -> str:
    """All sections as Markdown."""
    pages = []
    fields: dict[str, list[ast.AnnAssign]] = {}
    for name, wanted in SECTIONS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        said = comments(text)
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.decorator_list and (wanted is None or node.name in wanted):
                pages.append(section(node, text, said, fields))
    return "\n".join([*pages, kinds()])


def put(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the keys where a page asks for them."""
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, keys())
        for name in (*SECTIONS, *KINDS):
            app.env.note_dependency(str(ROOT / name))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", put)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
