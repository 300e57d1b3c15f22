"""Trains araclip-mini: `araclip train` with the further kinds of stages that its recipe has.

    python recipes/mini/train.py all recipes/mini/mini.toml --set data=WORK/data --runs WORK/runs

Arguments are those of `araclip train`. Another recipe may use these kinds, too.
"""

import os
import sys

from araclip.cli import main
from araclip.cli.train import check_training_extra


def add_stages() -> None:
    """Let recipes have stages of the kinds that this folder defines."""
    from araclip.training.stages.dispatch import add_kind
    from distill_images import DistillImages, distill_images
    from ensemble import Average, Ensemble, average, ensemble
    from names_part import Names, names
    from phrases import Phrases, phrases
    from query_bank import QueryBank, query_bank

    add_kind(Ensemble, ensemble)
    add_kind(Average, average)
    add_kind(DistillImages, distill_images)
    add_kind(Phrases, phrases)
    add_kind(QueryBank, query_bank)
    add_kind(Names, names)


if __name__ == "__main__":
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as `araclip train` does, before PyTorch is imported
    check_training_extra()
    add_stages()
    sys.argv.insert(1, "train")
    main()
