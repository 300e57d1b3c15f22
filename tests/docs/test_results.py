"""The figures of README.md and docs/ are those of benchmarks/results.jsonl."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import tables  # noqa: E402

RECORDS = tables.read_results()
FIGURE = re.compile(r"(?<![\w.])\d*\.\d+|\d+ %|\d+ ms|\d+ MB|\d,\d{3}")
NOT_MEASURED = {  # first cells of tables of limits, versions or published figures, which have other sources
    ("docs/commands.md", "option"), ("docs/evaluation-sets.md", "name"), ("docs/install-extras.md", "extra"),
    ("docs/peers.md", "for"), ("docs/peers-table.md", "name"), ("docs/scale.md", "pictures"),
    ("docs/http-api.md", "route"), ("docs/testing.md", "what is tried"),
    ("docs/training-mini-data.md", "folder of CLONES"),
    ("README.md", ""), ("README.ar.md", ""),  # what AraCLIP is; its figures are tested below
}  # fmt: skip


def kinds(kind: str) -> list[tables.Record]:
    return [record for record in RECORDS if record["kind"] == kind]


def unmarked_tables(document: Path) -> list[list[str]]:
    """Lines of each table of a document that is not written from the results."""
    text = tables.MARKED.sub("", document.read_text(encoding="utf-8"))
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]


def test_documents_hold_the_tables_of_the_results():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), f"{done.stdout}{done.stderr}Run python benchmarks/tables.py."


def test_figures_read_from_right_to_left_begin_with_no_point():
    assert re.findall(r"\| *\.\d+", (ROOT / "README.ar.md").read_text(encoding="utf-8")) == []


def test_a_document_that_differs_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    name = kinds("table")[0]["table"]
    for file in ("README.md", "README.ar.md"):
        (tmp_path / file).write_text("", encoding="utf-8")
    page = tmp_path / "docs" / "RESULTS.md"
    page.write_text(f"Before.\n<!-- results: {name} -->\n| .999 |\n<!-- end of results -->\nAfter.\n", encoding="utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tables.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        tables.main()
    assert ended.value.code == 1 and "docs/RESULTS.md: differs" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["tables.py"])
    with pytest.raises(SystemExit):
        tables.main()
    written = page.read_text(encoding="utf-8")
    assert ".999" not in written and written.startswith("Before.\n") and written.endswith("\nAfter.\n")


@pytest.mark.parametrize("document", tables.documents(), ids=lambda path: path.name)
def test_every_table_of_figures_is_written_from_the_results(document):
    place = document.relative_to(ROOT).as_posix()
    for lines in unmarked_tables(document):
        first = lines[0].split("|")[1].strip()
        if (place, first) not in NOT_MEASURED:
            found = FIGURE.findall(" ".join(lines[2:]))
            assert len(found) <= 2, f"{place}, table '{first}': its figures {found} are not in results.jsonl."


def test_every_table_says_what_it_was_measured_with():
    machines = {record["machine"] for record in kinds("machine")}
    models = {record["model"] for record in kinds("model")}
    used = {name for document in tables.documents() for name, _ in tables.MARKED.findall(document.read_text("utf-8"))}
    for table in kinds("table"):
        assert table["table"] in used, f"no document shows the table {table['table']}"
        for field in ("command", "date", "machine", "data", "model", "commit"):
            assert table[field], f"{table['table']} has no {field}"
        if len(table["machine"]) == 1:
            assert table["machine"] in machines
        if re.fullmatch(r"araclip-mini \d+", table["model"]):
            assert table["model"] in models
        script = re.match(r"python (\S+\.py)", table["command"])
        assert script is None or (ROOT / script[1]).is_file(), f"{table['table']}: {table['command']} names no script"
        widths = {len(row["cells"]) for row in kinds("row") if row["table"] == table["table"]}
        assert widths == {len(table["columns"])}, f"rows of {table['table']} have {widths} cells"


def test_figures_in_the_readme_stand_in_a_table():
    """Numbers with a unit or a decimal point, outside of tables that are written."""
    known = {(record["value"], document) for record in kinds("figure") for document in record["documents"]}
    for record in kinds("figure"):
        cells = [cell for row in kinds("row") if row["table"] == record["table"] for cell in row["cells"]]
        assert any(re.match(rf"{re.escape(record['value'])}\b", cell) for cell in cells) or any(
            re.search(rf"(?<![\d.]){re.escape(record['value'])} MB", cell) for cell in cells
        ), f"{record['value']} stands in no cell of {record['table']}"
    text = tables.MARKED.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    prose = re.sub(r"```.*?```|`[^`]*`|\([^)]*\)", "", text, flags=re.DOTALL)
    found = re.findall(r"(?<![\w.-])(\d[\d,.]*)(?= (?:MB|ms|small pictures|pictures a second|seconds))", prose)
    assert found and {(value, "README.md") for value in found} <= known
