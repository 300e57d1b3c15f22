"""The code blocks of a Markdown page: Python runs, commands run in this process, requests go to a real server.

A block that cannot run stands under a line `<!-- not run: REASON -->`; commands of araclip in it are still parsed.
"""

import argparse
import contextlib
import re
import shlex
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import typer
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from araclip import cli
from araclip.training.recipe.recipe import read_recipe
from mini_stages import stages_of_mini

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"<!-- not run: ([^>]+) -->\s*\Z")
REASONS = {
    "network",
    "needs Ray",
    "needs a server",
    "needs a PostgreSQL server",
    "needs Tesseract",
    "needs an NVIDIA GPU",
    "serves until it is stopped",
    "another program",
    "JavaScript",
    "Windows",
    "minutes",
    "hours",
}
ADDRESS = re.compile(r"(?:127\.0\.0\.1|localhost):8000")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def not_run(example: Example) -> str:
    """The reason for which a block is not run; "" if it is."""
    found = MARK.search(example.document.text[: example.region.start])
    if not found:
        return ""
    assert found[1] in REASONS, f"unknown reason {found[1]!r}. Known are {sorted(REASONS)}."
    return found[1]


class Blocks:
    """Runs the blocks of pages; `server` gives host and port of a running one, and is called only when needed."""

    def __init__(self, server: Callable[[], str]) -> None:
        self.server = server
        kinds = {"python": self.python, "sh": self.shell, "toml": self.recipe, "bat": self.other, "js": self.other}
        self.done: set[str] = set()  # blocks that ran: the same block on the Arabic page need not run again
        self.sybil = Sybil([CodeBlockParser(*kind) for kind in kinds.items()], path=str(ROOT))

    def of(self, page: Path) -> Document:
        """A page, parsed."""
        return self.sybil.parse(page)

    def python(self, example: Example) -> None:
        """Run a block with the names of the blocks before it; its line numbers are those of the page."""
        text = str(example.parsed)
        if text in self.done:
            return
        self.done.add(text)
        if ADDRESS.search(text) and not not_run(example):
            text = ADDRESS.sub(self.server(), text)
        code = compile("\n" * (example.line + example.parsed.line_offset) + text, example.path, "exec")
        if not not_run(example):
            exec(code, example.namespace)

    def recipe(self, example: Example) -> None:
        """Read a recipe, or a part of one, as `araclip train` reads it: unknown keys and wrong values raise.

        Only the page about araclip-mini may have the kinds of stages that its own program adds.
        """
        text = str(example.parsed)
        path = Path("recipe.toml")
        path.write_text(text if text.startswith("name") else f'name = "part"\n{text}', encoding="utf-8")
        of_mini = Path(example.path).name == "training-mini.md"
        with stages_of_mini() if of_mini else contextlib.nullcontext():
            read_recipe(path, ["data=."])

    def other(self, example: Example) -> None:
        """A language that is never run here."""
        assert not_run(example), "a block of this language is not run: mark it."

    def shell(self, example: Example) -> None:
        """Run each command of a block."""
        text = re.sub(r"\\\n\s*", "", str(example.parsed))
        if text in self.done:
            return
        self.done.add(text)
        waiting = ""
        for line in text.splitlines():
            waiting += f"{line}\n"
            try:
                found = commands(waiting)
            except ValueError:  # a quoted text that goes on
                continue
            for words in found:
                if words:
                    self.command(words, bool(not_run(example)))
            waiting = ""
        assert not waiting, "a quotation mark that is not closed"

    def command(self, words: list[str], parsed_only: bool) -> None:
        """One command: run, or checked by what the repository knows of it."""
        program, *arguments = words
        if program == "araclip":
            parsed(arguments)
            if not parsed_only:
                ran(arguments)
        elif program == "pip":
            for extras in re.findall(r"\.\[([\w,]+)\]", " ".join(arguments)):
                assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), f"no extra {extras}"
        elif program == "make":
            assert set(arguments) <= TARGETS, f"no target {arguments}"
        elif program == "python":
            script = ROOT / arguments[0]
            source = script.read_text(encoding="utf-8")
            if 'sys.argv.insert(1, "train")' in source:  # its arguments are those of `araclip train`
                parsed(["train", *arguments[1:]])
                return
            unknown = [word for word in arguments if word.startswith("--") and f'"{word}"' not in source]
            assert not unknown, f"{script.name} has no {unknown}"
        elif program == "export":
            assert arguments[0].partition("=")[0] in VARIABLES, f"no variable {arguments[0]}"
        elif program == "curl" and not parsed_only:
            asked(arguments, self.server())
        else:
            assert parsed_only, f"nothing here runs {program}: mark the block."


VARIABLES = {"ARACLIP_TOKEN_READ", "ARACLIP_TOKEN_WRITE", "PGPASSWORD"}


def commands(line: str) -> list[list[str]]:
    """The commands of a line, which && may part; without comments."""
    whole = shlex.split(line.replace("'…'", "x"), comments=True)
    found: list[list[str]] = [[]]
    for word in whole:
        if word in ("&&", "|"):
            found.append([])
        else:
            found[-1].append(word)
    return found


def parsed(arguments: list[str]) -> None:
    """Parse a command as araclip would; an unknown option or a wrong value raises click's error."""
    command: Any = typer.main.get_command(cli.app)
    context = command.make_context("araclip", list(arguments), resilient_parsing=False)
    name, command, rest = command.resolve_command(context, list(arguments))
    command.make_context(name, rest, parent=context).close()


def ran(arguments: list[str]) -> None:
    """Run a command in this process; one that fails is an AssertionError with what it said."""
    at_home = [str(Path(word).expanduser()) if word.startswith("~/") else word for word in arguments]  # as a shell does
    before, sys.argv = sys.argv, ["araclip", *at_home]
    code: object = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = before
    assert code in (0, None), f"araclip {shlex.join(arguments)} ended with {code}"


def asked(arguments: list[str], server: str) -> None:
    """What a curl command asks, asked with httpx; an answer that is an error raises."""
    options = argparse.ArgumentParser()
    options.add_argument("address")
    options.add_argument("-X", dest="method")
    for name in ("-d", "--data-urlencode", "-F", "-H"):
        options.add_argument(name, action="append", default=[])
    for name in ("-G", "-N", "-OJ"):
        options.add_argument(name, action="store_true")
    options.add_argument("-o")
    given = options.parse_args(arguments)
    picture = httpx2.get(f"http://{server}/search", params={"q": "قطة"}).json()["results"][0]["id"]  # for 4f…
    address = ADDRESS.sub(server, given.address).replace("4f…", picture)
    address = address if "://" in address else f"http://{address}"
    fields = [tuple(part.split("=", 1)) for part in given.data_urlencode + (given.d if given.G else [])]
    form = dict(part.split("=", 1) for part in given.F)
    files = {name: Path(value[1:]).read_bytes() for name, value in form.items() if value[0] == "@"}
    body = "".join(given.d).replace("4f…", picture) if given.d and not given.G else None
    method = given.method or ("POST" if body or form else "GET")
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx2.Client(timeout=60))
        answer = stack.enter_context(
            client.stream(
                method,
                address,
                params=fields or None,
                content=body,
                files={name: (f"{name}.jpg", content) for name, content in files.items()} or None,
                data={name: value for name, value in form.items() if name not in files} or None,
                headers=dict(part.split(": ", 1) for part in given.H),
            )
        )
        assert answer.is_success, f"{answer.status_code}: {answer.read().decode()}"
        if given.o:
            Path(given.o).write_bytes(answer.read())
