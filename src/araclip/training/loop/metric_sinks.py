"""Sinks of metrics besides metrics.jsonl: TensorBoard or Trackio, by name, imported only when used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from araclip.errors import RecipeError

TRACKIO = "--no-deps trackio gradio-client orjson brotli websockets"  # it asks for Pillow < 13 and runs with 13


class Sink(Protocol):
    """Takes the rows that `Run.log` writes."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """One row; values that are no numbers may be dropped."""

    def close(self) -> None:
        """Flush what is still buffered."""


class TensorBoard:
    """Event files in RUN/tensorboard, for `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        module = _needed("torch.utils.tensorboard", "tensorboard")
        self._open: Callable[..., Any] = module.SummaryWriter
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Numbers become scalars; rows that a killed run wrote from this step on are hidden."""
        if self._writer is None:
            self._writer = self._open(log_dir=str(self._folder), purge_step=step)
        for name, value in values.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        if self._writer is not None:
            self._writer.close()


class Trackio:
    """A run named like its folder, in the project named like the folder above, for `trackio show`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._trackio = _needed("trackio", TRACKIO)
        folder = folder.resolve()
        self._trackio.init(project=folder.parent.name, name=folder.name, config=dict(config), resume="allow")

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """All values of the row."""
        self._trackio.log(dict(values), step=step)

    def close(self) -> None:
        """Wait until everything is stored."""
        self._trackio.finish()


SINKS: dict[str, Callable[[Path, Mapping[str, Any]], Sink]] = {"tensorboard": TensorBoard, "trackio": Trackio}


def open_sink(name: str, folder: Path, config: Mapping[str, Any]) -> Sink:
    """The sink of that name for a run folder; `config` is what the run was started with.

    Raises:
        RecipeError: no such sink, or its package is not installed.
    """
    if name not in SINKS:
        raise RecipeError(f"there is no sink {name!r} for metrics. Choose from {', '.join(sorted(SINKS))}, or none.")
    return SINKS[name](folder, config)


def _needed(module: str, packages: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise RecipeError(
            f"the recipe sends its metrics to {module.rpartition('.')[2]}, which is not installed. "
            f"Run `pip install {packages}`, or take it out of the recipe's sinks."
        ) from error
