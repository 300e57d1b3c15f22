"""What pages for contributors promise is there: the files they name, the rooms, the checks of a commit."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "araclip"
TOP = ("src", "tests", "benchmarks", "recipes", "docs", "deploy", ".github", ".ci")
CODE = re.compile(r"`([^`\s]+)`")
FILE = re.compile(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|toml|txt|yml|yaml|cff))")
PAGES = (
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "README.md",
    ROOT / "README.ar.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "ar").glob("*.md")),
)
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def missing_files(text: str) -> list[str]:
    """Files of this repository that a page names, from its root on, and that are not there."""
    named = [name for name in CODE.findall(text) if name.split("/")[0] in TOP and "/" in name]
    return [name for name in named if not any(ROOT.glob(name.rstrip("/").split(":")[0]))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    assert missing_files(read(page)) == []


def test_a_file_that_is_not_there_is_found() -> None:
    text = "`src/araclip/cli/`, `tests/gallery/test_q*.py`, `a/b`, `tests/test_nothing*.py` and `src/araclip/gone.py`"
    assert missing_files(text) == ["tests/test_nothing*.py", "src/araclip/gone.py"]


def test_each_thing_to_add_has_one_file_to_start_from() -> None:
    table = read(ROOT / "CONTRIBUTING.md").partition("## How to add")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    starts = [CODE.findall(row[1]) for row in rows]
    assert len(starts) >= 10
    assert [start for start in starts if len(start) != 1 or not (ROOT / start[0]).is_file()] == []


def test_the_architecture_names_files_and_every_package() -> None:
    text = read(ARCHITECTURE)
    below = [name for name in CODE.findall(text) if FILE.fullmatch(name) and name.split("/")[0] not in TOP]
    folders = (SOURCE, SOURCE / "server" / "http")  # its text names three modules of one folder together
    assert [name for name in below if not any((folder / name).exists() for folder in folders)] == []
    rooms = {room for line in text.splitlines() if line.startswith("| `") for room in CODE.findall(line.split("|")[1])}
    unknown = [room for room in rooms if not any(SOURCE.glob(f"{room.replace('.', '/')}*"))]
    assert unknown == []
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages - {room.split(".")[0] for room in rooms} == set()


# ------------------------------------------------------------------ the checks of a commit


def hooks() -> Iterator[dict[str, str]]:
    """The hooks of pre-commit."""
    for repo in yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))["repos"]:
        yield from repo["hooks"]


def target(name: str) -> list[str]:
    """The commands of a target of the Makefile."""
    lines = re.search(rf"^{name}:.*\n((?:\t.*\n)+)", read(ROOT / "Makefile"), re.MULTILINE)
    assert lines, f"no target {name}"
    return [part.strip().removeprefix("@") for line in lines[1].splitlines() for part in line.split("&&")]


def test_a_commit_is_checked_by_what_make_lint_runs() -> None:
    entries = {hook["entry"] for hook in hooks()}
    linted = {command.replace("$(BIN)", ".venv/bin").removesuffix(" .") for command in target("lint")}
    assert entries == linted | {"make lint-github"}


def test_a_commit_of_any_file_that_lint_github_reads_runs_it() -> None:
    files = next(re.compile(hook["files"]) for hook in hooks() if hook["entry"] == "make lint-github")
    words = " ".join(target("lint-github")).replace("$(wildcard ", "").replace(")", " ").split()
    read_there = [word for word in words if word.startswith((".github", "deploy/")) or word.endswith(".cff")]
    assert len(read_there) >= 6
    assert [word for word in read_there if not files.match(f"{word}/" if word == ".github" else word)] == []
