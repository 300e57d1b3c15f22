"""The line of each key of a TOML text, for error messages: `tomllib` does not give it."""

import re

Key = tuple[str | int, ...]  # ("distill", "sources", 0, "path"): names of tables and keys, indexes in arrays

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
    lines: dict[Key, int] = {}
    table: Key = ()
    index = 0
    while index < len(tokens):
        token, line = tokens[index]
        if token == "[":
            names = []
            while tokens[index][0] != "\n":
                names.append(tokens[index][0])
                index += 1
            table = tuple(_bare(name) for name in names if name not in "[].")
            lines.setdefault(table, line)
        elif token == "\n":
            index += 1
        else:
            index = _pair(tokens, index, table, lines)
    return lines


def _pair(tokens: _Tokens, index: int, table: Key, lines: dict[Key, int]) -> int:
    """Record the lines of a key and of what its value holds; returns the index of the token after it."""
    line, names = tokens[index][1], []
    while tokens[index][0] != "=":
        names.append(tokens[index][0])
        index += 1
    key = (*table, *(_bare(name) for name in names if name != "."))
    lines.setdefault(key, line)
    return _value(tokens, index + 1, key, lines)


def _value(tokens: _Tokens, index: int, key: Key, lines: dict[Key, int]) -> int:
    opening = tokens[index][0]
    if opening not in "[{":
        while tokens[index][0] not in ",]}\n":
            index += 1
        return index
    index += 1
    element = 0
    while (token := tokens[index][0]) not in "]}":
        if token in "\n,":
            element += token == ","
            index += 1
        elif opening == "{":
            index = _pair(tokens, index, key, lines)
        else:
            lines.setdefault((*key, element), tokens[index][1])
            index = _value(tokens, index, (*key, element), lines)
    return index + 1


def _bare(name: str) -> str:
    return name.strip("\"'")
