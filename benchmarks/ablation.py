"""What each stage adds: recall with 95 % intervals of every stage of a recipe, all on the same pictures and captions.

    python benchmarks/ablation.py --runs RUNS --dev FLICKR8K multilingual linear distill stage2 finetune --export FOLDER
    python benchmarks/ablation.py --runs RUNS --choice WORK/data teacher one finetune words names

Text → picture, every caption a query (any-hit); intervals by bootstrap over pictures. --dev measures the dev split of
that folder. --choice takes the folder that recipes/mini/data.py wrote, and measures the choice split, on which choices
are made.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.evaluation.scores import interval, ranks
from araclip.training.model.saved_models import load_model
from araclip.training.recipe.stages import DevSet, ImageSide
from araclip.training.stages.dev_recall import Dev
from araclip.training.stages.pictures import training_images
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.texts import LockedTexts

Vectors = NDArray[np.float32]


def of_stage(folder: Path, dev: Dev, cache: Path) -> tuple[Vectors, Vectors]:
    """Text and picture vectors of a trained stage, by PyTorch."""
    model, processor = load_model(folder / "model")
    images = training_images(model, Pixels.of(processor), dev.paths, ImageSide(), 0, cache, print)
    with torch.inference_mode():
        texts = LockedTexts(model, processor, dev.texts, cache).vectors(dev.texts)  # stages may share a text tower
        return texts.numpy(), images.vectors(dev.paths).numpy()


def row(name: str, found: NDArray[np.float64], owner: list[int]) -> str:
    """One line of the table."""
    measures = [(found <= k).astype(np.float64) for k in (1, 5, 10)] + [1.0 / found]
    cells = []
    for values in measures:
        low, high = interval(values, owner)
        cells.append(f"{values.mean():.3f} [{low:.3f}, {high:.3f}]")
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--dev", type=Path, help="a picture set with a dev split")
    parser.add_argument("--choice", type=Path, help="a folder with flickr8k-choice")
    parser.add_argument("--field", default="caption_ar")
    parser.add_argument("--export", type=Path, help="an exported model folder, as the last row")
    parser.add_argument("stages", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if not (args.dev or args.choice):
        parser.error("Give --dev, --choice or both.")
    if args.choice:
        folder, images = args.choice / "flickr8k-choice", args.choice / "flickr8k"
        table(DevSet(folder, "choice", (args.field,), per_picture=None, images=images), args)
    if args.dev:
        table(DevSet(args.dev, "dev", (args.field,), per_picture=None), args)


def table(spec: DevSet, args: argparse.Namespace) -> None:
    """Print the rows of one set."""
    dev = Dev(spec)
    relevant = [[place] for place in dev.owner]
    print(f"{len(dev.texts)} queries ({args.field}), {len(dev.pictures)} pictures, split {spec.split}\n")
    print("| model | R@1 | R@5 | R@10 | MRR |\n|---|---|---|---|---|")
    chance = np.random.default_rng(0).integers(1, len(dev.pictures) + 1, len(dev.texts)).astype(np.float64)
    print(row("chance", chance, dev.owner))
    for stage in args.stages:
        texts, pictures = of_stage(args.runs / stage, dev, args.runs / "cache")
        print(row(stage, ranks(texts, pictures, relevant), dev.owner), flush=True)
    if args.export:
        model = AraCLIP.load(args.export, threads=2)
        texts, pictures = model.encode_text(dev.texts), model.encode_image(dev.paths)
        print(row(f"{args.export.name}, exported", ranks(texts, pictures, relevant), dev.owner))


if __name__ == "__main__":
    main()
