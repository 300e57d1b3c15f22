"""The Python reference is complete: each public name is in it, with a docstring.

Public is what `araclip` exports, and what an example of the documentation imports from a module of it.
"""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

PYTHON_BLOCK = re.compile(r"^```(?:python|py)\n(.*?)^```", re.DOTALL | re.MULTILINE)
log = logging.getLogger(__name__)


def imported(code: str) -> set[str]:
    """Names such as araclip.evaluation.scores.measures that code imports."""
    return {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "araclip"
        for alias in node.names
    }


def public(docs: Path) -> set[str]:
    """All names that the reference must have."""
    names = {f"araclip.{name}" for name in import_module("araclip").__all__ if not name.startswith("_")}
    for page in (*docs.glob("*.md"), *docs.glob("ar/*.md"), *docs.parent.glob("README.md")):
        for code in PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")):
            names |= imported(code)
    for script in docs.glob("tutorials/*.py"):
        names |= imported(script.read_text(encoding="utf-8"))
    return names


def bare_members(name: str) -> list[str]:
    """The name itself, if it has no docstring, and the public members of a class of ours that have none."""
    module, _, attribute = name.rpartition(".")
    thing = getattr(import_module(module), attribute)
    bare = [] if inspect.getdoc(thing) or not callable(thing) else [name]
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            described = callable(value) or isinstance(value, property | classmethod | staticmethod)
            if not member.startswith("_") and described and not inspect.getdoc(getattr(thing, member)):
                bare.append(f"{name}.{member}")
    return bare


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that is missing or bare; the build takes warnings for errors."""
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    for name in sorted(public(Path(app.srcdir))):
        if name not in documented:
            log.warning("the public name %s is not in the Python reference (docs/python.md)", name)
        for bare in bare_members(name):
            log.warning("the public name %s has no docstring", bare)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
