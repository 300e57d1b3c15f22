"""Every published layout, pulled: the model folder's vectors beside those of the model's own library.

A tiny random checkpoint in each layout becomes a folder of float32 graphs, with its whole vocabulary and cut to Arabic
and English; texts and pictures, squares and of odd sizes, are encoded by both. Prints the largest difference of any
number of any vector; ends with 1 if one is above 0.0001. Then how far the two forms of transformers' image processors
are from each other and from ours, on noise and on smooth pictures of 30 sizes: the one that resizes with Pillow, which
is the reference here, and the one that resizes tensors of uint8.

    python tests/trials/pulled_layouts.py [LAYOUT ...]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
import torch
from PIL import Image
from test_pull import BOTH, LAYOUTS, TEXTS, written
from transformers import CLIPImageProcessor, SiglipImageProcessor

from araclip import AraCLIP
from araclip.errors import AraCLIPError
from araclip.peers.conversion import make_model_folder
from araclip.pictures.image_transform import ImageTransform
from araclip.training.model.foreign import on_pillow
from tiny_peers import small_open_clip

CLOSE = 1e-4


def differences(spec: str, folder: Path) -> tuple[float, float]:
    """Of the vectors of a pulled folder to those of the library: of texts, and of pictures."""
    library, pulled = AraCLIP.load(spec), AraCLIP.load(folder)
    side, rng = library.image_size, np.random.default_rng(1)
    texts = [np.abs(pulled.encode_text(text) - library.encode_text(text)).max() for text in TEXTS]
    sizes = ((side, side), (33, 51), (60, 17), (side + 3, side), (side, side + 7))
    pictures = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]
    return float(max(texts)), float(np.abs(pulled.encode_image(pictures) - library.encode_image(pictures)).max())


def resizing() -> None:
    """Print how far apart the squares of 224 pixels are, of CLIP's processor (crop) and of SigLIP's (squash)."""
    plain = {"do_normalize": False, "do_rescale": False, "resample": Image.Resampling.BICUBIC}
    square, rng = {"height": 224, "width": 224}, np.random.default_rng(0)
    sizes = [tuple(int(n) for n in rng.integers(150, 900, 2)) for _ in range(30)]
    for processor, resize in (
        (CLIPImageProcessor(size={"shortest_edge": 224}, crop_size=square, **plain), "shortest"),
        (SiglipImageProcessor(size=square, **plain), "squash"),
    ):
        pillow, ours = on_pillow(processor), ImageTransform(224, resize, "bicubic", None, "floor")
        for kind in ("noise", "smooth"):
            apart, largest, exact = [], 0, True
            for w, h in sizes:
                picture = Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8))
                if kind == "smooth":
                    picture = picture.resize((24, 18)).resize((w, h), Image.Resampling.BICUBIC)
                tensor, image = (
                    np.asarray(one(images=picture, return_tensors="np")["pixel_values"][0], np.int16).transpose(1, 2, 0)
                    for one in (processor, pillow)
                )
                exact &= bool((ours.pixels(picture) == image).all())
                apart.append(float((tensor != image).mean()))
                largest = max(largest, int(np.abs(tensor - image).max()))
            print(
                f"{type(processor).__name__}, {kind}: ours {'equal' if exact else 'NOT equal'} to Pillow's; of uint8 "
                f"tensors {np.mean(apart):.2%} of the values differ, by at most {largest} of 255"
            )


def main() -> int:
    """1 if a layout differs or fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layouts", nargs="*", metavar="LAYOUT", help=f"by default all: {', '.join(LAYOUTS)}")
    chosen = parser.parse_args().layouts or list(LAYOUTS)
    if unknown := set(chosen) - set(LAYOUTS):
        parser.error(f"no layout {', '.join(sorted(unknown))}; there are {', '.join(LAYOUTS)}")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "open_clip").mkdir()
        with small_open_clip(Path(name) / "open_clip"):
            for layout in chosen:
                torch.manual_seed(0)
                spec = written(layout, Path(name) / layout)
                for languages in (None, BOTH):
                    start = time.perf_counter()
                    try:
                        out = make_model_folder(spec, Path(name) / "out", languages=languages)
                        found, resized = differences(spec, out)
                    except AraCLIPError as error:
                        found = resized = float("nan")
                        print(f"{layout}: {error}", file=sys.stderr)
                    failed |= not max(found, resized) <= CLOSE
                    cut = ",".join(languages or ("all",))
                    seconds = time.perf_counter() - start
                    print(f"{layout:24} {cut:8} texts {found:.1e} pictures {resized:.1e} {seconds:6.1f} s", flush=True)
    resizing()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
