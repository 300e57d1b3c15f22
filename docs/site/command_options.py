"""The commands' help and tables of their options on the site's page commands.md, and of the filters in docs/gallery.md.

    python docs/site/command_options.py             # writes the filters' table
    python docs/site/command_options.py --check     # exit code 1 if the page and the code differ

A help is changed in src/araclip, never on a page. The site puts a command's help and table in place of the comment
`<!-- options: NAME -->`. Options that have the same help in many commands are explained in one table, whose name is
`many`; the other tables only name them. The filters' table stands in the file, before `<!-- end of filters -->`, since
no command prints it.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from araclip.cli import app
from araclip.gallery.catalog.filters import FILTERS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGE = Path(__file__).parents[1] / "gallery.md"
TABLE = re.compile(r"<!-- filters -->\n(.*?)<!-- end of filters -->", re.DOTALL)
MARK = re.compile(r"<!-- options: (\S+) -->\n")
MANY = 8  # an option with the same help in so many commands is explained once
SEE_MANY = "[as for many commands](#options-of-many-commands)"


def read_commands() -> dict[str, Any]:
    """Return the commands of `araclip` by name, in the order in which `araclip --help` lists them."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def tables(commands: dict[str, Any]) -> dict[str, str]:
    """Return each command's help and table of arguments and options in Markdown, by its name, and the table `many`."""
    rows = {name: [(spelled(each), explained(each)) for each in command.params] for name, command in commands.items()}
    counted = Counter(row for own in rows.values() for row in own)
    many = {row for row, count in counted.items() if count >= MANY}
    written = {"many": markdown([row for row in counted if row in many])}
    for name, own in rows.items():
        shared = "; ".join(spelling for spelling, help in own if (spelling, help) in many)
        table = markdown([row for row in own if row not in many] + ([(shared, SEE_MANY)] if shared else []))
        written[name] = f"{with_code(commands[name].help)}\n\n{table}"
    return written


def filter_table() -> str:
    """Return the table of filters in Markdown."""
    rows = "| text | field of `Filters` | meaning |\n|---|---|---|\n"
    for each in FILTERS:
        equals = "" if each.name.endswith(".") else "="
        texts = [f"`{each.name}{equals}{value}`" for value in each.example.split(" or ")] if each.name else []
        rows += f"| {', '.join(texts)} | {', '.join(f'`{name}`' for name in each.fields)} | {each.help} |\n"
    return rows


def spelled(parameter: Any) -> str:
    """Return how a parameter is written on the command line: `--gallery`, `-g`, or `FOLDER` for an argument."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`" + (" …" if parameter.nargs == -1 else "")
    first, *rest = (*parameter.opts, *parameter.secondary_opts)
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(f"`{option}`" for option in (first + value, *rest))


def explained(parameter: Any) -> str:
    """Return a parameter's help, with its default value if it has one."""
    help = with_code(parameter.help)
    if parameter.default is None or isinstance(parameter.default, bool) or not parameter.show_default:
        return help
    return f"{help} Default: `{parameter.default}`."


def with_code(help: str) -> str:
    """Return a help with its options and variables as code."""
    return re.sub(r"(?<![`\w])(--[a-z-]+(?: [\w.]+=[\w.]+)?|\$[A-Z_]+)", r"`\1`", help)


def markdown(rows: list[tuple[str, str]]) -> str:
    return "| option | what |\n|---|---|\n" + "".join(f"| {spelling} | {help} |\n" for spelling, help in rows)


def put(app: "Sphinx", page: str, source: list[str]) -> None:
    """Put the tables in place of their comments."""
    if page == "commands":
        written = tables(read_commands())
        source[0] = MARK.sub(lambda mark: written[mark[1]], source[0])


def setup(app: "Sphinx") -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", put)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    written = TABLE.sub(lambda _: f"<!-- filters -->\n{filter_table()}<!-- end of filters -->", text)
    if args.check and written != text:
        sys.exit(f"{PAGE.name} differs from the code")
    PAGE.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
