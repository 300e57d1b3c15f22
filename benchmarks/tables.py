"""Writes the tables of figures in README.md and docs/ from benchmarks/results.jsonl.

    python benchmarks/tables.py             # writes them
    python benchmarks/tables.py --check     # exit code 1 where a document and the file differ

A figure is changed in results.jsonl, never in a document. Its lines are JSON objects of these kinds:

    machine, model, data    what the tables were measured on: processor and instructions; hashes of the weights and of
                            the list of pictures
    table                   a table's name and document, the command that gives its figures, when and on what it ran,
                            and the commit that recorded them
    row                     the cells of a row, as they are printed; intervals stand in brackets behind their value
    view                    some rows and columns of another table, perhaps under other names, for a second document
    figure                  a number of a table that stands in a document's sentences, too

In a document, a table stands between the comments `<!-- results: NAME -->` and `<!-- end of results -->`.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.jsonl"
MARKED = re.compile(r"<!-- results: (\S+) -->\n(.*?)<!-- end of results -->", re.DOTALL)
Record = Mapping[str, Any]


def documents() -> list[Path]:
    """The documents in which tables may stand."""
    return [ROOT / "README.md", ROOT / "README.ar.md", *sorted((ROOT / "docs").glob("*.md"))]


def read_results() -> list[Record]:
    """Every line of results.jsonl."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def tables_of(records: Sequence[Record]) -> dict[str, str]:
    """The Markdown of each table and view, by name."""
    tables = {record["table"]: record for record in records if record["kind"] == "table"}
    rows: dict[str, list[list[str]]] = {name: [] for name in tables}
    for record in records:
        if record["kind"] == "row":
            rows[record["table"]].append(record["cells"])
    written = {name: markdown(table, table["columns"], rows[name]) for name, table in tables.items()}
    for view in (record for record in records if record["kind"] == "view"):
        columns, names = tables[view["of"]]["columns"], view.get("names", {})
        chosen = [columns.index(column) for column in view["columns"]]
        by_name = {row[0]: row for row in rows[view["of"]]}
        # in a document that is read from right to left, the point of .242 would stand behind the number
        point = "0." if view["document"].endswith(".ar.md") else "."
        cut = [[re.sub(r"^\.", point, by_name[row][place]) for place in chosen] for row in view["rows"]]
        head = [names.get(column, column) for column in view["columns"]]
        written[view["view"]] = markdown(
            {**tables[view["of"]], **view}, head, [[names.get(row[0], row[0]), *row[1:]] for row in cut]
        )
    return written


def markdown(table: Record, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, and a line that says where its figures come from."""
    here = (ROOT / table["document"]).parent
    file = Path(os.path.relpath(RESULTS, here)).as_posix()
    source = table.get("source", "[Source]({path}): {command}, machine {machine}, {date}, commit {commit}.").format(
        **{**table, "path": file, "file": f"[results.jsonl]({file})", "command": _as_code(table["command"])}
    )  # fmt: skip
    head, *body = (f"| {' | '.join(cells)} |\n" for cells in (columns, *rows))
    return f"{head}|{'|'.join(table.get('align', ['---'] * len(columns)))}|\n{''.join(body)}\n{source}\n"


def _as_code(command: str) -> str:
    return f"`{command}`" if command.startswith(("python ", "make ")) else command


def changes() -> Iterator[tuple[Path, str]]:
    """Each document whose tables differ from the file, and its text as it should be.

    Raises:
        SystemExit: a document names a table that the file does not have.
    """
    tables = tables_of(read_results())
    for document in documents():
        text = document.read_text(encoding="utf-8")
        if missing := [name for name, _ in MARKED.findall(text) if name not in tables]:
            sys.exit(f"{document}: results.jsonl has no table {missing[0]}. It has {', '.join(tables)}.")
        due = MARKED.sub(lambda found: f"<!-- results: {found[1]} -->\n{tables[found[1]]}<!-- end of results -->", text)
        if due != text:
            yield document, due


def main() -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    found = list(changes())
    for document, text in found:
        if not args.check:
            document.write_text(text, encoding="utf-8")
        print(f"{document.relative_to(ROOT)}: {'differs' if args.check else 'written'}")
    sys.exit(1 if args.check and found else 0)


if __name__ == "__main__":
    main()
