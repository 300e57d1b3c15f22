"""Empty paths of the command line, as of a shell variable that is not set: `araclip index "$PICTURES"`."""

import inspect
from typing import Any

import typer


def refuse_empty_paths(command: Any) -> None:
    """Refuse an empty text in the place of a path, which `Path` would take for the working folder."""
    annotated = inspect.signature(command.callback).parameters
    for parameter in command.params:
        if parameter.name in annotated and "pathlib.Path" in str(annotated[parameter.name].annotation):
            _refuse_empty(parameter)


def _refuse_empty(parameter: Any) -> None:
    consume = parameter.consume_value

    def checked(ctx: Any, given: Any) -> Any:
        value, source = consume(ctx, given)
        if "" in (value if isinstance(value, list | tuple) else [value]):
            raise typer.BadParameter(
                "the path is empty. Name a file or a folder; the working folder is «.».", ctx=ctx, param=parameter
            )
        return value, source

    parameter.consume_value = checked
