"""The context in which a stage runs, besides its own section of the recipe."""

from dataclasses import dataclass, field
from pathlib import Path

from araclip.training.loop.reporter import Reporter, SilentReporter, StepProgress
from araclip.training.recipe.recipe import CACHE, Recipe


@dataclass(frozen=True)
class StageContext:
    """One stage of a recipe, about to be run.

    Attributes:
        recipe: the whole recipe, in which other stages are looked up.
        name: of the stage, its section in the recipe.
        runs: folder of all stages' folders.
        fresh: delete what an earlier run of this stage left.
    """

    recipe: Recipe
    name: str
    runs: Path
    reporter: Reporter = field(default_factory=SilentReporter)
    fresh: bool = False

    @property
    def folder(self) -> Path:
        """Where the stage leaves its model, its metrics and its checkpoints."""
        return self.runs / self.name

    @property
    def cache(self) -> Path:
        """Folder of vectors that are computed once, for all stages."""
        return self.runs / CACHE

    def step_progress(self) -> StepProgress | None:
        """The display of the stage's steps, or None."""
        return self.reporter.step_progress(self.name)
