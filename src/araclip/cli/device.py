"""The option --device, of every command that has --model."""

import os
from typing import Annotated, Any

import typer

from araclip.inference.devices import VARIABLE


def add_device_option(command: Any) -> None:
    """Give a command the option, if it takes a model."""
    names = {name for parameter in command.params for name in parameter.opts}
    if "--model" in names and "--device" not in names:
        command.params.append(_device_option())


def _use(context: typer.Context, device: str | None) -> None:
    """Make it the device of this command, and of the processes that it starts."""
    if not device:
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = device
    context.call_on_close(lambda: os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before}))


def _device_option() -> Any:
    app = typer.Typer(add_completion=False)

    @app.command()
    def any_command(
        device: Annotated[
            str | None,
            typer.Option(
                "--device",
                metavar="NAME",
                expose_value=False,
                callback=_use,
                help=f"Where the model runs: cpu, cuda, openvino or auto; by default ${VARIABLE}, or the CPU.",
            ),
        ] = None,
    ) -> None:
        pass

    return next(parameter for parameter in typer.main.get_command(app).params if "--device" in parameter.opts)
