"""Draws docstrings and comments of the package for a reader who does not see their code.

    python benchmarks/readability.py 20261301 --out draw.md

The reader says in own words what each thing does, and marks it understood, half or not; somebody else compares these
words with the code. docs/log/2026-12.md has the seeds and verdicts. `draw.md.places` says where each text stands.
"""

import argparse
import ast
import io
import random
import tokenize
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
DOCSTRINGS, COMMENTS = 100, 50
NO_PROSE = ("# type:", "# noqa", "# fmt", "# ---")  # comments for programs, and rules between parts of a file

Text = tuple[str, str, str]  # where the text stands, what it belongs to, the text


def docstrings(file: Path) -> Iterator[Text]:
    """Each docstring of a file, with the name and parameters of what it describes."""
    tree = ast.parse(file.read_text(encoding="utf-8"))

    def walk(node: ast.AST, prefix: str) -> Iterator[Text]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child, prefix)
                continue
            if text := ast.get_docstring(child):
                yield f"{file.relative_to(SOURCE)}:{child.lineno}", prefix + child.name + parameters(child), text
            yield from walk(child, f"{prefix}{child.name}.")

    if text := ast.get_docstring(tree):
        yield f"{file.relative_to(SOURCE)}:1", "the module", text
    yield from walk(tree, "")


def parameters(node: ast.AST) -> str:
    """The names of a function's parameters in parentheses; empty for a class."""
    if isinstance(node, ast.ClassDef):
        return ""
    args = node.args  # type: ignore[attr-defined]
    names = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    names += [f"*{args.vararg.arg}"] if args.vararg else []
    names += [arg.arg for arg in args.kwonlyargs]
    names += [f"**{args.kwarg.arg}"] if args.kwarg else []
    return f"({', '.join(name for name in names if name not in ('self', 'cls'))})"


def comments(file: Path) -> Iterator[Text]:
    """Each comment of a file: lines of comments below each other are one; beside code, the line of code is shown."""
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    block: tuple[int, int, str] | None = None  # first line, last line, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.string.startswith(NO_PROSE):
            continue
        number, column = token.start
        code, text = lines[number - 1][:column].strip(), token.string.lstrip("#: ")
        if block and not code and block[1] == number - 1:
            block = (block[0], number, f"{block[2]} {text}")
            continue
        if block:
            yield f"{file.relative_to(SOURCE)}:{block[0]}", "", block[2]
        block = None if code else (number, number, text)
        if code:
            yield f"{file.relative_to(SOURCE)}:{number}", "", f"{code}   # {text}"
    if block:
        yield f"{file.relative_to(SOURCE)}:{block[0]}", "", block[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int)
    parser.add_argument("--out", type=Path, required=True, help="the file for the reader")
    args = parser.parse_args()

    files = sorted(SOURCE.rglob("*.py"))
    generator = random.Random(args.seed)
    drawn = {
        "D": generator.sample([text for file in files for text in docstrings(file)], DOCSTRINGS),
        "C": generator.sample([text for file in files for text in comments(file)], COMMENTS),
    }
    entries = [(f"{kind}{number}", *text) for kind, texts in drawn.items() for number, text in enumerate(texts, 1)]
    shown = [
        f"## {key} ({place.partition(':')[0]}{': ' if name else ''}{name})\n{text}\n"
        for key, place, name, text in entries
    ]
    args.out.write_text("\n".join(shown), encoding="utf-8")
    places = "".join(f"{key} {place} {name}\n" for key, place, name, _ in entries)
    args.out.with_name(args.out.name + ".places").write_text(places, encoding="utf-8")


if __name__ == "__main__":
    main()
