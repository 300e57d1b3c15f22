"""What a training command shows while it runs: lines, and the progress of steps and of a teacher's vectors."""

from typing import Protocol


class StepProgress(Protocol):
    """Shows the steps of one stage."""

    def update(self, step: int, total: int, rows_per_second: float, values: dict[str, float]) -> None:
        """After each step: `step` of `total` are done; `values` are the step's, "loss" among them."""


class Reporter(Protocol):
    """Takes what a stage reports; the command line draws it."""

    def log(self, line: str) -> None:
        """One line of text."""

    def step_progress(self, stage: str) -> StepProgress | None:
        """What is told of each step of a stage that now begins; None where nobody wants to know."""

    def teacher_progress(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """`done` of `total` texts have their teacher's vector."""


class SilentReporter:
    """Shows nothing."""

    def log(self, line: str) -> None:
        """Drop the line."""

    def step_progress(self, stage: str) -> StepProgress | None:
        """No progress is shown."""
        return None

    def teacher_progress(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """No progress is shown."""
