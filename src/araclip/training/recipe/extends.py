"""What a section of a recipe inherits from others by `extends`, and picture sets and parallel text by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from araclip.training.data.picture_data import PictureSource
from araclip.training.data.text_data import Source
from araclip.training.recipe.toml_file import TomlFile

Table = dict[str, Any]

NAMED: Mapping[str, tuple[type, str, str]] = {  # the tables of named sets: what a set is, its path, its share
    "pictures": (PictureSource, "folder", "share"),
    "sources": (Source, "path", "weight"),
}
_SHARES = {  # key of a stage → table
    **dict.fromkeys(("pictures", "expert_pictures", "familiar_pictures", "unfamiliar_pictures"), "pictures"),
    "sources": "sources",
}
_MERGED = ("dev", "image", "model", *_SHARES)  # tables that are merged key by key; all else is replaced


def extend_sections(file: TomlFile, sections: Mapping[str, Table]) -> dict[str, Table]:
    """Every section with the keys of the one it extends added to its own; `kind` is filled in.

    A table of `_MERGED` is merged key by key, any other value of the section's own replaces that of the one it
    extends. A `model` replaces a `start`, and the other way round: both say what a stage begins with.

    Raises:
        RecipeError: a section extends one that does not exist, or, perhaps through others, itself.
    """
    done = {}
    for name in sections:
        chain = _chain(file, sections, name)
        merged: Table = {"kind": chain[-1]}
        for section in reversed(chain):
            own = {key: value for key, value in sections[section].items() if key != "extends"}
            for one, other in (("model", "start"), ("start", "model")):
                if one in own and other not in own:
                    merged.pop(other, None)
            merged |= {key: _merged(merged.get(key), value) if key in _MERGED else value for key, value in own.items()}
        done[name] = merged
        for base in chain[1:]:
            for key in [key for key in file.origin if key[:1] == (base,)]:
                file.origin.setdefault((name, *key[1:]), file.origin[key])
    return done


def extend_file(table: Table, base: Table) -> Table:
    """A recipe and the one it extends: a section replaces its namesake, but [model] and named sets are merged."""
    return {**base, **{k: _merged(base.get(k), v) if k == "model" or k in NAMED else v for k, v in table.items()}}


def read_named(file: TomlFile, table: Table) -> dict[str, Table]:
    """The tables of named sets, taken out of a recipe's `table`.

    Raises:
        RecipeError: a set has a key that is unknown or a value of the wrong kind.
    """
    tables = {}
    for kind, (cls, path, _) in NAMED.items():
        tables[kind] = table.pop(kind, {})
        if not isinstance(tables[kind], dict):
            file.refuse((kind,), f"{kind}: {tables[kind]!r} is no table. Write {{NAME = {{{path} = …}}}}.")
        for name, keys in tables[kind].items():
            if not isinstance(keys, dict):
                file.refuse((kind, name), f"[{kind}] {name}: {keys!r} is no table. Write {{{path} = {keys!r}}}.")
            file.read(cls, {path: name, **keys}, (kind, name))
    file.check()
    return tables


def expand_shares(file: TomlFile, stage: str, section: Table, named: Mapping[str, Table]) -> None:
    """Turn `pictures = {NAME = share}` into the list of sets that it stands for, also `sources = {NAME = weight}`.

    A name without a table is a path below `data`. Share 0 leaves a set out. {emoji = {NAME = share}} is a group of
    picture sets.
    """
    for key, kind in _SHARES.items():
        if not isinstance(shares := section.get(key), dict):
            continue
        section[key] = []
        for way, keys in _sets(shares, named[kind], kind):
            file.origin[(stage, key, len(section[key]))] = file.origin_of((stage, key, *way))
            section[key].append(keys)


def _chain(file: TomlFile, sections: Mapping[str, Table], name: str) -> list[str]:
    """A section, the one it extends, the one that extends, and so on."""
    chain = [name]
    while (base := sections[chain[-1]].get("extends")) is not None:
        at = (chain[-1], "extends")
        if not isinstance(base, str) or base not in sections:
            file.refuse(at, f"[{chain[-1]}] extends '{base}', which is no section. Known are {', '.join(sections)}.")
        if base in chain:
            file.refuse(at, f"[{base}] extends itself: {' → '.join([*chain, base])}. Take one `extends` out.")
        chain.append(base)
    return chain


def _merged(base: Any, own: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    return {**base, **{key: _merged(base.get(key), value) for key, value in own.items()}}


def _sets(shares: Table, named: Table, kind: str, group: str = "") -> Iterator[tuple[tuple[str, ...], Table]]:
    _, path, share = NAMED[kind]
    for name, value in shares.items():
        if kind == "pictures" and isinstance(value, dict) and not group:
            for way, keys in _sets(value, named, kind, name):
                yield (name, *way), keys
        elif value != 0 or isinstance(value, bool):
            yield (name,), {path: name, **named.get(name, {}), share: value, **({"group": group} if group else {})}
