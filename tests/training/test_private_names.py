"""Names of other libraries that begin with _ change without notice, so no class or function of ours relies on one."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType

from torch import nn
from transformers import ProcessorMixin

import araclip
import mini_stages  # noqa: F401  # lets the recipe's modules be imported

LIBRARIES = ("torch", "transformers", "sentence_transformers", "timm", "accelerate")
# The exceptions. transformers documents the first four as what the author of a model writes.
ALLOWED = {
    "_init_weights": "the author of a model says here how its weights begin",
    "_supports_sdpa": "the author of a model says here which kinds of attention it can use",
    "_supports_flash_attn": "as _supports_sdpa",
    "_supports_flex_attn": "as _supports_sdpa",
    "_is_hf_initialized": "the mark on loaded towers, which would be drawn at random again; nothing public sets it",
    "_sock": "of pg8000, which leaves its stream open after a failure and has no other name for it",
    "_exit": "of os, where it is documented",
    "_make": "of named tuples, where it is documented",
}
SOURCES = [Path(araclip.__file__).parent, Path(__file__).parents[2] / "recipes" / "mini"]
FILES = sorted(path for source in SOURCES for path in source.rglob("*.py"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each private attribute or import, `getattr(thing, "_name")` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            words = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant)]
            yield from ((node.lineno, word) for word in words if isinstance(word, str) and is_private(word))


def defined(tree: ast.AST) -> Iterator[str]:
    """Every name that a tree defines: functions, classes, variables, and what methods set on `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            yield node.attr


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def source_of(kind: type) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(kind)))


@cache
def private_names(kind: type) -> frozenset[str]:
    """The private names of a class of a library: in its body, and set by its methods."""
    try:
        written = defined(source_of(kind))
    except (OSError, TypeError):  # written in C
        written = iter(())
    return frozenset(filter(is_private, [*vars(kind), *written]))


def bases_of(kind: type) -> list[type]:
    return [base for base in kind.__mro__[1:] if base.__module__.split(".")[0] in LIBRARIES]


def relied_on(kind: type) -> set[str]:
    """The private names of a class's bases in libraries that the class overrides, sets or calls."""
    theirs = frozenset().union(*map(private_names, bases_of(kind)))
    tree = source_of(kind)
    return {*defined(tree), *(name for _, name in used(tree))} & theirs


def module_at(path: Path) -> ModuleType:
    if path.is_relative_to(SOURCES[0]):
        parts = path.relative_to(SOURCES[0].parent).with_suffix("").parts
        return importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return importlib.import_module(path.stem)


def classes() -> Iterator[type]:
    """Each class of ours that has a base in one of the libraries, from modules that import these or our models."""
    imports = re.compile(rf"^ *(from|import) ({'|'.join(LIBRARIES)}|araclip\.training\.model)\b", re.MULTILINE)
    for path in FILES:
        if imports.search(path.read_text(encoding="utf-8")):
            module = module_at(path)
            ours = [kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__]
            yield from (kind for kind in ours if isinstance(kind, type) and bases_of(kind))


def test_no_class_relies_on_a_private_name_of_its_bases() -> None:
    ours = {kind.__name__: kind for kind in classes()}
    assert {"AraCLIPModel", "AraCLIPProcessor", "AraCLIPTokenizer", "AraCLIPConfig", "AraCLIPModule"} <= ours.keys()
    found = {name: private for name, kind in ours.items() if (private := relied_on(kind) - ALLOWED.keys())}
    assert not found


def test_no_module_uses_a_private_name_that_we_do_not_define() -> None:
    ours = {name for path in FILES for name in defined(parsed(path))}
    found = {(f"{path.name}:{line}", name) for path in FILES for line, name in used(parsed(path)) if name not in ours}
    assert {(where, name) for where, name in found if name not in ALLOWED} == set()
    written = {name for kind in classes() for name in defined(source_of(kind))}
    assert ALLOWED.keys() <= written | {name for _, name in found}, "an exception that nothing needs"


def test_each_way_to_rely_on_a_private_name_is_found() -> None:
    class Overrides(ProcessorMixin):  # type: ignore[misc]
        def _merge_kwargs(self) -> None: ...

    class Calls(nn.Module):
        def forward(self) -> None:
            super()._apply(FunctionType)

    class Sets(nn.Module):
        def forward(self) -> None:
            self._modules = {}

    class Asks(nn.Module):
        def forward(self) -> object:
            return getattr(self, "_buffers", None)

    class Plain(nn.Module):
        def _own(self) -> None: ...

    assert [relied_on(kind) for kind in (Overrides, Calls, Sets, Asks, Plain)] == [
        {"_merge_kwargs"}, {"_apply"}, {"_modules"}, {"_buffers"}, set(),
    ]  # fmt: skip
