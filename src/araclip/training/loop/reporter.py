"""The display of a running training command: lines of text, and the progress of steps and teacher vectors."""

from typing import Protocol


class StepProgress(Protocol):
    """Displays the steps of one stage."""

    def update(self, step: int, total: int, rows_per_second: float, values: dict[str, float]) -> None:
        """Called after each step: `step` of `total` are done; `values` of the step, "loss" among them."""


class Reporter(Protocol):
    """Receives the progress of a stage; the command line displays it."""

    def log(self, line: str) -> None:
        """One line of text."""

    def step_progress(self, stage: str) -> StepProgress | None:
        """The display of a beginning stage's steps; None for no display."""

    def teacher_progress(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """`done` of `total` texts have a teacher vector."""


class SilentReporter:
    """Shows nothing."""

    def log(self, line: str) -> None:
        """Drop the line."""

    def step_progress(self, stage: str) -> StepProgress | None:
        """No progress is shown."""
        return None

    def teacher_progress(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """No progress is shown."""
