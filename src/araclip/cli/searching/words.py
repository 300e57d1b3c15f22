"""A query as separate words of the command line, signs included: `araclip search كلب أبيض - قطة`."""

from pathlib import Path
from typing import Any

from typer.core import TyperCommand

_MARK = "\u2060"  # invisible; before a word that begins with a minus, so that it is read as no option


class WordsCommand(TyperCommand):
    """A command whose arguments may begin with a minus before what no option has: -كلب, '- cat'.

    What begins with a minus and a Latin letter stays an option, so that a misspelt one is refused. After `--` all are
    arguments, as ever.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a call."""
        end = args.index("--") if "--" in args else len(args)
        marked = [_MARK + each if _is_excluded_word(each) else each for each in args[:end]]
        try:
            left = super().parse_args(ctx, [*marked, *args[end:]])
        except Exception as error:
            unknown = getattr(error, "option_name", "--")  # of click's NoSuchOption
            word = next((each[1:] for each in args if each.startswith(unknown) and not each.startswith("--")), "")
            if word:
                error.message += f". To leave out what shows “{word}”, write: - {word}"  # type: ignore[attr-defined]
            raise
        ctx.params = {name: _unmarked(value) for name, value in ctx.params.items()}
        return left


def query_of(words: list[str]) -> str:
    """The words as one query. A minus at the beginning of a word of its own is the query language's minus."""
    return " ".join(words)


def _is_excluded_word(argument: str) -> bool:
    sign, letter = argument[:1], argument[1:2]
    return sign in ("-", "\u2212", "\u2013") and bool(letter) and (letter.isspace() or not letter.isascii())


def _unmarked(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, Path):
        return Path(str(value).removeprefix(_MARK))
    return type(value)(map(_unmarked, value)) if isinstance(value, list | tuple) else value
