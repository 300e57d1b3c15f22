"""What a training command shows: lines, and bars with throughput and time left; silent by default."""

from typing import Protocol

from araclip.training.loop.run import Progress


class Reporter(Protocol):
    """Who watches a run."""

    def log(self, line: str) -> None:
        """One line of news."""

    def progress(self, stage: str) -> Progress | None:
        """The bar of a stage's steps."""

    def teacher(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """So many of the teacher's vectors are computed."""


class SilentReporter:
    """Nobody watches."""

    def log(self, line: str) -> None:
        """Nothing."""

    def progress(self, stage: str) -> Progress | None:
        """No bar."""
        return None

    def teacher(self, done: int, total: int, per_second: float, seconds_left: float) -> None:
        """Nothing."""
