"""On which line of a TOML text each key stands, for error messages: `tomllib` does not tell."""

import re

Key = tuple[str | int, ...]  # ("distill", "sources", 0, "path"): names of tables and keys, places in arrays

_TOKEN = re.compile(
    r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|\n|[\[\]{},=.]|[^\s\[\]{},=.#"\']+'
)
_Tokens = list[tuple[str, int]]  # with their lines


def key_lines(text: str) -> dict[Key, int]:
    """Line, from 1, of every table, key and array element of a valid TOML text; the first one of a repeated name."""
    tokens: _Tokens = []
    line = 1
    for token in _TOKEN.findall(text):
        if token[0] != "#":
            tokens.append((token, line))
        line += token.count("\n")
    tokens.append(("\n", line))
    found: dict[Key, int] = {}
    table: Key = ()
    place = 0
    while place < len(tokens):
        token, line = tokens[place]
        if token == "[":
            names = []
            while tokens[place][0] != "\n":
                names.append(tokens[place][0])
                place += 1
            table = tuple(_bare(name) for name in names if name not in "[].")
            found.setdefault(table, line)
        elif token == "\n":
            place += 1
        else:
            place = _pair(tokens, place, table, found)
    return found


def _pair(tokens: _Tokens, place: int, table: Key, found: dict[Key, int]) -> int:
    """Note a key and what its value holds; returns the place of the token after it."""
    line, names = tokens[place][1], []
    while tokens[place][0] != "=":
        names.append(tokens[place][0])
        place += 1
    key = (*table, *(_bare(name) for name in names if name != "."))
    found.setdefault(key, line)
    return _value(tokens, place + 1, key, found)


def _value(tokens: _Tokens, place: int, key: Key, found: dict[Key, int]) -> int:
    opening = tokens[place][0]
    if opening not in "[{":
        while tokens[place][0] not in ",]}\n":
            place += 1
        return place
    place += 1
    element = 0
    while (token := tokens[place][0]) not in "]}":
        if token in "\n,":
            element += token == ","
            place += 1
        elif opening == "{":
            place = _pair(tokens, place, key, found)
        else:
            found.setdefault((*key, element), tokens[place][1])
            place = _value(tokens, place, (*key, element), found)
    return place + 1


def _bare(name: str) -> str:
    return name.strip("\"'")
